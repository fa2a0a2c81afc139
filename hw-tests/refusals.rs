//! What must not work, and what the person is told. Each text here is a promise.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use mock_card::{Effect, Event, Fault, MockCard, Touch};

use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, SERIAL, World};

impl World {
    /// A published crate, and a card that has forgotten the PIN.
    fn with_a_crate() -> Self {
        Self::enrolled().publish_alpha()
    }

    fn publish_alpha(self) -> Self {
        self.publish(&self.package("alpha", "0.1.0", "")).succeeds();
        self.card.power_off();
        self.card.clear_trace();
        self
    }

    fn yank(&self) -> Run {
        self.cargo(&self.path("work"), ["yank", "alpha@0.1.0", "--registry", NAME])
    }
}

#[test]
fn a_wrong_pin_costs_one_try_and_says_what_is_left() {
    let world = World::with_a_crate();
    world.script("pin.sh", "#!/bin/sh\necho 111222\n");
    world.yank().fails().says(&["wrong PIN, 2 tries left", "hint: run the command in a terminal"]);
    assert_eq!(world.card.pin_tries(), 2);
    assert_eq!(Seen::on(&world.card).pins(), 1, "the command is asked once");
}

#[test]
fn the_last_try_is_not_spent() {
    let world = World::with_a_crate();
    world.card.set_pin_tries(1);
    world
        .yank()
        .fails()
        .says(&["only one try is left before the PIN of YubiKey 12345678 is blocked; it was not spent"]);
    assert_eq!(world.card.pin_tries(), 1);
}

#[test]
fn a_blocked_pin() {
    let world = World::with_a_crate();
    world.card.set_pin_tries(0);
    world
        .yank()
        .fails()
        .says(&["the PIN of YubiKey 12345678 is blocked", "ykman --device 12345678 piv access unblock-pin"]);
}

/// What cannot be a PIN is not sent, so it costs nothing.
#[test]
fn what_is_no_pin_is_not_sent() {
    let world = World::with_a_crate();
    for (typed, text) in [("12345", "shorter"), ("123456789", "longer")] {
        world.script("pin.sh", &format!("#!/bin/sh\necho {typed}\n"));
        world.yank().fails().says(&[text, "it was not sent to the card"]);
    }
    assert_eq!(Seen::on(&world.card).pins(), 0);
}

#[test]
fn a_pin_command_that_declines() {
    let world = World::with_a_crate();
    world.script("pin.sh", "#!/bin/sh\nexit 3\n");
    world.yank().fails().says(&["the PIN command declined (exit status: 3)"]);
    assert_eq!(Seen::on(&world.card).pins(), 0);
}

#[test]
fn no_terminal_and_no_pin_command() {
    let world = World::with_a_crate();
    let outcome = world.yank().without("YK_CARGO_PIN_COMMAND").fails();
    outcome.says(&[
        "YubiKey 12345678 needs its PIN, and there is no terminal to ask for it",
        "hint: run the command in a terminal, or let a program give the PIN: YK_CARGO_PIN_COMMAND=",
    ]);
}

#[test]
fn no_card() {
    let world = World::with_a_crate();
    world.card.unplug();
    world
        .yank()
        .fails()
        .says(&["no YubiKey is plugged in; this needs YubiKey 12345678 (laptop key)", "hint: plug it in"]);
}

/// A reader of another make, alone and empty, is left alone; a YubiKey that is laid on it is a YubiKey.
#[test]
fn an_empty_reader_of_another_make() {
    let world =
        World::with(Reads::AuthRequired, |card| card.reader("ACS ACR122U PICC Interface 00 00")).enroll();
    let yank = || world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    world.card.remove();
    world.card.clear_trace();
    yank().fails().says(&["no YubiKey is plugged in; this needs YubiKey 12345678 (laptop key)"]);
    assert!(!Seen::on(&world.card).called("connect"));
    world.card.insert();
    yank().succeeds();
}

/// Another card is noticed by its number, before it sees a PIN.
#[test]
fn another_card() {
    let world = World::with_a_crate();
    let other = MockCard::builder().serial(23_456_789).pin(PIN).start().unwrap();
    let outcome = world.yank().env("PCSCLITE_CSOCK_NAME", other.socket()).fails();
    outcome
        .says(&["YubiKey 23456789 is plugged in, but this needs YubiKey 12345678 (laptop key)", "--backup"]);
    let seen = Seen::on(&other);
    assert_eq!((seen.pins(), seen.all_signatures()), (0, 0));
    seen.assert_well_mannered();
}

/// The right card, but its PIV application was reset.
#[test]
fn a_card_that_lost_its_keys() {
    let world = World::with_a_crate();
    let reset = MockCard::builder().serial(SERIAL).pin(PIN).start().unwrap();
    let outcome = world.yank().env("PCSCLITE_CSOCK_NAME", reset.socket()).fails();
    outcome.says(&["slot 82 of YubiKey 12345678 no longer holds the enrolled key", "yk-cargo enroll"]);
}

/// A card with the right number and another key in the slot: its signature does not leave the process.
#[test]
fn a_card_with_another_key() {
    let world = World::with_a_crate();
    let stranger = World::enrolled();
    let outcome = world.yank().env("PCSCLITE_CSOCK_NAME", stranger.card.socket()).fails();
    outcome.says(&["the card's signature does not match the enrolled key; no token was made"]);
}

#[test]
fn another_program_holds_the_card() {
    let world = World::with_a_crate();
    world.wait("connect = 1");
    world.card.hold_exclusive();
    world.yank().fails().says(&["another program is using the YubiKey", "gpgconf --kill scdaemon"]);
    world.card.release();
    world.card.hold_transaction();
    world.yank().fails().says(&["gave up waiting for another program to let go of the YubiKey"]);
    world.card.release();
    world.yank().succeeds();
}

#[test]
fn no_smart_card_service() {
    let world = World::with_a_crate();
    let outcome = world.yank().env("PCSCLITE_CSOCK_NAME", world.path("no-such-socket")).fails();
    outcome.says(&["the smart card service is not running", "systemctl start pcscd.socket"]);
}

/// As pcsc-lite does where polkit says no: the daemon closes the connection unread, or answers SCardConnect with a refusal.
#[test]
fn the_service_does_not_let_us_in() {
    let world = World::with_a_crate();
    let denied = [
        "the smart card service refuses access to you",
        "hint: over SSH and in services, polkit has to allow org.debian.pcsc-lite.access_pcsc and .access_card",
    ];
    world.card.inject(Fault::Refuse);
    world.yank().fails().says(&denied);
    world.yk_cargo(["enroll", NAME, "--yes"]).fails().says(&denied);
    world.card.clear_faults();
    world.card.inject(Fault::Connect { nth: 1, rv: 0x8010_006A });
    world.yank().fails().says(&denied);
    world.card.inject(Fault::Connect { nth: 1, rv: 0x8010_006A });
    world.yk_cargo(["enroll", NAME, "--yes"]).fails().says(&denied);
    world.yank().succeeds();
}

/// A new service may answer what the library does not know, and a hostile one anything.
#[test]
fn numbers_that_are_none_of_pcscs() {
    let world = World::enrolled();
    for code in [1, 0xBEEF, 0x8010_0000, 0x8010_0034, 0x8010_00FF, 0x8010_0073, u32::MAX] {
        let says = ["the smart card service gave an answer that makes no sense", &format!("{code:#x})")];
        let faults = [1, 2, 3].map(|nth| Fault::Transmit { nth, effect: Effect::Fail(code) });
        for fault in faults.into_iter().chain([Fault::Connect { nth: 1, rv: code }]) {
            world.card.clear_faults();
            world.card.inject(fault);
            let read = world.yk_cargo(["token", NAME, "--read"]).fails();
            read.says(&says);
            assert!(!read.stderr.contains("panicked"), "{read:#?}");
            world.card.clear_faults();
            world.card.inject(fault);
            let request = serde_json::json!({
                "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME},
                "kind": "get", "operation": "read",
            });
            let answer = world.provider(&request.to_string()).succeeds().answer();
            let message = answer["Err"]["message"].as_str().unwrap();
            assert!(says.iter().all(|text| message.contains(text)), "{message}");
        }
    }
    world.card.clear_faults();
    world.yk_cargo(["token", NAME, "--read"]).succeeds();
}

#[test]
fn piv_is_switched_off() {
    let world = World::with_a_crate();
    let off = [
        "PIV is switched off on this YubiKey, or this is not a YubiKey",
        "hint: switch it on with `ykman config usb --enable PIV`",
    ];
    let select = Fault::Transmit { nth: 1, effect: Effect::StatusWord(0x6A82) };
    world.card.inject(select);
    world.yank().fails().says(&off);
    world.card.inject(select);
    world.yk_cargo(["enroll", NAME, "--yes"]).fails().says(&off);
    assert_eq!(Seen::on(&world.card).pins(), 0);
    world.yank().succeeds();
}

#[test]
fn no_touch() {
    let world = World::with(Reads::AuthRequired, |card| {
        card.touch(Touch::Never).touch_timeout(Duration::from_millis(50))
    });
    let world = world.enroll();
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).fails();
    yank.says(&[
        "touch YubiKey 12345678 now",
        "YubiKey 12345678 was not touched in time; nothing was signed",
    ]);
    assert_eq!(Seen::on(&world.card).signatures("83"), 0);
}

/// What Windows says when nobody touches the key. Nothing but a touch that is waited for explains it.
#[test]
fn no_touch_and_no_status_word() {
    let world = World::enrolled();
    world.card.power_off();
    let lost = |nth| Fault::Transmit { nth, effect: Effect::Fail(0x8010_002F) };
    world.card.inject(lost(7));
    let yank = || world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    yank().fails().says(&["YubiKey 12345678 was not touched in time; nothing was signed"]);
    world.card.inject(lost(3));
    yank().fails().says(&["the smart card service failed", "8010002F"]);
    world.card.inject(lost(3));
    let read = world.yk_cargo(["token", NAME, "--read"]).fails();
    read.says(&["the smart card service failed", "8010002F"]);
    yank().succeeds();
}

/// Another program resets the card in the middle: everything is done again, once. No PIN is spent on it.
#[test]
fn another_program_resets_the_card() {
    let world = World::enrolled();
    let reset = |nth, effect: fn(Event) -> Effect| {
        world.card.inject(Fault::Transmit { nth, effect: effect(Event::Reset) });
    };
    let yank = || world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    for nth in 1..=7 {
        for effect in [Effect::Before as fn(Event) -> Effect, Effect::After] {
            world.card.power_off();
            reset(nth, effect);
            yank().succeeds();
        }
    }
    world.card.power_off();
    reset(7, Effect::Before);
    reset(11, Effect::Before);
    yank()
        .fails()
        .says(&["another program reset the YubiKey during an operation", "hint: close other programs"]);
    assert_eq!(world.card.pin_tries(), 3);
}

/// A touch that comes while the command waits is enough.
#[test]
fn a_late_touch() {
    let world = World::with(Reads::AuthRequired, |card| card.touch(Touch::Manual)).enroll();
    std::thread::scope(|scope| {
        let yank = scope.spawn(|| world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds());
        assert!(world.card.wait_touch(Duration::from_secs(60)));
        world.card.touch();
        yank.join().unwrap();
    });
}

/// An unknown registry is none of our business, and the card is left in peace.
#[test]
fn a_registry_that_is_not_enrolled() {
    let world = World::new();
    world.configure_provider();
    let outcome = world.publish(&world.package("alpha", "0.1.0", "")).fails();
    outcome.says(&["no token found for `my-reg`"]);
    let yank = serde_json::json!({
        "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME},
        "kind": "get", "operation": "yank", "name": "alpha", "vers": "0.1.0",
    });
    let outcome = world.provider(&yank.to_string()).succeeds();
    assert_eq!(outcome.answer(), serde_json::json!({"Err": {"kind": "not-found"}}));
    outcome.says(&["note: to sign with a YubiKey, enroll this registry: yk-cargo enroll my-reg"]);
    assert!(Seen::on(&world.card).nothing());
}

#[test]
fn login_at_a_registry_that_is_not_enrolled() {
    let world = World::new();
    world.configure_provider();
    let login = world.cargo(&world.path("work"), ["login", "--registry", NAME]).fails();
    login.says(&[
        "no token was given, and there is no terminal to ask for it",
        "give the token on standard input",
    ]);
    assert!(Seen::on(&world.card).nothing());
}

impl World {
    /// With these enrollments nothing is signed, and the card is not even asked.
    #[track_caller]
    fn signs_nothing_with(&self, enrollments: &str, says: &[&str]) {
        fs::write(self.enrollments_file(), enrollments).unwrap();
        self.yank().fails().says(says).says(&["enrollments.toml", "hint: "]);
        assert!(Seen::on(&self.card).nothing());
    }

    fn enrollments_text(&self) -> String {
        fs::read_to_string(self.enrollments_file()).unwrap()
    }
}

#[test]
fn enrollments_that_are_damaged() {
    let world = World::with_a_crate();
    let good = world.enrollments_text();
    for (text, says) in [
        (good.replacen("version = 1\n", "", 1), "does not begin with `version = 1`"),
        (format!("{good}\n[["), "is damaged"),
        (good.replace("slot = \"83\"", "slot = \"ff\""), "`registry.card.key.slot`"),
        (good.replace("k3.public.", "k3.secret."), "`registry.card.key.public`"),
    ] {
        world.signs_nothing_with(&text, &[says]);
    }
    fs::write(world.enrollments_file(), good).unwrap();
    world.yank().succeeds();
}

#[test]
fn enrollments_of_a_newer_version() {
    let world = World::with_a_crate();
    let newer = world.enrollments_text().replacen("version = 1", "version = 2", 1);
    world.signs_nothing_with(
        &newer,
        &["has version 2, which a newer yk-cargo wrote", "hint: update yk-cargo"],
    );
}

#[test]
fn enrollments_that_others_may_write() {
    let world = World::with_a_crate();
    let text = world.enrollments_text();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&world.enrollments_file(), 0o622);
    world.signs_nothing_with(&text, &["may be written by others", "chmod go-w"]);
    set(&world.enrollments_file(), 0o600);
    set(&world.path("home/yk-cargo"), 0o777);
    world.yank().fails().says(&["home/yk-cargo may be written by others"]);
    set(&world.path("home/yk-cargo"), 0o700);
    world.yank().succeeds();
}

/// The gateway's refusals have their own tests; this is how one reaches a person through cargo.
#[test]
fn a_revoked_key() {
    let world = World::with_a_crate();
    let key = world.registry().cards[0].key(true).unwrap().public.id();
    world.gateway.store().revoke_key(&key.to_string(), jiff::Timestamp::now()).unwrap();
    world.yank().fails().says(&["401", "revoked"]);
}
