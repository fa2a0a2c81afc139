//! The audit log's table: entries are appended and never touched again.
//!
//! An entry is one line of JSON with sorted names. Its hash is the SHA-256 of exactly the stored bytes, and every entry
//! names the hash of the one before it, so that a change anywhere shows in all that follows.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::StoreError;

/// Where an entry is, and the SHA-256 of its bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place, from 1 upward without a gap.
    pub seq: i64,
    /// Of the stored bytes.
    pub hash: String,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A token was spent; the change is about to be made.
    Intent,
    /// What came of an intent.
    Outcome,
}

/// Names before the first entry.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Appends an entry within the transaction that it tells of.
pub(super) fn append(
    transaction: &Transaction<'_>,
    time: Timestamp,
    kind: Kind,
    mut fields: Map<String, Value>,
) -> Result<Mark, StoreError> {
    let last: Option<(i64, String)> = transaction
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, prev) = last.map_or((1, GENESIS.to_owned()), |(seq, hash)| (seq + 1, hash));
    fields.insert("kind".to_owned(), kind.as_str().into());
    fields.insert("prev".to_owned(), prev.into());
    fields.insert("seq".to_owned(), seq.into());
    fields.insert("time".to_owned(), time.to_string().into());
    fields.retain(|_, value| !value.is_null());
    fields.sort_keys();
    let entry = Value::Object(fields).to_string();
    let hash: String = Sha256::digest(&entry).iter().map(|byte| format!("{byte:02x}")).collect();
    transaction
        .prepare_cached("INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)")?
        .execute((seq, &entry, &hash))?;
    Ok(Mark { seq, hash })
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
        }
    }
}
