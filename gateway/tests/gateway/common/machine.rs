//! A machine that stages: with a key in a file, and with stable cargo and the token in its environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::publishers::{CratePatterns, Holder};
use registry_gateway::store::{Exchange, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Fixture, Response, SoftwareKey, Upload, now};

/// A machine's key, which is registered.
pub(crate) struct Machine {
    pub(crate) key: SoftwareKey,
}

impl Machine {
    /// It reads as this user.
    pub(crate) fn of(store: &Store, seed: u8, user: &str, crates: &[&str]) -> Self {
        let key = SoftwareKey::new(seed);
        let crates = CratePatterns(crates.iter().map(|pattern| pattern.parse().unwrap()).collect());
        let user = user.parse().unwrap();
        let new =
            NewKey { public: key.public, user, role: Role::Stage, label: None, subject: None, expires: None };
        store.add_key_for(new, &crates, Timestamp::now()).unwrap();
        Self { key }
    }

    pub(crate) fn new(fixture: &Fixture, seed: u8, crates: &[&str]) -> Self {
        Self::of(fixture.running().store(), seed, "alice", crates)
    }

    /// A staging token of its own for a new job.
    pub(crate) fn token(&self, store: &Store) -> String {
        let now = now();
        let id = self.key.public.id();
        let identity = json!({ "key": id.to_string(), "user": "alice" });
        let exchange = Exchange {
            holder: Holder::Key(id),
            identity: identity.as_object().unwrap().clone(),
            single_use_key: now.as_nanosecond().to_string(),
            kept_until: now + SignedDuration::from_hours(1),
            kind: "read",
        };
        store.issue_staging_token(&exchange, store.now()).unwrap().0.as_str().to_owned()
    }
}

/// What people ask of a gateway.
impl Fixture {
    /// A staging token for a new job of a machine.
    pub(crate) fn job(&self, machine: &Machine) -> String {
        machine.token(self.running().store())
    }

    /// Stages a version, and returns its number.
    #[track_caller]
    pub(crate) fn stage(&self, job: &str, upload: &Upload) -> i64 {
        let staged = self.put_new(job, upload);
        staged.assert_ok();
        let told = staged.json()["warnings"]["other"][0].as_str().unwrap().to_owned();
        let (_, number) = told.split_once("is staged as number ").unwrap();
        number.split_once(',').unwrap().0.parse().unwrap()
    }

    /// All that concerns Alice.
    pub(crate) fn waiting(&self) -> Vec<Value> {
        self.get("/api/v1/staged").json()["staged"].as_array().unwrap().clone()
    }

    /// A staged version as Alice sees it.
    #[track_caller]
    pub(crate) fn staged(&self, id: i64) -> Value {
        let staged = self.get(&format!("/api/v1/staged/{id}"));
        staged.assert_ok();
        staged.json()
    }

    #[track_caller]
    pub(crate) fn state(&self, id: i64) -> String {
        self.staged(id)["state"].as_str().unwrap().to_owned()
    }

    pub(crate) fn approve(&self, id: i64, token: &str) -> Response {
        self.send("PUT", &format!("/api/v1/staged/{id}/approve"), Some(token), b"")
    }

    /// With a fresh token of Alice's.
    pub(crate) fn approves(&self, id: i64, upload: &Upload) -> Response {
        self.approve(id, &self.publish_token(upload))
    }

    pub(crate) fn bobs(&self, upload: &Upload) -> String {
        self.bob.token(self.url(), &asymmetric_token::Claims::mutate(now(), upload.mutation()))
    }

    pub(crate) fn reject(&self, id: i64, token: &str, body: &str) -> Response {
        self.send("PUT", &format!("/api/v1/staged/{id}/reject"), Some(token), body.as_bytes())
    }

    /// A read token of Alice's that nobody has used.
    pub(crate) fn fresh_read_token(&self) -> String {
        self.read.token(self.url(), &asymmetric_token::Claims::read(now()))
    }

    /// The tables are what the log says.
    #[track_caller]
    pub(crate) fn is_as_logged(&self) {
        let found = self.running().store().discrepancies(Timestamp::now()).unwrap();
        assert!(found.is_empty(), "{found:?}");
    }
}

/// A build machine: a cargo home, and what is built there.
pub(crate) struct Runner {
    folder: TempDir,
}

impl Runner {
    /// It knows the registry, and takes a token from its environment.
    pub(crate) fn new(fixture: &Fixture) -> Self {
        let runner = Self::bare();
        runner.configure(&format!(
            "[registries.my-reg]\nindex = {:?}\n[registry]\nglobal-credential-providers = [\"cargo:token\"]\n\
             [net]\nretry = 0\n[build]\njobs = 1\n",
            fixture.url()
        ));
        runner
    }

    /// It knows nothing.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cargo-home")).unwrap();
        Self { folder }
    }

    /// Writes `$CARGO_HOME/config.toml`.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.folder.path().join("cargo-home/config.toml"), config).unwrap();
    }

    /// Writes a workspace: crates in their folders, each with the name of the one that it depends on, or nothing.
    pub(crate) fn workspace(&self, version: &str, members: &[(&str, &str)]) -> PathBuf {
        let root = self.folder.path().join("workspace");
        for (name, dependency) in members {
            let folder = root.join(name);
            fs::create_dir_all(folder.join("src")).unwrap();
            let (dependencies, lib) = match *dependency {
                "" => (String::new(), "/// It is there.\npub const THERE: bool = true;\n".to_owned()),
                other => (
                    format!(
                        "[dependencies]\n{other} = {{ path = \"../{other}\", version = \"{version}\", registry = \"my-reg\" }}\n"
                    ),
                    format!(
                        "/// It is there.\npub const THERE: bool = {}::THERE;\n",
                        other.replace('-', "_")
                    ),
                ),
            };
            let manifest = format!(
                "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n\
                 description = \"The crate {name}\"\nlicense = \"MIT\"\nrepository = \"https://git.example/{name}\"\n{dependencies}"
            );
            fs::write(folder.join("Cargo.toml"), manifest).unwrap();
            fs::write(folder.join("src/lib.rs"), lib).unwrap();
        }
        let names: Vec<_> = members.iter().map(|(name, _)| format!("{name:?}")).collect();
        let manifest = format!("[workspace]\nmembers = [{}]\nresolver = \"3\"\n", names.join(", "));
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        root
    }

    /// Runs a shell, as build services do, with these variables and no others but where its programs are.
    pub(crate) fn shell(&self, folder: &Path, variables: &[(String, String)], script: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        // What rustup puts in between would ask for a home.
        let path = match std::env::var("CARGO") {
            Ok(cargo) => format!("{}:{path}", Path::new(&cargo).parent().unwrap().display()),
            Err(_) => path,
        };
        let mut command = Command::new("sh");
        command.args(["-e", "-c", script]).current_dir(folder).env_clear();
        command.env("PATH", path).env("HOME", self.folder.path()).env("NO_PROXY", "*");
        command.env("CARGO_HOME", self.folder.path().join("cargo-home"));
        command.envs(variables.iter().cloned()).output().unwrap()
    }

    /// Runs cargo with a staging token in its environment.
    pub(crate) fn cargo(&self, folder: &Path, token: &str, arguments: &str) -> Output {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO") {
                command.env_remove(name);
            }
        }
        command
            .env("CARGO_HOME", self.folder.path().join("cargo-home"))
            .env("CARGO_REGISTRIES_MY_REG_TOKEN", token)
            .env("CARGO_TERM_COLOR", "never")
            .current_dir(folder)
            .args(arguments.split(' '));
        command.output().unwrap()
    }

    /// Returns what it says; it must succeed.
    #[track_caller]
    pub(crate) fn succeeds(&self, folder: &Path, token: &str, arguments: &str) -> String {
        let output = self.cargo(folder, token, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "cargo {arguments}: {said}");
        said
    }

    /// Returns what it says; it must fail.
    #[track_caller]
    pub(crate) fn fails(&self, folder: &Path, token: &str, arguments: &str) -> String {
        let output = self.cargo(folder, token, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "cargo {arguments}: {said}");
        said
    }
}
