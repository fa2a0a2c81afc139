//! The management application, as far as tools need it to list a device: READ CONFIG (Yubico, "YubiKey 5
//! management application").

use super::apdu::Command;
use super::status::Status;
use super::tlv;
use crate::profile::Firmware;

/// OTP, U2F, OpenPGP, PIV, OATH, HSM authentication, FIDO2.
const CAPABILITIES: [u8; 2] = [0x03, 0x3B];
/// A keychain with USB-C.
const FORM_FACTOR: u8 = 3;

/// The answer to a selection, in ASCII.
pub(crate) fn select(firmware: Firmware) -> Vec<u8> {
    format!("Virtual mgr - FW version {firmware}").into_bytes()
}

/// INS 1D: one length byte, then the elements of the page in P1. There is one page.
pub(crate) fn handle(command: &Command, firmware: Firmware, serial: u32) -> Result<Vec<u8>, Status> {
    match (command.ins, command.p1) {
        (0x1D, 0) => {
            let page = page(firmware, serial);
            Ok([&[page.len() as u8], &page[..]].concat())
        }
        (0x1D, _) => Ok(vec![0]),
        _ => Err(Status::UnknownInstruction),
    }
}

fn page(firmware: Firmware, serial: u32) -> Vec<u8> {
    [
        tlv::element(&[0x01], &CAPABILITIES),
        tlv::element(&[0x02], &serial.to_be_bytes()),
        tlv::element(&[0x03], &CAPABILITIES),
        tlv::element(&[0x04], &[FORM_FACTOR]),
        tlv::element(&[0x05], &firmware.to_bytes()),
        tlv::element(&[0x06], &[0, 0]),
        tlv::element(&[0x07], &[15]),
        tlv::element(&[0x08], &[0]),
        tlv::element(&[0x0A], &[0]),
    ]
    .concat()
}
