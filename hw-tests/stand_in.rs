//! The mock card stands in for a real key: the tests for real keys pass, and leave nothing.

use std::time::Duration;

use mock_card::settings::CardSettings;
use mock_card::{Builder, Firmware, ImportedKey, PinPolicy, Touch, TouchPolicy};

use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, SERIAL, World};

/// This very program, with the tests for real keys only.
fn suite(world: &World, serial: u32) -> Run {
    let program = std::env::current_exe().unwrap();
    world
        .run(program.to_str().unwrap(), &["real_key::", "--test-threads=1"])
        .env("YK_CARGO_HW_SERIAL", serial.to_string())
}

fn on_card(card: impl FnOnce(Builder) -> Builder) -> World {
    World::with(Reads::AuthRequired, card)
}

/// Where keys would be made now.
fn next_slots(world: &World) -> Vec<String> {
    world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    world.registry().cards[0].keys.iter().map(|key| key.slot.to_string()).collect()
}

#[test]
fn nothing_stays_in_the_slots() {
    let world = on_card(|card| card.import(0x82, somebodys_key(), PinPolicy::Never, TouchPolicy::Never));
    let outcome = suite(&world, SERIAL).succeeds();
    assert!(outcome.stdout.contains("2 passed"), "{outcome:#?}");
    outcome.says(&["touch YubiKey 12345678 whenever it blinks: three times"]);
    let seen = Seen::on(&world.card);
    assert_eq!((seen.touches(), seen.signatures("84")), (3, 3));
    assert!(!seen.instructions().iter().any(|name| name.contains("RESET")), "{:?}", seen.instructions());
    seen.assert_well_mannered();
    assert_eq!(next_slots(&world), ["83", "84"]);
}

#[test]
fn keys_that_cannot_be_deleted_are_named() {
    let world = on_card(|card| card.firmware(Firmware::new(5, 4, 3)));
    let outcome = suite(&world, SERIAL).succeeds();
    outcome.says(&["firmware 5.4.3 cannot delete keys", "yk-cargo enroll REGISTRY --existing --slot 82,83"]);
    // Their certificates are gone, and what it says to run finds them.
    let bare = ["enroll", "sparse+http://localhost:9/", "--existing", "--slot", "82,83", "--yes"];
    let adopted = world.yk_cargo(bare).env("CARGO_HOME", world.path("other")).succeeds();
    assert_eq!(adopted.stderr.matches("without a certificate").count(), 2, "{adopted:#?}");
    assert_eq!(next_slots(&world), ["84", "85"], "nothing is made over them");
}

/// Firmware that does not show imported keys makes keys in the slots that the person names.
#[test]
fn slots_that_only_look_empty_have_to_be_named() {
    let world = on_card(|card| card.firmware(Firmware::new(5, 2, 7)));
    let refused = suite(&world, SERIAL).fails();
    assert!(refused.stdout.contains("YK_CARGO_HW_SLOTS=84,85"), "{refused:#?}");
    assert!(!Seen::on(&world.card).changed_anything());
    suite(&world, SERIAL).env("YK_CARGO_HW_SLOTS", "90,91").succeeds().says(&["--existing --slot 90,91"]);
}

/// Nobody touches the key, so the first publish fails; what was made goes all the same.
#[test]
fn nothing_stays_after_a_failure() {
    let world = on_card(|card| card.touch(Touch::Never).touch_timeout(Duration::from_millis(50)));
    let outcome = suite(&world, SERIAL).fails();
    assert!(outcome.stdout.contains("was not touched in time"), "{outcome:#?}");
    assert!(Seen::on(&world.card).changed_anything());
    assert_eq!(next_slots(&world), ["82", "83"]);
}

#[test]
fn a_management_key_of_ones_own() {
    let key = [0xA5; 24];
    let world = on_card(|card| card.management_key(&key));
    let refused = suite(&world, SERIAL).fails();
    assert!(refused.stdout.contains("YK_CARGO_HW_MANAGEMENT_KEY_COMMAND"), "{refused:#?}");
    assert!(!Seen::on(&world.card).changed_anything());
    let command = world.script("key.sh", &format!("#!/bin/sh\necho {}\n", "a5".repeat(24)));
    suite(&world, SERIAL).env("YK_CARGO_HW_MANAGEMENT_KEY_COMMAND", command).succeeds();
    assert!(Seen::on(&world.card).instructions().contains(&"MOVE KEY"), "they are taken away again");
}

/// Nothing is done to a key that nobody meant.
#[test]
fn only_the_one_key_is_used() {
    let second = CardSettings { serial: 23_456_789, pin: Some(PIN.to_owned()), ..CardSettings::default() };
    let two = on_card(|card| card.another_card(second));
    let one = on_card(|card| card);
    let old = on_card(|card| card.firmware(Firmware::new(4, 3, 7)));
    for (world, serial, sentence) in [
        (&two, SERIAL, "exactly one YubiKey has to be plugged in, number 12345678; found 2"),
        (&one, 23_456_789, "YubiKey 12345678 is plugged in, but only YubiKey 23456789 may be used"),
        (&old, SERIAL, "firmware 4.3.7 does not tell its number, so this may be any YubiKey"),
    ] {
        let outcome = suite(world, serial).fails();
        assert!(outcome.stdout.contains(sentence), "{outcome:#?}");
        assert!(outcome.stdout.contains("0 passed; 2 failed"), "{outcome:#?}");
        let seen = Seen::on(&world.card);
        assert!(!seen.changed_anything() && seen.pins() == 0, "{:?}", seen.instructions());
    }
    let nobody = suite(&one, SERIAL).without("YK_CARGO_PIN_COMMAND").fails();
    assert!(nobody.stdout.contains("set YK_CARGO_PIN_COMMAND"), "{nobody:#?}");
    let skipped = suite(&one, SERIAL).without("YK_CARGO_HW_SERIAL").succeeds();
    skipped.says(&["skipped: no real key, since YK_CARGO_HW_SERIAL is not set"]);
}

pub(crate) fn somebodys_key() -> ImportedKey {
    let key = p384::SecretKey::from_slice(&[7; 48]).unwrap();
    let der = p384::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).unwrap();
    ImportedKey::from_pkcs8(der.as_bytes()).unwrap()
}
