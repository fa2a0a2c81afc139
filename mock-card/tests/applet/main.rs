//! The applet alone: transcripts of commands and answers, keys and certificates that other libraries check, and the
//! differences between firmware versions.
#![allow(clippy::unwrap_used)]

mod algorithms;
mod attestation;
mod cards;
mod firmware;
mod recordings;
mod transcripts;

use cards::{authenticate, bytes, card, known_key};
use mock_card::{Algorithm, Card, Firmware, PinPolicy, TouchPolicy};

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
