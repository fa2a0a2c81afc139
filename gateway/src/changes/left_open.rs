//! Intents whose outcome has to be found out before their crates are changed again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use asymmetric_token::CrateName;
use tokio::sync::Notify;

use crate::store::Intent;

/// The intents, by their places in the audit log and what is there. Usually there are none.
#[derive(Debug, Default)]
pub(super) struct LeftOpen {
    intents: Mutex<Intents>,
    is_left: Notify,
}

type Intents = BTreeMap<(i64, [u8; 32]), Intent>;

impl LeftOpen {
    pub(super) fn add(&self, intent: Intent) {
        self.list().insert(place(&intent), intent);
    }

    /// Adds one that this gateway has just left, for whoever waits for such.
    pub(super) fn leave(&self, intent: Intent) {
        self.add(intent);
        self.is_left.notify_one();
    }

    /// Returns when an intent is left.
    pub(super) async fn one_is_left(&self) {
        self.is_left.notified().await;
    }

    /// Returns whether it was there.
    pub(super) fn remove(&self, intent: &Intent) -> bool {
        self.list().remove(&place(intent)).is_some()
    }

    pub(super) fn has(&self, intent: &Intent) -> bool {
        self.list().contains_key(&place(intent))
    }

    pub(super) fn all(&self) -> Vec<Intent> {
        self.list().values().cloned().collect()
    }

    /// Those of one crate, oldest first.
    pub(super) fn of(&self, name: &CrateName) -> Vec<Intent> {
        self.list().values().filter(|intent| intent.mutation.name() == name).cloned().collect()
    }

    fn list(&self) -> MutexGuard<'_, Intents> {
        self.intents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(intent: &Intent) -> (i64, [u8; 32]) {
    (intent.seq, *intent.hash.as_bytes())
}
