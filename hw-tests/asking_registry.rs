//! A small registry on loopback that issues a challenge with every 401 and lets each be used once, or has its index in
//! a git repository.
//!
//! It verifies tokens with the library's own code: who is asked here is the program that fetches the challenge, and
//! cargo, which knows nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use asymmetric_token::{Claims, PublicKey, Untrusted};
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::git_index::GitIndex;
use crate::loopback::{self, Reply, Request};
use crate::staged_versions::Staging;
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
    /// Where it says that its API is, if that is elsewhere.
    pub(crate) api: Option<String>,
    /// What it says to whom it refuses, if not the usual.
    pub(crate) words: Option<String>,
    /// Mutations that were paid for with a challenge.
    pub(crate) paid: usize,
    /// Mutations in all.
    pub(crate) mutations: usize,
    /// What machines have staged.
    pub(crate) staging: Staging,
    open: BTreeSet<String>,
    issued: usize,
    pub(crate) index: BTreeMap<String, Vec<Value>>,
    /// Crate files by `name/version`.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    base: String,
    index_url: String,
    git: Option<GitIndex>,
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
        Self::serve(reads, challenges, Some(tls), None)
    }

    fn serve(reads: Reads, challenges: Challenges, tls: Option<ServerConfig>, git: Option<GitIndex>) -> Self {
        let (listener, base) = loopback::bind(tls.is_some());
        let index_url = git.as_ref().map_or_else(|| format!("sparse+{base}/index/"), GitIndex::url);
        let state = State {
            reads,
            challenges,
            keys: Vec::new(),
            date: None,
            words: None,
            api: None,
            paid: 0,
            mutations: 0,
            staging: Staging::default(),
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
        loopback::serve(listener, tls, move |request| shared.lock().unwrap().dated_answer(request));
        Self { index_url, state }
    }

    pub(crate) fn index_url(&self) -> String {
        self.index_url.clone()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn dated_answer(&mut self, request: &Request) -> Reply {
        let reply = self.answer(request);
        match self.date {
            Some(date) => reply.with("Date", date.to_owned()),
            None => reply,
        }
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let parts: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["index", rest @ ..]) => {
                if self.reads == Reads::AuthRequired && self.claims(request).is_none() {
                    return self.unauthorized("a token is needed");
                }
                match rest {
                    ["config.json"] => ok(self.config().to_string()),
                    _ => self.index_file(rest.last().copied().unwrap_or_default()),
                }
            }
            ("GET", ["dl", name, version, "download"]) => {
                if self.reads == Reads::AuthRequired && self.claims(request).is_none() {
                    return self.unauthorized("a token is needed");
                }
                let file = self.files.get(&format!("{name}/{version}")).cloned().unwrap_or_default();
                ok(file)
            }
            ("GET", ["api", "v1", search]) if search.starts_with("crates?") => {
                if self.reads == Reads::AuthRequired && self.claims(request).is_none() {
                    return self.unauthorized("a token is needed");
                }
                ok(self.all_crates().to_string())
            }
            ("PUT", ["api", "v1", "crates", "new"]) if self.staging.is_machine(request) => {
                self.staging.push(request)
            }
            ("POST", ["api", "v1", "trusted_publishing", "tokens"]) => self.exchange(request),
            ("PUT", ["api", "v1", "crates", "new"]) => {
                self.mutation(request, "publish", |state| state.add(request))
            }
            ("DELETE", ["api", "v1", "crates", _, _, "yank"]) => self.mutation(request, "yank", |_| {}),
            ("PUT", ["api", "v1", "crates", _, _, "unyank"]) => self.mutation(request, "unyank", |_| {}),
            ("GET", ["api", "v1", "crates", _, "owners"]) => self.mutation(request, "owners", |_| {}),
            (_, ["api", "v1", "staged", ..]) => self.staged(request, &parts[2..]),
            _ => Reply::new("404 Not Found", "{}"),
        }
    }

    fn config(&self) -> Value {
        let api = self.api.as_ref().unwrap_or(&self.base);
        json!({
            "dl": format!("{}/dl", self.base), "api": api, "auth-required": self.reads == Reads::AuthRequired,
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
            Some(lines) => ok(lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
            None => Reply::new("404 Not Found", ""),
        }
    }

    pub(crate) fn mutation(&mut self, request: &Request, kind: &str, act: impl FnOnce(&mut Self)) -> Reply {
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
        ok(json!({"ok": true, "users": [{"id": 1, "login": "alice", "name": null}], "warnings": {}})
            .to_string())
    }

    pub(crate) fn claims(&self, request: &Request) -> Option<Claims> {
        let untrusted = Untrusted::parse(request.token.as_ref()?).ok()?;
        let key = self.keys.iter().find(|key| key.id() == untrusted.footer().key_id)?;
        let verified = untrusted.verify(key).ok()?;
        (verified.footer.url == self.index_url).then_some(verified.claims)
    }

    pub(crate) fn unauthorized(&mut self, detail: &str) -> Reply {
        let mut header = format!("Cargo login_url=\"{}/me\"", self.base);
        if self.challenges == Challenges::Required {
            self.issued += 1;
            let challenge = format!("challenge-{}", self.issued);
            header += &format!(", challenge=\"{challenge}\", challenges=\"required\"");
            self.open.insert(challenge);
        }
        let detail = self.words.as_deref().unwrap_or(detail);
        let body = json!({"errors": [{"detail": detail}]}).to_string();
        Reply::new("401 Unauthorized", body).with("WWW-Authenticate", header)
    }

    fn add(&mut self, request: &Request) {
        let (metadata, file) = request.published();
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

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply::new("200 OK", body)
}
