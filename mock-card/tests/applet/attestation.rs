//! Attestation: the chain from a statement to the mock's root, and the contents of the certificates.

use mock_card::{Attestation, Card, Firmware, PinPolicy, TouchPolicy, Traits, authorities};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::BasicConstraints;

use crate::cards::{authenticate, bytes, card, known_key};

const RSA: &str = "1.2.840.113549.1.1.11";

/// Checks that `issuer` signed `certificate`: the names, the algorithms and the signature.
fn assert_issued(certificate: &Certificate, issuer: &Certificate) {
    let (body, by) = (certificate.tbs_certificate(), issuer.tbs_certificate());
    assert_eq!(body.issuer(), by.subject());
    assert_eq!(certificate.signature_algorithm(), body.signature());
    let digest = Sha256::digest(body.to_der().unwrap());
    let signature = certificate.signature().raw_bytes();
    let key = by.subject_public_key_info().subject_public_key.raw_bytes();
    match certificate.signature_algorithm().oid.to_string().as_str() {
        RSA => {
            let key = RsaPublicKey::from_pkcs1_der(key).unwrap();
            key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature).unwrap();
        }
        other => panic!("signed with {other}"),
    }
}

fn name(certificate: &Certificate) -> String {
    certificate.tbs_certificate().subject().to_string()
}

/// The bytes of one of Yubico's extensions.
fn own(certificate: &Certificate, last: u8) -> Option<Vec<u8>> {
    extension(certificate, &format!("1.3.6.1.4.1.41482.3.{last}")).map(|(critical, value)| {
        assert!(!critical);
        value
    })
}

fn extension(certificate: &Certificate, oid: &str) -> Option<(bool, Vec<u8>)> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let found = extensions.iter().find(|extension| extension.extn_id.to_string() == oid)?;
    Some((found.critical, found.extn_value.as_bytes().to_vec()))
}

/// Whether a certificate is that of an authority, and how many authorities may be below it.
fn constraints(certificate: &Certificate) -> Option<(bool, Option<u8>)> {
    let (critical, value) = extension(certificate, "2.5.29.19")?;
    assert!(critical);
    let constraints = BasicConstraints::from_der(&value).unwrap();
    Some((constraints.ca, constraints.path_len_constraint))
}

fn authority(name: &str) -> Certificate {
    let found = authorities().into_iter().find(|authority| authority.name == name).unwrap();
    let certificate = Certificate::from_der(&found.certificate).unwrap();
    assert_eq!(certificate.to_der().unwrap(), found.certificate);
    certificate
}

/// The certificate of the key in F9, from its data object.
fn f9(card: &mut Card) -> Certificate {
    let object = card.transmit(&bytes("00CB3FFF 000005 5C035FFF01 0000"));
    let value = object.strip_suffix(&bytes("710100 FE00 9000")[..]).unwrap();
    let [0x53, 0x82, _, _, 0x70, 0x82, _, _, certificate @ ..] = value else { panic!("{value:02X?}") };
    Certificate::from_der(certificate).unwrap()
}

fn attest(card: &mut Card, slot: u8) -> Certificate {
    let answer = card.transmit(&[0, 0xF9, slot, 0, 0, 0, 0]);
    let certificate = answer.strip_suffix(&[0x90, 0]).unwrap_or_else(|| panic!("{answer:02X?}"));
    Certificate::from_der(certificate).unwrap()
}

fn with(firmware: &str, attestation: Option<Attestation>) -> Card {
    card(firmware.parse().unwrap()).with_traits(Traits { attestation, ..Traits::default() })
}

#[test]
fn the_new_chain_has_two_intermediates_that_no_card_carries() {
    let root = authority("Mock Attestation Root 1");
    let upper = authority("Mock Attestation Intermediate B 1");
    let lower = authority("Mock PIV Attestation B 1");
    assert_issued(&root, &root);
    assert_issued(&upper, &root);
    assert_issued(&lower, &upper);
    let all = [constraints(&root), constraints(&upper), constraints(&lower)];
    assert_eq!(all, [Some((true, None)), Some((true, Some(2))), Some((true, Some(1)))]);

    let mut card = with("5.7.4", None);
    authenticate(&mut card);
    card.transmit(&bytes("0047009A0B AC09800114AA0102AB0103"));
    let (f9, leaf) = (f9(&mut card), attest(&mut card, 0x9A));
    assert_issued(&f9, &lower);
    assert_issued(&leaf, &f9);
    assert_eq!(constraints(&f9), Some((true, Some(0))));
    assert_eq!(leaf.signature_algorithm().oid.to_string(), RSA);
    assert_eq!(
        (name(&f9), name(&lower)),
        ("CN=YubiKey PIV Attestation".into(), "CN=Mock PIV Attestation B 1".into())
    );
    assert_eq!(leaf.tbs_certificate().validity(), f9.tbs_certificate().validity());
    assert_eq!(f9.tbs_certificate().validity().not_after.to_string(), "9999-12-31T23:59:59Z");
}

#[test]
fn the_old_chain_is_short_and_rsa() {
    let root = authority("Mock PIV Root CA");
    assert_issued(&root, &root);
    assert_eq!(constraints(&root), Some((true, Some(1))));
    for (firmware, told, path) in [
        ("5.7.1", None, Some((true, Some(0)))),
        ("4.3.7", None, None),
        ("4.3.7", Some(Attestation::Old), Some((true, Some(0)))),
        ("5.7.4", Some(Attestation::Old), Some((true, Some(0)))),
        ("5.4.3", Some(Attestation::Legacy), None),
    ] {
        let mut card = with(firmware, told);
        authenticate(&mut card);
        card.transmit(&bytes("0047009C05 AC03800111"));
        let (f9, leaf) = (f9(&mut card), attest(&mut card, 0x9C));
        assert_issued(&f9, &root);
        assert_issued(&leaf, &f9);
        assert_eq!(constraints(&f9), path, "{firmware}");
        assert_eq!(name(&f9), "CN=Yubico PIV Attestation");
        assert_eq!(leaf.signature_algorithm().oid.to_string(), RSA);
        assert_eq!(leaf.tbs_certificate().validity().not_after.to_string(), "2052-04-17T00:00:00Z");
    }
}

#[test]
fn a_leaf_tells_about_key_and_card() {
    for (firmware, bytes_of_it, form) in [
        ("4.3.7", [4, 3, 7], None),
        ("5.7.4", [5, 7, 4], Some(vec![3])),
        ("5.7.4-fips", [5, 7, 4], Some(vec![0x83])),
    ] {
        let mut card = with(firmware, None);
        authenticate(&mut card);
        for (slot, algorithm, policies) in [(0x9A, 0x11, [2, 3]), (0x82, 0x14, [3, 2]), (0x95, 0x07, [2, 1])]
        {
            let template = [0xAC, 9, 0x80, 1, algorithm, 0xAA, 1, policies[0], 0xAB, 1, policies[1]];
            let generated = card.transmit(&[&[0, 0x47, 0, slot, 0, 0, 11], &template[..]].concat());
            let leaf = attest(&mut card, slot);
            assert_eq!(name(&leaf), format!("CN=YubiKey PIV Attestation {slot:02x}"));
            assert_eq!(own(&leaf, 3), Some(bytes_of_it.to_vec()), "{firmware}");
            assert_eq!(own(&leaf, 7), Some(bytes("020400BC614E")), "{firmware}");
            assert_eq!(own(&leaf, 8), Some(policies.to_vec()));
            assert_eq!(own(&leaf, 9), form, "{firmware}");
            assert_eq!((own(&leaf, 10), constraints(&leaf)), (None, None));
            // The card's random bytes are all 5A.
            let serial_number = leaf.tbs_certificate().serial_number();
            let first = if firmware.starts_with('4') { 0x5A } else { 0x01 };
            assert_eq!(serial_number.as_bytes(), [&[first][..], &[0x5A; 15]].concat());
            let key = leaf.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
            if algorithm == 7 {
                let modulus = &generated[9..9 + 256];
                assert!(key.windows(256).any(|window| window == modulus));
            } else {
                assert!(generated.strip_suffix(&[0x90, 0]).unwrap().ends_with(key));
            }
        }
        let fips = firmware.ends_with("fips").then(|| bytes("020107"));
        assert_eq!(own(&f9(&mut card), 10), fips);
    }
}

#[test]
fn some_cards_do_not_tell_their_number_in_a_leaf() {
    let traits = Traits { attests_serial: Some(false), ..Traits::default() };
    let mut card = card(Firmware::new(4, 3, 7)).with_traits(traits);
    authenticate(&mut card);
    card.transmit(&bytes("0047009A05 AC03800111"));
    assert_eq!(own(&attest(&mut card, 0x9A), 7), None);
}

#[test]
fn each_card_has_a_key_of_its_own_and_keeps_it() {
    let key = |serial| {
        let mut card = Card::new(Firmware::default(), serial).unwrap();
        card.transmit(&bytes("00A4040005A000000308"));
        f9(&mut card).to_der().unwrap()
    };
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
    let mut card = with("5.7.4", None);
    card.transmit(&bytes("00A4040005A000000308"));
    let metadata = card.transmit(&bytes("00F700F9 000000"));
    let f9 = f9(&mut card);
    let key = f9.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    let key = RsaPublicKey::from_pkcs1_der(key).unwrap();
    let expected = [&bytes("010107 02020201 030102 04820109 81820100")[..], &key.n().to_be_bytes()];
    assert_eq!(metadata, [&expected.concat()[..], &bytes("8203010001 9000")].concat());
}

#[test]
fn the_attestation_key_can_be_lost_and_replaced_but_not_by_a_reset() {
    let mut card = with("5.7.4", None);
    authenticate(&mut card);
    card.transmit(&bytes("0047009A05 AC03800111"));
    let (leaf, original) = (attest(&mut card, 0x9A), f9(&mut card));
    assert_eq!(card.transmit(&bytes("00F682F9")), [0x6B, 0], "it cannot be moved");
    assert_eq!(card.transmit(&bytes("00F6FFF9")), [0x90, 0]);
    assert_eq!(card.transmit(&bytes("00F99A00")), [0x6A, 0x80]);
    assert_eq!(card.transmit(&bytes("00F700F9")), [0x6A, 0x88]);
    assert_eq!(f9(&mut card), original, "the certificate is an object of its own");

    let saved = card.save();
    let mut restored = with("5.7.4", None);
    restored.restore(&saved).unwrap();
    restored.transmit(&bytes("00A4040005A000000308"));
    assert_eq!(restored.transmit(&bytes("00F99A00")), [0x6A, 0x80], "gone is gone");

    // With another key and the old certificate, the names still fit, and the signature is that of the other key.
    card.import(0xF9, known_key("p256"), PinPolicy::Never, TouchPolicy::Never).unwrap();
    let forged = attest(&mut card, 0x9A);
    assert_eq!(forged.tbs_certificate().issuer(), leaf.tbs_certificate().issuer());
    let digest = Sha256::digest(forged.tbs_certificate().to_der().unwrap());
    let signature = p256::ecdsa::Signature::from_der(forged.signature().raw_bytes()).unwrap();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(known_key("p256").public_key().as_bytes()).unwrap();
    key.verify_prehash(&digest, &signature).unwrap();
    assert_ne!(
        forged.signature_algorithm(),
        leaf.signature_algorithm(),
        "the certificate is for another key"
    );

    // PIN and PUK are blocked, and the application is reset.
    card.set_pin_tries(0);
    for _ in 0..3 {
        card.transmit(&bytes("002C008010 303030303030FFFF 363534333231FFFF"));
    }
    assert_eq!(card.transmit(&bytes("00FB0000")), [0x90, 0]);
    let metadata = card.transmit(&bytes("00F700F9"));
    assert_eq!(metadata[..10], bytes("010111 02020101 030102"), "still the imported one");
    // Without its certificate the name of the issuer is not known.
    authenticate(&mut card);
    card.transmit(&bytes("0047009A05 AC03800111"));
    attest(&mut card, 0x9A);
    assert_eq!(card.transmit(&bytes("00DB3FFF07 5C035FFF01 5300")), [0x90, 0]);
    assert_eq!(card.transmit(&bytes("00F99A00")), [0x6A, 0x80]);
}
