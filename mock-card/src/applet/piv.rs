//! The PIV application: its memory, what it remembers until power loss, and its instructions.
//!
//! SP 800-73-4 part 2 defines SELECT to GENERATE; the instructions from F6 on are Yubico's.

use std::cell::OnceCell;
use std::mem;
use std::time::Duration;

use super::Random;
use super::apdu::Command;
use super::attestation::Factory;
use super::key::SlotKey;
use super::management_key::Proof;
use super::objects::ATTESTATION_CERTIFICATE;
use super::policy::TouchPolicy;
use super::status::Status;
use super::store::Store;
use crate::profile::Profile;

/// The slot of the management key.
pub(crate) const MANAGEMENT: u8 = 0x9B;
/// The slot of the attestation key.
pub(crate) const ATTESTATION: u8 = 0xF9;

/// Whether a slot can hold a private key: the four of the standard, twenty retired ones, attestation.
pub(crate) fn is_key_slot(slot: u8) -> bool {
    matches!(slot, 0x9A | 0x9C | 0x9D | 0x9E | 0x82..=0x95 | ATTESTATION)
}

/// The application.
pub(crate) struct Piv {
    pub(super) profile: Profile,
    pub(super) serial: u32,
    pub(super) session: Session,
    store: Store,
    store_changed: bool,
    random: Random,
    factory: OnceCell<Option<Factory>>,
}

/// What power loss, reset and the selection of another application wipe out.
#[derive(Default)]
pub(crate) struct Session {
    pub(super) pin_verified: bool,
    /// VERIFY was the command before this one.
    pub(super) pin_just_verified: bool,
    pub(super) management_authenticated: bool,
    pub(super) proof: Option<Proof>,
    /// The last touch given for a key of policy `Cached`.
    pub(super) touched_at: Option<Duration>,
}

/// How a command that was accepted goes on.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Vec<u8>),
    AfterTouch(Withheld),
}

/// An answer that is ready but handed out, with its effect, only once the policy's touch is given. It may be a
/// refusal: the 4 series asks for the finger first and for the PIN afterwards.
#[derive(Debug)]
pub(crate) struct Withheld {
    pub(crate) slot: u8,
    pub(crate) touch: TouchPolicy,
    pub(crate) answer: Result<Vec<u8>, Status>,
    pub(crate) authenticates_management: bool,
}

impl Piv {
    pub(crate) fn new(profile: Profile, serial: u32, random: Random) -> Self {
        Self {
            profile,
            serial,
            session: Session::default(),
            store: Store::new(profile),
            store_changed: true,
            random,
            factory: OnceCell::new(),
        }
    }

    /// The same card with other traits.
    pub(crate) fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.factory = OnceCell::new();
    }

    /// Carries out one whole command.
    pub(crate) fn handle(&mut self, command: &Command, now: Duration) -> Result<Outcome, Status> {
        let pin_just_verified = mem::take(&mut self.session.pin_just_verified);
        match command.ins {
            0x20 => self.verify(command),
            0x24 => self.change_reference(command),
            0x2C => self.reset_retry(command),
            0x47 => self.generate(command),
            0x87 => {
                let outcome = match command.p2 {
                    MANAGEMENT => self.authenticate_management(command)?,
                    _ => self.use_key(command, pin_just_verified)?,
                };
                return self.release_if_untouched(outcome, now);
            }
            0xCB => self.get_data(command),
            0xDB => self.put_data(command),
            0xF6 if self.profile.has_move_key() => self.move_key(command),
            0xF7 if self.profile.has_metadata() => self.metadata(command),
            0xF8 if self.profile.tells_serial() => Ok(self.serial.to_be_bytes().to_vec()),
            0xF9 => self.attest(command),
            0xFA => self.set_pin_retries(command),
            0xFB => self.reset(),
            0xFD => Ok(self.profile.firmware().to_bytes().to_vec()),
            0xFE => self.import(command),
            0xFF => self.set_management_key(command),
            _ => Err(Status::UnknownInstruction),
        }
        .map(Outcome::Answer)
    }

    /// The answer to a selection, the same for every length of the AID (part 2, table 3).
    pub(crate) fn select(&mut self) -> Vec<u8> {
        self.session.pin_just_verified = false;
        let identifier = [0x4F, 6, 0, 0, 0x10, 0, 1, 0];
        let authority = [0x79, 7, 0x4F, 5, 0xA0, 0, 0, 3, 8];
        super::tlv::element(&[0x61], &[&identifier[..], &authority].concat())
    }

    /// Forgets what only power keeps.
    pub(crate) fn end_session(&mut self) {
        self.session = Session::default();
    }

    /// Hands out what was withheld; the touch is remembered for `Cached` keys only.
    pub(crate) fn release(&mut self, withheld: Withheld, now: Duration) -> Result<Vec<u8>, Status> {
        if withheld.touch == TouchPolicy::Cached {
            self.session.touched_at = Some(now);
        }
        self.grant(withheld)
    }

    fn release_if_untouched(&mut self, outcome: Outcome, now: Duration) -> Result<Outcome, Status> {
        match outcome {
            Outcome::AfterTouch(withheld) if !withheld.touch.wants_touch(self.session.touched_at, now) => {
                self.grant(withheld).map(Outcome::Answer)
            }
            other => Ok(other),
        }
    }

    fn grant(&mut self, withheld: Withheld) -> Result<Vec<u8>, Status> {
        self.session.management_authenticated |= withheld.authenticates_management;
        withheld.answer
    }

    /// RESET: back to the factory, but for the attestation key. Only when PIN and PUK are both blocked.
    fn reset(&mut self) -> Result<Vec<u8>, Status> {
        if self.store.pin.left > 0 || self.store.puk.left > 0 {
            return Err(Status::ConditionsNotSatisfied);
        }
        let mut fresh = Store::new(self.profile);
        fresh.factory = self.store.factory;
        fresh.keys.extend(self.store.keys.remove_entry(&ATTESTATION));
        fresh.objects.extend(self.store.objects.remove_entry(&ATTESTATION_CERTIFICATE));
        *self.change() = fresh;
        self.end_session();
        Ok(Vec::new())
    }

    /// Whether PIN, PUK and management key have all been changed from what every new card has.
    pub(crate) fn has_own_secrets(&self) -> bool {
        let Store { pin, puk, management, .. } = &self.store;
        !pin.is_default_pin() && !puk.is_default_puk() && !management.is_default()
    }

    /// What is in a slot.
    pub(super) fn key(&self, slot: u8) -> Option<&SlotKey> {
        match slot {
            ATTESTATION if self.store.factory.key => self.factory().map(|factory| &factory.key),
            _ => self.store.keys.get(&slot),
        }
    }

    /// Puts a key into a slot, or empties it.
    pub(super) fn set_key(&mut self, slot: u8, key: Option<SlotKey>) {
        if slot == ATTESTATION {
            self.change().factory.key = false;
        }
        match key {
            Some(key) => drop(self.change().keys.insert(slot, key)),
            None => drop(self.change().keys.remove(&slot)),
        }
    }

    /// The value of a data object that is not empty.
    pub(super) fn object(&self, number: u32) -> Option<&[u8]> {
        match number {
            ATTESTATION_CERTIFICATE if self.store.factory.certificate => {
                self.factory().map(|factory| &factory.object[..])
            }
            _ => self.store.objects.get(&number).map(|object| &object.0[..]),
        }
    }

    fn factory(&self) -> Option<&Factory> {
        self.factory.get_or_init(|| Factory::new(self.profile, self.serial)).as_ref()
    }

    pub(super) fn draw(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        (self.random)(&mut bytes);
        bytes
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The memory, to be written to.
    pub(crate) fn change(&mut self) -> &mut Store {
        self.store_changed = true;
        &mut self.store
    }

    /// Whether the memory was written to since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        mem::take(&mut self.store_changed)
    }
}
