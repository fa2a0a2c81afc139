//! Device information: what a YubiKey is and which of its applications are on (Yubico, "YubiKey 5 management
//! application").
//!
//! Which elements there are, and in which order, is as recorded from YubiKeys of each generation (`tests/recordings`).

use super::profile::Profile;
use super::tlv;
use super::traits::Transport;

/// The bits of applications.
mod capability {
    pub(super) const OTP: u16 = 0x0001;
    pub(super) const U2F: u16 = 0x0002;
    pub(super) const HSM_AUTH: u16 = 0x0100;
    /// OpenPGP, PIV, OATH and FIDO2, and a bit without a name.
    pub(super) const OTHERS: u16 = 0x023C;
    pub(super) const PIV: u16 = 0x0010;
    pub(super) const FIDO2: u16 = 0x0200;
}

/// FIDO2, PIV, OpenPGP, OATH and YubiHSM Auth. These bits have an order of their own.
const FIPS_CAPABLE: [u8; 2] = [0, 0x1F];
const FIPS_APPROVED_PIV: [u8; 2] = [0, 0x02];

/// Twelve characters.
const PART_NUMBER: &[u8; 12] = b"MOCK-CARD-05";

/// A page: one byte with its length, then its elements. `serial` is absent where it cannot be read.
pub(crate) fn page(number: u8, profile: Profile, serial: Option<u32>, is_fips_approved: bool) -> Vec<u8> {
    let elements = match number {
        0 if profile.is_yubikey_4() => page_of_yubikey_4(serial),
        0 => first_page(profile, serial),
        1 if profile.has_second_info_page() => second_page(profile, is_fips_approved),
        _ => Vec::new(),
    };
    [&[elements.len() as u8], &elements[..]].concat()
}

fn page_of_yubikey_4(serial: Option<u32>) -> Vec<u8> {
    [element(0x01, &[0xFF]), serial_element(serial), element(0x03, &[0x3F])].concat()
}

fn first_page(profile: Profile, serial: Option<u32>) -> Vec<u8> {
    let supported = capabilities(profile).to_be_bytes();
    let enabled = |transport| match profile.traits {
        traits if traits.piv_disabled && traits.transport == transport => {
            (capabilities(profile) & !capability::PIV).to_be_bytes()
        }
        _ => supported,
    };
    let mut page = [
        element(0x01, &supported),
        element(0x03, &enabled(Transport::Usb)),
        serial_element(serial),
        element(0x04, &[profile.form_factor_byte()]),
        element(0x05, &profile.firmware.to_bytes()),
        element(0x06, &[0, 0]),
        element(0x07, &[15]),
        element(0x08, &[0]),
    ]
    .concat();
    if profile.has_nfc() {
        page.extend(element(0x0D, &supported));
        page.extend(element(0x0E, &enabled(Transport::Nfc)));
    }
    page.extend(element(0x0A, &[0]));
    if profile.has_info_element_0f() {
        page.extend(element(0x0F, &[0]));
    }
    if profile.has_second_info_page() {
        page.extend(element(0x20, &[0; 3]));
        page.extend(element(0x21, &[0; 3]));
        page.extend(element(0x10, &[1]));
    }
    page
}

fn second_page(profile: Profile, is_fips_approved: bool) -> Vec<u8> {
    let (capable, approved) = match (profile.is_fips(), is_fips_approved) {
        (true, true) => (FIPS_CAPABLE, FIPS_APPROVED_PIV),
        (true, false) => (FIPS_CAPABLE, [0, 0]),
        (false, _) => ([0, 0], [0, 0]),
    };
    [
        element(0x11, &[0; 4]),
        element(0x12, &[0]),
        element(0x13, PART_NUMBER),
        element(0x14, &capable),
        element(0x15, &approved),
        element(0x16, &[u8::from(profile.has_pin_complexity())]),
        element(0x17, &[0]),
        element(0x18, &[0, 0]),
    ]
    .concat()
}

fn capabilities(profile: Profile) -> u16 {
    if profile.is_bio() {
        return capability::U2F | capability::PIV | capability::FIDO2;
    }
    let hsm_auth = if profile.has_hsm_auth() { capability::HSM_AUTH } else { 0 };
    capability::OTP | capability::U2F | capability::OTHERS | hsm_auth
}

fn serial_element(serial: Option<u32>) -> Vec<u8> {
    serial.map_or(Vec::new(), |serial| element(0x02, &serial.to_be_bytes()))
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    tlv::element(&[tag], value)
}
