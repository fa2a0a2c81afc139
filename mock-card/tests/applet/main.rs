//! The applet alone: transcripts of commands and answers, keys and certificates checked by another hand, and what
//! firmware versions differ in.
#![allow(clippy::unwrap_used)]

mod algorithms;
mod attestation;
mod firmware;
mod transcripts;

use mock_card::{Algorithm, Card, Firmware, ImportedKey, PinPolicy, TouchPolicy};
use p256::pkcs8::EncodePrivateKey as _;
use transcripts::{authenticate, bytes};

/// A card that draws 5A bytes only.
fn card(firmware: Firmware) -> Card {
    Card::with_random(firmware, 12_345_678, Box::new(|bytes| bytes.fill(0x5A))).unwrap()
}

/// Of fixed bytes, through a file.
fn known_key(algorithm: &str) -> ImportedKey {
    let of_25519 = |oid: u8| bytes(&format!("302E 020100 3005 06032B65{oid:02X} 0422 0420 [5A*32]"));
    let der = match algorithm {
        "p256" => {
            p256::SecretKey::from_slice(&[0x5A; 32]).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec()
        }
        "p384" => {
            p384::SecretKey::from_slice(&[0x5A; 48]).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec()
        }
        "ed25519" => of_25519(0x70),
        "x25519" => of_25519(0x6E),
        "rsa1024" => {
            let key = rsa::RsaPrivateKey::new_unchecked(&mut algorithms::Random(3), 1024).unwrap();
            key.to_pkcs8_der().unwrap().as_bytes().to_vec()
        }
        _ => panic!("{algorithm}"),
    };
    ImportedKey::from_pkcs8(&der).unwrap()
}

#[test]
fn what_is_saved_is_restored() {
    let mut before = card(Firmware::default());
    before.set_pin("654321").unwrap();
    before.import(0x82, known_key("p384"), PinPolicy::Once, TouchPolicy::Cached).unwrap();
    authenticate(&mut before);
    before.transmit(&bytes("00DB3FFF085C035FC1055301A1"));
    assert!(before.take_changed() && !before.take_changed());

    let mut after = card(Firmware::default());
    after.restore(&before.save()).unwrap();
    after.transmit(&bytes("00A4040005A000000308"));
    for question in ["00F70082", "00F70080", "00CB3FFF055C035FC105", "0020008008363534333231FFFF"] {
        let answer = after.transmit(&bytes(question));
        assert!(answer.ends_with(&[0x90, 0]), "{question}");
        assert_eq!(answer, before.transmit(&bytes(question)), "{question}");
    }
}

#[test]
fn a_state_that_fits_no_card_is_refused() {
    let mut card = card(Firmware::default());
    card.import(0x82, known_key("p384"), PinPolicy::Once, TouchPolicy::Cached).unwrap();
    let saved = card.save();
    for (good, bad) in [("\"version\": 1", "\"version\": 2"), (&"5A".repeat(48)[..], "5A"), ("{", "[")] {
        assert!(saved.contains(good), "{good} in {saved}");
        assert!(card.restore(&saved.replacen(good, bad, 1)).is_err(), "{bad}");
    }
}

#[test]
fn only_sensible_cards_are_made() {
    assert!(Card::new(Firmware::new(4, 2, 9), 1).is_err());
    let mut card = card(Firmware::default());
    assert!(card.set_pin("12345").is_err());
    assert!(card.set_puk("123456789").is_err());
    assert!(card.set_management_key(&[0; 16]).is_err());
    assert!(card.import(0x9B, known_key("p256"), PinPolicy::Never, TouchPolicy::Never).is_err());
    assert_eq!(known_key("p256").algorithm(), Algorithm::P256);
}
