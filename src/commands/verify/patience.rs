//! How long a registry is asked in one run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::registry::greeting;
use crate::registry::http;

/// After so many questions without any answer a registry is asked no more.
const SILENCES: u32 = 3;

/// And after so long, however well it answers. What it has given until then is kept, so that the next run goes on from there.
const BUDGET: Duration = Duration::from_mins(10);

/// How long all places together are asked that strangers name.
const STRANGERS_BUDGET: Duration = Duration::from_mins(2);

/// How long a registry is asked.
pub(in crate::commands) struct Patience {
    silent: AtomicU32,
    until: Instant,
}

impl From<Instant> for Patience {
    fn from(now: Instant) -> Self {
        Self { silent: AtomicU32::new(0), until: now + BUDGET }
    }
}

impl Patience {
    /// For all places that strangers name.
    pub(super) fn with_strangers(now: Instant) -> Self {
        Self { silent: AtomicU32::new(0), until: now + STRANGERS_BUDGET }
    }

    /// Why it is asked no more.
    pub(super) fn is_over(&self, now: Instant) -> Option<&'static str> {
        if self.silent.load(Ordering::Relaxed) >= SILENCES {
            return Some("did not answer");
        }
        (now >= self.until).then_some("was too slow")
    }

    /// Notes what came instead of an answer.
    pub(super) fn failed(&self, error: &Error) {
        if http(error).is_some() {
            self.silent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether what was answered is longer than anything that a registry has to say.
pub(super) fn is_endless(error: &Error) -> bool {
    matches!(http(error), Some(http::Error::TooLong { .. }))
}

fn http(error: &Error) -> Option<&http::Error> {
    match error {
        Error::Fetch { source, .. } => match &**source {
            greeting::Error::Http(error) => Some(error),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_answers_slowly_is_given_up_too() {
        let start = Instant::now();
        let patience = Patience::from(start);
        assert_eq!(patience.is_over(start + BUDGET - Duration::from_secs(1)), None);
        assert_eq!(patience.is_over(start + BUDGET), Some("was too slow"));
        let patience_with_strangers = Patience::with_strangers(start);
        assert_eq!(patience_with_strangers.is_over(start + Duration::from_secs(119)), None);
        assert_eq!(patience_with_strangers.is_over(start + Duration::from_secs(120)), Some("was too slow"));
        patience.silent.store(SILENCES, Ordering::Relaxed);
        assert_eq!(patience.is_over(start), Some("did not answer"));
    }
}
