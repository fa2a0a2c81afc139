//! What is on disk before what is said, as the kernel saw it. Without strace, which other computers than Linux lack, the tests
//! say so and pass.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;
use registry_gateway::vault::Vault;
use rustix::process::Signal;

use crate::common::bearer_registry::{BearerRegistry, Say};
use crate::common::served::{Served, signal};
use crate::common::witnessed::{MemoryLog, ServedWitness, WitnessFolder};
use crate::common::{SoftwareKey, Upload};

const PUT: &str = "\"PUT /api/v1/crates/new";
const OK: &str = "\"HTTP/1.1 200 OK";

/// A gateway under strace, its folder, and a key of alice's.
struct Traced {
    folder: tempfile::TempDir,
    key: SoftwareKey,
}

impl Traced {
    /// `None` without strace.
    fn new() -> Option<Self> {
        if !can_trace() {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can see into the gateway's memory");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let traced = Self { folder, key: SoftwareKey::new(5) };
        let new = NewKey {
            public: traced.key.public,
            user: "alice".parse().unwrap(),
            role: Role::Both,
            label: None,
            subject: None,
            expires: None,
        };
        traced.store().add_key(new, Timestamp::now()).unwrap();
        Some(traced)
    }

    fn store(&self) -> Store {
        Store::open(&self.folder.path().join("registry")).unwrap()
    }

    /// Publishes one version; returns the calls that the gateway made, in order.
    fn publish(&self, config: Option<&Path>) -> Calls {
        let trace = self.folder.path().join("trace");
        let mut strace = traced(&trace);
        strace.env("REGISTRY_GATEWAY_STORE", self.folder.path().join("registry"));
        let mut arguments = vec!["--listen", "127.0.0.1:0"];
        if let Some(config) = config {
            arguments.extend(["--config", config.to_str().unwrap()]);
        }
        let mut served = Served::of(strace, &arguments);
        let upload = Upload::new("hello", "1.0.0");
        let token = self.key.token(&served.index_url, &Claims::mutate(Timestamp::now(), upload.mutation()));
        served.send("PUT", "/api/v1/crates/new", &token, &upload.body()).assert_ok();
        ended(&mut served.child, &trace)
    }
}

fn can_trace() -> bool {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let works = works.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("skipped: strace is not installed, or may not trace");
    }
    works
}

/// The program under strace, which writes to this file.
fn traced(trace: &Path) -> Command {
    let calls =
        "recvfrom,read,sendto,sendmsg,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "40", "-e", &format!("trace={calls}"), "-o"]).arg(trace);
    strace.arg(env!("CARGO_BIN_EXE_registry-gateway"));
    strace
}

/// Ends the program under strace, and returns its calls.
fn ended(strace: &mut Child, trace: &Path) -> Calls {
    // strace ends when the gateway does; a signal to itself would only make it let go.
    let process = strace.id();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    signal(children.trim().parse().unwrap(), Signal::TERM);
    assert_eq!(strace.wait().unwrap().code(), Some(0));
    Calls::of(&fs::read_to_string(trace).unwrap())
}

/// One line a call, at the place where what it says was so: what is sent, when the call began; all else, when it was over.
struct Calls(Vec<String>);

impl Calls {
    /// Where another thread came in between, strace writes two lines for a call.
    fn of(trace: &str) -> Self {
        let mut begun: HashMap<&str, Option<&str>> = HashMap::new();
        let mut calls = Vec::new();
        for line in trace.lines() {
            let (thread, call) = line.split_once(' ').unwrap_or_default();
            let call = call.trim_start();
            if let Some(begin) = call.strip_suffix("<unfinished ...>") {
                let sends = ["send", "write"].iter().any(|name| begin.starts_with(name));
                begun.insert(thread, (!sends).then_some(begin));
                if sends {
                    calls.push(line.to_owned());
                }
            } else if let Some((_, end)) = call.split_once(" resumed>").filter(|_| call.starts_with("<... "))
            {
                if let Some(begin) = begun.remove(thread).flatten() {
                    calls.push(format!("{thread} {begin}{end}"));
                }
            } else {
                calls.push(line.to_owned());
            }
        }
        Self(calls)
    }

    /// The place of the first call after `from` that has all these texts.
    #[track_caller]
    fn after(&self, from: usize, texts: &[&str]) -> usize {
        let found = self.0.iter().enumerate().skip(from + 1);
        let found =
            found.filter(|(_, line)| texts.iter().all(|text| line.contains(text))).map(|(at, _)| at).next();
        found.unwrap_or_else(|| panic!("no {texts:?} after line {from}: {:#?}", &self.0[from..]))
    }

    /// Between these places the database was written, and what was written last was synced.
    #[track_caller]
    fn committed_between(&self, from: usize, to: usize) {
        let lines = &self.0[from..to];
        let written =
            lines.iter().rposition(|line| line.contains("pwrite64(") && line.contains("registry.db-wal"));
        let synced = lines.iter().rposition(|line| {
            (line.contains("fsync(") || line.contains("fdatasync(")) && line.contains("registry.db-wal")
        });
        assert!(written.is_some() && written < synced, "{lines:#?}");
    }
}

#[test]
fn the_intent_is_on_disk_before_the_registry_behind_hears_of_it() {
    let Some(traced) = Traced::new() else { return };
    let registry = BearerRegistry::start();
    registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    let folder = traced.folder.path();
    let key_file: PathBuf = folder.join("key");
    fs::write(&key_file, Vault::new_key().unwrap().as_bytes()).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let alice = "alice".parse().unwrap();
    let sealed = Vault::open(&key_file).unwrap().seal(&alice, "alices").unwrap();
    traced.store().set_credential(&alice, &sealed, Timestamp::now()).unwrap();
    let config = folder.join("registry-gateway.toml");
    let text = format!("[upstream]\nindex = \"{}/index/\"\nkey-file = \"key\"\n", registry.url());
    fs::write(&config, text).unwrap();

    let calls = traced.publish(Some(&config));
    let asked = calls.after(0, &["<socket:", PUT]);
    let forwarded = calls.after(asked, &["<socket:", PUT]);
    calls.committed_between(asked, forwarded);
    let answered = calls.after(forwarded, &["<socket:", OK]);
    let said = calls.after(answered, &["<socket:", OK]);
    calls.committed_between(answered, said);
}

#[test]
fn a_crate_file_is_on_disk_before_its_row_and_its_row_before_the_answer() {
    let Some(traced) = Traced::new() else { return };
    let calls = traced.publish(None);
    let asked = calls.after(0, &["<socket:", PUT]);
    let file = calls.after(asked, &["sync(", "/registry/tmp/"]);
    let moved = calls.after(file, &["rename", "/registry/tmp/", "hello-1.0.0.crate"]);
    let folder = calls.after(moved, &["sync(", "/registry/crates/hello>"]);
    let said = calls.after(folder, &["<socket:", OK]);
    calls.committed_between(folder, said);
}

#[test]
fn a_witness_has_the_tree_on_disk_before_it_cosigns() {
    if !can_trace() {
        return;
    }
    let (folder, log) = (WitnessFolder::new(), MemoryLog::new("crates.example.org/index", 3));
    let trace = folder.path().with_extension("trace");
    let mut strace = traced(&trace);
    strace.args(folder.arguments(&log));
    let mut served = ServedWitness::of(strace);
    assert_eq!(served.add(&log.request(0)).status, 200);
    let calls = ended(&mut served.child, &trace);
    let asked = calls.after(0, &["<socket:", "\"POST /add-checkpoint"]);
    let written = calls.after(asked, &["sync(", "/witness/trees/."]);
    let moved = calls.after(written, &["rename", "/witness/trees/"]);
    let folder = calls.after(moved, &["sync(", "/witness/trees>"]);
    calls.after(folder, &["<socket:", OK]);
}
