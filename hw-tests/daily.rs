//! `status`, `attest`, `completions`, the man pages.

use asymmetric_token::PublicKey;
use mock_card::MockCard;
use serde_json::{Value, json};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use yk_cargo::piv::P384;
use yk_cargo::piv::attestation::Attestation;

use crate::trace::Seen;
use crate::world::{NAME, PIN, SERIAL, World};

fn status(world: &World) -> Value {
    serde_json::from_str(&world.yk_cargo(["status", "--json"]).succeeds().stdout).unwrap()
}

/// What status promises is what a publish then takes.
#[test]
fn status_says_what_the_next_publish_asks_for() {
    let world = World::enrolled();
    world.card.power_off();
    let text = world.yk_cargo(["status"]).succeeds().stdout;
    for line in [
        "YubiKey 12345678  firmware 5.7.4  PIN not verified, 3 tries left",
        &format!("my-reg  {}", world.gateway.index_url()),
        "  YubiKey 12345678 (laptop key)  plugged in",
        "  \u{2713} the next `cargo publish` asks for the PIN and a touch (YubiKey 12345678)",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
    }
    let promised = status(&world)["registries"][0]["next-publish"].clone();
    assert_eq!(promised, json!({ "possible": true, "serial": SERIAL, "pins": 1, "touches": 1 }));

    world.card.clear_trace();
    let package = world.package("alpha", "0.1.0", "");
    world.publish(&package).succeeds();
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1));
    let now = status(&world);
    assert_eq!(now["version"], 1);
    assert_eq!(now["cards"][0]["pin"], json!({ "state": "verified" }));
    assert_eq!(now["registries"][0]["next-publish"]["pins"], 0);

    world.card.clear_trace();
    world.publish(&world.package("beta", "0.1.0", "")).succeeds();
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (0, 1));
}

#[test]
fn status_leaves_the_card_as_it_was() {
    let world = World::enrolled();
    world.yk_cargo(["status"]).succeeds();
    let seen = Seen::on(&world.card);
    // One to look, and one for the read token with which the registry is asked.
    assert_eq!((seen.pins(), seen.touches(), seen.transactions()), (0, 0, 2));
    assert_eq!(seen.all_signatures(), 1);
    seen.assert_well_mannered();
}

#[test]
fn status_says_why_a_publish_is_not_possible() {
    let world = World::enrolled();
    let outlook = || status(&world)["registries"][0]["next-publish"].clone();
    world.card.power_off();
    world.card.set_pin_tries(0);
    assert_eq!(outlook()["reason"], "pin-blocked");
    let text = world.yk_cargo(["status"]).succeeds().stdout;
    assert!(text.contains("\u{2717} cannot publish: the PIN of YubiKey 12345678 is blocked"), "{text}");
    world.wait("connect = 1");
    world.card.hold_exclusive();
    assert_eq!(outlook()["reason"], "unreadable-card");
    let text = world.yk_cargo(["status"]).succeeds().stdout;
    assert!(text.contains("\u{2717} to publish, YubiKey 12345678 (laptop key) must be free"), "{text}");
    world.card.release();
    world.card.unplug();
    assert_eq!(outlook()["reason"], "no-card");
    let text = world.yk_cargo(["status"]).succeeds().stdout;
    assert!(text.contains("no YubiKey is plugged in"), "{text}");
    assert!(text.contains("to publish, plug in YubiKey 12345678 (laptop key)"), "{text}");

    let nobody = world.yk_cargo(["status"]).env("PCSCLITE_CSOCK_NAME", world.path("no-socket")).succeeds();
    nobody.says(&["error: the smart card service is not running", "hint: "]);
    assert!(nobody.stdout.contains("my-reg"), "what is enrolled is shown all the same: {nobody:#?}");
    World::new().yk_cargo(["status"]).succeeds().says(&["nothing is enrolled yet"]);
}

fn certificates(pem: &str) -> Vec<Certificate> {
    Certificate::load_pem_chain(pem.as_bytes()).unwrap()
}

/// Each key's statement, followed by the card's own certificate that signed it.
#[test]
fn attest_prints_a_chain_for_each_key() {
    let world = World::enrolled();
    let outcome = world.yk_cargo(["attest", NAME]).succeeds();
    let keys = world.registry().cards[0].keys.clone();
    outcome.says(&["read key in slot 82", "publish key in slot 83", &keys[1].public.id().to_string()]);
    let chain = certificates(&outcome.stdout);
    assert_eq!(chain.len(), 4);
    for (chain, key) in chain.chunks(2).zip(&keys) {
        let attestation = Attestation::read(&chain[0].to_der().unwrap()).unwrap();
        let public = PublicKey::from_uncompressed(&attestation.point(&P384).unwrap()).unwrap();
        assert_eq!((public, attestation.touch), (key.public, key.touch));
        assert_eq!(chain[0].tbs_certificate().issuer(), chain[1].tbs_certificate().subject());
        assert!(Certificate::from_der(&chain[1].to_der().unwrap()).is_ok());
    }
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.all_signatures()), (0, 0, 0));
    seen.assert_well_mannered();
}

#[test]
fn attest_of_what_is_not_there() {
    let world = World::enrolled();
    world.yk_cargo(["attest", "sparse+https://other.example/"]).fails().says(&["is not enrolled"]);
    let reset = MockCard::builder().serial(SERIAL).pin(PIN).start().unwrap();
    let attest = |card: &MockCard| world.yk_cargo(["attest", NAME]).env("PCSCLITE_CSOCK_NAME", card.socket());
    assert_eq!(attest(&reset).fails().stdout, "");
    let other = MockCard::builder().serial(23_456_789).pin(PIN).start().unwrap();
    attest(&other).fails().says(&["YubiKey 23456789 is plugged in, but this needs YubiKey 12345678"]);
    world.card.unplug();
    world.yk_cargo(["attest", NAME]).fails().says(&["no YubiKey is plugged in"]);
    // The card with the right number and other keys.
    let stranger = World::enrolled();
    attest(&stranger.card).fails().says(&["slot 82 of YubiKey 12345678 no longer holds the enrolled key"]);
}

#[test]
fn every_shell_has_a_script_and_every_command_a_page() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(world.yk_cargo(["completions", shell]).succeeds().stdout.contains("yk-cargo"), "{shell}");
    }
    let pages = world.path("man");
    world.yk_cargo(["man", pages.to_str().unwrap()]).succeeds();
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("yk-cargo.1").contains(".TH yk-cargo 1"));
    assert!(page("yk-cargo-enroll.1").contains("management\\-key\\-command"));
    assert!(!pages.join("yk-cargo-man.1").exists(), "it is hidden");
    assert!(Seen::on(&world.card).nothing());
}

#[test]
fn colours_are_for_those_who_want_them() {
    let world = World::new();
    let coloured = |text: &str| text.contains('\x1b');
    let fails =
        |name: &str, value: &str| world.yk_cargo(["attest", "nowhere"]).env(name, value).fails().stderr;
    assert!(!coloured(&fails("UNUSED", "1")), "stderr is a pipe here");
    assert!(coloured(&fails("CLICOLOR_FORCE", "1")));
    let both = world.yk_cargo(["attest", "nowhere"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").fails();
    assert!(!coloured(&both.stderr), "{both:#?}");
    for (chosen, expected) in [("always", true), ("never", false), ("auto", true)] {
        world.write("home/yk-cargo/config.toml", &format!("color = \"{chosen}\"\n"));
        let variable = if chosen == "always" { "NO_COLOR" } else { "CLICOLOR_FORCE" };
        assert_eq!(coloured(&fails(variable, "1")), expected, "{chosen}");
    }
}

/// `yk-cargo completions bash | head`
#[test]
fn nobody_has_to_read_to_the_end() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_yk-cargo"));
    world.environment(&mut command);
    let output = command.args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:#?}");
}
