//! One at a time of each name: changes of a crate, so that an attempt is settled before the state of the crate decides about
//! the next one, and uploads of a user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// The names whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct InTurn(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl InTurn {
    /// Waits until nobody else has the turn of this name.
    pub(crate) async fn wait(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds or waits for a turn has a second reference to it.
            names.retain(|_, turn| Arc::strong_count(turn) > 1);
            names.entry(name.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}
