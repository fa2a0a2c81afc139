//! The management application (Yubico, "YubiKey 5 management application"), as far as tools use it to list a device.

use super::apdu::CommandApdu;
use super::device_info;
use super::firmware::Firmware;
use super::instruction::Instruction;
use super::profile::Profile;
use super::status::Status;

/// The answer to a selection, which is a text.
pub(crate) fn select(firmware: Firmware) -> Vec<u8> {
    let Firmware { major, minor, patch, .. } = firmware;
    format!("Virtual mgr - FW version {major}.{minor}.{patch}").into_bytes()
}

/// READ CONFIG: a page of device information, whose number is in P1. `is_fips_approved` tells whether the PIV
/// application is in FIPS approved mode.
pub(crate) fn handle(
    apdu: &CommandApdu,
    profile: Profile,
    serial: Option<u32>,
    is_fips_approved: bool,
) -> Result<Vec<u8>, Status> {
    match Instruction::parse(apdu.ins) {
        Some(Instruction::ReadConfig) => Ok(device_info::page(apdu.p1, profile, serial, is_fips_approved)),
        _ => Err(Status::UnknownInstruction),
    }
}
