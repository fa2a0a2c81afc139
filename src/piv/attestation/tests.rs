use der::{Encode, asn1::OctetString};
use p384::{
    ecdsa::{DerSignature, SigningKey},
    elliptic_curve::sec1::ToSec1Point,
};
use x509_cert::{
    TbsCertificate,
    builder::{Builder, CertificateBuilder, profile::BuilderProfile},
    ext::Extension,
    name::Name,
    spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef},
};

use super::*;
use crate::piv::{P256, P384};

/// What a card of our own making attests: extensions by the last number of their identifier, and their raw bytes.
struct Statement(Vec<(u8, &'static [u8])>);

impl BuilderProfile for Statement {
    fn get_issuer(&self, _: &Name) -> Name {
        "CN=Yubico PIV Attestation".parse().unwrap()
    }

    fn get_subject(&self) -> Name {
        "CN=YubiKey PIV Attestation 82".parse().unwrap()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let extension = |(tail, value): &(u8, &[u8])| Extension {
            extn_id: format!("1.3.6.1.4.1.41482.3.{tail}").parse().unwrap(),
            critical: false,
            extn_value: OctetString::new(*value).unwrap(),
        };
        Ok(self.0.iter().map(extension).collect())
    }
}

fn signer() -> SigningKey {
    SigningKey::from_slice(&[3; 48]).unwrap()
}

/// The DER of a statement about a P-384 key.
pub(crate) fn statement_about(key: &p384::PublicKey) -> Vec<u8> {
    der_of(SubjectPublicKeyInfoOwned::from_key(key).unwrap(), &[FIRMWARE, SERIAL, POLICIES])
}

fn der_of(key: SubjectPublicKeyInfoOwned, statement: &[(u8, &'static [u8])]) -> Vec<u8> {
    let validity =
        x509_cert::time::Validity::new(x509_cert::time::Time::INFINITY, x509_cert::time::Time::INFINITY);
    let builder = CertificateBuilder::new(Statement(statement.to_vec()), 7u8.into(), validity, key).unwrap();
    builder.build::<_, DerSignature>(&signer()).unwrap().to_der().unwrap()
}

fn attestation_of(
    key: SubjectPublicKeyInfoOwned,
    statement: &[(u8, &'static [u8])],
) -> Result<Attestation, Error> {
    Attestation::read(&der_of(key, statement))
}

fn attestation(statement: &[(u8, &'static [u8])]) -> Result<Attestation, Error> {
    attestation_of(SubjectPublicKeyInfoOwned::from_key(signer().verifying_key()).unwrap(), statement)
}

const FIRMWARE: (u8, &[u8]) = (3, &[5, 7, 4]);
const SERIAL: (u8, &[u8]) = (7, &[2, 4, 0, 0xBC, 0x61, 0x4E]);
const POLICIES: (u8, &[u8]) = (8, &[2, 3]);
const FORM_FACTOR: (u8, &[u8]) = (9, &[1]);

#[test]
fn reads_a_statement() {
    let read = attestation(&[FIRMWARE, SERIAL, POLICIES, FORM_FACTOR]).unwrap();
    let point = signer().verifying_key().to_sec1_point(false);
    assert_eq!((read.firmware, read.serial), (Version::new(5, 7, 4), Some(Serial(12_345_678))));
    assert_eq!((read.pin, read.touch), (PinPolicy::Once, TouchPolicy::Cached));
    assert_eq!(read.point(&P384), Some(point.as_bytes().try_into().unwrap()));
    assert_eq!(read.point(&P256), None);
}

#[test]
fn firmware_4_has_no_serial() {
    assert_eq!(attestation(&[FIRMWARE, POLICIES]).unwrap().serial, None);
}

#[test]
fn other_keys_have_no_p384_point() {
    let key = p384::SecretKey::from_slice(&[3; 48]).unwrap().public_key();
    let mut info = SubjectPublicKeyInfoOwned::from_key(&key).unwrap();
    info.algorithm.parameters = Some((&ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")).into());
    assert_eq!(attestation_of(info, &[FIRMWARE, POLICIES]).unwrap().point(&P384), None);
    assert_eq!(key.to_sec1_point(false).as_bytes().len(), 97);
}

#[test]
fn refuses_what_is_incomplete_or_said_twice() {
    for lie in [
        &[][..],
        &[FIRMWARE],
        &[POLICIES],
        &[FIRMWARE, POLICIES, POLICIES],
        &[FIRMWARE, (8, &[2])],
        &[FIRMWARE, (8, &[2, 9])],
        &[FIRMWARE, (8, &[2, 3, 0])],
        &[(3, &[5, 7]), POLICIES],
        &[FIRMWARE, POLICIES, (7, &[0, 0xBC, 0x61, 0x4E])],
        &[FIRMWARE, POLICIES, (7, &[2, 5, 1, 0, 0, 0, 0])],
        &[FIRMWARE, POLICIES, (7, &[2, 1, 0xFF])],
    ] {
        assert!(matches!(attestation(lie), Err(Error::Malformed { .. })), "{lie:02X?}");
    }
    assert!(Attestation::read(&[0x30, 0]).is_err());
}
