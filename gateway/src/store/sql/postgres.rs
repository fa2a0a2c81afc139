//! PostgreSQL, the engine that several gateways share. Whoever asks it waits on their own thread.

mod ahead;
mod attempt;
mod dialect;
mod later;
mod statement;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::moved::Moved;
use super::{EngineError, Sql, Value, values};
use crate::audit::Point;
use crate::config::PostgresConfig;
use crate::store::log_end::End;
use crate::store::postgres::{self, PostgresError, Present};
use crate::store::seen::Seen;
use crate::store::{LastSeen, StoreError, parsed};
use crate::store_place::PostgresUrl;
use ahead::Ahead;
pub(super) use attempt::leaves_open;
use attempt::{Attempt, COMMIT};
use dialect::Translations;
use later::Later;

/// What a transaction begins with, each of whose statements sees what was committed before it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// What every writing transaction takes first. Whoever has the row of the log's end is the only one that writes, through
/// whichever gateway. It says the oldest layout that a program may know to write this one, whether the store is elsewhere, and what
/// it takes to append.
const LOG_END: &str =
    "SELECT layout, serves, moved_to, copied_from, size, edge, generation FROM log_end FOR UPDATE";
/// What a reading transaction begins with, all of whose statements see one moment. Reading a whole table may take its time:
/// each of its rows is waited for.
const MOMENT: [&str; 2] =
    ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET LOCAL statement_timeout = 0"];

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

    /// Runs one writing transaction, and commits it if the work succeeds. What it is foreseen to read is asked ahead. If the COMMIT is
    /// not answered, it is found out whether it was carried out.
    ///
    /// # Errors
    /// [`EngineError::InDoubt`] if that cannot be found out; after any other error nothing is written.
    pub(in crate::store) fn write<T, E: From<StoreError>>(
        &self,
        foreseen: impl FnOnce(&Sql<'_>),
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_wherever_it_is(foreseen, |sql, moved| {
            moved.is_here()?;
            work(sql)
        })
    }

    /// The writing transaction of an attempt. It begins, and asks ahead, in one round trip.
    fn begun(
        &self,
        attempt: &Attempt,
        foreseen: impl FnOnce(&Sql<'_>),
    ) -> Result<(Session<'_>, Moved), StoreError> {
        let last = self.seen.last();
        let connection = Held::Own(Box::new(self.connection()?));
        let (session, moved) = Session::begun(connection, &self.translations, &[BEGIN]).after(|sql| {
            // The row comes first: whatever is read behind it changes no more.
            sql.foresee(|sql| {
                self.end(sql)?;
                is_in_log(sql, last.point)?;
                foreseen(sql);
                Ok::<_, StoreError>(())
            })?;
            let (end, moved) = self.end(sql)?.ok_or(EngineError::NoRow)?;
            let is_there = is_in_log(sql, last.point)?;
            attempt.leave(sql)?;
            sql.note_end(end.clone());
            if !is_there {
                // It was lost before this generation was begun, by which an administrator has accepted that.
                if end.generation <= last.generation {
                    return Err(StoreError::Restored { lost: last });
                }
                self.seen.goes_on(last, at_end(sql, &end)?);
            }
            Ok(moved)
        })?;
        Ok((session, moved))
    }

    /// Takes the row of the log's end.
    fn end(&self, sql: &Sql<'_>) -> Result<Option<(End, Moved)>, StoreError> {
        sql.optional(LOG_END, values![], |row| {
            self.knows(row.get(0)?, row.get(1)?)?;
            let end = End::of(row.get(4)?, row.get(5)?, row.get(6)?)?;
            Ok((end, Moved::of(row.get(2)?, row.get(3)?)))
        })
    }

    /// Whether this program may use a layout, which may have become another one since it was looked at last.
    fn knows(&self, found: i64, serves: i64) -> Result<(), StoreError> {
        if serves > self.known { Err(StoreError::Newer { found, known: self.known }) } else { Ok(()) }
    }

    /// Runs one writing transaction, also if the store was moved or is incomplete.
    pub(in crate::store) fn write_wherever_it_is<T, E: From<StoreError>>(
        &self,
        foreseen: impl FnOnce(&Sql<'_>),
        work: impl FnOnce(&Sql<'_>, &Moved) -> Result<T, E>,
    ) -> Result<T, E> {
        let attempt = Attempt::new()?;
        let _turn = self.reached.writer().map_err(|error| StoreError::from(EngineError::Postgres(error)))?;
        let (session, moved) = self.begun(&attempt, foreseen)?;
        let (session, done) = session.after(|sql| work(sql, &moved))?;
        let seen = session.appended();
        match session.commit() {
            Ok(()) => {}
            Err(StoreError::Database(EngineError::Postgres(error))) if leaves_open(&error) => {
                tracing::warn!(%error, "a COMMIT was not answered; asking for its outcome");
                match attempt.is_committed(&self.reached) {
                    Ok(true) => {}
                    Ok(false) => return Err(StoreError::from(EngineError::Postgres(error)).into()),
                    Err(error) => return Err(StoreError::from(EngineError::InDoubt(error)).into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(seen) = seen {
            self.seen.saw(seen);
        }
        Ok(done)
    }

    /// Whether the log still has what this gateway has seen in it, or an administrator has accepted that it has not.
    pub(in crate::store) fn has_what_was_seen(&self, sql: &Sql<'_>) -> Result<(), StoreError> {
        let last = self.seen.last();
        if is_in_log(sql, last.point)? || End::read(sql)?.generation > last.generation {
            return Ok(());
        }
        Err(StoreError::Restored { lost: last })
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

    /// Runs a transaction that waits for no other, and commits it if the work succeeds.
    pub(in crate::store) fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = Held::Own(Box::new(self.connection()?));
        let session = Session::begun(connection, &self.translations, &[BEGIN]);
        let (session, done) = session.after(work)?;
        session.commit()?;
        Ok(done)
    }

    /// What the database says of itself. It is not told of a store that is served elsewhere: a gateway that slept while that was copied
    /// would not hear of a revocation.
    pub(in crate::store) async fn present(&self) -> Result<Present, StoreError> {
        let present = self.reached.present().await.map_err(EngineError::Postgres)?;
        self.knows(present.layout, present.serves)?;
        Moved::of(present.moved_to.as_deref(), present.copied_from.as_deref()).is_here()?;
        Ok(present)
    }

    /// The time by the database's clock.
    pub(in crate::store) fn now(&self) -> Timestamp {
        self.reached.now()
    }

    /// A connection on which each statement is a transaction.
    pub(in crate::store) fn session(&self) -> Result<Sql<'_>, StoreError> {
        let connection = Held::Own(Box::new(self.connection()?));
        Ok(Sql::Postgres(Session::of(connection, &self.translations, Transaction::None)))
    }

    fn connection(&self) -> Result<postgres::Session, StoreError> {
        Ok(self.reached.session().map_err(EngineError::Postgres)?)
    }
}

/// Whether the log has an entry.
fn is_in_log(sql: &Sql<'_>, point: Point) -> Result<bool, StoreError> {
    let there = "SELECT 1 FROM audit WHERE seq = ? AND hash = ?";
    let seq = i64::try_from(point.seq).unwrap_or(i64::MAX);
    Ok(point == Point::START || sql.exists(there, values![seq, &point.hash.to_string()])?)
}

/// What is seen of a log by whoever has seen its end.
fn at_end(sql: &Sql<'_>, end: &End) -> Result<LastSeen, StoreError> {
    let size = end.tree.size();
    let hash = "SELECT hash FROM audit WHERE seq = ?";
    let hash = sql.one(hash, values![i64::try_from(size).unwrap_or(i64::MAX)], |row| parsed(row.get(0)?))?;
    Ok(LastSeen { generation: end.generation, point: Point { seq: size, hash } })
}

/// A connection, as long as somebody asks it. A transaction that was not committed is rolled back when it is dropped.
pub(in crate::store) struct Session<'a> {
    connection: Held<'a>,
    translations: &'a Translations,
    transaction: Cell<Transaction>,
    /// The last entry, where this transaction has appended to the log.
    appended: Cell<Option<Point>>,
    /// The end of the log, in a writing transaction.
    end: RefCell<Option<End>>,
    /// What is sent with the next statement.
    later: Later,
    /// What was asked before it is wanted.
    ahead: Box<Ahead>,
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
    fn of(connection: Held<'a>, translations: &'a Translations, transaction: Transaction) -> Self {
        let transaction = Cell::new(transaction);
        let (appended, end) = (Cell::default(), RefCell::default());
        let (later, ahead) = (Later::default(), Box::default());
        Self { connection, translations, transaction, appended, end, later, ahead }
    }

    /// A transaction. What it begins with is sent with what is asked first.
    fn begun(connection: Held<'a>, translations: &'a Translations, begin: &[&str]) -> Self {
        let session = Self::of(connection, translations, Transaction::Begun);
        for statement in begin {
            session.later.add(translations.of(statement), &[]);
        }
        session
    }

    fn after<T, E>(self, work: impl FnOnce(&Sql<'_>) -> Result<T, E>) -> Result<(Self, T), E> {
        let sql = Sql::Postgres(self);
        let done = work(&sql)?;
        match sql {
            Sql::Postgres(session) => Ok((session, done)),
            Sql::Sqlite(_) => unreachable!("it was PostgreSQL"),
        }
    }

    fn commit(self) -> Result<(), StoreError> {
        if self.transaction.get() == Transaction::Failed {
            return Err(EngineError::RolledBack.into());
        }
        let connection = self.connection();
        let (client, statements) = (connection.client().clone(), self.later.take());
        let committed = connection.wait_for_all(Some(COMMIT), async move {
            later::then(&client, &statements, client.batch_execute("COMMIT")).await
        });
        committed.map_err(EngineError::Postgres)?;
        self.transaction.set(Transaction::None);
        Ok(())
    }

    /// Sends what some work asks, and keeps the answers for it.
    pub(super) fn foresee(&self, work: impl FnOnce()) -> Result<(), StoreError> {
        let questions = self.ahead.rehearse(work);
        let (client, statements) = (self.connection().client().clone(), self.later.take());
        let answered = self.connection().wait_for_all(None, async move {
            let answers = later::then(&client, &statements, ahead::asked(&client, &questions)).await?;
            Ok((questions, answers))
        });
        let (questions, answers) = self.noted(answered)?;
        self.ahead.keep(questions, answers);
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, StoreError> {
        if self.ahead.is_rehearsal() {
            return Ok(0);
        }
        if has_nul(parameters) {
            return Err(EngineError::Nul.into());
        }
        let (sql, types) = (self.translations.of(sql), types(parameters));
        let client = self.connection().client();
        Ok(self.wait(async {
            let statement = client.prepare_typed_cached(&sql, &types).await?;
            let executed = client.execute_raw(&statement, parameters.iter().map(parameter));
            later::then(client, &self.later.take(), executed).await
        })?)
    }

    pub(super) fn run(&self, sql: &str, parameters: &[Value<'_>]) -> Result<(), StoreError> {
        if self.ahead.is_rehearsal() || self.transaction.get() != Transaction::Begun {
            return self.execute(sql, parameters).map(drop);
        }
        if has_nul(parameters) {
            return Err(EngineError::Nul.into());
        }
        self.later.add(self.translations.of(sql), parameters);
        Ok(())
    }

    pub(super) fn append(&self, last: Point) {
        self.appended.set(Some(last));
    }

    pub(super) fn note_end(&self, end: End) {
        *self.end.borrow_mut() = Some(end);
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// What is seen of the log once this is committed, where it was appended to.
    fn appended(&self) -> Option<LastSeen> {
        let generation = self.end.borrow().as_ref()?.generation;
        self.appended.get().map(|point| LastSeen { generation, point })
    }

    pub(super) fn without_limits(&self) -> Result<(), StoreError> {
        self.connection().without_limit();
        self.batch("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        let client = self.connection().client();
        Ok(self.wait(later::then(client, &self.later.take(), client.batch_execute(sql)))?)
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
        if self.ahead.is_rehearsal() {
            self.ahead.note(sql, parameters);
            return Ok(());
        }
        if let Some(rows) = self.ahead.answer(&sql, parameters) {
            for row in &rows {
                if read(&super::Row::Postgres(Row(row)))?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let client = self.connection().client();
        let asked = self.wait(async {
            let statement = client.prepare_typed_cached(&sql, &types).await?;
            let rows = client.query_raw(&statement, parameters.iter().map(parameter));
            later::then(client, &self.later.take(), rows).await
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
    pub(super) fn moment(&self) -> Session<'_> {
        Session::begun(Held::Of(self.connection()), self.translations, &MOMENT)
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, EngineError> {
        self.noted(self.connection().wait(answer))
    }

    /// Notes whether a transaction has failed with an answer.
    fn noted<T>(&self, answer: Result<T, PostgresError>) -> Result<T, EngineError> {
        answer.map_err(|error| {
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
        let is_begun = self.transaction.get() != Transaction::None && self.later.is_sent();
        let rolled_back = || connection.wait(connection.client().batch_execute("ROLLBACK")).is_ok();
        if !is_begun || rolled_back() {
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
