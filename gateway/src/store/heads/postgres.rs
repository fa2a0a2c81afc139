//! Heads in a PostgreSQL. Several gateways may sign for the same entry; the head that comes first counts.

use asymmetric_token::PublicKey;

use super::super::sql::{Sql, values};
use super::super::{Store, StoreError, audit};
use crate::audit::{Head, HeadKey, Point};

/// Among the secrets, the key that signs heads (PKCS#8, DER).
pub(super) const KEY: &str = "head key";

/// # Errors
/// [`StoreError::Restored`] if the log has lost the entry since it was looked at, and an administrator has accepted that.
pub(super) fn append(store: &Store, point: Point, line: &str) -> Result<(), StoreError> {
    let seq = audit::column(point.seq)?;
    let insert = "INSERT INTO head (seq, line) VALUES (?, ?) ON CONFLICT DO NOTHING";
    store.write(|transaction| {
        if audit::at(transaction, point.seq)? != Some(point) {
            return Err(StoreError::Restored { lost: point });
        }
        transaction.execute(insert, values![seq, line]).map(drop)
    })?;
    store.saw(point)
}

/// The last head: the entry that it is of, and its line.
pub(super) fn last(store: &Store) -> Result<Option<(i64, String)>, StoreError> {
    let last = "SELECT seq, line FROM head ORDER BY seq DESC LIMIT 1";
    store.reader()?.optional(last, values![], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The first head that covers an entry: the entry that it is of, and its line.
pub(super) fn after(store: &Store, seq: i64) -> Result<Option<(i64, String)>, StoreError> {
    let after = "SELECT seq, line FROM head WHERE seq >= ? ORDER BY seq LIMIT 1";
    store.reader()?.optional(after, values![seq], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// All lines, oldest first.
pub(super) fn lines(store: &Store) -> Result<Vec<String>, StoreError> {
    store.reader()?.all("SELECT line FROM head ORDER BY seq", values![], |row| row.get(0))
}

pub(super) fn existing_key(store: &Store) -> Result<Option<HeadKey>, StoreError> {
    store.secret(KEY)?.map(|der| read(&der)).transpose()
}

/// The key of this store. It is made if there is none.
pub(super) fn key(store: &Store) -> Result<HeadKey, StoreError> {
    if let Some(key) = existing_key(store)? {
        return Ok(key);
    }
    let der = HeadKey::generate().map_err(|error| StoreError::HeadKey(error.to_string()))?;
    read(&store.keep_secret(KEY, &der)?)
}

/// The public half of the key: what the last head names. Who verifies the log needs no key file for it.
pub(super) fn public_key(store: &Store) -> Result<Option<PublicKey>, StoreError> {
    let Some((_, line)) = last(store)? else { return Ok(None) };
    Head::parse(&line).map(|head| Some(head.key)).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// Keeps the heads of another store, and their key.
pub(super) fn take(
    store: &Store,
    transaction: &Sql<'_>,
    lines: &[String],
    key: Option<&[u8]>,
) -> Result<(), StoreError> {
    for line in lines {
        let head = Head::parse(line).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let insert = "INSERT INTO head (seq, line) VALUES (?, ?)";
        transaction.execute(insert, values![audit::column(head.point.seq)?, line])?;
    }
    key.map_or(Ok(()), |key| store.insert_secret(transaction, KEY, key))
}

fn read(der: &[u8]) -> Result<HeadKey, StoreError> {
    HeadKey::from_pkcs8(der).map_err(|error| StoreError::HeadKey(error.to_string()))
}
