//! Waiting for another gateway that serves the same store and has the turn of a crate.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ChangeError, Changes};
use crate::store::{DEAD_AFTER, Signed};

/// How long a change waits. If that gateway has died, it counts as dead before.
const FOR_OTHERS: Duration = Duration::from_secs(2 * DEAD_AFTER.as_secs());
/// The time after which it is looked whether that gateway is ready. It is doubled after each look, up to [`LAST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// The waiting of one change.
pub(super) struct Waiting {
    until: Instant,
    pause: Duration,
}

impl Waiting {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + FOR_OTHERS, pause: FIRST_LOOK }
    }

    pub(super) fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

impl Changes {
    /// Waits until the next look, and settles what that gateway has left of the crate if it has died.
    ///
    /// # Errors
    /// [`ChangeError::Unsettled`], [`ChangeError::NothingChanged`].
    pub(super) async fn wait_for_others(
        &self,
        waiting: &mut Waiting,
        signed: &Signed,
    ) -> Result<(), ChangeError> {
        sleep(waiting.pause).await;
        waiting.pause = LAST_LOOK.min(waiting.pause * 2);
        self.is_settled(signed, waiting.until).await
    }
}
