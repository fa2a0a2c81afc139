//! What a card can do. The applications never compare firmware versions themselves; they ask here.
//!
//! The versions and limits are those of Yubico's release notes, and of the version gates in yubikey-manager and
//! yubico-piv-tool.

use super::firmware::{Edition, Firmware};
use super::instruction::Instruction;
use super::key::Algorithm;
use super::management_key::ManagementAlgorithm;
use super::policy::PinPolicy;
use super::traits::{Attestation, FormFactor, Traits, Transport};

/// The capabilities of a card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) firmware: Firmware,
    /// What is special about the card.
    pub(crate) traits: Traits,
}

impl Profile {
    /// The oldest firmware whose behaviour is modelled.
    pub(crate) const OLDEST: Firmware = Firmware::new(4, 3, 0);
    /// The largest number of data bytes in a command, chained or extended.
    pub(crate) const LONGEST_COMMAND: usize = 3062;
    /// The largest number of bytes in a data object.
    pub(crate) const LARGEST_OBJECT: usize = 3052;
    /// The largest number of bytes in all data objects together.
    pub(crate) const OBJECT_MEMORY: usize = 51_200;

    /// The profile of a firmware. One that is newer than the newest known is taken for that.
    pub(crate) fn of(firmware: Firmware) -> Self {
        Self { firmware, traits: Traits::default() }
    }

    /// The number of tries of a new PIN. A YubiKey Bio has eight, and no PUK.
    pub(crate) fn pin_tries(self) -> u8 {
        if self.is_bio() { 8 } else { 3 }
    }

    /// Whether there is a PUK.
    pub(crate) fn has_puk(self) -> bool {
        !self.is_bio()
    }

    /// Whether it is a YubiKey FIPS.
    pub(crate) fn is_fips(self) -> bool {
        self.firmware.edition == Edition::Fips || (self.firmware.major, self.firmware.minor) == (4, 4)
    }

    /// Whether it is a YubiKey Bio.
    pub(crate) fn is_bio(self) -> bool {
        self.firmware.edition == Edition::Bio
    }

    /// Whether it is of the YubiKey 4 series.
    pub(crate) fn is_yubikey_4(self) -> bool {
        !self.from(5, 0, 0)
    }

    /// Whether the PIV application can be selected.
    pub(crate) fn has_piv(self) -> bool {
        !self.traits.piv_disabled
    }

    /// Whether the OTP application can be selected through a smart card reader: not on 5.0 to 5.2, and not on a YubiKey
    /// Bio, which has none.
    pub(crate) fn has_otp(self) -> bool {
        (self.is_yubikey_4() || self.from(5, 3, 0)) && !self.is_bio()
    }

    /// The form of the device.
    pub(crate) fn form_factor(self) -> FormFactor {
        let usual = if self.is_bio() { FormFactor::BioC } else { FormFactor::KeychainC };
        self.traits.form_factor.unwrap_or(usual)
    }

    /// The number of the form. On a YubiKey FIPS a bit is added to it.
    pub(crate) fn form_factor_byte(self) -> u8 {
        const FIPS: u8 = 0x80;
        self.form_factor() as u8 | if self.is_fips() { FIPS } else { 0 }
    }

    /// Whether the device can be put on an NFC reader.
    pub(crate) fn has_nfc(self) -> bool {
        matches!(self.form_factor(), FormFactor::KeychainA | FormFactor::KeychainC)
    }

    /// The answer to reset (pcsc-tools, `smartcard_list.txt`). Its historical bytes end with "YubiKey" or "Yubikey4". An
    /// ACR122U replaces the last letter by FF.
    pub(crate) fn answer_to_reset(self) -> &'static [u8] {
        match (self.traits.transport, self.is_yubikey_4()) {
            (Transport::Usb, false) => {
                &b"\x3B\xFD\x13\x00\x00\x81\x31\xFE\x15\x80\x73\xC0\x21\xC0\x57YubiKey\x40"[..]
            }
            (Transport::Usb, true) => &b"\x3B\xF8\x13\x00\x00\x81\x31\xFE\x15Yubikey4\xD4"[..],
            (Transport::Nfc, _) => &b"\x3B\x8D\x80\x01\x80\x73\xC0\x21\xC0\x57YubiKe\xFF\x7F"[..],
        }
    }

    /// Whether attestations carry the form factor: from 5.0 on.
    pub(crate) fn attests_form_factor(self) -> bool {
        !self.is_yubikey_4()
    }

    /// Whether attestations carry the serial number.
    pub(crate) fn attests_serial(self) -> bool {
        self.traits.attests_serial.unwrap_or(true)
    }

    /// The chain behind attestations. The new one came with 5.7.4.
    pub(crate) fn attestation(self) -> Attestation {
        let usual = match self {
            _ if self.is_yubikey_4() => Attestation::Legacy,
            _ if self.from(5, 7, 4) => Attestation::New,
            _ => Attestation::Old,
        };
        self.traits.attestation.unwrap_or(usual)
    }

    /// Whether slots can hold keys of an algorithm. Some came with 5.7. A YubiKey FIPS has neither RSA-1024 nor X25519
    /// (yubikey-manager's gates).
    pub(crate) fn has_algorithm(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::P256 | Algorithm::P384 | Algorithm::Rsa2048 => true,
            Algorithm::Rsa1024 => !self.is_fips(),
            Algorithm::Rsa3072 | Algorithm::Rsa4096 | Algorithm::Ed25519 => self.from(5, 7, 0),
            Algorithm::X25519 => self.from(5, 7, 0) && !self.is_fips(),
        }
    }

    /// Whether keys can have a policy. A YubiKey FIPS never uses a key without the PIN, and only a YubiKey Bio knows
    /// fingerprints.
    pub(crate) fn has_pin_policy(self, policy: PinPolicy) -> bool {
        match policy {
            PinPolicy::Never => !self.is_fips(),
            PinPolicy::Once | PinPolicy::Always => true,
            PinPolicy::MatchOnce | PinPolicy::MatchAlways => self.is_bio(),
        }
    }

    /// The PIN policy of a new key in a slot, where the client asks for none.
    pub(crate) fn pin_policy_of_slot(self, slot: u8) -> PinPolicy {
        let usual = PinPolicy::of_slot(slot);
        if self.has_pin_policy(usual) { usual } else { PinPolicy::Once }
    }

    /// The smallest number of bytes in a new PIN or PUK: eight on a YubiKey FIPS from 5.7 on.
    pub(crate) fn shortest_pin(self) -> usize {
        if self.is_fips() && self.from(5, 7, 0) { 8 } else { 6 }
    }

    /// Whether trivial PINs and PUKs are refused. From 5.7 on that can be switched on, and on a YubiKey FIPS it is.
    pub(crate) fn has_pin_complexity(self) -> bool {
        self.from(5, 7, 0) && self.traits.pin_complexity.unwrap_or(self.is_fips())
    }

    /// Whether device information has element 0F, which Yubico does not document. It was recorded on 5.2.7, and not on
    /// 5.1.2.
    pub(crate) fn has_info_element_0f(self) -> bool {
        self.from(5, 2, 0)
    }

    /// Whether device information has a second page, which tells about FIPS and PIN complexity: from 5.7 on.
    pub(crate) fn has_second_info_page(self) -> bool {
        self.from(5, 7, 0)
    }

    /// Whether there is a YubiHSM Auth application: from 5.4 on.
    pub(crate) fn has_hsm_auth(self) -> bool {
        self.from(5, 4, 0)
    }

    /// Whether selecting the application that is already selected ends the session: on the YubiKey 4.
    pub(crate) fn select_ends_session(self) -> bool {
        self.is_yubikey_4()
    }

    /// Whether a selection that fails leaves no application selected: on the YubiKey 4 (OpenSC issue 1243).
    pub(crate) fn failed_select_deselects(self) -> bool {
        self.traits.failed_select_deselects.unwrap_or(self.is_yubikey_4())
    }

    /// Whether a key that lacks its PIN asks for a touch before it refuses (go-piv issue 42, age-plugin-yubikey issue
    /// 80, yubikey-agent issue 6).
    pub(crate) fn touch_comes_first(self) -> bool {
        self.traits.touch_first.unwrap_or(true)
    }

    /// Whether somebody can touch the device.
    pub(crate) fn can_be_touched(self) -> bool {
        self.traits.transport == Transport::Usb
    }

    /// Whether the query of VERIFY tells that the PIN is verified. Before 4.3.2 it always tells the tries that are left
    /// (OpenSC, card-piv.c).
    pub(crate) fn query_tells_verified(self) -> bool {
        self.from(4, 3, 2)
    }

    /// Whether the PIV application knows an instruction. GET SERIAL came with 5.0, GET METADATA with 5.3, MOVE KEY with
    /// 5.7.
    pub(crate) fn has_instruction(self, instruction: Instruction) -> bool {
        match instruction {
            Instruction::GetSerial => !self.is_yubikey_4(),
            Instruction::GetMetadata => self.from(5, 3, 0),
            Instruction::MoveKey => self.from(5, 7, 0),
            _ => true,
        }
    }

    /// Whether VERIFY with P1 = FF ends the verification of the PIN: from 5.4.3 on.
    pub(crate) fn has_logout(self) -> bool {
        self.from(5, 4, 3)
    }

    /// Whether the query of VERIFY ends the verification of the PIN: on 5.3.1 (gravitational/teleport issue 36427).
    pub(crate) fn query_forgets_pin(self) -> bool {
        self.firmware == Firmware::new(5, 3, 1)
    }

    /// Whether a PUK is a text. From 5.7 on its length is counted in characters, so bytes 80 to FF are refused.
    pub(crate) fn has_text_puk(self) -> bool {
        self.from(5, 7, 0)
    }

    /// Whether the management key can have an algorithm. AES came with 5.4.2. A YubiKey FIPS has no 3DES from 5.7 on.
    pub(crate) fn has_management_algorithm(self, algorithm: ManagementAlgorithm) -> bool {
        match algorithm {
            ManagementAlgorithm::TripleDes => !(self.is_fips() && self.from(5, 7, 0)),
            _ => self.from(5, 4, 2),
        }
    }

    /// The algorithm of the management key on a new card, and after RESET.
    pub(crate) fn default_management_algorithm(self) -> ManagementAlgorithm {
        if self.from(5, 7, 0) { ManagementAlgorithm::Aes192 } else { ManagementAlgorithm::TripleDes }
    }

    fn from(self, major: u8, minor: u8, patch: u8) -> bool {
        self.firmware >= Firmware::new(major, minor, patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_begin_where_the_release_notes_say() {
        let before = Profile::of(Firmware::new(5, 6, 9));
        let since = Profile::of(Firmware::new(5, 7, 0));
        assert!(!before.has_instruction(Instruction::MoveKey) && since.has_instruction(Instruction::MoveKey));
        assert_eq!(before.default_management_algorithm(), ManagementAlgorithm::TripleDes);
        assert_eq!(since.default_management_algorithm(), ManagementAlgorithm::Aes192);
        assert!(Profile::of(Firmware::new(5, 3, 1)).query_forgets_pin());
        assert!(!Profile::of(Firmware::new(5, 3, 2)).query_forgets_pin());
    }
}
