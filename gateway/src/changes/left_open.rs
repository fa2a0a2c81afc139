//! Intents whose outcome has to be found out before their crates are changed again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use asymmetric_token::CrateName;

use crate::store::Intent;

/// The intents, by their places in the audit log. Usually there are none.
#[derive(Debug, Default)]
pub(super) struct LeftOpen(Mutex<BTreeMap<i64, Intent>>);

impl LeftOpen {
    pub(super) fn add(&self, intent: Intent) {
        self.list().insert(intent.seq, intent);
    }

    pub(super) fn remove(&self, intent: &Intent) {
        self.list().remove(&intent.seq);
    }

    pub(super) fn has(&self, intent: &Intent) -> bool {
        self.list().contains_key(&intent.seq)
    }

    /// Those of one crate, oldest first.
    pub(super) fn of(&self, name: &CrateName) -> Vec<Intent> {
        self.list().values().filter(|intent| intent.mutation.name() == name).cloned().collect()
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<i64, Intent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
