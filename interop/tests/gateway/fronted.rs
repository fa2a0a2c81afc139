//! Through the gateway: cargo asks `yk-cargo` for a token, the card signs it, and the gateway goes to the registry with a
//! bearer token of that person's own, which no computer but its own ever sees.

use yk_cargo_interop::kellnr::{Kellnr, Rights};

use crate::everyday::{self, publish, yank};
use crate::front::Front;
use crate::project::{Package, REGISTRY};

#[test]
fn everyday_life_with_a_card() {
    let front = Front::before(Kellnr::start());
    everyday::everything(&front.computer("alice", Rights::Publish));
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
