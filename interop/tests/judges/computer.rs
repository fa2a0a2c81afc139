//! A person's computer: a home, a cargo home, a YubiKey plugged in, `cargo` and `yk-cargo`.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mock_card::{Builder, MockCard};
use p384::ecdsa::VerifyingKey;
use serde::Deserialize;
use tempfile::TempDir;

pub(crate) const PIN: &str = "654321";

/// What no program here needs: a verify build on a busy machine.
const SECONDS: &str = "300";

pub(crate) struct Computer {
    folder: TempDir,
    card: MockCard,
}

/// `enrollments.toml`, as far as the judges care.
#[derive(Debug, Deserialize)]
pub(crate) struct Enrollments {
    pub(crate) registry: Vec<EnrolledRegistry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EnrolledRegistry {
    pub(crate) card: Vec<EnrolledCard>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EnrolledCard {
    pub(crate) serial: u32,
    pub(crate) firmware: String,
    pub(crate) key: Vec<EnrolledKey>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EnrolledKey {
    pub(crate) role: String,
    pub(crate) slot: String,
    pub(crate) public: String,
    pub(crate) pin: String,
    pub(crate) touch: String,
}

impl EnrolledKey {
    /// PASERK `k3.public`: the compressed point.
    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        let point = self.public.strip_prefix("k3.public.").expect("a PASERK");
        let point = BASE64_URL_SAFE_NO_PAD.decode(point).unwrap();
        assert_eq!(point.len(), 49, "{}", self.public);
        VerifyingKey::from_sec1_bytes(&point).unwrap()
    }
}

impl Computer {
    /// With this card plugged in. Its PIN becomes [`PIN`].
    pub(crate) fn with(card: Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("home/.cargo")).unwrap();
        Self { folder, card: card.pin(PIN).start().unwrap() }
    }

    pub(crate) fn card(&self) -> &MockCard {
        &self.card
    }

    /// Where a person keeps projects.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn cargo_home(&self) -> PathBuf {
        self.folder().join("home/.cargo")
    }

    /// Writes `$CARGO_HOME/config.toml`.
    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.cargo_home().join("config.toml"), config).unwrap();
    }

    pub(crate) fn enrollments_file(&self) -> PathBuf {
        self.cargo_home().join("yk-cargo/enrollments.toml")
    }

    /// The only card of the only enrolment.
    pub(crate) fn enrolled_card(&self) -> EnrolledCard {
        let text = std::fs::read_to_string(self.enrollments_file()).unwrap();
        let mut enrollments: Enrollments = toml::from_str(&text).unwrap();
        assert_eq!(enrollments.registry.len(), 1, "{text}");
        assert_eq!(enrollments.registry[0].card.len(), 1, "{text}");
        enrollments.registry[0].card.remove(0)
    }

    /// `yk-cargo ARGUMENTS`: what it printed on stdout, less the last line end. It has to succeed.
    pub(crate) fn yk_cargo(&self, arguments: &[&str]) -> String {
        let output = self.run(yk_cargo(), arguments, "");
        assert!(output.status.success(), "yk-cargo {arguments:?}\n{}", shown(&output));
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// `cargo ARGUMENTS` in a project. `Err` has what it wrote to stderr.
    pub(crate) fn cargo(&self, project: &Path, arguments: &[&str]) -> Result<(), String> {
        let mut command = self.child(cargo(), arguments);
        let output = command.current_dir(project).stdin(Stdio::null()).output().unwrap();
        eprintln!("$ cargo {}\n{}", arguments.join(" "), shown(&output));
        if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
    }

    /// Runs a program to its end, with this on stdin.
    pub(crate) fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str], input: &str) -> Output {
        let mut command = self.child(program, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that takes no interest in its input may be gone already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Without a terminal, so that nobody is ever asked; with a limit in time; with nothing of our own
    /// environment.
    fn child(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.args(["--wait", "timeout", "--signal=KILL", SECONDS]).arg(program).args(arguments);
        command.current_dir(self.folder()).env_clear();
        command.env("PATH", search_path()).env("HOME", self.folder().join("home"));
        command.env("CARGO_HOME", self.cargo_home()).env("CARGO_TERM_COLOR", "never");
        command.env("PCSCLITE_CSOCK_NAME", self.card.socket());
        command.env("YK_CARGO_PIN_COMMAND", format!("echo {PIN}"));
        command
    }
}

pub(crate) fn shown(output: &Output) -> String {
    format!(
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status
    )
}

/// The cargo that runs these tests: the toolchain's own, not rustup's shim.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").expect("run by `cargo test`").into()
}

/// With the rustc that goes with [`cargo`] before any other.
fn search_path() -> std::ffi::OsString {
    let toolchain = cargo().parent().expect("an absolute path").to_owned();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(toolchain).chain(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap()
}

/// The program under judgement: `YK_CARGO_UNDER_TEST`, else built from this tree.
fn yk_cargo() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("YK_CARGO_UNDER_TEST").map_or_else(build_yk_cargo, PathBuf::from))
}

fn build_yk_cargo() -> PathBuf {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let mut command = Command::new(cargo());
    command.args([
        "build",
        "--locked",
        "--package",
        "yk-cargo",
        "--message-format",
        "json-render-diagnostics",
    ]);
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    // In the tree's own target folder: the judges' is shared by all trees, and what another one built there would do.
    command.env_remove("CARGO_TARGET_DIR");
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "yk-cargo does not build");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
        .find(|program| program.file_name().is_some_and(|name| name == "yk-cargo"))
        .expect("cargo names the program it built")
}
