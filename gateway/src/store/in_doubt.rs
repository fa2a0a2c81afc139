//! Publishes of which it is not known what came of them: they have no outcome yet, or were not there when the index was
//! asked after an interruption, and may have come through later.

use asymmetric_token::{Checksum, CrateName, Mutation};
use semver::Version;

use super::StoreError;
use super::sql::{Sql, values};
use crate::keys::User;

/// Notes what the intent at this place is about to publish, if it is a publish.
pub(super) fn begin(
    transaction: &Sql<'_>,
    seq: i64,
    mutation: &Mutation,
    user: &User,
) -> Result<(), StoreError> {
    let Some((name, version, checksum)) = published(mutation) else { return Ok(()) };
    let insert = "INSERT INTO in_doubt (name, version, cksum, user, intent) VALUES (?, ?, ?, ?, ?)";
    let (version, checksum) = (version.to_string(), checksum.to_string());
    transaction.run(insert, values![name.as_str(), &version, &checksum, user.as_str(), seq])
}

/// Notes that it is known what came of an intent.
pub(super) fn end(transaction: &Sql<'_>, seq: i64) -> Result<(), StoreError> {
    transaction.run("DELETE FROM in_doubt WHERE intent = ?", values![seq])
}

/// Whether a user has tried to publish the same file before this place, and it is not known what came of that.
pub(super) fn is_there_before(
    sql: &Sql<'_>,
    seq: i64,
    mutation: &Mutation,
    user: &User,
) -> Result<bool, StoreError> {
    let Some((name, version, checksum)) = published(mutation) else { return Ok(false) };
    let (version, checksum) = (version.to_string(), checksum.to_string());
    sql.exists(
        "SELECT 1 FROM in_doubt WHERE name = ? AND version = ? AND cksum = ? AND user = ? AND intent < ?",
        values![name.as_str(), &version, &checksum, user.as_str(), seq],
    )
}

/// The name, version and checksum of a publish; `None` for another change.
fn published(mutation: &Mutation) -> Option<(&CrateName, &Version, &Checksum)> {
    match mutation {
        Mutation::Publish { name, version, checksum } => Some((name, version, checksum)),
        _ => None,
    }
}
