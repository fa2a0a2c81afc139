//! PostgreSQL, the engine that several gateways share. Whoever asks it waits on their own thread; a small runtime of the
//! engine's own moves the bytes.

mod connections;
mod dialect;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};

use super::{EngineError, Sql, Value};
use crate::store::StoreError;
use connections::{Connections, Lent};

/// What a transaction begins with, each of whose statements sees what was committed before it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// What every writing transaction takes first. Whoever has the row of the log's end is the only one that writes, through
/// whichever gateway. It says the oldest layout that a program may know to write this one.
const LOG_END: &str = "SELECT serves FROM log_end FOR UPDATE";
/// What a reading transaction begins with, all of whose statements see one moment.
const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The database of a store.
#[derive(Debug)]
pub(in crate::store) struct Postgres {
    connections: Connections,
    /// The newest layout that this program knows.
    known: i64,
}

impl Postgres {
    pub(in crate::store) fn open(url: &str, known: i64) -> Result<Self, StoreError> {
        Ok(Self { connections: Connections::new(url.parse().map_err(EngineError::from)?)?, known })
    }

    /// Runs one writing transaction, and commits it if the work succeeds.
    pub(in crate::store) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction(|sql| {
            // The layout may have become another one since the last transaction.
            let found = sql.one(LOG_END, &[], |row| row.get(0))?;
            if found > self.known {
                return Err(StoreError::Newer { found, known: self.known }.into());
            }
            work(sql)
        })
    }

    /// Runs a transaction that waits for no other, and commits it if the work succeeds.
    pub(in crate::store) fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.connections.lend().map_err(StoreError::from)?;
        let sql = Sql::Postgres(Session::begun(Held::Own(connection), BEGIN)?);
        let done = work(&sql)?;
        if let Sql::Postgres(session) = sql {
            session.commit()?;
        }
        Ok(done)
    }

    /// A number that every change of users, keys and credentials raises.
    pub(in crate::store) fn revision(&self) -> Result<i64, StoreError> {
        self.session()?.one("SELECT number FROM revision", &[], |row| row.get(0))
    }

    /// A connection on which each statement is a transaction.
    pub(in crate::store) fn session(&self) -> Result<Sql<'_>, StoreError> {
        let connection = Held::Own(self.connections.lend()?);
        Ok(Sql::Postgres(Session { connection, transaction: Cell::new(Transaction::None) }))
    }
}

/// A connection, as long as somebody asks it. A transaction that was not committed is rolled back when it is dropped.
pub(in crate::store) struct Session<'a> {
    connection: Held<'a>,
    transaction: Cell<Transaction>,
}

enum Held<'a> {
    Own(Lent<'a>),
    Of(&'a Lent<'a>),
}

#[derive(Clone, Copy, PartialEq)]
enum Transaction {
    None,
    Begun,
    /// A statement has failed. A COMMIT would roll back, and not say so.
    Failed,
}

impl<'a> Session<'a> {
    fn begun(connection: Held<'a>, begin: &str) -> Result<Self, StoreError> {
        let session = Self { connection, transaction: Cell::new(Transaction::Begun) };
        session.wait(session.lent().client().batch_execute(begin))?;
        Ok(session)
    }

    fn commit(self) -> Result<(), StoreError> {
        if self.transaction.get() == Transaction::Failed {
            return Err(EngineError::RolledBack.into());
        }
        self.wait(self.lent().client().batch_execute("COMMIT"))?;
        self.transaction.set(Transaction::None);
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, StoreError> {
        if has_nul(parameters) {
            return Err(EngineError::Nul.into());
        }
        let statement = self.prepared(sql, parameters)?;
        Ok(self.wait(self.lent().client().execute_raw(&statement, parameters.iter().map(parameter)))?)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.wait(self.lent().client().batch_execute(sql))?)
    }

    pub(super) fn while_wanted<E: From<StoreError>>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&super::Row<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        // No text here has it, so it is found nowhere.
        if has_nul(parameters) {
            return Ok(());
        }
        let failed = |error: EngineError| StoreError::from(error);
        let statement = self.prepared(sql, parameters).map_err(failed)?;
        let asked = self.lent().client().query_raw(&statement, parameters.iter().map(parameter));
        let mut rows = pin!(self.wait(asked).map_err(failed)?);
        while let Some(row) = self.wait(rows.try_next()).map_err(failed)? {
            if read(&super::Row::Postgres(Row(&row)))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Nothing is written in it, so it ends with a rollback.
    pub(super) fn moment(&self) -> Result<Session<'_>, StoreError> {
        Session::begun(Held::Of(self.lent()), MOMENT)
    }

    /// The statement, which its connection keeps prepared. The types of its parameters are those of the values that are
    /// given first, and do not change.
    fn prepared(&self, sql: &str, parameters: &[Value<'_>]) -> Result<Statement, EngineError> {
        let lent = self.lent();
        if let Some(known) = lent.statements().get(sql) {
            return Ok(known.clone());
        }
        let types: Vec<_> = parameters.iter().map(kind).collect();
        let statement = self.wait(lent.client().prepare_typed(&dialect::translated(sql), &types))?;
        lent.statements().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, EngineError> {
        self.lent().wait(answer).inspect_err(|_| {
            if self.transaction.get() == Transaction::Begun {
                self.transaction.set(Transaction::Failed);
            }
        })
    }

    fn lent(&self) -> &Lent<'a> {
        match &self.connection {
            Held::Own(lent) => lent,
            Held::Of(lent) => lent,
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Who has not answered in time is not waited for once more.
        if self.transaction.get() != Transaction::None
            && self.lent().is_good()
            && let Err(error) = self.lent().wait(self.lent().client().batch_execute("ROLLBACK"))
        {
            tracing::debug!(%error, "a transaction ends with its connection");
            self.lent().throw_away();
        }
    }
}

fn has_nul(parameters: &[Value<'_>]) -> bool {
    parameters.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0')))
}

fn parameter<'a>(value: &'a Value<'a>) -> &'a (dyn ToSql + Sync) {
    match value {
        Value::Null => &None::<&str>,
        Value::Integer(number) => number,
        Value::Text(text) => text,
        Value::Bytes(bytes) => bytes,
    }
}

fn kind(value: &Value<'_>) -> Type {
    match value {
        Value::Integer(_) => Type::INT8,
        Value::Null | Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    }
}

pub(in crate::store) struct Row<'a>(&'a tokio_postgres::Row);

impl Row<'_> {
    /// `None` if there is no such column, or it has a type that no column of the store has.
    pub(super) fn value(&self, column: usize) -> Option<Value<'_>> {
        let Self(row) = self;
        let value = match *row.columns().get(column)?.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(column).ok()?.map(Value::Integer),
            Type::BOOL => row.try_get::<_, Option<bool>>(column).ok()?.map(|is| Value::Integer(is.into())),
            Type::TEXT => row.try_get::<_, Option<&str>>(column).ok()?.map(Value::Text),
            Type::BYTEA => row.try_get::<_, Option<&[u8]>>(column).ok()?.map(Value::Bytes),
            _ => return None,
        };
        Some(value.unwrap_or(Value::Null))
    }

    pub(super) fn raw_text(&self, column: usize) -> &[u8] {
        if let Some(Value::Text(text)) = self.value(column) { text.as_bytes() } else { &[] }
    }
}

/// PostgreSQL's own error, or one of its connection.
pub(super) type Error = tokio_postgres::Error;

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}
