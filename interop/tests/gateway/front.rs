//! The gateway in front of a registry that takes bearer tokens, and people whose cards it knows.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mock_card::MockCard;
use tempfile::TempDir;
use yk_cargo_interop::computer::{Computer, registry_gateway, shown};
use yk_cargo_interop::kellnr::{Kellnr, Rights};
use yk_cargo_interop::server::Server;

use crate::project::REGISTRY;

const CONFIG: &str = "registry-gateway.toml";

pub(crate) struct Front {
    _server: Server,
    folder: TempDir,
    kellnr: Kellnr,
    index: String,
}

impl Front {
    /// With its own answer to who may read, and the registry's to who may do what.
    pub(crate) fn before(kellnr: Kellnr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        administer(folder.path(), &["init"], "");
        let config = format!(
            "store = \"registry\"\nlisten = \"127.0.0.1:0\"\n\n\
             [upstream]\nindex = \"{}\"\nkey-file = \"credentials.key\"\n",
            kellnr.index_url()
        );
        fs::write(folder.path().join(CONFIG), config).unwrap();
        let mut index = String::new();
        let mut serve = gateway(folder.path(), &["serve", "--config", CONFIG]);
        let (server, ()) = Server::start(&mut serve, |line| {
            if let Some(url) = line.strip_prefix("index ") {
                url.clone_into(&mut index);
            }
            (line == "ready").then_some(())
        })
        .expect("it serves");
        Self { _server: server, folder, kellnr, index }
    }

    /// The computer of a new user, who has an account at the registry and a card that the gateway knows.
    pub(crate) fn computer(&self, user: &str, rights: Rights) -> Computer {
        self.kellnr.add_user(user, rights);

        let computer = Computer::with(MockCard::builder());
        computer.configure(&format!("[registries.{REGISTRY}]\nindex = \"{}\"\n", self.index));
        computer.yk_cargo(&["enroll", REGISTRY, "--yes", "--configure"]);
        for key in computer.enrolled_card().key {
            let whose = ["key", "add", "--store", "registry", "--user", user];
            let what = ["--role", &key.role, &key.public];
            administer(self.folder.path(), &[&whose[..], &what].concat(), "");
        }
        self.keep_credential(user, &self.kellnr.mint_token(user));
        computer
    }

    /// What the gateway is to show to the registry for a user.
    pub(crate) fn keep_credential(&self, user: &str, token: &str) {
        administer(self.folder.path(), &["credential", "set", "--config", CONFIG, user], token);
    }

    pub(crate) fn kellnr(&self) -> &Kellnr {
        &self.kellnr
    }

    pub(crate) fn index(&self) -> &str {
        &self.index
    }
}

/// Runs a command of the gateway to its end, with this on standard input. It has to succeed.
fn administer(folder: &Path, arguments: &[&str], input: &str) {
    let mut command = gateway(folder, arguments);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().expect("piped").write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "registry-gateway {arguments:?}\n{}", shown(&output));
}

fn gateway(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(registry_gateway());
    command.args(arguments).current_dir(folder).env_clear();
    command
}
