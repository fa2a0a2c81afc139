//! A log that has lost its end, or its key, goes on as a new generation.
//!
//! A backup that is restored, or a standby that takes over and was behind, has a log that ends before what was signed. Whatever is
//! appended to it next makes another tree of the same size: a fork, which whoever has kept a checkpoint refuses for ever. So an
//! administrator says that the end is lost. From then on another key signs the log under another origin, which those who check it have
//! to accept. Its tree begins with all entries that are still there, in their places, so that what was published before can be shown
//! as before; the next entry names what is lost.

use jiff::Timestamp;
use serde_json::{Map, Value};
use transparency_log::{Origin, SignedCheckpoint};

use super::audit::{self, Kind, at};
use super::checkpoints::{self, key};
use super::log_end::End;
use super::sql::{Sql, values};
use super::tree;
use super::{LastSeen, Store, StoreError};
use crate::audit::{Entry, Point};

/// What is known of what a log has lost.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// What a gateway has seen.
    pub seen: Option<LastSeen>,
    /// A checkpoint that was kept elsewhere.
    pub checkpoint: Option<String>,
    /// The last checkpoint that a gateway has shown. It goes on record, and shows nothing.
    pub shown: Option<String>,
}

/// The generation that a log goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The generation.
    pub generation: u64,
    /// Where the log ended when it was begun.
    pub found: Point,
}

/// A checkpoint that was kept, and the generation that it is of.
struct Kept {
    generation: u64,
    signed: SignedCheckpoint,
}

impl Store {
    /// Begins a new generation, because an administrator knows that the log has lost its end or its key. That is an entry, the first one
    /// of the generation. If it was begun before for the same loss, nothing is written. Nobody serves a folder meanwhile; gateways of a
    /// PostgreSQL go on by themselves.
    ///
    /// # Errors
    /// [`StoreError::NotLost`] if the log has all that is said to be lost; [`StoreError::EmptyLog`], [`StoreError::OtherCheckpoint`], [`StoreError::Served`],
    /// [`StoreError::Damaged`], [`StoreError::Database`].
    pub fn accept_restore(&self, loss: &Loss, now: Timestamp) -> Result<Begun, StoreError> {
        let _nobody_serves = self.lock()?;
        self.write(|transaction| {
            let end = End::read(transaction)?;
            let stored = checkpoints::newest(transaction)?;
            let kept = loss.checkpoint.as_deref();
            let kept = kept.map(|note| Kept::read(transaction, note)).transpose()?;
            let shown: Option<SignedCheckpoint> = loss.shown.as_deref().and_then(|note| note.parse().ok());
            let found = audit::last(transaction)?;
            if found == Point::START && loss.knows_entries(kept.as_ref()) {
                return Err(StoreError::EmptyLog);
            }
            let present = Begun { generation: end.generation, found };
            let known = [kept.as_ref().map(|kept| kept.generation), loss.seen.map(|seen| seen.generation)];
            let newest_known = known.into_iter().flatten().max();
            let is_lost = kept.as_ref().map_or(Ok(false), |kept| kept.is_lost(transaction, &end))?
                || loss.seen.map_or(Ok(false), |seen| is_lost(transaction, seen))?;
            let is_key_lost = !is_lost && self.has_lost_key()?;
            if !is_lost && !is_key_lost && (newest_known.is_some() || transaction.is_postgres()) {
                let seen = loss.seen.map(|seen| format!("entry {}", seen.point.seq));
                return Err(StoreError::NotLost(
                    seen.unwrap_or_else(|| "its key, and every checkpoint that was given".to_owned()),
                ));
            }
            let was_accepted = match newest_known {
                _ if is_key_lost => false,
                Some(known) => known < end.generation,
                None => is_begun_at(transaction, found)?,
            };
            if was_accepted {
                return Ok(present);
            }
            let generation = newest_known.unwrap_or(1).max(end.generation) + 1;
            let text = match (kept.map(|kept| kept.signed).or(shown), stored.first()) {
                (Some(lost), _) => Some(lost.unverified().to_string()),
                (None, Some(stored)) => Some(stored.text()?),
                (None, None) => None,
            };
            End::begin(transaction, generation)?;
            let fields = [
                ("action", "accept-restore".into()),
                ("generation", generation.into()),
                ("found", found.to_string().into()),
                ("lost", loss.seen.map(|seen| seen.to_string()).into()),
                ("checkpoint", text.into()),
            ];
            let fields: [(&str, Value); 5] = fields;
            let fields = fields.map(|(name, value)| (name.to_owned(), value));
            audit::append(transaction, now, Kind::Admin, Map::from_iter(fields))?;
            Ok(Begun { generation, found })
        })
    }

    /// Whether the key of the present generation was used, and is not there any more.
    fn has_lost_key(&self) -> Result<bool, StoreError> {
        let reader = self.reader()?;
        let generation = End::read(&reader)?.generation;
        let known = key::verifiers(&reader)?.into_iter().find(|known| known.generation == generation);
        drop(reader);
        known.map_or(Ok(false), |known| Ok(!key::is_there(self, known)?))
    }
}

impl Loss {
    /// Whether there were entries, as far as that is known.
    fn knows_entries(&self, kept: Option<&Kept>) -> bool {
        self.seen.is_some_and(|seen| seen.point != Point::START)
            || kept.is_some_and(|kept| kept.signed.unverified().head().size > 0)
    }
}

impl Kept {
    /// Reads a checkpoint. Its key may be lost with the log's end, so that its signature is not verified: the administrator vouches for
    /// it.
    fn read(sql: &Sql<'_>, note: &str) -> Result<Self, StoreError> {
        let other = |error: transparency_log::Error| StoreError::OtherCheckpoint(error.to_string());
        let signed: SignedCheckpoint = note.parse().map_err(other)?;
        let keys = key::verifiers(sql)?;
        let stored = checkpoints::newest(sql)?.into_iter().next();
        let first = stored.map(|stored| stored.first_origin(&keys)).transpose()?;
        let origin = signed.unverified().origin();
        let generation = first.map_or(Some(1), |first| generation_of(origin, &first));
        let of_another = || StoreError::OtherCheckpoint(format!("it is of the log {origin}"));
        Ok(Self { generation: generation.ok_or_else(of_another)?, signed })
    }

    fn is_lost(&self, transaction: &Sql<'_>, end: &End) -> Result<bool, StoreError> {
        let (head, kept) = (end.tree.head(), self.signed.unverified().head());
        if self.generation > end.generation || kept.size > head.size {
            return Ok(true);
        }
        let root = tree::tiles(transaction, head, kept.size)?.root_of(kept.size);
        Ok(root.ok() != Some(kept.root))
    }
}

/// Which generation of the log has this origin.
fn generation_of(origin: &Origin, first: &str) -> Option<u64> {
    let rest = origin.as_str().strip_prefix(first)?;
    if rest.is_empty() {
        Some(1)
    } else {
        rest.strip_prefix('/')?.parse().ok().filter(|generation| *generation > 1)
    }
}

/// Whether the log does not have, or has no more, what was seen of it.
pub(super) fn is_lost(sql: &Sql<'_>, seen: LastSeen) -> Result<bool, StoreError> {
    Ok(seen.point != Point::START && at(sql, seen.point.seq)? != Some(seen.point))
}

/// Whether the entry at the end of the log is the one that began its generation.
fn is_begun_at(sql: &Sql<'_>, end: Point) -> Result<bool, StoreError> {
    let entry = "SELECT entry FROM audit WHERE seq = ?";
    let entry = sql.optional(entry, values![audit::column(end.seq)?], |row| row.get::<String>(0))?;
    let entry = entry.and_then(|entry| Entry::parse(entry.as_bytes()).ok());
    Ok(entry
        .is_some_and(|entry| entry.details.get("action").is_some_and(|action| action == "accept-restore")))
}
