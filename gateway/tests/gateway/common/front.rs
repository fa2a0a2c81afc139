//! A gateway in front of a registry that takes bearer tokens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::config::{Config, UpstreamConfig};
use registry_gateway::vault::Vault;
use serde_json::Value;

use super::bearer_registry::BearerRegistry;
use super::{Fixture, Response};

pub(crate) const ALICES: &str = "Bearer alices-upstream-token";
pub(crate) const BOBS: &str = "bobs-upstream-token";

/// A gateway in front of a registry; Alice and Bob have a credential each.
pub(crate) struct Front {
    pub(crate) gateway: Fixture,
    pub(crate) registry: BearerRegistry,
}

impl Front {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let registry = BearerRegistry::start();
        let index = format!("{}/index/", registry.url());
        let gateway = Fixture::with_files(|config, folder| {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            let key_file = folder.join("key");
            fs::write(&key_file, Vault::new_key().unwrap().as_bytes()).unwrap();
            fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
            config.upstream = Some(upstream(index, key_file));
            change(config);
        });
        let front = Self { gateway, registry };
        front.set_credential("alice", ALICES);
        front.set_credential("bob", BOBS);
        front
    }

    pub(crate) fn set_credential(&self, user: &str, credential: &str) {
        let upstream = self.gateway.config.upstream.as_ref().unwrap();
        let user = user.parse().unwrap();
        let sealed = Vault::open(&upstream.key_file).unwrap().seal(&user, credential).unwrap();
        self.gateway.running().store().set_credential(&user, &sealed, Timestamp::now()).unwrap();
    }

    pub(crate) fn yank(&self) -> Response {
        let token = self
            .gateway
            .token(Mutation::Yank { name: "hello".parse().unwrap(), version: "1.0.0".parse().unwrap() });
        self.gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"")
    }

    /// The outcome in the audit log's last entry, if that is one.
    pub(crate) fn outcome(&self) -> Option<String> {
        let last = self.gateway.sql("SELECT entry FROM audit ORDER BY seq DESC LIMIT 1");
        serde_json::from_str::<Value>(&last).unwrap()["outcome"].as_str().map(ToOwned::to_owned)
    }
}

fn upstream(index: String, key_file: PathBuf) -> UpstreamConfig {
    UpstreamConfig {
        index,
        api: None,
        dl: None,
        also_known_as: vec!["sparse+https://old.example.org/".to_owned()],
        key_file,
        ca_file: None,
        timeout: Duration::from_secs(5),
    }
}
