//! The audit log in the database. Entries are appended, and never changed. Their form is in [`crate::audit`].

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::sql::{Engine, Row, Sql, accepted, values};
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

/// Appends an entry in the transaction that it is about, and returns its place and hash. Fields that are null are left
/// out.
pub(super) fn append(
    transaction: &Sql<'_>,
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
    let insert = "INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)";
    transaction.execute(insert, values![column(seq)?, &entry, &hash.to_string()])?;
    transaction.append(Point { seq, hash });
    Ok(Point { seq, hash })
}

/// Appends an entry about what was done to a user: by an administrator, or with an invite of theirs.
pub(super) fn note(
    transaction: &Sql<'_>,
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
    /// Writes down that an administrator knows that the log has lost its end, and goes on nevertheless. Returns where the log
    /// ended. If that was written down before, nothing is.
    ///
    /// # Errors
    /// [`StoreError::NotLost`] if the log has the entry; [`StoreError::NoLoss`] if the store is in a folder.
    pub fn accept_restore(&self, lost: Point, now: Timestamp) -> Result<Point, StoreError> {
        self.write(|transaction| {
            if !transaction.is_postgres() {
                return Err(StoreError::NoLoss);
            }
            if at(transaction, lost.seq)? == Some(lost) {
                return Err(StoreError::NotLost { last: lost });
            }
            let found = last(transaction)?;
            if accepted(transaction, lost)?.is_none() {
                let (lost, found) = (lost.to_string(), found.to_string());
                let fields = [("action", "accept-restore"), ("lost", &lost), ("found", &found)];
                let fields = fields.map(|(name, value)| (name.to_owned(), Value::from(value)));
                append(transaction, now, Kind::Admin, Map::from_iter(fields))?;
            }
            Ok(found)
        })
    }

    /// Whether whoever has this store open can do more to the log than add to it. In a folder everybody can who can write there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn can_change_log(&self) -> Result<bool, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(true),
            Engine::Postgres(postgres) => postgres.can_change_log(),
        }
    }

    /// The last entry's place and hash.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn audit_end(&self) -> Result<Point, StoreError> {
        last(&self.reader()?)
    }

    /// The place and hash of one entry, if it is there.
    pub(super) fn audit_point(&self, seq: u64) -> Result<Option<Point>, StoreError> {
        at(&self.reader()?, seq)
    }

    /// The entries from one to another, both included, as they are stored.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn audit_entries(&self, from: u64, to: u64) -> Result<Vec<String>, StoreError> {
        let entries = "SELECT entry FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq";
        self.reader()?.all(entries, values![column(from)?, column(to)?], |row| row.get(0))
    }

    /// Follows the whole log, compares it with heads of it, and returns its end.
    ///
    /// # Errors
    /// [`AuditError::Broken`] with the first thing that does not hold; [`AuditError::Store`].
    pub fn verify_audit(&self, heads: &[Point]) -> Result<Point, AuditError> {
        let mut heads = heads.to_vec();
        heads.sort_by_key(|head| head.seq);
        let mut heads = heads.into_iter().peekable();
        let mut chain = Chain::new();
        let reader = self.reader()?;
        reader.moment()?.each("SELECT seq, entry, hash FROM audit ORDER BY seq", values![], |row| {
            // Text that is not a hash cannot be the hash of this entry.
            let noted = std::str::from_utf8(row.raw_text(2)).ok().and_then(|hash| hash.parse().ok());
            let seq = u64::try_from(row.get::<i64>(0)?).unwrap_or_default();
            chain.follow(seq, row.raw_text(1), Some(noted.unwrap_or(Hash::NOTHING)))?;
            while let Some(head) = heads.next_if(|head| head.seq <= seq) {
                chain.passes(head)?;
            }
            Ok::<_, AuditError>(())
        })?;
        heads.try_for_each(|head| chain.reached(head))?;
        Ok(chain.last())
    }
}

fn last(sql: &Sql<'_>) -> Result<Point, StoreError> {
    let last = "SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit)";
    Ok(sql.optional(last, values![], point)?.unwrap_or(Point::START))
}

/// The place and hash of one entry, if it is there.
pub(super) fn at(sql: &Sql<'_>, seq: u64) -> Result<Option<Point>, StoreError> {
    sql.optional("SELECT seq, hash FROM audit WHERE seq = ?", values![column(seq)?], point)
}

/// Reads the place and the hash of an entry.
fn point(row: &Row<'_>) -> Result<Point, StoreError> {
    let seq: i64 = row.get(0)?;
    let seq = u64::try_from(seq).map_err(|_| StoreError::Damaged(format!("entry {seq} of the audit log")))?;
    Ok(Point { seq, hash: parsed(row.get(1)?)? })
}

/// The integers of a database are signed.
pub(super) fn column(seq: u64) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::Damaged(format!("entry {seq} of the audit log")))
}
