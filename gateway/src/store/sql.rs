//! The seam between the store and its engine. A statement stands once, with `?` or `?1` for its parameters, and is asked
//! of a [`Sql`], whatever is behind it.

mod moved;
mod postgres;
mod sqlite;
mod value;

use std::ops::ControlFlow;

use super::StoreError;
use super::log_end::End;
use super::postgres::PostgresError;
use crate::audit::Point;
use crate::private;
pub(super) use moved::{Copy, Moved};
pub(super) use postgres::Postgres;
pub(super) use sqlite::Sqlite;
use value::Column;
pub(super) use value::{Value, values};

/// Why an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(sqlite::Error),
    /// PostgreSQL cannot be reached, failed, or refused a statement.
    #[error(transparent)]
    Postgres(PostgresError),
    /// PostgreSQL did not answer to a COMMIT, and what came of it could not be found out either.
    #[error("it is unknown whether PostgreSQL has committed it")]
    InDoubt(#[source] PostgresError),
    /// A transaction ended although it was to be committed, because one of its statements had failed.
    #[error("the transaction was rolled back, because a statement in it failed")]
    RolledBack,
    /// PostgreSQL has no text with U+0000.
    #[error("PostgreSQL cannot store text with the character U+0000")]
    Nul,
    /// A column holds something else.
    #[error("column {column} of a row is not {wanted}")]
    Column {
        /// Its place in the row, from 0.
        column: usize,
        /// What is read from it.
        wanted: &'static str,
    },
    /// A row that has to be there is not.
    #[error("a row is missing")]
    NoRow,
}

impl EngineError {
    /// Whether what failed so may be carried out nevertheless, because the database did not answer.
    pub(super) fn leaves_open(&self) -> bool {
        matches!(self, Self::Postgres(error) if postgres::leaves_open(error))
    }

    /// What to do next, where that is known.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Sqlite(error) if sqlite::is_of_permissions(error) => {
                Some(private::NOT_PERMITTED.to_owned())
            }
            Self::Postgres(error) | Self::InDoubt(error) => error.hint(),
            _ => None,
        }
    }
}

/// The database of a store.
#[derive(Debug)]
pub(super) enum Engine {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Engine {
    /// Runs one writing transaction, and commits it if the work succeeds. There is one at a time, and what was committed before
    /// it is seen in it.
    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_foreseen(|_| Ok::<_, E>(()), work)
    }

    /// The same, and what the transaction is foreseen to read is asked ahead as with [`Sql::foresee`]: on PostgreSQL it costs no round trip
    /// of its own.
    pub(super) fn write_foreseen<T, F, E: From<StoreError>>(
        &self,
        foreseen: impl FnOnce(&Sql<'_>) -> Result<F, E>,
        work: impl FnOnce(&Sql<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(|sql| {
                Moved::read(sql)?.is_here()?;
                work(sql)
            }),
            // Without rows it may end early.
            Self::Postgres(postgres) => postgres.write(|sql| drop(foreseen(sql)), work),
        }
    }

    /// Runs one writing transaction, also if the store was moved or is incomplete.
    pub(super) fn write_wherever_it_is<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Sql<'_>, &Moved) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(|sql| work(sql, &Moved::read(sql)?)),
            Self::Postgres(postgres) => postgres.write_wherever_it_is(|_| (), work),
        }
    }

    /// SQLite, if it is that.
    #[cfg(test)]
    pub(super) fn sqlite(&self) -> Option<&Sqlite> {
        if let Self::Sqlite(sqlite) = self { Some(sqlite) } else { None }
    }

    /// A connection for reading, which does not wait for those who write.
    pub(super) fn reader(&self) -> Result<Sql<'_>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => Ok(sqlite.reader()),
            Self::Postgres(postgres) => postgres.session(),
        }
    }

    /// The same, if the database is on this computer and nobody has to be waited for.
    pub(super) fn idle_reader(&self) -> Option<Sql<'_>> {
        match self {
            Self::Sqlite(sqlite) => sqlite.idle_reader(),
            Self::Postgres(_) => None,
        }
    }
}

/// Something that statements are asked of: a transaction, or a connection that reads.
pub(super) enum Sql<'a> {
    Sqlite(sqlite::Session<'a>),
    Postgres(postgres::Session<'a>),
}

impl Sql<'_> {
    /// Whether PostgreSQL is asked. Where it has to be asked otherwise, both ways stand side by side.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Lets this transaction take as long as it needs, also while nothing is asked in it.
    pub(super) fn without_limits(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(session) => session.without_limits(),
        }
    }

    /// Notes the entry that this transaction appends, which is seen if it is committed.
    pub(super) fn append(&self, last: Point) {
        if let Self::Postgres(session) = self {
            session.append(last);
        }
    }

    /// Notes the end of the log that this transaction writes.
    pub(super) fn note_end(&self, end: End) {
        if let Self::Postgres(session) = self {
            session.note_end(end);
        }
    }

    /// The end of the log, if this transaction has asked for it before.
    pub(super) fn end(&self) -> Option<End> {
        if let Self::Postgres(session) = self { session.end() } else { None }
    }

    /// Runs a statement that returns no rows. Returns how many rows it wrote or removed.
    pub(super) fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(session) => session.execute(sql, parameters),
            Self::Postgres(session) => session.execute(sql, parameters),
        }
    }

    /// Runs a statement of which nobody has to know what it returns. In a transaction on PostgreSQL it is sent together with the next
    /// statement that something is returned of, or with the COMMIT, so that it costs no round trip of its own; if it fails, they do.
    pub(super) fn run(&self, sql: &str, parameters: &[Value<'_>]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(session) => session.execute(sql, parameters).map(drop),
            Self::Postgres(session) => session.run(sql, parameters),
        }
    }

    /// Asks ahead what some work reads, where that spares round trips: on PostgreSQL, all of it in one. The work is run for that as if
    /// there were no rows, and without writing anything. Who asks the same in earnest is given the answer, once; so nothing may be asked
    /// ahead that is changed on this connection before it is read.
    pub(super) fn foresee<T, E>(&self, work: impl FnOnce(&Self) -> Result<T, E>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            // Without rows it may end early.
            Self::Postgres(session) => session.foresee(|| drop(work(self))),
        }
    }

    /// Runs work that only reads, and asks ahead what it reads.
    pub(super) fn at_once<T, E: From<StoreError>>(
        &self,
        work: impl Fn(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.foresee(&work)?;
        work(self)
    }

    /// Runs statements without parameters, separated by `;`.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(session) => session.batch(sql),
            Self::Postgres(session) => session.batch(sql),
        }
    }

    /// Reads row after row, without holding them all in memory. Nothing else may be asked meanwhile.
    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.while_wanted(sql, parameters, |row| read(row).map(ControlFlow::Continue))
    }

    /// Reads all rows.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.each(sql, parameters, |row| {
            all.push(read(row)?);
            Ok::<_, StoreError>(())
        })?;
        Ok(all)
    }

    /// Reads the first row, if there is one.
    pub(super) fn optional<T>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.while_wanted(sql, parameters, |row| {
            first = Some(read(row)?);
            Ok::<_, StoreError>(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// Reads the first row, which has to be there.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.optional(sql, parameters, read)?.ok_or(StoreError::Database(EngineError::NoRow))
    }

    /// Whether there is a row.
    pub(super) fn exists(&self, sql: &str, parameters: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.optional(sql, parameters, |_| Ok(()))?.is_some())
    }

    /// One moment of the store, however long it is read.
    pub(super) fn moment(&self) -> Result<Sql<'_>, StoreError> {
        match self {
            Self::Sqlite(session) => session.moment().map(Sql::Sqlite),
            Self::Postgres(session) => Ok(Sql::Postgres(session.moment())),
        }
    }

    fn while_wanted<E: From<StoreError>>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(session) => session.while_wanted(sql, parameters, read),
            Self::Postgres(session) => session.while_wanted(sql, parameters, read),
        }
    }
}

/// A row of what a statement returns. Columns are counted from 0.
pub(super) enum Row<'a> {
    Sqlite(sqlite::Row<'a>),
    Postgres(postgres::Row<'a>),
}

impl Row<'_> {
    /// What a column holds.
    pub(super) fn get<'a, T: Column<'a>>(&'a self, column: usize) -> Result<T, StoreError> {
        let value = match self {
            Self::Sqlite(row) => row.value(column),
            Self::Postgres(row) => row.value(column),
        };
        let wrong = || EngineError::Column { column, wanted: T::WANTED }.into();
        value.and_then(T::of).ok_or_else(wrong)
    }

    /// The bytes of a column that should hold text, whether they are UTF-8 or not. A column that holds no text has none.
    pub(super) fn raw_text(&self, column: usize) -> &[u8] {
        match self {
            Self::Sqlite(row) => row.raw_text(column),
            Self::Postgres(row) => row.raw_text(column),
        }
    }
}
