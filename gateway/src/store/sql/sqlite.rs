//! SQLite, the embedded engine: one connection that writes, and a few that read.

mod readers;

use std::ops::{ControlFlow, Deref};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, Transaction, TransactionBehavior, params_from_iter};

use super::{EngineError, Sql, Value};
use crate::store::StoreError;
use readers::Readers;

/// How long a statement waits for a lock that another process has.
const BUSY: Duration = Duration::from_secs(10);
/// How many statements each connection keeps prepared.
const STATEMENTS: usize = 64;

/// The database of a store.
#[derive(Debug)]
pub(in crate::store) struct Sqlite {
    writer: Mutex<Connection>,
    readers: Readers,
}

impl Sqlite {
    /// Opens the database in a file, and brings it to the present layout in one transaction.
    pub(in crate::store) fn open(
        path: &Path,
        migrate: impl FnOnce(&Sql<'_>) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        in_transaction(&mut connection, migrate)?;
        Ok(Self { writer: Mutex::new(connection), readers: Readers::open(path)? })
    }

    /// Runs one writing transaction, and commits it if the work succeeds.
    pub(in crate::store) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        in_transaction(&mut self.writer(), work)
    }

    /// A connection for reading, which does not wait for those who write.
    pub(in crate::store) fn reader(&self) -> Sql<'_> {
        Sql::Sqlite(Session::Reader(self.readers.any()))
    }

    /// The same, if nobody uses one of them.
    pub(super) fn idle_reader(&self) -> Option<Sql<'_>> {
        self.readers.idle().map(|reader| Sql::Sqlite(Session::Reader(reader)))
    }

    /// Always the same connection for reading.
    #[cfg(not(target_os = "linux"))]
    pub(in crate::store) fn first_reader(&self) -> Sql<'_> {
        Sql::Sqlite(Session::Reader(self.readers.first()))
    }

    /// The connection that writes, for one transaction at a time. If its last user has panicked, that transaction was rolled
    /// back.
    pub(in crate::store) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_transaction<T, E: From<StoreError>>(
    connection: &mut Connection,
    work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let sql = Sql::Sqlite(Session::Transaction(begun.map_err(StoreError::from)?));
    let done = work(&sql)?;
    if let Sql::Sqlite(session) = sql {
        session.commit()?;
    }
    Ok(done)
}

/// A connection, as long as somebody asks it.
pub(in crate::store) enum Session<'a> {
    Reader(MutexGuard<'a, Connection>),
    Transaction(Transaction<'a>),
}

impl Deref for Session<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Reader(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl Session<'_> {
    pub(super) fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, StoreError> {
        let rows = self.prepare_cached(sql)?.execute(params_from_iter(parameters))?;
        Ok(rows as u64)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.execute_batch(sql)?)
    }

    pub(super) fn while_wanted<E: From<StoreError>>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&super::Row<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut statement = self.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query(params_from_iter(parameters)).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            if read(&super::Row::Sqlite(Row(row)))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Nothing is written in it, so it ends with a rollback.
    pub(super) fn moment(&self) -> Result<Session<'_>, StoreError> {
        Ok(Session::Transaction(self.unchecked_transaction()?))
    }

    fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Reader(_) => Ok(()),
            Self::Transaction(transaction) => Ok(transaction.commit()?),
        }
    }
}

pub(in crate::store) struct Row<'a>(&'a rusqlite::Row<'a>);

impl Row<'_> {
    /// `None` if there is no such column, or nothing in it that this program writes.
    pub(super) fn value(&self, column: usize) -> Option<Value<'_>> {
        match self.0.get_ref(column).ok()? {
            ValueRef::Null => Some(Value::Null),
            ValueRef::Integer(number) => Some(Value::Integer(number)),
            ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Value::Text),
            ValueRef::Blob(bytes) => Some(Value::Bytes(bytes)),
            ValueRef::Real(_) => None,
        }
    }

    pub(super) fn raw_text(&self, column: usize) -> &[u8] {
        match self.0.get_ref(column) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes,
            _ => &[],
        }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Database(EngineError::Sqlite(error))
    }
}

/// SQLite's own error.
pub(super) type Error = rusqlite::Error;

pub(super) fn is_of_permissions(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly)
    )
}
