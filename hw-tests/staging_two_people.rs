//! Two people with a card each approve what a machine has staged, at the gateway; and a consumer wants both of them.

use std::fs;

use asymmetric_token::PublicKey;
use mock_card::MockCard;
use yk_cargo::enrollment::{Enrollments, Registry};

use crate::lock_registry::{Somebody, verdicts};
use crate::staging_gateway::Staged;
use crate::trace::Seen;
use crate::world::{NAME, PIN, Reads, Run, World};

const APPROVE: [&str; 4] = ["stage", "approve", "--yes", "gamma@0.1.0"];

/// Alice has the world's card, and Bob one of his own and another cargo home. The registry wants both for each staged version.
struct Company {
    staged: Staged,
    bobs: MockCard,
}

impl Company {
    /// A machine has staged gamma, which is new; nobody was made its approver.
    fn new() -> Self {
        let two = |config: &mut registry_gateway::Config| config.staging.approvals = 2;
        let staged = Staged::of(World::with_registry(Reads::AuthRequired, two, |card| card).enroll());
        let bobs = MockCard::builder().serial(23_456_789).pin(PIN).start().unwrap();
        let company = Self { staged, bobs };
        let world = company.world();
        let index = world.gateway.index_url();
        world.write("bob/config.toml", &format!("[registries.{NAME}]\nindex = \"{index}\"\n"));
        company.as_bob(&["enroll", NAME, "--yes", "--configure", "--label", "bob's key"]).succeeds();
        world.add_keys_of(&company.bob(), "bob");
        let package = world.package("gamma", "0.1.0", "");
        company.staged.machine(world.publish(&package)).succeeds();
        world.card.clear_trace();
        company.bobs.clear_trace();
        company
    }

    fn world(&self) -> &World {
        &self.staged.world
    }

    fn as_bob(&self, arguments: &[&str]) -> Run {
        let run = self.world().yk_cargo(arguments);
        run.env("CARGO_HOME", self.world().path("bob")).env("PCSCLITE_CSOCK_NAME", self.bobs.socket())
    }

    /// His enrollment.
    fn bob(&self) -> Registry {
        let enrollments = Enrollments::load(&self.world().path("bob")).unwrap();
        enrollments.registry(self.world().gateway.index_url()).unwrap().clone()
    }

    fn add_approver(&self, user: &str) {
        let [name, user] = ["gamma", user];
        let store = self.world().gateway.store();
        store.add_approver(&name.parse().unwrap(), &user.parse().unwrap(), jiff::Timestamp::now()).unwrap();
    }

    /// What the consumer's own list says of gamma.
    fn trusts(&self, signers: &str) {
        let key =
            |name: &str, public: PublicKey| format!("[[key]]\nname = \"{name}\"\npublic = \"{public}\"\n");
        let of = |registry: Registry| registry.cards[0].key(true).unwrap().public;
        let keys = [
            key("alice", of(self.world().registry())),
            key("bob", of(self.bob())),
            Somebody(4).entry("carol"),
        ];
        let index = self.world().gateway.index_url();
        let list = format!(
            "version = 2\n{}[[signer]]\nindex = \"{index}\"\ncrate = \"gamma\"\nsigners = [{signers}]\napprovals = 2\n",
            keys.concat()
        );
        fs::write(self.world().path("home/yk-cargo/signers.toml"), list).unwrap();
    }
}

#[test]
fn the_second_approval_publishes_and_the_consumer_wants_both() {
    let company = Company::new();
    let world = company.world();
    let app = company.staged.consumer("gamma");
    company.add_approver("alice");
    company
        .as_bob(&APPROVE)
        .fails()
        .says(&["gamma 0.1.0 is not staged at `my-reg`, or it does not concern you"]);
    company.add_approver("bob");

    let first = world.yk_cargo(APPROVE).succeeds().stdout;
    assert!(first.ends_with("approved gamma 0.1.0: approved 1 of 2 times, by alice\n"), "{first}");
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (1, 1, 1));
    world
        .yk_cargo(APPROVE)
        .fails()
        .says(&["you have already approved gamma 0.1.0; somebody else has to approve it as well"]);
    world.cargo(&app, ["generate-lockfile"]).fails();

    let view = company.as_bob(&["stage", "view", "gamma@0.1.0"]).succeeds().stdout;
    assert!(view.contains("approved 1 of 2 times, by alice"), "{view}");
    let second = company.as_bob(&APPROVE).succeeds().stdout;
    assert!(second.ends_with("published gamma 0.1.0\n"), "{second}");
    let seen = Seen::on(&company.bobs);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (1, 1, 1));
    assert_eq!(Seen::on(&world.card).signatures("83"), 1, "nothing more is asked of alice");

    world.make_cold();
    world.cargo(&app, ["build"]).succeeds();
    for (signers, code, verdict, says) in [
        ("\"alice\", \"bob\"", 0, "trusted", "signed by bob"),
        (
            "\"bob\", \"carol\"",
            18,
            "too few approvals",
            "2 of the signers named for this crate must sign it, but only bob signed it",
        ),
        ("\"alice\", \"carol\"", 15, "changed signer", "trusted for this crate is alice, carol"),
        ("\"alice\", \"bob\", \"carol\"", 0, "trusted", "signed by bob"),
    ] {
        company.trusts(signers);
        let outcome = world.yk_cargo(["verify", "--lock", "--json"]).directory(&app).ends();
        let (found, packages) = verdicts(&outcome);
        let [(word, text)] = &packages[..] else { panic!("{packages:?}") };
        assert_eq!((found, word.as_str()), (code, verdict), "{signers}: {text}");
        assert!(text.contains(says), "{signers}: {text}");
    }
}

#[test]
fn a_key_that_is_revoked_takes_its_approval_along() {
    let company = Company::new();
    let world = company.world();
    company.add_approver("alice");
    company.add_approver("bob");
    world.yk_cargo(APPROVE).succeeds();
    let key = world.registry().cards[0].key(true).unwrap().public.id().to_string();
    world.gateway.store().revoke_key(&key, jiff::Timestamp::now()).unwrap();

    let bobs = company.as_bob(&APPROVE).succeeds().stdout;
    assert!(bobs.ends_with("approved gamma 0.1.0: approved 1 of 2 times, by bob\n"), "{bobs}");
    world.yk_cargo(APPROVE).fails();
    let app = company.staged.consumer("gamma");
    company.as_bob(&["stage", "list"]).succeeds();
    world.cargo(&app, ["generate-lockfile"]).fails();
    // Alice goes on with another card.
    let another = MockCard::builder().serial(34_567_890).pin(PIN).start().unwrap();
    let as_alice = |arguments: &[&str]| {
        let run = world.yk_cargo(arguments).env("CARGO_HOME", world.path("alice"));
        run.env("PCSCLITE_CSOCK_NAME", another.socket())
    };
    let index = world.gateway.index_url();
    world.write("alice/config.toml", &format!("[registries.{NAME}]\nindex = \"{index}\"\n"));
    as_alice(&["enroll", NAME, "--yes", "--configure", "--label", "new key"]).succeeds();
    let enrollments = Enrollments::load(&world.path("alice")).unwrap();
    world.add_keys_of(enrollments.registry(index).unwrap(), "alice");
    assert!(as_alice(&APPROVE).succeeds().stdout.ends_with("published gamma 0.1.0\n"));
}
