//! The proxies of docs/gateway.md in front of the gateway, configured word by word as there.
#![cfg(unix)]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use asymmetric_token::{Checksum, Mutation};
use tempfile::TempDir;

use crate::common::{Fixture, Response, Upload, crate_file};

const TIMES: usize = 12;
const LIMIT: Duration = Duration::from_secs(60);

/// What the page has in a block of this kind.
fn example(kind: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway.md");
    let page = fs::read_to_string(page).unwrap();
    page.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// A port that is free now, and that nobody else in this program gets.
fn port() -> u16 {
    static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap();
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if !taken.contains(&port) {
            taken.push(port);
            return port;
        }
    }
}

/// A proxy that runs, and the gateway behind it.
struct Proxied {
    gateway: Fixture,
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Proxied {
    /// `config` makes of the proxy's and the gateway's port, and of a folder, the text of the proxy's configuration.
    fn new(mut command: Command, config: impl FnOnce(u16, u16, &Path) -> String) -> Option<Self> {
        let (port, folder) = (port(), tempfile::tempdir().unwrap());
        let gateway = Fixture::with(|config| {
            config.url = Some(format!("http://127.0.0.1:{port}"));
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        });
        let behind = gateway.running().address().port();
        fs::write(folder.path().join("config"), config(port, behind, folder.path())).unwrap();
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
        Some(Self { gateway, port, child, _folder: folder })
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

    fn passes_on_what_is_done_and_why_not(&self) {
        let (gateway, new) = (&self.gateway, "/api/v1/crates/new");
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

impl Drop for Proxied {
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

/// The page's server, in plain HTTP, with these lines more; in one process, so that it ends when it is told to.
fn nginx(more: &str) -> Option<Proxied> {
    let program = ["/usr/sbin/nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
    let mut command = Command::new(program);
    command.args(["-c", "config", "-e", "log", "-p", "."]);
    Proxied::new(command, |port, behind, folder| {
        let server: String = example("nginx")
            .lines()
            .filter(|line| !line.trim().starts_with("ssl_"))
            .map(|line| format!("{line}\n"))
            .collect();
        let server = server
            .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port}; {more}"))
            .replace("127.0.0.1:8000", &format!("127.0.0.1:{behind}"));
        assert!(server.contains(&port.to_string()) && server.contains(&behind.to_string()), "{server}");
        let here = folder.display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {here}/{name};\n"))
            .concat();
        format!(
            "daemon off; master_process off; pid {here}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{server}}}\n"
        )
    })
}

#[test]
fn nginx_passes_on_what_is_done_and_why_not() {
    for more in ["", "proxy_request_buffering off;"] {
        match nginx(more) {
            Some(proxied) => proxied.passes_on_what_is_done_and_why_not(),
            None => eprintln!("skipped: nginx is not installed"),
        }
    }
}

#[test]
fn caddy_passes_on_what_is_done_and_why_not() {
    let mut command = Command::new("caddy");
    command.args(["run", "--config", "config", "--adapter", "caddyfile"]);
    let proxied = Proxied::new(command, |port, behind, _| {
        let site = example("caddyfile")
            .replace("crates.example.org {", &format!("http://127.0.0.1:{port} {{"))
            .replace("127.0.0.1:8000", &format!("127.0.0.1:{behind}"));
        assert!(site.contains(&port.to_string()) && site.contains(&behind.to_string()), "{site}");
        format!("{{\n\tadmin off\n}}\n{site}")
    });
    match proxied {
        Some(proxied) => proxied.passes_on_what_is_done_and_why_not(),
        None => eprintln!("skipped: caddy is not installed"),
    }
}
