//! Firmware versions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A firmware version, `major.minor.patch`, and whether it is that of a YubiKey FIPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Firmware {
    /// The series: 5 for the YubiKey 5.
    pub major: u8,
    /// The generation within the series.
    pub minor: u8,
    /// The release within the generation.
    pub patch: u8,
    /// Whether it is a YubiKey FIPS. Firmware 4.4 belongs to YubiKey FIPS only, whatever is said here.
    pub fips: bool,
}

impl Firmware {
    /// A version that is not FIPS. YubiKeys bought in 2025 have `Firmware::new(5, 7, 4)`.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch, fips: false }
    }

    /// The same version of a YubiKey FIPS.
    pub const fn fips(self) -> Self {
        Self { fips: true, ..self }
    }

    /// The three bytes that GET VERSION answers.
    pub fn to_bytes(self) -> [u8; 3] {
        [self.major, self.minor, self.patch]
    }
}

impl Default for Firmware {
    fn default() -> Self {
        Self::new(5, 7, 4)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}{}", self.major, self.minor, self.patch, if self.fips { "-fips" } else { "" })
    }
}

/// A text that is not a firmware version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a firmware version; write three numbers, as in 5.7.4 or 5.7.4-fips")]
pub struct FirmwareError(String);

impl FromStr for Firmware {
    type Err = FirmwareError;

    fn from_str(text: &str) -> Result<Self, FirmwareError> {
        let wrong = || FirmwareError(text.to_owned());
        let (version, fips) = match text.strip_suffix("-fips") {
            Some(version) => (version, true),
            None => (text, false),
        };
        let parts: Vec<u8> =
            version.split('.').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        match parts[..] {
            [major, minor, patch] => Ok(Self { major, minor, patch, fips }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!("5.7.4".parse(), Ok(Firmware::new(5, 7, 4)));
        assert_eq!("5.7.4-fips".parse(), Ok(Firmware::new(5, 7, 4).fips()));
        assert_eq!(Firmware::new(5, 7, 4).fips().to_string(), "5.7.4-fips");
        for wrong in ["", "5.7", "5.7.4.1", "5.7.x", "5.7.256", "5.7.4-FIPS", "-fips"] {
            assert_eq!(wrong.parse::<Firmware>(), Err(FirmwareError(wrong.to_owned())));
        }
    }
}
