//! What is known of real cards in words only, or by their names and answers to reset.

use std::time::Duration;

use mock_card::applet::Exchange;
use mock_card::{MockCard, PinPolicy, TouchPolicy};

use super::*;
use crate::cards::known_key;

/// One test for each line of the file, by a word of the line.
const TESTS: &[(&str, fn())] = &[
    ("age-plugin-yubikey#80", || touch_is_asked_for("5.4.3", PinPolicy::Always)),
    ("yubikey-agent#6", || touch_is_asked_for("5.7.4", PinPolicy::Once)),
    ("yubikit-android#360", no_touch_over_nfc),
    ("yubico-piv-tool#172", piv_off_over_nfc),
    ("PivApplet#65", an_empty_protected_object),
    ("yubikey-agent#14", || {
        // Attestation came with 4.3; firmware before that is not modelled.
        assert!(Card::new("4.2.8".parse().unwrap(), 1).is_err());
    }),
    ("key.go Attest", || answers("5.2.7", "00F99A00", "6A80")),
    ("piv-go#177", || answers("5.7.4", "00F7009A", "6A88")),
];

#[test]
fn every_note_has_a_test() {
    let text = std::fs::read_to_string(folder().join("notes-status-words.txt")).unwrap();
    let notes: Vec<_> = text.lines().filter(|line| line.starts_with("# source: ")).collect();
    assert_eq!(notes.len(), TESTS.len());
    for note in notes {
        let (_, test) =
            TESTS.iter().find(|(word, _)| note.contains(word)).unwrap_or_else(|| panic!("{note}"));
        test();
    }
}

fn answers(firmware: &str, command: &str, answer: &str) {
    let mut card = Card::new(firmware.parse().unwrap(), 1).unwrap();
    card.transmit(&bytes("00A4040005A000000308"));
    assert_eq!(hex::encode(&card.transmit(&bytes(command))), answer);
}

const SIGN: &str = "0087149A36 7C3482008130 [11*48]";

fn with_touch_key(firmware: &str, traits: Traits, pin: PinPolicy) -> Card {
    let mut card = Card::new(firmware.parse().unwrap(), 1).unwrap().with_traits(traits);
    card.import(0x9A, known_key("p384"), pin, TouchPolicy::Always).unwrap();
    card.transmit(&bytes("00A4040005A000000308"));
    card
}

fn touch_is_asked_for(firmware: &str, pin: PinPolicy) {
    let mut card = with_touch_key(firmware, Traits::default(), pin);
    assert_eq!(card.exchange(&bytes(SIGN), Duration::ZERO), Exchange::TouchWanted { slot: 0x9A });
    assert_eq!(card.finish(true, Duration::ZERO), [0x69, 0x82]);
}

fn no_touch_over_nfc() {
    let traits = Traits { transport: Transport::Nfc, ..Traits::default() };
    let mut card = with_touch_key("5.1.2", traits, PinPolicy::Never);
    let answer = card.exchange(&bytes(SIGN), Duration::ZERO);
    assert_eq!(answer, Exchange::Answer(vec![0x69, 0x82]));
}

fn piv_off_over_nfc() {
    let traits = Traits { transport: Transport::Nfc, piv_disabled: true, ..Traits::default() };
    let mut card = Card::new(Firmware::default(), 1).unwrap().with_traits(traits);
    assert_eq!(card.transmit(&bytes("00A4040005A000000308")), [0x6A, 0x82]);
}

fn an_empty_protected_object() {
    answers("5.4.3", "00CB3FFF055C035FC109", "6982");
}

/// The reader list of a mock, as a client gets it: names and answers to reset.
fn reader_of(firmware: &str, transport: Transport) -> (String, String) {
    let traits = Traits { transport, ..Traits::default() };
    let card = MockCard::builder().firmware(firmware.parse().unwrap()).traits(traits).start().unwrap();
    let state: serde_json::Value = serde_json::from_str(&card.daemon().describe()).unwrap();
    let text = |key: &str| state["cards"][0][key].as_str().unwrap().to_owned();
    (text("reader"), text("atr"))
}

#[test]
fn readers_and_answers_to_reset_are_recorded_ones() {
    let (names, atrs) = (recording("readers").singles, recording("atrs").singles);
    for (firmware, transport, atr) in [
        ("5.7.4", Transport::Usb, 0),
        ("5.7.2-bio", Transport::Usb, 0),
        ("4.3.7", Transport::Usb, 1),
        ("5.7.4", Transport::Nfc, 4),
    ] {
        let (name, found) = reader_of(firmware, transport);
        assert!(names.contains(&name), "{name}");
        assert_eq!(found, atrs[atr], "{firmware} {transport:?}");
    }
    // Other answers to reset can be set: of another NFC reader, or of a YubiKey NEO.
    for atr in atrs {
        let card = MockCard::builder().atr(&hex::decode(&atr).unwrap()).start().unwrap();
        assert!(card.daemon().describe().contains(&atr));
    }
    let refused = MockCard::builder().atr(&[0x3B; 34]).start();
    assert!(refused.is_err());
}
