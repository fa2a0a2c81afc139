//! Connections to PostgreSQL: each is lent to one thread at a time, and is thrown away once an answer came too late.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::EngineError;

/// As many connections there are at most. Whoever needs another waits.
const MOST: usize = 16;
/// How long anything is waited for: a connection, and each answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    idle: Mutex<Vec<Arc<Connection>>>,
    places: Semaphore,
    /// Always there, until it is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    task: AbortHandle,
    statements: Mutex<HashMap<String, Statement>>,
}

impl Connections {
    pub(super) fn new(config: Config) -> Result<Self, EngineError> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("postgresql").enable_all().build();
        let runtime = Some(runtime.map_err(EngineError::Runtime)?);
        Ok(Self { config, idle: Mutex::default(), places: Semaphore::new(MOST), runtime })
    }

    /// A connection for one thread.
    pub(super) fn lend(&self) -> Result<Lent<'_>, EngineError> {
        let _context = self.runtime.as_ref().map(Runtime::enter);
        let place = blocked_on(timeout(PATIENCE, self.places.acquire()));
        let place = place.ok().and_then(Result::ok).ok_or(EngineError::Busy(PATIENCE))?;
        let idle = self.idle().pop().filter(|idle| !idle.client.is_closed());
        let connection = match idle {
            Some(idle) => idle,
            None => Arc::new(self.connected()?),
        };
        Ok(Lent { connection, of: self, _place: place, is_good: Cell::new(true) })
    }

    fn connected(&self) -> Result<Connection, EngineError> {
        let connecting = blocked_on(timeout(PATIENCE, self.config.connect(NoTls)));
        let (client, connection) = connecting.map_err(|_| EngineError::Late(PATIENCE))??;
        // What goes wrong with it is told to whoever asks.
        let task = tokio::spawn(async { _ = connection.await }).abort_handle();
        Ok(Connection { client, task, statements: Mutex::default() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store may be dropped by a task, which may not wait for threads.
impl Drop for Connections {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nobody reads from the socket of a connection that was thrown away, so it is closed, and the server ends what it does.
impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection, until it is dropped.
pub(super) struct Lent<'a> {
    connection: Arc<Connection>,
    of: &'a Connections,
    is_good: Cell<bool>,
    _place: SemaphorePermit<'a>,
}

impl Lent<'_> {
    pub(super) fn client(&self) -> &Client {
        &self.connection.client
    }

    /// The statements that the connection keeps prepared, by their text.
    pub(super) fn statements(&self) -> MutexGuard<'_, HashMap<String, Statement>> {
        self.connection.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer, for a limited time. If it comes too late, the connection is of no use to anybody.
    pub(super) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, EngineError> {
        let _context = self.of.runtime.as_ref().map(Runtime::enter);
        let answered = blocked_on(timeout(PATIENCE, answer));
        Ok(answered.map_err(|_| {
            self.throw_away();
            EngineError::Late(PATIENCE)
        })??)
    }

    /// Whether somebody else can have it next.
    pub(super) fn is_good(&self) -> bool {
        self.is_good.get() && !self.connection.client.is_closed()
    }

    pub(super) fn throw_away(&self) {
        self.is_good.set(false);
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.is_good() {
            self.of.idle().push(self.connection.clone());
        }
    }
}

/// Runs a future on this thread, also where a runtime forbids to wait for one: the store is asked by tasks, too.
fn blocked_on<T>(future: impl Future<Output = T>) -> T {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Waiting(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        thread::park();
    }
}
