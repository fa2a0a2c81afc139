//! Where a store was moved to, or from where it is being copied. Two stores with one key would fork the log, so only one of them
//! is served and changed.
//!
//! Both ends of a copy are marked with a number of its own beside the place: a place can be spelt in more than one way.

use super::{Sql, values};
use crate::store::StoreError;
use crate::store_place::StorePlace;

/// The number of a copy: 16 hexadecimal digits.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Copy(String);

impl Copy {
    pub(in crate::store) fn new() -> Result<Self, StoreError> {
        let mut number = [0; 8];
        aws_lc_rs::rand::fill(&mut number).map_err(|_| StoreError::Random)?;
        Ok(Self(format!("{:016x}", u64::from_be_bytes(number))))
    }

    /// What is written down at one end of the copy: the other one, and its number.
    pub(in crate::store) fn mark(&self, place: &StorePlace) -> String {
        format!("{place} (copy {})", self.0)
    }

    fn of(mark: &str) -> Option<Self> {
        let (_, number) = mark.strip_suffix(')')?.rsplit_once(" (copy ")?;
        Some(Self(number.to_owned()))
    }
}

/// What a store says of that. Both are places in words.
#[derive(Debug)]
pub(in crate::store) struct Moved {
    to: Option<String>,
    from: Option<String>,
}

impl Moved {
    /// From the columns `moved_to` and `copied_from` of the log's end.
    pub(in crate::store) fn of(to: Option<&str>, from: Option<&str>) -> Self {
        Self { to: to.map(str::to_owned), from: from.map(str::to_owned) }
    }

    pub(in crate::store) fn read(sql: &Sql<'_>) -> Result<Self, StoreError> {
        let moved = "SELECT moved_to, copied_from FROM log_end WHERE is_only = true";
        sql.one(moved, values![], |row| Ok(Self::of(row.get(0)?, row.get(1)?)))
    }

    /// Writes down where the store was moved to.
    pub(in crate::store) fn to(transaction: &Sql<'_>, place: Option<&str>) -> Result<(), StoreError> {
        let update = "UPDATE log_end SET moved_to = ? WHERE is_only = true";
        transaction.execute(update, values![place]).map(drop)
    }

    /// Writes down from where it is being copied, or that it is complete.
    pub(in crate::store) fn from(transaction: &Sql<'_>, place: Option<&str>) -> Result<(), StoreError> {
        let update = "UPDATE log_end SET copied_from = ? WHERE is_only = true";
        transaction.execute(update, values![place]).map(drop)
    }

    /// Whether this store was moved by the copy of which the other one is the incomplete end.
    pub(in crate::store) fn is_source_of(&self, target: &Self) -> bool {
        let number = |place: &Option<String>| Copy::of(place.as_deref()?);
        number(&self.to).is_some_and(|copy| Some(copy) == number(&target.from))
    }

    /// Whether this is the store to serve and to change.
    ///
    /// # Errors
    /// [`StoreError::Moved`], [`StoreError::Incomplete`].
    pub(in crate::store) fn is_here(&self) -> Result<(), StoreError> {
        match (&self.to, &self.from) {
            (Some(to), _) => Err(StoreError::Moved { to: to.clone() }),
            (None, Some(from)) => Err(StoreError::Incomplete { from: from.clone() }),
            (None, None) => Ok(()),
        }
    }
}
