//! The key references of SP 800-73-4 part 1, table 4b, and Yubico's own.

/// The application PIN.
pub(crate) const PIN: u8 = 0x80;
/// The PIN unblocking key.
pub(crate) const PUK: u8 = 0x81;
/// The fingerprints of a YubiKey Bio.
pub(crate) const FINGERPRINT: u8 = 0x96;
/// The management key.
pub(crate) const MANAGEMENT: u8 = 0x9B;
/// The attestation key.
pub(crate) const ATTESTATION: u8 = 0xF9;

/// Whether a slot can hold a private key: the four of the standard, the twenty retired ones, and the attestation slot.
pub(crate) fn holds_private_keys(slot: u8) -> bool {
    matches!(slot, 0x9A | 0x9C | 0x9D | 0x9E | 0x82..=0x95 | ATTESTATION)
}
