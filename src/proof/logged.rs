//! The entries of a publish in the registry's log, as the proof says: the intent, written when the token was used, and its outcome.
//!
//! Here is only asked whether they are about this publish. That the log has them is shown by inclusion in a checkpoint
//! ([`crate::log`]), and that what they say is true, the token shows.

use asymmetric_token::strict_json;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use transparency_log::Hash;

use super::Proof;

/// More than anybody is called, in bytes: it is held on to for each of many packages.
const LONGEST_USER: usize = 1 << 10;

/// `log` in a proof.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wire {
    index: u64,
    leaf: String,
    outcome: Option<WireOutcome>,
}

#[derive(Clone, Debug, Deserialize)]
struct WireOutcome {
    index: u64,
    leaf: String,
}

/// Where the registry says that its log has the publish, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The index of the intent's entry, from 0.
    pub index: u64,
    /// Its hash.
    pub leaf: Hash,
    /// When it was written, as the gateway says.
    pub time: Timestamp,
    /// Whose key it was, as the gateway says. Not safe to show.
    pub user: String,
    /// What came of it, if that was written.
    pub outcome: Option<Outcome>,
}

/// The entry of an intent's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its index, from 0.
    pub index: u64,
    /// Its hash.
    pub leaf: Hash,
    /// What it says.
    pub end: End,
}

/// How a publish ended, as the gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was made.
    Done,
    /// It was refused.
    Refused,
    /// It was not made, because something failed.
    Failed,
}

/// Why the entries in a proof are not those of this publish.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum NotLogged {
    /// Not an entry of a log.
    #[error("the log's entry {0} is damaged")]
    Entry(u64),
    /// The entry is of something else.
    #[error("the log's entry {index} is of another publish: its `{field}` differs")]
    Other { index: u64, field: &'static str },
    /// The entry is not the outcome of this intent.
    #[error("the log's entry {index} is not the outcome of this publish: its `{field}` differs")]
    OtherOutcome { index: u64, field: &'static str },
}

impl End {
    /// The word for it in an entry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Wire {
    /// Whether the entries are about this publish.
    pub(super) fn of(&self, proof: &Proof) -> Result<Logged, NotLogged> {
        let index = self.index;
        let damaged = || NotLogged::Entry(index);
        let (leaf, entry) = entry(&self.leaf).ok_or_else(damaged)?;
        is_of(proof, &entry, index)?;
        let seq = number(&entry, "seq").ok_or_else(damaged)?;
        let time = text(&entry, "time").and_then(|time| time.parse().ok()).ok_or_else(damaged)?;
        let user = text(&entry, "user").unwrap_or_default().to_owned();
        if user.len() > LONGEST_USER {
            return Err(damaged());
        }
        let outcome = self.outcome.as_ref().map(|outcome| outcome.of(index, seq)).transpose()?;
        Ok(Logged { index, leaf, time, user, outcome })
    }
}

impl WireOutcome {
    fn of(&self, intent: u64, seq: u64) -> Result<Outcome, NotLogged> {
        let index = self.index;
        let (leaf, entry) = entry(&self.leaf).ok_or(NotLogged::Entry(index))?;
        let differs = |field| NotLogged::OtherOutcome { index, field };
        if index <= intent || text(&entry, "kind") != Some("outcome") {
            return Err(differs("kind"));
        }
        if number(&entry, "intent") != Some(seq) {
            return Err(differs("intent"));
        }
        let ends = [End::Done, End::Refused, End::Failed];
        let end = ends.into_iter().find(|end| text(&entry, "outcome") == Some(end.as_str()));
        let end = end.ok_or_else(|| differs("outcome"))?;
        Ok(Outcome { index, leaf, end })
    }
}

/// The entry is the one that was written when this token was used up.
fn is_of(proof: &Proof, entry: &Map<String, Value>, index: u64) -> Result<(), NotLogged> {
    for (field, value) in [
        ("kind", "intent"),
        ("mutation", "publish"),
        ("name", proof.name.as_str()),
        ("vers", &proof.version.to_string()),
        ("cksum", &proof.checksum.to_string()),
        ("key", &proof.public.id().to_string()),
        ("token", &proof.token),
    ] {
        if text(entry, field) != Some(value) {
            return Err(NotLogged::Other { index, field });
        }
    }
    Ok(())
}

/// An entry as it is stored: its hash, and what it says.
fn entry(line: &str) -> Option<(Hash, Map<String, Value>)> {
    let hash = Hash::leaf(line.as_bytes()).ok()?;
    match strict_json::parse(line) {
        Ok(Value::Object(object)) => Some((hash, object)),
        _ => None,
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn number(object: &Map<String, Value>, name: &str) -> Option<u64> {
    object.get(name)?.as_u64()
}
