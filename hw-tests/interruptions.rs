//! What an `enroll` that did not come to its end leaves behind, and how the next one goes on from there.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mock_card::{Effect, Event, Fault};
use yk_cargo::enrollment::{Enrollments, Role};

use crate::enrolling::roles_and_slots;
use crate::trace::Seen;
use crate::world::{NAME, World};

const ENROLL: [&str; 3] = ["enroll", NAME, "--yes"];

/// How many commands an undisturbed `enroll` sends, and how many before it makes the first key.
fn commands() -> (usize, usize) {
    let undisturbed = World::new();
    undisturbed.yk_cargo(ENROLL).succeeds();
    let seen = Seen::on(&undisturbed.card);
    let first = seen.instructions().iter().position(|name| name.starts_with("GENERATE")).unwrap();
    (first, seen.instructions().len())
}

impl World {
    /// Nothing is half any more, and no key was made that is not used.
    #[track_caller]
    fn is_finished_by_a_rerun(&self, after: &str) {
        self.yk_cargo(ENROLL).succeeds();
        let enrollments = Enrollments::load(&self.cargo_home()).unwrap();
        assert!(enrollments.pending.is_empty(), "{after}: {enrollments:#?}");
        let slots = [(Role::Read, "82".to_owned()), (Role::Publish, "83".to_owned())];
        assert_eq!(roles_and_slots(self), slots, "{after}");
        let seen = Seen::on(&self.card);
        let made = seen.instructions().iter().filter(|name| name.starts_with("GENERATE")).count();
        assert_eq!(made, 2, "{after}");
        self.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    }
}

/// Unplugged just before or just after the n-th command, for every n from shortly before the first key is made: a second
/// run finishes what the first began. No key is made twice, and none is left that nobody knows of.
#[test]
fn unplugged() {
    let (first, all) = commands();
    for nth in first - 1..=all {
        for effect in [Effect::Before(Event::Unplug), Effect::After(Event::Unplug)] {
            let world = World::new();
            world.card.inject(Fault::Transmit { nth, effect });
            let outcome = world.yk_cargo(ENROLL).ends();
            if !outcome.status.success() {
                let texts = ["the YubiKey was unplugged, or does not answer", "no YubiKey is plugged in"];
                assert!(texts.iter().any(|text| outcome.stderr.contains(text)), "{outcome:#?}");
                outcome.says(&["hint: plug it back in"]);
            }
            // After the very last command nothing of the card is missed.
            assert!(!outcome.status.success() || nth == all, "{nth} {effect:?}: {outcome:#?}");
            world.card.plug();
            world.is_finished_by_a_rerun(&format!("{nth} {effect:?}"));
        }
    }
}

/// Killed while the card is at the n-th command, which it then carries out for nobody.
#[test]
fn killed() {
    let (first, all) = commands();
    for nth in first - 1..=all {
        let world = World::new();
        world.card.inject(Fault::Transmit { nth, effect: Effect::Delay(Duration::from_millis(200)) });
        let mut enroll = Command::new(env!("CARGO_BIN_EXE_yk-cargo"));
        world.environment(&mut enroll);
        enroll.args(ENROLL).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut enroll = enroll.spawn().unwrap();
        let started = Instant::now();
        while !world.card.wait_apdus(nth - 1, Duration::from_millis(20))
            && enroll.try_wait().unwrap().is_none()
        {
            assert!(started.elapsed() < Duration::from_secs(60), "it hangs before command {nth}");
        }
        enroll.kill().unwrap();
        enroll.wait().unwrap();
        world.card.clear_faults();
        world.is_finished_by_a_rerun(&format!("killed at {nth}"));
    }
}

/// The disk has room for so many bytes of the enrollments, and for no more: the write fails, nothing of it stays, and what
/// was there before does.
#[test]
fn disk_full() {
    let mut failed = 0;
    for room in (0..700).step_by(60) {
        let world = World::new();
        let limit = format!("--fsize={room}");
        let line = "trap '' XFSZ; exec yk-cargo enroll my-reg --yes";
        let outcome = world.run("prlimit", &[&limit, "sh", "-c", line]).ends();
        if !outcome.status.success() {
            outcome.says(&["cannot write", "enrollments.toml", "hint: free some space on that disk"]);
            failed += 1;
        }
        assert!(!world.path("home/yk-cargo/enrollments.toml.new").exists());
        world.is_finished_by_a_rerun(&format!("room for {room} bytes"));
    }
    assert!((3..12).contains(&failed), "{failed}");
}

#[test]
fn card_full() {
    let world = World::new();
    world.card.inject(Fault::CardFull);
    let full = ["the card is full", "delete what you no longer need, then run the command again"];
    world.yk_cargo(ENROLL).fails().says(&full);
    world.card.clear_faults();
    world.yk_cargo(["list"]).succeeds().says(&["slot 82 of YubiKey 12345678 is unfinished: yk-cargo enroll"]);
    world.yk_cargo(ENROLL).succeeds();
    assert_eq!(roles_and_slots(&world).len(), 2);
}

/// Who does not want to go on can have the note removed. Whatever is in the slot stays, and is not taken for free.
#[test]
fn given_up() {
    let world = World::new();
    world.card.inject(Fault::CardFull);
    world.yk_cargo(ENROLL).fails();
    world.card.clear_faults();
    world.yk_cargo(["forget", "sparse+http://localhost:9/", "--yes"]).fails().says(&["is not enrolled"]);
    let forgotten = world.yk_cargo(["forget", NAME, "--yes"]).succeeds();
    forgotten.says(&["slot 82 of YubiKey 12345678 may hold a read key that was never enrolled"]);
    assert!(!forgotten.stderr.contains("the registry still accepts"), "{forgotten:#?}");
    assert!(Enrollments::load(&world.cargo_home()).unwrap().pending.is_empty());
    world.yk_cargo(["forget", NAME, "--yes"]).fails().says(&["my-reg is not enrolled"]);
    world.yk_cargo(ENROLL).succeeds();
}
