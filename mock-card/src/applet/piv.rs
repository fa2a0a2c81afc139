//! The PIV application: SP 800-73-4 part 2, and Yubico's extensions.

mod attest;
mod command;
mod fingerprint;
mod key_management;
mod key_use;
mod management_authentication;
mod metadata;
mod objects;
mod pin;
mod session;

use std::cell::OnceCell;
use std::mem;
use std::time::Duration;

use super::Random;
use super::apdu::CommandApdu;
use super::attestation::Factory;
use super::instruction::Instruction;
use super::key::SlotKey;
use super::memory::{Memory, Object};
use super::object::{ATTESTATION_CERTIFICATE, ObjectNumber};
use super::policy::TouchPolicy;
use super::profile::Profile;
use super::slot;
use super::status::Status;
use super::tlv;
use command::{Authentication, Command, Operation, Policies};
pub(crate) use session::{Deferred, Outcome};
use session::{JustVerified, Session};

/// The application with its memory.
pub(crate) struct Piv {
    profile: Profile,
    serial: u32,
    session: Session,
    memory: Memory,
    memory_changed: bool,
    random: Random,
    /// What slot F9 holds when the card leaves the factory. It is made when somebody first asks for it.
    factory: OnceCell<Option<Factory>>,
}

impl Piv {
    pub(crate) fn new(profile: Profile, serial: u32, random: Random) -> Self {
        Self {
            profile,
            serial,
            session: Session::default(),
            memory: Memory::new(profile),
            memory_changed: true,
            random,
            factory: OnceCell::new(),
        }
    }

    /// Gives the card another profile. Its memory stays.
    pub(crate) fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.factory = OnceCell::new();
    }

    /// Carries out one whole command.
    pub(crate) fn handle(&mut self, apdu: &CommandApdu, now: Duration) -> Result<Outcome, Status> {
        let just_verified = mem::take(&mut self.session.just_verified);
        let instruction = Instruction::parse(apdu.ins)
            .filter(|instruction| self.profile.has_instruction(*instruction))
            .ok_or(Status::UnknownInstruction)?;
        self.session.require(instruction.authorization())?;
        // What was drawn is good for the next authentication only, even if that one is malformed.
        let pending = match (instruction, apdu.p2) {
            (Instruction::GeneralAuthenticate, slot::MANAGEMENT) => self.session.pending.take(),
            _ => None,
        };
        let done = |()| Vec::new();
        let answer = match Command::parse(instruction, apdu)? {
            Command::QueryPin => self.query_pin().map(done),
            Command::VerifyPin(pin) => self.verify_pin(pin).map(done),
            Command::LogOut => self.log_out().map(done),
            Command::QueryFingerprint => self.query_fingerprint().map(done),
            Command::VerifyFingerprint { wants_temporary_pin } => {
                return self.verify_fingerprint(wants_temporary_pin);
            }
            Command::VerifyTemporaryPin(pin) => self.verify_temporary_pin(pin).map(done),
            Command::ChangePin { old, new } => self.change_pin(old, new).map(done),
            Command::ChangePuk { old, new } => self.change_puk(old, new).map(done),
            Command::UnblockPin { puk, pin } => self.unblock_pin(puk, pin).map(done),
            Command::SetPinRetries { pin, puk } => {
                self.set_pin_retries(pin, puk);
                Ok(Vec::new())
            }
            Command::AuthenticateManagement { algorithm, step } => {
                let outcome = self.authenticate_management(algorithm, &step, pending)?;
                return self.answer_if_untouched(outcome, now);
            }
            Command::UseKey { slot, algorithm, operation } => {
                let outcome = self.use_key(slot, algorithm, &operation, just_verified)?;
                return self.answer_if_untouched(outcome, now);
            }
            Command::SetManagementKey { algorithm, value, touch } => {
                self.set_management_key(algorithm, value, touch).map(done)
            }
            Command::GenerateKey { slot, algorithm, policies } => {
                self.generate_key(slot, algorithm, policies)
            }
            Command::ImportKey { slot, algorithm, secret, policies } => {
                self.import_key(slot, algorithm, &secret, policies).map(done)
            }
            Command::MoveKey { from, to } => self.move_key(from, to).map(done),
            Command::DeleteKey { slot } => self.delete_key(slot).map(done),
            Command::Attest { slot } => self.attest(slot),
            Command::GetMetadata { reference } => self.metadata(reference),
            Command::GetData(object) => self.get_data(object),
            Command::PutData { object, content } => self.put_data(object, content).map(done),
            Command::GetSerial if self.profile.traits.serial_hidden => Err(Status::ConditionsNotSatisfied),
            Command::GetSerial => Ok(self.serial.to_be_bytes().to_vec()),
            Command::GetVersion => Ok(self.profile.firmware.to_bytes().to_vec()),
            Command::Reset => self.reset().map(done),
        };
        answer.map(Outcome::Answer)
    }

    /// The answer to a selection. It is the same for every length of the application identifier (part 2, table 3).
    pub(crate) fn select(&mut self) -> Vec<u8> {
        let identifier = [0x4F, 6, 0, 0, 0x10, 0, 1, 0];
        let authority = [0x79, 7, 0x4F, 5, 0xA0, 0, 0, 3, 8];
        tlv::element(&[0x61], &[&identifier[..], &authority].concat())
    }

    /// Forgets PIN, authentication and touch.
    pub(crate) fn end_session(&mut self) {
        self.session = Session::default();
    }

    /// The command before the next one is not VERIFY, whatever it was.
    pub(crate) fn forget_last_command(&mut self) {
        self.session.just_verified = JustVerified::default();
    }

    /// Gives an answer that waited for a touch. The touch is remembered for keys of policy `Cached` only.
    pub(crate) fn answer_touched(&mut self, deferred: Deferred, now: Duration) -> Result<Vec<u8>, Status> {
        if deferred.touch == TouchPolicy::Cached {
            self.session.touched_at = Some(now);
        }
        self.answer(deferred)
    }

    fn answer_if_untouched(&mut self, outcome: Outcome, now: Duration) -> Result<Outcome, Status> {
        match outcome {
            Outcome::AfterTouch(deferred) if !deferred.touch.wants_touch(self.session.touched_at, now) => {
                self.answer(deferred).map(Outcome::Answer)
            }
            other => Ok(other),
        }
    }

    fn answer(&mut self, deferred: Deferred) -> Result<Vec<u8>, Status> {
        self.session.grant(deferred.grant);
        deferred.answer
    }

    /// Yubico's RESET: everything but the attestation key and its certificate is as on a new card. PIN and PUK have to
    /// be blocked before.
    fn reset(&mut self) -> Result<(), Status> {
        if self.memory.pin.left > 0 || self.memory.puk.left > 0 {
            return Err(Status::ConditionsNotSatisfied);
        }
        let mut fresh = Memory::new(self.profile);
        fresh.factory = self.memory.factory;
        fresh.keys.extend(self.memory.keys.remove_entry(&slot::ATTESTATION));
        fresh.objects.extend(self.memory.objects.remove_entry(&ATTESTATION_CERTIFICATE));
        *self.memory_mut() = fresh;
        self.end_session();
        Ok(())
    }

    /// Whether PIN, PUK and management key have all been changed since the card was new.
    pub(crate) fn has_own_secrets(&self) -> bool {
        let Memory { pin, puk, management, .. } = &self.memory;
        !pin.is_default_pin() && !puk.is_default_puk() && !management.is_default()
    }

    /// What is in a slot.
    fn key(&self, slot: u8) -> Option<&SlotKey> {
        match slot {
            slot::ATTESTATION if self.memory.factory.key => self.factory().map(|factory| &factory.key),
            _ => self.memory.keys.get(&slot),
        }
    }

    /// Puts a key into a slot, or empties the slot.
    pub(crate) fn set_key(&mut self, slot: u8, key: Option<SlotKey>) {
        let memory = self.memory_mut();
        memory.factory.key &= slot != slot::ATTESTATION;
        match key {
            Some(key) => drop(memory.keys.insert(slot, key)),
            None => drop(memory.keys.remove(&slot)),
        }
    }

    /// The content of a data object that is not empty.
    fn object(&self, number: ObjectNumber) -> Option<&[u8]> {
        match number {
            ATTESTATION_CERTIFICATE if self.memory.factory.certificate => {
                self.factory().map(|factory| &factory.object[..])
            }
            _ => self.memory.objects.get(&number).map(|object| &object.0[..]),
        }
    }

    fn set_object(&mut self, number: ObjectNumber, object: Option<Object>) {
        let memory = self.memory_mut();
        memory.factory.certificate &= number != ATTESTATION_CERTIFICATE;
        match object {
            Some(object) => drop(memory.objects.insert(number, object)),
            None => drop(memory.objects.remove(&number)),
        }
    }

    fn factory(&self) -> Option<&Factory> {
        self.factory.get_or_init(|| Factory::new(self.profile, self.serial)).as_ref()
    }

    /// Random bytes.
    fn draw(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        (self.random)(&mut bytes);
        bytes
    }

    fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The memory, for a change that has to be saved.
    pub(crate) fn memory_mut(&mut self) -> &mut Memory {
        self.memory_changed = true;
        &mut self.memory
    }

    /// Whether the memory was changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        mem::take(&mut self.memory_changed)
    }
}
