//! Signed checkpoints of the audit log (C2SP tlog-checkpoint), in the table `checkpoint`.
//!
//! A checkpoint is signed of what is committed, and is committed itself before it is shown. Where a PostgreSQL has a synchronous
//! standby, that COMMIT has waited for the standby, and what was committed before it is there too. Of several gateways that sign at
//! once the database takes the one that comes first, and all of them show that one. The tree of a new checkpoint continues that of
//! the newest one that is stored, which is computed from the tiles before each signature: nobody signs a fork.
//!
//! Under load a checkpoint is of many entries: see [`Checkpoints::keep_signing`].

pub(super) mod key;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use transparency_log::{Checkpoint, KeyName, Origin, SignedCheckpoint, Signer, TreeHead, Verifier};

use super::audit::{self, column};
use super::log_end::End;
use super::sql::{Row, Sql, values};
use super::tree;
use super::{LastSeen, Store, StoreError};
use crate::audit::Broken;
use crate::background::blocking;
use crate::causes::{escaped, with_causes};

/// The time between two checkpoints, at least.
const PAUSE: Duration = Duration::from_millis(200);
/// The time after which it is looked for entries that nobody has told of: another gateway, or a command, has written them.
const LOOK: Duration = Duration::from_millis(500);
/// The time until it is tried again, when a checkpoint could not be signed.
const AGAIN: Duration = Duration::from_secs(5);

/// The checkpoints, as a server keeps them.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// Of the first generation.
    origin: Origin,
    /// The key, and the generation that it is of.
    signer: Mutex<Option<(u64, Signer)>>,
    newest: Mutex<Option<Arc<Newest>>>,
    appended: Notify,
    asking: tokio::sync::Mutex<()>,
}

/// The newest checkpoint that is shown.
#[derive(Debug)]
pub(crate) struct Newest {
    generation: u64,
    /// How many entries it is of.
    pub(crate) size: u64,
    /// The signed note.
    pub(crate) note: String,
    /// The log's key.
    pub(crate) key: Verifier,
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Its origin, as it was noted.
    pub origin: String,
    /// Of how many entries, as it was noted.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

impl Checkpoints {
    /// Checks that the log of a store continues its newest checkpoint, and signs it up to its end.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the log was cut or written anew; [`StoreError::LogKeyLost`], [`StoreError::LogKey`];
    /// [`StoreError::File`], [`StoreError::Database`].
    pub(crate) fn open(store: &Store, index: &str) -> Result<Self, StoreError> {
        let checkpoints = Self {
            origin: Origin::of_index(index).map_err(unsigned)?,
            signer: Mutex::default(),
            newest: Mutex::default(),
            appended: Notify::new(),
            asking: tokio::sync::Mutex::default(),
        };
        checkpoints.keep_up(store)?;
        Ok(checkpoints)
    }

    /// Signs the log up to its end, unless that was done.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`StoreError::Restored`] if the log has lost its end meanwhile.
    pub(crate) fn keep_up(&self, store: &Store) -> Result<(), StoreError> {
        let mut signer = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((end, last)) = self.unsigned_end(store)? else { return Ok(()) };
        let (generation, head) = (end.generation, end.tree.head());
        let origin = of_generation(&self.origin, generation)?;
        let (_, signer) = match signer.take().filter(|(known, _)| *known == generation) {
            Some(known) => signer.insert(known),
            None => signer.insert((generation, key::signer(store, generation, key_name(&origin)?)?)),
        };
        let mut note = SignedCheckpoint::unsigned(Checkpoint::new(origin.clone(), head).map_err(unsigned)?);
        note.sign(signer).map_err(unsigned)?;
        let stored = store.write(|transaction| {
            if End::read(transaction)?.generation != generation {
                return Ok(None);
            }
            if audit::at(transaction, last.seq)? != Some(last) {
                return Err(StoreError::Restored { lost: LastSeen { generation, point: last } });
            }
            if newest(transaction)?.iter().all(|newest| newest.size <= head.size) {
                let insert =
                    "INSERT INTO checkpoint (size, origin, note) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
                transaction
                    .execute(insert, values![column(head.size)?, origin.as_str(), &note.to_string()])?;
            }
            Ok(newest(transaction)?.into_iter().find(|newest| newest.origin == origin.as_str()))
        })?;
        // Somebody has begun a new generation, or has another index URL: the next look finds it.
        let Some(stored) = stored else { return Ok(()) };
        let key = signer.verifier().clone();
        let signed: SignedCheckpoint = stored.note.parse().map_err(|error| stored.damaged(&error))?;
        signed.verify(&origin, &key, &[]).map_err(|error| stored.damaged(&error))?;
        let shown = Newest { generation, size: stored.size, note: stored.note, key };
        store.saw(LastSeen { generation, point: last }, &shown.note)?;
        *self.shown() = Some(Arc::new(shown));
        Ok(())
    }

    /// The end of the log, whose tree continues the newest checkpoint, and the place of its last entry; `None` if it is signed.
    fn unsigned_end(&self, store: &Store) -> Result<Option<(End, crate::audit::Point)>, StoreError> {
        let reader = store.reader()?;
        let moment = reader.moment()?;
        let end = End::read(&moment)?;
        let head = end.tree.head();
        let is_shown = |newest: &Arc<Newest>| (newest.generation, newest.size) == (end.generation, head.size);
        if self.shown().as_ref().is_some_and(is_shown) {
            return Ok(None);
        }
        let old = match newest(&moment)?.first() {
            Some(newest) => newest.head(&key::verifiers(&moment)?)?,
            None => TreeHead::EMPTY,
        };
        tree::continues(&moment, head, old)?;
        if head.size == 0 {
            return Ok(None);
        }
        let missing = || StoreError::Damaged(Broken::Removed { seq: head.size }.to_string());
        let last = audit::at(&moment, head.size)?.ok_or_else(missing)?;
        Ok(Some((end, last)))
    }

    /// Something was appended to the log.
    pub(crate) fn appended(&self) {
        self.appended.notify_one();
    }

    /// Signs what is appended, as long as it is awaited: at once, but no more often than every 200 ms.
    pub(crate) async fn keep_signing(self: Arc<Self>, store: Arc<Store>) {
        let mut is_well = true;
        loop {
            let (checkpoints, signed) = (self.clone(), store.clone());
            // A panic is reported by its hook.
            let signed = blocking(move || checkpoints.keep_up(&signed)).await.unwrap_or(Ok(()));
            if let Err(error) = &signed
                && is_well
            {
                let error = escaped(&with_causes(error));
                tracing::error!(error, "the audit log could not be signed; trying again");
            }
            is_well = signed.is_ok();
            sleep(if is_well { PAUSE } else { AGAIN }).await;
            // Nobody may have told.
            let _ = timeout(LOOK, self.appended.notified()).await;
        }
    }

    /// The newest checkpoint, whichever gateway has signed it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn newest(
        self: &Arc<Self>,
        store: &Arc<Store>,
    ) -> Result<Option<Arc<Newest>>, StoreError> {
        if self.is_behind(store.signed().await?) {
            let _turn = self.asking.lock().await;
            if self.is_behind(store.signed().await?) {
                let (checkpoints, store) = (self.clone(), store.clone());
                let signed = blocking(move || checkpoints.keep_up(&store));
                // A panic is reported by its hook.
                signed.await.unwrap_or(Ok(()))?;
            }
        }
        Ok(self.known())
    }

    /// The newest checkpoint that this gateway has signed or shown.
    pub(crate) fn known(&self) -> Option<Arc<Newest>> {
        self.shown().clone()
    }

    /// Whether others have signed more than is shown here.
    fn is_behind(&self, signed: Option<(u64, u64)>) -> bool {
        let shown = self.shown().as_ref().map(|newest| (newest.generation, newest.size));
        signed.is_some_and(|signed| shown.is_none_or(|shown| shown < signed))
    }

    fn shown(&self) -> MutexGuard<'_, Option<Arc<Newest>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredCheckpoint {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let size = u64::try_from(row.get::<i64>(0)?).unwrap_or_default();
        Ok(Self { size, origin: row.get(1)?, note: row.get(2)? })
    }

    /// The tree that it is of, if one of the log's keys has signed it, and it is the one that was noted.
    pub(super) fn head(&self, keys: &[key::Public]) -> Result<TreeHead, StoreError> {
        self.opened(keys).map(|(head, _)| head)
    }

    /// The number of entries that it is of, and the key that has signed it.
    pub(super) fn verified(&self, keys: &[key::Public]) -> Result<(u64, Verifier), StoreError> {
        self.opened(keys).map(|(head, key)| (head.size, key))
    }

    fn opened(&self, keys: &[key::Public]) -> Result<(TreeHead, Verifier), StoreError> {
        let signed: SignedCheckpoint = self.note.parse().map_err(|error| self.damaged(&error))?;
        let (head, key) = key::verified(&signed, keys).map_err(|error| self.damaged(&error))?;
        if (head.size, signed.unverified().origin().as_str()) != (self.size, &self.origin) {
            return Err(self.damaged(&"it is in the place of another"));
        }
        Ok((head, key))
    }

    /// What was signed, verified or not.
    pub(super) fn text(&self) -> Result<String, StoreError> {
        let signed: SignedCheckpoint = self.note.parse().map_err(|error| self.damaged(&error))?;
        Ok(signed.unverified().to_string())
    }

    /// The origin of the first generation of the same log.
    pub(super) fn first_origin(&self, keys: &[key::Public]) -> Result<String, StoreError> {
        let (_, key) = self.opened(keys)?;
        let generation =
            keys.iter().find(|known| known.key == *key.public_key()).map(|known| known.generation);
        let suffix = format!("/{}", generation.unwrap_or(1));
        Ok(match generation {
            Some(1) | None => self.origin.clone(),
            Some(_) => self.origin.strip_suffix(&suffix).unwrap_or(&self.origin).to_owned(),
        })
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Damaged(format!("the checkpoint of {} entries was changed: {why}", self.size))
    }
}

/// The checkpoints of the greatest tree that one is of: one for each origin.
pub(super) fn newest(sql: &Sql<'_>) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let newest = "SELECT size, origin, note FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)";
    sql.all(newest, values![], StoredCheckpoint::read)
}

/// All checkpoints, those of smaller trees first.
pub(super) fn all(sql: &Sql<'_>) -> Result<Vec<StoredCheckpoint>, StoreError> {
    sql.all("SELECT size, origin, note FROM checkpoint ORDER BY size", values![], StoredCheckpoint::read)
}

/// The origin of a generation of the log.
fn of_generation(first: &Origin, generation: u64) -> Result<Origin, StoreError> {
    if generation == 1 {
        Ok(first.clone())
    } else {
        format!("{first}/{generation}").parse().map_err(unsigned)
    }
}

fn key_name(origin: &Origin) -> Result<KeyName, StoreError> {
    origin.key_name().map_err(unsigned)
}

fn unsigned(error: transparency_log::Error) -> StoreError {
    StoreError::LogKey(error.to_string())
}
