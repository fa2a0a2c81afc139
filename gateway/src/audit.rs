//! The audit log: what was done here, in an order that cannot be changed afterwards without being noticed.
//!
//! An entry is one line of canonical JSON ([`canonical`]):
//!
//! ```text
//! {"kind":"key","prev":"<64 hexadecimal digits>","seq":2,"time":"2026-11-20T12:00:00.000000Z", …}
//! ```
//!
//! `seq` counts from 1 without a gap. `prev` is the SHA-256 of the entry before, over its bytes as they are stored;
//! that of the first entry is 64 zeros. So the hash of an entry stands for every entry up to it ([`chain`]), and who
//! signs it signs them all ([`head`]). Entries are never updated: the outcome of an intent is an entry of its own,
//! which names the intent.
//!
//! The chain only shows that the entries belong together. Whoever can write the log can also cut its end off, or write
//! it anew from any place. Only a head that was kept elsewhere shows that.

use std::fmt;
use std::str::FromStr;

use asymmetric_token::Checksum;
use asymmetric_token::strict_json::{self, StrictJsonError};
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub mod canonical;
pub mod chain;
pub mod head;

pub use chain::{Broken, Chain};
pub use head::{Head, HeadError, HeadKey};

/// The names that every entry has. All others are its details.
const COMMON: [&str; 4] = ["kind", "prev", "seq", "time"];

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log, counted from 1.
    pub seq: u64,
    /// When it was written by the gateway's clock, to the microsecond.
    pub time: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// The hash of the entry before.
    pub prev: Hash,
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
        object.insert("prev".to_owned(), self.prev.to_string().into());
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
        let prev = text(&mut object, "prev")?.parse().map_err(|_| EntryError::Field("prev"))?;
        let seq = object.remove("seq").and_then(|seq| seq.as_u64()).ok_or(EntryError::Field("seq"))?;
        let time = time(&text(&mut object, "time")?).ok_or(EntryError::Field("time"))?;
        Ok(Self { seq, time, kind, prev, details: object })
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
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Intent, Self::Outcome, Self::Key, Self::Admin]
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

/// SHA-256 of an entry, 32 bytes. Displays as 64 lower-case hexadecimal digits, and parses nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry has in place of a hash of the entry before it.
    pub const NOTHING: Self = Self([0; 32]);

    /// The hash of an entry's bytes.
    #[must_use]
    pub fn of(entry: &[u8]) -> Self {
        Self(Sha256::digest(entry).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Checksum(self.0).fmt(f)
    }
}

impl FromStr for Hash {
    type Err = asymmetric_token::Error;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        hex.parse().map(|Checksum(bytes)| Self(bytes))
    }
}

/// A place in the log and the hash of the entry there. It stands for all entries up to it. Displays as `SEQ:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The entry's number.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Point {
    /// Before the first entry.
    pub const START: Self = Self { seq: 0, hash: Hash::NOTHING };
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
#[error("a place in the log is its number, a colon, and the entry's hash in 64 hexadecimal digits")]
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
