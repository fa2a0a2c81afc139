//! Two enrolled cards, of which one is of no use: busy, blocked, reset. The other one is used or named.

use mock_card::settings::{CardSettings, Settings};
use mock_card::{Daemon, Event, Hold};

use crate::world::{NAME, PIN, Run, World};

const FIRST: u32 = 11_111_111;
const SECOND: u32 = 22_222_222;

/// A world whose two cards are in one daemon, each with its memory in a file.
struct Pair {
    world: World,
    daemon: Daemon,
}

impl Pair {
    fn enrolled() -> Self {
        let world = World::new();
        let daemon = start(&world);
        let pair = Self { world, daemon };
        pair.run(&["enroll", NAME, "--yes", "--configure", "--serial", "11111111", "--label", "laptop key"])
            .succeeds();
        let backup = ["enroll", NAME, "--yes", "--serial", "22222222", "--label", "safe", "--backup"];
        pair.run(&backup).succeeds();
        pair
    }

    /// PIV of the first card is reset.
    fn with_the_first_reset(self) -> Self {
        self.with_the_first_reset_to(PIN)
    }

    /// A reset gives it another PIN too.
    fn with_the_first_reset_to(self, pin: &str) -> Self {
        let Self { world, daemon } = self;
        daemon.stop();
        drop(daemon);
        std::fs::remove_file(state(&world, FIRST)).unwrap();
        let daemon = start_with(&world, pin);
        Self { world, daemon }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.world.yk_cargo(arguments).env("PCSCLITE_CSOCK_NAME", self.daemon.socket())
    }

    fn yank(&self) -> Run {
        self.run(&["token", NAME, "--yank", "alpha@0.1.0"])
    }

    fn serials(&self) -> Vec<(u32, usize)> {
        self.world.registry().cards.iter().map(|card| (card.serial.0, card.keys.len())).collect()
    }
}

fn state(world: &World, serial: u32) -> std::path::PathBuf {
    world.path(format!("card-{serial}"))
}

fn start(world: &World) -> Daemon {
    start_with(world, PIN)
}

/// The first card has this PIN, if it is a new one.
fn start_with(world: &World, pin: &str) -> Daemon {
    let card = |serial, pin: &str| CardSettings {
        serial,
        pin: Some(pin.to_owned()),
        state: Some(state(world, serial)),
        ..CardSettings::default()
    };
    let cards = vec![card(FIRST, pin), card(SECOND, PIN)];
    Daemon::start(&Settings { cards, ..Settings::default() }).unwrap()
}

/// Whoever holds the first card, and however: the second one is used long before the time that is allowed for the first is over.
#[test]
fn a_busy_card_does_not_keep_the_free_one() {
    let pair = Pair::enrolled();
    for hold in [Hold::Transaction, Hold::Exclusive] {
        pair.daemon.cause(Event::Hold(hold), Some(FIRST)).unwrap();
        pair.world.wait("connect = 3600");
        pair.yank().succeeds().says(&[
            "note: another program is using one of the YubiKeys (Yubico YubiKey",
            "continuing without it",
            "with YubiKey 22222222 (safe)",
        ]);
        pair.world.wait("connect = 25");
        let status = pair.run(&["status"]).succeeds();
        for line in [
            "YubiKey 22222222 (safe)  plugged in",
            "YubiKey 11111111 (laptop key)  possibly the one that cannot be read",
        ] {
            assert!(status.stdout.contains(line), "{status:#?}");
        }
        assert!(!status.stdout.contains("not plugged in"), "{status:#?}");
        let json: serde_json::Value =
            serde_json::from_str(&pair.run(&["status", "--json"]).succeeds().stdout).unwrap();
        let cards = &json["registries"][0]["cards"];
        assert!(cards[0]["plugged-in"].is_null() && cards[1]["plugged-in"] == true, "{json:#}");
        assert_eq!(json["registries"][0]["next-publish"]["serial"], SECOND, "{json:#}");
        // The card that is asked for is free.
        let other = ["enroll", "sparse+http://localhost:9/", "--yes", "--serial", "22222222"];
        pair.run(&other).succeeds();
        pair.run(&["forget", "sparse+http://localhost:9/", "--yes"]).succeeds();
        pair.daemon.cause(Event::Release, Some(FIRST)).unwrap();
    }
    pair.yank().succeeds().says(&["with YubiKey 11111111 (laptop key)"]);
}

#[test]
fn a_busy_card_alone_is_waited_for_with_a_word() {
    let world = World::enrolled();
    world.card.hold_transaction();
    let waiting = "waiting for another program to let go of the YubiKey (Yubico YubiKey";
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).until_it_says(waiting);
    assert!(yank.said.contains("touch it if"), "{}", yank.said);
    let status = world.yk_cargo(["status"]).succeeds();
    status.says(&[&format!("note: {waiting}")]);
    assert!(!status.stdout.contains("not plugged in"), "{status:#?}");
    assert!(
        status.stdout.contains("YubiKey 12345678 (laptop key)  possibly the one that cannot be read"),
        "{status:#?}"
    );
    world.card.release();
    yank.succeeds();
}

#[test]
fn the_spare_of_a_blocked_card() {
    let pair = Pair::enrolled();
    pair.world.add_keys("alice");
    pair.daemon.cause(Event::PowerOff, Some(FIRST)).unwrap();
    for (left, says) in [(0, "the PIN of YubiKey 11111111 is blocked"), (1, "one try is left before the PIN")]
    {
        pair.daemon.set_pin_tries(left, Some(FIRST)).unwrap();
        pair.yank().succeeds().says(&[
            says,
            "; continuing with YubiKey 22222222",
            "with YubiKey 22222222 (safe)",
        ]);
    }
    pair.daemon.set_pin_tries(0, Some(FIRST)).unwrap();
    let status = pair.run(&["status"]).succeeds();
    assert!(status.stdout.contains("a touch (YubiKey 22222222"), "{status:#?}");
    pair.daemon.cause(Event::Unplug, Some(SECOND)).unwrap();
    pair.yank().fails().says(&[
        "error: the PIN of YubiKey 11111111 is blocked",
        "hint: plug in YubiKey 22222222 (safe) instead; for this one: set a new PIN with the PUK",
    ]);
    let status = pair.run(&["status"]).succeeds();
    assert!(status.stdout.contains("run `ykman --device 11111111 piv access unblock-pin`"), "{status:#?}");
}

/// What `doctor` says to run mends the card that was reset, and leaves the other one enrolled.
#[test]
fn the_spare_of_a_card_that_was_reset() {
    let pair = Pair::enrolled().with_the_first_reset();
    pair.yank().succeeds().says(&[
        "warning: slot 83 of YubiKey 11111111 no longer holds the enrolled key; continuing with YubiKey 22222222",
        "with YubiKey 22222222 (safe)",
    ]);
    pair.daemon.cause(Event::Unplug, Some(SECOND)).unwrap();
    pair.yank().fails().says(&["hint: plug in YubiKey 22222222 (safe) instead"]);
    let doctor = pair.run(&["doctor", "--json"]).fails();
    let report: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    let keys = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "keys").unwrap();
    assert_eq!(keys["next"], "yk-cargo enroll my-reg --serial 11111111", "{report:#}");
    let old = pair.world.registry().cards[0].keys[1].public.id().to_string();
    let mended = pair.run(&["enroll", NAME, "--serial", "11111111", "--yes"]).succeeds();
    mended.says(&["no longer has the enrolled publish key", "have it revoked: ", &old]);
    assert_eq!(pair.serials(), [(FIRST, 2), (SECOND, 2)]);
    pair.yank().succeeds().says(&["with YubiKey 11111111"]);
    pair.daemon.cause(Event::Plug, Some(SECOND)).unwrap();
    let again = pair.run(&["enroll", NAME, "--serial", "11111111", "--yes"]).succeeds();
    again.says(&["is already enrolled there"]);
}

/// Its PIN is the factory's again: that is not called a wrong PIN.
#[test]
fn the_spare_of_a_card_that_was_reset_and_has_another_pin() {
    let pair = Pair::enrolled().with_the_first_reset_to("123456");
    pair.yank().succeeds().says(&[
        "slot 83 of YubiKey 11111111 no longer holds the enrolled key; continuing with YubiKey 22222222",
        "with YubiKey 22222222 (safe)",
    ]);
}

/// Somebody else's key is where the enrolled one was: its signature is not taken, and the other card is.
#[test]
fn the_spare_of_a_card_with_other_keys() {
    let pair = Pair::enrolled().with_the_first_reset();
    let other = ["enroll", NAME, "--yes", "--serial", "11111111"];
    pair.run(&other).env("CARGO_HOME", pair.world.path("other")).fails();
    pair.world
        .write("other/config.toml", &std::fs::read_to_string(pair.world.path("home/config.toml")).unwrap());
    pair.run(&other).env("CARGO_HOME", pair.world.path("other")).succeeds();
    pair.yank()
        .succeeds()
        .says(&["the card's signature does not match the enrolled key", "with YubiKey 22222222 (safe)"]);
}

#[test]
fn forget_says_what_is_there() {
    let pair = Pair::enrolled().with_the_first_reset();
    pair.daemon.cause(Event::Unplug, Some(SECOND)).unwrap();
    pair.run(&["forget", NAME, "--yes"]).succeeds().says(&[
        "the publish key is no longer in slot 83 of YubiKey 11111111 (laptop key): k3.pid.",
        "the publish key stays in slot 83 of YubiKey 22222222 (safe), which was not looked at: k3.pid.",
        "have them revoked there",
    ]);
}
