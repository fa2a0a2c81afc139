//! Yubico's certificate extensions, 1.3.6.1.4.1.41482.3.x. They are never critical, and the bytes of most have no type
//! of their own.

use super::certificate;
use crate::applet::profile::Profile;

/// Extension 3: the firmware version, three bytes.
pub(super) fn firmware(profile: Profile) -> Vec<u8> {
    extension(3, &profile.firmware.to_bytes())
}

/// Extension 7: the card's serial number, an INTEGER.
pub(super) fn serial(card: u32) -> Vec<u8> {
    extension(7, &certificate::integer(&card.to_be_bytes()))
}

/// Extension 8: PIN policy and touch policy, one byte each.
pub(super) fn policies(pin: u8, touch: u8) -> Vec<u8> {
    extension(8, &[pin, touch])
}

/// Extension 9: the form factor, one byte.
pub(super) fn form_factor(profile: Profile) -> Vec<u8> {
    extension(9, &[profile.form_factor_byte()])
}

/// Extension 10: the card is a YubiKey FIPS, an INTEGER.
pub(super) fn fips() -> Vec<u8> {
    extension(10, &certificate::integer(&[7]))
}

fn extension(last: u8, value: &[u8]) -> Vec<u8> {
    certificate::extension(&[0x2B, 6, 1, 4, 1, 0x82, 0xC4, 0x0A, 3, last], false, value)
}
