//! The management application, as far as tools need it to list a device: READ CONFIG (Yubico, "YubiKey 5
//! management application").

use super::apdu::Command;
use super::status::Status;
use super::tlv;
use crate::profile::{Firmware, Profile};

/// OTP, U2F, OpenPGP, PIV, OATH, HSM authentication, FIDO2.
const CAPABILITIES: [u8; 2] = [0x03, 0x3B];
/// OTP, U2F, OpenPGP, PIV, OATH.
const CAPABILITIES_OF_SERIES_4: [u8; 1] = [0x3B];
/// A keychain with USB-C.
const KEYCHAIN_C: u8 = 3;
const FORM_FACTOR_FIPS: u8 = 0x80;
/// FIDO2, PIV, OpenPGP, OATH, HSM authentication: FIPS counts its applications in an order of its own.
const FIPS_CAPABLE: [u8; 2] = [0, 0x1F];
const FIPS_PIV: u8 = 0x02;

/// The answer to a selection, in ASCII.
pub(crate) fn select(firmware: Firmware) -> Vec<u8> {
    let Firmware { major, minor, patch, .. } = firmware;
    format!("Virtual mgr - FW version {major}.{minor}.{patch}").into_bytes()
}

/// What the device looks like, here and in attestations.
pub(crate) fn form_factor(profile: Profile) -> u8 {
    if profile.is_fips() { KEYCHAIN_C | FORM_FACTOR_FIPS } else { KEYCHAIN_C }
}

/// INS 1D: one length byte, then the elements of the page in P1. There is one page.
///
/// `has_own_secrets` tells whether the PIV application is in FIPS approved mode, on a key that has one.
pub(crate) fn handle(
    command: &Command,
    profile: Profile,
    serial: u32,
    has_own_secrets: bool,
) -> Result<Vec<u8>, Status> {
    match (command.ins, command.p1) {
        (0x1D, 0) => {
            let page = page(profile, serial, has_own_secrets);
            Ok([&[page.len() as u8], &page[..]].concat())
        }
        (0x1D, _) => Ok(vec![0]),
        _ => Err(Status::UnknownInstruction),
    }
}

fn page(profile: Profile, serial: u32, has_own_secrets: bool) -> Vec<u8> {
    if profile.firmware().major < 5 {
        return [
            tlv::element(&[0x01], &CAPABILITIES_OF_SERIES_4),
            tlv::element(&[0x02], &serial.to_be_bytes()),
            tlv::element(&[0x03], &CAPABILITIES_OF_SERIES_4),
        ]
        .concat();
    }
    let mut page = [
        tlv::element(&[0x01], &CAPABILITIES),
        tlv::element(&[0x02], &serial.to_be_bytes()),
        tlv::element(&[0x03], &CAPABILITIES),
        tlv::element(&[0x04], &[form_factor(profile)]),
        tlv::element(&[0x05], &profile.firmware().to_bytes()),
        tlv::element(&[0x06], &[0, 0]),
        tlv::element(&[0x07], &[15]),
        tlv::element(&[0x08], &[0]),
        tlv::element(&[0x0A], &[0]),
    ]
    .concat();
    if profile.tells_restrictions() {
        let capable = if profile.is_fips() { FIPS_CAPABLE } else { [0, 0] };
        page.extend(tlv::element(&[0x14], &capable));
        let approved = if profile.is_fips() && has_own_secrets { FIPS_PIV } else { 0 };
        page.extend(tlv::element(&[0x15], &[0, approved]));
        page.extend(tlv::element(&[0x16], &[u8::from(profile.has_pin_complexity())]));
    }
    page
}
