//! Firmware versions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A firmware version, `major.minor.patch`, and the edition of the YubiKey that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Firmware {
    /// The series: 5 for the YubiKey 5.
    pub major: u8,
    /// The generation within the series.
    pub minor: u8,
    /// The release within the generation.
    pub patch: u8,
    /// The edition. With firmware 4.4 the card is a YubiKey FIPS, whatever this says.
    pub edition: Edition,
}

/// An edition of the YubiKey, which has a firmware of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Edition {
    /// The YubiKey 4 and 5 series.
    #[default]
    Standard,
    /// YubiKey FIPS.
    Fips,
    /// YubiKey Bio, Multi-protocol Edition.
    Bio,
}

impl Firmware {
    /// A version of the standard edition. YubiKeys bought in 2025 have `Firmware::new(5, 7, 4)`.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch, edition: Edition::Standard }
    }

    /// The same version of a YubiKey FIPS.
    pub const fn fips(self) -> Self {
        Self { edition: Edition::Fips, ..self }
    }

    /// The same version of a YubiKey Bio.
    pub const fn bio(self) -> Self {
        Self { edition: Edition::Bio, ..self }
    }

    /// The three bytes that GET VERSION answers.
    pub fn to_bytes(self) -> [u8; 3] {
        [self.major, self.minor, self.patch]
    }
}

impl Edition {
    fn suffix(self) -> &'static str {
        match self {
            Self::Standard => "",
            Self::Fips => "-fips",
            Self::Bio => "-bio",
        }
    }
}

impl Default for Firmware {
    fn default() -> Self {
        Self::new(5, 7, 4)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch, edition } = self;
        write!(f, "{major}.{minor}.{patch}{}", edition.suffix())
    }
}

/// A text that is not a firmware version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a firmware version; write three numbers, as in 5.7.4, 5.7.4-fips or 5.7.2-bio")]
pub struct FirmwareError(String);

impl FromStr for Firmware {
    type Err = FirmwareError;

    fn from_str(text: &str) -> Result<Self, FirmwareError> {
        let wrong = || FirmwareError(text.to_owned());
        let editions = [Edition::Fips, Edition::Bio].into_iter();
        let (version, edition) = editions
            .filter_map(|edition| Some((text.strip_suffix(edition.suffix())?, edition)))
            .next()
            .unwrap_or((text, Edition::Standard));
        let parts: Vec<u8> =
            version.split('.').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        match parts[..] {
            [major, minor, patch] => Ok(Self { major, minor, patch, edition }),
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
        assert_eq!("5.7.2-bio".parse(), Ok(Firmware::new(5, 7, 2).bio()));
        assert_eq!(Firmware::new(5, 7, 4).fips().to_string(), "5.7.4-fips");
        assert_eq!(Firmware::new(5, 7, 2).bio().to_string(), "5.7.2-bio");
        for wrong in ["", "5.7", "5.7.4.1", "5.7.x", "5.7.256", "5.7.4-FIPS", "-fips"] {
            assert_eq!(wrong.parse::<Firmware>(), Err(FirmwareError(wrong.to_owned())));
        }
    }
}
