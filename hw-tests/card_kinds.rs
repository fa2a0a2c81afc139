//! Cards that are set up in another way than most: a management key that wants a touch, a number that is not told, an
//! enrollment that does not say what the card says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mock_card::{Effect, Fault, MockCard, Touch, Traits, Transport};
use serde_json::Value;

use crate::loopback::{self, Reply};
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, SERIAL, World};

/// A card whose management key is the default one, with this touch policy.
fn with_management_touch(policy: &str, touch: Touch, timeout: Duration) -> World {
    let saved = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::remove_file(&saved).unwrap();
    let world = World::with(Reads::AuthRequired, |card| card.state(&*saved)).enroll();
    edit(&saved, |card| card["card"]["management"]["touch"] = policy.into());
    let mut world = world;
    let kept = world.path("card");
    fs::copy(&saved, &kept).unwrap();
    let card = MockCard::builder().serial(SERIAL).pin(PIN).state(kept).touch(touch).touch_timeout(timeout);
    world.exchange_card(card.start().unwrap());
    world
}

fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut saved: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut saved);
    fs::write(file, saved.to_string()).unwrap();
}

const ELSEWHERE: &str = "sparse+http://localhost:9/";

/// Each touch is announced; one that counts for a while is announced only where the card waits for it.
#[test]
fn a_management_key_that_wants_a_touch() {
    for (policy, touches, notices) in [("always", "3 touches", 3), ("cached", "one touch", 0)] {
        let world = with_management_touch(policy, Touch::Manual, Duration::from_secs(60));
        let notice = if notices == 0 { "touch-notice = 600000\n" } else { "touch-notice = 1\n" };
        world.write("home/yk-cargo/config.toml", notice);
        std::thread::scope(|scope| {
            let enroll = scope.spawn(|| world.yk_cargo(["enroll", ELSEWHERE, "--yes"]).succeeds());
            while !enroll.is_finished() {
                if world.card.wait_touch(Duration::from_millis(100)) {
                    world.card.touch();
                }
            }
            let outcome = enroll.join().unwrap();
            outcome.says(&[&format!("making and checking them needs {touches}")]);
            let said = outcome.stderr.matches("touch YubiKey 12345678 now (it blinks)").count();
            assert_eq!(said, notices, "{outcome:#?}");
        });
    }
}

/// A missed touch and a wrong key have the same status word.
#[test]
fn a_missed_touch_is_no_wrong_management_key() {
    let world = with_management_touch("always", Touch::Never, Duration::from_secs(3));
    let missed = world.yk_cargo(["enroll", ELSEWHERE, "--yes"]).fails();
    missed.says(&["error: YubiKey 12345678 was not touched in time for its management key"]);
    assert!(!missed.stderr.contains("resetting PIV"), "{missed:#?}");
    // A typed key is none of the default ones, so that it is wrong.
    let saved = world.path("card");
    let mut world = world;
    world.card.daemon().stop();
    edit(&saved, |card| card["card"]["management"]["value"] = "a5".repeat(24).into());
    let card = MockCard::builder().serial(SERIAL).pin(PIN).state(saved).touch(Touch::Never);
    world.exchange_card(card.start().unwrap());
    let wrong = world.script("key.sh", &format!("#!/bin/sh\necho {}\n", "5a".repeat(24)));
    let enroll = ["enroll", ELSEWHERE, "--yes", "--management-key-command", wrong.to_str().unwrap()];
    world.yk_cargo(enroll).fails().says(&["the card does not accept this management key"]);
}

/// Programming an OTP slot hides the number from then on: the keys are known by their certificates.
#[test]
fn an_enrolled_card_that_hides_its_number() {
    let world = World::enrolled();
    let hides = |nth| {
        world.card.clear_faults();
        world.card.inject(Fault::Transmit { nth, effect: Effect::StatusWord(0x6985) });
    };
    hides(2);
    world.yk_cargo(["token", NAME, "--read"]).succeeds();
    hides(2);
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds().says(&["with YubiKey 12345678"]);
    hides(2);
    let status = world.yk_cargo(["status"]).succeeds();
    assert!(status.stdout.contains("YubiKey 12345678 (laptop key)  plugged in"), "{status:#?}");
    // Without its certificate it is known by the key.
    for nth in [2, 3] {
        let effect = Effect::StatusWord(if nth == 2 { 0x6985 } else { 0x6A82 });
        world.card.inject(Fault::Transmit { nth, effect });
    }
    world.yk_cargo(["token", NAME, "--read"]).succeeds();
    // Nobody's card is taken for ours.
    let other = MockCard::builder().serial(1).pin(PIN).start().unwrap();
    other.inject(Fault::Transmit { nth: 2, effect: Effect::StatusWord(0x6985) });
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    yank.env("PCSCLITE_CSOCK_NAME", other.socket()).fails().says(&["another YubiKey is plugged in"]);
    assert_eq!(Seen::on(&other).pins(), 0);
}

/// The card says that the PIN is verified, forgets it, and waits for the touch before it refuses. That is no missed touch,
/// however long it took.
#[test]
fn a_pin_that_is_lost_before_the_touch() {
    let first = Traits { touch_first: Some(true), ..Traits::default() };
    let world = World::with(Reads::AuthRequired, |card| card.traits(first)).enroll();
    world.card.power_off();
    world.card.inject(Fault::Transmit { nth: 3, effect: Effect::StatusWord(0x9000) });
    world.card.inject(Fault::Transmit { nth: 4, effect: Effect::Delay(Duration::from_millis(2500)) });
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    yank.says(&["asking YK_CARGO_PIN_COMMAND for the PIV PIN"]);
    assert!(!yank.stderr.contains("not touched"), "{yank:#?}");
    assert_eq!(world.card.pin_tries(), 3);
}

impl World {
    pub(crate) fn edit_enrollments(&self, change: impl FnOnce(String) -> String) {
        let file = self.enrollments_file();
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    fn keys_finding(&self) -> (String, String) {
        let doctor = self.yk_cargo(["doctor", "--json"]).ends();
        let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
        let keys = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "keys");
        let keys = keys.unwrap_or_else(|| panic!("{report:#}"));
        let text = |name: &str| keys[name].as_str().unwrap_or_default().to_owned();
        (text("text"), text("next"))
    }
}

/// Another program of the same person has swapped the roles: the key that asks for nothing signs what changes crates. That is
/// shown each time, and `doctor` sees it; what it says to run puts it right.
#[test]
fn enrollments_that_another_program_has_changed() {
    let world = World::enrolled();
    let keys = world.registry().cards[0].keys.clone();
    let swapped = |text: String| {
        text.replace("role = \"read\"", "role = \"X\"")
            .replace("role = \"publish\"", "role = \"read\"")
            .replace("role = \"X\"", "role = \"publish\"")
    };
    let weaker = |text: String| {
        text.replace("pin = \"once\"", "pin = \"never\"").replace("touch = \"always\"", "touch = \"never\"")
    };
    for change in [swapped as fn(String) -> String, weaker] {
        world.edit_enrollments(change);
        let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).ends();
        yank.says(&[
            "signing yank of `alpha 0.1.0` for `my-reg` with YubiKey 12345678 (laptop key)",
            "warning: according to its enrollment, this key asks for neither PIN nor touch",
        ]);
        let (text, next) = world.keys_finding();
        assert!(text.contains("enrollments.toml and YubiKey 12345678 disagree about the"), "{text}");
        assert_eq!(next, "yk-cargo enroll my-reg --serial 12345678 --existing");
        world.yk_cargo(next.split(' ').skip(1).chain(["--yes"]).collect::<Vec<_>>()).succeeds();
        assert_eq!(world.registry().cards[0].keys.len(), 2);
        assert!(keys.iter().all(|key| world.registry().cards[0].keys.contains(key)));
    }
}

/// A key that is enrolled as one without touch, and blinks: that is said, and what it asks for is not called a missed touch.
#[test]
fn a_key_that_asks_for_more_than_it_is_enrolled_with() {
    let world = World::with(Reads::AuthRequired, |card| {
        card.touch(Touch::Manual).touch_timeout(Duration::from_secs(60))
    });
    let world = world.enroll();
    world.edit_enrollments(|text| text.replace("touch = \"always\"", "touch = \"never\""));
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).until_it_says("does not answer yet");
    assert!(
        yank.said.contains("YubiKey 12345678 does not answer yet: touch it if it blinks"),
        "{}",
        yank.said
    );
    assert!(world.card.wait_touch(Duration::from_secs(60)));
    world.card.touch();
    yank.succeeds();
    world.edit_enrollments(|text| text.replace("pin = \"once\"", "pin = \"never\""));
    world.card.power_off();
    world.card.inject(Fault::TouchNever);
    let yank = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    world.card.inject(Fault::Transmit { nth: 3, effect: Effect::StatusWord(0x6982) });
    yank.fails().says(&["a key of YubiKey 12345678 asks for more than its enrollment says"]);
}

/// What makes a token too long is known before the person gives a PIN for it.
#[test]
fn what_is_too_long_is_said_first() {
    let world = World::enrolled();
    world.card.power_off();
    world.card.clear_trace();
    let version = format!("1.0.0+{}", "a".repeat(3000));
    let request = serde_json::json!({
        "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME},
        "kind": "get", "operation": "publish", "name": "alpha", "vers": version, "cksum": "0".repeat(64),
    });
    let outcome = world.provider(&request.to_string()).succeeds();
    let message = outcome.answer()["Err"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("the token has ") && message.contains("at most 4096 are accepted"),
        "{message}"
    );
    assert!(!message.contains("card"), "{message}");
    assert!(Seen::on(&world.card).nothing());
    let yank = format!("alpha@{version}");
    world.yk_cargo(["token", NAME, "--yank", &yank]).fails().says(&["at most 4096 are accepted"]);
    // A subject or a URL for which no token has room is refused before keys are made.
    let long = "s".repeat(3500);
    let url = format!("sparse+http://localhost:9/{long}/");
    for arguments in [&["enroll", ELSEWHERE, "--subject", &long, "--yes"][..], &["enroll", &url, "--yes"]] {
        world.yk_cargo(arguments).fails().says(&["at most 4096 are accepted"]);
    }
    // There is room for the token, and none for the certificate on the card.
    let url = format!("sparse+http://localhost:9/{}/", "u".repeat(2300));
    let label = "\u{1f980}".repeat(64);
    world.yk_cargo(["enroll", &url, "--yes", "--label", &label]).fails().says(&["the index URL is too long"]);
    let seen = Seen::on(&world.card);
    assert!(!seen.changed_anything() && seen.pins() == 0 && seen.all_signatures() == 0);
}

/// A registry whose nonce nobody could sign is found out before the code is read or a key is made.
#[test]
fn a_nonce_that_cannot_be_signed() {
    let nonces = ["n".repeat(3000), String::new(), "a b".into(), "a\u{1b}[2J".into()];
    let says = ["error: the registry's nonce has", "nothing was made or signed"];
    let unsignable = nonces.map(|nonce| (nonce, "index", says));
    // A nonce of a length that is allowed, with a URL for which there would be room without it.
    let (longest, long) = ("n".repeat(1024), "i".repeat(1800));
    let says = ["error: the token has", "challenge and index URL; shorten"];
    for (nonce, folder, says) in unsignable.into_iter().chain([(longest, long.as_str(), says)]) {
        let (listener, base) = loopback::bind(false);
        let (index, api) = (format!("sparse+{base}/{folder}/"), base.clone());
        let config = format!("/{folder}/config.json");
        let named = index.clone();
        loopback::serve(listener, None, move |request| {
            let body = match request.path.as_str() {
                path if path == config => serde_json::json!({ "dl": format!("{api}/dl"), "api": api }),
                "/api/v1/enroll" => serde_json::json!({
                    "version": 1, "index": named, "nonce": nonce, "attestation": "off",
                }),
                _ => return Reply::new("404 Not Found", ""),
            };
            Reply::new("200 OK", body.to_string())
        });
        let world = World::new();
        let enroll = world.yk_cargo(["enroll", &index, "--yes", "--invite"]).input("CODE\n").fails();
        enroll.says(&says);
        assert!(Seen::on(&world.card).nothing());
    }
}

#[test]
fn a_registry_that_is_dead_is_not_refreshed() {
    let world = World::new();
    world.yk_cargo(["enroll", ELSEWHERE, "--yes"]).succeeds();
    let before = fs::read(world.enrollments_file()).unwrap();
    world.card.clear_trace();
    world.yk_cargo(["enroll", ELSEWHERE, "--refresh", "--yes"]).fails().says(&[
        "nothing was changed, and yk-cargo still assumes that it issues no challenges",
        "run the command again when the registry answers",
    ]);
    assert_eq!(fs::read(world.enrollments_file()).unwrap(), before);
    assert!(Seen::on(&world.card).nothing());
}

/// However they meet, there is one key of each role in the end, and whoever gives way says so.
#[test]
fn two_enrollments_at_once() {
    let world = World::new();
    let enroll = || world.yk_cargo(["enroll", NAME, "--yes"]);
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| enroll().ends()), scope.spawn(|| enroll().ends())];
        for outcome in both.map(|one| one.join().unwrap()) {
            if !outcome.status.success() {
                outcome.says(&[
                    "another yk-cargo is making this key",
                    "let it finish, then run the command again",
                ]);
            }
        }
    });
    enroll().succeeds();
    let slots: Vec<_> = world.registry().cards[0].keys.iter().map(|key| key.slot.to_string()).collect();
    assert_eq!(slots, ["82", "83"]);
    let used = Seen::on(&world.card);
    let made = used.instructions().iter().filter(|name| name.starts_with("GENERATE")).count();
    assert_eq!(made, 2, "{:?}", used.instructions());
    world.yk_cargo(["token", NAME, "--read"]).succeeds();
}

/// Keys whose first signature is wrong are not left enrolled; an honest run takes them up again.
#[test]
fn keys_that_do_not_sign_are_not_enrolled() {
    let honest = World::new();
    honest.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    let last = Seen::on(&honest.card).instructions().len();
    for (nth, lie, says) in [
        (last, Effect::Corrupt(20), "the card's signature does not match the enrolled key"),
        (last, Effect::Corrupt(0), "the card's answer makes no sense (signature)"),
    ] {
        let world = World::new();
        world.card.inject(Fault::Transmit { nth, effect: lie });
        let enroll = world.yk_cargo(["enroll", NAME, "--yes"]).fails();
        enroll.says(&[says, "warning: the keys were made but are not enrolled"]);
        world.yk_cargo(["token", NAME, "--read"]).fails().says(&["no read key is enrolled"]);
        world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
        let keys = world.registry().cards[0].keys.clone();
        assert_eq!(keys.iter().map(|key| key.slot.to_string()).collect::<Vec<_>>(), ["82", "83"]);
    }
}

/// What a person at a terminal sees of a management key that wants a touch: the second chance too.
#[test]
fn a_second_chance_for_the_management_key() {
    let world = with_management_touch("always", Touch::Manual, Duration::from_secs(3));
    let line = format!("yk-cargo enroll {ELSEWHERE} --no-configure && echo DONE || echo FAILED");
    let mut session = world.at_a_terminal(&line);
    expect(&mut session, &["needs 3 touches", "Make these keys? [y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["touch YubiKey 12345678 now", "it was not touched in time; asking once more"]);
    assert!(world.card.wait_touch(Duration::from_secs(60)));
    world.card.touch();
    for _ in 0..2 {
        expect(&mut session, &["touch YubiKey 12345678 now"]);
        assert!(world.card.wait_touch(Duration::from_secs(60)));
        world.card.touch();
    }
    expect(&mut session, &["DONE"]);
}

/// On every road: the number is asked for once, and the keys are known from then on.
#[test]
fn a_card_that_never_told_its_number() {
    let hidden = Traits { serial_hidden: true, ..Traits::default() };
    let world = World::with(Reads::AuthRequired, |card| card.traits(hidden).puk("87654321"));
    world.yk_cargo(["enroll", NAME, "--yes"]).fails().says(&[
        "this YubiKey does not report its serial number",
        "--serial NUMBER; if an OTP slot hides it, `ykman otp settings SLOT` makes it visible again",
    ]);
    let world = world.enroll_with(&["--serial", "12345678"]);
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    for (arguments, says) in [
        (&["status"][..], "YubiKey 12345678 (laptop key)  plugged in"),
        (&["attest", NAME], "BEGIN CERTIFICATE"),
        (&["token", NAME, "--yank", "alpha@0.1.0"], "v3.public."),
    ] {
        let outcome = world.yk_cargo(arguments).succeeds();
        assert!(outcome.stdout.contains(says), "{outcome:#?}");
    }
    assert_eq!(world.keys_finding().0, "YubiKey 12345678 has its keys for `my-reg`");
    // It is recognised: nobody names the number again.
    world.yk_cargo(["enroll", ELSEWHERE, "--yes"]).succeeds();
    world
        .yk_cargo(["enroll", NAME, "--yes"])
        .succeeds()
        .says(&["YubiKey 12345678 is already enrolled there"]);
    world
        .yk_cargo(["seal", "sparse+http://localhost:9/sealed/", "--yes", "--no-check"])
        .input("token-123\n")
        .succeeds();
    world
        .yk_cargo(["forget", ELSEWHERE, "--yes"])
        .succeeds()
        .says(&["key stays in slot 85 of YubiKey 12345678"]);
}

/// Nobody can touch a card there. It is recognised by its answer to reset, in which the reader has changed a letter.
#[test]
fn a_card_on_an_nfc_reader() {
    let saved = tempfile::tempdir().unwrap();
    let state = saved.path().join("card");
    let mut world = World::with(Reads::AuthRequired, |card| card.state(&state)).enroll();
    world.card.daemon().stop();
    let on_nfc =
        |traits| MockCard::builder().serial(SERIAL).pin(PIN).state(&state).traits(traits).start().unwrap();
    let nfc = Traits { transport: Transport::Nfc, ..Traits::default() };
    world.exchange_card(on_nfc(nfc));
    world.yk_cargo(["token", NAME, "--read"]).succeeds();
    let yank = || world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    let refused = yank().fails();
    refused.says(&["needs a touch, which is not possible on an NFC reader", "hint: plug it into a USB port"]);
    assert!(!refused.stderr.contains("it blinks"), "{refused:#?}");
    assert_eq!(world.card.pin_tries(), 3);
    world.card.daemon().stop();
    world.exchange_card(on_nfc(Traits { piv_disabled: true, ..nfc }));
    let off =
        ["PIV is switched off on this YubiKey", "switch PIV on for NFC with `ykman config nfc --enable PIV`"];
    world.yk_cargo(["token", NAME, "--read"]).fails().says(&off);
    let status = world.yk_cargo(["status"]).succeeds();
    assert!(status.stdout.contains("ykman config nfc --enable PIV"), "{status:#?}");
}

#[test]
fn a_yubikey_bio() {
    let world = World::with(Reads::AuthRequired, |card| card.firmware("5.7.2-bio".parse().unwrap())).enroll();
    let finding = |check: &str| {
        let doctor = world.yk_cargo(["doctor", "--json"]).ends();
        let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
        let found: Vec<_> = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| found["check"] == check)
            .cloned()
            .collect();
        found
    };
    let puk = finding("PUK");
    assert_eq!(puk.len(), 1, "{puk:#?}");
    assert_eq!(puk[0]["text"], "YubiKey 12345678 has no PUK, so a blocked PIN could not be unblocked");
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    world.card.power_off();
    world.card.set_pin_tries(0);
    assert!(finding("PIN").iter().any(|found| found["next"] == "ykman --device 12345678 config reset"));
    let status = world.yk_cargo(["status"]).succeeds();
    assert!(status.stdout.contains("run `ykman --device 12345678 config reset`"), "{status:#?}");
}

/// The certificate in slot F9 of a YubiKey 4 lacks basicConstraints: who wants to believe it decides that, and it is given out.
#[test]
fn a_yubikey_4_attests() {
    let world = World::with(Reads::AuthRequired, |card| card.firmware("4.3.7".parse().unwrap()));
    let world = world.enroll_with(&["--serial", "12345678", "--slot", "82,83"]);
    let attest = world.yk_cargo(["attest", NAME]).succeeds();
    assert_eq!(attest.stdout.matches("BEGIN CERTIFICATE").count(), 4, "{attest:#?}");
}
