//! Which gateways serve a store in a PostgreSQL, and what those that ended have left.
//!
//! A gateway has a row, with 128 random bits as its epoch. It writes the database's time into it every three seconds, and
//! removes it when it ends. A row without a heartbeat for [`DEAD_AFTER`] counts for nothing, and anybody removes it. Open
//! intents and uploads name the epoch that began them. They survive a failover, which locks of a connection do not.
//!
//! A gateway that is taken for dead may only have slept. Nothing rests on its noticing. An outcome is written for an intent
//! that is open, in a transaction that nobody else writes beside, so of two who settle the same intent the second one finds
//! it settled; and the built-in registry makes its change in that transaction. A gateway whose row is gone, or late by the
//! database's clock, spends no token. It goes on with its row, or with a new epoch if that was removed.
//!
//! The folder of a SQLite has one server, which holds a lock.

mod postgres;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use asymmetric_token::CrateName;
use jiff::SignedDuration;

use super::sql::{Engine, Postgres, Sql, values};
use super::{Store, StoreError};
use crate::causes::{escaped, with_causes};
pub(super) use postgres::{end_upload, release_turn, remove_pieces};

/// How long after its last heartbeat a gateway counts as dead, by the database's clock.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// The time between two heartbeats.
const BEAT: Duration = Duration::from_secs(3);

/// What has to be the same at all gateways of a store, by its names in the configuration.
pub type SharedSettings = BTreeMap<String, String>;

/// A gateway that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingGateway {
    /// Its computer, and where it listens.
    pub name: String,
    /// When it started, by the database's clock.
    pub started: String,
}

/// A setting that has to be the same at all gateways of a store, and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` is {here} here, but {there} at the gateway {name}, which serves the same store")]
pub struct Difference {
    /// The setting's name in the configuration.
    pub setting: String,
    /// Its value here.
    pub here: String,
    /// Its value there.
    pub there: String,
    /// The other gateway.
    pub name: String,
}

/// Who is at work on a change that has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// This gateway; in a folder, whoever serves it.
    This,
    /// Another one that lives: its name.
    Another(String),
    /// Nobody. The gateway that began it has ended.
    Nobody {
        /// How long ago it was begun, by the database's clock.
        age: SignedDuration,
    },
}

/// The epoch of a gateway: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Epoch(String);

impl Epoch {
    fn new() -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError::Random)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A gateway as the others see it.
#[derive(Debug)]
struct Member {
    name: String,
    settings: SharedSettings,
}

/// Says that this gateway lives, on a thread of its own, until it is dropped.
pub struct Heartbeat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Makes this process one of the gateways that serve the store. In a folder there is nothing to do, because it has one.
    ///
    /// # Errors
    /// [`StoreError::Differs`] if a gateway that lives has another setting; [`StoreError::Database`].
    pub fn join(
        self: &Arc<Self>,
        name: &str,
        settings: SharedSettings,
    ) -> Result<Option<Heartbeat>, StoreError> {
        let Engine::Postgres(_) = &self.engine else { return Ok(None) };
        let member = Member { name: name.to_owned(), settings };
        self.enter(&member)?;
        let (stop, stopped) = mpsc::channel();
        let store = self.clone();
        let thread = thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || store.keep_alive(&member, &stopped))
            .map_err(StoreError::Thread)?;
        Ok(Some(Heartbeat { stop: Some(stop), thread: Some(thread) }))
    }

    /// The gateways that live, oldest first. Of a folder it is not known here: its lock tells.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn living_gateways(&self) -> Result<Vec<LivingGateway>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Vec::new()),
            Engine::Postgres(postgres) => postgres::living(&postgres.session()?),
        }
    }

    /// Whether several gateways may serve it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// Who is at work on which open intent.
    pub(super) fn keepers(&self) -> Result<BTreeMap<i64, Keeper>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(BTreeMap::new()),
            Engine::Postgres(postgres) => postgres::keepers(&postgres.session()?, self.epoch().as_ref()),
        }
    }

    /// Removes what gateways that died have left beside their intents: their rows, and pieces of uploads.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn bury(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Postgres(postgres) if postgres::some_are_dead(&postgres.session()?)? => {
                self.write(|transaction| {
                    postgres::remove_the_dead(transaction)?;
                    postgres::end_uploads_of_the_dead(transaction)
                })
            }
            _ => Ok(()),
        }
    }

    /// The epoch under which this process serves the store, if it does.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this process may begin a change. A gateway that counts as dead may not; who does not serve the store is none.
    pub(super) fn may_begin(&self, transaction: &Sql<'_>) -> Result<bool, StoreError> {
        self.epoch().map_or(Ok(true), |epoch| postgres::is_alive(transaction, &epoch))
    }

    /// Notes that an intent has no outcome, and is this gateway's.
    pub(super) fn open_intent(&self, transaction: &Sql<'_>, seq: i64) -> Result<(), StoreError> {
        match self.epoch() {
            Some(epoch) => postgres::open_intent(transaction, seq, &epoch),
            None => transaction.run("INSERT INTO open_intent (seq) VALUES (?)", values![seq]),
        }
    }

    /// Takes a crate's turn for an intent, which has it until it is settled, or [releases](release_turn) it. Returns whether the
    /// turn was free: an intent of another epoch may have it, whether that one lives or not.
    pub(super) fn take_turn(
        &self,
        transaction: &Sql<'_>,
        name: &CrateName,
        seq: i64,
    ) -> Result<bool, StoreError> {
        self.epoch().map_or(Ok(true), |epoch| postgres::take_turn(transaction, name, seq, &epoch))
    }

    /// Whether a crate's turn is free for a change that is settled in the transaction in which it is begun.
    pub(super) fn has_turn(&self, sql: &Sql<'_>, name: &CrateName) -> Result<bool, StoreError> {
        self.epoch().map_or(Ok(true), |epoch| postgres::has_turn(sql, name, &epoch))
    }

    fn enter(&self, member: &Member) -> Result<(), StoreError> {
        let epoch = Epoch::new()?;
        self.write(|transaction| {
            postgres::remove_the_dead(transaction)?;
            postgres::enter(transaction, &epoch, member)
        })?;
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
        Ok(())
    }

    fn keep_alive(&self, member: &Member, stopped: &mpsc::Receiver<()>) {
        let Engine::Postgres(postgres) = &self.engine else { return };
        // A connection of its own: however busy the others are, the gateway lives.
        let (mut connection, mut is_heard) = (None, true);
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(BEAT) {
            match self.beat(postgres, &mut connection, member) {
                Ok(()) if is_heard => continue,
                Ok(()) => tracing::info!("this gateway counts as alive again"),
                Err(error) if is_heard => {
                    let error = escaped(&with_causes(&error));
                    tracing::error!(
                        error,
                        "cannot record that this gateway is alive: soon it will accept no changes"
                    );
                }
                Err(_) => {}
            }
            is_heard = connection.is_some();
        }
        if let Some(epoch) = self.epoch()
            && let Err(error) = postgres.session().and_then(|sql| postgres::leave(&sql, &epoch))
        {
            tracing::warn!(%error, "the other gateways will count this one as alive for a few seconds, although it is stopping");
        }
    }

    fn beat<'a>(
        &self,
        postgres: &'a Postgres,
        connection: &mut Option<Sql<'a>>,
        member: &Member,
    ) -> Result<(), StoreError> {
        let Some(epoch) = self.epoch() else { return Ok(()) };
        // It is kept only if all goes well.
        let sql = connection.take().map_or_else(|| postgres.session(), Ok)?;
        if !postgres::beat(&sql, &epoch)? {
            tracing::warn!("this gateway was counted as dead, and starts afresh");
            self.enter(member)?;
        }
        *connection = Some(sql);
        Ok(())
    }
}

impl Drop for Heartbeat {
    /// Returns when the gateway's row is gone, or cannot be removed.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the panic hook has reported that.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heartbeat(..)")
    }
}
