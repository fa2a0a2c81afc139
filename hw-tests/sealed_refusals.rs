//! Sealed tokens that must not be opened, and what the person is told. The token leaves the card's reach for nothing else
//! than the registry that it belongs to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use mock_card::settings::CardSettings;
use mock_card::{Builder, Effect, Event, Fault, Firmware, MockCard, Touch};
use serde_json::json;

use crate::sealed::{Sealed, TOKEN};
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, SERIAL};

const EVIL: &str = "sparse+http://127.0.0.1:9/evil/";

impl Sealed {
    /// The yank fails, says this, and nothing was done.
    #[track_caller]
    fn refuses(&self, says: &[&str]) {
        let outcome = self.yank().fails();
        outcome.says(says);
        assert!(!outcome.stderr.contains(TOKEN), "{outcome:#?}");
        assert_eq!(self.registry.done(), Vec::<String>::new());
    }
}

#[test]
fn what_stops_a_signature_stops_an_opening() {
    let sealed = Sealed::new(Reads::Open);
    sealed.world.script("pin.sh", "#!/bin/sh\necho 111222\n");
    sealed.refuses(&["wrong PIN, 2 tries left", "hint: run the command in a terminal"]);
    sealed.world.card.set_pin_tries(1);
    sealed.refuses(&["only one try is left before the PIN of YubiKey 12345678 is blocked; it was not spent"]);
    sealed.world.card.set_pin_tries(0);
    sealed.refuses(&["the PIN of YubiKey 12345678 is blocked", "piv access unblock-pin`"]);
    sealed.world.card.set_pin_tries(3);
    let nobody = sealed.yank().without("YK_CARGO_PIN_COMMAND").fails();
    nobody.says(&["YubiKey 12345678 needs its PIN, and there is no terminal to ask for it"]);
    sealed.world.card.unplug();
    sealed.refuses(&["no YubiKey is plugged in; this needs YubiKey 12345678 (laptop key)"]);
    sealed.world.card.plug();
    sealed.world.script("pin.sh", &format!("#!/bin/sh\necho {PIN}\n"));
    sealed.yank().succeeds();
    assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0"]);
}

#[test]
fn nobody_touches() {
    let sealed = Sealed::unsealed(Reads::Open, |card| {
        card.touch(Touch::Never).touch_timeout(Duration::from_millis(50))
    });
    sealed.seal(&["--no-check"]).succeeds();
    sealed.refuses(&["YubiKey 12345678 was not touched in time"]);
}

/// Another card, the same card after a reset of PIV, and a card with another key in the slot.
#[test]
fn other_cards() {
    let sealed = Sealed::new(Reads::Open);
    let at = |card: &MockCard| sealed.yank().env("PCSCLITE_CSOCK_NAME", card.socket()).fails();
    let other = MockCard::builder().serial(23_456_789).pin(PIN).start().unwrap();
    at(&other).says(&["YubiKey 23456789 is plugged in, but this needs YubiKey 12345678 (laptop key)"]);
    assert_eq!(Seen::on(&other).pins(), 0);
    let reset = MockCard::builder().serial(SERIAL).pin(PIN).start().unwrap();
    at(&reset).says(&["slot 95 of YubiKey 12345678 no longer holds the key that tokens are sealed to"]);
    let stranger = Sealed::new(Reads::Open);
    at(&stranger.world.card).says(&["the key on the card does not open it"]);
    assert_eq!(sealed.registry.done(), Vec::<String>::new());
}

/// Whoever can exchange files gets no token sent to another registry.
#[test]
fn files_that_were_exchanged() {
    let sealed = Sealed::new(Reads::Open);
    let other = "sparse+http://127.0.0.1:9/index/";
    let config = fs::read_to_string(sealed.world.path("home/config.toml")).unwrap();
    sealed.world.write("home/config.toml", &format!("{config}[registries.other]\nindex = \"{other}\"\n"));
    let seal = ["seal", "other", "--yes", "--no-check", "--no-configure"];
    sealed.world.yk_cargo(seal).input("anotherToken\n").succeeds().says(&["assuming that they do not"]);
    let theirs = yk_cargo::sealed_files::path(&sealed.world.cargo_home(), &other.parse().unwrap());
    fs::copy(&theirs, sealed.file()).unwrap();
    sealed.refuses(&["cannot be used", "the token in it belongs to sparse+http://127.0.0.1:9/index/"]);
}

#[test]
fn files_that_were_changed() {
    let sealed = Sealed::new(Reads::Open);
    let good = fs::read(sealed.file()).unwrap();
    let mut last_byte = good.clone();
    *last_byte.last_mut().unwrap() ^= 1;
    let mut first_letter_of_the_key = good.clone();
    let key = good.windows(12).position(|window| window == b"-> piv-p256 ").unwrap() + 12 + 7;
    first_letter_of_the_key[key + 4] ^= 1;
    for (bytes, text) in [
        (Vec::new(), "it is damaged, or not an age file"),
        (b"age-encryption.org/v1\n".to_vec(), "it is damaged, or not an age file"),
        (good[..good.len() - 1].to_vec(), "it is damaged, or not an age file"),
        (last_byte, "it is damaged, or not an age file"),
        (vec![b'x'; 40_000], "it is longer than"),
    ] {
        fs::write(sealed.file(), bytes).unwrap();
        sealed.refuses(&["the sealed token of `my-reg` cannot be used", text, "--rotate"]);
    }
    fs::write(sealed.file(), first_letter_of_the_key).unwrap();
    sealed.refuses(&["the sealed token of `my-reg` cannot be used"]);
    fs::remove_file(sealed.file()).unwrap();
    sealed.refuses(&["it does not exist"]);
    fs::write(sealed.file(), &good).unwrap();
    fs::set_permissions(sealed.file(), fs::Permissions::from_mode(0o622)).unwrap();
    sealed.refuses(&["may be written by others"]);
    fs::set_permissions(sealed.file(), fs::Permissions::from_mode(0o600)).unwrap();
    sealed.yank().succeeds();
}

/// A cloned project gives the name another URL: no touch, no token.
#[test]
fn a_name_that_leads_elsewhere() {
    let sealed = Sealed::new(Reads::Open);
    let request = json!({
        "v": 1, "registry": {"index-url": EVIL, "name": NAME},
        "kind": "get", "operation": "publish", "name": "alpha", "vers": "0.1.0", "cksum": "0".repeat(64),
    });
    let outcome = sealed.world.provider(&request.to_string()).succeeds();
    assert_eq!(outcome.answer(), json!({"Err": {"kind": "not-found"}}));
    outcome.says(&["registry `my-reg` is enrolled as", EVIL, "Nothing was signed or opened"]);
    let mut login = request.clone();
    login["kind"] = "login".into();
    login["token"] = TOKEN.into();
    let outcome = sealed.world.provider(&login.to_string()).succeeds();
    let message = outcome.answer()["Err"]["message"].to_string();
    assert!(message.contains("in your own configuration it is"), "{message}");
    assert!(!message.contains(TOKEN) && !outcome.stderr.contains(TOKEN));
    assert!(Seen::on(&sealed.world.card).nothing());
    let arguments = json!({"operation": "read", "args": ["--force"]});
    let refused = sealed.get(arguments).answer();
    assert!(refused["Err"]["message"].to_string().contains("takes no arguments"), "{refused}");
}

/// With the most talkative of logs: neither the token, nor the secret that opens the file.
#[test]
fn the_log_keeps_the_secrets() {
    let sealed = Sealed::new(Reads::Open);
    let outcome = sealed.yank().env("YK_CARGO_LOG", "trace").env("RUST_LOG", "trace").succeeds();
    outcome.says(&["yk_cargo::apdu"]);
    assert!(!outcome.stderr.contains(TOKEN) && !outcome.stderr.contains(PIN));
    let mut lines = outcome.stderr.lines().skip_while(|line| !line.contains("> 00871195"));
    let answer = lines.nth(1).unwrap();
    assert!(answer.ends_with("< [36 bytes not shown] 9000"), "{answer}");
}

#[test]
fn what_is_no_token_is_not_sealed() {
    let sealed = Sealed::unsealed(Reads::Open, |card| card);
    for (input, text) in [
        ("", "the token is empty"),
        ("to\u{e9}ken\n", "printable ASCII"),
        ("Authorization: x\n", "without `Authorization:`"),
        ("k3.secret.abcdef\n", "this is a secret key or a signed token"),
    ] {
        let outcome = sealed.world.yk_cargo(["seal", NAME, "--yes"]).input(input).fails();
        outcome.says(&[text]);
        assert!(!outcome.stderr.contains("abcdef"), "{outcome:#?}");
    }
    assert!(!sealed.file().exists() && sealed.enrollments().sealed.is_empty());
    let unprotected = "sparse+http://registry.example/";
    sealed
        .world
        .yk_cargo(["seal", unprotected, "--yes"])
        .input(TOKEN)
        .fails()
        .says(&["is not protected by TLS"]);
}

#[test]
fn an_enrolled_registry_has_nothing_to_seal() {
    let world = crate::world::World::enrolled();
    let outcome = world.yk_cargo(["seal", NAME, "--yes"]).input(TOKEN).fails();
    outcome.says(&["my-reg is enrolled: its tokens are signed", "yk-cargo forget my-reg"]);
}

/// Everything that can happen to each of the four commands: the token arrives or it does not, and the PIN is not spent.
#[test]
fn every_fault_at_every_command() {
    const READER_UNAVAILABLE: u32 = 0x8010_0017;
    let sealed = Sealed::new(Reads::Open);
    let token = || sealed.get(json!({"operation": "yank", "name": "alpha", "vers": "0.1.0"}));
    let effects = [
        Effect::Fail(READER_UNAVAILABLE),
        Effect::LoseAnswer(READER_UNAVAILABLE),
        Effect::StatusWord(0x6F00),
        Effect::StatusWord(0x6982),
        Effect::Truncate(1),
        Effect::Pad(3),
        Effect::Corrupt(5),
        Effect::Before(Event::Reset),
        Effect::After(Event::Reset),
        Effect::Before(Event::PowerOff),
        Effect::After(Event::PowerOff),
    ];
    let (mut opened, mut refused) = (0, 0);
    for effect in effects {
        for nth in 1..=5 {
            sealed.world.card.clear_faults();
            sealed.world.card.power_off();
            sealed.world.card.inject(Fault::Transmit { nth, effect });
            let outcome = token();
            let answer = outcome.answer();
            match answer["Ok"]["token"].as_str() {
                Some(token) => {
                    assert_eq!(token, TOKEN, "{effect:?} {nth}");
                    opened += 1;
                }
                None => {
                    let message = answer["Err"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
                    assert!(
                        !message.contains(TOKEN) && !message.contains("bug"),
                        "{effect:?} {nth}: {message}"
                    );
                    refused += 1;
                }
            }
            assert!(sealed.world.card.pin_tries() >= 2, "{effect:?} {nth}");
            sealed.world.card.set_pin_tries(3);
        }
    }
    assert!(opened > 5 && refused > 20, "{opened} {refused}");
    sealed.world.card.clear_faults();
    sealed.world.card.unplug();
    sealed.world.card.plug();
    assert_eq!(token().answer()["Ok"]["token"], TOKEN);
}

/// The making of the key is interrupted at every command; a rerun finishes it in the same slot.
#[test]
fn a_key_that_was_begun_is_finished() {
    let undisturbed = Sealed::unsealed(Reads::Open, |card| card);
    undisturbed.seal(&["--no-check"]).succeeds();
    let seen = Seen::on(&undisturbed.world.card);
    let commands = seen.instructions();
    let made = commands.iter().position(|name| name.starts_with("GENERATE ASYMMETRIC")).unwrap() + 1;
    for nth in made - 1..=commands.len() {
        let sealed = Sealed::unsealed(Reads::Open, |card| card);
        sealed.world.card.inject(Fault::Transmit { nth, effect: Effect::After(Event::Unplug) });
        let first = sealed.seal(&["--no-check"]).ends();
        sealed.world.card.clear_faults();
        sealed.world.card.plug();
        if !first.status.success() {
            sealed.seal(&["--no-check"]).succeeds();
        } else {
            assert_eq!(nth, commands.len(), "only the last answer may be the last that is needed");
        }
        let enrollments = sealed.enrollments();
        assert_eq!(enrollments.pending, []);
        let slots: Vec<_> = enrollments.sealing_keys.iter().map(|key| key.slot.to_string()).collect();
        assert_eq!(slots, ["95"], "interrupted at {nth}");
        let seen = Seen::on(&sealed.world.card);
        let made = seen.instructions().iter().filter(|name| name.starts_with("GENERATE ASYMMETRIC")).count();
        assert_eq!(made, 1, "interrupted at {nth}: the key that was begun is the one that is used");
        sealed.yank().succeeds();
    }
}

/// Nothing is overwritten, and what is taken is passed by.
#[test]
fn a_slot_that_is_taken() {
    let somebodys = || crate::stand_in::somebodys_key();
    let imported = (mock_card::PinPolicy::Never, mock_card::TouchPolicy::Never);
    let sealed = Sealed::unsealed(Reads::Open, |card| card.import(0x95, somebodys(), imported.0, imported.1));
    sealed.seal(&["--slot", "95"]).fails().says(&["slot 95 of YubiKey 12345678 is not empty"]);
    sealed.seal(&[]).succeeds().says(&["in slot 94"]);
}

/// As for keys that sign: what is in the slot is looked at again when the key is made.
#[test]
fn a_slot_that_is_filled_while_the_question_stands() {
    for firmware in [Firmware::new(5, 7, 4), Firmware::new(5, 2, 7)] {
        let sealed = Sealed::unsealed(Reads::Open, |card| card.firmware(firmware));
        let world = &sealed.world;
        let mut session = world.at_a_terminal("yk-cargo seal my-reg --slot 95 && echo DONE || echo FAILED");
        expect(&mut session, &["in slot 95 of YubiKey 12345678"]);
        let other = ["enroll", "sparse+http://localhost:9/other/", "--yes", "--slot", "95,94"];
        world.yk_cargo(other).env("CARGO_HOME", world.path("other")).succeeds();
        world.card.clear_trace();
        session.send_line("y").unwrap();
        expect(&mut session, &["slot 95 of YubiKey 12345678 is not empty", "FAILED"]);
        assert!(!Seen::on(&world.card).changed_anything(), "{firmware:?}");
    }
}

/// Every generation of firmware, also where the card does not tell its number, and where it cannot tell an empty slot.
#[test]
fn every_firmware() {
    for (firmware, more) in [
        (Firmware::new(4, 3, 7), &["--serial", "12345678", "--slot", "95"][..]),
        (Firmware::new(5, 2, 7), &["--slot", "95"]),
        (Firmware::new(5, 3, 1), &[]),
        (Firmware::new(5, 4, 3), &[]),
        (Firmware::new(5, 7, 4), &[]),
    ] {
        let sealed = Sealed::unsealed(Reads::Open, |card| card.firmware(firmware));
        sealed.seal(more).succeeds().says(&["it is the same"]);
        sealed.yank().succeeds();
        assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0"], "{firmware:?}");
    }
}

/// A card whose PIV is reset to what it was when it left the factory; the person has set a PIN again.
fn reset(sealed: &mut Sealed, state: &Path) {
    sealed.world.card.daemon().stop();
    fs::remove_file(state).unwrap();
    let card = MockCard::builder().serial(SERIAL).pin(PIN).state(state);
    sealed.world.exchange_card(card.start().unwrap());
}

/// Nothing is sealed to a key that is gone, and what is said to be done is done and works.
#[test]
fn a_key_that_went_with_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("card");
    let mut sealed = Sealed::unsealed(Reads::Open, |card| card.state(&state));
    sealed.seal(&[]).succeeds();
    let before = fs::read(sealed.file()).unwrap();
    reset(&mut sealed, &state);
    let gone = [
        "slot 95 of YubiKey 12345678 no longer holds the key",
        "get a new token from the registry, and seal it to a new key with `yk-cargo seal REGISTRY --rotate --serial 12345678`",
    ];
    for more in [&["--rotate"][..], &["--rotate", "--no-check"]] {
        sealed.seal(more).fails().says(&gone);
    }
    sealed.world.yk_cargo(["seal", "--add-card", "--yes"]).fails().says(&gone);
    let other = ["seal", "sparse+http://localhost:9/", "--yes", "--no-check", "--no-configure"];
    sealed.world.yk_cargo(other).input(TOKEN).fails().says(&gone);
    let login =
        sealed.world.cargo(&sealed.world.path("work"), ["login", "--registry", NAME]).input(TOKEN).fails();
    login.says(&gone[..1]);
    assert_eq!(fs::read(sealed.file()).unwrap(), before, "nothing was sealed");
    let made = sealed.seal(&["--rotate", "--serial", "12345678"]).succeeds();
    made.says(&["made the key for sealed tokens in slot", "it is the same"]);
    assert_eq!(sealed.enrollments().sealing_keys.len(), 1);
    sealed.yank().succeeds();
    sealed.seal(&["--rotate"]).succeeds();
}

/// The other card opens the tokens, and the one that was reset gets a new key.
#[test]
fn a_spare_that_was_reset() {
    const SECOND: u32 = 22_222_222;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("card");
    let second = |card: Builder| {
        card.another_card(CardSettings {
            serial: SECOND,
            pin: Some(PIN.to_owned()),
            state: Some(folder.path().join("second")),
            ..CardSettings::default()
        })
    };
    let mut sealed = Sealed::unsealed(Reads::Open, |card| second(card.state(&state)));
    sealed.seal(&["--serial", "22222222"]).succeeds();
    sealed.world.yk_cargo(["seal", "--add-card", "--yes", "--serial", "12345678"]).succeeds();
    sealed.world.card.daemon().stop();
    fs::remove_file(&state).unwrap();
    let cards = second(MockCard::builder().serial(SERIAL).pin(PIN).state(&state));
    sealed.world.exchange_card(cards.start().unwrap());
    let rotated = sealed.seal(&["--rotate"]).fails();
    rotated.says(&["of YubiKey 12345678 no longer holds", "`yk-cargo seal --add-card --serial 12345678`"]);
    let add = ["seal", "--add-card", "--yes", "--serial", "12345678"];
    sealed.world.yk_cargo(add).succeeds().says(&["`my-reg` now opens with YubiKey 12345678 too"]);
    sealed.world.card.on(SECOND).unplug();
    sealed.yank().succeeds().says(&["with YubiKey 12345678"]);
}

#[test]
fn a_second_card() {
    const SECOND: u32 = 22_222_222;
    let second = CardSettings { serial: SECOND, pin: Some(PIN.to_owned()), ..CardSettings::default() };
    let sealed = Sealed::unsealed(Reads::Open, |card| card.another_card(second));
    sealed.seal(&["--serial", "12345678"]).succeeds().says(&["for one card"]);
    let add = ["seal", "--add-card", "--yes", "--label", "safe"];
    let outcome = sealed.world.yk_cargo(add).succeeds();
    outcome.says(&[
        "in slot 95 of YubiKey 22222222",
        "`my-reg` now opens with YubiKey 22222222 too",
        "it is the same",
    ]);
    sealed.world.card.on(SERIAL).unplug();
    sealed.yank().succeeds().says(&["with YubiKey 22222222 (safe)"]);
    sealed.world.card.on(SERIAL).plug();
    sealed.world.card.on(SECOND).unplug();
    sealed.yank().succeeds().says(&["with YubiKey 12345678 (laptop key)"]);
    sealed
        .world
        .yk_cargo(add)
        .fails()
        .says(&["no other YubiKey is plugged in than those that already open the tokens"]);
    assert_eq!(sealed.registry.done().len(), 2);
}

/// A person types token and PIN, neither of which is echoed, and the token is printed after a typed yes only.
#[test]
fn at_a_terminal() {
    let sealed = Sealed::unsealed(Reads::Open, |card| card);
    let mut session = sealed.world.at_a_terminal("yk-cargo seal my-reg && echo DONE");
    expect(&mut session, &["Make a key for sealed tokens in slot 95 of YubiKey 12345678"]);
    session.send_line("y").unwrap();
    expect(&mut session, &["Token of `my-reg`: "]);
    session.send_line(TOKEN).unwrap();
    let shown = session.exp_string("PIN of YubiKey 12345678 (3 tries left): ").unwrap();
    assert!(!shown.contains(TOKEN), "{shown}");
    session.send_line(PIN).unwrap();
    expect(&mut session, &["it is the same", "Write this into $CARGO_HOME/config.toml?"]);
    session.send_line("y").unwrap();
    expect(&mut session, &["DONE"]);
    let mut session = sealed.world.at_a_terminal("yk-cargo unseal my-reg >printed; echo STATUS $?");
    expect(&mut session, &["Print the token of `my-reg` in plain text? Type yes to go on: "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["nothing was changed", "STATUS 1"]);
    sealed.world.card.power_off();
    let mut session = sealed.world.at_a_terminal("yk-cargo unseal my-reg >printed; echo STATUS $?");
    expect(&mut session, &["Type yes to go on: "]);
    session.send_line("yes").unwrap();
    expect(&mut session, &["opening the token of `my-reg` to print it", "PIN of YubiKey 12345678"]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["STATUS 0"]);
    assert_eq!(fs::read_to_string(sealed.world.path("work/printed")).unwrap(), format!("{TOKEN}\n"));
}
