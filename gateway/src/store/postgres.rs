//! How a PostgreSQL is reached: connections that are judged before they are used, and calls that end in time.
//!
//! Whoever asks waits on their own thread. Every wait has a limit: [`CONNECT`], [`FREE`] and [`CALL`] here, [`STATEMENT`] and
//! [`IDLE_IN_TRANSACTION`] at the server. A connection whose call ended late may be in any state, and is thrown away; what came
//! of the call is not known.

mod connector;
mod password;

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use deadpool::managed::{Object, Pool, PoolError, TimeoutType};
use deadpool_postgres::ClientWrapper;
use tokio::runtime::{self, Handle, Runtime};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::config::PostgresConfig;
use crate::http_client::AuthoritiesError;
use crate::store_place::PostgresUrl;
use connector::Connector;
pub use connector::Unusable;
pub use password::PasswordError;

/// How many connections a gateway has at most.
pub const CONNECTIONS: usize = 16;
/// How long one server may take until a new connection to it can be used.
pub const CONNECT: Duration = Duration::from_secs(5);
/// How long somebody waits for a connection that others have.
pub const FREE: Duration = Duration::from_secs(5);
/// How long the server works on a statement, and lets it wait for locks, until it refuses it.
pub const STATEMENT: Duration = Duration::from_secs(10);
/// How long a call is waited for. The server's own refusal arrives before.
pub const CALL: Duration = Duration::from_secs(15);
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
    /// Others have all connections.
    #[error("all {CONNECTIONS} connections to PostgreSQL were in use for {} seconds", FREE.as_secs())]
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
                failure.hint().map(str::to_owned)
            }
            Self::Password(error) => Some(error.hint()),
            Self::Authorities(_) => Some("see `ca-file` in [postgres]".to_owned()),
            Self::Failed(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Some(
                "run `store` commands as the owner of the tables; `registry-gateway store migrate --role ROLE` gives the \
                 gateway's role its rights"
                    .to_owned(),
            ),
            Self::Busy | Self::Late(_) | Self::GivenUp | Self::Failed(_) | Self::Runtime(_) => None,
        }
    }
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
            .max_size(CONNECTIONS)
            .wait_timeout(Some(FREE))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| PostgresError::Runtime(io::Error::other(error)))?;
        let postgres = Self { runtime: Some(runtime), pool };
        postgres.session()?.keep();
        Ok(postgres)
    }

    /// A connection for one use at a time, a new one or one that was kept.
    ///
    /// # Errors
    /// [`PostgresError`]; never [`Late`](PostgresError::Late), and nothing has been asked then.
    pub fn session(&self) -> Result<Session, PostgresError> {
        let runtime = self.runtime.as_ref().ok_or(PostgresError::GivenUp)?;
        // Each step of it has a limit of its own, and so has the number of steps.
        let connection = waited(runtime.handle(), Duration::MAX, self.pool.get());
        let connection = connection.map_err(|_| PostgresError::Busy)?.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => PostgresError::Busy,
            other => PostgresError::Runtime(io::Error::other(other.to_string())),
        })?;
        Ok(Session { runtime: runtime.handle().clone(), connection, is_kept: Cell::new(false) })
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
    is_kept: Cell<bool>,
}

impl Session {
    /// What is asked. Its answers are waited for with [`wait`](Self::wait).
    #[must_use]
    pub fn client(&self) -> &ClientWrapper {
        self.connection.client()
    }

    /// Waits for an answer, no longer than [`CALL`].
    ///
    /// # Errors
    /// [`PostgresError::Late`], [`PostgresError::GivenUp`], [`PostgresError::Failed`].
    pub fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        self.wait_for(CALL, answer)
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
        if self.connection.is_closed() {
            return Err(PostgresError::GivenUp);
        }
        self.is_kept.set(false);
        match waited(&self.runtime, limit, answer) {
            Ok(outcome) => Ok(outcome?),
            Err(_) => {
                self.connection.close();
                Err(PostgresError::Late(limit))
            }
        }
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
