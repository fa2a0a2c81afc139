//! What a registry keeps that machines have staged, as a test has it: the gateway's wire, told by hand, so that it can also lie.

use asymmetric_token::{Checksum, Mutation};
use serde_json::{Value, json};

use crate::asking_registry::{State, ok, sha256};
use crate::loopback::{Reply, Request};
use crate::staged_versions::crate_file;

impl State {
    /// A stage key's read token is exchanged for a staging token.
    pub(crate) fn exchange(&self, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let as_token = Request {
            method: String::new(),
            path: String::new(),
            token: body["jwt"].as_str().map(str::to_owned),
            body: Vec::new(),
        };
        match self.claims(&as_token) {
            Some(claims) if claims.mutation.is_none() => ok(json!({"token": self.staging.token}).to_string()),
            _ => Reply::new("403 Forbidden", r#"{"errors":[{"detail":"who is that"}]}"#),
        }
    }

    /// A machine has staged a version, whose Cargo.toml ends like this.
    pub(crate) fn stage(
        &mut self,
        name: &str,
        version: &str,
        manifest: &str,
        files: &[(&str, &[u8])],
    ) -> u64 {
        let file = crate_file(name, version, manifest, files);
        let id = self.staging.stages.len() as u64 + 1;
        let stage = json!({
            "id": id, "name": name, "vers": version, "cksum": Checksum(sha256(&file)).to_string(),
            "size": file.len(), "state": "staged", "staged": "2026-11-30T12:00:00Z",
            "expires": "2100-01-01T00:00:00Z", "new_crate": false,
            "stager": {
                "publisher": "acme-ci", "issuer": "https://token.example", "repository": "acme/x",
                "workflow": "release.yml", "ref": "refs/tags/v1", "commit": "0123abc",
                "run": "https://ci.example/acme/x/runs/42",
            },
            "approvals": {"needed": 1, "given": []}, "may_approve": true,
        });
        self.staging.stages.insert(id, stage);
        self.staging.files.insert(id, file);
        id
    }

    /// The same file is a release already.
    pub(crate) fn release(&mut self, name: &str, version: &str, manifest: &str, files: &[(&str, &[u8])]) {
        let file = crate_file(name, version, manifest, files);
        self.publish(name, version, file);
    }

    /// A file is a release.
    pub(crate) fn publish(&mut self, name: &str, version: &str, file: Vec<u8>) {
        self.list(name, version, &file);
        self.files.insert(format!("{name}/{version}"), file);
    }

    fn list(&mut self, name: &str, version: &str, file: &[u8]) {
        let line = json!({
            "name": name, "vers": version, "deps": [], "features": {}, "yanked": false,
            "cksum": Checksum(sha256(file)).to_string(),
        });
        self.index.entry(name.to_owned()).or_default().push(line);
    }

    pub(crate) fn staged(&mut self, request: &Request, parts: &[&str]) -> Reply {
        let asked = format!("{} {}", request.method, parts[1..].join("/"));
        self.staging.asked.push(asked.clone());
        if let Some(deed) = self.staging.before.remove(&asked) {
            deed(&mut self.staging);
        }
        if let Some(reply) = self.staging.instead.remove(&asked) {
            return reply;
        }
        let id: u64 = parts.get(1).and_then(|id| id.parse().ok()).unwrap_or_default();
        match (request.method.as_str(), &parts[1..]) {
            ("PUT", [_, "approve"]) => self.approve(request, id),
            _ if self.claims(request).is_none_or(|claims| claims.mutation.is_some()) => {
                self.unauthorized("a read token is needed")
            }
            ("GET", []) => {
                let open = |stage: &&Value| {
                    matches!(stage["state"].as_str(), Some("staged" | "waiting" | "approving"))
                };
                ok(json!({"staged": self.staging.stages.values().filter(open).collect::<Vec<_>>()})
                    .to_string())
            }
            ("GET", [_]) => self.shown(id),
            ("GET", [_, "download"]) => ok(self.staging.files[&id].clone()),
            ("PUT", [_, "reject"]) => {
                let token = request.token.clone().unwrap();
                if self.staging.spent.contains(&token) {
                    return Reply::new(
                        "401 Unauthorized",
                        r#"{"errors":[{"detail":"this token was used already"}]}"#,
                    );
                }
                self.staging.spent.push(token);
                self.staging.rejected.push(serde_json::from_slice(&request.body).unwrap());
                self.staging.stages.get_mut(&id).unwrap()["state"] = "rejected".into();
                self.shown(id)
            }
            _ => Reply::new("404 Not Found", "{}"),
        }
    }

    fn shown(&self, id: u64) -> Reply {
        match self.staging.stages.get(&id) {
            Some(stage) => ok(stage.to_string()),
            None => Reply::new("404 Not Found", r#"{"errors":[{"detail":"there is no such version"}]}"#),
        }
    }

    fn approve(&mut self, request: &Request, id: u64) -> Reply {
        let claims = self.claims(request);
        let reply = self.mutation(request, "publish", |_| {});
        if reply.status != "200 OK" {
            return reply;
        }
        if let Some(slow) = self.staging.slow {
            std::thread::sleep(slow);
        }
        let claims = claims.unwrap();
        let file = self.staging.files[&id].clone();
        let stage = self.staging.stages.get_mut(&id).unwrap();
        let Some(Mutation::Publish { name, version, checksum }) = claims.mutation.clone() else {
            unreachable!()
        };
        assert_eq!(stage["name"], name.as_str());
        assert_eq!(checksum, Checksum(sha256(&file)), "what is signed is the file that is kept");
        let given = stage["approvals"]["given"].as_array_mut().unwrap();
        let key = self.keys.iter().find(|key| {
            let token = asymmetric_token::Untrusted::parse(request.token.as_ref().unwrap()).unwrap();
            token.footer().key_id == key.id()
        });
        given.push(
            json!({"user": "alice", "key": key.unwrap().id().to_string(), "time": "2026-11-30T12:30:00Z"}),
        );
        let done = given.len() as u64 >= stage["approvals"]["needed"].as_u64().unwrap();
        stage["state"] = if done { "published" } else { "waiting" }.into();
        let reply = ok(stage.to_string());
        if done {
            self.list(name.as_str(), &version.to_string(), &file);
        }
        self.staging.approved.push(claims);
        reply
    }
}
