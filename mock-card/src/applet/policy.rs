//! When a key wants the PIN and when it wants a touch. Fixed when the key is made or imported.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::Status;

/// How often a private key asks for the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinPolicy {
    /// Never.
    Never,
    /// Once since power-up, reset or the selection of another application.
    Once,
    /// VERIFY is the command immediately before each use.
    Always,
}

impl PinPolicy {
    /// What a key slot uses where nothing was asked for: SP 800-73-4 part 1, table 4b, for 9C and 9E.
    pub fn of_slot(slot: u8) -> Self {
        match slot {
            0x9C => Self::Always,
            0x9E => Self::Never,
            _ => Self::Once,
        }
    }

    /// Reads the value of tag AA, but for 0, which is the slot's own. The match policies belong to biometric keys.
    pub(crate) fn parse(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Never),
            2 => Some(Self::Once),
            3 => Some(Self::Always),
            _ => None,
        }
    }

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Never => 1,
            Self::Once => 2,
            Self::Always => 3,
        }
    }
}

/// When a private key, or the management key, wants a finger on the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TouchPolicy {
    /// Never.
    Never,
    /// For each use.
    Always,
    /// Unless a touch was given within the last 15 seconds.
    Cached,
}

impl TouchPolicy {
    /// How long a touch is good for keys of policy `Cached`.
    pub const CACHED_FOR: Duration = Duration::from_secs(15);

    /// Reads the value of tag AB; 0 is never.
    pub(crate) fn parse(value: u8) -> Result<Self, Status> {
        match value {
            0 | 1 => Ok(Self::Never),
            2 => Ok(Self::Always),
            3 => Ok(Self::Cached),
            _ => Err(Status::WrongData),
        }
    }

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Never => 1,
            Self::Always => 2,
            Self::Cached => 3,
        }
    }

    /// Whether a use at `now` must wait for a touch, given the last one on a `Cached` key.
    pub(crate) fn wants_touch(self, last: Option<Duration>, now: Duration) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Cached => last.is_none_or(|last| now.saturating_sub(last) >= Self::CACHED_FOR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_touch_lasts_fifteen_seconds() {
        let at = Duration::from_millis;
        assert!(TouchPolicy::Cached.wants_touch(None, at(0)));
        assert!(!TouchPolicy::Cached.wants_touch(Some(at(1_000)), at(15_999)));
        assert!(TouchPolicy::Cached.wants_touch(Some(at(1_000)), at(16_000)));
        assert!(TouchPolicy::Always.wants_touch(Some(at(1_000)), at(1_000)));
        assert!(!TouchPolicy::Never.wants_touch(None, at(0)));
    }
}
