//! Numbers of rows. They are kept, because counting takes the longer the more there are.

use super::StoreError;
use super::sql::{Sql, values};

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
pub(super) fn add(transaction: &Sql<'_>, what: Counted, more: i64) -> Result<(), StoreError> {
    let add = "INSERT INTO counted (what, number) VALUES (?, ?)
         ON CONFLICT (what) DO UPDATE SET number = counted.number + excluded.number";
    transaction.run(add, values![what.as_str(), more])
}

pub(super) fn number(sql: &Sql<'_>, what: Counted) -> Result<i64, StoreError> {
    let number = "SELECT number FROM counted WHERE what = ?";
    Ok(sql.optional(number, values![what.as_str()], |row| row.get(0))?.unwrap_or(0))
}
