//! What a person asks the program on a day without a publish.

use serde_json::{Value, json};

use crate::trace::Seen;
use crate::world::{NAME, SERIAL, World};

#[test]
#[ignore = "cargo xtask windows runs it"]
fn list_shows_what_is_enrolled() {
    let world = World::enrolled();
    let shown = world.yk_cargo(["list"]).succeeds().stdout;
    for text in [NAME, world.gateway.index_url(), "laptop key", "k3.pid."] {
        assert!(shown.contains(text), "no {text:?} in {shown}");
    }
    assert!(Seen::on(&world.card).nothing(), "no card is needed");
}

/// What status promises is what a publish then takes.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn status_promises_what_a_publish_then_takes() {
    let world = World::enrolled().forgets_its_pin();
    let shown = world.yk_cargo(["status"]).succeeds().stdout;
    let line = "  \u{2713} the next `cargo publish` asks for the PIN and a touch (YubiKey 12345678)";
    assert!(shown.lines().any(|found| found == line), "no {line:?} in {shown}");
    let status: Value =
        serde_json::from_str(&world.yk_cargo(["status", "--json"]).succeeds().stdout).unwrap();
    let promised = json!({ "possible": true, "serial": SERIAL, "pins": 1, "touches": 1 });
    assert_eq!(status["registries"][0]["next-publish"], promised);
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (0, 0, 0));
    seen.assert_well_mannered();

    world.card.clear_trace();
    let owners = world.get(&json!({"operation": "owners", "name": "alpha"})).succeeds();
    assert!(owners.answer()["Ok"]["token"].is_string());
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1));
}

/// On a card whose owner has changed what came from the factory there is nothing to be mended; the provider is found by its path.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn doctor_finds_nothing_to_mend() {
    let world = World::with(|card| card.puk("87654321").management_key(&[0xA5; 24]));
    let key = world.write("key.bat", &format!("@echo {}\r\n", "a5".repeat(24)));
    let key = world.to_windows(&key);
    let world = world.enroll(&["--management-key-command", &key]);
    let outcome = world.yk_cargo(["doctor", "--json"]).ends();
    assert!(outcome.status.success(), "{outcome:#?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let failed = report["checks"].as_array().unwrap().iter().any(|check| check["result"] == "failed");
    assert!(!failed, "{outcome:#?}");
    assert!(outcome.stdout.contains("cargo uses yk-cargo for `my-reg`"), "{outcome:#?}");
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches()), (0, 0));
    seen.assert_well_mannered();
}

/// Where the service is not running, the next step is one of this system's.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn doctor_without_a_service_names_what_windows_has() {
    let mut world = World::enrolled();
    world.tell("PCSCLITE_CSOCK_NAME", "/build/no-such-socket");
    let outcome = world.yk_cargo(["doctor"]).fails();
    let shown = outcome.stdout + &outcome.stderr;
    assert!(shown.contains("PowerShell: Start-Service SCardSvr"), "{shown}");
    for foreign in ["systemctl", "apt-get", "pcscd", "sudo"] {
        assert!(!shown.contains(foreign), "{foreign} in {shown}");
    }
}
