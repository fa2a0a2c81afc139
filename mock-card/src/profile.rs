//! What a firmware version can do. The applet never compares versions itself; it asks here.
//!
//! Versions and limits: Yubico's release notes and the version gates of yubikey-manager and yubico-piv-tool.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::applet::management_key::ManagementAlgorithm;

/// A firmware version, `major.minor.patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Firmware {
    /// 5 for the YubiKey 5 series.
    pub major: u8,
    /// 7 for the generation that brought AES management keys by default.
    pub minor: u8,
    /// Counts up within a generation.
    pub patch: u8,
}

impl Firmware {
    /// `Firmware::new(5, 7, 4)` is what a key bought in 2025 runs.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// Three bytes, as GET VERSION answers them.
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
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is not a firmware version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a firmware version; write three numbers, as in 5.7.4")]
pub struct FirmwareError(String);

impl FromStr for Firmware {
    type Err = FirmwareError;

    fn from_str(text: &str) -> Result<Self, FirmwareError> {
        let wrong = || FirmwareError(text.to_owned());
        let parts: Vec<u8> =
            text.split('.').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        match parts[..] {
            [major, minor, patch] => Ok(Self::new(major, minor, patch)),
            _ => Err(wrong()),
        }
    }
}

/// The capabilities of one firmware.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    firmware: Firmware,
}

impl Profile {
    /// The oldest firmware whose behaviour is modelled.
    pub const OLDEST: Firmware = Firmware::new(5, 0, 0);

    /// The profile of a firmware; newer ones than we know behave as the newest we know.
    pub fn of(firmware: Firmware) -> Self {
        Self { firmware }
    }

    /// The version itself, for GET VERSION and device information.
    pub fn firmware(self) -> Firmware {
        self.firmware
    }

    /// GET METADATA came with 5.3.
    pub fn has_metadata(self) -> bool {
        self.from(5, 3, 0)
    }

    /// VERIFY with P1 = FF forgets the PIN, from 5.4.3.
    pub fn has_logout(self) -> bool {
        self.from(5, 4, 3)
    }

    /// MOVE and DELETE came with 5.7.
    pub fn has_move_key(self) -> bool {
        self.from(5, 7, 0)
    }

    /// On 5.3.1 asking whether the PIN is verified also forgets it (gravitational/teleport issue 36427).
    pub fn query_forgets_pin(self) -> bool {
        self.firmware == Firmware::new(5, 3, 1)
    }

    /// From 5.7 a PUK is made of code points, so bytes 80 to FF inside it are refused.
    pub fn has_text_puk(self) -> bool {
        self.from(5, 7, 0)
    }

    /// 3DES has always been there, AES since 5.4.2.
    pub fn supports(self, algorithm: ManagementAlgorithm) -> bool {
        algorithm == ManagementAlgorithm::TripleDes || self.from(5, 4, 2)
    }

    /// What a new or reset card uses for its management key.
    pub fn default_management_algorithm(self) -> ManagementAlgorithm {
        if self.from(5, 7, 0) { ManagementAlgorithm::Aes192 } else { ManagementAlgorithm::TripleDes }
    }

    /// The longest command, chained or extended, in bytes.
    pub fn longest_command(self) -> usize {
        3062
    }

    /// The largest object, in bytes.
    pub fn largest_object(self) -> usize {
        3052
    }

    /// All objects together, in bytes.
    pub fn object_memory(self) -> usize {
        51_200
    }

    fn from(self, major: u8, minor: u8, patch: u8) -> bool {
        self.firmware >= Firmware::new(major, minor, patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!("5.7.4".parse(), Ok(Firmware::new(5, 7, 4)));
        for wrong in ["", "5.7", "5.7.4.1", "5.7.x", "5.7.256"] {
            assert_eq!(wrong.parse::<Firmware>(), Err(FirmwareError(wrong.to_owned())));
        }
    }

    #[test]
    fn capabilities_begin_where_the_release_notes_say() {
        let before = Profile::of(Firmware::new(5, 6, 9));
        let since = Profile::of(Firmware::new(5, 7, 0));
        assert!(!before.has_move_key() && since.has_move_key());
        assert_eq!(before.default_management_algorithm(), ManagementAlgorithm::TripleDes);
        assert_eq!(since.default_management_algorithm(), ManagementAlgorithm::Aes192);
        assert!(Profile::of(Firmware::new(5, 3, 1)).query_forgets_pin());
        assert!(!Profile::of(Firmware::new(5, 3, 2)).query_forgets_pin());
    }
}
