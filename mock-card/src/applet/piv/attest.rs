//! Yubico's ATTEST: a certificate that says that this card made a key.

use super::Piv;
use crate::applet::attestation::Statement;
use crate::applet::key::Origin;
use crate::applet::object::ATTESTATION_CERTIFICATE;
use crate::applet::slot;
use crate::applet::status::Status;
use crate::applet::tlv::{self, tag};

impl Piv {
    /// Nothing has to be proven for it. There is no statement about a key that was imported or about an empty slot, and
    /// none from a card without an attestation key.
    ///
    /// The issuer is whoever the certificate object says. A client can overwrite that object; a compressed certificate
    /// is not read.
    pub(super) fn attest(&mut self, slot: u8) -> Result<Vec<u8>, Status> {
        let serial_number = self.draw(Statement::SERIAL_NUMBER_LENGTH);
        let key = self.key(slot).filter(|key| key.origin == Origin::Generated).ok_or(Status::WrongData)?;
        let attestation_key = self.key(slot::ATTESTATION).ok_or(Status::WrongData)?;
        let object = self.object(ATTESTATION_CERTIFICATE).ok_or(Status::WrongData)?;
        let issuer = tlv::find(&tlv::parse(object)?, tag::CERTIFICATE).ok_or(Status::WrongData)?;
        Statement { profile: self.profile, card: self.serial, slot, key, serial_number }
            .sign(issuer, &attestation_key.private)
    }
}
