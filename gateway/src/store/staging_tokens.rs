//! Staging tokens in the database, of which it knows the hashes alone.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::share::Account;
use super::spent::{self, MOST, SpendError};
use super::sql::{Row, Sql, values};
use super::{Store, StoreError, keys, parsed, publishers, users};
use crate::keys::{Role, User};
use crate::policy::{self, Refusal};
use crate::publishers::{Holder, LASTS, PublisherName, Stager, StagingToken, StagingTokenHash};

/// What is exchanged for a staging token. It is good once.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who gets it.
    pub holder: Holder,
    /// In the words of what is exchanged.
    pub identity: Map<String, Value>,
    /// By what it is remembered as used.
    pub single_use_key: String,
    /// How long that has to be remembered.
    pub kept_until: Timestamp,
    /// What it is called in a refusal.
    pub kind: &'static str,
}

/// How many that have run out are forgotten at once, when a new one is issued.
const FORGET: &str = "DELETE FROM staging_token WHERE hash IN (
     SELECT hash FROM staging_token WHERE expires < ? ORDER BY expires LIMIT 100
 )";
/// How long one that has run out is known all the same, so that it can be revoked without an error.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// Issues a staging token. Whoever gets it is looked at once more: meanwhile the publisher may have been removed, or the key
    /// revoked.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::Forgotten`], [`Refusal::NoPublisher`], [`Refusal::RevokedKey`], [`Refusal::ExpiredKey`],
    /// [`Refusal::UnknownKey`], [`Refusal::NotForStaging`]; [`SpendError::Share`], [`SpendError::Full`], [`SpendError::Store`].
    pub fn issue_staging_token(
        &self,
        exchange: &Exchange,
        now: Timestamp,
    ) -> Result<(StagingToken, Timestamp), SpendError> {
        let token = StagingToken::random().ok_or(StoreError::Random)?;
        let lasts = SignedDuration::try_from(LASTS).unwrap_or(SignedDuration::ZERO);
        let expires = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        self.write(|transaction| {
            let user = holder(transaction, &exchange.holder, now)?;
            use_once(transaction, exchange, &user, now)?;
            let old = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
            transaction.execute(FORGET, values![old.as_second()])?;
            let identity = Value::Object(exchange.identity.clone()).to_string();
            let (publisher, key) = match &exchange.holder {
                Holder::Publisher(name) => (Some(name.as_str()), None),
                Holder::Key(id) => (None, Some(id.to_string())),
            };
            transaction.execute(
                "INSERT INTO staging_token (hash, publisher, key, identity, issued, expires)
                 VALUES (?, (SELECT id FROM publisher WHERE name = ?), ?, ?, ?, ?)",
                values![
                    &token.hash().to_string(),
                    publisher,
                    key.as_deref(),
                    &identity,
                    &now.to_string(),
                    expires.as_second(),
                ],
            )?;
            Ok((token, expires))
        })
    }

    /// Who holds a staging token; `None` if it is not known, was revoked or has run out, or if its publisher, its key or the user whose
    /// rights it has are not good any more.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn stager(&self, token: &str) -> Result<Option<Stager>, StoreError> {
        let Some(hash) = StagingToken::parse(token).map(|token| token.hash()) else { return Ok(None) };
        find(&self.reader()?, hash, self.now())
    }

    /// Revokes a staging token. Returns whether it was known; one that has run out may be revoked too.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn revoke_staging_token(&self, hash: StagingTokenHash, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let revoke = "UPDATE staging_token SET revoked = coalesce(revoked, ?) WHERE hash = ?";
            Ok(transaction.execute(revoke, values![&now.to_string(), &hash.to_string()])? > 0)
        })
    }
}

/// Who holds the staging token with this hash, if it is good now.
pub(super) fn find(
    sql: &Sql<'_>,
    hash: StagingTokenHash,
    now: Timestamp,
) -> Result<Option<Stager>, StoreError> {
    let found = sql.optional(STAGER, values![&hash.to_string(), now.as_second()], |row| stager(row, hash))?;
    let Some(stager) = found else { return Ok(None) };
    match stager.holder {
        Holder::Publisher(_) => Ok(Some(stager)),
        Holder::Key(id) => {
            let key = keys::find(sql, id)?;
            let key = key.filter(|key| key.role == Role::Stage && policy::is_good(key, now).is_ok());
            Ok(key.map(|_| stager))
        }
    }
}

const STAGER: &str =
    "SELECT staging_token.identity, staging_token.expires, user.name, publisher.name, publisher.settings,
         key.id, key.crates
     FROM staging_token
     LEFT JOIN publisher ON publisher.id = staging_token.publisher
     LEFT JOIN key ON key.id = staging_token.key
     JOIN user ON user.id = coalesce(publisher.reads_as, key.user)
     WHERE staging_token.hash = ? AND staging_token.expires > ? AND staging_token.revoked IS NULL
         AND publisher.removed IS NULL AND user.removed IS NULL";

fn stager(row: &Row<'_>, token: StagingTokenHash) -> Result<Stager, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("{what} of a staging token"));
    let identity = serde_json::from_str(row.get(0)?).map_err(|_| damaged("the identity"))?;
    let (holder, crates) = match row.get::<Option<&str>>(3)? {
        Some(name) => (Holder::Publisher(parsed(name)?), publishers::settings(row.get(4)?)?.crates),
        None => (Holder::Key(parsed(row.get(5)?)?), keys::crates(row.get(6)?)?),
    };
    let expires = Timestamp::from_second(row.get(1)?).map_err(|_| damaged("the time"))?;
    Ok(Stager { token, holder, reads_as: parsed(row.get(2)?)?, crates, identity, expires })
}

/// Whose rights whoever gets a token has.
fn holder(transaction: &Sql<'_>, holder: &Holder, now: Timestamp) -> Result<User, SpendError> {
    match holder {
        Holder::Publisher(name) => publisher(transaction, name),
        Holder::Key(id) => {
            let key = keys::find(transaction, *id)?.ok_or_else(|| Refusal::UnknownKey(id.to_string()))?;
            policy::is_good(&key, now)?;
            match key.role {
                Role::Stage => Ok(key.user),
                role => Err(Refusal::NotForStaging { role }.into()),
            }
        }
    }
}

fn publisher(transaction: &Sql<'_>, name: &PublisherName) -> Result<User, SpendError> {
    let publisher = publishers::find(transaction, name)?.filter(|publisher| publisher.removed.is_none());
    let user = publisher.ok_or(Refusal::NoPublisher)?.reads_as;
    match users::present(transaction, &user) {
        Ok(()) => Ok(user),
        Err(StoreError::UserRemoved { .. } | StoreError::UserUnknown(_)) => Err(Refusal::NoPublisher.into()),
        Err(error) => Err(error.into()),
    }
}

/// Spends what is exchanged, for the user whose share of what is remembered it takes.
fn use_once(
    transaction: &Sql<'_>,
    exchange: &Exchange,
    user: &User,
    now: Timestamp,
) -> Result<(), SpendError> {
    let key = &exchange.single_use_key;
    spent::must_be_unspent(transaction, (key, exchange.kind), exchange.kept_until)?;
    let account = Account::of(transaction, user)?;
    let kept = (exchange.kept_until, now);
    spent::remember(transaction, (user, account), std::slice::from_ref(key), kept, MOST)
}
