//! What a key may sign. The words are the same in proofs, in slot certificates and on command lines.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read tokens and nothing else, ever.
    Read,
    /// Mutation tokens and nothing else.
    Publish,
    /// Either of them, for registries where a person has one key.
    Both,
}

impl Role {
    /// Whether it may sign read tokens.
    #[must_use]
    pub fn may_read(self) -> bool {
        self != Self::Publish
    }

    /// Whether it may sign mutation tokens.
    #[must_use]
    pub fn may_mutate(self) -> bool {
        self != Self::Read
    }

    /// `read`, `publish` or `both`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Both => "both",
        }
    }
}

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(word: &str) -> Result<Self, BadRole> {
        [Self::Read, Self::Publish, Self::Both].into_iter().find(|role| role.as_str() == word).ok_or(BadRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word is not a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is `read`, `publish` or `both`")]
pub struct BadRole;
