//! A small registry on loopback that issues a challenge with every 401 and lets each be used once, or has its index in
//! a git repository.
//!
//! It verifies tokens with the library's own code: who is asked here is the program that fetches the challenge, and
//! cargo, which knows nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use asymmetric_token::{Claims, PublicKey, Untrusted};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::git_index::GitIndex;
use crate::world::Reads;

/// What a registry does about challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenges {
    Off,
    Required,
}

pub(crate) struct AskingRegistry {
    index_url: String,
    state: Arc<Mutex<State>>,
}

/// What it knows, and what tests may change while it runs.
pub(crate) struct State {
    pub(crate) reads: Reads,
    pub(crate) challenges: Challenges,
    pub(crate) keys: Vec<PublicKey>,
    /// The `Date` of every answer, if it is not to be left out.
    pub(crate) date: Option<&'static str>,
    /// Mutations that were paid for with a challenge.
    pub(crate) paid: usize,
    /// Mutations in all.
    pub(crate) mutations: usize,
    open: BTreeSet<String>,
    issued: usize,
    index: BTreeMap<String, Vec<Value>>,
    /// Crate files by `name/version`.
    files: BTreeMap<String, Vec<u8>>,
    base: String,
    index_url: String,
    git: Option<GitIndex>,
}

struct Request {
    method: String,
    path: String,
    token: Option<String>,
    body: Vec<u8>,
}

struct Reply {
    status: &'static str,
    challenge: Option<String>,
    body: Vec<u8>,
}

impl AskingRegistry {
    pub(crate) fn start(reads: Reads, challenges: Challenges) -> Self {
        Self::serve(reads, challenges, None, None)
    }

    pub(crate) fn start_with_git_index(reads: Reads, challenges: Challenges) -> Self {
        Self::serve(reads, challenges, None, Some(GitIndex::create()))
    }

    /// The same, as `https://localhost`.
    pub(crate) fn start_tls(reads: Reads, challenges: Challenges, tls: ServerConfig) -> Self {
        Self::serve(reads, challenges, Some(Arc::new(tls)), None)
    }

    fn serve(
        reads: Reads,
        challenges: Challenges,
        tls: Option<Arc<ServerConfig>>,
        git: Option<GitIndex>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let base = match tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let index_url = git.as_ref().map_or_else(|| format!("sparse+{base}/index/"), GitIndex::url);
        let state = State {
            reads,
            challenges,
            keys: Vec::new(),
            date: None,
            paid: 0,
            mutations: 0,
            open: BTreeSet::new(),
            issued: 0,
            index: BTreeMap::new(),
            files: BTreeMap::new(),
            base,
            index_url: index_url.clone(),
            git,
        };
        state.commit();
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                std::thread::spawn(move || match tls {
                    None => serve(stream, &shared),
                    Some(tls) => {
                        serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &shared)
                    }
                });
            }
        });
        Self { index_url, state }
    }

    pub(crate) fn index_url(&self) -> String {
        self.index_url.clone()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(mut stream: impl Read + Write, state: &Mutex<State>) {
    let Some(request) = read(&mut stream) else { return };
    let mut state = state.lock().unwrap();
    let reply = state.answer(&request);
    let date = state.date.map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
    drop(state);
    let asks = reply.challenge.map(|challenge| format!("WWW-Authenticate: {challenge}\r\n"));
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n{date}{}\r\n",
        reply.status,
        reply.body.len(),
        asks.unwrap_or_default()
    );
    // The other side may have gone.
    let _ = stream.write_all(&[head.as_bytes(), &reply.body].concat()).and_then(|()| stream.flush());
}

fn read(stream: impl Read) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut token, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => token = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, token, body })
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let parts: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["index", rest @ ..]) => {
                if self.reads == Reads::AuthRequired && self.claims(request).is_none() {
                    return self.unauthorized("a token is needed");
                }
                match rest {
                    ["config.json"] => Reply::ok(self.config().to_string()),
                    _ => self.index_file(rest.last().copied().unwrap_or_default()),
                }
            }
            ("GET", ["dl", name, version, "download"]) => {
                if self.reads == Reads::AuthRequired && self.claims(request).is_none() {
                    return self.unauthorized("a token is needed");
                }
                let file = self.files.get(&format!("{name}/{version}")).cloned().unwrap_or_default();
                Reply { status: "200 OK", challenge: None, body: file }
            }
            ("GET", ["api", "v1", search]) if search.starts_with("crates?") => {
                if self.reads == Reads::AuthRequired && self.claims(request).is_none() {
                    return self.unauthorized("a token is needed");
                }
                Reply::ok(self.all_crates().to_string())
            }
            ("PUT", ["api", "v1", "crates", "new"]) => {
                self.mutation(request, "publish", |state| state.add(&request.body))
            }
            ("DELETE", ["api", "v1", "crates", _, _, "yank"]) => self.mutation(request, "yank", |_| {}),
            ("PUT", ["api", "v1", "crates", _, _, "unyank"]) => self.mutation(request, "unyank", |_| {}),
            ("GET", ["api", "v1", "crates", _, "owners"]) => self.mutation(request, "owners", |_| {}),
            _ => Reply { status: "404 Not Found", challenge: None, body: b"{}".to_vec() },
        }
    }

    fn config(&self) -> Value {
        json!({
            "dl": format!("{}/dl", self.base), "api": self.base, "auth-required": self.reads == Reads::AuthRequired,
            "asymmetric": {"window": 300},
        })
    }

    fn all_crates(&self) -> Value {
        let crates = self.index.iter().map(|(name, versions)| {
            let newest = versions.last().map(|line| line["vers"].clone());
            json!({"name": name, "max_version": newest, "description": "A crate"})
        });
        json!({"crates": crates.collect::<Vec<_>>(), "meta": {"total": self.index.len()}})
    }

    /// Brings the repository, if there is one, up to date. No crate here has a name of less than four letters.
    fn commit(&self) {
        let Some(git) = &self.git else { return };
        let file = |name: &String| format!("{}/{}/{name}", &name[..2], &name[2..4]);
        let text = |lines: &Vec<Value>| lines.iter().map(|line| format!("{line}\n")).collect();
        let mut files: BTreeMap<_, String> =
            self.index.iter().map(|(name, lines)| (file(name), text(lines))).collect();
        files.insert("config.json".to_owned(), self.config().to_string());
        git.commit(&files);
    }

    fn index_file(&self, name: &str) -> Reply {
        match self.index.get(name) {
            Some(lines) => Reply::ok(lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
            None => Reply { status: "404 Not Found", challenge: None, body: Vec::new() },
        }
    }

    fn mutation(&mut self, request: &Request, kind: &str, act: impl FnOnce(&mut Self)) -> Reply {
        let Some(claims) = self.claims(request) else { return self.unauthorized("a token is needed") };
        if claims.mutation.map(|mutation| mutation.kind()) != Some(kind) {
            return self.unauthorized("this token is for something else");
        }
        if self.challenges == Challenges::Required {
            if !claims.challenge.is_some_and(|challenge| self.open.remove(&challenge)) {
                return self.unauthorized("the token has no challenge of ours that is still good");
            }
            self.paid += 1;
        }
        self.mutations += 1;
        act(self);
        Reply::ok(
            json!({"ok": true, "users": [{"id": 1, "login": "alice", "name": null}], "warnings": {}})
                .to_string(),
        )
    }

    fn claims(&self, request: &Request) -> Option<Claims> {
        let untrusted = Untrusted::parse(request.token.as_ref()?).ok()?;
        let key = self.keys.iter().find(|key| key.id() == untrusted.footer().key_id)?;
        let verified = untrusted.verify(key).ok()?;
        (verified.footer.url == self.index_url).then_some(verified.claims)
    }

    fn unauthorized(&mut self, detail: &str) -> Reply {
        let mut header = format!("Cargo login_url=\"{}/me\"", self.base);
        if self.challenges == Challenges::Required {
            self.issued += 1;
            let challenge = format!("challenge-{}", self.issued);
            header += &format!(", challenge=\"{challenge}\", challenges=\"required\"");
            self.open.insert(challenge);
        }
        let body = json!({"errors": [{"detail": detail}]}).to_string().into_bytes();
        Reply { status: "401 Unauthorized", challenge: Some(header), body }
    }

    fn add(&mut self, body: &[u8]) {
        let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
        let (metadata, file) = body[4..].split_at(length);
        let metadata: Value = serde_json::from_slice(metadata).unwrap();
        let file = &file[4..];
        let checksum = asymmetric_token::Checksum(sha256(file));
        let line = json!({
            "name": metadata["name"], "vers": metadata["vers"], "deps": [], "cksum": checksum.to_string(),
            "features": {}, "yanked": false,
        });
        let [name, version] = ["name", "vers"].map(|key| metadata[key].as_str().unwrap().to_owned());
        self.files.insert(format!("{name}/{version}"), file.to_vec());
        self.index.entry(name).or_default().push(line);
        self.commit();
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

impl Reply {
    fn ok(body: String) -> Self {
        Self { status: "200 OK", challenge: None, body: body.into_bytes() }
    }
}

/// Something on loopback that answers every connection with the same bytes, one piece after the other, and then holds
/// it open until the other side lets go.
pub(crate) fn answering(pieces: impl Iterator<Item = Vec<u8>> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let pieces = pieces.clone();
            std::thread::spawn(move || {
                for piece in pieces {
                    if stream.write_all(&piece).is_err() {
                        return;
                    }
                }
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    address
}
