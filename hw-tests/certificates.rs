//! Certificates that servers on loopback show.

/// A certificate for these names, in PEM, and a server that shows it.
pub(crate) fn for_names(names: &[&str]) -> (String, rustls::ServerConfig) {
    use der::asn1::Ia5String;
    use der::{Encode as _, EncodePem as _};
    use p384::ecdsa::{DerSignature, SigningKey};
    use p384::pkcs8::EncodePrivateKey as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use x509_cert::builder::profile::BuilderProfile;
    use x509_cert::builder::{Builder as _, CertificateBuilder};
    use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
    use x509_cert::ext::{Extension, ToExtension as _};
    use x509_cert::name::Name;
    use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};

    struct Names(Vec<GeneralName>);

    impl BuilderProfile for Names {
        fn get_issuer(&self, _: &Name) -> Name {
            self.get_subject()
        }

        fn get_subject(&self) -> Name {
            "CN=localhost".parse().unwrap()
        }

        fn build_extensions(
            &self,
            _: SubjectPublicKeyInfoRef<'_>,
            _: SubjectPublicKeyInfoRef<'_>,
            tbs: &x509_cert::TbsCertificate,
        ) -> Result<Vec<Extension>, x509_cert::builder::Error> {
            Ok(vec![SubjectAltName(self.0.clone()).to_extension(tbs.subject(), &[])?])
        }
    }

    let names = names.iter().map(|name| GeneralName::DnsName(Ia5String::new(name).unwrap())).collect();
    let key = SigningKey::from_slice(&[5; 48]).unwrap();
    let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).unwrap();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let validity = x509_cert::time::Validity::from_now(day).unwrap();
    let builder = CertificateBuilder::new(Names(names), 1_u8.into(), validity, public).unwrap();
    let certificate = builder.build::<_, DerSignature>(&key).unwrap();
    let secret = p384::SecretKey::from(&key).to_pkcs8_der().unwrap();
    let chain = vec![CertificateDer::from(certificate.to_der().unwrap())];
    let secret = PrivateKeyDer::Pkcs8(secret.as_bytes().to_vec().into());
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let tls = config.with_single_cert(chain, secret).unwrap();
    (certificate.to_pem(der::pem::LineEnding::LF).unwrap(), tls)
}
