//! Approvals of staged versions that become void while they wait for others: their key was revoked, or whoever gave them may not
//! decide any more. A version without an approval is staged as if there had been none. Likewise what was staged by a machine that may
//! not stage any more: that is rejected, so that nobody approves it by mistake.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::audit::{self, Kind};
use super::sql::{Sql, values};
use super::{StoreError, gateways};
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

/// Rejects what this publisher or key has staged, but for what is being published. Returns how many versions that were.
pub(super) fn of_stager(transaction: &Sql<'_>, stager: &str, now: Timestamp) -> Result<usize, StoreError> {
    let reject = "UPDATE staged SET state = 'rejected', changed = ?, words = NULL
         WHERE stager = ? AND state IN ('staged', 'waiting') RETURNING id, name, version, cksum";
    let mut rejected = transaction.all(reject, values![&now.to_string(), stager], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<String>(2)?, row.get::<String>(3)?))
    })?;
    rejected.sort_unstable();
    for (stage, name, version, checksum) in &rejected {
        let fields: [(&str, Value); 6] = [
            ("action", "rejected".into()),
            ("stage", (*stage).into()),
            ("name", name.as_str().into()),
            ("vers", version.as_str().into()),
            ("cksum", checksum.as_str().into()),
            ("reason", format!("{stager} may not stage any more").into()),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        audit::append(transaction, now, Kind::Stage, Map::from_iter(fields))?;
        if transaction.is_postgres() {
            gateways::remove_pieces(transaction, checksum)?;
        }
    }
    Ok(rejected.len())
}
