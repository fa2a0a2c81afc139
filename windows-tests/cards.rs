//! Several cards, and cards that come and go.

use mock_card::{CardSettings, Effect, Event, Fault, Touch};
use serde_json::json;

use crate::trace::Seen;
use crate::world::{NAME, PIN, World};

const OTHER: u32 = 22_222_222;

fn with_another() -> World {
    let other = CardSettings { serial: OTHER, pin: Some(PIN.into()), ..CardSettings::default() };
    World::with(|card| card.another_card(other))
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn of_two_cards_the_enrolled_one_signs() {
    let world = with_another();
    let enroll = ["enroll", NAME, "--yes"];
    let several = world.yk_cargo(enroll).fails();
    several.says(&["several YubiKeys are plugged in", "12345678", "22222222", "--serial NUMBER"]);
    let other = OTHER.to_string();
    let chosen = ["--serial", &other, "--label", "safe"];
    world.yk_cargo([&enroll[..], &chosen].concat()).succeeds();
    world.card.clear_trace();
    let owners = world.get(&json!({"operation": "owners", "name": "alpha"})).succeeds();
    owners.says(&["with YubiKey 22222222 (safe)"]);
    assert!(owners.answer()["Ok"]["token"].is_string());
    assert_eq!(Seen::on(&world.card).signatures("83"), 1);

    // The other one becomes its backup, and signs where the first is not there.
    let backup = ["--backup", "--serial", "12345678", "--label", "desk"];
    world.yk_cargo([&enroll[..], &backup].concat()).succeeds();
    world.card.on(OTHER).unplug();
    let owners = world.get(&json!({"operation": "owners", "name": "alpha"})).succeeds();
    owners.says(&["with YubiKey 12345678 (desk)"]);
    assert!(owners.answer()["Ok"]["token"].is_string());
}

/// Pulled before and after each command: no answer but the true one, and the next request works.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_card_that_is_pulled_out_signs_nothing() {
    let world = World::enrolled().forgets_its_pin();
    world.write("home/yk-cargo/config.toml", "[wait]\ninsertion = 1\n");
    let owners = json!({"operation": "owners", "name": "alpha"});
    for nth in 1..=7 {
        world.card.power_off();
        world.card.clear_trace();
        world.card.inject(Fault::Transmit { nth, effect: Effect::Before(Event::Unplug) });
        let answer = world.get(&owners).succeeds().answer();
        let message = answer["Err"]["message"].as_str().unwrap_or_default();
        let texts = ["the YubiKey was unplugged, or does not answer", "no YubiKey is plugged in"];
        assert!(texts.iter().any(|text| message.contains(text)), "{nth}: {answer}");
        assert_eq!(Seen::on(&world.card).all_signatures(), 0);
        world.card.plug();
    }
    assert!(world.get(&owners).succeeds().answer()["Ok"]["token"].is_string());
    assert_eq!(world.card.pin_tries(), 3);
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_late_touch_counts_and_none_signs_nothing() {
    let world = World::with(|card| card.touch(Touch::Manual)).enroll(&[]);
    let owners = json!({"operation": "owners", "name": "alpha"});
    let waiting = world.get(&owners).until_it_says("touch YubiKey 12345678 now");
    assert!(world.card.wait_touch(crate::world::AT_MOST));
    world.card.touch();
    assert!(waiting.ends().answer()["Ok"]["token"].is_string());
    assert_eq!(Seen::on(&world.card).signatures("83"), 1);

    let world =
        World::with(|card| card.touch(Touch::Never).touch_timeout(std::time::Duration::from_millis(500)))
            .enroll(&[]);
    let outcome = world.get(&owners).succeeds();
    let answer = outcome.answer();
    let message = answer["Err"]["message"].as_str().unwrap();
    assert!(message.contains("YubiKey 12345678 was not touched in time; nothing was signed"), "{answer}");
    let seen = Seen::on(&world.card);
    assert_eq!(seen.all_signatures(), 0);
    seen.assert_well_mannered();
}
