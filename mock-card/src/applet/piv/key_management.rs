//! Making and moving private keys: GENERATE ASYMMETRIC KEY PAIR (SP 800-73-4 part 2, 3.3.2), and Yubico's IMPORT
//! ASYMMETRIC KEY and MOVE KEY. The certificate object of a slot stays as it is, whatever happens to the key.

use super::{Piv, Policies};
use crate::applet::key::{Algorithm, ImportedKey, Origin, SlotKey};
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::applet::status::Status;
use crate::applet::tlv::{self, Elements};

/// Of the answer to GENERATE ASYMMETRIC KEY PAIR.
const PUBLIC_KEY_TEMPLATE: [u8; 2] = [0x7F, 0x49];

impl Piv {
    /// Makes a key and answers its public half.
    pub(super) fn generate_key(
        &mut self,
        slot: u8,
        algorithm: Algorithm,
        policies: Policies,
    ) -> Result<Vec<u8>, Status> {
        self.require_algorithm(algorithm)?;
        let (pin, touch) = self.policies(slot, policies)?;
        let private = ImportedKey::generate(algorithm, self.random());
        let public = private.public_key().template();
        self.set_key(slot, Some(SlotKey { private, pin, touch, origin: Origin::Generated }));
        Ok(tlv::element(&PUBLIC_KEY_TEMPLATE, &public))
    }

    /// Stores a key that was made elsewhere.
    pub(super) fn import_key(
        &mut self,
        slot: u8,
        algorithm: Algorithm,
        secret: &Elements<'_>,
        policies: Policies,
    ) -> Result<(), Status> {
        self.require_algorithm(algorithm)?;
        let private = ImportedKey::from_template(algorithm, secret).ok_or(Status::WrongData)?;
        let (pin, touch) = self.policies(slot, policies)?;
        self.set_key(slot, Some(SlotKey { private, pin, touch, origin: Origin::Imported }));
        Ok(())
    }

    /// Moves a key to an empty slot. Its policies go with it.
    pub(super) fn move_key(&mut self, from: u8, to: u8) -> Result<(), Status> {
        if self.key(to).is_some() {
            return Err(Status::WrongData);
        }
        let key = self.key(from).cloned().ok_or(Status::ReferenceNotFound)?;
        self.set_key(from, None);
        self.set_key(to, Some(key));
        Ok(())
    }

    /// Empties a slot.
    pub(super) fn delete_key(&mut self, slot: u8) -> Result<(), Status> {
        if self.key(slot).is_none() {
            return Err(Status::ReferenceNotFound);
        }
        self.set_key(slot, None);
        Ok(())
    }

    fn require_algorithm(&self, algorithm: Algorithm) -> Result<(), Status> {
        if self.profile.has_algorithm(algorithm) { Ok(()) } else { Err(Status::WrongData) }
    }

    fn policies(&self, slot: u8, wanted: Policies) -> Result<(PinPolicy, TouchPolicy), Status> {
        let pin = wanted.pin.unwrap_or_else(|| self.profile.pin_policy_of_slot(slot));
        if self.profile.has_pin_policy(pin) { Ok((pin, wanted.touch)) } else { Err(Status::WrongData) }
    }
}
