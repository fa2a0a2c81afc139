//! Whether users, keys or credentials have changed, or anything else that is in the log: one query answers all who want to know.
//!
//! Whoever asks while a query is under way waits for the next one. The present one may have been answered before a revocation
//! was committed that they come after. Nobody holds a thread while they wait, and nobody is told what was known before.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager as _, Pool};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::Statement;

use super::PostgresError;
use super::clock::{Clock, NOW};
use super::connector::{Connection, Connector};
use crate::causes::with_causes;

/// How long somebody waits to be told the revision. Then they are told that it is not known.
pub const REVISION: Duration = Duration::from_secs(3);
/// The end of the log.
const LOG: &str = "size";
/// How often the clock is set when nobody asks.
const QUIET: Duration = Duration::from_secs(30);

/// What the database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// A number that every change of users, keys and credentials raises.
    pub revision: i64,
    /// The end of the log, in which every change of a crate has its entry.
    pub log: i64,
    /// Which connection it was asked by. Another server may have answered a new one, and have lost the last commits.
    pub connection: u64,
    /// The layout of its tables.
    pub layout: i64,
    /// The oldest layout that a program may know to use these tables.
    pub serves: i64,
    /// Where the store was moved to.
    pub moved_to: Option<String>,
    /// From where it is being copied.
    pub copied_from: Option<String>,
    /// The generation of the audit log.
    pub generation: i64,
    /// How many entries its newest checkpoint is of.
    pub signed: Option<i64>,
}

type Asker = oneshot::Sender<Result<Present, Arc<PostgresError>>>;

/// Asks by a connection of its own, which no other use can keep waiting.
#[derive(Debug)]
pub(super) struct Revisions(mpsc::UnboundedSender<Asker>);

impl Revisions {
    pub(super) fn new(runtime: &Handle, pool: Pool<Connector>, clock: Arc<Clock>) -> Self {
        let (asker, askers) = mpsc::unbounded_channel();
        let asking = Asking { pool, clock, by: None, connections: 0, is_answered: true };
        runtime.spawn(asking.answer_all(askers));
        Self(asker)
    }

    /// What the database says now, or later than now.
    ///
    /// # Errors
    /// [`PostgresError`], after [`REVISION`] at the latest.
    pub(super) async fn present(&self) -> Result<Present, PostgresError> {
        let (asker, answer) = oneshot::channel();
        self.0.send(asker).map_err(|_| PostgresError::GivenUp)?;
        match timeout(REVISION, answer).await {
            Ok(Ok(answer)) => answer.map_err(PostgresError::Together),
            Ok(Err(_)) => Err(PostgresError::GivenUp),
            Err(_) => Err(PostgresError::Together(Arc::new(PostgresError::Late(REVISION)))),
        }
    }
}

struct Asking {
    pool: Pool<Connector>,
    clock: Arc<Clock>,
    by: Option<(Connection, Statement)>,
    /// How many connections there were.
    connections: u64,
    /// Whether there was an answer the last time.
    is_answered: bool,
}

impl Asking {
    async fn answer_all(mut self, mut askers: mpsc::UnboundedReceiver<Asker>) {
        let mut waiting = Vec::new();
        loop {
            match timeout(QUIET, askers.recv_many(&mut waiting, usize::MAX)).await {
                Ok(0) => return,
                Err(_) if self.by.is_none() => continue,
                Ok(_) | Err(_) => {}
            }
            let answer = self.ask().await.map_err(Arc::new);
            self.tell(answer.as_ref().err().map(Arc::as_ref));
            for asker in waiting.drain(..) {
                // Who has gone wants no answer.
                let _ = asker.send(answer.clone());
            }
        }
    }

    /// Tells the operator once, however many requests are refused for it.
    fn tell(&mut self, failure: Option<&PostgresError>) {
        match failure {
            Some(error) if self.is_answered => {
                let (cause, hint) = (with_causes(error), error.hint());
                tracing::error!(
                    cause,
                    hint,
                    "the store's database does not answer; requests that need it are refused until it does"
                );
            }
            None if !self.is_answered => tracing::warn!("the store's database answers again"),
            Some(_) | None => {}
        }
        self.is_answered = failure.is_none();
    }

    async fn ask(&mut self) -> Result<Present, PostgresError> {
        if let Some(by) = self.by.take() {
            match self.ask_by(&by).await {
                Ok(present) => {
                    self.by = Some(by);
                    return Ok(present);
                }
                // They have been refused who have waited for it.
                Err(error @ PostgresError::Late(_)) => self.tell(Some(&error)),
                Err(error) => tracing::debug!(%error, "the revision is asked by a new connection"),
            }
        }
        let connection = self.pool.manager().create().await?;
        // What broke the last one may have made another server the primary.
        self.pool.manager().distrust_connections();
        let query = format!(
            "SELECT number, layout, serves, {NOW}, moved_to, copied_from, {LOG}, generation, (SELECT max(size) FROM checkpoint)
             FROM revision, log_end"
        );
        let prepared = timeout(REVISION, connection.client().prepare(&query)).await;
        let by = (connection, prepared.map_err(|_| PostgresError::Late(REVISION))??);
        self.connections += 1;
        let present = self.ask_by(&by).await?;
        self.by = Some(by);
        Ok(present)
    }

    async fn ask_by(&self, (connection, query): &(Connection, Statement)) -> Result<Present, PostgresError> {
        let row = timeout(REVISION, connection.client().query_one(query, &[])).await;
        let row = row.map_err(|_| PostgresError::Late(REVISION))??;
        self.clock.set(row.try_get(3)?);
        Ok(Present {
            revision: row.try_get(0)?,
            log: row.try_get(6)?,
            connection: self.connections,
            layout: row.try_get(1)?,
            serves: row.try_get(2)?,
            moved_to: row.try_get(4)?,
            copied_from: row.try_get(5)?,
            generation: row.try_get(7)?,
            signed: row.try_get(8)?,
        })
    }
}
