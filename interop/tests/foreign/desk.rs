//! A desk: a folder, a YubiKey plugged in, and foreign programs at work. Whatever goes wrong is told with the
//! program, the step, and what the card saw of it.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use mock_card::{Builder, MockCard};
use tempfile::TempDir;

/// What no step here needs.
const AT_MOST: Duration = Duration::from_secs(120);

/// The number printed on the key.
pub(crate) const SERIAL: u32 = 7_654_321;
/// The management key of every YubiKey that nobody has set up.
pub(crate) const MANAGEMENT_KEY: &str = "010203040506070801020304050607080102030405060708";

pub(crate) struct Desk {
    folder: TempDir,
    card: MockCard,
    environment: Vec<(&'static str, String)>,
}

/// A program that has come to its end.
pub(crate) struct Step<'a> {
    desk: &'a Desk,
    line: String,
    /// How much the trace held before.
    before: usize,
    output: Output,
}

impl Desk {
    /// With this card plugged in. It is [`SERIAL`], unlike any default.
    pub(crate) fn with(card: Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, card: card.serial(SERIAL).start().unwrap(), environment: Vec::new() }
    }

    /// What every program here shall find in its environment.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.push((name, value.into()));
    }

    pub(crate) fn card(&self) -> &MockCard {
        &self.card
    }

    /// A file of the working folder, which is also the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Step<'_> {
        self.run_with(program, arguments, "")
    }

    /// Runs a program to its end, with this on stdin. It has no terminal, so that nobody is ever asked, and a
    /// limit in time.
    pub(crate) fn run_with(&self, program: impl AsRef<Path>, arguments: &[&str], input: &str) -> Step<'_> {
        let program = program.as_ref();
        let before = self.card.trace().len();
        let limit = AT_MOST.as_secs().to_string();
        let mut command = self.prepared("setsid");
        command.args(["--wait", "timeout", "--signal=KILL", &limit]).arg(program).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // A program that takes no interest in its input may be gone already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let line = format!("{} {}", program.display(), arguments.join(" "));
        let missing = output.status.code() == Some(127);
        assert!(!missing, "{line}: not installed; debian-packages.txt has what these tests need");
        Step { desk: self, line, before, output }
    }

    /// Starts a program that stays.
    pub(crate) fn watch(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Watch<'_> {
        let line = format!("{} {}", program.as_ref().display(), arguments.join(" "));
        let mut command = self.prepared(program);
        let mut child =
            command.args(arguments).spawn().expect("debian-packages.txt has what these tests need");
        let mut stdout = child.stdout.take().expect("piped");
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).is_err() {
                    break;
                }
            }
        });
        Watch { desk: self, line, child, heard, said: String::new() }
    }

    fn trace_after(&self, before: usize) -> String {
        let mut lines = String::from("What the card saw:\n");
        for entry in self.card.trace().iter().skip(before) {
            let _ = writeln!(lines, "{}", serde_json::to_string(entry).unwrap());
        }
        lines
    }

    /// With nothing of our own environment but the search path.
    fn prepared(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.env("LC_ALL", "C.UTF-8").env("PCSCLITE_CSOCK_NAME", self.card.socket());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

impl Step<'_> {
    /// It ended well.
    pub(crate) fn succeeds(self) -> Self {
        self.check(self.output.status.success(), "failed");
        self
    }

    /// It ended badly, and of its own will.
    pub(crate) fn fails(self) -> Self {
        let ended = self.output.status.code().is_some_and(|code| code != 0 && code != 126);
        self.check(ended, "did not just fail");
        self
    }

    /// It printed this, on either stream.
    pub(crate) fn says(self, text: &str) -> Self {
        self.check(self.text().contains(text), &format!("does not say {text:?}"));
        self
    }

    /// It did not print this.
    pub(crate) fn does_not_say(self, text: &str) -> Self {
        self.check(!self.text().contains(text), &format!("says {text:?}"));
        self
    }

    /// It wrote this file, in which there is exactly this.
    pub(crate) fn writes(&self, file: &str, contents: impl AsRef<[u8]>) {
        let written = std::fs::read(self.desk.path(file)).unwrap_or_default();
        let (written, contents) =
            (String::from_utf8_lossy(&written), String::from_utf8_lossy(contents.as_ref()));
        self.check(written == contents, &format!("wrote into {file} not\n{contents}\nbut\n{written}"));
    }

    /// The PIN has this many tries left.
    pub(crate) fn leaves_tries(&self, tries: u8) {
        let left = self.desk.card.pin_tries();
        self.check(left == tries, &format!("left {left} tries, not {tries}"));
    }

    /// Anything else that has to hold.
    pub(crate) fn check(&self, holds: bool, otherwise: &str) {
        assert!(holds, "\n$ {}\n{otherwise}\n{}{}", self.line, self.shown(), self.trace());
    }

    /// What it printed on both streams.
    pub(crate) fn text(&self) -> String {
        let Output { stdout, stderr, .. } = &self.output;
        format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
    }

    /// Its data.
    pub(crate) fn stdout(&self) -> &[u8] {
        &self.output.stdout
    }

    fn shown(&self) -> String {
        format!("{}{}\n", self.text(), self.output.status)
    }

    fn trace(&self) -> String {
        self.desk.trace_after(self.before)
    }
}

/// A program that stays until this is dropped.
pub(crate) struct Watch<'a> {
    desk: &'a Desk,
    line: String,
    child: Child,
    heard: Receiver<String>,
    said: String,
}

impl Watch<'_> {
    /// Waits until it has printed this, after what was waited for before.
    pub(crate) fn until_it_says(&mut self, text: &str) {
        let deadline = Instant::now() + AT_MOST;
        loop {
            if let Some(start) = self.said.find(text) {
                self.said.drain(..start + text.len());
                return;
            }
            match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(more) => self.said.push_str(&more),
                Err(RecvTimeoutError::Timeout) => self.give_up(text, "did not say in time"),
                Err(RecvTimeoutError::Disconnected) => self.give_up(text, "ended without"),
            }
        }
    }

    fn give_up(&self, text: &str, how: &str) -> ! {
        panic!("\n$ {}\n{how} {text:?}\n{}\n{}", self.line, self.said, self.desk.trace_after(0));
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
