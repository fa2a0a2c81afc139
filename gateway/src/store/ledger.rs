//! What tokens were spent on. A mutation goes in three steps: [`begin`](Store::begin) uses the token up and writes down
//! what is about to be done, in one transaction; then it is done, here or at the registry behind; then
//! [`settle`](Store::settle) writes down what came of it. A crash between leaves an intent without an outcome, which is
//! settled before the next start serves anybody. If only the writing down fails, the outcome is kept in mind and is on
//! record before the next token is spent.

use std::fmt;

use asymmetric_token::{Checksum, CrateName, KeyId, Mutation};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use semver::Version;
use serde_json::{Map, Value};

use super::audit::{self, Kind};
use super::{Store, StoreError, crates, keys, parsed, time};
use crate::audit::Point;
use crate::keys::User;
use crate::policy::{self, Refusal};

/// A verified mutation token and what it is spent on. Not printable: it is not used up yet.
#[derive(Clone)]
pub struct Signed {
    /// The token as it came.
    pub token: String,
    /// The key that made it.
    pub key: KeyId,
    /// What it says.
    pub mutation: Mutation,
    /// See [`policy::single_use_key`](crate::policy::single_use_key).
    pub single_use_key: String,
    /// The challenge it answers; nothing else can answer it again.
    pub challenge: Option<String>,
    /// Until when a replay must be recognised by the single-use key, and by the challenge.
    pub kept_until: Timestamp,
    /// The server's time when it is spent. Not when it came: an upload takes its time.
    pub now: Timestamp,
}

/// A change that is on record and not yet settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its place in the audit log.
    pub seq: i64,
    /// What is to be done.
    pub mutation: Mutation,
    /// By whom.
    pub user: User,
    /// When the token was spent.
    pub time: Timestamp,
}

/// In words, for the log and for people.
impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutation = &self.mutation;
        match mutation.version() {
            Some(version) => write!(f, "the {} of {} {version}", mutation.kind(), mutation.name()),
            None => write!(f, "the {} request for {}", mutation.kind(), mutation.name()),
        }
    }
}

/// What came of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change is made.
    Done,
    /// It was refused, for this reason.
    Refused(String),
    /// It did not come about: something failed in between.
    Failed(String),
}

/// What is on record of a publish that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place of its intent in the audit log.
    pub seq: u64,
    /// When its token was spent, by the server's clock.
    pub time: Timestamp,
    /// The crate.
    pub name: String,
    /// The version.
    pub version: String,
    /// The checksum.
    pub checksum: Checksum,
    /// The key that signed.
    pub key: KeyId,
    /// Whose key it was.
    pub user: String,
    /// The token: proof for whoever has the public key. It is spent.
    pub token: String,
    /// Whether the version came into this store, and not to a registry behind. Without that word in the log, nobody knows.
    pub is_here: bool,
}

/// Why a token is not spent.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// The token may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// As many as can be remembered were spent lately. Nothing is forgotten before its time to make room.
    #[error("more changes were made lately than this registry can remember; try again tomorrow")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an attempt failed of, if it was in doubt what became of it, and it was not there when that was looked at.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What the outcome of a publish says, if the version is in this store.
pub(super) const HERE: &str = "here";

/// How many single-use keys and challenges are remembered: about 300 MB of them.
const MOST_SPENT: i64 = 1_000_000;

impl From<rusqlite::Error> for SpendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Whether a token and its challenge can still be used; asked before an upload is read. The answer that counts is
    /// given by [`begin`](Self::begin).
    pub(crate) fn is_unspent(&self, signed: &Signed) -> Result<(), SpendError> {
        is_unspent(&self.connection(), signed)
    }

    /// Uses a token up and writes down what for, durably. The key is looked at again: it may have been revoked while an
    /// upload was on its way, or have expired, or have become a read key.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::ChallengeUsed`], [`Refusal::RevokedKey`], [`Refusal::ExpiredKey`],
    /// [`Refusal::UnknownKey`], [`Refusal::Role`], [`SpendError::Full`]; nothing is written then.
    pub fn begin(&self, signed: &Signed) -> Result<Intent, SpendError> {
        let (recorded, intent) = self.write(|transaction| {
            let recorded = self.unrecorded.write(transaction, signed.now)?;
            let user = spend(transaction, signed, MOST_SPENT)?;
            let mutation = &signed.mutation;
            let fields = fields([
                ("mutation", mutation.kind().into()),
                ("name", mutation.name().as_str().into()),
                ("vers", mutation.version().map(Version::to_string).into()),
                ("cksum", mutation.checksum().map(|checksum| checksum.to_string()).into()),
                ("key", signed.key.to_string().into()),
                ("user", user.as_str().into()),
                ("token", signed.token.as_str().into()),
            ]);
            let begun = audit::append(transaction, signed.now, Kind::Intent, fields)?;
            let seq = audit::column(begun.seq)?;
            transaction.prepare_cached("INSERT INTO open_intent (seq) VALUES (?)")?.execute([seq])?;
            let intent = Intent { seq, mutation: mutation.clone(), user, time: signed.now };
            Ok::<_, SpendError>((recorded, intent))
        })?;
        self.unrecorded.forget(&recorded);
        Ok(intent)
    }

    /// Writes down what came of an intent.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is settled already; [`StoreError::Database`], and the outcome is written down later.
    pub fn settle(&self, intent: &Intent, outcome: &Outcome, now: Timestamp) -> Result<Point, StoreError> {
        let settled = self.write(|transaction| settle(transaction, intent, outcome, now));
        if !matches!(settled, Ok(_) | Err(StoreError::Damaged(_))) {
            self.unrecorded.remember(intent, outcome);
        }
        settled
    }

    /// Intents without an outcome, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn open_intents(&self) -> Result<Vec<Intent>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT audit.seq, entry FROM open_intent JOIN audit ON audit.seq = open_intent.seq ORDER BY audit.seq",
        )?;
        let rows = statement.query_map((), entry)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(|(seq, entry)| intent(seq, &entry)).collect()
    }

    /// Whether the same user tried to publish the same file before, and it was in doubt what became of it. A try that was
    /// refused made nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn was_left_in_doubt(&self, intent: &Intent) -> Result<bool, StoreError> {
        let connection = self.connection();
        let mutation = &intent.mutation;
        let mut tries = connection.prepare_cached(
            "SELECT seq FROM audit WHERE json_extract(entry, '$.name') = ? AND json_extract(entry, '$.vers') = ?
             AND json_extract(entry, '$.cksum') = ? AND json_extract(entry, '$.user') = ? AND seq < ?",
        )?;
        let tries = tries.query_map(
            (
                mutation.name().as_str(),
                mutation.version().map(Version::to_string),
                mutation.checksum().map(|checksum| checksum.to_string()),
                intent.user.as_str(),
                intent.seq,
            ),
            |row| row.get(0),
        )?;
        for seq in tries {
            if matches!(outcome(&connection, seq?)?.as_deref(), None | Some(INTERRUPTED)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is on record of accepted publishes, oldest first; all, or those of one version.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn published(&self, version: Option<(&str, &str)>) -> Result<Vec<Record>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT intent.seq, intent.entry, json_extract(outcome.entry, '$.here') IS NOT NULL FROM published
             JOIN audit AS intent ON intent.seq = published.intent
             LEFT JOIN audit AS outcome ON outcome.seq = published.outcome
             WHERE ?1 IS NULL OR (name = ?1 AND version = ?2) ORDER BY intent.seq",
        )?;
        let rows = statement
            .query_map((version.map(|v| v.0), version.map(|v| v.1)), |row| Ok((entry(row)?, row.get(2)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(|((seq, entry), is_here)| Entry::parse(&entry)?.record(seq, is_here)).collect()
    }
}

pub(super) fn settle(
    transaction: &Transaction<'_>,
    intent: &Intent,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<Point, StoreError> {
    let open = transaction.prepare_cached("DELETE FROM open_intent WHERE seq = ?")?.execute([intent.seq])?;
    if open == 0 {
        return Err(StoreError::Damaged(format!("the audit log's intent {} is not open", intent.seq)));
    }
    let (word, detail) = match outcome {
        Outcome::Done => ("done", None),
        Outcome::Refused(reason) => ("refused", Some(reason.as_str())),
        Outcome::Failed(reason) => ("failed", Some(reason.as_str())),
    };
    let here = matches!(outcome, Outcome::Done) && is_here(transaction, &intent.mutation)?;
    let fields = fields([
        ("intent", intent.seq.into()),
        ("outcome", word.into()),
        ("detail", detail.into()),
        (HERE, here.then_some(true).into()),
    ]);
    let settled = audit::append(transaction, now, Kind::Outcome, fields)?;
    if let (Outcome::Done, Mutation::Publish { name, version, .. }) = (outcome, &intent.mutation) {
        transaction
            .prepare_cached("INSERT INTO published (name, version, intent, outcome) VALUES (?, ?, ?, ?)")?
            .execute((name.as_str(), version.to_string(), intent.seq, audit::column(settled.seq)?))?;
    }
    Ok(settled)
}

/// Whether a version with this checksum was published in this store.
fn is_here(transaction: &Transaction<'_>, mutation: &Mutation) -> Result<bool, StoreError> {
    let Mutation::Publish { name, version, checksum } = mutation else { return Ok(false) };
    let line = crates::version_line(transaction, name.as_str(), &version.to_string())?;
    Ok(line.is_some_and(|(_, line)| line.cksum == checksum.to_string()))
}

fn spend(transaction: &Transaction<'_>, signed: &Signed, most: i64) -> Result<User, SpendError> {
    let key =
        keys::find(transaction, signed.key)?.ok_or_else(|| Refusal::UnknownKey(signed.key.to_string()))?;
    policy::is_good(&key, signed.now)?;
    if !key.role.may_mutate() {
        return Err(Refusal::Role { role: key.role, wanted: signed.mutation.kind() }.into());
    }
    is_unspent(transaction, signed)?;
    transaction.execute("DELETE FROM spent WHERE kept_until < ?", [signed.now.as_second()])?;
    let kept: i64 = transaction.query_row("SELECT count(*) FROM spent", (), |row| row.get(0))?;
    if kept >= most {
        return Err(SpendError::Full);
    }
    for spent in [Some(signed.single_use_key.clone()), challenge_key(signed)].into_iter().flatten() {
        transaction
            .prepare_cached("INSERT INTO spent (single_use_key, kept_until) VALUES (?, ?)")?
            .execute((spent, signed.kept_until.as_second() + 1))?;
    }
    Ok(key.user)
}

fn is_unspent(connection: &Connection, signed: &Signed) -> Result<(), SpendError> {
    let mut spent = connection.prepare_cached("SELECT 1 FROM spent WHERE single_use_key = ?")?;
    if spent.exists([&signed.single_use_key])? {
        return Err(Refusal::Replayed(signed.mutation.kind()).into());
    }
    match challenge_key(signed) {
        Some(challenge) if spent.exists([&challenge])? => Err(Refusal::ChallengeUsed.into()),
        _ => Ok(()),
    }
}

/// A challenge among the single-use keys, which are JSON.
fn challenge_key(signed: &Signed) -> Option<String> {
    signed.challenge.as_ref().map(|challenge| format!("challenge {challenge}"))
}

pub(super) fn is_open(connection: &Connection, intent: &Intent) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM open_intent WHERE seq = ?")?.exists([intent.seq])?)
}

/// What is said of the outcome of the intent at this place: empty if it is done, `None` if it has no outcome. It stands
/// somewhere behind the intent, most often not far.
fn outcome(connection: &Connection, seq: i64) -> Result<Option<String>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT coalesce(json_extract(entry, '$.detail'), '') FROM audit
             WHERE seq > ?1 AND json_extract(entry, '$.intent') = ?1 ORDER BY seq LIMIT 1",
        )?
        .query_row([seq], |row| row.get(0))
        .optional()?)
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn intent(seq: i64, entry: &str) -> Result<Intent, StoreError> {
    let entry = Entry::parse(entry)?;
    Ok(Intent {
        seq,
        mutation: entry.mutation()?,
        user: parsed(entry.text("user")?)?,
        time: time(entry.text("time")?)?,
    })
}

/// An intent as it is stored.
struct Entry(Map<String, Value>);

impl Entry {
    fn parse(json: &str) -> Result<Self, StoreError> {
        serde_json::from_str(json)
            .map(Self)
            .map_err(|error| StoreError::Damaged(format!("an entry of the audit log: {error}")))
    }

    fn text(&self, name: &str) -> Result<&str, StoreError> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.ok_or_else(|| StoreError::Damaged(format!("an entry of the audit log has no `{name}`")))
    }

    fn mutation(&self) -> Result<Mutation, StoreError> {
        let name: CrateName = parsed(self.text("name")?)?;
        let version = || parsed(self.text("vers")?);
        Ok(match self.text("mutation")? {
            "publish" => {
                Mutation::Publish { name, version: version()?, checksum: parsed(self.text("cksum")?)? }
            }
            "yank" => Mutation::Yank { name, version: version()? },
            "unyank" => Mutation::Unyank { name, version: version()? },
            "owners" => Mutation::Owners { name },
            other => return Err(StoreError::Damaged(format!("the audit log has a mutation `{other}`"))),
        })
    }

    fn record(&self, seq: i64, is_here: bool) -> Result<Record, StoreError> {
        Ok(Record {
            seq: u64::try_from(seq).unwrap_or_default(),
            time: time(self.text("time")?)?,
            name: self.text("name")?.to_owned(),
            version: self.text("vers")?.to_owned(),
            checksum: parsed(self.text("cksum")?)?,
            key: parsed(self.text("key")?)?,
            user: self.text("user")?.to_owned(),
            token: self.text("token")?.to_owned(),
            is_here,
        })
    }
}

#[cfg(test)]
mod tests {
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
            let mut connection = store.connection();
            let transaction = connection.transaction().unwrap();
            let spent = spend(&transaction, signed, 2);
            transaction.commit().unwrap();
            spent
        };
        assert!(spend(&signed("a", 0)).is_ok());
        assert!(spend(&signed("b", 5)).is_ok());
        assert!(matches!(spend(&signed("c", 9)), Err(SpendError::Full)));
        assert!(spend(&signed("c", 12)).is_ok(), "a may be forgotten now");
        assert!(matches!(spend(&signed("b", 12)), Err(SpendError::Refused(Refusal::Replayed(_)))));
    }
}
