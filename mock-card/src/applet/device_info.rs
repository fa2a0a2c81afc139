//! Device information: what a YubiKey is and which of its applications are on (Yubico, "YubiKey 5 management
//! application").

use super::profile::Profile;
use super::tlv;

/// OTP, U2F, OpenPGP, PIV, OATH, YubiHSM Auth and FIDO2.
const CAPABILITIES: [u8; 2] = [0x03, 0x3B];
/// OTP, U2F, OpenPGP, PIV and OATH.
const CAPABILITIES_OF_YUBIKEY_4: [u8; 1] = [0x3B];
/// FIDO2, PIV, OpenPGP, OATH and YubiHSM Auth. These bits have an order of their own.
const FIPS_CAPABLE: [u8; 2] = [0, 0x1F];
const FIPS_APPROVED_PIV: [u8; 2] = [0, 0x02];

/// A page: one byte with its length, then its elements. Only page 0 has elements.
pub(crate) fn page(number: u8, profile: Profile, serial: u32, is_fips_approved: bool) -> Vec<u8> {
    let elements = match number {
        0 => first_page(profile, serial, is_fips_approved),
        _ => Vec::new(),
    };
    [&[elements.len() as u8], &elements[..]].concat()
}

fn first_page(profile: Profile, serial: u32, is_fips_approved: bool) -> Vec<u8> {
    if profile.firmware().major < 5 {
        return [
            tlv::element(&[0x01], &CAPABILITIES_OF_YUBIKEY_4),
            tlv::element(&[0x02], &serial.to_be_bytes()),
            tlv::element(&[0x03], &CAPABILITIES_OF_YUBIKEY_4),
        ]
        .concat();
    }
    let mut page = [
        tlv::element(&[0x01], &CAPABILITIES),
        tlv::element(&[0x02], &serial.to_be_bytes()),
        tlv::element(&[0x03], &CAPABILITIES),
        tlv::element(&[0x04], &[profile.form_factor()]),
        tlv::element(&[0x05], &profile.firmware().to_bytes()),
        tlv::element(&[0x06], &[0, 0]),
        tlv::element(&[0x07], &[15]),
        tlv::element(&[0x08], &[0]),
        tlv::element(&[0x0A], &[0]),
    ]
    .concat();
    if profile.tells_restrictions() {
        let (capable, approved) = match (profile.is_fips(), is_fips_approved) {
            (true, true) => (FIPS_CAPABLE, FIPS_APPROVED_PIV),
            (true, false) => (FIPS_CAPABLE, [0, 0]),
            (false, _) => ([0, 0], [0, 0]),
        };
        page.extend(tlv::element(&[0x14], &capable));
        page.extend(tlv::element(&[0x15], &approved));
        page.extend(tlv::element(&[0x16], &[u8::from(profile.has_pin_complexity())]));
    }
    page
}
