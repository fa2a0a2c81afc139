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
    /// Read tokens that are good for nothing but to be exchanged for a staging token. It is the key of a machine.
    Stage,
}

impl Role {
    /// Whether it may sign read tokens with which something is read.
    #[must_use]
    pub fn may_read(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Whether it may sign mutation tokens.
    #[must_use]
    pub fn may_mutate(self) -> bool {
        matches!(self, Self::Publish | Self::Both)
    }

    /// `read`, `publish`, `both` or `stage`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Both => "both",
            Self::Stage => "stage",
        }
    }
}

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(word: &str) -> Result<Self, BadRole> {
        let roles = [Self::Read, Self::Publish, Self::Both, Self::Stage];
        roles.into_iter().find(|role| role.as_str() == word).ok_or(BadRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word is not a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is `read`, `publish`, `both` or `stage`")]
pub struct BadRole;
