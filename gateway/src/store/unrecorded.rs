//! Outcomes that are known and not on record, because the store failed between a change and its outcome. They are written
//! down before the next token is spent, or within a minute, whichever comes first. If the server ends before, the intent is
//! an open one, and the registry behind is asked what became of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Transaction, TransactionBehavior};

use super::ledger::{self, Intent, Outcome};
use super::{Store, StoreError};

/// In the order in which they came to be known.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Mutex<Vec<(Intent, Outcome)>>);

impl Unrecorded {
    pub(super) fn remember(&self, intent: &Intent, outcome: &Outcome) {
        self.list().push((intent.clone(), outcome.clone()));
    }

    /// Writes down all of them, and returns the places of their intents, to be forgotten once that is committed.
    pub(super) fn write(
        &self,
        transaction: &Transaction<'_>,
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let list = self.list().clone();
        for (intent, outcome) in &list {
            // A commit that failed may have reached the disk all the same.
            if ledger::is_open(transaction, intent)? {
                ledger::settle(transaction, intent, outcome, now)?;
            }
        }
        Ok(list.into_iter().map(|(intent, _)| intent.seq).collect())
    }

    pub(super) fn forget(&self, written: &[i64]) {
        self.list().retain(|(intent, _)| !written.contains(&intent.seq));
    }

    fn knows(&self, intent: &Intent) -> bool {
        self.list().iter().any(|(known, _)| known.seq == intent.seq)
    }

    fn list(&self) -> MutexGuard<'_, Vec<(Intent, Outcome)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Writes down the outcomes that are known and not on record.
    ///
    /// # Errors
    /// [`StoreError::Database`]; they are known for another time then.
    pub(crate) fn record_known(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.connection();
        if self.unrecorded.list().is_empty() {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = self.unrecorded.write(&transaction, now)?;
        transaction.commit()?;
        self.unrecorded.forget(&written);
        Ok(())
    }

    /// Whether what became of an intent is neither on record nor known.
    pub(crate) fn is_in_doubt(&self, intent: &Intent) -> Result<bool, StoreError> {
        Ok(!self.unrecorded.knows(intent) && ledger::is_open(&self.connection(), intent)?)
    }
}
