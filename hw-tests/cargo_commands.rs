//! Everything cargo does at a registry, cold and warm, with reads open and reads behind a token.

use crate::trace::Seen;
use crate::world::{NAME, Outcome, Reads, Run, World};

/// What a command is expected to cost the person and the keys.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    pins: usize,
    touches: usize,
    mutations: usize,
}

const READ: Cost = Cost { pins: 0, touches: 0, mutations: 0 };
/// The PIN was forgotten before: every command begins with a card that has just got its power.
const ONE_MUTATION: Cost = Cost { pins: 1, touches: 1, mutations: 1 };

impl World {
    /// Runs a command on a card that knows no PIN, and holds it to its cost.
    #[track_caller]
    fn costs(&self, expected: &Cost, run: Run) -> Outcome {
        self.card.power_off();
        self.card.clear_trace();
        let outcome = run.succeeds();
        let seen = Seen::on(&self.card);
        let cost = Cost { pins: seen.pins(), touches: seen.touches(), mutations: seen.signatures("83") };
        assert_eq!(&cost, expected, "{outcome:#?}");
        seen.assert_well_mannered();
        outcome
    }
}

fn each_kind_of_registry(test: impl Fn(World)) {
    for reads in [Reads::AuthRequired, Reads::Open] {
        test(World::with(reads, |card| card).enroll());
    }
}

/// First with a cargo home that has never seen the registry, then with one that has.
fn cold_and_warm(world: &World, test: impl Fn(&str)) {
    world.make_cold();
    test("cold");
    test("warm");
}

#[test]
fn login() {
    each_kind_of_registry(|world| {
        cold_and_warm(&world, |_| {
            let outcome = world.costs(&READ, world.cargo(&world.path("work"), ["login", "--registry", NAME]));
            let registry = world.registry();
            let ids: Vec<_> = registry.cards[0].keys.iter().map(|key| key.public.id().to_string()).collect();
            outcome.says(&["`my-reg` is enrolled, and YubiKey 12345678 is plugged in", &ids[0], &ids[1]]);
        });
    });
}

/// With the verify build, as anybody runs it.
#[test]
fn publish() {
    each_kind_of_registry(|world| {
        cold_and_warm(&world, |temperature| {
            let version = if temperature == "cold" { "0.1.0" } else { "0.2.0-rc.1+build.7" };
            let package = world.package("alpha", version, "");
            let outcome = world.costs(&ONE_MUTATION, world.publish(&package));
            outcome.says(&[
                &format!(
                    "signing publish of `alpha {version}` for `my-reg` with YubiKey 12345678 (laptop key)"
                ),
                "touch YubiKey 12345678 now",
                "Verifying alpha",
                "Published alpha",
            ]);
            assert!(Seen::on(&world.card).signatures("82") >= 1, "the read key signs the reads");
        });
    });
}

#[test]
fn publish_of_a_workspace() {
    each_kind_of_registry(|world| {
        cold_and_warm(&world, |temperature| {
            let version = if temperature == "cold" { "1.0.0" } else { "1.1.0" };
            let workspace = "[workspace]\nmembers = [\"one\", \"two\", \"three\"]\nresolver = \"3\"\n";
            world.write("work/Cargo.toml", workspace);
            let on = |name: &str| {
                let place = format!("path = \"../{name}\"\nversion = \"{version}\"\nregistry = \"{NAME}\"");
                format!("[dependencies.{name}]\n{place}\n")
            };
            world.package("one", version, "");
            world.package("two", version, &on("one"));
            world.package("three", version, &on("two"));
            let publish = ["publish", "--workspace", "--registry", NAME];
            let three = Cost { pins: 1, touches: 3, mutations: 3 };
            let outcome = world.costs(&three, world.cargo(&world.path("work"), publish));
            for name in ["one", "two", "three"] {
                let signing = format!("signing publish of `{name} {version}`");
                outcome.says(&[&signing, &format!("Published {name}")]);
            }
        });
    });
}

#[test]
fn yank_and_unyank() {
    each_kind_of_registry(|world| {
        world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
        let work = world.path("work");
        cold_and_warm(&world, |_| {
            let yank = ["yank", "alpha@0.1.0", "--registry", NAME];
            world.costs(&ONE_MUTATION, world.cargo(&work, yank)).says(&["signing yank of `alpha 0.1.0`"]);
            let undo = ["yank", "--undo", "alpha@0.1.0", "--registry", NAME];
            world.costs(&ONE_MUTATION, world.cargo(&work, undo)).says(&["signing unyank of `alpha 0.1.0`"]);
        });
    });
}

#[test]
fn owner_list() {
    each_kind_of_registry(|world| {
        world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
        cold_and_warm(&world, |_| {
            let list = ["owner", "--list", "alpha", "--registry", NAME];
            let outcome = world.costs(&ONE_MUTATION, world.cargo(&world.path("work"), list));
            assert!(outcome.stdout.contains("alice"), "{outcome:#?}");
        });
    });
}

#[test]
fn search() {
    each_kind_of_registry(|world| {
        world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
        cold_and_warm(&world, |_| {
            let search = ["search", "alph", "--registry", NAME];
            let outcome = world.costs(&READ, world.cargo(&world.path("work"), search));
            assert!(outcome.stdout.contains("alpha = \"0.1.0\""), "{outcome:#?}");
        });
    });
}

/// The way back: what was published is fetched, with a token where that is needed, built and run.
#[test]
fn build_of_a_dependent_crate() {
    each_kind_of_registry(|world| {
        let alpha = world.package("alpha", "0.1.0", "[features]\nextra = []\n");
        world.write("work/alpha/src/lib.rs", "//! A crate.\n/// Seven.\npub fn seven() -> u8 { 7 }\n");
        world.publish(&alpha).succeeds();
        let dependency =
            "{ package = \"alpha\", version = \"0.1\", registry = \"my-reg\", features = [\"extra\"] }";
        let manifest = format!(
            "[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\nrenamed = {dependency}\n"
        );
        world.write("work/user/Cargo.toml", &manifest);
        world.write("work/user/src/main.rs", "fn main() { println!(\"{}\", renamed::seven()) }\n");
        cold_and_warm(&world, |_| {
            let outcome = world.costs(&READ, world.cargo(&world.path("work/user"), ["run"]));
            assert_eq!(outcome.stdout, "7\n");
        });
    });
}

/// A build that finds everything in its lock file and cache asks nobody.
#[test]
fn a_second_build_needs_no_card() {
    let world = World::enrolled();
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    let user = "[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                [dependencies]\nalpha = { version = \"0.1\", registry = \"my-reg\" }\n";
    world.write("work/user/Cargo.toml", user);
    world.write("work/user/src/lib.rs", "");
    world.cargo(&world.path("work/user"), ["build"]).succeeds();
    world.card.unplug();
    world.card.clear_trace();
    world.cargo(&world.path("work/user"), ["build"]).succeeds();
    assert!(Seen::on(&world.card).nothing());
}

/// A PIN that the card already knows is not asked again, and the whole signature is four commands.
#[test]
fn a_verified_pin_is_not_asked_again() {
    let world = World::enrolled();
    world.publish(&world.package("alpha", "0.1.0", "")).succeeds();
    world.card.clear_trace();
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).without("YK_CARGO_PIN_COMMAND").succeeds();
    let seen = Seen::on(&world.card);
    assert_eq!(seen.instructions(), ["SELECT", "GET SERIAL", "VERIFY", "GENERAL AUTHENTICATE"]);
    assert_eq!((seen.pins(), seen.transactions()), (0, 1));
}

#[test]
fn a_signature_with_pin_entry_is_seven_commands() {
    let world = World::enrolled();
    world.card.power_off();
    world.card.clear_trace();
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    let seen = Seen::on(&world.card);
    assert_eq!(seen.instructions().len(), 7, "{:?}", seen.instructions());
    assert_eq!((seen.pins(), seen.touches()), (1, 1));
}

/// Logout asks for a typed yes; where nobody can type, nothing is removed.
#[test]
fn logout_without_a_terminal_removes_nothing() {
    let world = World::enrolled();
    let outcome = world.cargo(&world.path("work"), ["logout", "--registry", NAME]).fails();
    outcome.says(&["there is no terminal to ask on"]);
    assert_eq!(world.registry().cards.len(), 1);
}

#[test]
fn logout_of_an_unknown_registry_is_no_failure() {
    let world = World::new();
    world.configure_provider();
    let logout = world.cargo(&world.path("work"), ["logout", "--registry", NAME]).succeeds();
    logout.says(&["not currently logged in to `my-reg`"]);
}
