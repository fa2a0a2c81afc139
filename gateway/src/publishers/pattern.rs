//! Text that has to be equal, or to begin alike.

use std::str::FromStr;

use crate_file::characters::is_hidden;
use serde::{Deserialize, Serialize};

/// Text that something has to be equal to; with `*` at its end, how it has to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// The longest, in bytes.
const MOST: usize = 500;

impl Pattern {
    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text is equal to it, or begins like it.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(begin) => text.starts_with(begin),
            None => text == self.0,
        }
    }

    /// Whether this text, and no other, fits.
    pub(super) fn is_exactly(&self, text: &str) -> bool {
        !self.0.ends_with('*') && text == self.0
    }

    /// The same in another spelling, which has to leave a `*` as it is.
    pub(super) fn map(&self, spelling: impl FnOnce(&str) -> String) -> Self {
        Self(spelling(&self.0))
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let begins = text.strip_suffix('*').unwrap_or(text);
        let fits = (1..=MOST).contains(&text.len()) && !begins.contains('*') && !text.chars().any(is_hidden);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadPattern) }
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// The text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write the exact value, or its beginning followed by one `*`: 1 to {MOST} bytes, none of them invisible"
)]
pub struct BadPattern;
