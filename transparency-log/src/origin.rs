//! Origins: what tells one log from another.
//!
//! Source: C2SP tlog-checkpoint, "Note text".

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::key::KeyName;
use crate::lines;

/// The first line of a log's checkpoints: not empty, without control characters.
///
/// That of a registry's log is made of its index URL. Other logs may have any line, also with blanks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// Of the log of the registry with this index URL: the URL without its scheme and final slash, and with `%2B` for `+`.
    ///
    /// # Errors
    /// [`Error::IndexUrl`]: no scheme, a blank, or nothing left.
    pub fn of_index(url: &str) -> Result<Self, Error> {
        let (_, place) = url.split_once("://").ok_or(Error::IndexUrl)?;
        let origin = place.strip_suffix('/').unwrap_or(place).replace('+', "%2B");
        origin.parse::<KeyName>().map_err(|_| Error::IndexUrl)?;
        Ok(Self(origin))
    }

    /// The line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that the log's key should have: the origin.
    ///
    /// # Errors
    /// [`Error::KeyName`]: an origin with blanks or `+`, which is none of a registry's log.
    pub fn key_name(&self) -> Result<KeyName, Error> {
        self.0.parse()
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        if lines::is_line(line) { Ok(Self(line.to_owned())) } else { Err(Error::OriginSyntax) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
