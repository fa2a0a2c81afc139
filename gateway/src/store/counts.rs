//! Numbers of rows. They are kept, because counting takes the longer the more there are.

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::StoreError;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Single-use keys and challenges.
    Spent,
    /// Intents without an outcome.
    Open,
}

impl Counted {
    fn as_str(self) -> &'static str {
        match self {
            Self::Spent => "spent",
            Self::Open => "open",
        }
    }
}

/// Changes a number in the transaction that adds or removes the rows.
pub(super) fn add(transaction: &Transaction<'_>, what: Counted, more: i64) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO counted (what, number) VALUES (?, ?)
             ON CONFLICT (what) DO UPDATE SET number = counted.number + excluded.number",
        )?
        .execute((what.as_str(), more))?;
    Ok(())
}

pub(super) fn number(connection: &Connection, what: Counted) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT number FROM counted WHERE what = ?")?;
    Ok(statement.query_row([what.as_str()], |row| row.get(0)).optional()?.unwrap_or(0))
}
