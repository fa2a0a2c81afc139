//! PostgreSQL, the engine that several gateways share. Whoever asks it waits on their own thread.

mod dialect;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::{EngineError, Sql, Value, values};
use crate::audit::Point;
use crate::config::PostgresConfig;
use crate::store::moved::Moved;
use crate::store::postgres;
use crate::store::seen::Seen;
use crate::store::{StoreError, parsed};
use crate::store_place::PostgresUrl;
use dialect::Translations;

/// What a transaction begins with, each of whose statements sees what was committed before it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// What every writing transaction takes first. Whoever has the row of the log's end is the only one that writes, through
/// whichever gateway. It says the oldest layout that a program may know to write this one, and whether the store is elsewhere.
/// The entry that this gateway has seen was there before, so it does not matter that others are not seen anew after a wait.
const LOG_END: &str = "SELECT serves, moved_to, copied_from, (SELECT hash FROM audit WHERE seq = ?1)
     FROM log_end FOR UPDATE";
/// The number that changes of users, keys and credentials raise, and what keeps a program from going on with this layout.
const REVISION: &str = "SELECT number, serves FROM revision CROSS JOIN log_end";
/// Where an administrator has accepted that the log had lost its end.
const ACCEPTED: &str = "SELECT seq, hash FROM audit
     WHERE entry LIKE '%\"action\":\"accept-restore\"%' AND entry::json ->> 'lost' = ?1 ORDER BY seq DESC LIMIT 1";
/// What a reading transaction begins with, all of whose statements see one moment. Reading a whole table may take its time:
/// each of its rows is waited for.
const MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0";

/// The database of a store.
#[derive(Debug)]
pub(in crate::store) struct Postgres {
    reached: postgres::Postgres,
    translations: Translations,
    /// The newest layout that this program knows.
    known: i64,
    seen: Seen,
}

impl Postgres {
    pub(in crate::store) fn open(
        url: &PostgresUrl,
        settings: &PostgresConfig,
        known: i64,
    ) -> Result<Self, StoreError> {
        let reached = postgres::Postgres::open(url, settings).map_err(EngineError::Postgres)?;
        let (translations, seen) = (Translations::default(), Seen::default());
        Ok(Self { reached, translations, known, seen })
    }

    /// Runs one writing transaction, and commits it if the work succeeds.
    pub(in crate::store) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_wherever_it_is(|sql, moved| {
            moved.is_here()?;
            work(sql)
        })
    }

    /// Runs one writing transaction, also if the store was moved or is incomplete.
    pub(in crate::store) fn write_wherever_it_is<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>, &Moved) -> Result<T, E>,
    ) -> Result<T, E> {
        let last = self.seen.last();
        let (done, end) = self.transaction(|sql| {
            let read = |row: &super::Row<'_>| {
                let hash: Option<&str> = row.get(3)?;
                let is_there = last == Point::START || hash == Some(last.hash.to_string().as_str());
                Ok((row.get(0)?, Moved::of(row, 1, 2)?, is_there))
            };
            let (serves, moved, is_there) = sql.one(LOG_END, values![seq(last.seq)?], read)?;
            // The layout may have become another one since the last transaction.
            self.knows(serves)?;
            if !is_there {
                self.seen.goes_on(last, accepted(sql, last)?.ok_or(StoreError::Restored { lost: last })?);
            }
            let done = work(sql, &moved)?;
            Ok::<_, E>((done, sql.appended()))
        })?;
        if let Some(end) = end {
            self.seen.saw(end);
        }
        Ok(done)
    }

    /// Whether the role can do more to the log than add to it.
    pub(in crate::store) fn can_change_log(&self) -> Result<bool, StoreError> {
        let rights = "SELECT has_table_privilege('audit', 'UPDATE, DELETE, TRUNCATE')";
        self.session()?.one(rights, values![], |row| row.get(0))
    }

    /// What this gateway has seen of the log.
    pub(in crate::store) fn seen(&self) -> &Seen {
        &self.seen
    }

    fn knows(&self, serves: i64) -> Result<(), StoreError> {
        if serves > self.known {
            return Err(StoreError::Newer { found: serves, known: self.known });
        }
        Ok(())
    }

    /// Runs a transaction that waits for no other, and commits it if the work succeeds.
    pub(in crate::store) fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = Held::Own(Box::new(self.connection()?));
        let sql = Sql::Postgres(Session::begun(connection, &self.translations, BEGIN)?);
        let done = work(&sql)?;
        if let Sql::Postgres(session) = sql {
            session.commit()?;
        }
        Ok(done)
    }

    /// A number that every change of users, keys and credentials raises.
    pub(in crate::store) fn revision(&self) -> Result<i64, StoreError> {
        let read = |row: &super::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (number, serves) = self.session()?.one(REVISION, &[], read)?;
        self.knows(serves)?;
        Ok(number)
    }

    /// A connection on which each statement is a transaction.
    pub(in crate::store) fn session(&self) -> Result<Sql<'_>, StoreError> {
        let connection = Held::Own(Box::new(self.connection()?));
        let transaction = Cell::new(Transaction::None);
        let (translations, appended) = (&self.translations, Cell::default());
        Ok(Sql::Postgres(Session { connection, translations, transaction, appended }))
    }

    fn connection(&self) -> Result<postgres::Session, StoreError> {
        Ok(self.reached.session().map_err(EngineError::Postgres)?)
    }
}

/// Where the log goes on after the loss of its end, if an administrator has accepted that.
pub(in crate::store) fn accepted(sql: &Sql<'_>, lost: Point) -> Result<Option<Point>, StoreError> {
    sql.optional(ACCEPTED, values![&lost.to_string()], |row| {
        Ok(Point { seq: row.get::<i64>(0)?.unsigned_abs(), hash: parsed(row.get(1)?)? })
    })
}

fn seq(seq: u64) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::Damaged(format!("entry {seq} of the audit log")))
}

/// A connection, as long as somebody asks it. A transaction that was not committed is rolled back when it is dropped.
pub(in crate::store) struct Session<'a> {
    connection: Held<'a>,
    translations: &'a Translations,
    transaction: Cell<Transaction>,
    /// The end of the log, where this transaction has appended to it.
    appended: Cell<Option<Point>>,
}

enum Held<'a> {
    Own(Box<postgres::Session>),
    Of(&'a postgres::Session),
}

#[derive(Clone, Copy, PartialEq)]
enum Transaction {
    None,
    Begun,
    /// A statement has failed. A COMMIT would roll back, and not say so.
    Failed,
}

impl<'a> Session<'a> {
    fn begun(connection: Held<'a>, translations: &'a Translations, begin: &str) -> Result<Self, StoreError> {
        let transaction = Cell::new(Transaction::Begun);
        let session = Self { connection, translations, transaction, appended: Cell::default() };
        session.batch(begin)?;
        Ok(session)
    }

    fn commit(self) -> Result<(), StoreError> {
        if self.transaction.get() == Transaction::Failed {
            return Err(EngineError::RolledBack.into());
        }
        self.batch("COMMIT")?;
        self.transaction.set(Transaction::None);
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, StoreError> {
        if has_nul(parameters) {
            return Err(EngineError::Nul.into());
        }
        let (sql, types) = (self.translations.of(sql), types(parameters));
        let client = self.connection().client();
        Ok(self.wait(async {
            let statement = client.prepare_typed_cached(&sql, &types).await?;
            client.execute_raw(&statement, parameters.iter().map(parameter)).await
        })?)
    }

    pub(super) fn appended(&self) -> &Cell<Option<Point>> {
        &self.appended
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.wait(self.connection().client().batch_execute(sql))?)
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
        let (sql, types) = (self.translations.of(sql), types(parameters));
        let client = self.connection().client();
        let asked = self.wait(async {
            let statement = client.prepare_typed_cached(&sql, &types).await?;
            client.query_raw(&statement, parameters.iter().map(parameter)).await
        });
        let mut rows = pin!(asked.map_err(StoreError::from)?);
        loop {
            let Some(row) = self.wait(rows.try_next()).map_err(StoreError::from)? else { return Ok(()) };
            if read(&super::Row::Postgres(Row(&row)))?.is_break() {
                return Ok(());
            }
        }
    }

    /// Nothing is written in it, so it ends with a rollback.
    pub(super) fn moment(&self) -> Result<Session<'_>, StoreError> {
        Session::begun(Held::Of(self.connection()), self.translations, MOMENT)
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, EngineError> {
        self.connection().wait(answer).map_err(|error| {
            if self.transaction.get() == Transaction::Begun {
                self.transaction.set(Transaction::Failed);
            }
            EngineError::Postgres(error)
        })
    }

    fn connection(&self) -> &postgres::Session {
        match &self.connection {
            Held::Own(connection) => connection,
            Held::Of(connection) => connection,
        }
    }
}

/// A connection that is not kept is closed, and what was begun on it ends with it.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        let connection = self.connection();
        let rolled_back = || connection.wait(connection.client().batch_execute("ROLLBACK")).is_ok();
        if self.transaction.get() == Transaction::None || rolled_back() {
            connection.keep();
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

fn types(parameters: &[Value<'_>]) -> Vec<Type> {
    let kind = |value: &Value<'_>| match value {
        Value::Integer(_) => Type::INT8,
        Value::Null | Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    };
    parameters.iter().map(kind).collect()
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
