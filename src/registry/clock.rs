//! Whether this computer's clock is right, by the time in a registry's answers.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ureq::http::header::{AGE, DATE};

use super::http::Answer;

/// A smaller difference does not matter: registries allow a minute at least.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// How far this computer's clock is from a registry's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockError(SignedDuration);

impl ClockError {
    /// From the answer's `Date`, and its `Age` where a cache gave it (RFC 9110, 6.6.1; RFC 9111, 5.1).
    pub(super) fn of(answer: &Answer, now: Timestamp) -> Option<Self> {
        Self::between(answer.header(DATE)?, answer.header(AGE), now)
    }

    fn between(date: &str, age: Option<&str>, now: Timestamp) -> Option<Self> {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        let age = age.map_or(Ok(0), |age| age.trim().parse::<u32>()).ok()?;
        let ahead = now.duration_since(date) - SignedDuration::from_secs(age.into());
        (ahead.abs() >= CLOCK_TOLERANCE).then_some(Self(ahead))
    }
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.0.is_negative() { "behind" } else { "ahead of" };
        let seconds = Duration::from_secs(self.0.as_secs().unsigned_abs()).as_secs();
        write!(f, "this computer's clock is {} {direction} the registry's", rough(seconds))
    }
}

/// A time in words.
pub(crate) fn rough(seconds: u64) -> String {
    match seconds {
        1 => "1 second".into(),
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_by_the_date() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let text = |date, age| ClockError::between(date, age, now).map(|clock| clock.to_string());
        assert_eq!(text("Fri, 20 Nov 2026 12:00:29 GMT", None), None);
        assert_eq!(text("Fri, 20 Nov 2026 11:50:00 GMT", Some("590")), None, "an old answer from a cache");
        assert_eq!(
            text("Fri, 20 Nov 2026 12:01:35 GMT", None).unwrap(),
            "this computer's clock is 95 seconds behind the registry's"
        );
        assert_eq!(
            text("Fri, 20 Nov 2026 10:30:00 GMT", None).unwrap(),
            "this computer's clock is 90 minutes ahead of the registry's"
        );
        for nonsense in ["", "soon", "Fri, 99 Nov 2026 10:30:00 GMT"] {
            assert_eq!(text(nonsense, None), None);
        }
    }
}
