//! Sealed tokens in `list`, `status` and `doctor`; and beside other credential providers.

use std::fs;

use serde_json::{Value, json};

use crate::sealed::{Sealed, TOKEN};
use crate::trace::Seen;
use crate::world::{NAME, Reads};

impl Sealed {
    fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.world.yk_cargo([command, "--json"]).ends().stdout).unwrap()
    }

    /// What doctor says of this check.
    fn diagnosis(&self, check: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let diagnosis = self.json("doctor");
        let checks = diagnosis["checks"].as_array().unwrap().iter().filter(|found| found["check"] == check);
        checks
            .map(|found| (text(&found["result"]), text(&found["text"]) + " " + &text(&found["next"])))
            .collect()
    }
}

#[test]
fn list_shows_what_age_needs() {
    let sealed = Sealed::new(Reads::Open);
    let outcome = sealed.world.yk_cargo(["list"]).succeeds();
    for line in [
        &format!("my-reg  {}", sealed.registry.index_url()),
        "  bearer token, sealed today; opens with YubiKey 12345678 (laptop key)",
        "key for sealed tokens  YubiKey 12345678  laptop key  firmware 5.7.4",
        "    slot 95  PIN once, touch cached",
    ] {
        assert!(outcome.stdout.lines().any(|found| found == line), "no {line:?} in {outcome:#?}");
    }
    assert!(
        outcome.stdout.contains("    age1yubikey1") && outcome.stdout.contains("    AGE-PLUGIN-YUBIKEY-1")
    );
    outcome.says(&["yk-cargo seal --add-card"]);
    let list = sealed.json("list");
    assert_eq!(list["sealed"][0]["cards"], json!([12_345_678]));
    assert_eq!(list["sealed"][0]["file"], sealed.file().display().to_string());
    assert_eq!((&list["sealed"][0]["reads"], &list["sealed"][0]["error"]), (&json!("open"), &Value::Null));
    assert_eq!(list["sealing-keys"][0]["slot"], "95");
    assert!(Seen::on(&sealed.world.card).instructions().is_empty());
}

/// What status promises is what a publish then takes.
#[test]
fn status_says_what_the_next_publish_asks_for() {
    let sealed = Sealed::new(Reads::Open);
    let promised = || sealed.json("status")["sealed"][0]["next-publish"].clone();
    assert_eq!(promised(), json!({"possible": true, "serial": 12_345_678, "pins": 1, "touches": 1}));
    sealed.world.publish(&sealed.world.package("alpha", "0.1.0", "")).succeeds();
    assert_eq!(promised()["pins"], 0);
    let text = sealed.world.yk_cargo(["status"]).succeeds().stdout;
    assert!(text.contains("the next `cargo publish` asks for a touch (YubiKey 12345678"), "{text}");
    sealed.world.card.unplug();
    assert_eq!(promised()["reason"], "no-card");
    let text = sealed.world.yk_cargo(["status"]).succeeds().stdout;
    assert!(text.contains("to publish, plug in YubiKey 12345678 (laptop key)"), "{text}");
}

#[test]
fn doctor_looks_at_sealed_tokens() {
    let sealed = Sealed::new(Reads::Open);
    let found = sealed.diagnosis("sealed token");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].0 == "warning" && found[0].1.ends_with("(laptop key) only yk-cargo seal --add-card"),
        "{found:?}"
    );
    let provider = sealed.diagnosis("credential provider");
    assert_eq!(provider[0].0, "ok", "{provider:?}");

    let file = sealed.world.enrollments_file();
    let text = fs::read_to_string(&file).unwrap();
    let since = text.lines().find(|line| line.starts_with("since")).unwrap();
    fs::write(&file, text.replace(since, "since = \"2020-01-01T00:00:00Z\"")).unwrap();
    let found = sealed.diagnosis("sealed token");
    assert!(found[0].1.contains("it is old yk-cargo seal my-reg --rotate"), "{found:?}");

    sealed.world.write("home/credentials.toml", &format!("[registries.{NAME}]\ntoken = \"x\"\n"));
    let found = sealed.diagnosis("token in clear");
    assert!(found[0].0 == "failed" && found[0].1.contains("still has a token for `my-reg`"), "{found:?}");

    fs::write(sealed.file(), "nonsense").unwrap();
    let found = sealed.diagnosis("sealed token");
    assert!(found[0].0 == "failed" && found[0].1.contains("it is damaged"), "{found:?}");
    sealed.world.write(
        "home/config.toml",
        &format!("[registries.{NAME}]\nindex = \"{}\"\n", sealed.registry.index_url()),
    );
    let provider = sealed.diagnosis("credential provider");
    assert!(provider[0].1.ends_with("yk-cargo seal my-reg --rotate --configure"), "{provider:?}");
}

/// In a global list, the others get their turn for what is not sealed.
#[test]
fn other_providers_get_their_turn() {
    let sealed = Sealed::new(Reads::Open);
    let ours = env!("CARGO_BIN_EXE_yk-cargo");
    let index = sealed.registry.index_url();
    let global = format!(
        "[registries.{NAME}]\nindex = \"{index}\"\n[registry]\nglobal-credential-providers = [\"cargo:token\", \"{ours}\"]\n"
    );
    sealed.world.write("home/config.toml", &global);
    sealed.yank().succeeds().says(&["opening the token of `my-reg`"]);
    sealed.world.yk_cargo(["unseal", NAME, "--restore", "--yes"]).succeeds();
    sealed.world.card.clear_trace();
    let outcome = sealed.yank().succeeds();
    assert!(!outcome.stderr.contains(TOKEN));
    assert!(Seen::on(&sealed.world.card).nothing());
    assert_eq!(sealed.registry.done().len(), 2);
}
