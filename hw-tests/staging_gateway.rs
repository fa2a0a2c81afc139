//! The whole way at the gateway: a machine stages a workspace with the real cargo, a card approves it, and a consumer verifies the lock.

use std::fs;
use std::path::PathBuf;

use asymmetric_token::PublicKey;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::publishers::CratePatterns;

use crate::trace::Seen;
use crate::world::{NAME, Reads, Run, World};

const TOKEN: &str = "CARGO_REGISTRIES_MY_REG_TOKEN";

/// A person with a card, and a machine with a key in a file and a cargo home of its own.
pub(crate) struct Staged {
    pub(crate) world: World,
    token: String,
}

impl Staged {
    fn new(reads: Reads) -> Self {
        Self::of(World::with(reads, |card| card).enroll())
    }

    /// The person is alice.
    pub(crate) fn of(world: World) -> Self {
        let made = world.yk_cargo(["stage", "new-key", "ci.key"]).succeeds();
        let public: PublicKey = made.stdout.trim().parse().unwrap();
        let user = "ci".parse().unwrap();
        let key = NewKey { public, user, role: Role::Stage, label: None, subject: None, expires: None };
        let crates = CratePatterns(["alpha", "beta", "gamma"].map(|name| name.parse().unwrap()).to_vec());
        world.gateway.store().add_key_for(key, &crates, jiff::Timestamp::now()).unwrap();
        let exchange = ["token", NAME, "--stage", "--key-file", "ci.key", "--exchange"];
        let token = world.yk_cargo(exchange).succeeds().stdout.trim().to_owned();
        let config = format!(
            "[registries.{NAME}]\nindex = \"{}\"\ncredential-provider = \"cargo:token\"\n",
            world.gateway.index_url()
        );
        world.write("machine/config.toml", &config);
        world.card.clear_trace();
        Self { world, token }
    }

    /// As the machine.
    pub(crate) fn machine(&self, run: Run) -> Run {
        run.env("CARGO_HOME", self.world.path("machine")).env(TOKEN, &self.token)
    }

    /// Three crates, each built with the one before it.
    fn workspace(&self, version: &str) {
        let members = "[workspace]\nmembers = [\"alpha\", \"beta\", \"gamma\"]\nresolver = \"3\"\n";
        self.world.write("work/Cargo.toml", members);
        for (name, on) in [("gamma", None), ("beta", Some("gamma")), ("alpha", Some("beta"))] {
            let on = on.map_or(String::new(), |on| {
                format!("[dependencies]\n{on} = {{ path = \"../{on}\", version = \"{version}\", registry = \"{NAME}\" }}\n")
            });
            self.world.package(name, version, &on);
        }
    }

    /// A project of somebody else's that is built with version 0.1 of this crate.
    pub(crate) fn consumer(&self, name: &str) -> PathBuf {
        let manifest = format!(
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
             [dependencies]\n{name} = {{ version = \"0.1\", registry = \"{NAME}\" }}\n"
        );
        let manifest = self.world.write("app/Cargo.toml", &manifest);
        self.world.write("app/src/lib.rs", "//! An app.\n");
        manifest.parent().unwrap().to_owned()
    }

    fn publish(&self) -> Run {
        let cargo =
            self.world.cargo(&self.world.path("work"), ["publish", "--workspace", "--registry", NAME]);
        self.machine(cargo)
    }
}

#[test]
fn a_machine_stages_a_workspace_and_a_card_releases_it() {
    let staged = Staged::new(Reads::AuthRequired);
    let world = &staged.world;
    staged.workspace("0.1.0");
    let published = staged.publish().succeeds();
    published.says(&["yk-cargo stage approve gamma@0.1.0"]);
    assert!(Seen::on(&world.card).nothing(), "the machine has no card");
    // Nobody else sees any of it.
    let app = staged.consumer("alpha");
    world.cargo(&app, ["generate-lockfile"]).fails();

    let status = world.yk_cargo(["status"]).succeeds().stdout;
    assert!(status.contains("3 staged versions wait for your approval at `my-reg`"), "{status}");
    let view = world.yk_cargo(["stage", "view", "alpha@0.1.0"]).succeeds().stdout;
    assert!(view.contains("this crate is new") && view.contains("+ beta ^0.1.0"), "{view}");
    world
        .yk_cargo(["stage", "approve", "--yes", "beta@0.1.0"])
        .fails()
        .says(&["beta 0.1.0 depends on gamma 0.1.0, which is staged but not published; nothing was signed"]);
    world.card.clear_trace();
    let approved = world.yk_cargo(["stage", "approve", "--yes"]).succeeds();
    assert!(
        approved.stdout.ends_with("published gamma 0.1.0\npublished beta 0.1.0\npublished alpha 0.1.0\n"),
        "{approved:#?}"
    );
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("83")), (1, 3, 3));

    world.make_cold();
    world.cargo(&app, ["build"]).succeeds();
    let key = world.registry().cards[0].key(true).unwrap().public;
    let entries: String = ["alpha", "beta", "gamma"]
        .map(|name| {
            format!(
                "[[signer]]\nindex = \"{}\"\ncrate = \"{name}\"\nsigners = [\"alice\"]\n",
                world.gateway.index_url()
            )
        })
        .concat();
    let list = format!("version = 2\n[[key]]\nname = \"alice\"\npublic = \"{key}\"\n{entries}");
    fs::write(world.path("home/yk-cargo/signers.toml"), list).unwrap();
    world.yk_cargo(["verify", "--lock"]).directory(&app).succeeds();
}

#[test]
fn what_is_rejected_can_be_staged_again() {
    let staged = Staged::new(Reads::AuthRequired);
    let world = &staged.world;
    staged.workspace("0.1.0");
    staged.publish().succeeds();
    let reject = ["stage", "reject", "gamma@0.1.0", "--reason", "a typo", "--yes"];
    assert!(world.yk_cargo(reject).succeeds().stdout.ends_with("rejected gamma 0.1.0\n"));
    world.yk_cargo(reject).fails().says(&["gamma 0.1.0 is not staged at `my-reg`"]);
    world.write("work/gamma/src/lib.rs", "//! Another crate.\n");
    let publish = ["publish", "-p", "gamma", "--registry", NAME];
    staged.machine(world.cargo(&world.path("work"), publish)).succeeds();
    let diff = world.yk_cargo(["stage", "diff", "gamma@0.1.0"]).succeeds().stdout;
    assert!(diff.contains("+//! Another crate.\n"), "{diff}");
}

/// Where everybody reads, cargo does not see what it has staged.
#[test]
fn crate_files_are_pushed_to_an_open_registry() {
    let staged = Staged::new(Reads::Open);
    let world = &staged.world;
    staged.workspace("0.1.0");
    staged.machine(world.cargo(&world.path("work"), ["package", "--workspace", "--no-verify"])).succeeds();
    let files = ["alpha", "beta", "gamma"]
        .map(|name| world.path(format!("target/package/{name}-0.1.0.crate")).to_str().unwrap().to_owned());
    let push = [&["stage", "push", "--registry", NAME][..], &files.each_ref().map(String::as_str)].concat();
    let pushed = staged.machine(world.yk_cargo(push)).succeeds();
    let order: Vec<_> = pushed.stdout.lines().filter(|line| line.starts_with("staged ")).collect();
    assert_eq!(order, ["staged gamma 0.1.0", "staged beta 0.1.0", "staged alpha 0.1.0"]);
    world.yk_cargo(["stage", "approve", "--yes"]).succeeds();
}
