//! The card as a function from bytes to bytes: no input or output, no clock, no thread.
//!
//! A command that needs a touch does not wait here. [`Card::exchange`] answers [`Exchange::TouchWanted`], and the
//! caller gives or refuses the touch with [`Card::finish`].

mod apdu;
pub(crate) mod attestation;
mod device_info;
pub(crate) mod firmware;
pub(crate) mod instruction;
pub(crate) mod key;
mod management;
pub(crate) mod management_key;
mod memory;
mod object;
mod otp;
mod piv;
pub(crate) mod policy;
mod profile;
mod random;
mod reference_data;
mod slot;
mod status;
mod tlv;
pub(crate) mod traits;

use std::mem;
use std::time::Duration;

use apdu::CommandApdu;
use firmware::Firmware;
use instruction::Instruction;
use key::{Algorithm, ImportedKey, Origin, SlotKey};
use management_key::{ManagementAlgorithm, ManagementKey};
use memory::Memory;
use piv::{Deferred, Outcome, Piv};
use policy::{PinPolicy, TouchPolicy};
use profile::Profile;
use status::Status;
use traits::{ShortLe, Traits};

/// The source of the card's random bytes: challenges, keys, serial numbers. It fills the whole slice.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// What a command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The answer: data and status word.
    Answer(Vec<u8>),
    /// The card waits for a touch. [`Card::finish`] gives the answer.
    TouchWanted {
        /// The slot of the key that needs it; 9B is the management key.
        slot: u8,
    },
}

/// A setting that no YubiKey with this firmware can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum CardError {
    /// A firmware that is too old. What differs in it is not modelled.
    #[error("firmware {0} is not modelled; use {oldest} or newer", oldest = Profile::OLDEST)]
    Firmware(Firmware),
    /// A PIN or PUK of the wrong length.
    #[error("a {0} has 6 to 8 characters")]
    Reference(&'static str),
    /// A management key of the wrong length.
    #[error("the management key of this firmware ({algorithm:?}) has {} bytes", algorithm.key_length())]
    ManagementKey {
        /// The algorithm that a new card with this firmware has.
        algorithm: ManagementAlgorithm,
    },
    /// A key for an algorithm that the firmware does not have.
    #[error("firmware {firmware} has no {algorithm}", algorithm = algorithm.name())]
    Algorithm { firmware: Firmware, algorithm: Algorithm },
    /// A PIN policy that the firmware does not have.
    #[error(
        "this edition has no such PIN policy: only a YubiKey Bio has match policies, and a YubiKey FIPS has no keys without PIN"
    )]
    PinPolicy,
    /// A slot that cannot hold a private key.
    #[error("there is no key slot {0:02X}; use 9A, 9C, 9D, 9E, F9 or 82 to 95")]
    Slot(u8),
    /// A text that [`Card::save`] did not write.
    #[error("this is not the state of a mock card: {0}")]
    State(String),
}

/// A YubiKey: the PIV application, and of the management and OTP applications what tells the device.
pub struct Card {
    serial: u32,
    profile: Profile,
    selected: Option<Application>,
    piv: Piv,
    /// The parts of a chained command that have come so far.
    chain: Option<CommandApdu>,
    /// The rest of an answer, which GET RESPONSE asks for.
    rest: Vec<u8>,
    /// An answer that waits for a touch, and how long it may be.
    deferred: Option<(Deferred, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Application {
    Piv,
    Management,
    Otp,
}

impl Card {
    /// A new card that takes its random bytes from the operating system.
    ///
    /// # Errors
    /// [`CardError::Firmware`] for firmware older than the oldest that the mock knows.
    pub fn new(firmware: Firmware, serial: u32) -> Result<Self, CardError> {
        let system = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the operating system has randomness");
        Self::with_random(firmware, serial, Box::new(system))
    }

    /// A new card that takes its random bytes from `random`, so that a test knows them.
    ///
    /// # Errors
    /// As [`Card::new`].
    pub fn with_random(firmware: Firmware, serial: u32, random: Random) -> Result<Self, CardError> {
        if firmware < Profile::OLDEST {
            return Err(CardError::Firmware(firmware));
        }
        let profile = Profile::of(firmware);
        let piv = Piv::new(profile, serial, random);
        Ok(Self { serial, profile, selected: None, piv, chain: None, rest: Vec::new(), deferred: None })
    }

    /// The same card with these traits.
    pub fn with_traits(mut self, traits: Traits) -> Self {
        self.profile.traits = traits;
        self.piv.set_profile(self.profile);
        self
    }

    /// Answers one command. A touch is given at once, and no time passes.
    pub fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        match self.exchange(command, Duration::ZERO) {
            Exchange::Answer(answer) => answer,
            Exchange::TouchWanted { .. } => self.finish(true, Duration::ZERO),
        }
    }

    /// Answers one command at the time `now`, which must not go back. If the card still waits for a touch, that command
    /// is given up.
    pub fn exchange(&mut self, command: &[u8], now: Duration) -> Exchange {
        self.deferred = None;
        let (result, longest_answer) = match CommandApdu::parse(command) {
            Ok(command) => {
                let longest_answer = command.longest_answer;
                (self.assemble(command, now), longest_answer)
            }
            Err(status) => {
                self.abandon_chain();
                (Err(status), 0)
            }
        };
        match result {
            Ok(Outcome::Answer(data)) => Exchange::Answer(self.answer(data, longest_answer)),
            Ok(Outcome::AfterTouch(deferred)) => {
                let slot = deferred.slot;
                self.deferred = Some((deferred, longest_answer));
                Exchange::TouchWanted { slot }
            }
            Err(status) => Exchange::Answer(status.code().to_be_bytes().to_vec()),
        }
    }

    /// Ends the wait for a touch at the time `now`, and answers the command. Without a touch the answer is 6982, which
    /// also means that a PIN is missing.
    pub fn finish(&mut self, touched: bool, now: Duration) -> Vec<u8> {
        match self.deferred.take() {
            Some((deferred, longest_answer)) if touched => match self.piv.answer_touched(deferred, now) {
                Ok(data) => self.answer(data, longest_answer),
                Err(status) => status.code().to_be_bytes().to_vec(),
            },
            _ => Status::SecurityNotSatisfied.code().to_be_bytes().to_vec(),
        }
    }

    /// Switches the power off and on again. PIN, authentication and selection are forgotten, as after a reset.
    pub fn power_cycle(&mut self) {
        self.selected = None;
        self.chain = None;
        self.rest.clear();
        self.deferred = None;
        self.piv.end_session();
    }

    /// The serial number.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The answer to reset.
    pub(crate) fn answer_to_reset(&self) -> &'static [u8] {
        self.profile.answer_to_reset()
    }

    /// The number of PIN tries that are left.
    pub fn pin_tries(&self) -> u8 {
        self.piv.memory().pin.left
    }

    /// Sets the number of PIN tries that are left. 0 blocks the PIN.
    pub fn set_pin_tries(&mut self, left: u8) {
        self.piv.memory_mut().pin.left = left;
    }

    /// Replaces the PIN without asking for the old one.
    ///
    /// # Errors
    /// [`CardError::Reference`] if it has not 6 to 8 bytes.
    pub fn set_pin(&mut self, pin: &str) -> Result<(), CardError> {
        let memory = self.piv.memory_mut();
        memory.pin = memory.pin.with_text(pin).ok_or(CardError::Reference("PIN"))?;
        Ok(())
    }

    /// Replaces the PUK without asking for the old one.
    ///
    /// # Errors
    /// [`CardError::Reference`] if it has not 6 to 8 bytes.
    pub fn set_puk(&mut self, puk: &str) -> Result<(), CardError> {
        let memory = self.piv.memory_mut();
        memory.puk = memory.puk.with_text(puk).ok_or(CardError::Reference("PUK"))?;
        Ok(())
    }

    /// Replaces the management key. Its algorithm is the one that a new card with this firmware has.
    ///
    /// # Errors
    /// [`CardError::ManagementKey`] if the key has not the length that this algorithm needs.
    pub fn set_management_key(&mut self, key: &[u8]) -> Result<(), CardError> {
        let algorithm = self.profile.default_management_algorithm();
        self.piv.memory_mut().management = ManagementKey::new(algorithm, key, TouchPolicy::Never)
            .ok_or(CardError::ManagementKey { algorithm })?;
        Ok(())
    }

    /// Puts a private key into a slot. A key that is there already is replaced.
    ///
    /// # Errors
    /// [`CardError::Slot`], [`CardError::Algorithm`] or [`CardError::PinPolicy`] if the card cannot hold this key.
    pub fn import(
        &mut self,
        slot: u8,
        key: ImportedKey,
        pin: PinPolicy,
        touch: TouchPolicy,
    ) -> Result<(), CardError> {
        if !slot::holds_private_keys(slot) {
            return Err(CardError::Slot(slot));
        }
        if !self.profile.has_algorithm(key.algorithm()) {
            let firmware = self.profile.firmware;
            return Err(CardError::Algorithm { firmware, algorithm: key.algorithm() });
        }
        if !self.profile.has_pin_policy(pin) {
            return Err(CardError::PinPolicy);
        }
        let key = SlotKey { private: key, pin, touch, origin: Origin::Imported };
        self.piv.set_key(slot, Some(key));
        Ok(())
    }

    /// What survives power loss, as JSON. Every secret of the card is in it in the clear.
    pub fn save(&self) -> String {
        serde_json::to_string_pretty(&Saved { version: 1, card: self.piv.memory().clone() })
            .expect("the memory has no map whose keys are no texts or numbers")
    }

    /// Whether something that [`Card::save`] writes has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        self.piv.take_changed()
    }

    /// Restores what [`Card::save`] wrote.
    ///
    /// # Errors
    /// [`CardError::State`] for any other text.
    pub fn restore(&mut self, saved: &str) -> Result<(), CardError> {
        let saved: Saved =
            serde_json::from_str(saved).map_err(|error| CardError::State(error.to_string()))?;
        if saved.version != 1 {
            return Err(CardError::State(format!("version {} is not known", saved.version)));
        }
        if !saved.card.is_valid() {
            return Err(CardError::State("a key does not fit its algorithm".to_owned()));
        }
        *self.piv.memory_mut() = saved.card;
        Ok(())
    }

    /// Collects the parts of a chain, and carries out the command once it is whole.
    fn assemble(&mut self, part: CommandApdu, now: Duration) -> Result<Outcome, Status> {
        if part.class & !CommandApdu::CHAINING != 0 {
            self.abandon_chain();
            return Err(Status::UnknownClass);
        }
        let is_last = !part.is_chained();
        if self.chain.as_ref().is_some_and(|chain| !chain.continues(&part)) {
            self.abandon_chain();
        }
        let command = match self.chain.take() {
            None => part,
            Some(mut chain) => {
                chain.data.extend(part.data);
                CommandApdu { class: part.class, longest_answer: part.longest_answer, ..chain }
            }
        };
        if command.data.len() > Profile::LONGEST_COMMAND {
            self.abandon_chain();
            return Err(Status::WrongLength);
        }
        if is_last {
            return self.dispatch(&command, now);
        }
        self.chain = Some(command);
        Ok(Outcome::Answer(Vec::new()))
    }

    /// A chain that is not completed counts as a command that came after VERIFY.
    fn abandon_chain(&mut self) {
        self.chain = None;
        self.piv.forget_last_command();
    }

    fn dispatch(&mut self, command: &CommandApdu, now: Duration) -> Result<Outcome, Status> {
        let instruction = Instruction::parse(command.ins);
        if instruction == Some(Instruction::GetResponse) {
            self.piv.forget_last_command();
            let rest = mem::take(&mut self.rest);
            return if rest.is_empty() { Err(Status::WrongData) } else { Ok(Outcome::Answer(rest)) };
        }
        self.rest.clear();
        match (instruction, self.selected) {
            (Some(Instruction::Select), _) => self.select(command).map(Outcome::Answer),
            (_, Some(Application::Piv)) => self.piv.handle(command, now),
            (_, Some(Application::Management)) => {
                let is_fips_approved = self.piv.has_own_secrets();
                management::handle(command, self.profile, self.visible_serial(), is_fips_approved)
                    .map(Outcome::Answer)
            }
            (_, Some(Application::Otp)) => {
                otp::handle(command, self.profile, self.visible_serial()).map(Outcome::Answer)
            }
            (_, None) => Err(Status::UnknownInstruction),
        }
    }

    /// SELECT by name. On the YubiKey 5, selecting the application that is selected already changes nothing, and
    /// neither does a name that no application has.
    fn select(&mut self, command: &CommandApdu) -> Result<Vec<u8>, Status> {
        self.piv.forget_last_command();
        match (command.p1, command.p2) {
            (0x04, 0x00) => {}
            // OpenSC issue 1230
            (0x04, _) if self.profile.is_yubikey_4() => return Err(Status::UnknownInstruction),
            _ => return Err(Status::WrongParameters),
        }
        let application = Application::named(&command.data).filter(|application| match application {
            Application::Piv => self.profile.has_piv(),
            Application::Otp => self.profile.has_otp(),
            Application::Management => true,
        });
        let Some(application) = application else {
            if self.profile.failed_select_deselects() {
                self.selected = None;
                self.piv.end_session();
            }
            return Err(Status::NotFound);
        };
        let is_same = self.selected == Some(application);
        if !is_same || self.profile.select_ends_session() {
            self.piv.end_session();
        }
        self.selected = Some(application);
        Ok(match application {
            Application::Piv => self.piv.select(),
            Application::Management => management::select(self.profile.firmware),
            Application::Otp => otp::select(self.profile.firmware),
        })
    }

    /// The serial number, if clients can read it.
    fn visible_serial(&self) -> Option<u32> {
        (!self.profile.traits.serial_hidden).then_some(self.serial)
    }

    /// As much of the data as fits, then 9000; or 61xx, and the rest is kept for GET RESPONSE.
    fn answer(&mut self, mut data: Vec<u8>, longest: usize) -> Vec<u8> {
        if let (ShortLe::Again, 0..256, Ok(exact)) =
            (self.profile.traits.short_le, longest, u8::try_from(data.len()))
            && usize::from(exact) > longest
        {
            return vec![0x6C, exact];
        }
        if data.len() > longest {
            self.rest = data.split_off(longest);
        }
        let status = match self.rest.len() {
            0 => Status::SUCCESS,
            left @ 1..=0xFF => 0x6100 | left as u16,
            _ => 0x6100,
        };
        data.extend(status.to_be_bytes());
        data
    }
}

impl Application {
    const PIV: [u8; 11] = [0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0];
    const MANAGEMENT: [u8; 8] = [0xA0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17];
    const OTP: [u8; 7] = [0xA0, 0, 0, 5, 0x27, 0x20, 1];

    /// The application that an AID selects. PIV answers to the first 5 bytes of its AID and more. Yubico's applications
    /// share their first bytes, so all of them are needed.
    fn named(aid: &[u8]) -> Option<Self> {
        if aid.len() >= 5 && Self::PIV.starts_with(aid) {
            return Some(Self::Piv);
        }
        if aid == Self::MANAGEMENT {
            return Some(Self::Management);
        }
        aid.strip_prefix(&Self::OTP).is_some_and(|rest| matches!(rest, [] | [1])).then_some(Self::Otp)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Saved {
    version: u32,
    card: Memory,
}
