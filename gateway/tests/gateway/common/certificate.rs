//! A certificate for TLS.

use std::time::Duration;

use p384::ecdsa::{DerSignature, SigningKey};
use p384::pkcs8::{EncodePrivateKey as _, LineEnding};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder, Error};
use x509_cert::der::EncodePem as _;
use x509_cert::der::asn1::Ia5String;
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::{TbsCertificate, time::Validity};

/// A certificate for localhost by its own key, and the key, both in PEM.
pub(crate) fn for_localhost(seed: u8) -> (String, String) {
    struct Localhost;

    impl BuilderProfile for Localhost {
        fn get_issuer(&self, subject: &Name) -> Name {
            subject.clone()
        }

        fn get_subject(&self) -> Name {
            "CN=localhost".parse().unwrap()
        }

        fn build_extensions(
            &self,
            _: SubjectPublicKeyInfoRef<'_>,
            _: SubjectPublicKeyInfoRef<'_>,
            certificate: &TbsCertificate,
        ) -> Result<Vec<Extension>, Error> {
            let name = GeneralName::DnsName(Ia5String::new("localhost")?);
            Ok(vec![SubjectAltName(vec![name]).to_extension(certificate.subject(), &[])?])
        }
    }

    let key = SigningKey::from_slice(&[seed; 48]).unwrap();
    let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).unwrap();
    let day = Validity::from_now(Duration::from_secs(24 * 60 * 60)).unwrap();
    let builder = CertificateBuilder::new(Localhost, 1_u8.into(), day, public).unwrap();
    let certificate = builder.build::<_, DerSignature>(&key).unwrap().to_pem(LineEnding::LF).unwrap();
    let secret = p384::SecretKey::from(&key).to_pkcs8_pem(LineEnding::LF).unwrap();
    (certificate, secret.to_string())
}
