use p384::elliptic_curve::sec1::ToSec1Point;
use proptest::prelude::*;

use super::*;
use crate::piv::{P384, P384Point};

const INDEX: &str = "sparse+https://crates.example.com/~team/index/?a=1%20b";

fn key() -> P384Point {
    let key = p384::SecretKey::from_slice(&[9; 48]).unwrap();
    key.public_key().to_sec1_point(false).as_bytes().try_into().unwrap()
}

/// 2026-03-01 12:00:00 UTC.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_366_400)
}

fn publish() -> Description {
    Description { purpose: signing(Role::Publish, INDEX), label: "laptop key".into() }
}

fn signing(role: Role, index: &str) -> KeyPurpose {
    KeyPurpose::Signing { role, index: index.into() }
}

fn sealed(label: &str) -> Description {
    Description { purpose: KeyPurpose::Sealing, label: label.into() }
}

fn make(description: &Description) -> Result<Vec<u8>, CertificateError> {
    description.certificate(&P384, &key(), PinPolicy::Once, TouchPolicy::Always, noon())
}

/// The certificate of a description that [`Description::certificate`] may refuse, with other organizational units.
fn forge(names: &[(ObjectIdentifier, &str)], alternatives: Vec<GeneralName>) -> Vec<u8> {
    let mut name = RdnSequence::default();
    for (attribute, value) in names {
        let value = Any::from(Utf8StringRef::new(value).unwrap());
        let attribute = AttributeTypeAndValue { oid: *attribute, value };
        name.push(RelativeDistinguishedName::try_from(vec![attribute]).unwrap());
    }
    let alternatives = SubjectAltName(alternatives).to_der().unwrap();
    let contents = Contents {
        name: Name::from_der(&name.to_der().unwrap()).unwrap(),
        extensions: vec![not_critical(SUBJECT_ALT_NAME, alternatives).unwrap()],
    };
    let key = P384.public_key_info(&key()).unwrap();
    let builder =
        CertificateBuilder::new(contents, random_serial().unwrap(), validity(noon()).unwrap(), key).unwrap();
    builder.build::<_, DerSignature>(&throwaway_key().unwrap()).unwrap().to_der().unwrap()
}

fn uri(text: &str) -> GeneralName {
    GeneralName::UniformResourceIdentifier(Ia5String::new(text).unwrap())
}

#[test]
fn reads_what_it_made() {
    for role in [Role::Read, Role::Publish, Role::Both] {
        let description = Description { purpose: signing(role, INDEX), ..publish() };
        assert_eq!(read(&make(&description).unwrap()), SlotCertificate::Ours(description));
    }
    let sealed = sealed("ключ \u{1F511}");
    assert_eq!(read(&make(&sealed).unwrap()), SlotCertificate::Ours(sealed));
}

#[test]
fn has_the_form_that_others_can_read() {
    let der = make(&publish()).unwrap();
    assert!((400..600).contains(&der.len()), "{} bytes", der.len());
    let certificate = Certificate::from_der(&der).unwrap();
    let tbs = certificate.tbs_certificate();
    assert_eq!(tbs.version(), x509_cert::Version::V3);
    assert_eq!(tbs.serial_number().as_bytes().len(), 16);
    assert_eq!(tbs.issuer(), tbs.subject());
    assert_eq!(P384.point_in_certificate(tbs.subject_public_key_info()), Some(key()));
    assert_eq!(tbs.validity().not_before.to_unix_duration().as_secs(), 1_772_366_400 - 86_400);
    assert!(der.windows(17).any(|window| window == b"\x18\x0F99991231235959Z"));
    let extensions = tbs.extensions().unwrap();
    let shapes: Vec<_> = extensions.iter().map(|e| (e.extn_id.to_string(), e.critical)).collect();
    assert_eq!(shapes, [("2.5.29.17".into(), false), ("1.3.6.1.4.1.41482.3.8".into(), false)]);
    assert_eq!(extensions[1].extn_value.as_bytes(), [2, 2]);
    assert_eq!(certificate.signature_algorithm().oid.to_string(), "1.2.840.10045.4.3.3");
}

#[test]
fn carries_the_index_url_byte_for_byte() {
    let der = make(&publish()).unwrap();
    let found = der.windows(INDEX.len()).filter(|window| *window == INDEX.as_bytes()).count();
    assert_eq!(found, 1);
}

#[test]
fn a_sealed_key_has_no_alternative_name() {
    let certificate = Certificate::from_der(&make(&sealed("x")).unwrap()).unwrap();
    assert_eq!(certificate.tbs_certificate().extensions().unwrap().len(), 1);
}

#[test]
fn serial_and_signer_are_new_each_time() {
    let [one, other] = [make(&publish()).unwrap(), make(&publish()).unwrap()];
    let serial = |der: &[u8]| {
        Certificate::from_der(der).unwrap().tbs_certificate().serial_number().as_bytes().to_vec()
    };
    assert_ne!(serial(&one), serial(&other));
}

#[test]
fn refuses_what_does_not_fit() {
    let label = |label: String| make(&Description { label, ..publish() });
    assert!(matches!(label(String::new()), Err(CertificateError::Label(0))));
    assert!(matches!(label("é".repeat(65)), Err(CertificateError::Label(65))));
    assert!(label("é".repeat(64)).is_ok());
    let purpose = signing(Role::Publish, "sparse+https://bücher.example/");
    assert!(matches!(make(&Description { purpose, ..publish() }), Err(CertificateError::Index)));
    let mut off_curve = key();
    off_curve[96] ^= 1;
    let no_point = publish().certificate(&P384, &off_curve, PinPolicy::Never, TouchPolicy::Never, noon());
    assert!(matches!(no_point, Err(CertificateError::Key)));
    let too_early =
        publish().certificate(&P384, &key(), PinPolicy::Never, TouchPolicy::Never, SystemTime::UNIX_EPOCH);
    assert!(matches!(too_early, Err(CertificateError::Encoding(_))));
}

#[test]
fn leaves_newer_formats_and_roles_alone() {
    let ou = rfc4519::OU;
    for names in [
        vec![(rfc4519::O, "yk-cargo"), (ou, "v2"), (ou, "publish"), (rfc4519::CN, "x")],
        vec![(rfc4519::O, "yk-cargo"), (ou, "v12")],
        vec![(rfc4519::O, "yk-cargo"), (ou, "v1"), (ou, "witness"), (rfc4519::CN, "x")],
    ] {
        assert_eq!(
            read(&forge(&names, vec![uri("sparse+https://a/")])),
            SlotCertificate::MadeByNewer,
            "{names:?}"
        );
    }
}

#[test]
fn everything_else_is_foreign() {
    let (o, ou, cn) = (rfc4519::O, rfc4519::OU, rfc4519::CN);
    let ours = [(o, "yk-cargo"), (ou, "v1"), (ou, "publish"), (cn, "x")];
    assert!(matches!(read(&forge(&ours, vec![uri("a")])), SlotCertificate::Ours(_)));
    let long = "x".repeat(65);
    for (names, alternatives) in [
        (&[(cn, "SSH key")][..], vec![uri("a")]),
        (&[(o, "yk-cargo"), (ou, "v"), (ou, "publish"), (cn, "x")], vec![uri("a")]),
        (&[(o, "yk-cargo"), (ou, "v1"), (cn, "x"), (ou, "publish")], vec![uri("a")]),
        (&[(o, "yk-cargo"), (ou, "v1"), (ou, "publish"), (cn, &long)], vec![uri("a")]),
        (&[(o, "yk-cargo"), (ou, "v1"), (ou, "sealed"), (cn, "x")], vec![uri("a")]),
        (&ours, vec![]),
        (&ours, vec![uri("a"), uri("b")]),
        (&ours, vec![GeneralName::DnsName(Ia5String::new("a").unwrap())]),
    ] {
        assert_eq!(read(&forge(names, alternatives)), SlotCertificate::Foreign, "{names:?}");
    }
}

#[test]
fn issued_by_another_it_is_foreign() {
    let mut der = make(&publish()).unwrap();
    let issuer = der.windows(10).position(|window| window == b"laptop key").unwrap();
    der[issuer] = b'L';
    assert_eq!(read(&der), SlotCertificate::Foreign);
}

#[test]
fn cut_short_or_followed_by_something_it_is_foreign() {
    let der = make(&publish()).unwrap();
    for end in 0..der.len() {
        assert_eq!(read(&der[..end]), SlotCertificate::Foreign);
    }
    assert_eq!(read(&[&der[..], &[0]].concat()), SlotCertificate::Foreign);
}

proptest! {
    #[test]
    fn never_panics_on_noise(der in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(read(&der), SlotCertificate::Foreign);
    }

    /// A certificate with some bytes changed gets further into the parser than noise does.
    #[test]
    fn never_panics_on_damage(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut der = SAMPLE.with(Clone::clone);
        for (place, byte) in changes {
            let place = place.index(der.len());
            der[place] = byte;
        }
        let _ = read(&der);
        let _ = super::super::attestation::Attestation::read(&der);
    }
}

thread_local! {
    static SAMPLE: Vec<u8> = make(&publish()).unwrap();
}
