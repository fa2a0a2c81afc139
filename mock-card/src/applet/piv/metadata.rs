//! Yubico's GET METADATA: what is in a slot, and whether PIN, PUK and management key are still those of a new card.

use super::{Piv, fingerprint};
use crate::applet::reference_data::ReferenceData;
use crate::applet::slot;
use crate::applet::status::Status;
use crate::applet::tlv;

const ALGORITHM: &[u8] = &[1];
const POLICY: &[u8] = &[2];
const ORIGIN: &[u8] = &[3];
const PUBLIC_KEY: &[u8] = &[4];
const IS_DEFAULT: &[u8] = &[5];
const TRIES: &[u8] = &[6];
const IS_CONFIGURED: &[u8] = &[7];
const HAS_TEMPORARY_PIN: &[u8] = &[8];

impl Piv {
    pub(super) fn metadata(&self, reference: u8) -> Result<Vec<u8>, Status> {
        let memory = self.memory();
        match reference {
            slot::PIN => Ok(of_reference_data(&memory.pin, memory.pin.is_default_pin())),
            slot::PUK => Ok(of_reference_data(&memory.puk, memory.puk.is_default_puk())),
            slot::MANAGEMENT => Ok(self.management_metadata()),
            slot::FINGERPRINT if self.profile.is_bio() => Ok(self.fingerprint_metadata()),
            slot if slot::holds_private_keys(slot) => self.key_metadata(slot),
            _ => Err(Status::ReferenceNotFound),
        }
    }

    /// Fingerprints are enrolled.
    fn fingerprint_metadata(&self) -> Vec<u8> {
        [
            tlv::element(IS_CONFIGURED, &[1]),
            tlv::element(TRIES, &[fingerprint::TRIES]),
            tlv::element(HAS_TEMPORARY_PIN, &[u8::from(self.session.temporary_pin.is_some())]),
        ]
        .concat()
    }

    fn management_metadata(&self) -> Vec<u8> {
        let key = &self.memory().management;
        [
            tlv::element(ALGORITHM, &[key.algorithm as u8]),
            tlv::element(POLICY, &[0, key.touch as u8]),
            tlv::element(IS_DEFAULT, &[u8::from(key.is_default())]),
        ]
        .concat()
    }

    fn key_metadata(&self, slot: u8) -> Result<Vec<u8>, Status> {
        let key = self.key(slot).ok_or(Status::ReferenceNotFound)?;
        Ok([
            tlv::element(ALGORITHM, &[key.private.algorithm().identifier()]),
            tlv::element(POLICY, &[key.pin as u8, key.touch as u8]),
            tlv::element(ORIGIN, &[key.origin as u8]),
            tlv::element(PUBLIC_KEY, &key.private.public_key().template()),
        ]
        .concat())
    }
}

fn of_reference_data(data: &ReferenceData, is_default: bool) -> Vec<u8> {
    [
        tlv::element(ALGORITHM, &[0xFF]),
        tlv::element(IS_DEFAULT, &[u8::from(is_default)]),
        tlv::element(TRIES, &[data.tries, data.left]),
    ]
    .concat()
}
