//! When a key asks for the PIN, and when for a touch. Source: Yubico, "PIN policy" and "touch policy".

use std::fmt;

use serde::Deserialize;

/// When a key asks for the PIN, from rarely to often. For a fingerprint instead of a PIN the same words count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPolicy {
    /// Never.
    Never,
    /// Once in a session.
    Once,
    /// For every signature.
    Always,
}

impl PinPolicy {
    /// 4 and 5 are "match", on keys with a fingerprint reader.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Never,
            2 | 4 => Self::Once,
            3 | 5 => Self::Always,
            _ => return None,
        })
    }
}

impl fmt::Display for PinPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
        })
    }
}

/// When a key asks for a touch, from rarely to often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TouchPolicy {
    /// Never.
    Never,
    /// Unless there was one within 15 seconds.
    Cached,
    /// For every signature.
    Always,
}

impl TouchPolicy {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Never,
            2 => Self::Always,
            3 => Self::Cached,
            _ => return None,
        })
    }
}

impl fmt::Display for TouchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Cached => "cached",
            Self::Always => "always",
        })
    }
}
