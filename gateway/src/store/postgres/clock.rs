//! The database's clock. It is the one by which all gateways of a store judge and record.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::Timestamp;

/// The database's clock as an SQL expression, in microseconds since 1970.
pub(in crate::store) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// What the database's clock said last, carried on with this computer's monotonic clock.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// The database's time at the start, in microseconds since 1970.
    at_start: AtomicI64,
}

impl Clock {
    /// Until it is [set](Self::set), it is this computer's.
    pub(super) fn new() -> Self {
        let at_start = AtomicI64::new(Timestamp::now().as_microsecond());
        Self { start: Instant::now(), at_start }
    }

    /// Notes what the database says just now, in microseconds since 1970. It is off by the time that the answer took.
    pub(super) fn set(&self, now: i64) {
        self.at_start.store(now.saturating_sub(self.elapsed()), Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Timestamp {
        let now = self.at_start.load(Ordering::Relaxed).saturating_add(self.elapsed());
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX)
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}
