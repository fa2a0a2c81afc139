//! Cargo's requests, letter by letter, and each kind of answer.

use asymmetric_token::Untrusted;
use mock_card::{Effect, Event, Fault};
use serde_json::{Value, json};

use crate::trace::Seen;
use crate::world::{NAME, World};

/// The text of an answer that cargo shows.
fn refusal(answer: &Value) -> &str {
    assert_eq!(answer["Err"]["kind"], "other", "{answer}");
    answer["Err"]["message"].as_str().unwrap()
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn each_operation_is_signed_by_its_key() {
    let world = World::enrolled();
    let sum = "0".repeat(64);
    for (operation, slot) in [
        (json!({"operation": "read"}), "82"),
        (json!({"operation": "publish", "name": "alpha", "vers": "0.1.0", "cksum": sum}), "83"),
        (json!({"operation": "yank", "name": "alpha", "vers": "0.1.0"}), "83"),
        (json!({"operation": "unyank", "name": "alpha", "vers": "0.1.0"}), "83"),
        (json!({"operation": "owners", "name": "alpha"}), "83"),
    ] {
        world.card.clear_trace();
        let answer = world.get(&operation).succeeds().answer();
        let token = Untrusted::parse(answer["Ok"]["token"].as_str().unwrap()).unwrap();
        let claims = token.unverified_claims().unwrap();
        let is_read = slot == "82";
        assert_eq!(
            claims.mutation.map_or("read", |mutation| mutation.kind()),
            operation["operation"].as_str().unwrap()
        );
        let cache = if is_read { "expires" } else { "never" };
        assert_eq!(
            (&answer["Ok"]["cache"], &answer["Ok"]["operation_independent"]),
            (&json!(cache), &json!(false))
        );
        let seen = Seen::on(&world.card);
        let touches = usize::from(!is_read);
        assert_eq!((seen.signatures(slot), seen.all_signatures(), seen.touches()), (1, 1, touches));
        seen.assert_well_mannered();
    }
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn another_registry_is_left_to_the_next_provider() {
    let world = World::enrolled();
    for (index, name) in [("sparse+http://127.0.0.1:9/evil/", NAME), ("sparse+https://e.example/", "other")] {
        let request = json!({
            "v": 1, "registry": {"index-url": index, "name": name}, "kind": "get",
            "operation": "yank", "name": "alpha", "vers": "0.1.0",
        });
        let outcome = world.provider(&request.to_string()).succeeds();
        assert_eq!(outcome.answer(), json!({"Err": {"kind": "not-found"}}));
    }
    assert!(Seen::on(&world.card).nothing());
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn what_is_no_request_is_said_to_be_none() {
    let world = World::enrolled();
    let registry = format!(r#""registry":{{"index-url":"{}"}}"#, world.gateway.index_url());
    for (request, text) in [
        ("text".to_owned(), "not JSON"),
        ("{}".to_owned(), "cannot understand"),
        (format!(r#"{{"v":2,{registry},"kind":"get","operation":"read"}}"#), "version 2 of the protocol"),
        (
            format!(r#"{{"v":1,{registry},"kind":"get","operation":"yank","name":"../x","vers":"0.1.0"}}"#),
            "not a crate",
        ),
        (
            format!(r#"{{"v":1,{registry},"kind":"get","operation":"read","args":["--slot","9c"]}}"#),
            "takes no arguments",
        ),
    ] {
        let answer = world.provider(&request).succeeds().answer();
        assert!(refusal(&answer).contains(text), "{answer}");
    }
    for request in [
        format!(r#"{{"v":1,{registry},"kind":"get","operation":"transfer"}}"#),
        format!(r#"{{"v":1,{registry},"kind":"dance"}}"#),
    ] {
        let answer = world.provider(&request).succeeds().answer();
        assert_eq!(answer, json!({"Err": {"kind": "operation-not-supported"}}));
    }
    assert!(Seen::on(&world.card).nothing());
    // As an editor or a script may send it.
    let request = format!("{{\"v\":1,{registry},\"kind\":\"get\",\"operation\":\"read\"}}\r");
    assert!(world.provider(&request).succeeds().answer()["Ok"]["token"].is_string());
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn login_shows_the_card_and_logout_forgets_nothing_unasked() {
    let world = World::enrolled();
    let ask = |kind: &str| {
        let request =
            json!({"v": 1, "registry": {"index-url": world.gateway.index_url(), "name": NAME}, "kind": kind});
        world.provider(&request.to_string()).succeeds()
    };
    let login = ask("login");
    login.says(&["`my-reg` is enrolled, and YubiKey 12345678 is plugged in"]);
    assert_eq!(login.answer(), json!({"Ok": {"kind": "login"}}));
    assert!(refusal(&ask("logout").answer()).contains("there is no terminal to ask on"));
    assert_eq!(world.registry().cards.len(), 1);
    assert_eq!(Seen::on(&world.card).all_signatures(), 0);
}

/// Each of these is an answer with a next step, and spends neither a signature nor a try.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn what_stops_a_signature_is_an_answer() {
    let mut world = World::enrolled().forgets_its_pin();
    world.write("home/yk-cargo/config.toml", "[wait]\r\nconnect = 1\r\ninsertion = 1\r\n");
    let yank = json!({"operation": "yank", "name": "alpha", "vers": "0.1.0"});
    let refused = |world: &World, texts: &[&str]| {
        let answer = world.get(&yank).succeeds().answer();
        for text in texts {
            assert!(refusal(&answer).contains(text), "no {text:?} in {answer}");
        }
        assert_eq!(Seen::on(&world.card).all_signatures(), 0);
        assert_eq!(Seen::on(&world.card).pins(), 0);
    };
    world.card.set_pin_tries(1);
    refused(&world, &["only one try is left before the PIN of YubiKey 12345678 is blocked"]);
    world.card.set_pin_tries(0);
    refused(&world, &["the PIN of YubiKey 12345678 is blocked", "ykman"]);
    world.card.set_pin_tries(3);
    world.card.hold_exclusive();
    refused(&world, &["another program is using the YubiKey"]);
    world.card.release();
    world.card.hold_transaction();
    refused(&world, &["gave up waiting for another program to let go of the YubiKey"]);
    world.card.release();
    world.card.unplug();
    refused(&world, &["no YubiKey is plugged in; this needs YubiKey 12345678 (laptop key)"]);
    world.card.plug();
    world.card.inject(Fault::Transmit { nth: 3, effect: Effect::Before(Event::Unplug) });
    refused(&world, &["the YubiKey was unplugged, or does not answer"]);
    world.card.plug();
    let declines = world.write("declines.bat", "@exit /b 1\r\n");
    world.tell("YK_CARGO_PIN_COMMAND", world.to_windows(&declines));
    refused(&world, &["the PIN command declined"]);
    world.tell("YK_CARGO_PIN_COMMAND", "Z:\\no\\such\\program.exe");
    refused(&world, &["cannot run the PIN command"]);
    world.tell_nothing_of("YK_CARGO_PIN_COMMAND");
    refused(&world, &["YubiKey 12345678 needs its PIN, and there is no terminal to ask for it"]);
    assert_eq!(world.card.pin_tries(), 3);
}

/// A wrong PIN from a program costs one try, and it is not run again.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_wrong_pin_of_a_program_costs_one_try() {
    let mut world = World::enrolled().forgets_its_pin();
    let wrong = world.write("wrong.bat", "@echo 111222\r\n@echo ran >> Z:%~pn0.ran\r\n");
    world.tell("YK_CARGO_PIN_COMMAND", world.to_windows(&wrong));
    let answer = world.get(&json!({"operation": "owners", "name": "alpha"})).succeeds().answer();
    assert!(refusal(&answer).contains("wrong"), "{answer}");
    assert_eq!((world.card.pin_tries(), Seen::on(&world.card).pins()), (2, 1));
    assert_eq!(world.read("wrong.ran").lines().count(), 1);
}

/// What Wine cannot show: a key that is not touched in time has no status word on Windows, and a card whose transaction
/// was idle is reset.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn what_only_the_service_of_windows_says() {
    let world = World::enrolled().forgets_its_pin();
    let owners = json!({"operation": "owners", "name": "alpha"});
    world.card.inject(Fault::Transmit { nth: 7, effect: Effect::Fail(0x8010_002F) });
    let answer = world.get(&owners).succeeds().answer();
    assert!(refusal(&answer).contains("was not touched in time; nothing was signed"), "{answer}");
    assert_eq!(Seen::on(&world.card).all_signatures(), 0);
    let world = world.forgets_its_pin();
    for nth in 1..=7 {
        for effect in [Effect::Before(Event::Reset), Effect::After(Event::Reset)] {
            world.card.power_off();
            world.card.clear_trace();
            world.card.inject(Fault::Transmit { nth, effect });
            let answer = world.get(&owners).succeeds().answer();
            assert!(answer["Ok"]["token"].is_string(), "{nth} {effect:?}: {answer}");
        }
    }
    assert_eq!(world.card.pin_tries(), 3);
}
