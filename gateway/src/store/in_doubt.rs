//! Publishes of which it is not known what came of them: they have no outcome yet, or were not there when the index was
//! asked after an interruption, and may have come through later.

use asymmetric_token::{Checksum, CrateName, Mutation};
use rusqlite::{Connection, Transaction};
use semver::Version;

use super::StoreError;
use crate::keys::User;

/// Notes what the intent at this place is about to publish, if it is a publish.
pub(super) fn begin(
    transaction: &Transaction<'_>,
    seq: i64,
    mutation: &Mutation,
    user: &User,
) -> Result<(), StoreError> {
    let Some((name, version, checksum)) = published(mutation) else { return Ok(()) };
    transaction
        .prepare_cached("INSERT INTO in_doubt (name, version, cksum, user, intent) VALUES (?, ?, ?, ?, ?)")?
        .execute((name.as_str(), version.to_string(), checksum.to_string(), user.as_str(), seq))?;
    Ok(())
}

/// Notes that it is known what came of an intent.
pub(super) fn end(transaction: &Transaction<'_>, seq: i64) -> Result<(), StoreError> {
    transaction.prepare_cached("DELETE FROM in_doubt WHERE intent = ?")?.execute([seq])?;
    Ok(())
}

/// Whether a user has tried to publish the same file before this place, and it is not known what came of that.
pub(super) fn is_there_before(
    connection: &Connection,
    seq: i64,
    mutation: &Mutation,
    user: &User,
) -> Result<bool, StoreError> {
    let Some((name, version, checksum)) = published(mutation) else { return Ok(false) };
    let mut earlier = connection.prepare_cached(
        "SELECT 1 FROM in_doubt WHERE name = ? AND version = ? AND cksum = ? AND user = ? AND intent < ?",
    )?;
    Ok(earlier.exists((name.as_str(), version.to_string(), checksum.to_string(), user.as_str(), seq))?)
}

/// The name, version and checksum of a publish; `None` for another change.
fn published(mutation: &Mutation) -> Option<(&CrateName, &Version, &Checksum)> {
    match mutation {
        Mutation::Publish { name, version, checksum } => Some((name, version, checksum)),
        _ => None,
    }
}
