//! Heads in a PostgreSQL. Several gateways may sign for the same entry; the head that comes first counts.

use super::super::sql::values;
use super::super::{Store, StoreError};
use crate::audit::HeadKey;

/// Among the secrets, the key that signs heads (PKCS#8, DER).
const KEY: &str = "head key";

pub(super) fn append(store: &Store, seq: i64, line: &str) -> Result<(), StoreError> {
    let insert = "INSERT INTO head (seq, line) VALUES (?, ?) ON CONFLICT DO NOTHING";
    store.write(|transaction| transaction.execute(insert, values![seq, line]).map(drop))
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
    let key = "SELECT bytes FROM secret WHERE name = ?";
    store.reader()?.optional(key, values![KEY], |row| {
        let der = zeroize::Zeroizing::new(row.get::<Vec<u8>>(0)?);
        HeadKey::from_pkcs8(&der).map_err(|error| StoreError::HeadKey(error.to_string()))
    })
}

/// The key of this store. It is made if there is none.
pub(super) fn key(store: &Store) -> Result<HeadKey, StoreError> {
    let der = HeadKey::generate().map_err(|error| StoreError::HeadKey(error.to_string()))?;
    let insert = "INSERT INTO secret (name, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING";
    store.write(|transaction| transaction.execute(insert, values![KEY, der.as_slice()]).map(drop))?;
    existing_key(store)?.ok_or(StoreError::HeadKeyLost)
}
