//! For every form in which cargo takes a registry, an index, a provider or a token, we say what cargo does.
//!
//! The real cargo is the judge. Each form is a set of files and variables. Cargo is seen at work in it: which registry it
//! comes to, whom it asks for the token, which token it sends, or why it refuses. Then `doctor`, `status`, `list`,
//! `enroll`, `seal --configure`, `unseal` and `migrate` have to agree. No card is plugged in: to be asked is to say so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use yk_cargo::enrollment::{Edit, Reads, SealedToken, SealingKey};
use yk_cargo::piv::{PinPolicy, Serial, TouchPolicy, Version};
use yk_cargo::sealed::{AgeFile, BearerToken, Recipient};
use yk_cargo::sealed_files;

use crate::git_index::GitIndex;
use crate::loopback::{self, Reply};

mod forms;

/// What this program says when it is asked: where no card is, it gets no further.
const ASKED: &str = "the smart card service is not running";

/// One way to write cargo's configuration. In its texts `{GOOD}` is the index whose token is sealed, `{EVIL}` another
/// one, `{BIN}` a folder with this program and `other`, `{ROOT}` the folder above cargo's home, `{GIT}` a git index.
pub(crate) struct Form {
    text: &'static str,
    files: Vec<(&'static str, String)>,
    variables: Vec<(&'static str, &'static str)>,
    /// What `--registry` says; empty to leave it out.
    name: &'static str,
    index: Index,
    cargo: Cargo,
    /// Whether somebody is asked before this program, who may let it have its turn.
    is_doubtful: bool,
    /// Which files with a token in clear `migrate` has to find.
    in_clear: Vec<&'static str>,
}

/// To which registry a name leads cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    Good,
    Evil,
    Refused,
}

/// What comes of a yank.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cargo {
    /// Cargo asks this program for the good registry's token.
    AsksUs,
    /// Cargo sends this token to the good registry.
    Sends(&'static str),
    /// Cargo ends with this text.
    Refuses(&'static str),
}

/// Everything that a form is written into.
struct Stage {
    root: TempDir,
    number: usize,
    registries: Registries,
    git: GitIndex,
    name: &'static str,
    variables: Vec<(String, String)>,
}

/// All registries of all forms, behind one address; what comes to each.
#[derive(Clone)]
struct Registries {
    base: String,
    seen: Arc<Mutex<BTreeMap<usize, Vec<Came>>>>,
}

/// To which registry, for what, and with which token.
type Came = (Index, &'static str, Option<String>);

impl Registries {
    /// `/NUMBER/good/…` and `/NUMBER/evil/…`; also as a proxy.
    fn start() -> Self {
        let (listener, base) = loopback::bind(false);
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let registries = Self { base: base.clone(), seen: Arc::clone(&seen) };
        loopback::serve(listener, None, move |request| {
            let path = request.path.trim_start_matches(&base).split('?').next().unwrap();
            let mut parts = path.trim_start_matches('/').splitn(3, '/');
            let (number, which, rest) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
            let (Some(number), Some(which)) = (number.and_then(|number| number.parse().ok()), which) else {
                return Reply::new("404 Not Found", "");
            };
            let index = if which == "good" { Index::Good } else { Index::Evil };
            let did = match (request.method.as_str(), rest) {
                ("GET", rest) if rest.ends_with("config.json") => {
                    let here = format!("{base}/{number}/{which}");
                    return Reply::new("200 OK", json!({"dl": here, "api": here}).to_string());
                }
                ("GET", "api/v1/crates") => "search",
                ("DELETE", _) => "yank",
                _ => return Reply::new("404 Not Found", ""),
            };
            seen.lock().unwrap().entry(number).or_default().push((index, did, request.token.clone()));
            Reply::new("200 OK", json!({"ok": true, "crates": [], "meta": {"total": 0}}).to_string())
        });
        registries
    }

    fn index(&self, number: usize, which: &str) -> String {
        format!("sparse+{}/{number}/{which}/index/", self.base)
    }

    /// What came since the last call.
    fn seen(&self, number: usize) -> Vec<Came> {
        self.seen.lock().unwrap().remove(&number).unwrap_or_default()
    }
}

impl Form {
    fn new(text: &'static str, files: &[(&'static str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        Self {
            text,
            files,
            variables: Vec::new(),
            name: "my-reg",
            index: Index::Good,
            cargo: Cargo::AsksUs,
            is_doubtful: false,
            in_clear: Vec::new(),
        }
    }

    fn with(mut self, path: &'static str, text: &str) -> Self {
        self.files.push((path, text.to_owned()));
        self
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn leads_to(self, index: Index) -> Self {
        Self { index, ..self }
    }

    fn has_cargo(self, cargo: Cargo) -> Self {
        Self { cargo, ..self }
    }

    fn refuses(self, text: &'static str) -> Self {
        self.has_cargo(Cargo::Refuses(text))
    }

    fn sends(self, token: &'static str) -> Self {
        self.has_cargo(Cargo::Sends(token))
    }

    fn in_clear(mut self, file: &'static str) -> Self {
        self.in_clear.push(file);
        self
    }

    fn doubtful(self) -> Self {
        Self { is_doubtful: true, ..self }
    }

    fn stage(&self, number: usize, registries: &Registries) -> Stage {
        let root = tempfile::Builder::new().prefix("ykc").tempdir().unwrap();
        let git = GitIndex::create();
        let api = format!("{}/{number}/good", registries.base);
        git.commit(&[("config.json".to_owned(), json!({"dl": api, "api": api}).to_string())].into());
        let mut stage = Stage {
            root,
            number,
            registries: registries.clone(),
            git,
            name: self.name,
            variables: Vec::new(),
        };
        stage.variables =
            self.variables.iter().map(|(name, value)| (stage.text(name), stage.text(value))).collect();
        for folder in ["bin", "other bin", "d.ot", "home/bin", "home/sub", "work/project/.cargo/bin"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        for folder in ["bin", "other bin", "d.ot", "home/bin"] {
            symlink(env!("CARGO_BIN_EXE_yk-cargo"), stage.path(folder).join("yk-cargo")).unwrap();
        }
        for other in ["bin/other", "work/project/bin/yk-cargo"] {
            let script = "#!/bin/sh\necho '{\"v\":[1]}'\nread -r line\n\
                          echo '{\"Ok\":{\"kind\":\"get\",\"token\":\"other\",\"cache\":\"never\",\"operation_independent\":false}}'\n";
            stage.write(other, script);
            fs::set_permissions(stage.path(other), fs::Permissions::from_mode(0o700)).unwrap();
        }
        for (path, text) in &self.files {
            stage.write(path, &stage.text(text));
        }
        stage.seal();
        stage
    }
}

impl Stage {
    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, text: &str) -> String {
        let good = self.registries.index(self.number, "good");
        text.replace("{GOOD_WEB}", good.trim_start_matches("sparse+"))
            .replace("{GOOD}", &good)
            .replace("{EVIL}", &self.registries.index(self.number, "evil"))
            .replace("{BASE}", &self.registries.base)
            .replace("{BIN}", &self.path("bin").display().to_string())
            .replace("{ROOT}", &self.root.path().display().to_string())
            .replace("{GIT}", &self.git.url())
    }

    /// The token of the registry that the form is about, sealed to the key of a card that is nowhere.
    fn seal(&self) {
        let home = self.path("home");
        let point =
            p256::elliptic_curve::sec1::ToSec1Point::to_sec1_point(&p256::AffinePoint::GENERATOR, false);
        let recipient = Recipient::from_point(point.as_bytes().try_into().unwrap()).unwrap();
        let key = SealingKey {
            serial: Serial(1),
            firmware: Version::new(5, 7, 4),
            label: "laptop key".into(),
            slot: "95".parse().unwrap(),
            recipient,
            pin: PinPolicy::Once,
            touch: TouchPolicy::Cached,
        };
        Edit::begin(&home).unwrap().add_sealing_key(&key).unwrap();
        let index = self.sealed_for();
        let name = if self.name.is_empty() { "my-reg" } else { self.name };
        let since = "2026-11-20T18:00:00Z".parse().unwrap();
        let token = SealedToken {
            index: index.parse().unwrap(),
            name: Some(name.to_owned()),
            reads: Reads::Open,
            since,
        };
        let secret = BearerToken::new("sealed".to_owned().into()).unwrap();
        let file = AgeFile::seal(&secret, &index, &[recipient]).unwrap();
        sealed_files::keep(&home, &token, &file).unwrap();
    }

    /// The index URL by which cargo asks.
    fn sealed_for(&self) -> String {
        match self.name {
            "crates-io" => "https://github.com/rust-lang/crates.io-index".into(),
            "git" => self.git.url(),
            _ => self.registries.index(self.number, "good"),
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        let tools = Path::new(env!("CARGO")).parent().unwrap();
        let mut command = Command::new("timeout");
        command.args(["60", program]).args(arguments).env_clear().current_dir(self.path("work/project"));
        command
            .env("PATH", format!("{}:{}:/usr/bin:/bin", self.path("bin").display(), tools.display()))
            .env("HOME", self.root.path())
            .env("CARGO_HOME", self.path("home"))
            .env("PCSCLITE_CSOCK_NAME", self.path("no-socket"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"another\n");
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_ne!(output.status.code(), Some(124), "{program} {arguments:?} had to be stopped");
        Ended {
            succeeded: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    fn cargo(&self, arguments: &[&str]) -> Ended {
        let registry = ["--registry", self.name];
        let registry = if self.name.is_empty() { &[][..] } else { &registry };
        self.run(env!("CARGO"), &[arguments, registry].concat())
    }

    fn yk_cargo(&self, arguments: &[&str]) -> Ended {
        self.run(env!("CARGO_BIN_EXE_yk-cargo"), arguments)
    }

    /// Which registry cargo comes to by the name: a search needs no token.
    fn where_cargo_goes(&self) -> (Index, Ended) {
        let ended = self.cargo(&["search", "x"]);
        let seen = self.registries.seen(self.number);
        (seen.first().map_or(Index::Refused, |seen| seen.0), ended)
    }

    /// What comes of a yank.
    fn what_cargo_does(&self) -> (Option<(Index, String)>, Ended) {
        let ended = self.cargo(&["yank", "alpha@0.1.0"]);
        let seen = self.registries.seen(self.number).into_iter().find(|seen| seen.1 == "yank");
        (seen.map(|(index, _, token)| (index, token.unwrap_or_default())), ended)
    }
}

#[derive(Debug)]
struct Ended {
    succeeded: bool,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn says(&self, text: &str) -> bool {
        self.stderr.contains(text)
    }

    /// Of a JSON answer.
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// What somebody said that is not so.
struct Judgement<'a> {
    form: &'a Form,
    questions: usize,
    wrong: Vec<String>,
    /// Cargo did not ask this program until it was told to.
    is_mended: bool,
}

impl Judgement<'_> {
    fn check(&mut self, question: &str, holds: bool, shown: &dyn std::fmt::Debug) {
        self.questions += 1;
        if !holds {
            self.wrong.push(format!("{}: {question}: {shown:#?}", self.form.text));
        }
    }
}

/// Cargo first, and then everybody else.
fn judge<'a>(form: &'a Form, number: usize, registries: &Registries) -> Judgement<'a> {
    let stage = form.stage(number, registries);
    let mut judgement = Judgement { form, questions: 0, wrong: Vec::new(), is_mended: false };
    let (index, search) = stage.where_cargo_goes();
    judgement.check("which index cargo uses", index == form.index, &(index, &search));
    let (sent, yank) = stage.what_cargo_does();
    let as_said = match (&form.cargo, &sent) {
        (Cargo::AsksUs, None) => yank.says(ASKED),
        (Cargo::Sends(token), Some(sent)) => *sent == (Index::Good, stage.text(token)),
        (Cargo::Refuses(text), None) => yank.says(&stage.text(text)) && !yank.says(ASKED),
        _ => false,
    };
    judgement.check("what cargo does", as_said, &(&form.cargo, &sent, &yank));
    let asks_us = form.cargo == Cargo::AsksUs;
    let doctor = stage.yk_cargo(&["doctor", "--json"]);
    let doctor = doctor.json();
    let says = |check: &str, result: &str| {
        let mut checks = doctor["checks"].as_array().unwrap().iter();
        checks.any(|found| found["check"] == check && found["result"] == result)
    };
    let (provider, transport) = (|result| says("credential provider", result), says("transport", "failed"));
    let agrees = match (asks_us, form.is_doubtful) {
        (true, _) => !provider("failed") && !transport && (provider("ok") || provider("warning")),
        (false, true) => !provider("ok") && provider("warning"),
        (false, false) => transport || !provider("ok") && provider("failed"),
    };
    judgement.check("doctor", agrees, &(&doctor["checks"], &yank.stderr));

    let status = stage.yk_cargo(&["status", "--json"]).json();
    let outlook = &status["sealed"][0]["next-publish"];
    let reason = if asks_us || form.is_doubtful { "no-card" } else { "not-asked" };
    judgement.check("status", outlook["reason"] == reason, &outlook);
    let list = stage.yk_cargo(&["list"]);
    let warns = list.says("warning: ");
    judgement.check("list", list.succeeded && warns == (reason == "not-asked"), &list);

    if !["", "crates-io"].contains(&form.name) {
        let unseal = stage.yk_cargo(&["unseal", form.name, "--restore", "--yes"]);
        // A name that cargo has forgotten is still that of what is sealed, and nothing that could be enrolled.
        let is_unknown = search.says("registry index was not found");
        let may_resolve = |ended: &Ended, leads: bool| {
            if ended.says(ASKED) { leads } else { !asks_us }
        };
        judgement.check("unseal", may_resolve(&unseal, index == Index::Good || is_unknown), &unseal);
        let enroll = stage.yk_cargo(&["enroll", form.name, "--yes"]);
        judgement.check("enroll", may_resolve(&enroll, index != Index::Refused), &enroll);
    }

    let migrate = stage.yk_cargo(&["migrate", "--dry-run"]);
    let names =
        |file: &&str| migrate.stderr.lines().any(|line| line.contains(*file) && line.contains("token"));
    judgement.check("migrate", form.in_clear.iter().all(names), &migrate);
    let clear = ["clear", "second", "third"].iter().any(|token| migrate.says(&format!("{token}-token")));
    judgement.check("migrate shows no token", !clear, &migrate);

    configure(&stage, asks_us, index, &mut judgement);
    judgement
}

/// Who is told that cargo is set up is asked from then on, and nothing that worked is broken.
fn configure(stage: &Stage, asks_us: bool, index: Index, judgement: &mut Judgement<'_>) {
    if stage.name.is_empty() {
        return;
    }
    let seal = stage.yk_cargo(&["seal", stage.name, "--rotate", "--yes", "--no-check", "--configure"]);
    let (sent, yank) = stage.what_cargo_does();
    let promised = seal.succeeded && !seal.says("; next: ");
    judgement.check("configure keeps its word", !promised || yank.says(ASKED), &(&seal, &sent, &yank));
    judgement.is_mended = promised && !asks_us;
    judgement.check("configure leaves what works", !asks_us || yank.says(ASKED), &(&seal, &yank));
    let (after, search) = stage.where_cargo_goes();
    judgement.check("configure leaves the index", after == index, &(after, search, &seal));
}

#[test]
fn we_say_what_cargo_does() {
    let registries = Registries::start();
    let forms = forms::all();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(form) = forms.get(number) else { return };
                    let result = judge(form, number, &registries);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let questions: usize = results.iter().map(|judgement| judgement.questions).sum();
    let mended = results.iter().filter(|judgement| judgement.is_mended).count();
    let wrong: Vec<_> = results.into_iter().flat_map(|judgement| judgement.wrong).collect();
    assert!(wrong.is_empty(), "{} of {questions} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let counts = format!("{} forms, {questions} questions, {mended} mended", forms.len());
    assert!(forms.len() >= 160 && questions >= 1900 && mended >= 35, "{counts}");
}
