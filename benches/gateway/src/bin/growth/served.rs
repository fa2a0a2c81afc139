//! The program on a store, and a client of it that keeps its connection, as cargo does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use asymmetric_token::{Checksum, Claims, Footer, Mutation, Prepared};
use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use p384::ecdsa::Signature;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;

use super::filling::{Folder, alice, manifest};
use super::milliseconds;

/// The program while it serves.
pub(crate) struct Served {
    child: Child,
    index_url: String,
    address: SocketAddr,
    operators: SocketAddr,
    /// Milliseconds.
    pub(crate) started_in: f64,
}

impl Served {
    pub(crate) fn start(program: &Path, folder: &Folder) -> Self {
        let operators = free_address();
        let config = format!(
            "listen = \"127.0.0.1:0\"\nmetrics = \"{operators}\"\nverifications-per-peer = 4000000\n\
             verifications-per-key = 4000000\n"
        );
        let file = folder.path().with_extension("toml");
        std::fs::write(&file, config).expect("a file");
        let started = Instant::now();
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&file).arg("--store").arg(folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a program");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let index_url = said.next().expect("a line").expect("text");
        let index_url = index_url.strip_prefix("index ").expect("its index URL").to_owned();
        said.next().expect("ready").expect("text");
        let started_in = milliseconds(started.elapsed());
        let host = index_url.trim_start_matches("sparse+http://").split('/').next().expect("a host");
        Self { child, address: host.parse().expect("an address"), index_url, operators, started_in }
    }

    pub(crate) fn client(&self) -> Client {
        let mut client = Client {
            stream: connected(self.address),
            operators: self.operators,
            index_url: self.index_url.clone(),
            token: String::new(),
            answer: Vec::new(),
        };
        client.forget_token();
        client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It is ours, and nothing that it would write is missed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}

fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Alice's cargo.
pub(crate) struct Client {
    stream: TcpStream,
    operators: SocketAddr,
    index_url: String,
    token: String,
    answer: Vec<u8>,
}

/// A publish that has only to be sent.
pub(crate) struct Upload {
    token: String,
    body: Vec<u8>,
}

impl Client {
    /// From now on another read token is sent.
    pub(crate) fn forget_token(&mut self) {
        self.token = self.signed(&Claims::read(Timestamp::now()));
    }

    /// Asks for a path, with the entity tag of what is there already, and takes the whole answer.
    pub(crate) fn get(&mut self, path: &str, tag: Option<&str>, status: u16) {
        let condition = tag.map(|tag| format!("If-None-Match: {tag}\r\n")).unwrap_or_default();
        let token = self.token.clone();
        self.ask(&format!("GET {path}"), &token, &condition, b"", status);
    }

    pub(crate) fn tag(&mut self, path: &str) -> String {
        let token = self.token.clone();
        let head = self.ask(&format!("GET {path}"), &token, "", b"", 200);
        field(&head, "etag").expect("an entity tag").to_owned()
    }

    pub(crate) fn upload(&self, name: &str, version: &str) -> Upload {
        let file = crate_file(name, version);
        let checksum = Checksum(digest(&SHA256, &file).as_ref().try_into().expect("32 bytes"));
        let (crate_name, number) = (name.parse().expect("a name"), version.parse().expect("a version"));
        let mutation = Mutation::Publish { name: crate_name, version: number, checksum };
        let token = self.signed(&Claims::mutate(Timestamp::now(), mutation));
        let json = format!(r#"{{"name":"{name}","vers":"{version}","description":"described"}}"#);
        let mut body = Vec::new();
        for part in [json.as_bytes(), &file] {
            body.extend(u32::try_from(part.len()).expect("a small file").to_le_bytes());
            body.extend(part);
        }
        Upload { token, body }
    }

    pub(crate) fn publish(&mut self, upload: &Upload) {
        let length = format!("Content-Length: {}\r\n", upload.body.len());
        self.ask("PUT /api/v1/crates/new", &upload.token, &length, &upload.body, 200);
    }

    pub(crate) fn yank_token(&self, name: &str, version: &str, yanked: bool) -> String {
        let (name, version) = (name.parse().expect("a name"), version.parse().expect("a version"));
        let mutation =
            if yanked { Mutation::Yank { name, version } } else { Mutation::Unyank { name, version } };
        self.signed(&Claims::mutate(Timestamp::now(), mutation))
    }

    pub(crate) fn set_yanked(&mut self, name: &str, version: &str, yanked: bool, token: &str) {
        let (method, end) = if yanked { ("DELETE", "yank") } else { ("PUT", "unyank") };
        let line = format!("{method} /api/v1/crates/{name}/{version}/{end}");
        self.ask(&line, token, "Content-Length: 0\r\n", b"", 200);
    }

    /// Asks the operators' listener, over a connection of its own as Prometheus may.
    pub(crate) fn operators(&self, path: &str) {
        let mut stream = connected(self.operators);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn signed(&self, claims: &Claims) -> String {
        let (secret, public) = alice();
        let prepared = Prepared::new(&public, claims, &Footer::new(&self.index_url, public.id()));
        let prepared = prepared.expect("printable claims");
        let signature: Signature = secret.sign_prehash(prepared.digest()).expect("48 bytes");
        prepared.finish(&signature.to_bytes().into()).expect("its own signature")
    }

    /// The head of an answer that was read as a whole.
    fn ask(&mut self, line: &str, token: &str, fields: &str, body: &[u8], status: u16) -> String {
        let head = format!("{line} HTTP/1.1\r\nHost: bench\r\nAuthorization: {token}\r\n{fields}\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat()).expect("sent");
        self.answer.clear();
        let mut piece = [0; 64 << 10];
        let end = loop {
            let read = self.stream.read(&mut piece).expect("an answer");
            assert_ne!(read, 0, "{line}: the connection is closed");
            self.answer.extend_from_slice(&piece[..read]);
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.answer[..end]).into_owned();
        let length: usize = match status {
            304 => 0,
            _ => field(&head, "content-length").expect("a length").parse().expect("a number"),
        };
        let mut read = self.answer.len();
        while read < end + length {
            let more = self.stream.read(&mut piece).expect("an answer");
            assert_ne!(more, 0, "{line}: the connection is closed");
            read += more;
        }
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {}",
            String::from_utf8_lossy(&self.answer)
        );
        head
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn crate_file(name: &str, version: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let manifest = manifest(name, version);
    for (path, content) in [("Cargo.toml", manifest.as_str()), ("src/lib.rs", "//! Nothing.\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, format!("{name}-{version}/{path}"), content.as_bytes())
            .expect("in memory");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("in memory")
}
