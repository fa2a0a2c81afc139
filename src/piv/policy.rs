//! PIN policy and touch policy, fixed when a key is generated or imported
//! (Yubico PIV extensions: tags `AA` and `AB`, metadata tag `02`, attestation extension 1.3.6.1.4.1.41482.3.8).

use std::{fmt, str::FromStr};

use super::Error;

/// When a private key asks for the PIN. The text form is that of the enrollments file and the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PinPolicy {
    /// `never`
    Never = 1,
    /// `once` until reset, power loss or the selection of another application; the state is shared by all programs.
    Once = 2,
    /// `always`: VERIFY has to be the command just before each use.
    Always = 3,
    /// `match-once`: a fingerprint or the PIN, once (YubiKey Bio).
    MatchOnce = 4,
    /// `match-always`: a fingerprint or the PIN, each time (YubiKey Bio).
    MatchAlways = 5,
}

impl PinPolicy {
    const ALL: [PinPolicy; 5] =
        [PinPolicy::Never, PinPolicy::Once, PinPolicy::Always, PinPolicy::MatchOnce, PinPolicy::MatchAlways];

    pub(crate) fn from_byte(byte: u8) -> Result<PinPolicy, Error> {
        PinPolicy::ALL
            .into_iter()
            .find(|policy| *policy as u8 == byte)
            .ok_or(Error::Malformed { what: "PIN policy" })
    }

    /// The spelling used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            PinPolicy::Never => "never",
            PinPolicy::Once => "once",
            PinPolicy::Always => "always",
            PinPolicy::MatchOnce => "match-once",
            PinPolicy::MatchAlways => "match-always",
        }
    }
}

/// When a private key asks for a touch. The text form is that of the enrollments file and the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TouchPolicy {
    /// `never`
    Never = 1,
    /// `always`: for each use.
    Always = 2,
    /// `cached`: a touch is good for 15 seconds (firmware 4.3 and later).
    Cached = 3,
}

impl TouchPolicy {
    const ALL: [TouchPolicy; 3] = [TouchPolicy::Never, TouchPolicy::Always, TouchPolicy::Cached];

    /// 0 is "the default", which is to ask for none.
    pub(crate) fn from_byte(byte: u8) -> Result<TouchPolicy, Error> {
        if byte == 0 {
            return Ok(TouchPolicy::Never);
        }
        TouchPolicy::ALL
            .into_iter()
            .find(|policy| *policy as u8 == byte)
            .ok_or(Error::Malformed { what: "touch policy" })
    }

    /// The spelling used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            TouchPolicy::Never => "never",
            TouchPolicy::Always => "always",
            TouchPolicy::Cached => "cached",
        }
    }
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchPolicy {
    /// Not a PIN policy.
    #[error("`{0}` is not a PIN policy; use never, once or always")]
    Pin(String),
    /// Not a touch policy.
    #[error("`{0}` is not a touch policy; use never, always or cached")]
    Touch(String),
}

impl FromStr for PinPolicy {
    type Err = NoSuchPolicy;

    fn from_str(text: &str) -> Result<PinPolicy, NoSuchPolicy> {
        let named = PinPolicy::ALL.into_iter().find(|policy| policy.as_str() == text);
        named.ok_or_else(|| NoSuchPolicy::Pin(text.escape_debug().to_string()))
    }
}

impl FromStr for TouchPolicy {
    type Err = NoSuchPolicy;

    fn from_str(text: &str) -> Result<TouchPolicy, NoSuchPolicy> {
        let named = TouchPolicy::ALL.into_iter().find(|policy| policy.as_str() == text);
        named.ok_or_else(|| NoSuchPolicy::Touch(text.escape_debug().to_string()))
    }
}

impl fmt::Display for PinPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for TouchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_survive_their_text_and_their_byte() {
        for policy in PinPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(PinPolicy::from_byte(policy as u8).unwrap(), policy);
        }
        for policy in TouchPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(TouchPolicy::from_byte(policy as u8).unwrap(), policy);
        }
    }

    #[test]
    fn refuses_others() {
        assert_eq!("cached".parse::<PinPolicy>(), Err(NoSuchPolicy::Pin("cached".into())));
        assert_eq!("once".parse::<TouchPolicy>(), Err(NoSuchPolicy::Touch("once".into())));
        assert!(PinPolicy::from_byte(0).is_err() && PinPolicy::from_byte(6).is_err());
        assert_eq!(TouchPolicy::from_byte(0).unwrap(), TouchPolicy::Never);
        assert!(TouchPolicy::from_byte(4).is_err());
    }
}
