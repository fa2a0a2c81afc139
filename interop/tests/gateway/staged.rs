//! From a machine without a card, through the gateway: the registry hears of a version only when somebody's card has approved it.

use mock_card::MockCard;
use yk_cargo_interop::computer::Computer;
use yk_cargo_interop::kellnr::{Kellnr, Rights};

use crate::direct;
use crate::everyday::family;
use crate::front::Front;
use crate::project::{Package, REGISTRY};

#[test]
fn a_machine_stages_a_workspace_and_a_card_releases_it() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    let ci = front.machine("ci", &["parent", "child", "grandchild"]);
    let inside = Computer::with(MockCard::builder());
    direct::configure(&inside, &front.kellnr().index_url(), &front.kellnr().mint_token("alice"));
    let is_in_kellnr =
        |name: &str| inside.cargo(inside.folder(), &["info", name, "--registry", REGISTRY]).is_ok();

    ci.cargo(&family(&ci), &["publish", "--workspace", "--registry", REGISTRY]).unwrap();
    let list = alice.yk_cargo(&["stage", "list"]);
    for name in ["parent", "child", "grandchild"] {
        assert!(list.contains(&format!("{name} 1.0.0  staged, a new crate")), "{list}");
        assert!(!is_in_kellnr(name), "{name}");
    }
    let app = Package::new(alice.folder(), "app").depends_on("grandchild").program();
    alice.cargo(&app, &["run"]).unwrap_err();

    let approved = alice.yk_cargo(&["stage", "approve", "--yes"]);
    let order = "published parent 1.0.0\npublished child 1.0.0\npublished grandchild 1.0.0";
    assert!(approved.ends_with(order), "{approved}");
    for name in ["parent", "child", "grandchild"] {
        assert!(is_in_kellnr(name), "{name}");
    }
    assert_eq!(alice.cargo(&app, &["run"]).unwrap(), "5\n");
    let lock = app.join("Cargo.lock");
    let verify = ["verify", "--lock", lock.to_str().unwrap()];
    alice.yk_cargo(&[&verify[..], &["--remember", "--yes"]].concat());
    assert!(alice.yk_cargo(&verify).contains("grandchild 1.0.0"));

    // The next job sees what was released, and goes on from there.
    let next = Package::new(ci.folder(), "parent").version("1.1.0").library();
    ci.cargo(&next, &["publish", "--registry", REGISTRY]).unwrap();
    assert!(alice.yk_cargo(&["stage", "view", "parent@1.1.0"]).contains("with 1.0.0"));
    alice.yk_cargo(&["stage", "approve", "--yes", "parent@1.1.0"]);
    alice.cargo(&app, &["update"]).unwrap();
    assert_eq!(alice.cargo(&app, &["run", "--locked"]).unwrap(), "5\n");
    let (well, said) = front.doctor();
    assert!(well, "{said}");
}

/// The gateway knows no owners here: the registry says who may publish, and what it says is kept with the version.
#[test]
fn what_the_registry_refuses_is_staged_again() {
    let front = Front::before(Kellnr::start());
    let alice = front.computer("alice", Rights::Publish);
    let carol = front.computer("carol", Rights::Read);
    let ci = front.machine("ci", &["parent"]);
    let package = Package::new(ci.folder(), "parent").library();
    ci.cargo(&package, &["publish", "--registry", REGISTRY]).unwrap();
    let words = "Read-only users cannot modify the registry";
    let refused = carol.yk_cargo_fails(&["stage", "approve", "--yes", "parent@1.0.0"]);
    assert!(refused.contains(words), "{refused}");
    let view = alice.yk_cargo(&["stage", "view", "parent@1.0.0"]);
    assert!(view.starts_with("parent 1.0.0  staged, ") && view.contains(words), "{view}");
    assert!(alice.yk_cargo(&["stage", "approve", "--yes"]).ends_with("published parent 1.0.0"));
    let (well, said) = front.doctor();
    assert!(well, "{said}");
}
