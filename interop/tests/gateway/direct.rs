//! Without a gateway: cargo sends the registry a bearer token that lies in its configuration.

use mock_card::MockCard;
use yk_cargo_interop::computer::Computer;
use yk_cargo_interop::kellnr::{self, Kellnr, Rights};

use crate::everyday::{self, publish, yank};
use crate::project::{Package, REGISTRY};

/// The computer of somebody who has an account there.
fn computer(kellnr: &Kellnr, user: &str, rights: Rights) -> Computer {
    kellnr.add_user(user, rights);
    let computer = Computer::with(MockCard::builder());
    configure(&computer, &kellnr.index_url(), &kellnr.mint_token(user));
    computer
}

/// To send this bearer token.
pub(crate) fn configure(computer: &Computer, index: &str, token: &str) {
    computer.configure(&format!(
        "[registries.{REGISTRY}]\nindex = \"{index}\"\ncredential-provider = \"cargo:token\"\ntoken = \"{token}\"\n"
    ));
}

#[test]
fn everyday_life_with_a_bearer_token() {
    let kellnr = Kellnr::start();
    everyday::everything(&computer(&kellnr, "alice", Rights::Publish));
}

#[test]
fn rights_are_the_registry_s() {
    let kellnr = Kellnr::start();
    let alice = computer(&kellnr, "alice", Rights::Publish);
    let bob = computer(&kellnr, "bob", Rights::Publish);
    let carol = computer(&kellnr, "carol", Rights::Read);
    let admin = Computer::with(MockCard::builder());
    configure(&admin, &kellnr.index_url(), &kellnr.mint_token("admin"));

    publish(&alice, &Package::new(alice.folder(), "hers").library());
    let refused = yank(&bob, "hers@1.0.0", &[]).unwrap_err();
    assert!(refused.contains("Not the owner of the crate"), "{refused}");

    let own = Package::new(carol.folder(), "own").depends_on("hers").program();
    assert_eq!(carol.cargo(&own, &["run"]).unwrap(), "2\n");
    let refused = carol.cargo(&own, &["publish", "--no-verify", "--allow-dirty", "--registry", REGISTRY]);
    let refused = refused.unwrap_err();
    assert!(refused.contains("Read-only users cannot modify the registry"), "{refused}");

    yank(&admin, "hers@1.0.0", &[]).unwrap();
}

#[test]
fn a_wrong_token_is_good_for_nothing() {
    let kellnr = Kellnr::start();
    let computer = Computer::with(MockCard::builder());
    configure(&computer, &kellnr.index_url(), "0123456789abcdef0123456789abcdef");
    let project = Package::new(computer.folder(), "mine").library();
    let refused = computer.cargo(&project, &["publish", "--no-verify", "--registry", REGISTRY]).unwrap_err();
    assert!(refused.contains(&format!("token rejected for `{REGISTRY}`")), "{refused}");
}

/// What the documentation has people set is what is set here.
#[test]
fn settings_of_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/gateway.md")).unwrap();
    let shown: Vec<_> = page.lines().filter(|line| line.starts_with("KELLNR_")).collect();
    let ours = kellnr::settings(([127, 0, 0, 1], 8001).into(), "/var/lib/kellnr");
    let ours = ours.map(|(name, value)| format!("{name}={value}"));
    assert_eq!(shown, &ours[..shown.len()]);
    assert!(shown.len() >= 6, "{shown:?}");
}
