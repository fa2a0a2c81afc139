//! One person at a Windows computer, with one card and one registry.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mock_card::{Builder, MockCard};
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::{Config, Gateway, Running};
use serde_json::{Value, json};
use tempfile::TempDir;
use yk_cargo::enrollment::{Enrollments, Registry};

pub(crate) use crate::run::{Outcome, Run};

/// The card's PIN; not the default one, which `enroll` refuses.
pub(crate) const PIN: &str = "654321";
pub(crate) const SERIAL: u32 = 12_345_678;
/// The registry's name in cargo's configuration.
pub(crate) const NAME: &str = "my-reg";

/// No program runs longer than this many seconds, whatever goes wrong.
const LIMIT: &str = "180";

/// For anything that a scenario waits for.
pub(crate) const AT_MOST: Duration = Duration::from_secs(60);

/// Wine's folder for drive C, as it is called in the chroot.
const PREFIX: &str = "/build/wine";
/// Scenarios have their folders here, in the chroot, whose `/` is drive Z.
const WORK: &str = "build/work";

/// Whether index and downloads need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    #[allow(dead_code, reason = "hw-tests use it")]
    AuthRequired,
    Open,
}

/// A Windows computer with a mock card.
pub(crate) struct World {
    pub(crate) gateway: Running,
    pub(crate) card: MockCard,
    chroot: PathBuf,
    /// What each program is told.
    variables: Vec<(String, OsString)>,
    root: TempDir,
}

impl World {
    /// A fresh card, a registry that knows nobody, a cargo home that knows the registry.
    pub(crate) fn new() -> Self {
        Self::with(|card| card)
    }

    /// The same, with enrolled keys that the registry knows as alice's.
    pub(crate) fn enrolled() -> Self {
        Self::new().enroll(&[])
    }

    pub(crate) fn with(card: impl FnOnce(Builder) -> Builder) -> Self {
        let chroot = PathBuf::from(told("YK_CARGO_WINDOWS_ROOT"));
        let root = tempfile::Builder::new().prefix("w").rand_bytes(4).tempdir_in(chroot.join(WORK)).unwrap();
        let socket = root.path().join("card");
        let card = card(MockCard::builder().serial(SERIAL).pin(PIN).socket(&socket)).start().unwrap();
        let gateway = Gateway::start(Config::new(root.path().join("store"))).unwrap();
        let variables = Vec::new();
        let mut world = Self { gateway, card, chroot, variables, root };
        fs::create_dir_all(world.path("work")).unwrap();
        let index = world.gateway.index_url();
        world.write("home/config.toml", &format!("[registries.{NAME}]\r\nindex = \"{index}\"\r\n"));
        let pin = world.write("pin.bat", &format!("@echo {PIN}\r\n"));
        // libpcsclite reads this one, and it is not a program for Windows.
        world.tell("PCSCLITE_CSOCK_NAME", world.inside(&socket));
        world.tell("CARGO_HOME", world.on_z("home"));
        world.tell("NO_COLOR", "1");
        world.tell("YK_CARGO_PIN_COMMAND", world.to_windows(&pin));
        world
    }

    pub(crate) fn enroll(self, more: &[&str]) -> Self {
        let enroll = ["enroll", NAME, "--yes", "--configure", "--label", "laptop key"];
        self.yk_cargo([&enroll[..], more].concat()).succeeds();
        self.add_keys("alice");
        self.card.clear_trace();
        self
    }

    /// What the administrator does with the lines that `enroll` prints.
    pub(crate) fn add_keys(&self, user: &str) {
        for key in self.registry().cards.iter().flat_map(|card| &card.keys) {
            let role: Role = key.role.as_str().parse().unwrap();
            let user = user.parse().unwrap();
            let new = NewKey { public: key.public, user, role, label: None, subject: None, expires: None };
            self.gateway.store().add_key(new, jiff::Timestamp::now()).unwrap();
        }
    }

    pub(crate) fn forgets_its_pin(self) -> Self {
        self.card.power_off();
        self.card.clear_trace();
        self
    }

    pub(crate) fn registry(&self) -> Registry {
        self.enrollments().registry(self.gateway.index_url()).unwrap().clone()
    }

    /// As the program reads it on Linux, too.
    pub(crate) fn enrollments(&self) -> Enrollments {
        Enrollments::load(&self.path("home")).unwrap()
    }

    /// Every program is told this from now on.
    pub(crate) fn tell(&mut self, name: &str, value: impl Into<OsString>) {
        self.tell_nothing_of(name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// No program is told this any more.
    pub(crate) fn tell_nothing_of(&mut self, name: &str) {
        self.variables.retain(|(told, _)| told != name);
    }

    /// Where a file of this scenario is for this process.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(relative)
    }

    /// What it is called on Windows.
    pub(crate) fn on_z(&self, relative: impl AsRef<Path>) -> String {
        self.to_windows(&self.path(relative))
    }

    /// Where a file on drive C is for this process.
    pub(crate) fn drive_c(&self, relative: &str) -> PathBuf {
        self.chroot.join(&PREFIX[1..]).join("drive_c").join(relative)
    }

    /// The program, for this process.
    pub(crate) fn program(&self) -> PathBuf {
        self.chroot.join(&told("YK_CARGO_WINDOWS_PROGRAM")[1..])
    }

    pub(crate) fn to_windows(&self, path: &Path) -> String {
        format!("Z:{}", self.inside(path).replace('/', "\\"))
    }

    /// What it is called in the chroot.
    fn inside(&self, path: &Path) -> String {
        format!("/{}", path.strip_prefix(&self.chroot).unwrap().display())
    }

    pub(crate) fn write(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    pub(crate) fn yk_cargo<'a>(&self, arguments: impl AsRef<[&'a str]>) -> Run {
        self.run(&told("YK_CARGO_WINDOWS_PROGRAM"), arguments.as_ref())
    }

    /// A program for Windows, without a console.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Run {
        let arguments = [&["wine", program], arguments].concat();
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after=5", LIMIT]).args(self.words(&arguments));
        // A session of its own: Wine takes a controlling terminal for a console.
        Run::new(command)
    }

    /// Speaks to the program as cargo does, one request; its input stays open until it has ended.
    pub(crate) fn provider(&self, request: &str) -> Run {
        self.yk_cargo(["--cargo-plugin"]).input(&format!("{request}\n")).stays_open()
    }

    /// A request of cargo's for this registry.
    pub(crate) fn get(&self, operation: &Value) -> Run {
        self.provider(&self.request(operation))
    }

    pub(crate) fn request(&self, operation: &Value) -> String {
        let mut request = json!({
            "v": 1, "registry": {"index-url": self.gateway.index_url(), "name": NAME}, "kind": "get",
        });
        request.as_object_mut().unwrap().extend(operation.as_object().unwrap().clone());
        request.to_string()
    }

    /// A program for Windows that starts ours as cargo does, with this request. The process is that program's.
    pub(crate) fn like_cargo(&self, request: &str) -> Command {
        self.like_cargo_with(&[&self.to_windows(&self.program()), request])
    }

    /// The same program, with these arguments.
    pub(crate) fn like_cargo_with(&self, arguments: &[&str]) -> Command {
        let like_cargo = self.inside(&self.like_cargo_program());
        self.in_wine(&[&[like_cargo.as_str()], arguments].concat())
    }

    /// A program for Windows. The process is that program's.
    pub(crate) fn in_wine(&self, program: &[&str]) -> Command {
        let words = self.words(&[&["wine"], program].concat());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Another program holds the lock of a file, until this is dropped.
    pub(crate) fn hold(&self, file: &str) -> Holder {
        let mut command = self.like_cargo_with(&["--hold", &self.on_z(file)]);
        let mut holder = Holder(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut said = String::new();
        BufReader::new(holder.0.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim_end(), "it is locked");
        holder
    }

    pub(crate) fn like_cargo_program(&self) -> PathBuf {
        self.program().with_file_name("like-cargo.exe")
    }

    /// The command line, out here, of a program in there.
    fn words(&self, program: &[&str]) -> Vec<OsString> {
        let work = self.inside(&self.path("work"));
        let mut words: Vec<OsString> = vec!["chroot".into(), self.chroot.clone().into()];
        words.extend(["/usr/bin/env".into(), "-i".into(), format!("--chdir={work}").into()]);
        let system = [
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            ("TERM", "xterm"),
            ("WINEPREFIX", PREFIX),
            ("WINEDEBUG", "-all"),
            ("XDG_RUNTIME_DIR", "/build/run"),
        ];
        words.extend(system.map(|(name, value)| format!("{name}={value}").into()));
        for (name, value) in &self.variables {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            words.push(word);
        }
        words.extend(program.iter().map(Into::into));
        words
    }

    /// The real cargo, of this computer; it asks the program for Windows.
    pub(crate) fn cargo(&self, directory: &Path, arguments: &[&str]) -> Run {
        let program = told("YK_CARGO_WINDOWS_PROGRAM");
        let words = self.words(&["wine", &program]);
        let quoted = words.iter().map(|word| format!("'{}'", word.to_str().unwrap()));
        let line = quoted.collect::<Vec<_>>().join(" ");
        let script = self.write("provider.sh", &format!("#!/bin/sh\nexec {line} \"$@\"\n"));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let index = self.gateway.index_url();
        let config = format!(
            "[registries.{NAME}]\nindex = \"{index}\"\ncredential-provider = [\"{}\"]\n",
            script.display()
        );
        self.write("cargo/config.toml", &config);
        let tools = Path::new(env!("CARGO")).parent().unwrap();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT, env!("CARGO")]).args(arguments).current_dir(directory);
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/usr/sbin:/bin", tools.display()))
            .env("HOME", self.root.path())
            .env("CARGO_HOME", self.path("cargo"))
            .env("CARGO_TARGET_DIR", self.path("target"));
        Run::new(command)
    }

    /// A library crate, ready to be published to this registry.
    pub(crate) fn package(&self, name: &str, version: &str) -> PathBuf {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
             description = \"A crate\"\npublish = [\"{NAME}\"]\n"
        );
        self.write(&format!("work/{name}/Cargo.toml"), &manifest);
        self.write(&format!("work/{name}/src/lib.rs"), "//! A crate.\n");
        self.path(format!("work/{name}"))
    }
}

/// A program that holds a lock.
pub(crate) struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `cargo xtask windows` says.
fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("`cargo xtask windows` runs this, and sets {name}"))
}
