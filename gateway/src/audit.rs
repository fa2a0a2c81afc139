//! The audit log: what was done here, in an order that cannot be changed afterwards without being noticed.
//!
//! An entry is one line of canonical JSON ([`canonical`]):
//!
//! ```text
//! {"kind":"key","salt":"<22 characters>","seq":2,"time":"2026-11-20T12:00:00.000000Z", …}
//! ```
//!
//! `seq` counts from 1 without a gap. Entries are never updated: the outcome of an intent is an entry of its own, which names
//! the intent. Each is a leaf of a Merkle tree (RFC 6962), with the index `seq` − 1. Readers get the hashes of all leaves, and the
//! text of some of them; `salt` keeps whoever has a hash from finding out by trying what the entry says.
//!
//! The root of the tree stands for every entry in it, and who signs it in a checkpoint signs them all. [`Follower`] goes through a
//! log and finds what does not hold. Whoever can write the log and has the key that signs it can also write everything anew. Only
//! a checkpoint that was kept elsewhere shows that.

use std::fmt;
use std::str::FromStr;

use asymmetric_token::strict_json::{self, StrictJsonError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Value};
pub use transparency_log::Hash;

pub mod canonical;
pub mod follower;
pub mod watch;

pub use follower::{Broken, Follower, Noted};

/// The names that every entry has. All others are its details.
const COMMON: [&str; 4] = ["kind", "salt", "seq", "time"];

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, counted from 1.
    pub seq: u64,
    /// When it was written by the gateway's clock, to the microsecond.
    pub time: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// What nobody can guess.
    pub salt: Salt,
    /// What else it says, depending on its kind.
    pub details: Map<String, Value>,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mutation is about to be made; its token is spent.
    Intent,
    /// The outcome of an intent.
    Outcome,
    /// A key was registered, changed or revoked.
    Key,
    /// Anything else that an administrator did.
    Admin,
    /// A version was staged by a machine, or what has become of it.
    Stage,
}

impl Entry {
    /// The entry as it is stored and hashed.
    ///
    /// # Errors
    /// [`EntryError::Number`] if the details have a number that canonical JSON does not allow, [`EntryError::Field`] if
    /// they use a name that every entry has.
    pub fn to_json(&self) -> Result<String, EntryError> {
        let mut object = self.details.clone();
        if let Some(name) = COMMON.into_iter().find(|name| object.contains_key(*name)) {
            return Err(EntryError::Field(name));
        }
        object.insert("kind".to_owned(), self.kind.as_str().into());
        object.insert("salt".to_owned(), self.salt.to_string().into());
        object.insert("seq".to_owned(), self.seq.into());
        object.insert("time".to_owned(), time_text(self.time).into());
        canonical::object(&object).map_err(EntryError::Number)
    }

    /// Reads an entry, which must be canonical JSON.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut object = canonical_object(bytes)?;
        let kind = text(&mut object, "kind")?.parse().map_err(|()| EntryError::Field("kind"))?;
        let salt = text(&mut object, "salt")?.parse().map_err(|_| EntryError::Field("salt"))?;
        let seq = object.remove("seq").and_then(|seq| seq.as_u64()).ok_or(EntryError::Field("seq"))?;
        let time = time(&text(&mut object, "time")?).ok_or(EntryError::Field("time"))?;
        Ok(Self { seq, time, kind, salt, details: object })
    }
}

impl Kind {
    /// The word for it in an entry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Key => "key",
            Self::Admin => "admin",
            Self::Stage => "stage",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Intent, Self::Outcome, Self::Key, Self::Admin, Self::Stage]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or(())
    }
}

/// Why bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It is not exactly one JSON value, or a name occurs twice.
    #[error("it is not strict JSON: {0}")]
    Json(#[from] StrictJsonError),
    /// It is not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It is not in the canonical spelling.
    #[error("it is not written in the canonical way")]
    NotCanonical,
    /// A number is not an integer, or is larger than 2^53.
    #[error(transparent)]
    Number(canonical::BadNumber),
    /// A field that every entry has is missing, or has another form.
    #[error("its `{0}` is missing or wrong")]
    Field(&'static str),
}

/// 16 random bytes. Displays as base64url without padding, 22 characters, and parses nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map(|()| Self(salt))
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for Salt {
    type Err = BadSalt;

    fn from_str(text: &str) -> Result<Self, BadSalt> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadSalt)?;
        bytes.try_into().map(Self).map_err(|_| BadSalt)
    }
}

/// The text is not a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a salt is 22 characters of base64url")]
pub struct BadSalt;

/// A place in the log and the hash of the leaf there. Displays as `SEQ:HASH`, with the hash in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The entry's number.
    pub seq: u64,
    /// The hash of its leaf.
    pub hash: Hash,
}

impl Point {
    /// Before the first entry.
    pub const START: Self = Self { seq: 0, hash: Hash::EMPTY };
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Point {
    type Err = BadPoint;

    fn from_str(text: &str) -> Result<Self, BadPoint> {
        let (seq, hash) = text.split_once(':').ok_or(BadPoint)?;
        Ok(Self { seq: seq.parse().map_err(|_| BadPoint)?, hash: hash.parse().map_err(|_| BadPoint)? })
    }
}

/// The text is not a place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place in the log is its number, a colon, and the hash of its leaf in 44 characters of base64")]
pub struct BadPoint;

/// UTC with six fractional digits: a given instant has one spelling.
fn time_text(time: Timestamp) -> String {
    DateTimePrinter::new().precision(Some(6)).timestamp_to_string(&time)
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time| time_text(*time) == text)
}

fn canonical_object(bytes: &[u8]) -> Result<Map<String, Value>, EntryError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EntryError::NotUtf8)?;
    let Value::Object(object) = strict_json::parse(text)? else { return Err(EntryError::NotAnObject) };
    if canonical::object(&object).map_err(EntryError::Number)? == text {
        Ok(object)
    } else {
        Err(EntryError::NotCanonical)
    }
}

fn text(object: &mut Map<String, Value>, name: &'static str) -> Result<String, EntryError> {
    match object.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(EntryError::Field(name)),
    }
}

#[cfg(test)]
mod tests;
