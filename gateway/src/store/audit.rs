//! The audit log in the database. Entries are appended, and never changed. Their form is in [`crate::audit`].

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::log_end::End;
pub(super) use super::log_end::column;
use super::sql::{Engine, Row, Sql, values};
use super::{Store, StoreError, parsed};
use crate::audit::{Entry, Hash, Point, Salt};
use crate::keys::User;

pub(super) use crate::audit::Kind;

/// Appends an entry in the transaction that it is about, and returns its place and hash. Fields that are null are left
/// out.
///
/// # Errors
/// [`StoreError::Entry`] if it has more than 65,535 bytes; [`StoreError::Random`], [`StoreError::Database`].
pub(super) fn append(
    transaction: &Sql<'_>,
    time: Timestamp,
    kind: Kind,
    mut fields: Map<String, Value>,
) -> Result<Point, StoreError> {
    fields.retain(|_, value| !value.is_null());
    let mut end = End::read(transaction)?;
    let seq = end.tree.size() + 1;
    let salt = Salt::new().map_err(|_| StoreError::Random)?;
    let entry = Entry { seq, time, kind, salt, details: fields };
    let entry = entry.to_json().map_err(|error| StoreError::Entry(error.to_string()))?;
    let hash = Hash::leaf(entry.as_bytes()).map_err(|error| StoreError::Entry(error.to_string()))?;
    let insert = "INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)";
    transaction.run(insert, values![column(seq)?, &entry, &hash.to_string()])?;
    end.grow(transaction, hash)?;
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

    /// The entries from one to another, both included, as they are stored.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn audit_entries(&self, from: u64, to: u64) -> Result<Vec<String>, StoreError> {
        let entries = "SELECT entry FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq";
        self.reader()?.all(entries, values![column(from)?, column(to)?], |row| row.get(0))
    }
}

/// The last entry's place and hash.
pub(super) fn last(sql: &Sql<'_>) -> Result<Point, StoreError> {
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
