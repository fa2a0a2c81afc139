//! A person's computer with stable cargo, and the example's credential provider.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{Fixture, SoftwareKey};

/// A person's computer: a cargo home, keys in files, folders with crates.
pub(crate) struct Computer {
    pub(crate) folder: TempDir,
}

impl Computer {
    pub(crate) fn new(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().expect("a test that panics has failed");
        let home = folder.path().join("cargo-home");
        fs::create_dir(&home).expect("a test that panics has failed");
        let keys: Vec<PathBuf> = [("read", &fixture.read), ("publish", &fixture.publish)]
            .into_iter()
            .map(|(name, key)| key_file(folder.path(), name, key))
            .collect();
        let config = format!(
            "[registries.my-reg]\nindex = {:?}\ncredential-provider = [{:?}, {:?}, {:?}]\n\
             [net]\nretry = 0\n[build]\njobs = 1\n",
            fixture.url(),
            provider(),
            keys[0],
            keys[1],
        );
        fs::write(home.join("config.toml"), config).expect("a test that panics has failed");
        Self { folder }
    }

    /// Writes a crate: its manifest after `[package]`, and its library.
    pub(crate) fn package(&self, name: &str, manifest: &str, lib: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(folder.join("src")).expect("a test that panics has failed");
        fs::write(folder.join("Cargo.toml"), manifest).expect("a test that panics has failed");
        fs::write(folder.join("src/lib.rs"), lib).expect("a test that panics has failed");
        folder
    }

    pub(crate) fn cargo(&self, folder: &Path, arguments: &str) -> Output {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO") {
                command.env_remove(name);
            }
        }
        command
            .env("CARGO_HOME", self.folder.path().join("cargo-home"))
            .env("CARGO_TERM_COLOR", "never")
            .current_dir(folder)
            .args(arguments.split(' '));
        command.output().expect("a test that panics has failed")
    }

    /// Runs cargo, which must succeed; returns standard output and standard error.
    #[track_caller]
    pub(crate) fn succeeds(&self, folder: &Path, arguments: &str) -> String {
        let output = self.cargo(folder, arguments);
        let text = [output.stdout, output.stderr]
            .map(|text| String::from_utf8(text).expect("a test that panics has failed"))
            .concat();
        assert!(output.status.success(), "cargo {arguments}: {text}");
        text
    }
}

fn key_file(folder: &Path, name: &str, key: &SoftwareKey) -> PathBuf {
    let path = folder.join(format!("{name}.key"));
    let hex: String = key.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, hex).expect("a test that panics has failed");
    path
}

/// `cargo test` builds examples beside the folder of its test programs.
fn provider() -> PathBuf {
    let test = std::env::current_exe().expect("a test that panics has failed");
    let name = format!("software-key-provider{}", std::env::consts::EXE_SUFFIX);
    let path = test
        .parent()
        .and_then(Path::parent)
        .expect("a test that panics has failed")
        .join("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is not built; run `cargo test` without --test, or with --examples",
        path.display()
    );
    path
}
