//! One person with one card, one cargo home and one registry.

use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mock_card::{Builder, MockCard};
use registry_gateway::challenge::Challenges;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::{Config, Gateway, Running};
use tempfile::TempDir;
use yk_cargo::enrollment::{Enrollments, Registry};

pub(crate) use crate::run::{Outcome, Run};

/// The card's PIN; not the default one, which `enroll` refuses.
pub(crate) const PIN: &str = "654321";
pub(crate) const SERIAL: u32 = 12_345_678;
/// The registry's name in cargo's configuration.
pub(crate) const NAME: &str = "my-reg";

/// No child runs longer than this many seconds, whatever goes wrong.
const LIMIT: &str = "180";

/// A computer with a mock card.
pub(crate) struct World {
    computer: Computer,
    pub(crate) card: MockCard,
}

/// A cargo home, and a registry that it knows.
pub(crate) struct Computer {
    root: TempDir,
    pub(crate) gateway: Running,
    /// What leads the children to a card and its PIN.
    card: Vec<(&'static str, OsString)>,
}

/// Whether index and downloads need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    AuthRequired,
    Open,
}

impl World {
    /// A fresh card, a registry with auth-required reads that knows nobody, a cargo home that knows the registry.
    pub(crate) fn new() -> Self {
        Self::with(Reads::AuthRequired, |card| card)
    }

    /// The same, with enrolled keys that the registry knows as alice's.
    pub(crate) fn enrolled() -> Self {
        Self::new().enroll()
    }

    pub(crate) fn with(reads: Reads, card: impl FnOnce(Builder) -> Builder) -> Self {
        Self::with_registry(reads, |_| {}, card)
    }

    /// The same, with a registry that treats challenges like this.
    pub(crate) fn asked(reads: Reads, challenges: Challenges) -> Self {
        Self::with_registry(reads, |config| config.challenges = challenges, |card| card)
    }

    pub(crate) fn with_registry(
        reads: Reads,
        registry: impl FnOnce(&mut Config),
        card: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let card = card(MockCard::builder().serial(SERIAL).pin(PIN)).start().unwrap();
        let card_at = vec![("PCSCLITE_CSOCK_NAME", card.socket().into())];
        let mut computer = Computer::with_registry(reads, registry, card_at);
        let pin = computer.script("pin.sh", &format!("#!/bin/sh\necho {PIN}\n"));
        computer.card.push(("YK_CARGO_PIN_COMMAND", pin.into()));
        Self { computer, card }
    }

    pub(crate) fn enroll(self) -> Self {
        self.enroll_with(&[])
    }

    pub(crate) fn enroll_with(self, arguments: &[&str]) -> Self {
        let enroll = ["enroll", NAME, "--yes", "--configure", "--label", "laptop key"];
        self.yk_cargo([&enroll[..], arguments].concat()).succeeds();
        self.add_keys("alice");
        self.card.clear_trace();
        self
    }

    /// The registry stops, something is done to the folder with its store, and it starts again where it was.
    pub(crate) fn restarted(&mut self, reads: Reads, meanwhile: impl FnOnce(&Path)) {
        let nothing = Gateway::start(Config::new(self.path("nothing"))).unwrap();
        let address = self.gateway.address();
        std::mem::replace(&mut self.computer.gateway, nothing).stop();
        meanwhile(&self.path("store"));
        let mut config = Config::new(self.path("store"));
        config.listen = address;
        if reads == Reads::Open {
            config.reads = registry_gateway::config::Reads::Open;
        }
        self.computer.gateway = Gateway::start(config).unwrap();
    }

    /// Another card is plugged in, and this one is not any more.
    pub(crate) fn exchange_card(&mut self, card: MockCard) {
        let socket = self.computer.card.iter_mut().find(|(name, _)| *name == "PCSCLITE_CSOCK_NAME");
        socket.unwrap().1 = card.socket().into();
        self.card = card;
    }
}

impl Deref for World {
    type Target = Computer;

    fn deref(&self) -> &Computer {
        &self.computer
    }
}

impl Computer {
    /// Its children are led to a card by these variables.
    pub(crate) fn new(reads: Reads, card: Vec<(&'static str, OsString)>) -> Self {
        Self::with_registry(reads, |_| {}, card)
    }

    pub(crate) fn with_registry(
        reads: Reads,
        registry: impl FnOnce(&mut Config),
        card: Vec<(&'static str, OsString)>,
    ) -> Self {
        let root = tempfile::Builder::new().prefix("ykc").tempdir().unwrap();
        let mut config = Config::new(root.path().join("store"));
        if reads == Reads::Open {
            config.reads = registry_gateway::config::Reads::Open;
        }
        registry(&mut config);
        let gateway = Gateway::start(config).unwrap();
        let computer = Self { root, gateway, card };
        fs::create_dir_all(computer.path("work")).unwrap();
        let index = computer.gateway.index_url();
        computer.write("home/config.toml", &format!("[registries.{NAME}]\nindex = \"{index}\"\n"));
        computer
    }

    /// What the administrator does with the lines that `enroll` prints.
    pub(crate) fn add_keys(&self, user: &str) {
        self.add_keys_of(&self.registry(), user);
    }

    /// The same for another enrollment.
    pub(crate) fn add_keys_of(&self, registry: &Registry, user: &str) {
        for key in registry.cards.iter().flat_map(|card| &card.keys) {
            let role: Role = key.role.as_str().parse().unwrap();
            let subject = registry.subject.clone();
            let new = NewKey {
                public: key.public,
                user: user.parse().unwrap(),
                role,
                label: None,
                subject,
                expires: None,
            };
            self.gateway.store().add_key(new, jiff::Timestamp::now()).unwrap();
        }
    }

    /// This registry's enrollment, as the program reads it.
    pub(crate) fn registry(&self) -> Registry {
        let enrollments = Enrollments::load(&self.cargo_home()).unwrap();
        enrollments.registry(self.gateway.index_url()).unwrap().clone()
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn cargo_home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn enrollments_file(&self) -> PathBuf {
        self.path("home/yk-cargo/enrollments.toml")
    }

    pub(crate) fn write(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn script(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.write(relative, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    /// Sets the credential provider without enrolling.
    pub(crate) fn configure_provider(&self) {
        let config = fs::read_to_string(self.path("home/config.toml")).unwrap();
        let provider = format!("credential-provider = [{:?}]\n", env!("CARGO_BIN_EXE_yk-cargo"));
        self.write("home/config.toml", &(config + &provider));
    }

    /// Short deadlines, for what would otherwise be waited for.
    pub(crate) fn wait(&self, lines: &str) {
        self.write("home/yk-cargo/config.toml", &format!("[wait]\n{lines}\n"));
    }

    /// Cargo forgets what it has cached of every registry.
    pub(crate) fn make_cold(&self) {
        let _ = fs::remove_dir_all(self.path("home/registry"));
    }

    /// A library crate with this after its `[package]` section, ready to be published to this registry.
    pub(crate) fn package(&self, name: &str, version: &str, more: &str) -> PathBuf {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
             description = \"A crate\"\npublish = [\"{NAME}\"]\n{more}"
        );
        self.write(&format!("work/{name}/Cargo.toml"), &manifest);
        self.write(&format!("work/{name}/src/lib.rs"), "//! A crate.\n");
        self.path(format!("work/{name}"))
    }

    pub(crate) fn yk_cargo<'a>(&self, arguments: impl AsRef<[&'a str]>) -> Run {
        self.run(env!("CARGO_BIN_EXE_yk-cargo"), arguments.as_ref())
    }

    pub(crate) fn cargo<'a>(&self, directory: &Path, arguments: impl AsRef<[&'a str]>) -> Run {
        self.run(env!("CARGO"), arguments.as_ref()).directory(directory)
    }

    /// Publishes a crate.
    pub(crate) fn publish(&self, package: &Path) -> Run {
        self.cargo(package, ["publish", "--registry", NAME])
    }

    /// Speaks to the program as cargo does, one request; stdin stays open until the program has ended.
    pub(crate) fn provider(&self, request: &str) -> Run {
        self.yk_cargo(["--cargo-plugin"]).input(&format!("{request}\n")).stays_open()
    }

    /// A child in a session of its own, so that it has no controlling terminal.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT, "setsid", "--wait", program]).args(arguments);
        self.environment(&mut command);
        command.current_dir(self.path("work"));
        Run::new(command)
    }

    /// Everything a child may know, and nothing else.
    pub(crate) fn environment(&self, command: &mut Command) {
        let tools = Path::new(env!("CARGO")).parent().unwrap();
        let ours = Path::new(env!("CARGO_BIN_EXE_yk-cargo")).parent().unwrap();
        command
            .env_clear()
            .env("PATH", format!("{}:{}:/usr/local/bin:/usr/bin:/bin", ours.display(), tools.display()))
            .env("HOME", self.root.path())
            .env("CARGO_HOME", self.cargo_home())
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("TERM", "xterm")
            .envs(self.card.iter().map(|(name, value)| (name, value)));
    }
}
