//! The program as people start it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![cfg(unix)]

mod common;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use asymmetric_token::Claims;
use common::{Fixture, Response, SoftwareKey, Upload};
use jiff::Timestamp;

fn program(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
    command.env("REGISTRY_GATEWAY_STORE", store).env_remove("REGISTRY_GATEWAY_LOG");
    command
}

/// What does not end by itself is ended by coreutils' `timeout`, with 124.
fn run(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.env("REGISTRY_GATEWAY_STORE", store).args(["20", env!("CARGO_BIN_EXE_registry-gateway")]);
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn succeeds(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fails with 1; returns standard error.
#[track_caller]
fn fails(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A served registry; killed if the test fails before it is stopped.
struct Served {
    child: Child,
    out: BufReader<ChildStdout>,
    index_url: String,
}

impl Served {
    fn new(store: &Path, arguments: &[&str]) -> Self {
        Self::of(program(store), arguments)
    }

    fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let index_url = line().strip_prefix("index ").unwrap().to_owned();
        assert_eq!(line(), "ready");
        Self { child, out, index_url }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let address = self.index_url.trim_start_matches("sparse+http://").trim_end_matches("/index/");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    }

    fn get(&self, path: &str, token: &str) -> Response {
        let mut stream = self.connect().unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Response::read(stream)
    }

    /// Whether the publish was accepted; an error if the server was not there to say so.
    fn publish(&self, upload: &Upload, token: &str) -> io::Result<bool> {
        let body = upload.body();
        let mut stream = self.connect()?;
        write!(
            stream,
            "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    }

    fn stop(mut self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_until_a_signal_and_administer_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("registry");
    let key = SoftwareKey::new(5);
    let (public, id) = (key.public.to_string(), key.public.id().to_string());
    let served = Served::new(&store, &[]);
    let token = key.token(&served.index_url, &Claims::read(Timestamp::now()));
    served.get("/index/config.json", &token).assert_refused(401, "is not known here");
    let added = succeeds(
        &store,
        &["key", "add", "--user", "alice", "--role", "read", "--label", "laptop key", &public],
    );
    assert_eq!(added, format!("{id}\n"));
    served.get("/index/config.json", &token).assert_ok();
    let list = succeeds(&store, &["key", "list"]);
    assert!(list.starts_with(&format!("{id}\talice\tread\tsince 20")), "{list}");
    assert!(list.ends_with("\tlaptop key\n"), "{list}");
    assert_eq!(succeeds(&store, &["key", "revoke", &id[7..17]]), format!("{id}\n"));
    served.get("/index/config.json", &token).assert_refused(401, "was revoked at ");
    assert!(succeeds(&store, &["key", "list"]).contains("\trevoked 20"));
    served.stop("TERM");
    Served::new(&store, &["--open"]).stop("INT");
}

#[test]
fn no_token_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let store = folder.path().join("registry");
    let key = SoftwareKey::new(5);
    succeeds(&store, &["key", "add", "--user", "alice", "--role", "read", &key.public.to_string()]);
    let mut command = program(&store);
    command.env("REGISTRY_GATEWAY_LOG", "trace").stderr(std::fs::File::create(&log).unwrap());
    let served = Served::of(command, &["--challenges", "required", "--log-format", "json"]);
    let token = key.token(&served.index_url, &Claims::read(Timestamp::now()));
    served.get("/index/config.json", &token).assert_ok();
    served.get("/index/config.json", &token).assert_ok();
    served.get("/index/no/ne/none", &token).assert_refused(404, "nothing here");
    let refused = served.get("/index/config.json", &format!("{token}.x"));
    refused.assert_refused(401, "something follows");
    let login = refused.field("www-authenticate").unwrap();
    let challenge = login.split_once("challenge=\"").unwrap().1.split_once('"').unwrap().0;
    served.stop("TERM");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("something follows the token's footer"), "{log}");
    for secret in ["v3.public", &token[10..40], challenge] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let refused = lines.into_iter().find(|line| line["fields"]["status"] == 401).unwrap();
    assert_eq!(refused["span"]["path"], "/index/config.json", "{refused}");
    assert_eq!(refused["span"]["client"], "127.0.0.1", "{refused}");
}

/// SIGKILL while four clients publish. Whatever was accepted is there afterwards, once, with its file and with its
/// token used up, and nothing else is.
#[test]
fn a_kill_in_the_middle_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("registry");
    let key = SoftwareKey::new(5);
    succeeds(&store, &["key", "add", "--user", "alice", "--role", "both", &key.public.to_string()]);
    let mut served = Served::new(&store, &[]);
    let (started, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let process = served.child.id().to_string();
    let publish = || {
        let mut accepted = Vec::new();
        loop {
            let version = format!("1.0.{}", started.fetch_add(1, Ordering::Relaxed));
            let upload = Upload::new("hello", &version);
            let token = key.token(&served.index_url, &Claims::mutate(Timestamp::now(), upload.mutation()));
            match served.publish(&upload, &token) {
                Ok(true) => accepted.push(version),
                Ok(false) | Err(_) => return accepted,
            }
            if done.fetch_add(1, Ordering::Relaxed) == 30 {
                assert!(Command::new("kill").args(["-s", "KILL", &process]).status().unwrap().success());
            }
        }
    };
    let accepted: Vec<String> = thread::scope(|scope| {
        let clients = [(); 4].map(|()| scope.spawn(publish));
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    served.child.wait().unwrap();
    assert!(accepted.len() > 30, "{accepted:?}");

    let again = Served::new(&store, &[]);
    let token = key.token(&again.index_url, &Claims::read(Timestamp::now()));
    let index = again.get("/index/he/ll/hello", &token).text();
    let published: Vec<String> = index
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["vers"].as_str().unwrap().to_owned()
        })
        .collect();
    for version in &accepted {
        assert_eq!(published.iter().filter(|there| *there == version).count(), 1, "{version}: {published:?}");
    }
    let files = fs::read_dir(store.join("crates/hello")).unwrap().count();
    let database = rusqlite::Connection::open(store.join("registry.db")).unwrap();
    let spent: u32 = database.query_row("SELECT count(*) FROM spent", (), |row| row.get(0)).unwrap();
    assert_eq!((files, spent as usize), (published.len(), published.len()));
    assert_eq!(succeeds(&store, &["record"]).matches("  verified ").count(), published.len());
    again.stop("TERM");
}

#[test]
fn one_server_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path(), &[]);
    let text = fails(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(text.starts_with("error: another registry-gateway serves "), "{text}");
    assert!(text.contains("\nhint: stop the other one"), "{text}");
    served.stop("TERM");
}

#[test]
fn a_port_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = fails(folder.path(), &["serve", "--listen", &address]);
    assert!(text.starts_with(&format!("error: cannot listen on {address}\n  because: ")), "{text}");
    assert!(text.contains("hint: another program may have this port"), "{text}");
}

#[test]
fn a_key_belongs_to_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let public = SoftwareKey::new(5).public.to_string();
    succeeds(folder.path(), &["key", "add", "--user", "alice", "--role", "both", &public]);
    let again = fails(folder.path(), &["key", "add", "--user", "bob", "--role", "read", &public]);
    assert!(again.contains("is registered already, for alice\nhint: a key belongs to one user"), "{again}");
    // The same user may have it corrected.
    succeeds(folder.path(), &["key", "add", "--user", "alice", "--role", "read", "--label", "desk", &public]);
    let list = succeeds(folder.path(), &["key", "list"]);
    assert!(
        list.lines().count() == 1 && list.contains("alice\tread\t") && list.ends_with("desk\n"),
        "{list}"
    );
    let id = SoftwareKey::new(5).public.id().to_string();
    for short in ["", "k3.pid.", &id[7..14]] {
        assert!(fails(folder.path(), &["key", "revoke", short]).contains("is too short to name a key"));
    }
    succeeds(folder.path(), &["key", "revoke", &id[7..15]]);
    let again = fails(folder.path(), &["key", "add", "--user", "bob", "--role", "read", &public]);
    assert!(again.contains("is registered already, for alice, and revoked"), "{again}");
    assert!(fails(folder.path(), &["key", "revoke", &id]).contains("is revoked already"));
}

#[test]
fn which_key_to_revoke() {
    let folder = tempfile::tempdir().unwrap();
    let public = SoftwareKey::new(5).public.to_string();
    succeeds(folder.path(), &["key", "add", "--user", "alice", "--role", "both", &public]);
    assert!(
        fails(folder.path(), &["key", "revoke", "abcdefgh"])
            .contains("error: no key id begins with `abcdefgh`\nhint: see")
    );
}

/// A slip in the folder's name makes no empty store.
#[test]
fn a_store_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let typo = folder.path().join("regsitry");
    for arguments in [&["key", "list"][..], &["key", "revoke", "abcdefgh"], &["record"]] {
        let text = fails(&typo, arguments);
        assert!(text.contains("there is no store in ") && text.contains("hint: give its folder"), "{text}");
    }
    assert!(!typo.exists());
}

#[test]
fn wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let public = SoftwareKey::new(5).public.to_string();
    for (arguments, text) in [
        (vec!["serve", "--window", "0"], "invalid value '0'"),
        (
            vec!["key", "add", "--user", "alice", "--role", "all", &public],
            "a role is `read`, `publish` or `both`",
        ),
        (vec!["key", "add", "--user", "a b", "--role", "read", &public], "a user name is"),
        (
            vec!["key", "add", "--user", "alice", "--role", "read", "k3.secret.x"],
            "a public key is `k3.public.`",
        ),
        (
            vec!["key", "add", "--user", "alice", "--role", "read", "--subject", "a b", &public],
            "without blanks",
        ),
    ] {
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(text), "{error}");
    }
    assert!(!folder.path().join("registry.db").exists());
}

#[test]
fn a_url_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    for url in [
        "crates.example",
        "https://",
        "https://c.example/?x",
        "ftp://c.example",
        "https:///x",
        "https://c.example/x",
        "http://:9",
    ] {
        let text = fails(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--url", url]);
        assert!(text.contains(&format!("`{url}` cannot be the registry's URL")), "{text}");
    }
}

#[test]
fn the_store_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("registry");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    Served::new(&store, &[]).stop("TERM");
    assert_eq!(mode(&store), 0o700);
    assert_eq!(mode(&store.join("crates")), 0o700);
    assert_eq!(mode(&store.join("registry.db")), 0o600);
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o750)).unwrap();
    let text = fails(&store, &["key", "list"]);
    assert!(text.contains("is open to other users of this computer\nhint: run `chmod 700 "), "{text}");
}

#[test]
fn the_record_of_a_publish_verifies_again() {
    let mut fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    fixture.publish(&Upload::new("hello", "1.0.1")).assert_ok();
    let store = fixture.folder.path();
    let shown = succeeds(store, &["record", "hello@1.0.0"]);
    for text in [
        "hello 1.0.0\n".to_owned(),
        format!("  checksum   {}\n", upload.checksum()),
        " by alice\n".to_owned(),
        format!("  key        {}\n", fixture.publish.public.id()),
        format!("  public     {}\n", fixture.publish.public),
        format!(" for {}\n", fixture.url()),
        "  verified   the key signed this checksum, and the stored file has it\n".to_owned(),
    ] {
        assert!(shown.contains(&text), "{shown} does not have {text}");
    }
    assert_eq!(succeeds(store, &["record"]).matches("  verified ").count(), 2);
    assert!(fails(store, &["record", "hello@2.0.0"]).contains("hello@2.0.0 was not published here"));

    let file = fixture.running().store().crate_file("hello", "1.0.0");
    std::fs::write(&file, b"another").unwrap();
    let output = run(store, &["record", "hello@1.0.0"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("  NOT VERIFIED  the crate file has the checksum"), "{text}");

    fixture.running.take().unwrap().stop();
    std::fs::remove_file(&file).unwrap();
    let text = fails(store, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(text.contains("hello-1.0.0.crate is missing\nhint: restore the store from a backup"), "{text}");
}
