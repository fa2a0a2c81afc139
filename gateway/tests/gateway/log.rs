//! The log cannot be written, or nobody reads it: that is the log's affair alone.
// Only there 127.0.0.2 and so on are this computer without further ado.
#![cfg(target_os = "linux")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;
use rustix::process::Signal;

use crate::common::served::{Served, program};
use crate::common::{Response, SoftwareKey, Upload, store};

/// A store with a key that may do everything.
struct Registry {
    folder: tempfile::TempDir,
    key: SoftwareKey,
}

impl Registry {
    fn new() -> Self {
        let (folder, key) = (tempfile::tempdir().unwrap(), SoftwareKey::new(5));
        let (user, role) = ("alice".parse().unwrap(), Role::Both);
        let new = NewKey { public: key.public, user, role, label: None, subject: None, expires: None };
        let registry = Self { folder, key };
        registry.store().add_key(new, Timestamp::now()).unwrap();
        registry
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("registry")
    }

    fn store(&self) -> Store {
        store::open(&self.path())
    }

    fn served(&self, log: impl Into<Stdio>, arguments: &[&str]) -> Served {
        let mut command = program(&self.path());
        command.env("REGISTRY_GATEWAY_LOG", "info").stderr(log);
        let metrics = self.folder.path().join("metrics.toml");
        let operators = own_address();
        std::fs::write(&metrics, format!("metrics = \"{operators}\"")).unwrap();
        let arguments = [&["--config", metrics.to_str().unwrap(), "--listen", "127.0.0.1:0"], arguments];
        Served::of(command, &arguments.concat())
    }

    fn read(&self, served: &Served, path: &str) -> Response {
        served.get(path, &self.key.token(&served.index_url, &Claims::read(Timestamp::now())))
    }

    /// A refusal, a read, a publish, and the publish's token a second time.
    #[track_caller]
    fn is_served(&self, served: &Served, version: &str) {
        served.get("/index/config.json", "nonsense").assert_refused(401, "");
        self.read(served, "/index/config.json").assert_ok();
        let upload = Upload::new("hello", version);
        let claims = Claims::mutate(Timestamp::now(), upload.mutation());
        let token = self.key.token(&served.index_url, &claims);
        served.send("PUT", "/api/v1/crates/new", &token, &upload.body()).assert_ok();
        let again = served.send("PUT", "/api/v1/crates/new", &token, &upload.body());
        again.assert_refused(401, "used before");
        self.read(served, &format!("/api/v1/crates/hello/{version}/proof")).assert_ok();
    }
}

/// An address that nobody else takes, neither another test nor the next program that asks for a free port.
fn own_address() -> String {
    static TAKEN: AtomicU8 = AtomicU8::new(1);
    format!("127.77.0.{}:8077", TAKEN.fetch_add(1, Relaxed))
}

fn lost(registry: &Registry) -> u64 {
    let config = std::fs::read_to_string(registry.folder.path().join("metrics.toml")).unwrap();
    let mut stream = TcpStream::connect(config.split('"').nth(1).unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let name = "registry_gateway_log_lines_lost_total ";
    let metrics = Response::read(stream).text();
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

/// A full disk, and a pipe that nobody has the other end of.
#[test]
fn a_log_that_cannot_be_written_touches_no_request() {
    let nobody_reads = || std::io::pipe().unwrap().1;
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let logs: [(&str, Stdio); 2] = [("pipe", nobody_reads().into()), ("full", full().into())];
    for (what, log) in logs {
        if what == "full" && !Path::new("/dev/full").exists() {
            continue;
        }
        let registry = Registry::new();
        let served = registry.served(log, &[]);
        registry.is_served(&served, "1.0.0");
        registry.is_served(&served, "2.0.0");
        while lost(&registry) < 6 {
            thread::yield_now();
        }
        served.stop(Signal::TERM);
        let store = registry.store();
        assert_eq!(store.published(None).unwrap().len(), 2, "{what}");
        assert!(store.open_intents().unwrap().is_empty(), "{what}");
    }
}

/// The name of no crate, which makes a long line.
fn long_name() -> String {
    "x".repeat(1900)
}

/// Until a pipe of 64 KB and the queue behind it are full.
fn fill(registry: &Registry, served: &Served) {
    let token = registry.key.token(&served.index_url, &Claims::read(Timestamp::now()));
    let path = format!("/api/v1/crates/{}/1.0.0/download", long_name());
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n");
    let last = "GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    while lost(registry) < 3 {
        let mut stream = served.connect().unwrap();
        stream.write_all((request.repeat(20) + last).as_bytes()).unwrap();
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).unwrap();
        assert_eq!(String::from_utf8(answers).unwrap().matches("HTTP/1.1 404 ").count(), 20);
    }
}

/// As it was held up: there is no other way to find out whether somebody reads again.
fn lines_of(log: PipeReader) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || BufReader::new(log).lines().map(Result::unwrap).collect())
}

#[test]
fn a_log_that_nobody_reads_holds_no_request_and_says_later_what_is_missing() {
    for format in ["text", "json"] {
        let registry = Registry::new();
        let (reader, log) = std::io::pipe().unwrap();
        let served = registry.served(log, &["--log-format", format]);
        fill(&registry, &served);
        registry.is_served(&served, "1.0.0");
        let missing = lost(&registry);
        let lines = lines_of(reader);
        served.stop(Signal::TERM);
        let lines = lines.join().unwrap();
        let notices: Vec<_> =
            lines.iter().filter(|line| line.contains("could not be written are missing here")).collect();
        assert_eq!(notices.len(), 1, "{notices:?}");
        match format {
            "text" => assert!(notices[0].ends_with(&format!(" lost={missing}")), "{}", notices[0]),
            _ => {
                let notice: serde_json::Value = serde_json::from_str(notices[0]).unwrap();
                assert_eq!((&notice["level"], &notice["fields"]["lost"]), (&"WARN".into(), &missing.into()));
            }
        }
        // What was queued was written, and each line is whole.
        let refused: Vec<_> = lines.iter().filter(|line| line.contains("xxxx")).collect();
        let broken = refused.iter().find(|line| !line.contains(&format!("no {} 1.0.0 here", long_name())));
        assert!(refused.len() > 1000 && broken.is_none(), "{}, {broken:?}", refused.len());
    }
}

/// Who stops the gateway does not wait for whoever does not read its log.
#[test]
fn a_log_that_nobody_reads_does_not_keep_the_process_from_ending() {
    let registry = Registry::new();
    let (mut reader, log) = std::io::pipe().unwrap();
    let served = registry.served(log, &[]);
    fill(&registry, &served);
    served.stop(Signal::TERM);
    let mut begun = Vec::new();
    reader.read_to_end(&mut begun).unwrap();
    assert!(begun.len() < 1 << 20, "only what was in the pipe");
}

/// Standard output says that it listens; a server that cannot say so serves all the same.
#[test]
fn standard_output_that_cannot_be_written() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let registry = Registry::new();
    let log = registry.folder.path().join("log");
    let mut command = program(&registry.path());
    let address = own_address();
    command.args(["serve", "--listen", &address]).stderr(File::create(&log).unwrap());
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(full).spawn().unwrap();
    let answered = loop {
        if let Ok(mut stream) = TcpStream::connect(&address) {
            std::io::Write::write_all(
                &mut stream,
                b"GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )
            .unwrap();
            break Response::read(stream);
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
    };
    answered.assert_ok();
    crate::common::served::signal(child.id(), Signal::TERM);
    assert!(child.wait().unwrap().success());
    assert!(std::fs::read_to_string(&log).unwrap().contains("standard output cannot be written"));
}
