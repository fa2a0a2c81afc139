//! The one time that what we hand out knows.

use std::process::{Command, Stdio};

use crate::workspace::root;
use crate::{Failure, Outcome};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970 began on a Thursday
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: u64 = 86_400;

/// Seconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Date(pub(super) u64);

impl Date {
    /// `SOURCE_DATE_EPOCH` where it is set (reproducible-builds.org), else when the commit was made.
    pub(super) fn of_source() -> Outcome<Self> {
        if let Some(set) = std::env::var_os("SOURCE_DATE_EPOCH") {
            let seconds = set.to_str().and_then(|set| set.parse().ok());
            return seconds
                .map(Self)
                .ok_or_else(|| Failure::new("SOURCE_DATE_EPOCH is no number of seconds"));
        }
        let mut git = Command::new("git");
        git.args(["show", "--no-patch", "--format=%ct", "HEAD"]).current_dir(root()).stdin(Stdio::null());
        let output = git.output().ok().filter(|output| output.status.success());
        let seconds = output.and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok());
        seconds.map(Self).ok_or_else(|| {
            Failure::new("git does not tell when this commit was made; set SOURCE_DATE_EPOCH to its seconds")
        })
    }

    /// As in `2026-12-01T02:10:24Z`.
    pub(super) fn rfc_3339(self) -> String {
        let (year, month, day) = self.civil();
        let (hour, minute, second) = self.clock();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// As in `Tue, 01 Dec 2026 02:10:24 +0000`.
    pub(super) fn rfc_5322(self) -> String {
        let (year, month, day) = self.civil();
        let (hour, minute, second) = self.clock();
        let weekday = DAYS[(self.0 / DAY % 7) as usize];
        let month = MONTHS[month as usize - 1];
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }

    fn clock(self) -> (u64, u64, u64) {
        (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60)
    }

    /// Year, month and day, by counting them: a release is made seldom.
    fn civil(self) -> (u64, u64, u64) {
        let (mut year, mut left) = (1970, self.0 / DAY);
        while left >= 365 + leap(year) {
            left -= 365 + leap(year);
            year += 1;
        }
        let mut month = 1;
        while left >= length(year, month) {
            left -= length(year, month);
            month += 1;
        }
        (year, month, left + 1)
    }
}

/// The days that this year has beyond 365.
fn leap(year: u64) -> u64 {
    u64::from(year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn length(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + leap(year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    /// As `date -u -d @SECONDS` shows them.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date, mail) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_796_091_024, "2026-12-01T02:10:24Z", "Tue, 01 Dec 2026 02:10:24 +0000"),
            (4_102_444_799, "2099-12-31T23:59:59Z", "Thu, 31 Dec 2099 23:59:59 +0000"),
        ] {
            assert_eq!((Date(seconds).rfc_3339().as_str(), Date(seconds).rfc_5322().as_str()), (date, mail));
        }
    }
}
