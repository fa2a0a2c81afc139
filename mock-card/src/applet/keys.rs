//! Slot keys: use (GENERAL AUTHENTICATE, SP 800-73-4 part 2, 3.2.4), GENERATE (3.3.2), and Yubico's IMPORT,
//! MOVE and DELETE.

use super::apdu::Command;
use super::key::{Algorithm, ImportedKey, Origin, SlotKey};
use super::piv::{ATTESTATION, Outcome, Piv, Withheld, is_key_slot};
use super::policy::{PinPolicy, TouchPolicy};
use super::status::Status;
use super::tlv;

/// Tags of the dynamic authentication template, 7C.
const CHALLENGE: u8 = 0x81;
const RESPONSE: u8 = 0x82;
const PEER_POINT: u8 = 0x85;

impl Piv {
    /// GENERAL AUTHENTICATE with a slot key: `81` signs or decrypts, `85` agrees on a secret with a peer's
    /// point.
    ///
    /// The PIN is looked at before the touch is asked for, but on the 4 series.
    pub(super) fn use_key(&mut self, command: &Command, pin_just_verified: bool) -> Result<Outcome, Status> {
        let slot = command.p2;
        if !is_key_slot(slot) || slot == ATTESTATION {
            return Err(Status::WrongData);
        }
        let template = tlv::parse(tlv::only(&command.data, 0x7C)?)?;
        let key = self.key(slot).ok_or(Status::WrongData)?;
        if Algorithm::parse(command.p1) != Some(key.private.algorithm()) {
            return Err(Status::WrongData);
        }
        let allowed = match key.pin {
            PinPolicy::Never => true,
            PinPolicy::Once => self.session.pin_verified,
            PinPolicy::Always => pin_just_verified,
        };
        if !allowed && !self.profile.touch_comes_first() {
            return Err(Status::SecurityNotSatisfied);
        }
        let result = match (tlv::find(&template, CHALLENGE), tlv::find(&template, PEER_POINT)) {
            (Some(digest), None) if !digest.is_empty() => key.private.sign(digest)?,
            (None, Some(point)) => key.private.agree(point)?,
            _ => return Err(Status::WrongData),
        };
        let answer = match allowed {
            true => Ok(tlv::element(&[0x7C], &tlv::element(&[RESPONSE], &result))),
            false => Err(Status::SecurityNotSatisfied),
        };
        Ok(Outcome::AfterTouch(Withheld { slot, touch: key.touch, answer, authenticates_management: false }))
    }

    /// GENERATE ASYMMETRIC KEY PAIR: `AC L 80 01 algorithm [AA 01 pin] [AB 01 touch]`. The slot's certificate
    /// object stays as it is.
    pub(super) fn generate(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        self.require_management()?;
        let slot = key_slot(command.p2)?;
        let template = tlv::parse(tlv::only(&command.data, 0xAC)?)?;
        let algorithm = match tlv::find(&template, 0x80) {
            Some([identifier]) => self.slot_algorithm(*identifier)?,
            _ => return Err(Status::WrongData),
        };
        let (pin, touch) = self.policies(&template, slot)?;
        let private = ImportedKey::generate(algorithm, self.random());
        let public = private.public_key().template();
        self.set_key(slot, Some(SlotKey { private, pin, touch, origin: Origin::Generated }));
        Ok(tlv::element(&[0x7F, 0x49], &public))
    }

    /// IMPORT ASYMMETRIC KEY: algorithm in P1, slot in P2, the secret's numbers, `[AA 01 pin] [AB 01 touch]`.
    pub(super) fn import(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        self.require_management()?;
        let slot = key_slot(command.p2)?;
        let algorithm = self.slot_algorithm(command.p1)?;
        let template = tlv::parse(&command.data)?;
        let private = ImportedKey::from_template(algorithm, &template).ok_or(Status::WrongData)?;
        let (pin, touch) = self.policies(&template, slot)?;
        self.set_key(slot, Some(SlotKey { private, pin, touch, origin: Origin::Imported }));
        Ok(Vec::new())
    }

    /// MOVE KEY: from the slot in P2 to the one in P1, or with P1 = FF to nowhere. Policies move along.
    pub(super) fn move_key(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        const NOWHERE: u8 = 0xFF;
        self.require_management()?;
        let source = key_slot(command.p2)?;
        if command.p1 != NOWHERE {
            let target = key_slot(command.p1)?;
            if source == ATTESTATION || target == ATTESTATION {
                return Err(Status::WrongSlot);
            }
            if self.key(target).is_some() {
                return Err(Status::WrongData);
            }
        }
        let key = self.key(source).cloned().ok_or(Status::ReferenceNotFound)?;
        self.set_key(source, None);
        if command.p1 != NOWHERE {
            self.set_key(command.p1, Some(key));
        }
        Ok(Vec::new())
    }

    /// An algorithm this firmware has.
    fn slot_algorithm(&self, identifier: u8) -> Result<Algorithm, Status> {
        Algorithm::parse(identifier)
            .filter(|algorithm| self.profile.has_algorithm(*algorithm))
            .ok_or(Status::WrongData)
    }

    /// Tags AA and AB, or the slot's own policies.
    fn policies(&self, template: &[(u8, &[u8])], slot: u8) -> Result<(PinPolicy, TouchPolicy), Status> {
        let byte = |tag| match tlv::find(template, tag) {
            None => Ok(0),
            Some([value]) => Ok(*value),
            Some(_) => Err(Status::WrongData),
        };
        let pin = match byte(0xAA)? {
            0 => self.profile.pin_policy_of_slot(slot),
            told => PinPolicy::parse(told)
                .filter(|pin| self.profile.has_pin_policy(*pin))
                .ok_or(Status::WrongData)?,
        };
        Ok((pin, TouchPolicy::parse(byte(0xAB)?)?))
    }
}

fn key_slot(slot: u8) -> Result<u8, Status> {
    if is_key_slot(slot) { Ok(slot) } else { Err(Status::WrongSlot) }
}
