//! GET METADATA, from firmware 5.3: what is in a slot, and whether PIN, PUK and management key are still the
//! default ones (Yubico's PIV extensions).

use super::apdu::Command;
use super::pin::{PIN, PUK, Reference};
use super::piv::MANAGEMENT;
use super::piv::{Piv, is_key_slot};
use super::status::Status;
use super::tlv;

const ALGORITHM: &[u8] = &[1];
const POLICY: &[u8] = &[2];
const ORIGIN: &[u8] = &[3];
const PUBLIC_KEY: &[u8] = &[4];
const IS_DEFAULT: &[u8] = &[5];
const TRIES: &[u8] = &[6];

impl Piv {
    pub(super) fn metadata(&self, command: &Command) -> Result<Vec<u8>, Status> {
        if command.p1 != 0 {
            return Err(Status::WrongParameters);
        }
        match command.p2 {
            PIN => Ok(reference(&self.store().pin, self.store().pin.is_default_pin())),
            PUK => Ok(reference(&self.store().puk, self.store().puk.is_default_puk())),
            MANAGEMENT => Ok(self.management_metadata()),
            slot if is_key_slot(slot) => self.key_metadata(slot),
            _ => Err(Status::ReferenceNotFound),
        }
    }

    fn management_metadata(&self) -> Vec<u8> {
        let key = &self.store().management;
        [
            tlv::element(ALGORITHM, &[key.algorithm.identifier()]),
            tlv::element(POLICY, &[0, key.touch.byte()]),
            tlv::element(IS_DEFAULT, &[u8::from(key.is_default())]),
        ]
        .concat()
    }

    fn key_metadata(&self, slot: u8) -> Result<Vec<u8>, Status> {
        let key = self.key(slot).ok_or(Status::ReferenceNotFound)?;
        Ok([
            tlv::element(ALGORITHM, &[key.private.algorithm().identifier()]),
            tlv::element(POLICY, &[key.pin.byte(), key.touch.byte()]),
            tlv::element(ORIGIN, &[key.origin.byte()]),
            tlv::element(PUBLIC_KEY, &key.private.public_key().template()),
        ]
        .concat())
    }
}

fn reference(reference: &Reference, is_default: bool) -> Vec<u8> {
    [
        tlv::element(ALGORITHM, &[0xFF]),
        tlv::element(IS_DEFAULT, &[u8::from(is_default)]),
        tlv::element(TRIES, &[reference.tries, reference.left]),
    ]
    .concat()
}
