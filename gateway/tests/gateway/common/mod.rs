//! A running gateway with software keys, an HTTP client that sends what it is told, and crates made by hand.

#[cfg(unix)]
pub(crate) mod attested;
pub(crate) mod bearer_registry;
#[cfg(unix)]
pub(crate) mod certificate;
#[cfg(target_os = "linux")]
pub(crate) mod cluster;
pub(crate) mod computer;
#[cfg(unix)]
pub(crate) mod crafted;
#[cfg(target_os = "linux")]
pub(crate) mod database;
#[cfg(unix)]
pub(crate) mod front;
pub(crate) mod issuer;
#[cfg(target_os = "linux")]
pub(crate) mod load;
#[cfg(unix)]
pub(crate) mod machine;
#[cfg(unix)]
pub(crate) mod moments;
#[cfg(target_os = "linux")]
pub(crate) mod network;
#[cfg(target_os = "linux")]
pub(crate) mod round_robin;
pub(crate) mod served;
pub(crate) mod store;
#[cfg(unix)]
pub(crate) mod witnessed;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use asymmetric_token::{Checksum, Claims, Enrollment, Footer, Mutation, Prepared, PublicKey};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use p384::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _};
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::{Config, Gateway, Running};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A P-384 key in memory.
pub(crate) struct SoftwareKey {
    pub(crate) secret: [u8; 48],
    pub(crate) public: PublicKey,
}

impl SoftwareKey {
    /// Keys with different seeds are different.
    pub(crate) fn new(seed: u8) -> Self {
        Self::of([seed; 48])
    }

    pub(crate) fn of(secret: [u8; 48]) -> Self {
        let signing = SigningKey::from_slice(&secret).expect("a scalar below the group order");
        let point = signing.verifying_key().to_sec1_point(true);
        Self { secret, public: PublicKey::from_sec1(point.as_bytes()).expect("a point of the curve") }
    }

    pub(crate) fn token(&self, url: &str, claims: &Claims) -> String {
        let footer = Footer::new(url, self.public.id());
        self.finish(Prepared::new(&self.public, claims, &footer).expect("printable claims"))
    }

    pub(crate) fn enrollment(&self, url: &str, enrollment: &Enrollment) -> String {
        let footer = Footer::new(url, self.public.id());
        self.finish(Prepared::enrollment(&self.public, enrollment, &footer).expect("printable claims"))
    }

    /// 04 ‖ x ‖ y.
    pub(crate) fn uncompressed(&self) -> Vec<u8> {
        let signing = SigningKey::from_slice(&self.secret).expect("a scalar below the group order");
        signing.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }

    fn finish(&self, prepared: Prepared) -> String {
        let signing = SigningKey::from_slice(&self.secret).expect("a scalar below the group order");
        let signature: Signature = signing.sign_prehash(prepared.digest()).expect("48 bytes");
        prepared.finish(&signature.to_bytes().into()).expect("its own signature")
    }
}

/// The time, another microsecond for each that asks: two tokens of one microsecond that say the same are one.
pub(crate) fn now() -> Timestamp {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = Timestamp::now().as_microsecond();
    let next = |last: i64| Some(now.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).expect("it is always some");
    Timestamp::from_microsecond(now.max(last + 1)).expect("within the next thousands of years")
}

/// A gateway on loopback; Alice has a read and a publish key, Bob has one for both.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) running: Option<Running>,
    pub(crate) config: Config,
    pub(crate) read: SoftwareKey,
    pub(crate) publish: SoftwareKey,
    pub(crate) bob: SoftwareKey,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_files(|config, _| change(config))
    }

    /// With files in its folder.
    pub(crate) fn with_files(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::new(store::place(folder.path()));
        change(&mut config, folder.path());
        #[cfg(target_os = "linux")]
        if config.store.folder().is_none() {
            if config.upstream.is_none() {
                config.postgres.key_file.get_or_insert_with(|| cluster::Cluster::credentials().0);
            }
            config.postgres.state.get_or_insert_with(|| folder.path().join("state"));
        }
        let running = Gateway::start(config.clone()).expect("a gateway");
        let fixture = Self {
            folder,
            running: Some(running),
            config,
            read: SoftwareKey::new(1),
            publish: SoftwareKey::new(2),
            bob: SoftwareKey::new(3),
        };
        fixture.add_key(&fixture.read, "alice", Role::Read);
        fixture.add_key(&fixture.publish, "alice", Role::Publish);
        fixture.add_key(&fixture.bob, "bob", Role::Both);
        fixture
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub(crate) fn url(&self) -> &str {
        self.running().index_url()
    }

    pub(crate) fn add_key(&self, key: &SoftwareKey, user: &str, role: Role) {
        let user = user.parse().expect("a user's name");
        let new = NewKey { public: key.public, user, role, label: None, subject: None, expires: None };
        self.running().store().add_key(new, Timestamp::now()).expect("a new key");
    }

    /// Asks the database past the gateway.
    pub(crate) fn sql(&self, sql: &str) -> String {
        store::sql(self.folder.path(), sql)
    }

    /// Stops the server and starts it again on the same store and the same address.
    pub(crate) fn restart(&mut self) {
        let address = self.running().address();
        self.running.take().expect("it runs").stop();
        store::long_ago(self.folder.path());
        self.config.listen = address;
        self.running = Some(Gateway::start(self.config.clone()).expect("a gateway"));
    }

    /// A mutation token by Alice's publish key.
    pub(crate) fn token(&self, mutation: Mutation) -> String {
        self.publish.token(self.url(), &Claims::mutate(now(), mutation))
    }

    pub(crate) fn read_token(&self) -> String {
        self.read.token(self.url(), &Claims::read(Timestamp::now()))
    }

    pub(crate) fn publish_token(&self, upload: &Upload) -> String {
        self.token(upload.mutation())
    }

    /// Publishes with a fresh token of Alice's.
    pub(crate) fn publish(&self, upload: &Upload) -> Response {
        self.put_new(&self.publish_token(upload), upload)
    }

    pub(crate) fn put_new(&self, token: &str, upload: &Upload) -> Response {
        self.send("PUT", "/api/v1/crates/new", Some(token), &upload.body())
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, Some(&self.read_token()), b"")
    }

    /// The newest checkpoint of the log, once there is one of so many entries. It is signed a moment after they were appended.
    pub(crate) fn checkpoint(&self, size: u64) -> String {
        loop {
            let answer = self.send("GET", "/log/checkpoint", None, b"");
            let note = answer.text();
            if answer.status == 200 && note.lines().nth(1).unwrap().parse::<u64>().unwrap() >= size {
                return note;
            }
        }
    }

    pub(crate) fn send(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Response {
        let authorization = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
        let length =
            if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.raw(
            &format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}{length}Connection: close\r\n\r\n"
            ),
            body,
        )
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.running().address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        stream
    }

    /// Sends a header and a body as they are, and reads to the end of the connection.
    pub(crate) fn raw(&self, header: &str, body: &[u8]) -> Response {
        let mut stream = self.connect();
        stream.write_all(header.as_bytes()).expect("sent");
        stream.write_all(body).expect("sent");
        Response::read(stream)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) header: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no header in {text:?}"));
        let header = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = header.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, header, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The one sentence of an error.
    pub(crate) fn detail(&self) -> String {
        self.json()["errors"][0]["detail"].as_str().expect("a detail").to_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.header.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Refused with this status, and a sentence that has this text in it.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self:?} {}", self.text());
        assert!(self.detail().contains(text), "{:?} does not say {text:?}", self.detail());
        assert_eq!(status == 401, self.field("www-authenticate").is_some(), "{}", self.header);
    }

    #[track_caller]
    pub(crate) fn assert_ok(&self) {
        assert_eq!(self.status, 200, "{}", self.text());
    }
}

/// A publish request in parts, each of which a test may spoil.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) json: Vec<u8>,
    pub(crate) file: Vec<u8>,
}

impl Upload {
    /// A crate without dependencies.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n");
        let entries = [("Cargo.toml", manifest.as_bytes()), ("src/lib.rs", b"//! Nothing.\n")];
        Self::of(
            name,
            version,
            &json!({ "name": name, "vers": version }),
            &crate_file(name, version, &entries),
        )
    }

    pub(crate) fn of(name: &str, version: &str, json: &Value, file: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            json: json.to_string().into_bytes(),
            file: file.to_vec(),
        }
    }

    /// One with so many random bytes, which do not become fewer when they are packed.
    pub(crate) fn large(name: &str, version: &str, length: usize) -> Self {
        let mut seed = 1_u64;
        let random = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        });
        let bytes: Vec<u8> = random.take(length).collect();
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n");
        let entries = [("Cargo.toml", manifest.as_bytes()), ("src/data", &bytes)];
        let json = json!({ "name": name, "vers": version });
        Self::of(name, version, &json, &crate_file(name, version, &entries))
    }

    pub(crate) fn with_manifest(name: &str, version: &str, manifest: &str, json: &Value) -> Self {
        let file = crate_file(name, version, &[("Cargo.toml", manifest.as_bytes())]);
        Self::of(name, version, json, &file)
    }

    pub(crate) fn checksum(&self) -> Checksum {
        Checksum(Sha256::digest(&self.file).into())
    }

    pub(crate) fn mutation(&self) -> Mutation {
        Mutation::Publish {
            name: self.name.parse().expect("a crate's name"),
            version: self.version.parse().expect("a version"),
            checksum: self.checksum(),
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in [&self.json, &self.file] {
            body.extend((part.len() as u32).to_le_bytes());
            body.extend(part);
        }
        body
    }
}

/// A crate file with these texts below its root.
pub(crate) fn crate_file(name: &str, version: &str, entries: &[(&str, &[u8])]) -> Vec<u8> {
    gzip(&archive(entries.iter().map(|(path, content)| (format!("{name}-{version}/{path}"), *content))))
}

/// A tar archive; the paths are taken as they are.
pub(crate) fn archive<'a>(entries: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        builder.append(&plain_header(&path, content.len() as u64), content).expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

/// A header for a plain file, with any path of up to 100 bytes.
pub(crate) fn plain_header(path: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("GNU").name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}
