//! The audit log in the database. Entries are appended, and never changed. Their form is in [`crate::audit`].

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use serde_json::{Map, Value};

use super::{Store, StoreError, parsed};
use crate::audit::{Broken, Chain, Entry, Hash, Point};
use crate::keys::User;

pub(super) use crate::audit::Kind;

/// Why the log is not verified.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It was changed.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AuditError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Appends an entry in the transaction that it is about, and returns its place and hash. Fields that are null are left
/// out.
pub(super) fn append(
    transaction: &Transaction<'_>,
    time: Timestamp,
    kind: Kind,
    mut fields: Map<String, Value>,
) -> Result<Point, StoreError> {
    let last = last(transaction)?;
    fields.retain(|_, value| !value.is_null());
    let seq = last.seq + 1;
    let entry = Entry { seq, time, kind, prev: last.hash, details: fields };
    let entry = entry.to_json().map_err(|error| StoreError::Entry(error.to_string()))?;
    let hash = Hash::of(entry.as_bytes());
    transaction.prepare_cached("INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)")?.execute((
        column(seq)?,
        &entry,
        hash.to_string(),
    ))?;
    Ok(Point { seq, hash })
}

/// Appends an entry about what was done to a user: by an administrator, or with an invite of theirs.
pub(super) fn note(
    transaction: &Transaction<'_>,
    time: Timestamp,
    action: &str,
    user: &User,
    more: &[(&str, String)],
) -> Result<(), StoreError> {
    let named = |(name, value): (&str, &str)| (name.to_owned(), Value::from(value));
    let mut fields = Map::from_iter([("action", action), ("user", user.as_str())].map(named));
    fields.extend(more.iter().map(|(name, value)| named((name, value))));
    append(transaction, time, Kind::Admin, fields).map(drop)
}

impl Store {
    /// The last entry's place and hash.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn audit_end(&self) -> Result<Point, StoreError> {
        last(&self.reader())
    }

    /// The place and hash of one entry, if it is there.
    pub(super) fn audit_point(&self, seq: u64) -> Result<Option<Point>, StoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached("SELECT seq, hash FROM audit WHERE seq = ?")?;
        statement.query_row([column(seq)?], columns).optional()?.map(point).transpose()
    }

    /// The entries from one to another, both included, as they are stored.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn audit_entries(&self, from: u64, to: u64) -> Result<Vec<String>, StoreError> {
        let reader = self.reader();
        let mut statement =
            reader.prepare_cached("SELECT entry FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq")?;
        let entries = statement.query_map([column(from)?, column(to)?], |row| row.get(0))?;
        Ok(entries.collect::<Result<_, _>>()?)
    }

    /// Follows the whole log, compares it with heads of it, and returns its end.
    ///
    /// # Errors
    /// [`AuditError::Broken`] with the first thing that does not hold; [`AuditError::Store`].
    pub fn verify_audit(&self, heads: &[Point]) -> Result<Point, AuditError> {
        let reader = self.reader();
        let mut statement = reader.prepare("SELECT seq, entry, hash FROM audit ORDER BY seq")?;
        let mut rows = statement.query(())?;
        let mut heads = heads.to_vec();
        heads.sort_by_key(|head| head.seq);
        let mut heads = heads.into_iter().peekable();
        let mut chain = Chain::new();
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            let text = |column| row.get_ref(column).map(|value| value.as_bytes().unwrap_or_default());
            // Text that is not a hash cannot be the hash of this entry.
            let noted = std::str::from_utf8(text(2)?).ok().and_then(|hash| hash.parse().ok());
            let seq = u64::try_from(seq).unwrap_or_default();
            chain.follow(seq, text(1)?, Some(noted.unwrap_or(Hash::NOTHING)))?;
            while let Some(head) = heads.next_if(|head| head.seq <= seq) {
                chain.passes(head)?;
            }
        }
        heads.try_for_each(|head| chain.reached(head))?;
        Ok(chain.last())
    }
}

fn last(connection: &Connection) -> Result<Point, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit)")?;
    statement.query_row((), columns).optional()?.map_or(Ok(Point::START), point)
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn point((seq, hash): (i64, String)) -> Result<Point, StoreError> {
    let seq = u64::try_from(seq).map_err(|_| StoreError::Damaged(format!("entry {seq} of the audit log")))?;
    Ok(Point { seq, hash: parsed(&hash)? })
}

/// SQLite's integers are signed.
pub(super) fn column(seq: u64) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::Damaged(format!("entry {seq} of the audit log")))
}
