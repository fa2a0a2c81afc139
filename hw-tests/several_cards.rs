//! More than one card, more than one cargo, and cards of other generations.

use mock_card::settings::{CardSettings, Settings};
use mock_card::{Daemon, Event, Firmware};
use yk_cargo::piv::PinPolicy;

use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, World};

const FIRST: u32 = 11_111_111;
const SECOND: u32 = 22_222_222;

fn card(serial: u32) -> CardSettings {
    CardSettings { serial, pin: Some(PIN.to_owned()), ..CardSettings::default() }
}

/// The cards of one daemon, instead of the world's own.
fn with(daemon: &Daemon, run: Run) -> Run {
    run.env("PCSCLITE_CSOCK_NAME", daemon.socket())
}

#[test]
fn of_two_enrolled_cards_the_first_in_the_file_signs() {
    let world = World::new();
    // The reader that comes first has the card that comes second.
    let cards = vec![card(SECOND), card(FIRST)];
    let daemon = Daemon::start(&Settings { cards, ..Settings::default() }).unwrap();
    let enroll = |serial: &str, label: &str, more: &[&'static str]| {
        let common = ["enroll", NAME, "--yes", "--serial", serial, "--label", label];
        with(&daemon, world.yk_cargo([&common[..], more].concat()))
    };
    with(&daemon, world.yk_cargo(["enroll", NAME, "--yes"]))
        .fails()
        .says(&["several YubiKeys are plugged in: 22222222, 11111111", "--serial NUMBER"]);
    enroll("11111111", "laptop key", &[]).succeeds();
    enroll("22222222", "safe", &["--backup"]).succeeds();
    let yank = || with(&daemon, world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]));
    yank().succeeds().says(&["with YubiKey 11111111 (laptop key)"]);
    daemon.cause(Event::Unplug, Some(FIRST)).unwrap();
    yank().succeeds().says(&["with YubiKey 22222222 (safe)"]);
    daemon.cause(Event::Plug, Some(FIRST)).unwrap();
    yank().succeeds().says(&["with YubiKey 11111111 (laptop key)"]);
    daemon.cause(Event::Unplug, Some(SECOND)).unwrap();
    daemon.cause(Event::Unplug, Some(FIRST)).unwrap();
    yank().fails().says(&["this needs YubiKey 11111111 (laptop key) or YubiKey 22222222 (safe)"]);
}

#[test]
fn two_cards_that_are_not_enrolled() {
    let world = World::enrolled();
    let cards = vec![card(FIRST), card(SECOND)];
    let daemon = Daemon::start(&Settings { cards, ..Settings::default() }).unwrap();
    let outcome = with(&daemon, world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"])).fails();
    outcome.says(&["YubiKeys 11111111, 22222222 are plugged in, but this needs YubiKey 12345678 (laptop key)"]);
    let verify = daemon.trace().into_iter().filter(|entry| entry.ins.as_deref() == Some("VERIFY"));
    assert_eq!(verify.count(), 0);
}

/// Each waits for the others' transactions, and none sees another's.
#[test]
fn many_cargos_at_once_share_the_card() {
    let world = World::enrolled();
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    world.card.clear_trace();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds());
            scope.spawn(|| world.yk_cargo(["token", NAME, "--read"]).succeeds());
        }
    });
    let seen = Seen::on(&world.card);
    assert_eq!((seen.signatures("83"), seen.signatures("82"), seen.transactions()), (6, 6, 12));
    assert_eq!(seen.pins(), 0);
    seen.assert_well_mannered();
}

/// Everything from enrolling to a new computer, on each generation. Before 5.3 the slots are named, since the card does
/// not show imported keys; before 5.0.3 the card's number is, since it does not tell that either.
#[test]
fn every_firmware() {
    let fips = Firmware::new(5, 7, 4).fips();
    for firmware in ["4.3.7", "5.2.7", "5.3.1", "5.4.3", "5.7.1", "5.7.4", "5.7.4-fips"] {
        let firmware: Firmware = firmware.parse().unwrap();
        let long = if firmware == fips { "87654321" } else { PIN };
        let world = World::with(Reads::AuthRequired, |card| card.firmware(firmware).pin(long));
        world.script("pin.sh", &format!("#!/bin/sh\necho {long}\n"));
        let (old, mute) = (firmware < Firmware::new(5, 3, 0), firmware < Firmware::new(5, 0, 3));
        let slots: &[&str] = if old { &["--slot", "82,83"] } else { &[] };
        let serial: &[&str] = if mute { &["--serial", "12345678"] } else { &[] };
        let world = world.enroll_with(&[slots, serial].concat());
        let card = &world.registry().cards[0];
        let pins: Vec<_> = card.keys.iter().map(|key| key.pin).collect();
        let read = if firmware == fips { PinPolicy::Once } else { PinPolicy::Never };
        assert_eq!(pins, [read, PinPolicy::Once], "{firmware}");
        world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
        world.card.power_off();
        world.card.clear_trace();
        let yank = ["token", NAME, "--yank", "alpha@0.1.0"];
        world.yk_cargo(yank).succeeds();
        world.yk_cargo(yank).succeeds();
        let seen = Seen::on(&world.card);
        // 5.3.1 forgets the PIN when asked about it, the 4 series at every SELECT.
        let forgetful = mute || firmware == Firmware::new(5, 3, 1);
        assert_eq!(seen.pins(), if forgetful { 2 } else { 1 }, "{firmware}");
        seen.assert_well_mannered();

        std::fs::remove_dir_all(world.path("home/yk-cargo")).unwrap();
        let keys = card.keys.clone();
        let existing = [&["enroll", NAME, "--existing", "--yes"], serial].concat();
        world.yk_cargo(existing).succeeds();
        assert_eq!(world.registry().cards[0].keys, keys, "{firmware}");
    }
}
