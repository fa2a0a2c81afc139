//! Go's own packages for transparency logs, with which go verifies sum.golang.org, verify the gateway's.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use yk_cargo_interop::cache;
use yk_cargo_interop::computer::{registry_gateway, shown};
use yk_cargo_interop::server::Server;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tlog/verify.go");
/// More than one tile has.
const ENTRIES: usize = 300;

/// A gateway with a store of its own, which everybody may read.
struct Gateway {
    folder: tempfile::TempDir,
    _server: Server,
    url: String,
}

impl Gateway {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut serve = gateway(folder.path());
        serve.args(["serve", "--open", "--listen", "127.0.0.1:0"]);
        let started = Server::start(&mut serve, |line| {
            let url = line.strip_prefix("index sparse+")?.strip_suffix("/index/")?;
            Some(url.to_owned())
        });
        let (server, url) = started.expect("a gateway");
        Self { folder, _server: server, url }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = gateway(self.folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Appends an entry for each of these users.
    fn grow(&self, users: std::ops::Range<usize>) {
        for user in users {
            self.run(&["user", "add", &format!("user{user}")]);
        }
    }

    fn get(&self, path: &str) -> Option<String> {
        ureq::get(format!("{}{path}", self.url)).call().ok()?.body_mut().read_to_string().ok()
    }

    /// The newest checkpoint, once it has this many entries.
    fn checkpoint(&self, entries: usize) -> String {
        loop {
            let note = self.get("/log/checkpoint").unwrap_or_default();
            if note.lines().nth(1) == Some(&entries.to_string()) {
                return note;
            }
        }
    }

    fn key(&self) -> String {
        self.get("/log/key").unwrap().trim_end().to_owned()
    }

    fn origin(&self) -> String {
        format!("{}/index", self.url.trim_start_matches("http://"))
    }
}

fn gateway(folder: &Path) -> Command {
    let mut command = Command::new(registry_gateway());
    command.env("REGISTRY_GATEWAY_STORE", folder.join("registry")).current_dir(folder);
    command
}

/// The program in Go, built once. What go keeps of the packages stays from one run to the next.
fn verifier() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("verify");
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&program).arg(PROGRAM);
        build.env("GOPATH", "/usr/share/gocode").env("GO111MODULE", "off");
        build.env("GOCACHE", cache::once("go-build", |_| {}));
        assert!(build.status().expect("golang-go is in debian-packages.txt").success());
        (folder, program)
    });
    program
}

fn verify(gateway: &Gateway, key: &str, index: usize, entry: &str, older: &str) -> Output {
    let kept = gateway.folder.path().join("kept");
    fs::write(&kept, older).unwrap();
    let mut command = Command::new(verifier());
    command.args([&gateway.url, key, &gateway.origin(), &index.to_string()]).arg(kept);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(entry.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn notes_entries_and_growth_verify() {
    let gateway = Gateway::start();
    gateway.grow(0..3);
    let older = gateway.checkpoint(3);
    gateway.grow(3..ENTRIES);
    gateway.checkpoint(ENTRIES);
    let (key, export) = (gateway.key(), gateway.run(&["audit", "export"]));
    let entries: Vec<_> = export.lines().collect();
    assert_eq!(entries.len(), ENTRIES);
    for index in [0, 2, 3, 255, 256, ENTRIES - 1] {
        let output = verify(&gateway, &key, index, entries[index], &older);
        assert!(output.status.success(), "{}", shown(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("entry {index} of {ENTRIES}, which continue 3\n"));
    }

    let refuses = |key: &str, index: usize, entry: &str, older: &str, why: &str| {
        let output = verify(&gateway, key, index, entry, older);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{}", shown(&output));
    };
    refuses(&key, 1, entries[0], &older, "the entry is not in the log");
    refuses(&key, 0, &entries[0].replace("user0", "user1"), &older, "the entry is not in the log");
    refuses(&key, 0, entries[0], &older.replacen("\n3\n", "\n4\n", 1), "invalid signature");
    let other = Gateway::start();
    other.grow(0..3);
    let foreign = other.checkpoint(3);
    refuses(&other.key(), 0, entries[0], &older, "no verifiable signatures");
    refuses(&key, 0, entries[0], &foreign, "no verifiable signatures");
}
