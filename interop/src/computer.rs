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

/// Of every card plugged in.
pub const PIN: &str = "654321";

/// What no program here needs: a verify build on a busy machine.
const SECONDS: &str = "300";

/// See the module. When it is dropped, all of it is gone.
pub struct Computer {
    folder: TempDir,
    card: MockCard,
}

/// `enrollments.toml`, as far as the judges care.
#[derive(Debug, Deserialize)]
pub struct Enrollments {
    /// One for each index URL.
    pub registry: Vec<EnrolledRegistry>,
}

/// What is enrolled for one index URL.
#[derive(Debug, Deserialize)]
pub struct EnrolledRegistry {
    /// Each is good for it alone.
    pub card: Vec<EnrolledCard>,
}

/// A card that was enrolled.
#[derive(Debug, Deserialize)]
pub struct EnrolledCard {
    /// The YubiKey's number.
    pub serial: u32,
    /// As in `5.7.4`.
    pub firmware: String,
    /// One for reading and one for publishing, or one for both.
    pub key: Vec<EnrolledKey>,
}

/// A key on a card.
#[derive(Debug, Deserialize)]
pub struct EnrolledKey {
    /// `read`, `publish` or `both`.
    pub role: String,
    /// Two hexadecimal digits.
    pub slot: String,
    /// `k3.public.…`
    pub public: String,
    /// `never`, `once` or `always`.
    pub pin: String,
    /// `never`, `cached` or `always`.
    pub touch: String,
}

impl EnrolledKey {
    /// PASERK `k3.public`: the compressed point.
    pub fn verifying_key(&self) -> VerifyingKey {
        let point = self.public.strip_prefix("k3.public.").expect("a PASERK");
        let point = BASE64_URL_SAFE_NO_PAD.decode(point).unwrap();
        assert_eq!(point.len(), 49, "{}", self.public);
        VerifyingKey::from_sec1_bytes(&point).unwrap()
    }
}

impl Computer {
    /// With this card plugged in. Its PIN becomes [`PIN`].
    pub fn with(card: Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("home/.cargo")).unwrap();
        Self { folder, card: card.pin(PIN).start().unwrap() }
    }

    /// The YubiKey.
    pub fn card(&self) -> &MockCard {
        &self.card
    }

    /// Where a person keeps projects.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn cargo_home(&self) -> PathBuf {
        self.folder().join("home/.cargo")
    }

    /// Writes `$CARGO_HOME/config.toml`.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.cargo_home().join("config.toml"), config).unwrap();
    }

    /// What cargo keeps of every registry: index and crates.
    pub fn forget_downloads(&self) {
        std::fs::remove_dir_all(self.cargo_home().join("registry")).unwrap();
    }

    /// Where `yk-cargo` keeps what it enrolled.
    pub fn enrollments_file(&self) -> PathBuf {
        self.cargo_home().join("yk-cargo/enrollments.toml")
    }

    /// The only card of the only enrollment.
    pub fn enrolled_card(&self) -> EnrolledCard {
        let text = std::fs::read_to_string(self.enrollments_file()).unwrap();
        let mut enrollments: Enrollments = toml::from_str(&text).unwrap();
        assert_eq!(enrollments.registry.len(), 1, "{text}");
        assert_eq!(enrollments.registry[0].card.len(), 1, "{text}");
        enrollments.registry[0].card.remove(0)
    }

    /// `yk-cargo ARGUMENTS`: what it printed on stdout, less the last line end. It has to succeed.
    pub fn yk_cargo(&self, arguments: &[&str]) -> String {
        self.yk_cargo_told(arguments, "")
    }

    /// The same, with this on standard input.
    pub fn yk_cargo_told(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(yk_cargo(), arguments, input);
        assert!(output.status.success(), "yk-cargo {arguments:?}\n{}", shown(&output));
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// `yk-cargo ARGUMENTS`: what it wrote to stderr. It has to fail.
    pub fn yk_cargo_fails(&self, arguments: &[&str]) -> String {
        let output = self.run(yk_cargo(), arguments, "");
        assert!(!output.status.success(), "yk-cargo {arguments:?}\n{}", shown(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    /// `cargo ARGUMENTS` in a project. `Ok` has what it wrote to stdout, `Err` what it wrote to stderr.
    pub fn cargo(&self, project: &Path, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.child(cargo(), arguments);
        let output = command.current_dir(project).stdin(Stdio::null()).output().unwrap();
        eprintln!("$ cargo {}\n{}", arguments.join(" "), shown(&output));
        let said = if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) };
        said.map(|text| String::from_utf8(text).unwrap()).map_err(|text| String::from_utf8(text).unwrap())
    }

    /// Runs a program to its end, with this on stdin.
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str], input: &str) -> Output {
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

/// All that a program said, for a message.
pub fn shown(output: &Output) -> String {
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
    PROGRAM.get_or_init(|| under_test("YK_CARGO_UNDER_TEST").unwrap_or_else(|| build("yk-cargo")))
}

/// The gateway: `REGISTRY_GATEWAY_UNDER_TEST`, else built from this tree.
///
/// # Panics
/// If it does not build.
pub fn registry_gateway() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        under_test("REGISTRY_GATEWAY_UNDER_TEST").unwrap_or_else(|| build("registry-gateway"))
    })
}

fn under_test(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// Builds a package of this tree, which has a program of the same name.
fn build(package: &str) -> PathBuf {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let mut command = Command::new(cargo());
    command.args(["build", "--locked", "--package", package, "--message-format", "json-render-diagnostics"]);
    command.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    // In the tree's own target folder: the judges' is shared by all trees, and what another one built there would do.
    command.env_remove("CARGO_TARGET_DIR");
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{package} does not build");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
        .find(|program| program.file_name().is_some_and(|name| name == package))
        .expect("cargo names the program it built")
}
