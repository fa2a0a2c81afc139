//! A small registry on loopback that takes one bearer token, byte for byte, and remembers whatever else it was shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use asymmetric_token::Checksum;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::loopback::{self, Reply, Request};
use crate::world::Reads;

pub(crate) struct BearerRegistry {
    base: String,
    state: Arc<Mutex<State>>,
}

/// What it knows, and what tests may change while it runs.
pub(crate) struct State {
    pub(crate) reads: Reads,
    pub(crate) token: String,
    /// What was done with the right token, such as `publish alpha 0.1.0`.
    pub(crate) done: Vec<String>,
    /// Every other `Authorization` that came.
    pub(crate) strange_tokens: Vec<String>,
    /// Reads of the index and of crates with the right token.
    pub(crate) reads_with_token: usize,
    index: BTreeMap<String, Vec<Value>>,
    files: BTreeMap<String, Vec<u8>>,
    base: String,
}

impl BearerRegistry {
    pub(crate) fn start(reads: Reads, token: &str) -> Self {
        let (listener, base) = loopback::bind(false);
        let state = Arc::new(Mutex::new(State {
            reads,
            token: token.to_owned(),
            done: Vec::new(),
            strange_tokens: Vec::new(),
            reads_with_token: 0,
            index: BTreeMap::new(),
            files: BTreeMap::new(),
            base: base.clone(),
        }));
        let shared = Arc::clone(&state);
        loopback::serve(listener, None, move |request| shared.lock().unwrap().answer(request));
        Self { base, state }
    }

    pub(crate) fn index_url(&self) -> String {
        format!("sparse+{}/index/", self.base)
    }

    /// The same, for a server of another kind.
    pub(crate) fn shared(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.state)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What was done since the last call.
    pub(crate) fn done(&self) -> Vec<String> {
        let mut state = self.state();
        assert_eq!(state.strange_tokens, Vec::<String>::new(), "it was shown what is not its token");
        std::mem::take(&mut state.done)
    }
}

impl State {
    pub(crate) fn answer(&mut self, request: &Request) -> Reply {
        let known = request.token.as_ref() == Some(&self.token);
        if let Some(strange) = request.token.as_ref().filter(|_| !known) {
            self.strange_tokens.push(strange.clone());
            return refusal("403 Forbidden", "this is not the token");
        }
        let parts: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        let is_read = matches!(parts[0], "index" | "dl");
        if !known && (!is_read || self.reads == Reads::AuthRequired) {
            let login = format!("Cargo login_url=\"{}/me\"", self.base);
            return refusal("401 Unauthorized", "a token is needed").with("WWW-Authenticate", login);
        }
        self.reads_with_token += usize::from(is_read && known);
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["index", "config.json"]) => Reply::new("200 OK", self.config().to_string()),
            ("GET", ["index", .., name]) => match self.index.get(*name) {
                Some(lines) => {
                    Reply::new("200 OK", lines.iter().map(|line| format!("{line}\n")).collect::<String>())
                }
                None => Reply::new("404 Not Found", ""),
            },
            ("GET", ["dl", name, version, "download"]) => {
                match self.files.get(&format!("{name}/{version}")) {
                    Some(file) => Reply::new("200 OK", file.clone()),
                    None => Reply::new("404 Not Found", ""),
                }
            }
            ("PUT", ["api", "v1", "crates", "new"]) => self.publish(request),
            ("DELETE", ["api", "v1", "crates", name, version, "yank"]) => {
                self.note(format!("yank {name} {version}"))
            }
            ("PUT", ["api", "v1", "crates", name, version, "unyank"]) => {
                self.note(format!("unyank {name} {version}"))
            }
            ("GET", ["api", "v1", "crates", name, "owners"]) => self.note(format!("owners {name}")),
            _ => refusal("404 Not Found", "no such thing"),
        }
    }

    pub(crate) fn file(&self, name: &str, version: &str) -> Vec<u8> {
        self.files[&format!("{name}/{version}")].clone()
    }

    fn config(&self) -> Value {
        json!({
            "dl": format!("{}/dl", self.base), "api": self.base, "auth-required": self.reads == Reads::AuthRequired,
        })
    }

    fn note(&mut self, what: String) -> Reply {
        self.done.push(what);
        let answer =
            json!({"ok": true, "users": [{"id": 1, "login": "alice", "name": null}], "warnings": {}});
        Reply::new("200 OK", answer.to_string())
    }

    fn publish(&mut self, request: &Request) -> Reply {
        let (metadata, file) = request.published();
        let (name, version) = (metadata["name"].as_str().unwrap(), metadata["vers"].as_str().unwrap());
        let deps = metadata["deps"].as_array().unwrap().iter().map(|dep| {
            json!({
                "name": dep["name"], "req": dep["version_req"], "features": [], "optional": false,
                "default_features": true, "target": null, "kind": "normal",
            })
        });
        let line = json!({
            "name": name, "vers": version, "deps": deps.collect::<Vec<_>>(),
            "cksum": Checksum(Sha256::digest(file).into()).to_string(), "features": {}, "yanked": false,
        });
        self.index.entry(name.to_owned()).or_default().push(line);
        self.files.insert(format!("{name}/{version}"), file.to_vec());
        self.note(format!("publish {name} {version}"))
    }
}

fn refusal(status: &'static str, detail: &str) -> Reply {
    Reply::new(status, json!({"errors": [{"detail": detail}]}).to_string())
}
