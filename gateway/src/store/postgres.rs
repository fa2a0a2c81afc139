//! How a PostgreSQL is reached: connections that are judged before they are used, and calls that end in time.
//!
//! Whoever asks waits on their own thread, but for the [revision](Postgres::present). Every wait has a limit: [`CONNECT`],
//! [`FREE`], [`CALL`] and [`REVISION`] here, [`STATEMENT`] and [`IDLE_IN_TRANSACTION`] at the server. A connection whose call ended
//! late may be in any state, and is thrown away; what came of the call is not known.

mod clock;
mod connector;
mod password;
mod revisions;

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError, QueueMode, TimeoutType};
use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::error::{Severity, SqlState};
use tokio_util::task::AbortOnDropHandle;

use crate::config::PostgresConfig;
use crate::http_client::AuthoritiesError;
use crate::store_place::PostgresUrl;
use clock::Clock;
pub(super) use clock::NOW;
use connector::Connector;
pub use connector::Unusable;
pub use password::PasswordError;
use revisions::Revisions;
pub use revisions::{Present, REVISION};

/// How many connections a gateway has at most, beside the one that asks for the revision.
pub const CONNECTIONS: usize = 16;
/// How many of them are in use at most by those who write, and who wait for each other. The rest is for readers.
pub const WRITERS: usize = 8;
/// How long one server may take until a new connection to it can be used.
pub const CONNECT: Duration = Duration::from_secs(5);
/// How long somebody waits for a connection that others have, and before that, to write, for a turn to have one.
pub const FREE: Duration = Duration::from_secs(5);
/// How long the server works on a statement, and lets it wait for locks, until it refuses it.
pub const STATEMENT: Duration = Duration::from_secs(10);
/// How long a call is waited for. The server's own refusal arrives before.
pub const CALL: Duration = Duration::from_secs(15);
/// How long a reader waits for their answer. The call itself may go on.
pub const READ: Duration = Duration::from_secs(5);
/// How long the server keeps a transaction open in which nothing is asked.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// Why a PostgreSQL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// None of the servers can be used; each with its reason, in the order in which they were tried.
    #[error("no PostgreSQL can be used: {}", of_each(.0))]
    NoServer(Vec<(String, Unusable)>),
    /// The password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The certificate authorities.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// Others have all connections, or all that may be used to write.
    #[error("all PostgreSQL connections were in use for {} seconds", FREE.as_secs())]
    Busy,
    /// A call was not answered in time. It is not known what came of it.
    #[error("PostgreSQL did not answer within {0:?}")]
    Late(Duration),
    /// The connection was thrown away after an earlier call.
    #[error("the connection to PostgreSQL was given up before")]
    GivenUp,
    /// The server refused a statement, or the connection broke.
    #[error("PostgreSQL failed")]
    Failed(#[from] tokio_postgres::Error),
    /// What one asked for many failed.
    #[error(transparent)]
    Together(Arc<PostgresError>),
    /// A thread could not be started.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl PostgresError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoServer(failures) => {
                let telling = failures.iter().find(|(_, failure)| failure.is_telling());
                let (_, failure) = telling.or(failures.first())?;
                failure.hint()
            }
            Self::Password(error) => Some(error.hint()),
            Self::Authorities(_) => Some("see `ca-file` in [postgres]".to_owned()),
            Self::Failed(error) => error.code().and_then(of_code).map(str::to_owned),
            Self::Together(error) => error.hint(),
            Self::Late(_) => Some(LATE.to_owned()),
            Self::Busy | Self::GivenUp | Self::Runtime(_) => None,
        }
    }

    /// Whether the same may be asked again later: the server cannot be reached or used at present. What it refuses to do at any
    /// time is not of that kind.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoServer(failures) => failures.iter().all(|(_, failure)| failure.is_passing()),
            Self::Failed(error) => error.as_db_error().is_none_or(|error| {
                // Any other severity has ended the session.
                error.parsed_severity() != Some(Severity::Error) || is_passing(error.code())
            }),
            Self::Together(error) => error.is_passing(),
            Self::Busy | Self::Late(_) | Self::GivenUp => true,
            Self::Password(_) | Self::Authorities(_) | Self::Runtime(_) => false,
        }
    }
}

const LATE: &str = "check what it is waiting for: its disk, a standby of `synchronous_standby_names`, or a lock (pg_stat_activity)";

/// Whether the server refuses with this code only at present: PostgreSQL's appendix A, by class.
fn is_passing(code: &SqlState) -> bool {
    // A connection, resources such as disk and connections, an operator's intervention, its system; a read-only transaction, a
    // lock.
    ["08", "53", "57", "58"].contains(&&code.code()[..2])
        || [&SqlState::READ_ONLY_SQL_TRANSACTION, &SqlState::LOCK_NOT_AVAILABLE].contains(&code)
}

/// What to do where the server refused with this code.
fn of_code(code: &SqlState) -> Option<&'static str> {
    let known = [
        (
            &SqlState::DISK_FULL,
            "free some space on the server's disk: its log names the file that could not be written",
        ),
        (
            &SqlState::READ_ONLY_SQL_TRANSACTION,
            "see `default_transaction_read_only` of the server, the database and the role; if it is a standby now, name the primary too",
        ),
        (&SqlState::QUERY_CANCELED, LATE),
        (
            &SqlState::LOCK_NOT_AVAILABLE,
            "a session is at work on a table that is to be changed, such as that of a backup: see pg_stat_activity, and run the \
             command again when it has ended",
        ),
        (
            &SqlState::INSUFFICIENT_PRIVILEGE,
            "run `store` commands as the owner of the tables; `registry-gateway store migrate --role ROLE` gives the gateway's \
             role its rights",
        ),
        (&SqlState::UNDEFINED_TABLE, "as the owner of the database, run `registry-gateway store migrate`"),
    ];
    known.iter().find(|(known, _)| *known == code).map(|(_, hint)| *hint)
}

fn of_each(failures: &[(String, Unusable)]) -> String {
    failures.iter().map(|(host, error)| format!("{host}: {error}")).collect::<Vec<_>>().join("; ")
}

/// A PostgreSQL, and the connections to it.
#[derive(Debug)]
pub struct Postgres {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    pool: Pool<Connector>,
    writers: Semaphore,
    clock: Arc<Clock>,
    revisions: Revisions,
}

impl Postgres {
    /// Reaches it, and looks whether it can be used.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn open(url: &PostgresUrl, settings: &PostgresConfig) -> Result<Self, PostgresError> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(PostgresError::Runtime)?;
        let pool = Pool::builder(Connector::new(url, settings)?)
            // The one used last has its statements planned, and what it reads in its caches.
            .queue_mode(QueueMode::Lifo)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(FREE))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| PostgresError::Runtime(io::Error::other(error)))?;
        let clock = Arc::new(Clock::new());
        let revisions = Revisions::new(runtime.handle(), pool.clone(), clock.clone());
        let writers = Semaphore::new(WRITERS);
        let postgres = Self { runtime: Some(runtime), pool, writers, clock, revisions };
        let session = postgres.session()?;
        let now = format!("SELECT {NOW}");
        postgres.clock.set(session.wait(session.client().query_one(&now, &[]))?.try_get(0)?);
        session.keep();
        drop(session);
        Ok(postgres)
    }

    /// The time by the database's clock, as it was told last. It is told with each [`present`](Self::present), and once in half a
    /// minute.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the database says of itself now, or later than now. No thread waits for it.
    ///
    /// # Errors
    /// [`PostgresError`], after [`REVISION`] at the latest.
    pub async fn present(&self) -> Result<Present, PostgresError> {
        self.revisions.present().await
    }

    /// Waits for its turn to have a connection to write by, no longer than [`FREE`].
    ///
    /// # Errors
    /// [`PostgresError::Busy`]; nothing has been asked then.
    pub fn writer(&self) -> Result<SemaphorePermit<'_>, PostgresError> {
        let runtime = self.runtime.as_ref().ok_or(PostgresError::GivenUp)?;
        let turn = waited(runtime.handle(), FREE, self.writers.acquire());
        turn.map_err(|_| PostgresError::Busy)?.map_err(|_| PostgresError::GivenUp)
    }

    /// A connection for one use at a time, a new one or one that was kept.
    ///
    /// # Errors
    /// [`PostgresError`]; never [`Late`](PostgresError::Late), and nothing has been asked then.
    pub fn session(&self) -> Result<Session, PostgresError> {
        // Each step of it has a limit of its own, and so has the number of steps.
        self.session_within(Duration::MAX)
    }

    /// The same within a limit of the whole.
    ///
    /// # Errors
    /// [`PostgresError`]; nothing has been asked then.
    pub fn session_within(&self, limit: Duration) -> Result<Session, PostgresError> {
        let runtime = self.runtime.as_ref().ok_or(PostgresError::GivenUp)?;
        let connection = waited(runtime.handle(), limit, self.pool.get());
        let connection =
            connection.map_err(|_| PostgresError::Late(limit))?.map_err(|error| match error {
                PoolError::Backend(error) => error,
                PoolError::Timeout(TimeoutType::Wait) => PostgresError::Busy,
                other => PostgresError::Runtime(io::Error::other(other.to_string())),
            })?;
        let (runtime, call) = (runtime.handle().clone(), Cell::new(CALL));
        Ok(Session { runtime, connection, call, is_kept: Cell::new(false) })
    }
}

impl Drop for Postgres {
    /// Nobody is waited for, because it may be dropped where waiting is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection that nobody else has. When it is dropped it is closed, unless it is [kept](Self::keep): whoever returned early
/// may have left a transaction open.
#[derive(Debug)]
pub struct Session {
    runtime: Handle,
    connection: Object<Connector>,
    /// How long a call is waited for.
    call: Cell<Duration>,
    is_kept: Cell<bool>,
}

impl Session {
    /// What is asked. Its answers are waited for with [`wait`](Self::wait).
    #[must_use]
    pub fn client(&self) -> &Arc<ClientWrapper> {
        self.connection.client()
    }

    /// Waits for an answer, no longer than [`CALL`], unless it [may take longer](Self::without_limit).
    ///
    /// # Errors
    /// [`PostgresError::Late`], [`PostgresError::GivenUp`], [`PostgresError::Failed`].
    pub fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        self.wait_for(self.call.get(), answer)
    }

    /// Waits for an answer, no longer than this.
    ///
    /// # Errors
    /// [`PostgresError::Late`], [`PostgresError::GivenUp`], [`PostgresError::Failed`].
    pub fn wait_for<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        Ok(self.waited_for(limit, || answer)??)
    }

    fn waited_for<F: Future>(
        &self,
        limit: Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<F::Output, PostgresError> {
        if self.connection.is_closed() {
            return Err(PostgresError::GivenUp);
        }
        self.is_kept.set(false);
        waited(&self.runtime, limit, ask()).map_err(|_| {
            self.connection.close();
            PostgresError::Late(limit)
        })
    }

    /// The same for many answers. The thread that reads them hears of each, and this one of the whole: to wake it for each would take
    /// longer than most answers.
    ///
    /// # Errors
    /// [`PostgresError::Late`], [`PostgresError::GivenUp`], [`PostgresError::Failed`].
    pub fn wait_for_all<T: Send + 'static>(
        &self,
        limit: Option<Duration>,
        answers: impl Future<Output = Result<T, tokio_postgres::Error>> + Send + 'static,
    ) -> Result<T, PostgresError> {
        let limit = limit.unwrap_or(self.call.get());
        match self.waited_for(limit, || AbortOnDropHandle::new(self.runtime.spawn(answers)))? {
            Ok(answered) => Ok(answered?),
            Err(ended) => {
                Err(ended.try_into_panic().map_or(PostgresError::GivenUp, |panic| resume_unwind(panic)))
            }
        }
    }

    /// From now on every answer is waited for as long as the connection holds.
    pub fn without_limit(&self) {
        self.call.set(Duration::MAX);
    }

    /// Lets others have the connection when this is dropped, unless something is asked before. No transaction may be open.
    pub fn keep(&self) {
        self.is_kept.set(true);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            self.connection.close();
        }
    }
}

/// Waits on this thread for what a runtime does on others, for a limited time. Tasks ask the store too, and [`Runtime::block_on`]
/// does not let them wait.
fn waited<T>(runtime: &Handle, limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let _context = runtime.enter();
    let waker = Arc::new(Waiting(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(timeout(limit, future));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        thread::park();
    }
}
