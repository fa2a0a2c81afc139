//! From an empty card to a published crate.

use asymmetric_token::Untrusted;
use serde_json::json;
use yk_cargo::enrollment::Role;

use crate::trace::Seen;
use crate::world::{NAME, World};

#[test]
#[ignore = "cargo xtask windows runs it"]
fn enroll_makes_two_keys_and_sets_the_provider() {
    let world = World::new();
    let enroll = ["enroll", NAME, "--yes", "--configure", "--label", "laptop key"];
    let outcome = world.yk_cargo(enroll).succeeds();
    outcome.says(&["made the read key in slot 82", "made the publish key in slot 83"]);
    let next = "registry-gateway key add --user <NAME> --role publish --label \"laptop key\" k3.public.";
    assert!(outcome.stdout.contains(next), "{outcome:#?}");
    let registry = world.registry();
    let keys: Vec<_> = registry.cards[0].keys.iter().map(|key| key.slot.to_string()).collect();
    assert_eq!(keys, ["82", "83"]);
    let config = world.read("home/config.toml");
    let program = world.to_windows(&world.program());
    assert!(config.contains(&format!("credential-provider = ['{program}']\r\n")), "{config:?}");
    let seen = Seen::on(&world.card);
    let made = seen.instructions().into_iter().filter(|name| name.starts_with("GENERATE")).count();
    assert_eq!((made, seen.pins(), seen.touches(), seen.signatures("82")), (2, 0, 0, 1));
    seen.assert_well_mannered();
}

/// The first signature takes the PIN, the second one does not: four commands, in one transaction.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn cargo_gets_a_token_for_a_publish() {
    let world = World::enrolled().forgets_its_pin();
    for (version, pins) in [("0.1.0", 1), ("0.2.0", 0)] {
        world.card.clear_trace();
        let publish =
            json!({"operation": "publish", "name": "alpha", "vers": version, "cksum": "0".repeat(64)});
        let outcome = world.get(&publish).succeeds();
        outcome.says(&["signing publish of `alpha", "touch YubiKey 12345678 now (it blinks)"]);
        let answer = outcome.answer();
        let token = Untrusted::parse(answer["Ok"]["token"].as_str().unwrap()).unwrap();
        let claims = token.unverified_claims().unwrap();
        assert_eq!(claims.mutation.unwrap().version().unwrap().to_string(), version);
        assert_eq!(answer["Ok"]["cache"], "never");
        let seen = Seen::on(&world.card);
        assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (pins, 1, 1));
        assert!(pins == 1 || (seen.transactions() == 1 && seen.instructions().len() == 4));
        seen.assert_well_mannered();
    }
}

/// The real cargo, though that of this computer, asks the program for Windows.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_crate_is_published_and_verified() {
    let world = World::enrolled().forgets_its_pin();
    let package = world.package("alpha", "0.1.0");
    world.cargo(&package, &["publish", "--registry", NAME]).succeeds().says(&["Published alpha"]);
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (1, 1, 1));
    seen.assert_well_mannered();

    world.card.clear_trace();
    let registry = world.registry();
    let key = registry.cards[0].keys.iter().find(|key| key.role == Role::Publish).unwrap().public.to_string();
    let verified = world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME, "--key", &key]).succeeds();
    assert!(verified.stdout.contains("alpha 0.1.0"), "{verified:#?}");
    let other = key.replace(|sign: char| sign.is_ascii_digit(), "A");
    world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME, "--key", &other]).fails();
    assert_eq!(Seen::on(&world.card).touches(), 0);
}
