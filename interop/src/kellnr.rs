//! [Kellnr](https://kellnr.io): a registry that takes bearer tokens, for the gateway to stand in front of.
//!
//! The release on crates.io, unmodified, built once by the lock file of `interop/kellnr/`. It listens on loopback and keeps
//! everything in a temporary folder.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use crate::cache;
use crate::server::Server;

/// Also in `interop/kellnr/Cargo.toml`, and cargo refuses to build another.
const VERSION: &str = "6.13.0";
/// What it says once it listens.
const READY: &str = "Kellnr has been started on";
/// With one request. Hashing a password without optimisation takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of everybody; the tests are about tokens.
const PASSWORD: &str = "not-asked-here";

/// What a person may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything, with every crate.
    Admin,
    /// Publish new crates, and change those they own.
    Publish,
    /// Look and download.
    Read,
}

/// A registry that runs. Dropping it ends it and all it kept.
#[derive(Debug)]
pub struct Kellnr {
    // Before its folder, for fields are dropped in this order.
    _server: Server,
    _data: TempDir,
    address: SocketAddr,
    agent: Agent,
}

impl Kellnr {
    /// An empty registry on a free port, where even reading needs a token. Builds Kellnr if that was never done.
    ///
    /// # Panics
    /// If it does not build, or does not start; the tests cannot go on without.
    pub fn start() -> Self {
        // Another program may take the free port between our finding it and Kellnr's listening there.
        (0..3).find_map(|_| Self::start_on(free_port())).expect("Kellnr starts on a free port")
    }

    fn start_on(address: SocketAddr) -> Option<Self> {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program());
        command.arg("start").current_dir(data.path()).env_clear();
        for (name, value) in settings(address, data.path().to_str().expect("UTF-8")) {
            command.env(name, value);
        }
        let (server, ()) = Server::start(&mut command, |line| line.contains(READY).then_some(()))?;
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
        Some(Self { _server: server, _data: data, address, agent })
    }

    /// `http://127.0.0.1:PORT`: what is called `api` in its `config.json`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As in cargo's configuration.
    pub fn index_url(&self) -> String {
        format!("sparse+{}/api/v1/crates/", self.api_url())
    }

    /// A new user.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add_user(&self, name: &str, rights: Rights) {
        let user = json!({
            "name": name, "pwd1": PASSWORD, "pwd2": PASSWORD,
            "is_admin": rights == Rights::Admin, "is_read_only": rights == Rights::Read,
        });
        let admin = self.log_in("admin");
        let answer = self.agent.post(self.url("users")).header("Cookie", admin).send_json(user);
        answer.expect("a user is made");
    }

    /// A new token of a user, 32 characters.
    ///
    /// # Panics
    /// If there is no such user.
    pub fn mint_token(&self, user: &str) -> String {
        #[derive(Deserialize)]
        struct Minted {
            token: String,
        }
        let session = self.log_in(user);
        let answer = self.agent.post(self.url("users/me/tokens")).header("Cookie", session);
        let mut answer = answer.send_json(json!({"name": "interop"})).expect("a token is minted");
        answer.body_mut().read_json::<Minted>().expect("the token").token
    }

    /// The `Cookie` header of a session.
    fn log_in(&self, user: &str) -> String {
        let credentials: Value = json!({"user": user, "pwd": PASSWORD});
        let answer = self.agent.post(self.url("auth/login")).send_json(credentials).expect("a session");
        let cookie = answer.headers().get("Set-Cookie").expect("a cookie").to_str().expect("ASCII");
        cookie.split(';').next().expect("a name and a value").to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.api_url())
    }
}

/// Kellnr's settings for a gateway in front of it, as docs/gateway.md has them, and a password.
pub fn settings(address: SocketAddr, data: &str) -> [(&'static str, String); 9] {
    [
        ("KELLNR_LOCAL__IP", address.ip().to_string()),
        ("KELLNR_LOCAL__PORT", address.port().to_string()),
        ("KELLNR_ORIGIN__HOSTNAME", address.ip().to_string()),
        ("KELLNR_ORIGIN__PORT", address.port().to_string()),
        ("KELLNR_REGISTRY__AUTH_REQUIRED", "true".to_owned()),
        ("KELLNR_REGISTRY__DATA_DIR", data.to_owned()),
        ("KELLNR_SETUP__ADMIN_PWD", PASSWORD.to_owned()),
        ("KELLNR_PROXY__ENABLED", "false".to_owned()),
        ("KELLNR_DOCS__ENABLED", "false".to_owned()),
    ]
}

/// One of loopback's that nobody listens on.
///
/// # Panics
/// If there is none.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

/// Tests of one program that start at the same time build it once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| cache::locked_program("kellnr", VERSION))
}
