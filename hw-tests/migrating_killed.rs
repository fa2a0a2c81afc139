//! `migrate` killed at any point: a token is in its old place or opens from its new one, never in a file that others can
//! read, and a rerun finishes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mock_card::MockCard;
use serde_json::json;
use yk_cargo::index_url::CRATES_IO;

use crate::migrating::CRATES_IO_TOKEN;
use crate::sealed::{Sealed, TOKEN};
use crate::world::{NAME, PIN, Reads, SERIAL};

/// In each of two tests.
const KILLS: usize = 110;

/// No child may take longer, whatever goes wrong.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn both_tokens_in_the_credentials() {
    let credentials =
        format!("[registries.{NAME}]\ntoken = \"{TOKEN}\"\n[registry]\ntoken = \"{CRATES_IO_TOKEN}\"\n");
    killed(|index| vec![("credentials.toml", 0o600, credentials.clone()), config(index, "")]);
}

/// Files that others may read already must not become more of them.
#[test]
fn one_token_in_the_configuration() {
    let credentials = format!("token = \"{CRATES_IO_TOKEN}\"\n");
    let token = format!("token = \"{TOKEN}\"\n");
    killed(|index| vec![("credentials", 0o644, credentials.clone()), config(index, &token)]);
}

type Files = Vec<(&'static str, u32, String)>;

fn config(index: &str, more: &str) -> (&'static str, u32, String) {
    ("config.toml", 0o644, format!("[registries.{NAME}]\nindex = \"{index}\"\n{more}"))
}

/// When to kill, besides a few instructions later.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The card has answered this many commands.
    Answered(usize),
    /// A file in cargo's home is there.
    Appears(&'static str),
    /// A file in cargo's home has this in it.
    Has(&'static str, &'static str),
    /// A file in cargo's home no longer has this in it.
    Lacks(&'static str, &'static str),
}

const ON_DISK: [Moment; 13] = [
    Moment::Appears("yk-cargo/enrollments.lock"),
    Moment::Has("yk-cargo/enrollments.toml", "pending"),
    Moment::Appears("yk-cargo/sealed"),
    Moment::Has("yk-cargo/enrollments.toml", "127.0.0.1"),
    Moment::Has("yk-cargo/enrollments.toml", CRATES_IO),
    Moment::Appears("config.toml.new"),
    Moment::Has("config.toml", "credential-provider"),
    Moment::Lacks("config.toml", TOKEN),
    Moment::Appears("credentials.new"),
    Moment::Lacks("credentials", CRATES_IO_TOKEN),
    Moment::Appears("credentials.toml.new"),
    Moment::Lacks("credentials.toml", CRATES_IO_TOKEN),
    Moment::Lacks("credentials.toml", TOKEN),
];

/// How far the killed runs had come.
#[derive(Debug, Default)]
struct Reached {
    nothing_sealed: usize,
    one_sealed: usize,
    one_removed: usize,
    kills: usize,
}

fn killed(files: impl Fn(&str) -> Files) {
    let mut person = Person { sealed: Sealed::unsealed(Reads::Open, |card| card), chance: Chance(0x5EED) };
    let files = files(&person.sealed.registry.index_url());
    let mut reached = Reached::default();
    while reached.kills < KILLS {
        // With a key to be made, and with one that the card has.
        person.begin(&files, reached.kills % 3 == 0);
        let moment = person.moment();
        if person.is_killed_at(moment) {
            reached.kills += 1;
            person.has_lost_nothing(&files, &mut reached);
        }
        person.reruns();
    }
    assert!(
        reached.nothing_sealed > 5 && reached.one_sealed > 5 && reached.one_removed > 5,
        "not everywhere: {reached:?}"
    );
}

struct Person {
    sealed: Sealed,
    chance: Chance,
}

impl Person {
    fn home(&self) -> PathBuf {
        self.sealed.world.cargo_home()
    }

    /// As before `migrate` ever ran.
    fn begin(&mut self, files: &Files, with_a_new_card: bool) {
        fs::remove_dir_all(self.home()).unwrap();
        for (name, mode, text) in files {
            let path = self.sealed.world.write(&format!("home/{name}"), text);
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        if with_a_new_card {
            let card = MockCard::builder().serial(SERIAL).pin(PIN).start().unwrap();
            self.sealed.world.exchange_card(card);
        }
        self.sealed.world.card.clear_trace();
    }

    fn moment(&mut self) -> Moment {
        match self.chance.below(5) {
            // A run has some 60 commands with a key that the card has, and 77 with one to be made.
            0 | 1 => Moment::Answered(1 + self.chance.below(60)),
            2 => Moment::Answered(50 + self.chance.below(28)),
            _ => ON_DISK[self.chance.below(ON_DISK.len())],
        }
    }

    /// False if it had ended before.
    fn is_killed_at(&mut self, moment: Moment) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yk-cargo"));
        self.sealed.world.environment(&mut command);
        command.args(["migrate", "--all", "--yes"]).current_dir(self.sealed.world.path("work"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        while !self.has_come(moment) && has_not_ended(&mut child) {
            assert!(started.elapsed() < LIMIT, "it hangs before {moment:?}");
            self.hides_its_temporary_files();
            std::thread::yield_now();
        }
        for _ in 0..self.chance.below(20_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }

    /// As often as one can look, while it runs.
    fn hides_its_temporary_files(&self) {
        for name in ["config.toml.new", "credentials.new", "credentials.toml.new"] {
            let Ok(metadata) = fs::metadata(self.home().join(name)) else { continue };
            assert_eq!(metadata.permissions().mode() & 0o077, 0, "{name}");
        }
    }

    fn has_come(&self, moment: Moment) -> bool {
        let read = |file: &str| fs::read_to_string(self.home().join(file)).ok();
        match moment {
            Moment::Answered(count) => self.sealed.world.card.wait_apdus(count, Duration::from_millis(1)),
            Moment::Appears(file) => self.home().join(file).exists(),
            Moment::Has(file, text) => read(file).is_some_and(|found| found.contains(text)),
            Moment::Lacks(file, text) => {
                read(file).is_some_and(|found| !found.contains(text)) && {
                    // What never was there is not gone.
                    self.enrolled().is_some()
                }
            }
        }
    }

    fn enrolled(&self) -> Option<String> {
        fs::read_to_string(self.home().join("yk-cargo/enrollments.toml")).ok()
    }

    fn has_lost_nothing(&self, files: &Files, reached: &mut Reached) {
        let texts: Vec<_> =
            files.iter().map(|(name, ..)| fs::read_to_string(self.home().join(name)).unwrap()).collect();
        let known = self.enrolled().unwrap_or_default();
        let (mut sealed, mut in_clear) = (0, 0);
        for (token, index) in [(TOKEN, self.sealed.registry.index_url()), (CRATES_IO_TOKEN, CRATES_IO.into())]
        {
            let is_sealed = known.contains(&index);
            let is_clear = texts.iter().any(|text| text.contains(&format!("\"{token}\"")));
            sealed += usize::from(is_sealed);
            in_clear += usize::from(is_clear);
            if !is_clear || is_sealed {
                assert_eq!(self.opens(&index), token, "in clear: {is_clear}; {known}");
            }
        }
        for text in &texts {
            assert!(text.parse::<toml_edit::DocumentMut>().is_ok(), "{text}");
        }
        let is_original = |path: &Path| files.iter().any(|(name, ..)| path == self.home().join(name));
        for path in everything_in(&self.home()) {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert!(is_original(&path) || mode & 0o077 == 0, "{mode:o} {}", path.display());
        }
        match (sealed, in_clear) {
            (0, 2) => reached.nothing_sealed += 1,
            (_, 2) => reached.one_sealed += 1,
            _ => reached.one_removed += 1,
        }
    }

    /// As cargo has it opened.
    fn opens(&self, index: &str) -> String {
        let request = json!({
            "v": 1, "registry": {"index-url": index}, "kind": "get",
            "operation": "yank", "name": "alpha", "vers": "0.1.0",
        });
        let answer = self.sealed.world.provider(&request.to_string()).succeeds().answer();
        answer["Ok"]["token"].as_str().unwrap_or_default().to_owned()
    }

    fn reruns(&self) {
        self.sealed.world.yk_cargo(["migrate", "--all", "--yes"]).succeeds();
        for path in everything_in(&self.home()) {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(TOKEN) && !text.contains(CRATES_IO_TOKEN), "{}: {text}", path.display());
        }
        assert_eq!(self.opens(&self.sealed.registry.index_url()), TOKEN);
        assert_eq!(self.opens(CRATES_IO), CRATES_IO_TOKEN);
        let config = fs::read_to_string(self.home().join("config.toml")).unwrap();
        assert_eq!(config.matches("credential-provider").count(), 2, "{config}");
    }
}

fn has_not_ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

/// Every file, however deep.
fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { everything_in(&path) } else { vec![path] }).collect()
}

/// Numbers that are the same in each run: xorshift64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
