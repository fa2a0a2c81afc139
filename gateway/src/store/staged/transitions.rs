//! What becomes of staged versions without anybody deciding about them: an intent is settled, the version is published otherwise,
//! time passes.

use asymmetric_token::Mutation;
use jiff::Timestamp;

use super::super::names::{fold, without_build};
use super::super::sql::{Sql, values};
use super::super::{Store, StoreError, crates};
use super::{State, core, files, find, note};
use crate::keys::User;

/// An intent, and what came of it.
pub(in super::super) struct Settled<'a> {
    /// Its place in the audit log.
    pub(in super::super) seq: i64,
    pub(in super::super) mutation: &'a Mutation,
    pub(in super::super) user: &'a User,
    pub(in super::super) is_done: bool,
    /// Why it is not done.
    pub(in super::super) words: Option<&'a str>,
}

/// Notes for staged versions what came of a publish, in the transaction that settles it. The one that it was to approve is
/// published, or can be approved again. Others of the same version are overtaken.
pub(in super::super) fn settle(
    transaction: &Sql<'_>,
    settled: &Settled<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Mutation::Publish { name, version, .. } = settled.mutation else { return Ok(()) };
    if settled.is_done {
        return publish(
            transaction,
            settled,
            (&fold(name.as_str()), &without_build(&version.to_string())?),
            now,
        );
    }
    let back = "UPDATE staged SET words = ?, changed = ?, state = CASE WHEN EXISTS (
             SELECT 1 FROM approval WHERE approval.staged = staged.id AND void IS NULL
         ) THEN 'waiting' ELSE 'staged' END
         WHERE intent = ? AND state = 'approving' RETURNING id";
    let back =
        transaction.all(back, values![settled.words, &now.to_string(), settled.seq], |row| row.get(0))?;
    for id in back {
        let Some(staged) = find(transaction, id)? else { continue };
        // Somebody may have published it while it was not known what came of this.
        let (name, version) = (staged.name.as_str(), staged.version.to_string());
        if crates::is_published(transaction, name, &version, &core(&staged)?)? {
            end(transaction, id, State::Overtaken, settled.user, now)?;
        }
    }
    Ok(())
}

/// Whether this version was ever staged, whatever has become of that.
pub(in super::super) fn is_there(sql: &Sql<'_>, folded: &str, core: &str) -> Result<bool, StoreError> {
    sql.exists("SELECT 1 FROM staged WHERE folded = ? AND core = ? LIMIT 1", values![folded, core])
}

fn publish(
    transaction: &Sql<'_>,
    settled: &Settled<'_>,
    (folded, core): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    if !is_there(transaction, folded, core)? {
        return Ok(());
    }
    // It may have been rejected or have expired, if it was settled before as not done.
    let ended = "UPDATE staged SET state = CASE WHEN intent = ?1 THEN 'published' ELSE 'overtaken' END, words = NULL, changed = ?4
         WHERE folded = ?2 AND core = ?3
             AND (state IN ('staged', 'waiting', 'approving') OR intent = ?1 AND state <> 'published')
         RETURNING id, state";
    let ended = transaction.all(ended, values![settled.seq, folded, core, &now.to_string()], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
    })?;
    for (id, state) in ended {
        let Some(staged) = find(transaction, id)? else { continue };
        if state == State::Overtaken.as_str() {
            note(transaction, now, &state, &staged, [("user", settled.user.as_str().into())])?;
        }
        files::release(transaction, &staged.checksum.to_string())?;
    }
    Ok(())
}

/// Ends a version by a user's deed.
fn end(transaction: &Sql<'_>, id: i64, state: State, user: &User, now: Timestamp) -> Result<(), StoreError> {
    let update = "UPDATE staged SET state = ?, changed = ? WHERE id = ? AND state IN ('staged', 'waiting')";
    if transaction.execute(update, values![state.as_str(), &now.to_string(), id])? == 1
        && let Some(staged) = find(transaction, id)?
    {
        note(transaction, now, state.as_str(), &staged, [("user", user.as_str().into())])?;
        files::release(transaction, &staged.checksum.to_string())?;
    }
    Ok(())
}

impl Store {
    /// Ends what nobody has decided about in time. Returns how many versions that were.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn expire_staged(&self, now: Timestamp) -> Result<usize, StoreError> {
        let due = "SELECT id FROM staged WHERE state IN ('staged', 'waiting') AND expires <= ? LIMIT 1000";
        let due = self.reader()?.all(due, values![now.as_second()], |row| row.get::<i64>(0))?;
        if due.is_empty() {
            return Ok(0);
        }
        self.write(|transaction| {
            let mut ended = 0;
            for id in due {
                let expire = "UPDATE staged SET state = 'expired', changed = ?
                     WHERE id = ? AND state IN ('staged', 'waiting') AND expires <= ?";
                if transaction.execute(expire, values![&now.to_string(), id, now.as_second()])? == 1
                    && let Some(staged) = find(transaction, id)?
                {
                    note(transaction, now, "expired", &staged, [])?;
                    files::release(transaction, &staged.checksum.to_string())?;
                    ended += 1;
                }
            }
            Ok(ended)
        })
    }
}
