//! What was spent: single-use keys of tokens, challenges, and nonces of enrollments. Each is remembered until whatever brings it is
//! refused for its age.

use std::time::Duration;

use asymmetric_token::{CrateName, KeyId, Mutation};
use jiff::Timestamp;

use super::StoreError;
use super::counts::{self, Counted};
use super::intent::Intent;
use super::share::{self, Account};
use super::sql::{Sql, values};
use super::staged::ApprovalError;
use crate::keys::User;
use crate::policy::Refusal;

/// A verified mutation token, and what it is spent on. It has no `Debug`, because it is not spent yet.
#[derive(Clone)]
pub struct Signed {
    /// The token as it came.
    pub token: String,
    /// The key that made it.
    pub key: KeyId,
    /// What it is for.
    pub mutation: Mutation,
    /// By what it is remembered as spent: see [`policy::single_use_key`](crate::policy::single_use_key).
    pub single_use_key: String,
    /// The challenge in it, which no other token can use again.
    pub challenge: Option<String>,
    /// How long the single-use key and the challenge have to be remembered.
    pub kept_until: Timestamp,
    /// The server's time when it is spent, which is later than when the request came.
    pub now: Timestamp,
}

/// Why a token is not spent.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// The token is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another gateway has an open change of the crate.
    #[error(
        "another gateway is working on a change of {0}; this token is not spent, so try again in a moment"
    )]
    Elsewhere(CrateName),
    /// This gateway counts as dead.
    #[error(
        "this gateway could not tell its database lately that it runs, and until it can it changes nothing; this token is not \
         spent, so try again in a moment"
    )]
    NotAlive,
    /// A staged version is not approved or rejected.
    #[error(transparent)]
    Approval(ApprovalError),
    /// As many tokens were spent lately as can be remembered. None is forgotten before its time to make room.
    #[error("there were more recent changes than this registry can remember; try again tomorrow")]
    Full,
    /// This user has spent so much lately that others would be kept from spending anything.
    #[error(
        "{user} has changed so much lately that this registry can remember no more of it: at most {most} tokens, challenges and \
         nonces of one user within 25 hours; this token is not spent, so try again in {} s", .wait.as_secs() + 1
    )]
    Share {
        /// The user, with all their keys.
        user: User,
        /// The share of one user.
        most: i64,
        /// When there is room for this one.
        wait: Duration,
    },
    /// It is not known whether the token is spent. If it is, this intent is on record, with an outcome if it is of a change here.
    #[error("{source}")]
    InDoubt {
        /// What may have been begun.
        intent: Box<Intent>,
        /// Why it is not known.
        source: StoreError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SpendError {
    /// Whether the same may be tried again in a moment, because only the store's gateways keep it from being begun.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Elsewhere(_) | Self::NotAlive)
    }
}

/// The most single-use keys, challenges and nonces that are remembered. They take about 300 MB.
pub(super) const MOST: Most = Most { of_all: 1_000_000, of_one: 20_000 };

/// How much is remembered as spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// In the whole table.
    pub(super) of_all: i64,
    /// The [share](share) of one user.
    pub(super) of_one: i64,
}

/// Forgets what was spent so long ago that its token is refused for its age. It is bounded, so that nobody has to wait
/// for all that a busy hour left behind; each change remembers two rows at most.
const FORGET_SPENT: &str = "DELETE FROM spent WHERE single_use_key IN (
         SELECT single_use_key FROM spent WHERE kept_until < ? ORDER BY kept_until LIMIT 1000
     ) RETURNING kept_until";

/// Spends a token and its challenge for a user.
///
/// # Errors
/// As [`remember`].
pub(super) fn spend(
    transaction: &Sql<'_>,
    user: &User,
    signed: &Signed,
    most: Most,
) -> Result<(), SpendError> {
    let account = Account::of_owner(transaction, signed.key)?;
    let spent: Vec<_> =
        [Some(signed.single_use_key.clone()), challenge_key(signed)].into_iter().flatten().collect();
    remember(transaction, (user, account), &spent, (signed.kept_until, signed.now), most)
}

/// Remembers what a user with this account spends now, until its token is refused for its age, and forgets some of what is too old
/// already.
///
/// # Errors
/// [`SpendError::Share`], [`SpendError::Full`] if this many are remembered; [`SpendError::Store`].
pub(super) fn remember(
    transaction: &Sql<'_>,
    (user, account): (&User, Option<Account>),
    spent: &[String],
    (kept_until, now): (Timestamp, Timestamp),
    most: Most,
) -> Result<(), SpendError> {
    if let Some(wait) = share::take(transaction, (user, account), spent.len(), now, most.of_one)? {
        return Err(SpendError::Share { user: user.clone(), most: most.of_one, wait });
    }
    let forgotten = make_room(transaction, now, most)?;
    let mut new = 0;
    for spent in spent {
        transaction.run(
            "INSERT INTO spent (single_use_key, kept_until) VALUES (?, ?)",
            values![spent, kept_until.as_second() + 1],
        )?;
        new += 1;
    }
    Ok(counts::add(transaction, Counted::Spent, new - forgotten)?)
}

/// Makes room for what is spent now. Returns how much is forgotten for it.
///
/// # Errors
/// [`SpendError::Full`], [`SpendError::Store`].
pub(super) fn make_room(transaction: &Sql<'_>, now: Timestamp, most: Most) -> Result<i64, SpendError> {
    let forgotten = forget_spent(transaction, now)?;
    if counts::number(transaction, Counted::Spent)? - forgotten >= most.of_all {
        return Err(SpendError::Full);
    }
    Ok(forgotten)
}

/// Forgets what is too old by now, and notes up to where: the clock may be put back. Returns how much that was.
fn forget_spent(transaction: &Sql<'_>, now: Timestamp) -> Result<i64, StoreError> {
    let old = "SELECT 1 FROM spent WHERE kept_until < ? LIMIT 1";
    if !transaction.exists(old, values![now.as_second()])? {
        return Ok(0);
    }
    let forgotten = transaction.all(FORGET_SPENT, values![now.as_second()], |row| row.get::<i64>(0))?;
    if let Some(until) = forgotten.iter().max() {
        transaction.run(
            "INSERT INTO forgotten (of, until) VALUES ('spent', ?1)
             ON CONFLICT (of) DO UPDATE SET until = excluded.until WHERE forgotten.until < excluded.until",
            values![*until],
        )?;
    }
    Ok(i64::try_from(forgotten.len()).unwrap_or_default())
}

/// Of what was to be kept until then, in Unix seconds, or not so long, some is forgotten.
pub(super) fn forgotten_until(sql: &Sql<'_>) -> Result<i64, StoreError> {
    let until = "SELECT until FROM forgotten WHERE of = 'spent'";
    Ok(sql.optional(until, values![], |row| row.get(0))?.unwrap_or(i64::MIN))
}

/// Whether a token and its challenge may be spent.
///
/// # Errors
/// [`Refusal::Forgotten`], [`Refusal::Replayed`], [`Refusal::ChallengeUsed`].
pub(super) fn is_unspent(sql: &Sql<'_>, signed: &Signed) -> Result<(), SpendError> {
    must_be_unspent(sql, (&signed.single_use_key, signed.mutation.kind()), signed.kept_until)?;
    match challenge_key(signed) {
        Some(challenge) if is_spent(sql, &challenge)? => Err(Refusal::ChallengeUsed.into()),
        _ => Ok(()),
    }
}

/// The same for a token of this kind that answers no challenge, by its single-use key.
///
/// # Errors
/// [`Refusal::Forgotten`], [`Refusal::Replayed`].
pub(super) fn must_be_unspent(
    sql: &Sql<'_>,
    (single_use_key, kind): (&str, &'static str),
    kept_until: Timestamp,
) -> Result<(), SpendError> {
    if kept_until.as_second() < forgotten_until(sql)? {
        return Err(Refusal::Forgotten.into());
    }
    if is_spent(sql, single_use_key)? { Err(Refusal::Replayed(kind).into()) } else { Ok(()) }
}

/// Whether something is remembered as used, by its single-use key.
pub(super) fn is_spent(sql: &Sql<'_>, key: &str) -> Result<bool, StoreError> {
    sql.exists("SELECT 1 FROM spent WHERE single_use_key = ?", values![key])
}

/// What a used challenge is remembered by. It cannot be confused with a single-use key, which is JSON.
fn challenge_key(signed: &Signed) -> Option<String> {
    signed.challenge.as_ref().map(|challenge| format!("challenge {challenge}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Store, ledger};
    use super::*;
    use crate::keys::{NewKey, Role};

    /// The bound is an argument here: a million rows take a while.
    #[test]
    fn a_full_table_fails_closed_until_what_it_holds_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let secret = p384::ecdsa::SigningKey::from_slice(&[1; 48]).unwrap();
        let point = secret.verifying_key().to_sec1_point(true);
        let public = asymmetric_token::PublicKey::from_sec1(point.as_bytes()).unwrap();
        let new = NewKey {
            public,
            user: "alice".parse().unwrap(),
            role: Role::Both,
            label: None,
            subject: None,
            expires: None,
        };
        store.add_key(new, Timestamp::UNIX_EPOCH).unwrap();
        let signed = |text: &str, second: i64| Signed {
            token: String::new(),
            key: public.id(),
            mutation: Mutation::Owners { name: "hello".parse().unwrap() },
            single_use_key: text.to_owned(),
            challenge: None,
            kept_until: Timestamp::from_second(second + 10).unwrap(),
            now: Timestamp::from_second(second).unwrap(),
        };
        let spend = |signed: &Signed| {
            store.write(|transaction| ledger::spend(transaction, signed, Most { of_all: 2, of_one: 1_000 }))
        };
        assert!(spend(&signed("a", 0)).is_ok());
        assert!(spend(&signed("b", 5)).is_ok());
        assert!(matches!(spend(&signed("c", 9)), Err(SpendError::Full)));
        assert!(spend(&signed("c", 12)).is_ok(), "a may be forgotten now");
        assert!(matches!(spend(&signed("b", 12)), Err(SpendError::Refused(Refusal::Replayed(_)))));
        let kept = || counts::number(&store.reader().unwrap(), Counted::Spent).unwrap();
        assert_eq!(kept(), 2);
        assert!(spend(&signed("d", 30)).is_ok());
        assert_eq!(kept(), 1, "b and c are too old");
        // The clock was ahead, and is put back.
        for used in [signed("b", 5), signed("c", 12)] {
            assert!(matches!(spend(&used), Err(SpendError::Refused(Refusal::Forgotten))));
        }
        assert!(spend(&signed("e", 13)).is_ok(), "it is newer than all that was forgotten");
    }

    /// Whoever comes first after a busy hour does not have to forget all of it.
    #[test]
    fn what_is_too_old_is_forgotten_by_and_by() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let forgotten = store.write(|transaction| {
            let insert = "INSERT INTO spent (single_use_key, kept_until) VALUES (?, 0)";
            for n in 0..1_500 {
                transaction.execute(insert, values![&n.to_string()])?;
            }
            let now = Timestamp::from_second(1).unwrap();
            Ok::<_, StoreError>([(); 3].map(|()| forget_spent(transaction, now).unwrap()))
        });
        assert_eq!(forgotten.unwrap(), [1_000, 500, 0]);
    }
}
