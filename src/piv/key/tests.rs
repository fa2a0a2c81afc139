//! Answers of cards to each command about a key, true and false ones.

use p256::elliptic_curve::sec1::ToSec1Point as _;
use p384::ecdsa::{SigningKey, signature::hazmat::PrehashSigner};

use super::*;
use crate::piv::script::{Script, hex};
use crate::piv::{P256, P384, P384Point};

fn piv(card: &mut Script) -> Piv<'_> {
    Piv { card, version: None }
}

fn slot() -> Slot {
    "82".parse().unwrap()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

const VERSION: (&str, &str) = ("00FD000000", "050704 9000");
const OLD_VERSION: (&str, &str) = ("00FD000000", "050204 9000");
const GET_CERTIFICATE: &str = "00CB3FFF055C035FC10D00";

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 48]).unwrap()
}

fn point() -> P384Point {
    let point = signing_key().verifying_key().to_sec1_point(false);
    point.as_bytes().try_into().unwrap()
}

#[test]
fn signs_in_one_apdu_each_way() {
    let digest = [0x5A; 48];
    let signature: p384::ecdsa::Signature = signing_key().sign_prehash(&digest).unwrap();
    let der = signature.to_der();
    let der = der.as_bytes();
    let sign = format!("0087148236 7C34 8200 8130 {} 00", "5A".repeat(48));
    let answer = format!("7C{:02X}82{:02X}{} 9000", der.len() + 2, der.len(), text(der));
    let mut card = Script::new(&[(&sign, &answer)]);
    let raw = piv(&mut card).sign_p384(slot(), &digest).unwrap();
    assert_eq!(raw, <[u8; 96]>::from(signature.to_bytes()));
    card.assert_finished();
}

#[test]
fn pads_short_halves() {
    let answer = "7C0A 8208 3006 020101 020102 9000";
    let raw = piv(&mut Script::answers(&[answer])).sign_p384(slot(), &[0; 48]).unwrap();
    assert_eq!((raw[46], raw[47], raw[94], raw[95]), (0, 1, 0, 2));
    assert_eq!(raw.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 3);
}

#[test]
fn refuses_signatures_that_are_none() {
    let order =
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973";
    for lie in [
        "9000".to_owned(),
        "7C00 9000".to_owned(),
        "7C02 8200 9000".to_owned(),
        "7C0A 8208 3006 020100 020102 9000".to_owned(),
        "7C0A 8208 3006 020181 020102 9000".to_owned(),
        "7C0B 8208 3006 020101 020102 00 9000".to_owned(),
        "7C0A 8108 3006 020101 020102 9000".to_owned(),
        format!("7C3B 8239 3037 023100{order} 020101 9000"),
        format!("7C8182 827F {} 9000", "FF".repeat(127)),
    ] {
        let result = piv(&mut Script::answers(&[&lie])).sign_p384(slot(), &[0; 48]);
        assert!(matches!(result, Err(Error::Malformed { what: "signature" })), "{lie}");
    }
}

#[test]
fn refusals_of_a_signature_have_their_names() {
    let sign = |status| piv(&mut Script::answers(&[status])).sign_p384(slot(), &[0; 48]).unwrap_err();
    assert!(matches!(sign("6982"), Error::NotAuthenticated));
    for status in ["6A80", "6B00", "6A88"] {
        assert!(matches!(sign(status), Error::NoSuchKey { slot } if slot.to_string() == "82"));
    }
    assert!(matches!(sign("6F00"), Error::Refused { status: Status::Other(0x6F00), .. }));
    assert!(matches!(sign("6D00"), Error::Unsupported { .. }));
}

#[test]
fn generates_with_both_policies() {
    let generate = "004700820B AC09 800114 AA0102 AB0102 00";
    let answer = format!("7F4963 8661{} 9000", text(&point()));
    let mut card = Script::new(&[(generate, &answer)]);
    let made = piv(&mut card).generate(&P384, slot(), PinPolicy::Once, TouchPolicy::Always).unwrap();
    assert_eq!(made, point());
    card.assert_finished();
}

#[test]
fn refuses_points_that_are_none() {
    let mut off_curve = point();
    off_curve[96] ^= 1;
    let compressed = signing_key().verifying_key().to_sec1_point(true);
    for lie in [
        "9000".to_owned(),
        format!("7F4963 8661{} 9000", text(&off_curve)),
        format!("7F4933 8631{} 9000", text(compressed.as_bytes())),
        format!("7F4963 8661{}", "9000"),
        format!("7F4965 8661{}0500 9000", text(&point())),
    ] {
        let made =
            piv(&mut Script::answers(&[&lie])).generate(&P384, slot(), PinPolicy::Once, TouchPolicy::Always);
        assert!(matches!(made, Err(Error::Malformed { .. })), "{lie}");
    }
}

#[test]
fn generation_may_be_refused() {
    let generate = |status| {
        piv(&mut Script::answers(&[status])).generate(&P384, slot(), PinPolicy::Never, TouchPolicy::Never)
    };
    assert!(matches!(generate("6982"), Err(Error::NotAuthenticated)));
    assert!(matches!(generate("6A80"), Err(Error::Refused { status: Status::IncorrectData, .. })));
}

#[test]
fn never_writes_to_the_attestation_slot() {
    let mut card = Script::new(&[]);
    let mut piv = piv(&mut card);
    let generated = piv.generate(&P384, Slot::Attestation, PinPolicy::Once, TouchPolicy::Always);
    assert!(matches!(generated, Err(Error::AttestationSlot)));
    assert!(matches!(piv.put_certificate(Slot::Attestation, &[1]), Err(Error::AttestationSlot)));
}

#[test]
fn attests() {
    let attest = |answer| piv(&mut Script::new(&[("00F9820000", answer)])).attest(slot());
    assert_eq!(attest("3002 0500 9000").unwrap(), hex("30020500"));
    assert!(matches!(attest("6A80"), Err(Error::NotAttestable { .. })));
    assert!(matches!(attest("6D00"), Err(Error::Unsupported { .. })));
    for lie in ["9000", "3003 0500 9000", "3002 0500 00 9000"] {
        assert!(matches!(attest(lie), Err(Error::Malformed { .. })));
    }
}

#[test]
fn an_empty_slot_has_neither_certificate_nor_key() {
    for (metadata, occupancy) in [("6A88", Occupancy::Empty), ("010111 9000", Occupancy::Used)] {
        let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), VERSION, ("00F7008200", metadata)]);
        assert_eq!(piv(&mut card).occupancy(slot()).unwrap(), occupancy);
        card.assert_finished();
    }
    let mut card = Script::new(&[(GET_CERTIFICATE, "5303 7001 00 9000")]);
    assert_eq!(piv(&mut card).occupancy(slot()).unwrap(), Occupancy::Used);
}

#[test]
fn old_firmware_can_only_look_empty() {
    for (attestation, occupancy) in [
        ("6A80", Occupancy::LooksEmpty),
        ("6F00", Occupancy::LooksEmpty),
        ("3002 0500 9000", Occupancy::Used),
    ] {
        let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), OLD_VERSION, ("00F9820000", attestation)]);
        assert_eq!(piv(&mut card).occupancy(slot()).unwrap(), occupancy, "{attestation}");
    }
}

#[test]
fn a_card_that_will_not_tell_has_no_empty_slots() {
    let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), VERSION, ("00F7008200", "6D00")]);
    assert!(matches!(piv(&mut card).occupancy(slot()), Err(Error::Unsupported { .. })));
    let mut card = Script::new(&[(GET_CERTIFICATE, "6A82"), OLD_VERSION, ("00F9820000", "6D00")]);
    assert!(matches!(piv(&mut card).occupancy(slot()), Err(Error::Unsupported { .. })));
}

fn slot_95() -> Slot {
    "95".parse().unwrap()
}

fn other_point() -> P256Point {
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap().public_key();
    key.to_sec1_point(false).as_bytes().try_into().unwrap()
}

#[test]
fn agrees_in_one_apdu_each_way() {
    let command = format!("0087119547 7C45 8200 8541 {} 00", text(&other_point()));
    let answer = format!("7C22 8220 {} 9000", "5A".repeat(32));
    let mut card = Script::new(&[(&command, &answer)]);
    assert_eq!(*piv(&mut card).agree_p256(slot_95(), &other_point()).unwrap(), [0x5A; 32]);
    card.assert_finished();
}

#[test]
fn refuses_secrets_that_are_none() {
    for lie in [
        "9000".to_owned(),
        "7C00 9000".to_owned(),
        format!("7C21 821F {} 9000", "5A".repeat(31)),
        format!("7C23 8221 {} 9000", "5A".repeat(33)),
        format!("7C22 8120 {} 9000", "5A".repeat(32)),
        format!("7C23 8220 {} 00 9000", "5A".repeat(32)),
    ] {
        let agreed = piv(&mut Script::answers(&[&lie])).agree_p256(slot_95(), &other_point());
        assert!(matches!(agreed, Err(Error::Malformed { what: "shared secret" })), "{lie}");
    }
}

#[test]
fn refusals_of_an_agreement_have_their_names() {
    let agree =
        |status| piv(&mut Script::answers(&[status])).agree_p256(slot_95(), &other_point()).unwrap_err();
    assert!(matches!(agree("6982"), Error::NotAuthenticated));
    for status in ["6A80", "6B00", "6A88"] {
        assert!(matches!(agree(status), Error::NoSuchKey { slot } if slot.to_string() == "95"));
    }
    assert!(matches!(agree("6D00"), Error::Unsupported { .. }));
}

#[test]
fn generates_on_the_other_curve_too() {
    let answer = format!("7F4943 8641{} 9000", text(&other_point()));
    let mut card = Script::new(&[("004700950B AC09 800111 AA0102 AB0103 00", &answer)]);
    let made = piv(&mut card).generate(&P256, slot_95(), PinPolicy::Once, TouchPolicy::Cached).unwrap();
    assert_eq!(made, other_point());
    card.assert_finished();
    let mut off_curve = other_point();
    off_curve[64] ^= 1;
    let lie = format!("7F4943 8641{} 9000", text(&off_curve));
    let made =
        piv(&mut Script::answers(&[&lie])).generate(&P256, slot_95(), PinPolicy::Once, TouchPolicy::Cached);
    assert!(matches!(made, Err(Error::Malformed { .. })));
    let forbidden =
        piv(&mut Script::new(&[])).generate(&P256, Slot::Attestation, PinPolicy::Once, TouchPolicy::Cached);
    assert!(matches!(forbidden, Err(Error::AttestationSlot)));
}
