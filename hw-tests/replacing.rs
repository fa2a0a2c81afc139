//! `enroll --replace`: from one card to the next.

use std::fs;

use mock_card::settings::CardSettings;
use mock_card::{Effect, Event, Fault, Firmware, MockCard};
use yk_cargo::enrollment::Enrollments;

use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, SERIAL, World};

const NEW: u32 = 23_456_789;

fn new_card() -> MockCard {
    MockCard::builder().serial(NEW).pin(PIN).start().unwrap()
}

fn on(card: &MockCard, run: Run) -> Run {
    run.env("PCSCLITE_CSOCK_NAME", card.socket())
}

fn replace(world: &World) -> Run {
    world.yk_cargo(["enroll", NAME, "--replace", "12345678", "--yes", "--label", "new key"])
}

fn serials(world: &World) -> Vec<u32> {
    world.registry().cards.iter().map(|card| card.serial.0).collect()
}

#[test]
fn a_new_card_takes_the_place_of_an_old_one() {
    let world = World::new().enroll_with(&["--subject", "me@work"]);
    let (old, new) = (world.registry().cards[0].clone(), new_card());
    let outcome = on(&new, replace(&world)).succeeds();
    outcome.says(&["replacing YubiKey 12345678 (laptop key), which keeps its keys", "YubiKey 23456789"]);
    let revoked = "Then: have the keys of YubiKey 12345678 (laptop key) revoked:\n";
    assert!(outcome.stdout.contains(revoked), "{outcome:#?}");
    for key in &old.keys {
        let revoke = format!(
            "\n      registry-gateway key revoke {}  # {}, slot {}\n",
            key.public.id(),
            key.role,
            key.slot
        );
        assert!(outcome.stdout.contains(&revoke), "no {revoke:?} in {outcome:#?}");
    }
    assert_eq!(serials(&world), [NEW]);
    assert_eq!(world.registry().subject.as_deref(), Some("me@work"), "the registry's entry is the same");
    assert!(Seen::on(&world.card).nothing(), "the old card need not be there");
    world.add_keys("alice");
    on(&new, world.publish(&world.package("alpha", "0.1.0", ""))).succeeds();
    world.yk_cargo(["token", NAME, "--read"]).fails().says(&["this needs YubiKey 23456789 (new key)"]);
}

/// With both plugged in there is nothing to choose.
#[test]
fn the_old_card_may_be_plugged_in_too() {
    let second = CardSettings { serial: NEW, pin: Some(PIN.to_owned()), ..CardSettings::default() };
    let world = World::with(Reads::AuthRequired, |card| card.another_card(second));
    let world = world.enroll_with(&["--serial", "12345678"]);
    replace(&world).succeeds();
    assert_eq!(serials(&world), [NEW]);
}

/// The keys are there: nothing but the enrollment changes.
#[test]
fn a_backup_card_takes_over() {
    let (world, new) = (World::enrolled(), new_card());
    on(&new, world.yk_cargo(["enroll", NAME, "--yes", "--backup"])).succeeds();
    new.clear_trace();
    let outcome = on(&new, replace(&world)).succeeds();
    outcome.says(&["YubiKey 23456789 is enrolled for", "replacing YubiKey 12345678 (laptop key)"]);
    assert_eq!(serials(&world), [NEW]);
    assert!(!Seen::on(&new).changed_anything());
}

#[test]
fn keys_that_are_on_the_new_card_already() {
    let (world, new) = (World::enrolled(), new_card());
    let before = fs::read_to_string(world.enrollments_file()).unwrap();
    fs::remove_file(world.enrollments_file()).unwrap();
    on(&new, world.yk_cargo(["enroll", NAME, "--yes"])).succeeds();
    world.write("home/yk-cargo/enrollments.toml", &before);
    let adopt = ["enroll", NAME, "--existing", "--replace", "12345678", "--yes"];
    on(&new, world.yk_cargo(adopt)).succeeds();
    assert_eq!(serials(&world), [NEW]);
}

#[test]
fn what_cannot_be_replaced() {
    let (world, new) = (World::enrolled(), new_card());
    let refused = |run: Run, texts: &[&str]| {
        run.fails().says(texts);
        assert_eq!(serials(&world), [SERIAL]);
    };
    refused(replace(&world), &["YubiKey 12345678 is to be replaced, but no other YubiKey is plugged in"]);
    let other = ["enroll", NAME, "--replace", "34567890", "--yes"];
    refused(
        on(&new, world.yk_cargo(other)),
        &["YubiKey 34567890 is not enrolled for", "hint: it is enrolled with YubiKey 12345678 (laptop key)"],
    );
    let nowhere = ["enroll", "sparse+http://localhost:9/", "--replace", "12345678", "--yes"];
    refused(on(&new, world.yk_cargo(nowhere)), &["YubiKey 12345678 is not enrolled for", "yk-cargo list"]);
    let ask = world.yk_cargo(["enroll", NAME, "--replace", "12345678"]);
    refused(on(&new, ask), &["there is no terminal to ask on"]);
    assert!(!Seen::on(&new).changed_anything(), "nobody agreed");
}

/// Until its last key is enrolled the old card stays; a rerun goes on.
#[test]
fn an_interrupted_replacement_is_finished_by_a_rerun() {
    let undisturbed = World::enrolled();
    let new = new_card();
    on(&new, replace(&undisturbed)).succeeds();
    let seen = Seen::on(&new);
    let is_generate = |name: &&str| name.starts_with("GENERATE ASYMMETRIC");
    let second_key = seen.instructions().iter().rposition(is_generate).unwrap();

    let (world, new) = (World::enrolled(), new_card());
    new.inject(Fault::Transmit { nth: second_key + 1, effect: Effect::Before(Event::Unplug) });
    on(&new, replace(&world)).fails().says(&["the YubiKey was unplugged"]);
    assert_eq!(serials(&world)[0], SERIAL, "the old card is in use until then");
    new.plug();
    on(&new, replace(&world)).succeeds();
    assert_eq!(serials(&world), [NEW]);
    assert!(Enrollments::load(&world.cargo_home()).unwrap().pending.is_empty());
}

/// A begun key of the old card is forgotten with it: nothing would ever finish it.
#[test]
fn what_was_begun_on_the_old_card_is_forgotten() {
    let (world, new) = (World::enrolled(), new_card());
    let pending = |index: &str| {
        format!("[[pending]]\nserial = 12345678\nslot = \"90\"\nrole = \"read\"\nindex = \"{index}\"\n")
    };
    let index = world.gateway.index_url();
    let text = fs::read_to_string(world.enrollments_file()).unwrap();
    let text = text + &pending(index) + &pending("sparse+https://other.example/");
    world.write("home/yk-cargo/enrollments.toml", &text);
    on(&new, replace(&world)).succeeds();
    let left = Enrollments::load(&world.cargo_home()).unwrap().pending;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].purpose.index().is_some_and(|index| *index == "sparse+https://other.example/"));
}

/// From a card whose firmware lets its keys be extracted to one whose does not.
#[test]
fn away_from_old_firmware() {
    let world = World::with(Reads::AuthRequired, |card| card.firmware(Firmware::new(5, 2, 7)));
    let world = world.enroll_with(&["--slot", "82,83"]);
    on(&new_card(), replace(&world)).succeeds();
    assert_eq!(world.registry().cards[0].firmware.to_string(), "5.7.4");
}
