//! One change of a crate at a time. An attempt is settled before the state of the crate decides about the next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// The crates that are being changed.
#[derive(Debug, Default)]
pub(super) struct InTurn(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl InTurn {
    /// Waits until nobody else changes the crate of this name.
    pub(super) async fn wait(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut crates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds or waits for a turn has a second reference to it.
            crates.retain(|_, turn| Arc::strong_count(turn) > 1);
            crates.entry(name.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}
