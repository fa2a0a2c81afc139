//! `list`, `inspect`, `token`, `forget`.

use asymmetric_token::{Mutation, Untrusted};
use mock_card::MockCard;
use serde_json::{Value, json};

use crate::trace::Seen;
use crate::world::{NAME, PIN, SERIAL, World};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn list_shows_what_is_enrolled_without_asking_a_card() {
    let world = World::enrolled();
    let text = world.yk_cargo(["list"]).succeeds();
    let key = world.registry().cards[0].keys[1];
    let id = key.public.id().to_string();
    for part in [NAME, world.gateway.index_url(), "YubiKey 12345678  laptop key", "slot 83", &id] {
        assert!(text.stdout.contains(part), "{text:#?}");
    }
    text.says(&["has one card", "yk-cargo enroll my-reg --backup"]);
    let list = json_of(&world.yk_cargo(["list", "--json"]).succeeds().stdout);
    assert_eq!(list["version"], 1);
    let registry = &list["registries"][0];
    assert_eq!(registry["index"], world.gateway.index_url());
    assert_eq!(registry["cards"][0]["serial"], 12_345_678);
    assert_eq!(registry["cards"][0]["keys"][1]["public"], key.public.to_string());
    assert_eq!(list["unfinished"], json!([]));
    assert!(Seen::on(&world.card).nothing());
    World::new().yk_cargo(["list"]).succeeds().says(&["nothing is enrolled yet"]);
}

#[test]
fn token_prints_the_token_alone() {
    let world = World::enrolled();
    let key = *world.registry().cards[0].key(true).unwrap();
    let package = world.package("alpha", "0.1.0", "");
    world.cargo(&package, ["package"]).succeeds();
    let file = world.path("target/package/alpha-0.1.0.crate");
    let file = file.to_str().unwrap();
    let token = world.yk_cargo(["token", NAME, "--publish", file]).succeeds().stdout;
    let verified = Untrusted::parse(token.trim_end()).unwrap().verify(&key.public).unwrap();
    assert_eq!(verified.footer.url, world.gateway.index_url());
    let Some(Mutation::Publish { name, version, checksum }) = verified.claims.mutation else { panic!() };
    assert_eq!((name.as_str(), version.to_string()), ("alpha", "0.1.0".to_owned()));
    let sum = std::process::Command::new("sha256sum").arg(file).output().unwrap().stdout;
    assert!(String::from_utf8(sum).unwrap().starts_with(&checksum.to_string()));

    let unyank = world.yk_cargo(["token", NAME, "--unyank", "alpha@0.1.0"]).succeeds().stdout;
    let verified = Untrusted::parse(unyank.trim_end()).unwrap().verify(&key.public).unwrap();
    assert_eq!(verified.claims.mutation.unwrap().kind(), "unyank");
    let read = world.yk_cargo(["token", world.gateway.index_url(), "--read"]).succeeds().stdout;
    assert_eq!(Untrusted::parse(read.trim_end()).unwrap().unverified_claims().unwrap().mutation, None);

    world.yk_cargo(["token", NAME]).fails().says(&["--read"]);
    world.yk_cargo(["token", NAME, "--yank", "alpha"]).fails().says(&["NAME@VERSION"]);
    let manifest = package.join("Cargo.toml");
    world
        .yk_cargo(["token", NAME, "--publish", manifest.to_str().unwrap()])
        .fails()
        .says(&["Cargo.toml is not a .crate file"]);
    let unknown = world.yk_cargo(["token", "sparse+https://other.example/", "--read"]).fails();
    unknown.says(&["sparse+https://other.example/ is not enrolled"]);
}

#[test]
fn inspect_shows_what_a_token_says() {
    let world = World::enrolled();
    let token = world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds().stdout;
    let shown = world.yk_cargo(["inspect"]).input(&token).succeeds().stdout;
    for part in [world.gateway.index_url(), "yank", "alpha", "0.1.0", "verified  no"] {
        assert!(shown.contains(part), "{shown}");
    }
    let shown = json_of(&world.yk_cargo(["inspect", token.trim_end(), "--json"]).succeeds().stdout);
    assert_eq!(shown["version"], 1);
    assert_eq!(
        (&shown["operation"], &shown["name"], &shown["vers"]),
        (&json!("yank"), &json!("alpha"), &json!("0.1.0"))
    );
    let hostile = format!(
        "v3.public.{}.{}",
        "A".repeat(128),
        "eyJ1cmwiOiJ1Iiwia2lwIjoiayIsIlx1MDAxYl0wO3B3bmVkXHUwMDA3IjoxfQ"
    );
    let outcome = world.yk_cargo(["inspect", &hostile]).fails();
    assert!(!outcome.stderr.contains('\u{1b}') && outcome.stderr.contains("\\u{1b}]0;pwned"), "{outcome:#?}");
    world.yk_cargo(["inspect", "cio0123456789"]).fails().says(&["error: not an asymmetric token"]);
}

#[test]
fn forget_leaves_the_keys_on_the_card() {
    let world = World::enrolled();
    let configured = || {
        let config = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
        config.contains("credential-provider")
    };
    assert!(configured());
    let keys = world.registry().cards[0].keys.clone();
    world.yk_cargo(["forget", NAME]).fails().says(&["there is no terminal to ask on", "or add --yes"]);
    assert_eq!(world.registry().cards.len(), 1);
    let outcome = world.yk_cargo(["forget", NAME, "--yes"]).succeeds();
    outcome.says(&[
        "the publish key stays in slot 83 of YubiKey 12345678 (laptop key): k3.pid.",
        "removed the enrollment",
        "removed its `credential-provider` from cargo's configuration",
        "have them revoked there, or enroll them again with `yk-cargo enroll my-reg --existing`",
    ]);
    assert!(!configured());
    let seen = Seen::on(&world.card);
    assert!(!seen.changed_anything() && seen.pins() == 0 && seen.all_signatures() == 0);
    seen.assert_well_mannered();
    world.yk_cargo(["forget", NAME, "--yes"]).fails().says(&["my-reg is not enrolled"]);
    world.yk_cargo(["enroll", NAME, "--existing", "--yes"]).succeeds();
    assert_eq!(world.registry().cards[0].keys, keys);
}

/// After a reset of PIV there is nothing to take back.
#[test]
fn forget_does_not_offer_keys_that_are_gone() {
    let world = World::enrolled();
    let reset = MockCard::builder().serial(SERIAL).pin(PIN).start().unwrap();
    let forget = world.yk_cargo(["forget", NAME, "--yes"]).env("PCSCLITE_CSOCK_NAME", reset.socket());
    let outcome = forget.succeeds();
    outcome.says(&[
        "the read key is no longer in slot 82 of YubiKey 12345678 (laptop key): k3.pid.",
        "the publish key is no longer in slot 83 of YubiKey 12345678 (laptop key): k3.pid.",
        "have them revoked there",
    ]);
    assert!(!outcome.stderr.contains("--existing"), "{outcome:#?}");
}

#[test]
fn usage_errors_have_a_status_of_their_own() {
    let world = World::new();
    for arguments in [&["dance"][..], &["enroll"], &["enroll", NAME, "--slot", "82", "--yes"]] {
        let outcome = world.yk_cargo(arguments).fails();
        assert_eq!(outcome.status.code(), Some(2), "{outcome:#?}");
    }
    assert_eq!(world.yk_cargo(["enroll", "nowhere", "--yes"]).fails().status.code(), Some(1));
}
