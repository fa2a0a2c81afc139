//! Connections that never write. Reads over them do not wait until a commit is on disk.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::{BUSY, STATEMENTS};

/// As many reads are under way in the database at once. Most of them take less than a tenth of a millisecond.
const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connections = (0..READERS).map(|_| open(path).map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self { connections, turn: AtomicUsize::new(0) })
    }

    /// A connection that nobody uses. If all are used, it waits for one of them, each time for the next.
    pub(super) fn any(&self) -> MutexGuard<'_, Connection> {
        self.idle().unwrap_or_else(|| self.wait_for(self.turn.fetch_add(1, Ordering::Relaxed)))
    }

    /// A connection that nobody uses, if there is one.
    pub(super) fn idle(&self) -> Option<MutexGuard<'_, Connection>> {
        self.connections.iter().find_map(|connection| match connection.try_lock() {
            Ok(idle) => Some(idle),
            Err(TryLockError::Poisoned(idle)) => Some(idle.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Always the same connection. What one connection says of its state cannot be compared with what another says.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn first(&self) -> MutexGuard<'_, Connection> {
        self.wait_for(0)
    }

    fn wait_for(&self, turn: usize) -> MutexGuard<'_, Connection> {
        self.connections[turn % READERS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let reader = Connection::open(path)?;
    reader.busy_timeout(BUSY)?;
    reader.pragma_update(None, "query_only", true)?;
    reader.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(reader)
}
