//! The gateway in front of a registry that takes bearer tokens, and people whose cards it knows.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mock_card::MockCard;
use tempfile::TempDir;
use yk_cargo_interop::computer::{Computer, registry_gateway, shown};
use yk_cargo_interop::kellnr::{self, Kellnr, Rights};
use yk_cargo_interop::server::Server;

use crate::project::REGISTRY;

const CONFIG: &str = "registry-gateway.toml";

pub(crate) struct Front {
    _server: Server,
    folder: TempDir,
    kellnr: Option<Kellnr>,
    index: String,
}

impl Front {
    /// As docs/gateway.md has it: who may do what is the registry's to say, and every change answers a challenge.
    pub(crate) fn before(kellnr: Kellnr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        administer(folder.path(), &["init"], "");
        // Another program may take the free port between our finding it and the gateway's listening there.
        let served = (0..3).find_map(|_| serve(folder.path(), &kellnr));
        let (server, index) = served.expect("it serves on a free port");
        Self { _server: server, folder, kellnr: Some(kellnr), index }
    }

    /// The computer of a new user, who has an account at the registry and enrolled a card with an invite.
    pub(crate) fn computer(&self, user: &str, rights: Rights) -> Computer {
        self.kellnr().add_user(user, rights);
        self.administer(&["user", "add", user], "");
        self.keep_credential(user, &self.kellnr().mint_token(user));
        let code = self.administer(&["invite", user], "");

        let computer = Computer::with(MockCard::builder());
        computer.configure(&format!("[registries.{REGISTRY}]\nindex = \"{}\"\n", self.index));
        computer.yk_cargo_told(&["enroll", REGISTRY, "--yes", "--configure", "--invite"], &code);
        computer
    }

    /// What the gateway is to show to the registry for a user.
    pub(crate) fn keep_credential(&self, user: &str, token: &str) {
        self.administer(&["credential", "set", user], token);
    }

    pub(crate) fn kellnr(&self) -> &Kellnr {
        self.kellnr.as_ref().expect("it runs")
    }

    /// The registry behind goes away.
    pub(crate) fn stop_kellnr(&mut self) {
        self.kellnr = None;
    }

    /// What `doctor` says, and whether nothing is to be done.
    pub(crate) fn doctor(&self) -> (bool, String) {
        let output = administered(self.folder.path(), &["doctor"], "");
        (output.status.success(), shown(&output))
    }

    fn administer(&self, arguments: &[&str], input: &str) -> String {
        administer(self.folder.path(), arguments, input)
    }

    pub(crate) fn index(&self) -> &str {
        &self.index
    }
}

/// On a free port, which is in the gateway's URL. `None` if it ends at once.
fn serve(folder: &Path, kellnr: &Kellnr) -> Option<(Server, String)> {
    let address = kellnr::free_port();
    let config = format!(
        "store = \"registry\"\nlisten = \"{address}\"\nurl = \"http://{address}\"\nchallenges = \"required\"\n\n\
         [upstream]\nindex = \"{}\"\nkey-file = \"credentials.key\"\n",
        kellnr.index_url()
    );
    fs::write(folder.join(CONFIG), config).unwrap();
    let mut index = String::new();
    let (server, ()) = Server::start(&mut gateway(folder, &["serve"]), |line| {
        if let Some(url) = line.strip_prefix("index ") {
            url.clone_into(&mut index);
        }
        (line == "ready").then_some(())
    })?;
    Some((server, index))
}

/// Runs a command of the gateway to its end, with this on standard input. It has to succeed; returns standard output.
fn administer(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = administered(folder, arguments, input);
    assert!(output.status.success(), "registry-gateway {arguments:?}\n{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn administered(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = gateway(folder, arguments);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // A command that asks for nothing may be gone already.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// In its folder, where it finds its configuration.
fn gateway(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(registry_gateway());
    command.args(arguments).current_dir(folder).env_clear();
    command
}
