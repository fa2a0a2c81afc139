//! Publishes of which it is not known what came of them: they have no outcome yet, or were not there when the index was
//! asked after an interruption, and may have come through later.

use asymmetric_token::{Checksum, CrateName, Mutation};
use rusqlite::Transaction;
use semver::Version;

use super::ledger::Intent;
use super::{Store, StoreError};

/// The name, version and checksum of a publish; `None` for another change.
fn published(mutation: &Mutation) -> Option<(&CrateName, &Version, &Checksum)> {
    match mutation {
        Mutation::Publish { name, version, checksum } => Some((name, version, checksum)),
        _ => None,
    }
}

/// Notes what is about to be published.
pub(super) fn begin(transaction: &Transaction<'_>, intent: &Intent) -> Result<(), StoreError> {
    let Some((name, version, checksum)) = published(&intent.mutation) else { return Ok(()) };
    transaction
        .prepare_cached("INSERT INTO in_doubt (name, version, cksum, user, intent) VALUES (?, ?, ?, ?, ?)")?
        .execute((
            name.as_str(),
            version.to_string(),
            checksum.to_string(),
            intent.user.as_str(),
            intent.seq,
        ))?;
    Ok(())
}

/// Notes that it is known what came of an intent.
pub(super) fn end(transaction: &Transaction<'_>, intent: &Intent) -> Result<(), StoreError> {
    transaction.prepare_cached("DELETE FROM in_doubt WHERE intent = ?")?.execute([intent.seq])?;
    Ok(())
}

impl Store {
    /// Whether an earlier attempt of the same user to publish the same file has no known outcome. An attempt that was
    /// refused does not count.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn was_left_in_doubt(&self, intent: &Intent) -> Result<bool, StoreError> {
        let Some((name, version, checksum)) = published(&intent.mutation) else { return Ok(false) };
        let reader = self.reader();
        let mut earlier = reader.prepare_cached(
            "SELECT 1 FROM in_doubt WHERE name = ? AND version = ? AND cksum = ? AND user = ? AND intent < ?",
        )?;
        let (version, checksum) = (version.to_string(), checksum.to_string());
        Ok(earlier.exists((name.as_str(), version, checksum, intent.user.as_str(), intent.seq))?)
    }
}
