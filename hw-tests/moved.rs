//! `enroll --same-keys-as`: a registry that is found at another URL.

use yk_cargo::enrollment::{Enrollments, Registry};

use crate::trace::Seen;
use crate::world::{NAME, Run, World};

const OLD: &str = "sparse+http://localhost:9/old/";

/// Enrolled for the old URL, under the name that has the new one by now.
fn moved() -> World {
    let world = World::new();
    enroll_old(&world);
    world
}

fn enroll_old(world: &World) {
    let new = std::fs::read_to_string(world.path("home/config.toml")).unwrap();
    world.write("home/config.toml", &format!("[registries.{NAME}]\nindex = \"{OLD}\"\n"));
    let enroll = ["enroll", NAME, "--yes", "--label", "laptop key", "--subject", "me@work"];
    world.yk_cargo(enroll).succeeds();
    world.write("home/config.toml", &new);
    world.card.clear_trace();
}

fn registry(world: &World, index: &str) -> Option<Registry> {
    Enrollments::load(&world.cargo_home()).unwrap().registry(index).cloned()
}

fn same_keys(world: &World, source: &str) -> Run {
    world.yk_cargo(["enroll", NAME, "--same-keys-as", source, "--yes", "--configure"])
}

#[test]
fn the_new_url_is_enrolled_with_the_keys_of_the_old_one() {
    let world = moved();
    let new = world.gateway.index_url();
    let doctor = || world.yk_cargo(["doctor"]).fails().stdout;
    let mend = format!(
        "`my-reg` is now {new}, but the enrollment is for {OLD}\n         next: yk-cargo enroll my-reg --same-keys-as my-reg\n"
    );
    assert!(doctor().contains(&mend), "{}", doctor());
    let outcome = same_keys(&world, NAME).succeeds();
    let mended = format!(
        "warning  credential provider: {OLD} is still enrolled, but `my-reg` now has another URL\n         next: yk-cargo forget {OLD}\n"
    );
    assert!(doctor().contains(&mended), "{}", doctor());
    outcome.says(&[
        &format!("YubiKey 12345678 (laptop key) for {new}, with its keys for {OLD}"),
        &format!("yk-cargo forget {OLD}"),
    ]);
    let seen = Seen::on(&world.card);
    assert!(!seen.changed_anything(), "{:?}", seen.instructions());
    assert_eq!((seen.pins(), seen.touches()), (0, 0));
    let (before, after) = (registry(&world, OLD).unwrap(), world.registry());
    assert_eq!(after.cards[0].keys, before.cards[0].keys);
    assert_eq!((after.subject.as_deref(), &*after.cards[0].label), (Some("me@work"), "laptop key"));

    world.add_keys("alice");
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    for source in [OLD, NAME, new] {
        same_keys(&world, source).succeeds().says(&["is already enrolled there"]);
    }
    world.yk_cargo(["forget", OLD, "--yes"]).succeeds();
    assert!(!doctor().contains(OLD), "{}", doctor());
    same_keys(&world, NAME).succeeds().says(&["is already enrolled there"]);
    world.publish(&world.package("beta", "0.1.0", "")).succeeds();
}

#[test]
fn keys_that_cannot_be_shared() {
    let world = moved();
    let refused = |run: Run, texts: &[&str]| {
        run.fails().says(texts);
        assert!(registry(&world, world.gateway.index_url()).is_none());
    };
    refused(same_keys(&world, "nowhere"), &["nowhere is not enrolled"]);
    refused(same_keys(&world, world.gateway.index_url()), &["is not enrolled"]);
    let ask = world.yk_cargo(["enroll", NAME, "--same-keys-as", NAME]);
    refused(ask, &["there is no terminal to ask on"]);
    let other = mock_card::MockCard::builder().serial(23_456_789).pin(crate::world::PIN).start().unwrap();
    refused(
        same_keys(&world, NAME).env("PCSCLITE_CSOCK_NAME", other.socket()),
        &["YubiKey 23456789 is not enrolled for", "hint: it is enrolled with YubiKey 12345678 (laptop key)"],
    );

    world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    same_keys(&world, OLD).fails().says(&["is already enrolled there, with other keys"]);
    // Both have the name, and the new one comes first in the file: the other one is meant.
    world.yk_cargo(["forget", OLD, "--yes"]).succeeds();
    enroll_old(&world);
    same_keys(&world, NAME).fails().says(&["is already enrolled there, with other keys"]);
    let both = ["enroll", NAME, "--same-keys-as", OLD, "--single-key"];
    assert_eq!(world.yk_cargo(both).fails().status.code(), Some(2));
}
