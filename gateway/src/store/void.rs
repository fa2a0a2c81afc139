//! Approvals of staged versions that become void while they wait for others: their key was revoked, or whoever gave them may not
//! decide any more. A version without an approval is staged as if there had been none.

use jiff::Timestamp;

use super::StoreError;
use super::sql::{Sql, values};
use crate::keys::User;

/// Those that a key has signed.
pub(super) fn of_key(transaction: &Sql<'_>, key: &str, now: Timestamp) -> Result<(), StoreError> {
    let void = "UPDATE approval SET void = ? WHERE void IS NULL AND key = ?
         AND staged IN (SELECT id FROM staged WHERE state IN ('staged', 'waiting'))";
    transaction.run(void, values![&now.to_string(), key])?;
    nobody_waits_in_vain(transaction)
}

/// Those of a user.
pub(super) fn of_user(transaction: &Sql<'_>, user: &User, now: Timestamp) -> Result<(), StoreError> {
    let void =
        "UPDATE approval SET void = ? WHERE void IS NULL AND user = (SELECT id FROM user WHERE name = ?)
         AND staged IN (SELECT id FROM staged WHERE state IN ('staged', 'waiting'))";
    transaction.run(void, values![&now.to_string(), user.as_str()])?;
    nobody_waits_in_vain(transaction)
}

/// Those of a user for the crate whose folded name this is.
pub(super) fn of_approver(
    transaction: &Sql<'_>,
    folded: &str,
    user: &User,
    now: Timestamp,
) -> Result<(), StoreError> {
    let void =
        "UPDATE approval SET void = ? WHERE void IS NULL AND user = (SELECT id FROM user WHERE name = ?)
         AND staged IN (SELECT id FROM staged WHERE folded = ? AND state IN ('staged', 'waiting'))";
    transaction.run(void, values![&now.to_string(), user.as_str(), folded])?;
    nobody_waits_in_vain(transaction)
}

fn nobody_waits_in_vain(transaction: &Sql<'_>) -> Result<(), StoreError> {
    let back = "UPDATE staged SET state = 'staged' WHERE state = 'waiting'
         AND NOT EXISTS (SELECT 1 FROM approval WHERE approval.staged = staged.id AND void IS NULL)";
    transaction.run(back, values![])
}
