//! The gateway in front of a registry that takes bearer tokens, and people whose cards it knows.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mock_card::MockCard;
use tempfile::TempDir;
use yk_cargo_interop::computer::{Computer, registry_gateway, shown};
use yk_cargo_interop::kellnr::{self, Kellnr, Rights};
use yk_cargo_interop::postgres::Postgres;
use yk_cargo_interop::server::Server;

use crate::direct;
use crate::project::REGISTRY;
use crate::round_robin::RoundRobin;

const CONFIG: &str = "registry-gateway.toml";

pub(crate) struct Front {
    _servers: Vec<Server>,
    folder: TempDir,
    kellnr: Option<Kellnr>,
    index: String,
    /// Where several gateways have their store.
    _postgres: Option<Postgres>,
}

impl Front {
    /// As docs/gateway.md has it: who may do what is the registry's to say, and every change answers a challenge.
    pub(crate) fn before(kellnr: Kellnr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        administer(folder.path(), &["init"], "");
        // Another program may take the free port between our finding it and the gateway's listening there.
        let served = (0..3).find_map(|_| serve(folder.path(), &kellnr));
        let (server, index) = served.expect("it serves on a free port");
        Self { _servers: vec![server], folder, kellnr: Some(kellnr), index, _postgres: None }
    }

    /// Two gateways with one store, to which connections go in turn. `None` where PostgreSQL is not installed.
    pub(crate) fn of_two_before(kellnr: Kellnr) -> Option<Self> {
        let (folder, postgres, balancer) =
            (tempfile::tempdir().unwrap(), Postgres::start()?, RoundRobin::new());
        let (store, url) = (postgres.url(), format!("http://{}", balancer.address));
        administer(folder.path(), &["init", "--store", &store], "");
        let config = config(&store, "127.0.0.1:0", &url, &kellnr);
        fs::write(folder.path().join(CONFIG), config).unwrap();
        administer(folder.path(), &["store", "migrate"], "");
        let (mut servers, mut behind) = (Vec::new(), Vec::new());
        for state in ["one", "other"] {
            let served = (0..3).find_map(|_| {
                let address = kellnr::free_port();
                let mut command = gateway(folder.path(), &["serve", "--listen", &address.to_string()]);
                command.env("STATE_DIRECTORY", folder.path().join(state));
                Some((ready(&mut command)?, address))
            });
            let ((server, index), address) = served.expect("it serves on a free port");
            assert_eq!(index, format!("sparse+{url}/index/"));
            servers.push(server);
            behind.push(address);
        }
        balancer.lead_to(behind);
        let index = format!("sparse+{url}/index/");
        Some(Self { _servers: servers, folder, kellnr: Some(kellnr), index, _postgres: Some(postgres) })
    }

    /// The computer of a new user, who has an account at the registry and enrolled a card with an invite.
    pub(crate) fn computer(&self, user: &str, rights: Rights) -> Computer {
        self.kellnr().add_user(user, rights);
        self.administer(&["user", "add", user], "");
        self.administer(&["credential", "set", user], &self.kellnr().mint_token(user));
        let code = self.administer(&["invite", user], "");

        let computer = Computer::with(MockCard::builder());
        computer.configure(&format!("[registries.{REGISTRY}]\nindex = \"{}\"\n", self.index));
        computer.yk_cargo_told(&["enroll", REGISTRY, "--yes", "--configure", "--invite"], &code);
        computer
    }

    /// The computer of a machine that may stage these crates: it has a key in a file, and cargo has a staging token that the gateway gave for it. It reads
    /// as a user of its own, who may publish nothing.
    pub(crate) fn machine(&self, user: &str, crates: &[&str]) -> Computer {
        self.kellnr().add_user(user, Rights::Read);
        self.administer(&["user", "add", user], "");
        self.administer(&["credential", "set", user], &self.kellnr().mint_token(user));
        let computer = Computer::with(MockCard::builder());
        computer.configure(&format!("[registries.{REGISTRY}]\nindex = \"{}\"\n", self.index));
        let public = computer.yk_cargo(&["stage", "new-key", "ci.key"]);
        let mut add = vec!["key", "add", "--user", user, "--role", "stage"];
        add.extend(crates.iter().flat_map(|name| ["--crate", name]));
        add.push(&public);
        self.administer(&add, "");
        let exchange = ["token", REGISTRY, "--stage", "--key-file", "ci.key", "--exchange"];
        direct::configure(&computer, &self.index, &computer.yk_cargo(&exchange));
        computer
    }

    /// What the gateway shows to the registry for a user is from now on in a .netrc, and this provider reads it there.
    pub(crate) fn have_provider(&self, user: &str, provider: &[&str]) -> String {
        let netrc = self.folder.path().join(".netrc");
        let token = self.kellnr().mint_token(user);
        fs::write(&netrc, format!("machine 127.0.0.1\nlogin {user}\npassword {token}\n")).unwrap();
        fs::set_permissions(&netrc, fs::Permissions::from_mode(0o600)).unwrap();
        self.administer(&[&["credential", "provider", user, "--"], provider].concat(), "")
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

    pub(crate) fn administer(&self, arguments: &[&str], input: &str) -> String {
        administer(self.folder.path(), arguments, input)
    }

    pub(crate) fn index(&self) -> &str {
        &self.index
    }
}

/// On a free port, which is in the gateway's URL. `None` if it ends at once.
fn serve(folder: &Path, kellnr: &Kellnr) -> Option<(Server, String)> {
    let address = kellnr::free_port();
    let config = config("registry", &address.to_string(), &format!("http://{address}"), kellnr);
    fs::write(folder.join(CONFIG), config).unwrap();
    ready(&mut gateway(folder, &["serve"]))
}

fn config(store: &str, listen: &str, url: &str, kellnr: &Kellnr) -> String {
    format!(
        "store = \"{store}\"\nlisten = \"{listen}\"\nurl = \"{url}\"\nchallenges = \"required\"\n\n\
         [upstream]\nindex = \"{}\"\nkey-file = \"credentials.key\"\n",
        kellnr.index_url()
    )
}

/// A gateway that serves, and its index URL. `None` if it ends at once.
fn ready(command: &mut Command) -> Option<(Server, String)> {
    let mut index = String::new();
    let (server, ()) = Server::start(command, |line| {
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
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command
}
