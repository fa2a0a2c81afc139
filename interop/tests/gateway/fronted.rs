//! Through the gateway: cargo asks `yk-cargo` for a token, the card signs it, and the gateway goes to the registry with a
//! bearer token of that person's own, which no computer but its own ever sees.

use yk_cargo_interop::cache::crate_programs;
use yk_cargo_interop::kellnr::{Kellnr, Rights};

use crate::direct;
use crate::everyday::{self, publish, yank};
use crate::front::Front;
use crate::project::{Package, REGISTRY};

#[test]
fn everyday_life_with_a_card() {
    let front = Front::before(Kellnr::start());
    everyday::everything(&front.computer("alice", Rights::Publish));
}

/// Whichever of two gateways each of cargo's connections goes to.
#[test]
fn everyday_life_through_two_gateways() {
    let Some(front) = Front::of_two_before(Kellnr::start()) else {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    };
    everyday::everything(&front.computer("alice", Rights::Publish));
}

/// What is in between, the registry does not know.
#[test]
fn from_an_invite_to_a_proof() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    publish(&alice, &Package::new(alice.folder(), "hers").library());
    // A project that real cargo has locked, and a log that is asked where it has this.
    let consumer = Package::new(alice.folder(), "consumer").depends_on("hers").program();
    alice.cargo(&consumer, &["generate-lockfile"]).unwrap();
    let lock = consumer.join("Cargo.lock");
    alice.yk_cargo(&["verify", "--lock", lock.to_str().unwrap(), "--remember", "--yes"]);
    let trusted = alice.yk_cargo(&["verify", "--lock", lock.to_str().unwrap()]);
    assert!(
        trusted.contains("trusted") && trusted.contains("hers 1.0.0") && trusted.contains("of the log"),
        "{trusted}"
    );
    yank(&alice, "hers@1.0.0", &[]).unwrap();

    let card = alice.enrolled_card();
    let key = card.key.iter().find(|key| key.role == "publish").unwrap();
    let verified = alice.yk_cargo(&["verify", "hers@1.0.0", "--registry", REGISTRY, "--key", &key.public]);
    for holds in ["file", "signature", "trust"] {
        assert!(verified.lines().any(|line| line.contains(holds) && line.contains("ok")), "{verified}");
    }
    let (well, said) = front.doctor();
    assert!(well, "{said}");
    assert!(said.contains("accepts the credential of alice") && said.contains("looked at: 1"), "{said}");
}

/// Cargo tries again by itself; the reason is not lost by that.
#[test]
fn when_the_registry_is_away_its_users_are_told() {
    let mut front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    let package = Package::new(alice.folder(), "hers").library();
    publish(&alice, &package);
    front.stop_kellnr();
    for refused in [
        yank(&alice, "hers@1.0.0", &[]).unwrap_err(),
        alice
            .cargo(&package, &["publish", "--no-verify", "--allow-dirty", "--registry", REGISTRY])
            .unwrap_err(),
    ] {
        assert!(refused.contains("the registry behind this gateway cannot be reached"), "{refused}");
    }
    let (well, said) = front.doctor();
    assert!(!well && said.contains("to do  the registry behind this gateway cannot be reached"), "{said}");
}

/// The registry decides, and says so itself.
#[test]
fn rights_are_still_the_registry_s() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    let bob = front.computer("bob", Rights::Publish);
    let carol = front.computer("carol", Rights::Read);

    publish(&alice, &Package::new(alice.folder(), "hers").library());
    let refused = yank(&bob, "hers@1.0.0", &[]).unwrap_err();
    assert!(refused.contains("Not the owner of the crate"), "{refused}");

    let own = Package::new(carol.folder(), "own").depends_on("hers").program();
    assert_eq!(carol.cargo(&own, &["run"]).unwrap(), "2\n");
    let refused = carol.cargo(&own, &["publish", "--no-verify", "--registry", REGISTRY]).unwrap_err();
    assert!(refused.contains("Read-only users cannot modify the registry"), "{refused}");

    yank(&alice, "hers@1.0.0", &[]).unwrap();
}

#[test]
fn what_the_registry_takes_the_gateway_does_not() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    direct::configure(&alice, front.index(), &front.kellnr().mint_token("alice"));
    let project = Package::new(alice.folder(), "mine").library();
    let refused = alice.cargo(&project, &["publish", "--no-verify", "--registry", REGISTRY]).unwrap_err();
    assert!(refused.contains(&format!("token rejected for `{REGISTRY}`")), "{refused}");
}

/// Alice cannot mend it, so she is told who can.
#[test]
fn a_credential_that_the_registry_refuses_is_the_gateway_s_affair() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    publish(&alice, &Package::new(alice.folder(), "hers").library());
    front.administer(&["credential", "set", "--as-is", "alice"], "0123456789abcdef0123456789abcdef");
    let refused = yank(&alice, "hers@1.0.0", &["--config", "net.retry=0"]).unwrap_err();
    let why = "refuses the credential that the gateway has for alice; tell its administrator";
    assert!(refused.contains(why) && refused.contains("502"), "{refused}");
}

/// Somebody else's provider, as cargo's users have it: <https://crates.io/crates/cargo-credential-netrc>.
#[test]
fn a_credential_from_a_foreign_provider() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    let provider = crate_programs("cargo-credential-netrc", "0.1.0").join("cargo-credential-netrc");
    let said = front.have_provider("alice", &[provider.to_str().unwrap(), "--format", "{{password}}"]);
    assert!(said.contains("cargo-credential-netrc --format {{password}}"), "{said}");
    publish(&alice, &Package::new(alice.folder(), "hers").library());
    yank(&alice, "hers@1.0.0", &[]).unwrap();
    let (well, said) = front.doctor();
    assert!(
        well && said.contains("accepts the credential of alice as it is, which a provider gives once"),
        "{said}"
    );
}
