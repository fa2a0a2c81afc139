//! The proxies of docs/gateway.md in front of a gateway, and of two, configured word by word as there.
#![cfg(unix)]

#[cfg(target_os = "linux")]
use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use asymmetric_token::{Checksum, Mutation};
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::common::cluster::OWNER;
#[cfg(target_os = "linux")]
use crate::common::database::Database;
#[cfg(target_os = "linux")]
use crate::common::served::serve;
use crate::common::{Fixture, Response, Upload, crate_file};

const TIMES: usize = 12;
const LIMIT: Duration = Duration::from_secs(60);

/// What the page has in its blocks of this kind: first for one gateway, then for two.
fn example(kind: &str, number: usize) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway.md");
    let page = fs::read_to_string(page).unwrap();
    page.split(&format!("```{kind}\n")).nth(number).unwrap().split("```").next().unwrap().to_owned()
}

/// A port that is free now. No system gives one so low to whoever asks for any, so nobody else gets it.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A proxy that runs.
struct Proxy {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Proxy {
    /// `config` makes of a folder the text of its configuration, in which it listens on this port.
    fn new(mut command: Command, port: u16, config: impl FnOnce(&Path) -> String) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config"), config(folder.path())).unwrap();
        command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null());
        command.stderr(fs::File::create(folder.path().join("log")).unwrap());
        let mut child = match command.spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            child => child.unwrap(),
        };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(folder.path().join("log")).unwrap());
        }
        Some(Self { port, child, _folder: folder })
    }

    /// Sends everything, and reads then.
    fn send(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Option<Response> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let token = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
        let (port, length) = (self.port, body.len());
        let header = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{token}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        let sent = stream.write_all(header.as_bytes()).and_then(|()| stream.write_all(body));
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if answer.is_empty() {
            eprintln!("{path}: sent {sent:?}, read {read:?}");
            return None;
        }
        Some(Response::parse(&answer))
    }

    /// `gateway` is behind it.
    fn passes_on_what_is_done_and_why_not(&self, gateway: &Fixture) {
        let new = "/api/v1/crates/new";
        let hello = Upload::new("hello", "1.0.0");
        self.send("PUT", new, Some(&gateway.publish_token(&hello)), &hello.body()).unwrap().assert_ok();
        let read = gateway.read_token();
        self.send("GET", "/index/he/ll/hello", Some(&read), b"").unwrap().assert_ok();
        let file = self.send("GET", "/api/v1/crates/hello/1.0.0/download", Some(&read), b"").unwrap();
        assert_eq!(file.body, hello.file);

        let (large, enough) = (of_size(28_000_000), of_size(8_000_000));
        let other = Mutation::Publish {
            name: "hello".parse().unwrap(),
            version: "9.9.9".parse().unwrap(),
            checksum: Checksum([0; 32]),
        };
        for _ in 0..TIMES {
            let token = gateway.publish_token(&large);
            let answer = self.send("PUT", new, Some(&token), &large.body());
            answer.expect("an answer").assert_refused(413, "the upload, crate file and metadata, has");
            let answer = self.send("PUT", new, None, &enough.body());
            answer.expect("an answer").assert_refused(401, "needs a token");
            let answer = self.send("PUT", new, Some(&gateway.token(other.clone())), &enough.body());
            answer.expect("an answer").assert_refused(403, "");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A crate file of about so many bytes; its JSON is as short as it can be.
fn of_size(bytes: usize) -> Upload {
    let mut file = crate_file("hello", "2.0.0", &[]);
    file.resize(bytes, 0);
    Upload { file, ..Upload::new("hello", "2.0.0") }
}

/// A gateway behind a proxy on this port.
fn gateway(port: u16) -> Fixture {
    Fixture::with(|config| {
        config.url = Some(format!("http://127.0.0.1:{port}"));
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
}

/// The page's text with other addresses, each of which has to be in it.
fn with(text: &str, addresses: &[(&str, String)]) -> String {
    addresses.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{text}");
        text.replace(from, to)
    })
}

/// The page's server, in plain HTTP, with these lines more; in one process, so that it ends when it is told to.
fn nginx(port: u16, number: usize, behind: &[(&str, String)], more: &str) -> Option<Proxy> {
    let program = ["/usr/sbin/nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
    let mut command = Command::new(program);
    command.args(["-c", "config", "-e", "log", "-p", "."]);
    let lines = example("nginx", number);
    let plain = lines.lines().filter(|line| !line.trim().starts_with("ssl_"));
    let server: String = plain.map(|line| format!("{line}\n")).collect();
    let server = with(&server, &[("listen 443 ssl;", format!("listen 127.0.0.1:{port}; {more}"))]);
    let server = with(&server, behind);
    Proxy::new(command, port, |folder| {
        let here = folder.display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {here}/{name};\n"))
            .concat();
        format!(
            "daemon off; master_process off; pid {here}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n"
        )
    })
}

fn caddy(port: u16, number: usize, behind: &[(&str, String)]) -> Option<Proxy> {
    let mut command = Command::new("caddy");
    command.args(["run", "--config", "config", "--adapter", "caddyfile"]);
    let site = [("crates.example.org {", format!("http://127.0.0.1:{port} {{"))];
    let site = with(&with(&example("caddyfile", number), &site), behind);
    Proxy::new(command, port, |_| format!("{{\n\tadmin off\n}}\n{site}"))
}

#[test]
fn nginx_passes_on_what_is_done_and_why_not() {
    for more in ["", "proxy_request_buffering off;"] {
        let port = port();
        let gateway = gateway(port);
        let behind = [("127.0.0.1:8000", gateway.running().address().to_string())];
        match nginx(port, 1, &behind, more) {
            Some(proxy) => proxy.passes_on_what_is_done_and_why_not(&gateway),
            None => eprintln!("skipped: nginx is not installed"),
        }
    }
}

#[test]
fn caddy_passes_on_what_is_done_and_why_not() {
    let port = port();
    let gateway = gateway(port);
    let behind = [("127.0.0.1:8000", gateway.running().address().to_string())];
    match caddy(port, 1, &behind) {
        Some(proxy) => proxy.passes_on_what_is_done_and_why_not(&gateway),
        None => eprintln!("skipped: caddy is not installed"),
    }
}

/// Publishes go to both in turn, and when one is killed to the other. The proxy may tell once of each that the dead one has gone:
/// whether that had taken it is not known to it.
#[cfg(target_os = "linux")]
fn before_two(start: impl FnOnce(u16, &[(&str, String)]) -> Option<Proxy>) {
    let Some(database) = Database::new() else { return };
    let port = port();
    let one = Fixture::with(|config| {
        config.store = database.place(OWNER);
        config.url = Some(format!("http://127.0.0.1:{port}"));
    });
    let (other, address) = serve(&database.url(), &format!("http://127.0.0.1:{port}"));
    let behind =
        [("10.0.0.11:8000", one.running().address().to_string()), ("10.0.0.12:8000", address.to_string())];
    let Some(proxy) = start(port, &behind) else {
        eprintln!("skipped: the proxy is not installed");
        return;
    };
    // Returns which gateway has answered: what its requests are called begins alike.
    let publish = |number: usize, tries: usize| {
        let upload = Upload::new("hello", &format!("1.0.{number}"));
        let send = || {
            let token = one.publish_token(&upload);
            proxy.send("PUT", "/api/v1/crates/new", Some(&token), &upload.body()).unwrap()
        };
        let answer = (1..tries).map(|_| send()).find(|answer| answer.status != 502).unwrap_or_else(send);
        answer.assert_ok();
        answer.field("x-request-id").unwrap().split_once('-').unwrap().0.to_owned()
    };
    let answered = |numbers: std::ops::Range<usize>, tries| {
        numbers.map(|number| publish(number, tries)).collect::<HashSet<_>>().len()
    };
    assert_eq!(answered(0..4, 1), 2);
    // It is killed when it is dropped.
    drop(other);
    assert_eq!(answered(4..8, 2), 1);
    assert_eq!(database.sql("SELECT count(*) FROM published"), "8");
    assert!(database.run(&["audit", "verify"]).status.success());
}

#[cfg(target_os = "linux")]
#[test]
fn nginx_goes_on_with_the_other_gateway() {
    before_two(|port, behind| nginx(port, 2, behind, ""));
}

#[cfg(target_os = "linux")]
#[test]
fn caddy_goes_on_with_the_other_gateway() {
    before_two(|port, behind| caddy(port, 2, behind));
}
