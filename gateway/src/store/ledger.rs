//! What tokens were spent on. What is done in this store is done in one transaction: the token is spent, the intent is written
//! down, then it is done, and the outcome is written down. A change of a registry behind takes three steps.
//! [`begin`](Store::begin) spends the token and writes down the intent. Then it is done. Then [`settle`](Store::settle) writes
//! down the outcome. A crash in between leaves an intent without an outcome, which is settled after the next start, before that
//! crate is changed again. If only the last write fails, the outcome is kept in memory, and is written before the next token is
//! spent.

use asymmetric_token::{Checksum, CrateName, KeyId, Mutation};
use jiff::Timestamp;
use semver::Version;
use serde_json::{Map, Value};

use super::audit::{self, Kind};
use super::counts::{self, Counted};
use super::intent::Intent;
use super::share::Account;
use super::spent::{self, MOST, Most, Signed, SpendError};
use super::sql::{Row, Sql, values};
use super::staged::{self, Approving, Settled};
use super::{Store, StoreError, crates, in_doubt, keys, parsed, time};
use crate::audit::{Hash, Point};
use crate::causes::shortened;
use crate::keys::User;
use crate::policy::{self, Refusal};

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
    /// The place of its outcome there.
    pub outcome: u64,
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

/// The recorded reason of an attempt whose outcome was not known, and whose change was not there when the index was
/// asked.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What the outcome of a publish says, if the version is in this store.
pub(super) const HERE: &str = "here";

/// What an outcome says that came after the intent was settled.
pub(super) const LATE: &str = "late";

/// The entries of a published version: of the intent, and of its outcome.
const OF_PUBLISHED: &str =
    "SELECT published.intent, intent.entry, outcome.entry, published.outcome FROM published
     JOIN audit AS intent ON intent.seq = published.intent
     LEFT JOIN audit AS outcome ON outcome.seq = published.outcome";

impl Store {
    /// Checks that a token and its challenge are unspent, before an upload is read. The check that counts is made by
    /// [`begin`](Self::begin).
    pub(crate) fn is_unspent(&self, signed: &Signed) -> Result<(), SpendError> {
        self.reader()?.at_once(|reader| spent::is_unspent(reader, signed))
    }

    /// Spends a token, and writes down durably what for. The key is checked again: while an upload was received it may
    /// have been revoked, have expired, or have become a read key.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::ChallengeUsed`], [`Refusal::RevokedKey`], [`Refusal::ExpiredKey`],
    /// [`Refusal::UnknownKey`], [`Refusal::Role`], [`SpendError::Full`], [`SpendError::Share`], [`SpendError::NotAlive`]; nothing is
    /// written then. [`SpendError::InDoubt`].
    pub fn begin(&self, signed: &Signed) -> Result<Intent, SpendError> {
        self.begin_with(signed, None, false)
    }

    /// The same for what changes the crate: if several gateways serve the store, they take turns. If the token approves a staged
    /// version, that is `approving` from then on.
    ///
    /// # Errors
    /// [`SpendError::Elsewhere`], [`SpendError::Approval`] also; nothing is written then.
    pub(crate) fn begin_in_turn(
        &self,
        signed: &Signed,
        approving: Option<Approving>,
    ) -> Result<Intent, SpendError> {
        self.begin_with(signed, approving, true)
    }

    fn begin_with(
        &self,
        signed: &Signed,
        approving: Option<Approving>,
        in_turn: bool,
    ) -> Result<Intent, SpendError> {
        let name = signed.mutation.name();
        let foreseen = |ahead: &Sql<'_>| Ok::<_, StoreError>(in_turn && self.take_turn(ahead, name, 0)?);
        self.spend_on(signed, approving, foreseen, |transaction, intent| {
            self.open_intent(transaction, intent.seq)?;
            counts::add(transaction, Counted::Open, 1)?;
            in_doubt::begin(transaction, intent.seq, &intent.mutation, &intent.user)?;
            if in_turn && !self.take_turn(transaction, name, intent.seq)? {
                return Err(SpendError::Elsewhere(name.clone()));
            }
            Ok(intent.clone())
        })
    }

    /// Spends a token, writes down what for, and does what else belongs into the same transaction.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), and those of the work.
    pub(super) fn spend_on<T, F, E>(
        &self,
        signed: &Signed,
        approving: Option<Approving>,
        foreseen: impl FnOnce(&Sql<'_>) -> Result<F, E>,
        work: impl FnOnce(&Sql<'_>, &Intent) -> Result<T, SpendError>,
    ) -> Result<T, SpendError> {
        self.record_known(signed.now)?;
        let mut written = None;
        let foreseen = |ahead: &Sql<'_>| {
            self.may_begin(ahead)?;
            keys::find(ahead, signed.key)?;
            spent::is_unspent(ahead, signed)?;
            Account::of_owner(ahead, signed.key)?;
            spent::make_room(ahead, signed.now, MOST)?;
            Ok(foreseen(ahead).ok())
        };
        let done = self.write_foreseen(foreseen, |transaction| {
            if !self.may_begin(transaction)? {
                return Err(SpendError::NotAlive);
            }
            let intent = intend(transaction, signed, approving)?;
            let done = work(transaction, &intent)?;
            written = Some(intent);
            Ok(done)
        });
        done.map_err(|error| match (error, written) {
            (SpendError::Store(source), Some(intent)) if source.is_in_doubt() => {
                SpendError::InDoubt { intent: Box::new(intent), source }
            }
            (error, _) => error,
        })
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

    /// The outcome of an intent that is on record, and where; `None` if it is open.
    ///
    /// # Errors
    /// [`StoreError::IntentLost`], [`StoreError::Database`], [`StoreError::Damaged`].
    pub(crate) fn outcome(&self, intent: &Intent) -> Result<Option<(Outcome, Point)>, StoreError> {
        let reader = self.reader()?;
        if is_open(&reader, intent)? { Ok(None) } else { last_outcome(&reader, intent).map(Some) }
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
    Entry::parse(row.get(1)?)?.record([row.get(0)?, row.get(3)?], is_here)
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
            note_staged(transaction, intent, outcome, now)?;
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
    if !is_open(transaction, intent)? {
        return Err(not_open(transaction, intent)?);
    }
    let here = matches!(outcome, Outcome::Done) && is_here(transaction, &intent.mutation)?;
    transaction.run("DELETE FROM open_intent WHERE seq = ?", values![intent.seq])?;
    counts::add(transaction, Counted::Open, -1)?;
    if !matches!(outcome, Outcome::Failed(reason) if reason == INTERRUPTED) {
        in_doubt::end(transaction, intent.seq)?;
    }
    conclude(transaction, intent, outcome, here, now)
}

/// Writes down the outcome of an intent that has none. If it was made in this store, a version that it published is there.
pub(super) fn conclude(
    transaction: &Sql<'_>,
    intent: &Intent,
    outcome: &Outcome,
    here: bool,
    now: Timestamp,
) -> Result<Point, StoreError> {
    let is_publish = matches!(intent.mutation, Mutation::Publish { .. });
    let more = [(HERE, (here && is_publish).then_some(true).into())];
    let concluded = append_outcome(transaction, intent, outcome, more, now)?;
    publish(transaction, intent, outcome, concluded)?;
    note_staged(transaction, intent, outcome, now)?;
    Ok(concluded)
}

/// Notes for staged versions what came of an intent.
fn note_staged(
    transaction: &Sql<'_>,
    intent: &Intent,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), StoreError> {
    let words = match outcome {
        Outcome::Done => None,
        Outcome::Failed(reason) if reason == INTERRUPTED => {
            Some("it was interrupted, and nothing was published".to_owned())
        }
        Outcome::Refused(reason) | Outcome::Failed(reason) => Some(shortened(reason.clone())),
    };
    let settled = Settled {
        seq: intent.seq,
        mutation: &intent.mutation,
        user: &intent.user,
        is_done: *outcome == Outcome::Done,
        words: words.as_deref(),
    };
    staged::settle(transaction, &settled, now)
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
        Outcome::Refused(reason) => ("refused", Some(shortened(reason.clone()))),
        Outcome::Failed(reason) => ("failed", Some(shortened(reason.clone()))),
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
    transaction.run(insert, values![name.as_str(), &version.to_string(), intent.seq, outcome])
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
    crates::is_on_record(sql, name.as_str(), &version.to_string())
}

/// Whether a version with this checksum was published in this store.
fn is_here(transaction: &Sql<'_>, mutation: &Mutation) -> Result<bool, StoreError> {
    let Mutation::Publish { name, version, checksum } = mutation else { return Ok(false) };
    let line = crates::version_line(transaction, name.as_str(), &version.to_string())?;
    Ok(line.is_some_and(|(_, line)| line.cksum == checksum.to_string()))
}

/// Spends a token, and appends the intent. A version that it approves is `approving` from then on.
fn intend(
    transaction: &Sql<'_>,
    signed: &Signed,
    approving: Option<Approving>,
) -> Result<Intent, SpendError> {
    let user = spend(transaction, signed, MOST)?;
    let mutation = &signed.mutation;
    let fields = fields([
        ("mutation", mutation.kind().into()),
        ("name", mutation.name().as_str().into()),
        ("vers", mutation.version().map(Version::to_string).into()),
        ("cksum", mutation.checksum().map(|checksum| checksum.to_string()).into()),
        ("key", signed.key.to_string().into()),
        ("user", user.as_str().into()),
        ("token", signed.token.as_str().into()),
        ("stage", approving.map(|approving| approving.stage).into()),
    ]);
    let Point { seq, hash } = audit::append(transaction, signed.now, Kind::Intent, fields)?;
    let (seq, mutation) = (audit::column(seq)?, mutation.clone());
    let intent = Intent { seq, hash, mutation, user, time: signed.now };
    if let Some(approving) = approving {
        staged::begin_approval(transaction, approving, &intent.user, seq, signed.now)?;
    }
    Ok(intent)
}

/// Checks the key again, and spends its token.
pub(super) fn spend(transaction: &Sql<'_>, signed: &Signed, most: Most) -> Result<User, SpendError> {
    let key =
        keys::find(transaction, signed.key)?.ok_or_else(|| Refusal::UnknownKey(signed.key.to_string()))?;
    policy::is_good(&key, signed.now)?;
    if !key.role.may_mutate() {
        return Err(Refusal::Role { role: key.role, wanted: signed.mutation.kind() }.into());
    }
    spent::is_unspent(transaction, signed)?;
    spent::spend(transaction, &key.user, signed, most)?;
    Ok(key.user)
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
    let hash = Hash::leaf(entry.as_bytes()).map_err(|error| StoreError::Damaged(error.to_string()))?;
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

    fn record(&self, places: [i64; 2], is_here: bool) -> Result<Record, StoreError> {
        let [seq, outcome] = places.map(|place| u64::try_from(place).unwrap_or_default());
        Ok(Record {
            seq,
            outcome,
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
