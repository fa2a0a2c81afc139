//! Who may stage: jobs that an OIDC issuer vouches for, and machines with a key of their own. Each way to get a staging token, and each way to be
//! refused.

mod identity;
mod issuers;
mod stage_keys;
mod tokens;

use serde_json::{Value, json};

use crate::common::issuer::{Issuer, Key};
use crate::common::served::succeeds;
use crate::common::{Fixture, Response};

pub(crate) const TOKENS: &str = "/api/v1/trusted_publishing/tokens";

/// A registry with the publisher `acme-ci`, a workflow of GitHub's, and the issuer of its identity tokens.
pub(crate) struct Jobs {
    pub(crate) fixture: Fixture,
    pub(crate) issuer: Issuer,
    pub(crate) key: Key,
}

impl Jobs {
    /// The issuer signs with an EC key called `one`.
    pub(crate) fn new() -> Self {
        Self::with(Fixture::new(), Key::p256(1))
    }

    pub(crate) fn with(fixture: Fixture, key: Key) -> Self {
        let issuer = Issuer::new(&[("one", &key)]);
        let jobs = Self { fixture, issuer, key };
        jobs.add("acme-ci", &jobs.github());
        jobs
    }

    /// Adds a publisher by the command line.
    #[track_caller]
    pub(crate) fn add(&self, name: &str, arguments: &[&str]) {
        let begin = ["publisher", "add", name, "--reads-as", "bob", "--issuer", &self.issuer.url];
        succeeds(self.fixture.folder.path(), &[&begin, arguments].concat());
    }

    pub(crate) fn github(&self) -> Vec<&'static str> {
        [
            ["--github", "acme/widget", "--owner-id", "42", "--repository-id", "7001"].as_slice(),
            &["--workflow", "release.yml", "--ref", "refs/tags/v*", "--environment", "release"],
            &["--crate", "widget", "--crate", "widget-*"],
        ]
        .concat()
    }

    /// The registry's address, as an audience.
    pub(crate) fn audience(&self) -> String {
        self.fixture.running().address().to_string()
    }

    pub(crate) fn claims(&self) -> Value {
        self.issuer.github(&self.audience())
    }

    /// An identity token with these claims, signed by the issuer's key.
    pub(crate) fn signed(&self, claims: &Value) -> String {
        self.key.sign(&json!({ "typ": "JWT", "alg": self.key.algorithm(), "kid": "one" }), claims)
    }

    pub(crate) fn ask(&self, token: &str) -> Response {
        exchange(&self.fixture, token)
    }

    /// Asks until the answer is this one: an issuer that has failed is left alone for a while.
    pub(crate) fn ask_until(&self, token: &str, status: u16, why: &str) -> Response {
        let mut answers = (0..10_000).map(|_| self.ask(token));
        let found = answers.find(|answer| answer.status == status && answer.text().contains(why));
        found.unwrap_or_else(|| panic!("{status} {why}: {}", self.ask(token).text()))
    }

    /// A staging token.
    #[track_caller]
    pub(crate) fn staging_token(&self) -> String {
        let answer = self.ask(&self.signed(&self.claims()));
        answer.assert_ok();
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// Whether the gateway knows who holds a token.
    pub(crate) fn is_good(&self, token: &str) -> bool {
        self.fixture.running().store().stager(token).unwrap().is_some()
    }

    /// With one claim changed, or taken out.
    pub(crate) fn changed(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        match value {
            Value::Null => _ = claims.as_object_mut().unwrap().remove(name),
            value => claims[name] = value,
        }
        claims
    }
}

pub(crate) fn exchange(fixture: &Fixture, token: &str) -> Response {
    fixture.send("POST", TOKENS, None, json!({ "jwt": token }).to_string().as_bytes())
}
