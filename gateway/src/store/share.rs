//! How much of the table of what is spent one user may fill, with however many keys. Nobody is kept from changing anything by
//! somebody else who has spent a great deal.
//!
//! A user has an account that empties by itself: each row adds to it, and the time takes away, so that a full one is empty when
//! its rows can be forgotten. One row for each user is all that is kept, and nothing is counted. So it does not matter in which
//! order rows are forgotten, and a user who is removed and added again goes on with the same account. Of a user's rows there are
//! at most twice as many as the share: those of a full account, and those that came while it emptied.

use std::time::Duration;

use asymmetric_token::KeyId;
use jiff::Timestamp;

use super::StoreError;
use super::sql::{Row, Sql, values};
use crate::keys::User;
use crate::policy::{LONGEST_SKEW, LONGEST_WINDOW};

/// How long the longest rows are kept, in milliseconds. In this time a full account becomes empty.
const KEPT: i64 = (LONGEST_WINDOW.as_millis() + LONGEST_SKEW.as_millis()) as i64;

/// How long one of two requests at the same time may wait while the other is counted, in milliseconds.
const TOGETHER: i64 = 60_000;

/// What was in a user's account, and when, in Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    owed: i64,
    at: i64,
}

impl Account {
    /// Of a user, who has none before the first row.
    pub(super) fn of(sql: &Sql<'_>, user: &User) -> Result<Option<Self>, StoreError> {
        let account = "SELECT owed, at FROM spender JOIN user ON user.id = spender.user WHERE user.name = ?";
        sql.optional(account, values![user.as_str()], Self::read)
    }

    /// Of the user who has a key, which can be asked for before it is known who that is.
    pub(super) fn of_owner(sql: &Sql<'_>, key: KeyId) -> Result<Option<Self>, StoreError> {
        let account = "SELECT owed, at FROM key JOIN spender ON spender.user = key.user WHERE key.id = ?";
        sql.optional(account, values![&key.to_string()], Self::read)
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { owed: row.get(0)?, at: row.get(1)? })
    }
}

/// Counts what a user spends now. If the user has spent `most` rows then, nothing is counted, and it is returned how long to wait.
pub(super) fn take(
    transaction: &Sql<'_>,
    (user, account): (&User, Option<Account>),
    rows: usize,
    now: Timestamp,
    most: i64,
) -> Result<Option<Duration>, StoreError> {
    let now = now.as_millisecond();
    let Account { owed, at } = account.unwrap_or(Account { owed: 0, at: now });
    // Of two at the same time, the one that is counted first may have come last.
    let now = if at - now < TOGETHER { now.max(at) } else { now };
    // A clock that is put back takes nothing away, and adds nothing.
    let left = owed.saturating_sub(now.saturating_sub(at).max(0)).max(0);
    let owed = left.saturating_add((KEPT / most).saturating_mul(i64::try_from(rows).unwrap_or(i64::MAX)));
    if owed > KEPT {
        return Ok(Some(Duration::from_millis((owed - KEPT).unsigned_abs())));
    }
    let note = "INSERT INTO spender (user, owed, at) SELECT id, ?, ? FROM user WHERE name = ?
         ON CONFLICT (user) DO UPDATE SET owed = excluded.owed, at = excluded.at";
    transaction.run(note, values![owed, now, user.as_str()]).map(|()| None)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    const MOST: i64 = 10;
    const HOUR: i64 = 3_600;

    #[test]
    fn an_account_is_full_and_empties_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [alice, bob, carol]: [User; 3] = ["alice", "bob", "carol"].map(|name| name.parse().unwrap());
        for user in [&alice, &bob, &carol] {
            store.add_user(user, false, Timestamp::UNIX_EPOCH).unwrap();
        }
        let spend = |user: &User, rows: usize, second: i64| {
            let now = Timestamp::from_second(second).unwrap();
            store
                .write(|transaction| {
                    let account = Account::of(transaction, user)?;
                    take(transaction, (user, account), rows, now, MOST)
                })
                .unwrap()
        };
        let each = Duration::from_millis((KEPT / MOST).unsigned_abs());
        assert_eq!(each, Duration::from_secs(9_000));
        for _ in 0..4 {
            assert_eq!(spend(&alice, 2, 0), None);
        }
        assert_eq!(spend(&alice, 3, 0), Some(each), "eight of ten are there");
        assert_eq!(spend(&alice, 2, 0), None, "what was refused is not counted");
        assert_eq!(spend(&alice, 1, 1), Some(each - Duration::from_secs(1)));
        assert_eq!(spend(&bob, 10, 1), None, "of others nothing is known");
        // A clock that was ahead, or is put back, gives nothing away and takes nothing.
        assert_eq!(spend(&alice, 1, -HOUR), Some(each));
        assert_eq!(spend(&alice, 1, 9_000), None);
        assert_eq!(spend(&alice, 1, 9_000), Some(each));
        store.remove_user(&alice, Timestamp::UNIX_EPOCH).unwrap();
        store.add_user(&alice, true, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(spend(&alice, 1, 9_000), Some(each), "it is the same account");
        assert_eq!(spend(&alice, 10, 9_000 + 25 * HOUR), None, "it was empty again");
        assert_eq!(spend(&bob, 1, i64::from(i32::MAX)), None);
        assert_eq!(spend(&bob, 9, 0), None, "the clock is put back, and only what was spent counts");
        assert_eq!(spend(&bob, 1, 0), Some(each));
        // The time between two that are counted in the other order takes away once.
        assert_eq!(spend(&carol, 1, 1_000), None);
        assert_eq!(spend(&carol, 1, 970), None);
        assert_eq!(spend(&carol, 8, 1_000), None);
        assert_eq!(spend(&carol, 1, 1_000), Some(each));
    }
}
