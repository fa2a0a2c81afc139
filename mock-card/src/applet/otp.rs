//! The OTP application, as far as it tells the serial number: the only way to it on the 4 series (Yubico, "YubiKey
//! OTP API").

use super::apdu::Command;
use super::status::Status;
use crate::profile::Firmware;

/// The answer to a selection, and to INS 03: the version, then that nothing is programmed.
pub(crate) fn status(firmware: Firmware) -> Vec<u8> {
    [&firmware.to_bytes()[..], &[0, 0, 0]].concat()
}

/// INS 01 with 10 in P1 tells the serial number, four bytes.
pub(crate) fn handle(command: &Command, firmware: Firmware, serial: u32) -> Result<Vec<u8>, Status> {
    match (command.ins, command.p1) {
        (0x01, 0x10) => Ok(serial.to_be_bytes().to_vec()),
        (0x01, _) => Err(Status::WrongParameters),
        (0x03, _) => Ok(status(firmware)),
        _ => Err(Status::UnknownInstruction),
    }
}
