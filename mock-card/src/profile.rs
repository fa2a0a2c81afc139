//! What a firmware version can do. The applet never compares versions itself; it asks here.
//!
//! Versions and limits: Yubico's release notes and the version gates of yubikey-manager and yubico-piv-tool.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::applet::attestation::Attestation;
use crate::applet::key::Algorithm;
use crate::applet::management_key::ManagementAlgorithm;
use crate::applet::policy::PinPolicy;

/// A firmware version, `major.minor.patch`, and whether it is the FIPS edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Firmware {
    /// 5 for the YubiKey 5 series.
    pub major: u8,
    /// 7 for the generation that brought AES management keys by default.
    pub minor: u8,
    /// Counts up within a generation.
    pub patch: u8,
    /// Sold as YubiKey FIPS. All of 4.4 is, without saying so here.
    pub fips: bool,
}

impl Firmware {
    /// `Firmware::new(5, 7, 4)` is what a key bought in 2025 runs.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch, fips: false }
    }

    /// The FIPS edition of the same version.
    pub const fn fips(self) -> Self {
        Self { fips: true, ..self }
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

/// What cards of one firmware differ in, or what nobody has measured on all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Which chain attests; without a word, the one the firmware came with.
    pub attestation: Option<Attestation>,
    /// Whether trivial PINs and PUKs are refused (from 5.7); without a word, on FIPS keys.
    pub pin_complexity: Option<bool>,
    /// What the try that uses up the counter is told.
    pub last_try: LastTry,
    /// Whether a selection that fails deselects; without a word, on the 4 series.
    pub failed_select_deselects: Option<bool>,
    /// Whether a touch is asked for before a missing PIN is noticed; without a word, on the 4 series.
    pub touch_first: Option<bool>,
    /// What an answer longer than Le becomes.
    pub short_le: ShortLe,
}

/// What the wrong PIN or PUK that uses up the counter is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastTry {
    /// 63C0; 6983 comes with the next.
    #[default]
    Counted,
    /// 6983 at once.
    Blocked,
}

/// What becomes of an answer that is longer than Le (ISO/IEC 7816-4, 5.3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortLe {
    /// Its beginning and 61xx; GET RESPONSE brings the rest. So do YubiKeys.
    #[default]
    Rest,
    /// 6Cxx: ask once more with Le xx. So do other cards.
    Again,
}

/// The capabilities of one firmware.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    firmware: Firmware,
    traits: Traits,
}

impl Profile {
    /// The oldest firmware whose behaviour is modelled.
    pub const OLDEST: Firmware = Firmware::new(4, 3, 0);

    /// The profile of a firmware; newer ones than we know behave as the newest we know.
    pub fn of(firmware: Firmware) -> Self {
        Self { firmware, traits: Traits::default() }
    }

    /// The same with other traits.
    pub fn with(self, traits: Traits) -> Self {
        Self { traits, ..self }
    }

    /// What was told beside the firmware.
    pub fn traits(self) -> Traits {
        self.traits
    }

    /// The version itself, for GET VERSION and device information.
    pub fn firmware(self) -> Firmware {
        self.firmware
    }

    /// Whether it is a YubiKey FIPS.
    pub fn is_fips(self) -> bool {
        self.firmware.fips || (self.firmware.major, self.firmware.minor) == (4, 4)
    }

    /// From 5.0 the serial number can be read here, and attestations carry it and the form factor.
    pub fn tells_serial(self) -> bool {
        self.from(5, 0, 0)
    }

    /// The OTP application cannot be reached over CCID on 5.0 to 5.2.
    pub fn has_otp(self) -> bool {
        !self.from(5, 0, 0) || self.from(5, 3, 0)
    }

    /// Which chain stands behind attestations: the new one came with 5.7.4.
    pub fn attestation(self) -> Attestation {
        let usual = if self.from(5, 7, 4) { Attestation::New } else { Attestation::Old };
        self.traits.attestation.unwrap_or(usual)
    }

    /// The four algorithms of the beginning, and those of 5.7. FIPS keys have neither RSA-1024 nor X25519
    /// (yubikey-manager's gates).
    pub fn has_algorithm(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::P256 | Algorithm::P384 | Algorithm::Rsa2048 => true,
            Algorithm::Rsa1024 => !self.is_fips(),
            Algorithm::Rsa3072 | Algorithm::Rsa4096 | Algorithm::Ed25519 => self.from(5, 7, 0),
            Algorithm::X25519 => self.from(5, 7, 0) && !self.is_fips(),
        }
    }

    /// A FIPS key is not used without its PIN.
    pub fn has_pin_policy(self, policy: PinPolicy) -> bool {
        policy != PinPolicy::Never || !self.is_fips()
    }

    /// What a slot uses where nothing was asked for.
    pub fn pin_policy_of_slot(self, slot: u8) -> PinPolicy {
        let usual = PinPolicy::of_slot(slot);
        if self.has_pin_policy(usual) { usual } else { PinPolicy::Once }
    }

    /// The least characters a new PIN or PUK has: eight on FIPS keys from 5.7.
    pub fn shortest_pin(self) -> usize {
        if self.is_fips() && self.from(5, 7, 0) { 8 } else { 6 }
    }

    /// Whether trivial PINs and PUKs are refused: from 5.7, switched on for FIPS keys.
    pub fn has_pin_complexity(self) -> bool {
        self.from(5, 7, 0) && self.traits.pin_complexity.unwrap_or(self.is_fips())
    }

    /// From 5.7 the device tells about PIN complexity and FIPS.
    pub fn tells_restrictions(self) -> bool {
        self.from(5, 7, 0)
    }

    /// On the 4 series, selecting the application anew ends the session.
    pub fn select_ends_session(self) -> bool {
        !self.from(5, 0, 0)
    }

    /// On the 4 series, a selection that fails leaves nothing selected (OpenSC issue 1243).
    pub fn failed_select_deselects(self) -> bool {
        self.traits.failed_select_deselects.unwrap_or(!self.from(5, 0, 0))
    }

    /// On the 4 series, a key that lacks its PIN asks for the finger first (go-piv issue 42).
    pub fn touch_comes_first(self) -> bool {
        self.traits.touch_first.unwrap_or(!self.from(5, 0, 0))
    }

    /// Before 4.3.2 asking whether the PIN is verified tells the tries left, always (OpenSC, card-piv.c).
    pub fn query_tells_verified(self) -> bool {
        self.from(4, 3, 2)
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

    /// 3DES has always been there, but not on FIPS keys from 5.7; AES since 5.4.2.
    pub fn has_management_algorithm(self, algorithm: ManagementAlgorithm) -> bool {
        match algorithm {
            ManagementAlgorithm::TripleDes => !(self.is_fips() && self.from(5, 7, 0)),
            _ => self.from(5, 4, 2),
        }
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
        assert_eq!("5.7.4-fips".parse(), Ok(Firmware::new(5, 7, 4).fips()));
        assert_eq!(Firmware::new(5, 7, 4).fips().to_string(), "5.7.4-fips");
        for wrong in ["", "5.7", "5.7.4.1", "5.7.x", "5.7.256", "5.7.4-FIPS", "-fips"] {
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
