//! Any sequence of commands to the card.
//!
//! The first byte picks a firmware. Then come commands, each after its length (two bytes, the high one first);
//! in place of a command, `FFxx` is the time in seconds until the next, and `FExx` power off and on again.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mock_card::applet::Exchange;
use mock_card::{Card, Firmware};

const FIRMWARES: [Firmware; 8] = [
    Firmware::new(5, 2, 7),
    Firmware::new(5, 3, 1),
    Firmware::new(5, 4, 3),
    Firmware::new(5, 7, 1),
    Firmware::new(5, 7, 4),
    Firmware::new(4, 3, 7),
    Firmware::new(5, 7, 2).bio(),
    Firmware::new(5, 7, 4).fips(),
];

/// SELECT PIV by the shortest name that does.
const SELECT: [u8; 10] = [0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08];

fuzz_target!(|input: &[u8]| {
    let Some((firmware, mut input)) = input.split_first() else { return };
    let firmware = FIRMWARES[usize::from(*firmware) % FIRMWARES.len()];
    let mut card = Card::with_random(firmware, 1, counting()).expect("a modelled firmware");
    let mut now = Duration::ZERO;
    while let [high, low, rest @ ..] = input {
        input = rest;
        match (*high, *low) {
            (0xFF, seconds) => now += Duration::from_secs(seconds.into()),
            (0xFE, _) => card.power_cycle(),
            (high, low) => {
                let length = usize::from(u16::from_be_bytes([high, low])).min(input.len());
                let (command, rest) = input.split_at(length);
                input = rest;
                check(&exchange(&mut card, command, now), command);
            }
        }
    }
    // Whatever happened: what it saves is read back, and it can still be selected.
    let saved = card.save();
    card.restore(&saved).expect("the card reads what it writes");
    assert_eq!(card.save(), saved);
    card.power_cycle();
    assert!(exchange(&mut card, &SELECT, now).ends_with(&[0x90, 0x00]));
});

fn exchange(card: &mut Card, command: &[u8], now: Duration) -> Vec<u8> {
    match card.exchange(command, now) {
        Exchange::Answer(answer) => answer,
        // Sometimes nobody touches.
        Exchange::TouchWanted { .. } => card.finish(!command.len().is_multiple_of(4), now),
    }
}

/// A status word, and no more data than the command has room for.
fn check(answer: &[u8], command: &[u8]) {
    assert!(answer.len() >= 2, "{command:02X?} is answered {answer:02X?}");
    assert!(answer.len() <= 65_538);
    let status = answer[answer.len() - 2];
    assert!((0x61..=0x6F).contains(&status) || status == 0x90, "{command:02X?} is answered {answer:02X?}");
    if !matches!(status, 0x61 | 0x90) {
        assert_eq!(answer.len(), 2, "data beside an error: {command:02X?} is answered {answer:02X?}");
    }
}

/// Randomness that is the same in every run.
fn counting() -> mock_card::applet::Random {
    let mut next = 1_u8;
    Box::new(move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_mul(5).wrapping_add(3);
        }
    })
}
