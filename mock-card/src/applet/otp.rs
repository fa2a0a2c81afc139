//! The OTP application (Yubico, "YubiKey OTP API"), as far as it tells the device. On the YubiKey 4 there is no other
//! way to the serial number.

use super::apdu::CommandApdu;
use super::device_info;
use super::firmware::Firmware;
use super::profile::Profile;
use super::status::Status;

/// The answer to a selection: the status, and four more bytes.
pub(crate) fn select(firmware: Firmware) -> Vec<u8> {
    [&status(firmware)[..], &[0x00, 0x0F, 0x00, 0x00]].concat()
}

/// The version, the sequence number of the last programming, and what is programmed: nothing.
fn status(firmware: Firmware) -> Vec<u8> {
    [&firmware.to_bytes()[..], &[0, 0, 0]].concat()
}

/// INS 01 is an API request, whose number is in P1. INS 03 is READ STATUS. `serial` is absent where it cannot be read.
pub(crate) fn handle(apdu: &CommandApdu, profile: Profile, serial: Option<u32>) -> Result<Vec<u8>, Status> {
    const GET_SERIAL: u8 = 0x10;
    const GET_DEVICE_INFO: u8 = 0x13;
    match (apdu.ins, apdu.p1) {
        (0x01, GET_SERIAL) => {
            serial.map(|serial| serial.to_be_bytes().to_vec()).ok_or(Status::ConditionsNotSatisfied)
        }
        (0x01, GET_DEVICE_INFO) => Ok(device_info::page(0, profile, serial, false)),
        (0x01, _) => Err(Status::WrongParameters),
        (0x03, _) => Ok(status(profile.firmware)),
        _ => Err(Status::UnknownInstruction),
    }
}
