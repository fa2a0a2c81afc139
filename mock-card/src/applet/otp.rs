//! The OTP application (Yubico, "YubiKey OTP API"), as far as it tells the serial number. On the YubiKey 4 there is no
//! other way to it.

use super::apdu::CommandApdu;
use super::firmware::Firmware;
use super::status::Status;

/// The answer to a selection and to READ STATUS: the version, and that nothing is programmed.
pub(crate) fn status(firmware: Firmware) -> Vec<u8> {
    [&firmware.to_bytes()[..], &[0, 0, 0]].concat()
}

/// INS 01 is an API request, whose number is in P1. INS 03 is READ STATUS.
pub(crate) fn handle(apdu: &CommandApdu, firmware: Firmware, serial: u32) -> Result<Vec<u8>, Status> {
    const GET_SERIAL: u8 = 0x10;
    match (apdu.ins, apdu.p1) {
        (0x01, GET_SERIAL) => Ok(serial.to_be_bytes().to_vec()),
        (0x01, _) => Err(Status::WrongParameters),
        (0x03, _) => Ok(status(firmware)),
        _ => Err(Status::UnknownInstruction),
    }
}
