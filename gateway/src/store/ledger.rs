//! What tokens were spent on. A mutation takes three steps. [`begin`](Store::begin) spends the token and writes down
//! what is about to be done, in one transaction. Then it is done. Then [`settle`](Store::settle) writes down the outcome;
//! what is done in this store is done in the same transaction. A crash in between leaves an intent without an outcome, which
//! is settled after the next start, before that crate is changed again. If only the last write fails, the outcome is kept
//! in memory, and is written before the next token is spent.

use std::fmt;

use asymmetric_token::{Checksum, CrateName, KeyId, Mutation};
use jiff::Timestamp;
use semver::Version;
use serde_json::{Map, Value};

use super::audit::{self, Kind};
use super::counts::{self, Counted};
use super::sql::{Row, Sql, values};
use super::{Store, StoreError, crates, in_doubt, keys, parsed, time};
use crate::audit::{Hash, Point};
use crate::keys::User;
use crate::policy::{self, Refusal};

/// A verified mutation token, and what it is spent on. It has no `Debug`, because it is not spent yet.
#[derive(Clone)]
pub struct Signed {
    /// The token as it came.
    pub token: String,
    /// The key that made it.
    pub key: KeyId,
    /// What it is for.
    pub mutation: Mutation,
    /// By what it is remembered as spent: see [`policy::single_use_key`].
    pub single_use_key: String,
    /// The challenge in it, which no other token can use again.
    pub challenge: Option<String>,
    /// How long the single-use key and the challenge have to be remembered.
    pub kept_until: Timestamp,
    /// The server's time when it is spent, which is later than when the request came.
    pub now: Timestamp,
}

/// A change that is on record and not yet settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its place in the audit log.
    pub seq: i64,
    /// The hash of its entry. A log that has lost its end may have another entry at the same place.
    pub hash: Hash,
    /// What is about to be done.
    pub mutation: Mutation,
    /// Who wants it done.
    pub user: User,
    /// When the token was spent.
    pub time: Timestamp,
}

/// The change in words, for the log and for people.
impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutation = &self.mutation;
        match mutation.version() {
            Some(version) => write!(f, "the {} of {} {version}", mutation.kind(), mutation.name()),
            None => write!(f, "the {} request for {}", mutation.kind(), mutation.name()),
        }
    }
}

/// The outcome of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change is made.
    Done,
    /// The change was refused for this reason.
    Refused(String),
    /// The change was not made, because something failed.
    Failed(String),
}

/// The record of a publish that was accepted.
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
    /// The user the key belonged to.
    pub user: String,
    /// The token, which is spent. It is a proof for everybody who has the public key.
    pub token: String,
    /// Whether the version came into this store, and not to a registry behind. Without that word in the log, nobody knows.
    pub is_here: bool,
}

/// Why a token is not spent.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    /// The token is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another gateway has an open change of the crate.
    #[error(
        "another gateway is at work on a change of {0}; this token is not spent, so try again in a moment"
    )]
    Elsewhere(CrateName),
    /// This gateway counts as dead.
    #[error(
        "this gateway could not tell its database lately that it runs, and until it can it changes nothing; this token is not \
         spent, so try again in a moment"
    )]
    NotAlive,
    /// As many tokens were spent lately as can be remembered. None is forgotten before its time to make room.
    #[error("more changes were made lately than this registry can remember; try again tomorrow")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The recorded reason of an attempt whose outcome was not known, and whose change was not there when the index was
/// asked.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What the outcome of a publish says, if the version is in this store.
pub(super) const HERE: &str = "here";

/// What an outcome says that came after the intent was settled.
pub(super) const LATE: &str = "late";

/// The most single-use keys, challenges and nonces that are remembered. They take about 300 MB.
pub(super) const MOST_SPENT: i64 = 1_000_000;

/// Forgets what was spent so long ago that its token is refused for its age. It is bounded, so that nobody has to wait
/// for all that a busy hour left behind; each change remembers two rows at most.
const FORGET_SPENT: &str = "DELETE FROM spent WHERE single_use_key IN (
         SELECT single_use_key FROM spent WHERE kept_until < ? ORDER BY kept_until LIMIT 1000
     ) RETURNING kept_until";

/// The entries of a published version: of the intent, and of its outcome.
const OF_PUBLISHED: &str = "SELECT published.intent, intent.entry, outcome.entry FROM published
     JOIN audit AS intent ON intent.seq = published.intent
     LEFT JOIN audit AS outcome ON outcome.seq = published.outcome";

impl Store {
    /// Checks that a token and its challenge are unspent, before an upload is read. The check that counts is made by
    /// [`begin`](Self::begin).
    pub(crate) fn is_unspent(&self, signed: &Signed) -> Result<(), SpendError> {
        is_unspent(&self.reader()?, signed)
    }

    /// Spends a token, and writes down durably what for. The key is checked again: while an upload was received it may
    /// have been revoked, have expired, or have become a read key.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::ChallengeUsed`], [`Refusal::RevokedKey`], [`Refusal::ExpiredKey`],
    /// [`Refusal::UnknownKey`], [`Refusal::Role`], [`SpendError::Full`], [`SpendError::NotAlive`]; nothing is written then.
    pub fn begin(&self, signed: &Signed) -> Result<Intent, SpendError> {
        self.begin_with(signed, |_, _| Ok(true))
    }

    /// The same for what changes the crate: if several gateways serve the store, they take turns.
    ///
    /// # Errors
    /// [`SpendError::Elsewhere`] also; nothing is written then.
    pub(crate) fn begin_in_turn(&self, signed: &Signed) -> Result<Intent, SpendError> {
        self.begin_with(signed, |transaction, intent| {
            self.take_turn(transaction, intent.mutation.name(), intent.seq)
        })
    }

    fn begin_with(
        &self,
        signed: &Signed,
        take_turn: impl FnOnce(&Sql<'_>, &Intent) -> Result<bool, StoreError>,
    ) -> Result<Intent, SpendError> {
        let (recorded, intent) = self.write(|transaction| {
            if !self.may_begin(transaction)? {
                return Err(SpendError::NotAlive);
            }
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
            transaction.execute("INSERT INTO open_intent (seq) VALUES (?)", values![seq])?;
            counts::add(transaction, Counted::Open, 1)?;
            in_doubt::begin(transaction, seq, mutation, &user)?;
            self.note_intent(transaction, seq)?;
            let (hash, time) = (begun.hash, signed.now);
            let intent = Intent { seq, hash, mutation: mutation.clone(), user, time };
            if !take_turn(transaction, &intent)? {
                return Err(SpendError::Elsewhere(mutation.name().clone()));
            }
            Ok((recorded, intent))
        })?;
        self.unrecorded.forget(&recorded);
        Ok(intent)
    }

    /// Writes down the outcome of an intent.
    ///
    /// # Errors
    /// [`StoreError::Settled`] if it is settled already, [`StoreError::IntentLost`]; [`StoreError::Database`], and the outcome is
    /// written down later.
    pub fn settle(&self, intent: &Intent, outcome: &Outcome, now: Timestamp) -> Result<Point, StoreError> {
        let settled = self.write(|transaction| settle(transaction, intent, outcome, now));
        if settled.as_ref().is_err_and(may_be_written_later) {
            self.unrecorded.remember(intent, outcome);
        }
        settled
    }

    /// Writes down what the registry behind answered. If somebody else has settled the intent meanwhile, it is a late outcome.
    ///
    /// # Errors
    /// [`StoreError::IntentLost`]; [`StoreError::Database`], and the outcome is written down later.
    pub(crate) fn answered(
        &self,
        intent: &Intent,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<Point, StoreError> {
        let recorded = self.write(|transaction| answered(transaction, intent, outcome, now));
        if recorded.as_ref().is_err_and(may_be_written_later) {
            self.unrecorded.remember(intent, outcome);
        }
        recorded
    }

    /// The outcome of an intent that is on record; `None` if it is open.
    ///
    /// # Errors
    /// [`StoreError::IntentLost`], [`StoreError::Database`], [`StoreError::Damaged`].
    pub(crate) fn outcome(&self, intent: &Intent) -> Result<Option<Outcome>, StoreError> {
        let reader = self.reader()?;
        if is_open(&reader, intent)? { Ok(None) } else { Ok(Some(last_outcome(&reader, intent)?.0)) }
    }

    /// Whether an earlier attempt of the same user to publish the same file has no known outcome. An attempt that was
    /// refused does not count.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn was_left_in_doubt(&self, intent: &Intent) -> Result<bool, StoreError> {
        in_doubt::is_there_before(&self.reader()?, intent.seq, &intent.mutation, &intent.user)
    }

    /// How many intents have no outcome.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn open_count(&self) -> Result<u64, StoreError> {
        let open = counts::number(&self.reader()?, Counted::Open)?;
        Ok(u64::try_from(open).unwrap_or_default())
    }

    /// The records of accepted publishes, oldest first: all of them, or those of one version.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn published(&self, version: Option<(&str, &str)>) -> Result<Vec<Record>, StoreError> {
        let reader = self.reader()?;
        match version {
            Some((name, version)) => reader.all(
                &format!("{OF_PUBLISHED} WHERE name = ? AND version = ? ORDER BY published.intent"),
                values![name, version],
                record,
            ),
            None => reader.all(&format!("{OF_PUBLISHED} ORDER BY published.intent"), values![], record),
        }
    }
}

/// Reads a record from a row of [`OF_PUBLISHED`].
fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let outcome = row.get::<Option<&str>>(2)?.map(Entry::parse).transpose()?;
    let is_here = outcome.is_some_and(|outcome| outcome.0.contains_key(HERE));
    Entry::parse(row.get(1)?)?.record(row.get(0)?, is_here)
}

/// Settles an intent with what the registry behind answered, or adds that to what others have settled it with.
pub(super) fn answered(
    transaction: &Sql<'_>,
    intent: &Intent,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<Point, StoreError> {
    if is_open(transaction, intent)? {
        return settle(transaction, intent, outcome, now);
    }
    let (known, at) = last_outcome(transaction, intent)?;
    // That something failed here adds nothing, and a commit that failed may be on disk nevertheless.
    if known == *outcome || matches!(outcome, Outcome::Failed(_)) {
        return Ok(at);
    }
    late(transaction, intent, (&known, outcome), now)
}

/// Writes down an outcome that came after the intent was settled. If it was settled because nobody knew better, this one counts.
fn late(
    transaction: &Sql<'_>,
    intent: &Intent,
    (known, outcome): (&Outcome, &Outcome),
    now: Timestamp,
) -> Result<Point, StoreError> {
    let at = append_outcome(transaction, intent, outcome, [(LATE, true.into())], now)?;
    if *known == Outcome::Failed(INTERRUPTED.to_owned()) {
        in_doubt::end(transaction, intent.seq)?;
        if !is_published(transaction, &intent.mutation)? {
            publish(transaction, intent, outcome, at)?;
        }
    }
    Ok(at)
}

pub(super) fn settle(
    transaction: &Sql<'_>,
    intent: &Intent,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<Point, StoreError> {
    let open = "DELETE FROM open_intent WHERE seq = ?1 AND EXISTS (SELECT 1 FROM audit WHERE seq = ?1 AND hash = ?2)";
    if transaction.execute(open, values![intent.seq, &intent.hash.to_string()])? == 0 {
        return Err(not_open(transaction, intent)?);
    }
    counts::add(transaction, Counted::Open, -1)?;
    if !matches!(outcome, Outcome::Failed(reason) if reason == INTERRUPTED) {
        in_doubt::end(transaction, intent.seq)?;
    }
    let here = matches!(outcome, Outcome::Done) && is_here(transaction, &intent.mutation)?;
    let more = [(HERE, here.then_some(true).into())];
    let settled = append_outcome(transaction, intent, outcome, more, now)?;
    publish(transaction, intent, outcome, settled)?;
    Ok(settled)
}

fn append_outcome(
    transaction: &Sql<'_>,
    intent: &Intent,
    outcome: &Outcome,
    more: [(&str, Value); 1],
    now: Timestamp,
) -> Result<Point, StoreError> {
    let (word, detail) = match outcome {
        Outcome::Done => ("done", None),
        Outcome::Refused(reason) => ("refused", Some(reason.as_str())),
        Outcome::Failed(reason) => ("failed", Some(reason.as_str())),
    };
    let mut fields =
        fields([("intent", intent.seq.into()), ("outcome", word.into()), ("detail", detail.into())]);
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    audit::append(transaction, now, Kind::Outcome, fields)
}

/// Puts a publish that was done on record.
fn publish(
    transaction: &Sql<'_>,
    intent: &Intent,
    outcome: &Outcome,
    recorded: Point,
) -> Result<(), StoreError> {
    let (Outcome::Done, Mutation::Publish { name, version, .. }) = (outcome, &intent.mutation) else {
        return Ok(());
    };
    let insert = "INSERT INTO published (name, version, intent, outcome) VALUES (?, ?, ?, ?)";
    let outcome = audit::column(recorded.seq)?;
    transaction.execute(insert, values![name.as_str(), &version.to_string(), intent.seq, outcome]).map(drop)
}

/// The outcome of an intent that is on record, and where. An entry's text is canonical, so it can be looked for.
fn last_outcome(sql: &Sql<'_>, intent: &Intent) -> Result<(Outcome, Point), StoreError> {
    if !is_there(sql, intent)? {
        return Err(StoreError::IntentLost(intent.to_string()));
    }
    let intent = intent.seq;
    let of_intent = format!("%\"intent\":{intent},\"kind\":\"outcome\",%");
    let found = sql.optional(
        "SELECT seq, hash, entry FROM audit WHERE seq > ? AND entry LIKE ? ORDER BY seq DESC LIMIT 1",
        values![intent, &of_intent],
        |row| {
            let seq = u64::try_from(row.get::<i64>(0)?).unwrap_or_default();
            Ok((Entry::parse(row.get(2)?)?.outcome()?, Point { seq, hash: parsed(row.get(1)?)? }))
        },
    )?;
    found.ok_or_else(|| StoreError::Damaged(format!("the audit log has no outcome of its intent {intent}")))
}

/// Whether a publish of the same version is on record.
fn is_published(sql: &Sql<'_>, mutation: &Mutation) -> Result<bool, StoreError> {
    let Mutation::Publish { name, version, .. } = mutation else { return Ok(false) };
    let known = "SELECT 1 FROM published WHERE name = ? AND version = ?";
    sql.exists(known, values![name.as_str(), &version.to_string()])
}

/// Whether a version with this checksum was published in this store.
fn is_here(transaction: &Sql<'_>, mutation: &Mutation) -> Result<bool, StoreError> {
    let Mutation::Publish { name, version, checksum } = mutation else { return Ok(false) };
    let line = crates::version_line(transaction, name.as_str(), &version.to_string())?;
    Ok(line.is_some_and(|(_, line)| line.cksum == checksum.to_string()))
}

fn spend(transaction: &Sql<'_>, signed: &Signed, most: i64) -> Result<User, SpendError> {
    let key =
        keys::find(transaction, signed.key)?.ok_or_else(|| Refusal::UnknownKey(signed.key.to_string()))?;
    policy::is_good(&key, signed.now)?;
    if !key.role.may_mutate() {
        return Err(Refusal::Role { role: key.role, wanted: signed.mutation.kind() }.into());
    }
    is_unspent(transaction, signed)?;
    let spent: Vec<_> =
        [Some(signed.single_use_key.clone()), challenge_key(signed)].into_iter().flatten().collect();
    remember(transaction, &spent, signed.kept_until, signed.now, most)?;
    Ok(key.user)
}

/// Remembers what is spent now, until its token is refused for its age, and forgets some of what is too old already.
///
/// # Errors
/// [`SpendError::Full`] if this many are remembered; [`SpendError::Store`].
pub(super) fn remember(
    transaction: &Sql<'_>,
    spent: &[String],
    kept_until: Timestamp,
    now: Timestamp,
    most: i64,
) -> Result<(), SpendError> {
    let forgotten = forget_spent(transaction, now)?;
    if counts::number(transaction, Counted::Spent)? - forgotten >= most {
        return Err(SpendError::Full);
    }
    let mut new = 0;
    for spent in spent {
        transaction.execute(
            "INSERT INTO spent (single_use_key, kept_until) VALUES (?, ?)",
            values![spent, kept_until.as_second() + 1],
        )?;
        new += 1;
    }
    Ok(counts::add(transaction, Counted::Spent, new - forgotten)?)
}

/// Forgets what is too old by now, and notes up to where: the clock may be put back. Returns how much that was.
fn forget_spent(transaction: &Sql<'_>, now: Timestamp) -> Result<i64, StoreError> {
    let forgotten = transaction.all(FORGET_SPENT, values![now.as_second()], |row| row.get::<i64>(0))?;
    if let Some(until) = forgotten.iter().max() {
        transaction.execute(
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

fn is_unspent(sql: &Sql<'_>, signed: &Signed) -> Result<(), SpendError> {
    if signed.kept_until.as_second() < forgotten_until(sql)? {
        return Err(Refusal::Forgotten.into());
    }
    let spent = |key: &String| sql.exists("SELECT 1 FROM spent WHERE single_use_key = ?", values![key]);
    if spent(&signed.single_use_key)? {
        return Err(Refusal::Replayed(signed.mutation.kind()).into());
    }
    match challenge_key(signed) {
        Some(challenge) if spent(&challenge)? => Err(Refusal::ChallengeUsed.into()),
        _ => Ok(()),
    }
}

/// What a used challenge is remembered by. It cannot be confused with a single-use key, which is JSON.
fn challenge_key(signed: &Signed) -> Option<String> {
    signed.challenge.as_ref().map(|challenge| format!("challenge {challenge}"))
}

/// Whoever makes a change and settles it in one transaction looks at this first: the state of the crate is judged only then.
pub(super) fn must_be_open(transaction: &Sql<'_>, intent: &Intent) -> Result<(), StoreError> {
    if is_open(transaction, intent)? { Ok(()) } else { Err(not_open(transaction, intent)?) }
}

/// Whether the log has an intent, without an outcome.
pub(super) fn is_open(sql: &Sql<'_>, intent: &Intent) -> Result<bool, StoreError> {
    let open = "SELECT 1 FROM open_intent JOIN audit ON audit.seq = open_intent.seq WHERE audit.seq = ? AND hash = ?";
    sql.exists(open, values![intent.seq, &intent.hash.to_string()])
}

/// Whether the log has an intent, and not another entry or none at its place.
fn is_there(sql: &Sql<'_>, intent: &Intent) -> Result<bool, StoreError> {
    let there = "SELECT 1 FROM audit WHERE seq = ? AND hash = ?";
    sql.exists(there, values![intent.seq, &intent.hash.to_string()])
}

/// Why an intent is not open.
fn not_open(sql: &Sql<'_>, intent: &Intent) -> Result<StoreError, StoreError> {
    let why = if is_there(sql, intent)? { StoreError::Settled } else { StoreError::IntentLost };
    Ok(why(intent.to_string()))
}

/// Whether an outcome that could not be written with this error can be, when the store works again.
fn may_be_written_later(error: &StoreError) -> bool {
    !matches!(error, StoreError::Settled(_) | StoreError::IntentLost(_) | StoreError::Damaged(_))
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn intent(seq: i64, entry: &str) -> Result<Intent, StoreError> {
    let hash = Hash::of(entry.as_bytes());
    let entry = Entry::parse(entry)?;
    Ok(Intent {
        seq,
        hash,
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

    fn outcome(&self) -> Result<Outcome, StoreError> {
        let reason = || self.text("detail").map(ToOwned::to_owned);
        Ok(match self.text("outcome")? {
            "done" => Outcome::Done,
            "refused" => Outcome::Refused(reason()?),
            "failed" => Outcome::Failed(reason()?),
            other => return Err(StoreError::Damaged(format!("the audit log has an outcome `{other}`"))),
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
        let spend = |signed: &Signed| store.write(|transaction| spend(transaction, signed, 2));
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
