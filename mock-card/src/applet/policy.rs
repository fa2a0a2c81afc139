//! The policies of a key: when it needs the PIN, and when it needs a touch. They are set when the key is made or
//! imported.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::Status;

/// When a private key needs the PIN, by the value of tag AA.
#[derive(Clone, Copy, Debug, clap::ValueEnum, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum PinPolicy {
    /// Never.
    Never = 1,
    /// Once after power-up, a reset, or the selection of another application.
    Once,
    /// Immediately before each use: the command before has to be VERIFY.
    Always,
    /// As `Once`, but a fingerprint does as well. Only a YubiKey Bio has such keys.
    MatchOnce,
    /// As `Always`, but a fingerprint does as well. Only a YubiKey Bio has such keys.
    MatchAlways,
}

impl PinPolicy {
    /// The policy of a new key in a slot where the client asks for none. For 9C and 9E it is that of SP 800-73-4 part
    /// 1, table 4b.
    pub fn of_slot(slot: u8) -> Self {
        match slot {
            0x9C => Self::Always,
            0x9E => Self::Never,
            _ => Self::Once,
        }
    }

    /// Reads that value. 0 means the policy of the slot, and is none here.
    pub(crate) fn parse(value: u8) -> Option<Self> {
        let all = [Self::Never, Self::Once, Self::Always, Self::MatchOnce, Self::MatchAlways];
        all.into_iter().find(|policy| *policy as u8 == value)
    }
}

/// When a private key or the management key needs a touch, by the value of tag AB.
#[derive(Clone, Copy, Debug, clap::ValueEnum, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum TouchPolicy {
    /// Never.
    Never = 1,
    /// For each use.
    Always,
    /// For each use, but not within 15 seconds after a touch.
    Cached,
}

impl TouchPolicy {
    /// How long a touch counts for keys of policy `Cached`.
    pub const CACHED_FOR: Duration = Duration::from_secs(15);

    /// Reads that value. 0 means never.
    pub(crate) fn parse(value: u8) -> Result<Self, Status> {
        match value {
            0 | 1 => Ok(Self::Never),
            2 => Ok(Self::Always),
            3 => Ok(Self::Cached),
            _ => Err(Status::WrongData),
        }
    }

    /// Whether a use at the time `now` needs a touch. `last` is when a key of policy `Cached` was last touched.
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
