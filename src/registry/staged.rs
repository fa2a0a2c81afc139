//! Versions that are staged at a registry: uploaded by a machine, checked, and kept until a person approves or rejects them.
//!
//! `GET {api}/api/v1/staged` lists them for the bearer of a read token. A person approves with an ordinary publish token for the file's
//! checksum. What a registry answers is foreign text: bounded, and escaped before it is shown.

use std::time::Duration;

use asymmetric_token::{Checksum, CrateName, KeyId, strict_json};
use jiff::Timestamp;
use semver::Version;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::greeting::{self, Asked};
use super::http::{self, Answer, Client};
use super::network::Network;
use crate::cargo_config;
use crate::settings::Settings;
use crate::text::escape;

/// The longest list that is read, in bytes, and the most versions of one.
const LONGEST_LIST: u64 = 4 << 20;
const MOST: usize = 1000;

/// No registry takes larger crate files, in bytes.
const LONGEST_CRATE: u64 = 64 << 20;

/// How long an approval is waited for, unless a timeout is set for cargo: it is over when the registry behind has taken the file.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// One version that was staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its number at the registry. A version that is staged once more has another one.
    pub id: u64,
    /// The crate.
    pub name: CrateName,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the file that the registry says it keeps.
    pub checksum: Checksum,
    /// The file's length in bytes, as the registry says.
    pub size: u64,
    /// How it stands.
    pub state: State,
    /// When it was staged.
    pub staged: Timestamp,
    /// When it expires unless somebody approves it.
    pub expires: Timestamp,
    /// Whether there is no crate of this name yet.
    pub new_crate: bool,
    /// Who staged it.
    pub stager: Stager,
    /// How many people have to approve it.
    pub needed: u64,
    /// Who has approved it.
    pub given: Vec<Approval>,
    /// Whether whoever asked may approve it.
    pub may_approve: bool,
    /// What the registry behind said when it refused it; not safe to show.
    pub words: Option<String>,
}

/// The versions that a registry lists.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Those that were read.
    pub stages: Vec<Stage>,
    /// How many more it lists.
    pub more: usize,
}

/// How a staged version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has approved it.
    Staged,
    /// Somebody has approved it, and somebody else has to.
    Waiting,
    /// It is being published.
    Approving,
    /// It is published.
    Published,
    /// Somebody who may approve it has said no.
    Rejected,
    /// Nobody has approved it in time.
    Expired,
    /// Its number was published directly.
    Overtaken,
}

impl State {
    /// Whether it can still be approved.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Staged | Self::Waiting)
    }

    /// As the registry writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Waiting => "waiting",
            Self::Approving => "approving",
            Self::Published => "published",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Overtaken => "overtaken",
        }
    }
}

/// Who staged a version: what the registry says of a machine's identity. Nothing of it is safe to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stager(Vec<(String, String)>);

impl Stager {
    /// What is known, by its name in the registry's answer: `publisher`, `issuer`, `repository`, `workflow`, `ref`, `commit`, `run`; or
    /// `key` and `user`.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// Whether it was staged in this run of a build service, named by its URL or by the last part of it. GitHub's URLs go on with the number
    /// of the attempt, which is small and alike in many runs, so it names none.
    #[must_use]
    pub fn is_run(&self, run: &str) -> bool {
        let run = run.trim_end_matches('/');
        let is_it = |known: &str| {
            let known = known.trim_end_matches('/');
            let whole = without_attempt(known);
            known == run || whole == run || whole.rsplit('/').next() == Some(run)
        };
        !run.is_empty() && self.get("run").is_some_and(is_it)
    }

    fn read(object: Map<String, Value>) -> Self {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self(object.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
    }
}

/// The URL of a run without `/attempts/N` at its end.
fn without_attempt(url: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match url.rsplit_once("/attempts/") {
        Some((run, attempt)) if is_number(attempt) => run,
        _ => url,
    }
}

/// One person's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose it is; not safe to show.
    pub user: String,
    /// The key that has signed.
    pub key: KeyId,
}

#[derive(Deserialize)]
struct Wire {
    id: u64,
    name: String,
    vers: String,
    cksum: String,
    size: u64,
    state: State,
    staged: String,
    expires: String,
    #[serde(default)]
    new_crate: bool,
    #[serde(default)]
    stager: Map<String, Value>,
    approvals: WireApprovals,
    may_approve: bool,
    words: Option<String>,
}

#[derive(Deserialize)]
struct WireApprovals {
    needed: u64,
    #[serde(default)]
    given: Vec<WireApproval>,
}

#[derive(Deserialize)]
struct WireApproval {
    user: String,
    key: String,
}

#[derive(Deserialize)]
struct List {
    staged: Vec<Value>,
}

impl Listed {
    /// That it is not the whole list, if it is not.
    pub(crate) fn cut(&self) -> Option<String> {
        let all = self.stages.len() + self.more;
        (self.more > 0)
            .then(|| format!("{all} versions are staged there, and only the first {MOST} of them are read"))
    }
}

impl Stage {
    fn read(value: Value) -> Option<Self> {
        let wire: Wire = serde_json::from_value(value).ok()?;
        let approval =
            |given: WireApproval| Some(Approval { user: given.user, key: given.key.parse().ok()? });
        Some(Self {
            id: wire.id,
            name: wire.name.parse().ok()?,
            version: wire.vers.parse().ok()?,
            checksum: wire.cksum.parse().ok()?,
            size: wire.size,
            state: wire.state,
            staged: wire.staged.parse().ok()?,
            expires: wire.expires.parse().ok()?,
            new_crate: wire.new_crate,
            stager: Stager::read(wire.stager),
            needed: wire.approvals.needed,
            given: wire.approvals.given.into_iter().map(approval).collect::<Option<_>>()?,
            may_approve: wire.may_approve,
            words: wire.words,
        })
    }

    /// Whether it waits for one of these keys: it can be approved by whoever asked, and none of them has approved it.
    pub fn waits_for(&self, mut keys: impl Iterator<Item = KeyId>) -> bool {
        let has_approved = |key| self.given.iter().any(|given| given.key == key);
        self.state.is_open() && self.may_approve && !keys.any(has_approved)
    }
}

/// A registry that keeps staged versions.
pub struct Staging {
    asked: Asked,
    /// Without a final slash.
    api: String,
    settings: Settings,
}

impl Staging {
    /// Finds the registry's API. `token` is one that is good for reading; a registry that wants none for that is asked without it.
    ///
    /// # Errors
    /// [`Error::Greeting`].
    pub fn open(index: &str, token: &str, settings: &Settings) -> Result<Self, Error> {
        let asked = Asked::new(index, settings)?;
        let open = asked.index_config(None)?.filter(|config| !config.auth_required);
        let config = match open {
            Some(config) => config,
            None => asked.again().index_config(Some(token))?.ok_or_else(|| asked.status(401))?,
        };
        Self::at(asked, config.api, settings)
    }

    /// The same for somebody who has no token yet: the registry says where its API is without one.
    ///
    /// # Errors
    /// [`Error::Greeting`].
    pub fn for_exchange(index: &str, settings: &Settings) -> Result<Self, Error> {
        let api = greeting::api(index, settings)?;
        Self::at(Asked::new(index, settings)?, Some(api), settings)
    }

    pub(super) fn at(asked: Asked, api: Option<String>, settings: &Settings) -> Result<Self, Error> {
        let api = api.ok_or_else(|| greeting::Error::NoApi { url: asked.config_url().to_owned() })?;
        let api = api.trim_end_matches('/').to_owned();
        asked.is_as_protected(&api)?;
        if !asked.is_own(&api) {
            return Err(greeting::Error::TokenElsewhere { url: api }.into());
        }
        Ok(Self { asked, api, settings: settings.clone() })
    }

    /// The versions that concern whoever has this token.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::Refused`], [`Error::Answer`], [`Error::Http`].
    pub fn list(&self, token: &str) -> Result<Listed, Error> {
        let url = self.url("staged");
        let answer = self.asked.again().client.get_up_to(LONGEST_LIST, &url, Some(token))?;
        let list: List = match answer.status {
            200 => strict(&answer).and_then(|value| serde_json::from_value(value).ok()),
            404 | 405 => return Err(Error::NotOffered { url }),
            _ => return Err(refused(&answer)),
        }
        .ok_or_else(|| Error::Answer { url: url.clone() })?;
        let more = list.staged.len().saturating_sub(MOST);
        let stages = list.staged.into_iter().take(MOST).map(Stage::read).collect::<Option<_>>();
        Ok(Listed { stages: stages.ok_or(Error::Answer { url })?, more })
    }

    /// One version, in whatever state it is.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Answer`], [`Error::Http`].
    pub fn stage(&self, id: u64, token: &str) -> Result<Stage, Error> {
        let url = self.url(&format!("staged/{id}"));
        let answer = self.asked.again().client.get(&url, Some(token))?;
        self.one(id, url, &answer)
    }

    /// The file of a version, whatever it is.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Http`].
    pub fn download(&self, id: u64, token: &str) -> Result<Vec<u8>, Error> {
        let url = self.url(&format!("staged/{id}/download"));
        // One byte more, since an answer of just as many bytes as are read counts as one without end.
        let answer = self.client(&url)?.get_up_to(LONGEST_CRATE + 1, &url, Some(token))?;
        if answer.status == 200 { Ok(answer.body) } else { Err(refused(&answer)) }
    }

    /// Approves a version with a publish token for it.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Answer`], [`Error::Http`].
    pub fn approve(&self, id: u64, token: &str) -> Result<Stage, Error> {
        let url = self.url(&format!("staged/{id}/approve"));
        let answer = self.client(&url)?.put(&url, token, b"")?;
        self.one(id, url, &answer)
    }

    /// Rejects a version with a read token, which is spent by it.
    ///
    /// # Errors
    /// As [`approve`](Self::approve).
    pub fn reject(&self, id: u64, reason: Option<&str>, token: &str) -> Result<Stage, Error> {
        let url = self.url(&format!("staged/{id}/reject"));
        let body = match reason {
            Some(reason) => json!({ "reason": reason }),
            None => json!({}),
        };
        let answer = self.client(&url)?.put(&url, token, body.to_string().as_bytes())?;
        self.one(id, url, &answer)
    }

    /// Stages a version: cargo's publish request (Cargo reference, "Registry Web API") with a staging token. The answer is what the
    /// registry has to say of it, which is not safe to show.
    ///
    /// # Errors
    /// As [`approve`](Self::approve).
    pub fn push(&self, metadata: &Value, file: &[u8], token: &str) -> Result<Vec<String>, Error> {
        let url = self.url("crates/new");
        let metadata = metadata.to_string();
        let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        let request =
            [&length(metadata.as_bytes())[..], metadata.as_bytes(), &length(file)[..], file].concat();
        let answer = self.client(&url)?.put(&url, token, &request)?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let value = strict(&answer).ok_or(Error::Answer { url })?;
        let words = value["warnings"]["other"].as_array().into_iter().flatten();
        Ok(words.filter_map(|word| word.as_str().map(str::to_owned)).collect())
    }

    /// Exchanges an identity for a staging token.
    ///
    /// # Errors
    /// As [`approve`](Self::approve).
    pub fn exchange(&self, identity: &str) -> Result<String, Error> {
        let url = self.url("trusted_publishing/tokens");
        let answer = self.client(&url)?.post(&url, &json!({ "jwt": identity }).to_string())?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let token = strict(&answer).and_then(|value| value["token"].as_str().map(str::to_owned));
        token.filter(|token| is_staging_token(token)).ok_or(Error::Answer { url })
    }

    fn one(&self, id: u64, url: String, answer: &Answer) -> Result<Stage, Error> {
        if answer.status != 200 {
            return Err(refused(answer));
        }
        let stage = strict(answer).and_then(Stage::read).filter(|stage| stage.id == id);
        stage.ok_or(Error::Answer { url })
    }

    fn client(&self, url: &str) -> Result<Client, Error> {
        let network = Network::load(url, &self.settings.cargo_home)?;
        Ok(Client::new(url, &network, self.settings.wait.network().max(PATIENCE))?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.api)
    }
}

/// Whether a token can be one that stages, and publishes nothing: `rgs_` and 32 bytes in base64url.
#[must_use]
pub fn is_staging_token(token: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    token.strip_prefix("rgs_").is_some_and(|rest| rest.len() == 43 && rest.bytes().all(is_base64url))
}

fn strict(answer: &Answer) -> Option<Value> {
    strict_json::parse(std::str::from_utf8(&answer.body).ok()?).ok()
}

/// With the sentence that cargo would show.
fn refused(answer: &Answer) -> Error {
    Error::Refused { status: answer.status, detail: answer.why_refused() }
}

/// Why a registry did not do what it was asked for with a staged version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// It does not answer as the protocol says.
    #[error("{} does not answer like a registry that keeps staged versions", escape(url))]
    Answer { url: String },
    /// It does not say where its API is, or that is elsewhere.
    #[error(transparent)]
    Greeting(#[from] greeting::Error),
    /// No answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Cargo's configuration.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// There is no such thing there.
    #[error("this registry keeps no staged versions ({})", escape(url))]
    NotOffered { url: String },
    /// It refuses.
    #[error("the registry refuses: {detail}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// Its reason in its own words, safe to show.
        detail: String,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Greeting(error) => error.hint(),
            Self::CargoConfig(error) => error.hint(),
            Self::NotOffered { .. } => Some(
                "only registry-gateway keeps staged versions; if this is one, ask its administrator to update it".into(),
            ),
            Self::Answer { .. } => Some("tell the registry's administrator".into()),
            Self::Http(_) | Self::Refused { .. } => None,
        }
    }

    /// Whether it may have been done all the same: the answer did not come.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Answer { .. } | Self::Refused { status: 500.., .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> Value {
        json!({
            "id": 17, "name": "a", "vers": "1.0.0", "cksum": "ab".repeat(32), "size": 12345, "state": "staged",
            "staged": "2026-11-30T12:00:00Z", "expires": "2026-12-14T12:00:00Z", "new_crate": false,
            "stager": {"publisher": "acme-ci", "run": "https://github.com/acme/x/actions/runs/42"},
            "approvals": {"needed": 1, "given": []}, "may_approve": true, "more": 1,
        })
    }

    #[test]
    fn what_is_no_staged_version_is_refused() {
        assert!(Stage::read(wire()).is_some());
        for (field, value) in [
            ("id", json!(-1)),
            ("name", json!("a\u{1b}b")),
            ("vers", json!("one")),
            ("cksum", json!("ab")),
            ("state", json!("fine")),
            ("staged", json!("yesterday")),
            ("approvals", json!({"needed": 1, "given": [{"user": "alice", "key": "k3.pid.x", "time": ""}]})),
            ("may_approve", json!(null)),
        ] {
            let mut wire = wire();
            wire[field] = value;
            assert_eq!(Stage::read(wire), None, "{field}");
        }
    }

    #[test]
    fn a_run_is_known_by_its_url_or_its_number() {
        let url = "https://github.com/acme/x/actions/runs/42";
        let is_run = |known: &str, run: &str| {
            let mut wire = wire();
            wire["stager"]["run"] = known.into();
            Stage::read(wire).unwrap().stager.is_run(run)
        };
        let attempt = format!("{url}/attempts/1");
        for known in [url, &attempt, "42"] {
            for (run, is_it) in [
                ("42", true),
                ("42/", true),
                ("2", false),
                ("1", false),
                ("attempts", false),
                ("", false),
                ("/", false),
            ] {
                assert_eq!(is_run(known, run), is_it, "{run} of {known}");
            }
        }
        assert!(is_run(url, url) && is_run(&attempt, url) && is_run(&attempt, &attempt));
        assert!(
            !is_run(&attempt, &format!("{url}/attempts/2"))
                && !is_run(&attempt, &url.replace("acme", "evil"))
        );
        assert!(is_run("https://ci.example/attempts/x", "x"));
    }

    #[test]
    fn a_staging_token_is_known_by_its_form() {
        assert!(is_staging_token(&format!("rgs_{}", "aZ0-_".repeat(9).split_at(43).0)));
        for other in ["", "rgs_", "rgs_a", "v3.public.x", &format!("xgs_{}", "a".repeat(43))] {
            assert!(!is_staging_token(other), "{other}");
        }
    }
}
