//! The program, serving.

#[cfg(unix)]
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
#[cfg(target_os = "linux")]
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

#[cfg(unix)]
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use super::cluster::Cluster;
#[cfg(target_os = "linux")]
use super::database::Database;
use super::{Response, store};

/// With the store of this folder.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
    on(&mut command, folder);
    command
}

/// Names the store of this folder. One in a PostgreSQL is given what systemd gives a service.
pub(crate) fn on(command: &mut Command, folder: &Path) {
    let place = store::named(folder);
    #[cfg(target_os = "linux")]
    if place.to_string_lossy().contains("://") {
        let (_, credentials) = Cluster::credentials();
        command.env("CREDENTIALS_DIRECTORY", credentials).env("STATE_DIRECTORY", Cluster::state());
    }
    command.env("REGISTRY_GATEWAY_STORE", place).env_remove("REGISTRY_GATEWAY_LOG");
}

/// The program with a test's database.
#[cfg(target_os = "linux")]
impl Database {
    /// As the owner.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        program(Path::new(&self.path())).args(arguments).output().unwrap()
    }

    /// As [`run`](Self::run), and returns standard output.
    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What does not end by itself is ended by coreutils' `timeout`, with 124.
pub(crate) fn run(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    on(&mut command, store);
    command.args(["20", env!("CARGO_BIN_EXE_registry-gateway")]).args(arguments).output().unwrap()
}

/// Returns standard output.
#[track_caller]
pub(crate) fn succeeds(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The program where every user can run it: what was built may lie in a folder of root's own.
#[cfg(unix)]
pub(crate) fn for_everybody() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("registry-gateway");
    // Not by this process: while another thread of it starts a child, a file that is being written cannot be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_registry-gateway")).arg(&program).status();
    assert!(copied.unwrap().success());
    (folder, program)
}

/// A gateway on the store of this address, which is at this URL for its users; and where it listens.
#[cfg(target_os = "linux")]
pub(crate) fn serve(store: &str, base_url: &str) -> (Served, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = program(Path::new(store));
    command.env("REGISTRY_GATEWAY_LOG", "off");
    (Served::of(command, &["--listen", &address.to_string(), "--url", base_url]), address)
}

/// A served registry; killed if the test fails before it is stopped.
pub(crate) struct Served {
    pub(crate) child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) index_url: String,
}

impl Served {
    /// On a free port.
    pub(crate) fn new(store: &Path, arguments: &[&str]) -> Self {
        Self::of(program(store), &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    pub(crate) fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.arg("serve").args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let first = line();
        let Some(index_url) = first.strip_prefix("index ").map(ToOwned::to_owned) else {
            panic!("{first:?}, and then {:?}", child.wait());
        };
        assert_eq!(line(), "ready");
        Self { child, out, index_url }
    }

    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let address = self.index_url.trim_start_matches("sparse+http://").trim_end_matches("/index/");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Response {
        self.send("GET", path, token, b"")
    }

    pub(crate) fn send(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Response {
        let mut stream = self.connect().unwrap();
        let length =
            if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let header = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{length}Connection: close\r\n\r\n"
        );
        stream.write_all(header.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Response::read(stream)
    }

    #[cfg(unix)]
    pub(crate) fn stop(mut self, by: Signal) {
        signal(self.child.id(), by);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// Not by the program `kill`, which a small system lacks.
#[cfg(unix)]
pub(crate) fn signal(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
