//! The card as a pure function from bytes to bytes: no I/O, no clock, no thread.
//!
//! A command that needs a touch does not block here. [`Card::exchange`] says [`Exchange::TouchWanted`], and
//! whoever plays the world calls [`Card::finish`] once a finger came or the time was up.

pub(crate) mod apdu;
pub(crate) mod attestation;
pub(crate) mod device_info;
pub(crate) mod key;
mod keys;
pub(crate) mod management_key;
mod metadata;
pub(crate) mod objects;
mod otp;
pub(crate) mod pin;
pub(crate) mod piv;
pub(crate) mod policy;
mod random;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod tlv;

use std::mem;
use std::time::Duration;

use apdu::Command;
use key::{Algorithm, ImportedKey, Origin, SlotKey};
use management_key::{ManagementAlgorithm, ManagementKey};
use pin::Reference;
use piv::{Outcome, Piv, Withheld, is_key_slot};
use policy::{PinPolicy, TouchPolicy};
use status::Status;
use store::Store;

use crate::profile::{Firmware, Profile, ShortLe, Traits};

/// Where the card draws challenges and keys from. It fills the whole slice.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// What becomes of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Data and status word.
    Answer(Vec<u8>),
    /// The light blinks; [`Card::finish`] gives the answer.
    TouchWanted {
        /// The slot whose key wants it, 9B for the management key.
        slot: u8,
    },
}

/// A value that no YubiKey of this firmware could have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Older firmware behaves differently in more ways than are modelled.
    #[error("firmware {0} is not modelled; use {oldest} or newer", oldest = Profile::OLDEST)]
    Firmware(Firmware),
    /// PIN or PUK.
    #[error("a {0} has 6 to 8 characters")]
    Reference(&'static str),
    /// The management key.
    #[error("the management key of this firmware ({algorithm:?}) has {} bytes", algorithm.key_length())]
    ManagementKey {
        /// What the firmware starts with.
        algorithm: ManagementAlgorithm,
    },
    /// An algorithm the firmware does not have.
    #[error("firmware {firmware} has no {algorithm}", algorithm = algorithm.name())]
    Algorithm {
        /// The card's.
        firmware: Firmware,
        /// What was to be loaded.
        algorithm: Algorithm,
    },
    /// A PIN policy the firmware does not have.
    #[error("a YubiKey FIPS has no keys without PIN; use once or always")]
    PinPolicy,
    /// A slot that holds no keys.
    #[error("there is no key slot {0:02X}; use 9A, 9C, 9D, 9E, F9 or 82 to 95")]
    Slot(u8),
    /// The content of a state file.
    #[error("the state is not one of a mock card: {0}")]
    State(String),
}

/// A YubiKey: the PIV application, and the management application as far as tools ask it who is there.
pub struct Card {
    serial: u32,
    profile: Profile,
    selected: Option<Application>,
    piv: Piv,
    /// The parts so far of a chained command.
    chain: Option<Command>,
    /// The rest of an answer, for GET RESPONSE.
    rest: Vec<u8>,
    withheld: Option<(Withheld, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Application {
    Piv,
    Management,
    Otp,
}

impl Card {
    /// A card fresh from the factory, drawing from the operating system's randomness.
    ///
    /// # Errors
    /// [`CardError::Firmware`] for firmware older than [`Profile::OLDEST`].
    pub fn new(firmware: Firmware, serial: u32) -> Result<Self, CardError> {
        let system = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the operating system has randomness");
        Self::with_random(firmware, serial, Box::new(system))
    }

    /// The same, drawing from `random`: a test that knows the challenges.
    ///
    /// # Errors
    /// As [`Card::new`].
    pub fn with_random(firmware: Firmware, serial: u32, random: Random) -> Result<Self, CardError> {
        if firmware < Profile::OLDEST {
            return Err(CardError::Firmware(firmware));
        }
        let profile = Profile::of(firmware);
        let piv = Piv::new(profile, serial, random);
        Ok(Self { serial, profile, selected: None, piv, chain: None, rest: Vec::new(), withheld: None })
    }

    /// The same card with other traits than its firmware is known for.
    pub fn with_traits(mut self, traits: Traits) -> Self {
        self.profile = self.profile.with(traits);
        self.piv.set_profile(self.profile);
        self
    }

    /// One command, every touch given at once, at the beginning of time: for tests of the applet alone.
    pub fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        match self.exchange(command, Duration::ZERO) {
            Exchange::Answer(answer) => answer,
            Exchange::TouchWanted { .. } => self.finish(true, Duration::ZERO),
        }
    }

    /// One command at `now`, a time that only goes forward. A touch that was still waited for is given up.
    pub fn exchange(&mut self, command: &[u8], now: Duration) -> Exchange {
        self.withheld = None;
        let (result, longest_answer) = match Command::parse(command) {
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
            Ok(Outcome::AfterTouch(withheld)) => {
                let slot = withheld.slot;
                self.withheld = Some((withheld, longest_answer));
                Exchange::TouchWanted { slot }
            }
            Err(status) => Exchange::Answer(status.code().to_be_bytes().to_vec()),
        }
    }

    /// Ends the wait for a touch at `now`. Not touched in time is 6982, as without a PIN.
    pub fn finish(&mut self, touched: bool, now: Duration) -> Vec<u8> {
        match self.withheld.take() {
            Some((withheld, longest_answer)) if touched => match self.piv.release(withheld, now) {
                Ok(data) => self.answer(data, longest_answer),
                Err(status) => status.code().to_be_bytes().to_vec(),
            },
            _ => Status::SecurityNotSatisfied.code().to_be_bytes().to_vec(),
        }
    }

    /// Power off and on again, or a reset: PIN, authentication and selection are forgotten.
    pub fn power_cycle(&mut self) {
        self.selected = None;
        self.chain = None;
        self.rest.clear();
        self.withheld = None;
        self.piv.end_session();
    }

    /// The number on its back.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// PIN tries left.
    pub fn pin_tries(&self) -> u8 {
        self.piv.store().pin.left
    }

    /// Sets the PIN tries left; 0 blocks the PIN.
    pub fn set_pin_tries(&mut self, left: u8) {
        self.piv.change().pin.left = left;
    }

    /// Replaces the PIN, at the factory as it were.
    ///
    /// # Errors
    /// [`CardError::Reference`] if it has not 6 to 8 bytes.
    pub fn set_pin(&mut self, pin: &str) -> Result<(), CardError> {
        self.piv.change().pin = Reference::from_text(pin).ok_or(CardError::Reference("PIN"))?;
        Ok(())
    }

    /// Replaces the PUK.
    ///
    /// # Errors
    /// [`CardError::Reference`] if it has not 6 to 8 bytes.
    pub fn set_puk(&mut self, puk: &str) -> Result<(), CardError> {
        self.piv.change().puk = Reference::from_text(puk).ok_or(CardError::Reference("PUK"))?;
        Ok(())
    }

    /// Replaces the management key, keeping the algorithm the firmware starts with.
    ///
    /// # Errors
    /// [`CardError::ManagementKey`] if the length is not that algorithm's.
    pub fn set_management_key(&mut self, key: &[u8]) -> Result<(), CardError> {
        let algorithm = self.profile.default_management_algorithm();
        self.piv.change().management = ManagementKey::new(algorithm, key, TouchPolicy::Never)
            .ok_or(CardError::ManagementKey { algorithm })?;
        Ok(())
    }

    /// Puts a private key into a slot, over whatever is there.
    ///
    /// # Errors
    /// [`CardError::Slot`], [`CardError::Algorithm`] or [`CardError::PinPolicy`] for what no such card could hold.
    pub fn import(
        &mut self,
        slot: u8,
        key: ImportedKey,
        pin: PinPolicy,
        touch: TouchPolicy,
    ) -> Result<(), CardError> {
        if !is_key_slot(slot) {
            return Err(CardError::Slot(slot));
        }
        if !self.profile.has_algorithm(key.algorithm()) {
            let firmware = self.profile.firmware();
            return Err(CardError::Algorithm { firmware, algorithm: key.algorithm() });
        }
        if !self.profile.has_pin_policy(pin) {
            return Err(CardError::PinPolicy);
        }
        let key = SlotKey { private: key, pin, touch, origin: Origin::Imported };
        self.piv.set_key(slot, Some(key));
        Ok(())
    }

    /// What survives power loss, as JSON. It holds every secret of the card in the clear.
    pub fn save(&self) -> String {
        serde_json::to_string_pretty(&Saved { version: 1, card: self.piv.store().clone() })
            .expect("the store has no map with structured keys")
    }

    /// Whether something that [`Card::save`] writes has changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        self.piv.take_changed()
    }

    /// Takes up what [`Card::save`] wrote.
    ///
    /// # Errors
    /// [`CardError::State`] for anything else.
    pub fn restore(&mut self, saved: &str) -> Result<(), CardError> {
        let saved: Saved =
            serde_json::from_str(saved).map_err(|error| CardError::State(error.to_string()))?;
        if saved.version != 1 {
            return Err(CardError::State(format!("version {} is not known", saved.version)));
        }
        if !saved.card.is_valid() {
            return Err(CardError::State("a key does not fit its algorithm".to_owned()));
        }
        *self.piv.change() = saved.card;
        Ok(())
    }

    /// Collects the parts of a chain; a whole command is carried out.
    fn assemble(&mut self, part: Command, now: Duration) -> Result<Outcome, Status> {
        if part.class & !Command::CHAINING != 0 {
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
                Command { class: part.class, longest_answer: part.longest_answer, ..chain }
            }
        };
        if command.data.len() > self.profile.longest_command() {
            self.abandon_chain();
            return Err(Status::WrongLength);
        }
        if is_last {
            return self.dispatch(&command, now);
        }
        self.chain = Some(command);
        Ok(Outcome::Answer(Vec::new()))
    }

    /// A chain that something else broke into was a command too: VERIFY is not the one before any more.
    fn abandon_chain(&mut self) {
        self.chain = None;
        self.piv.session.pin_just_verified = false;
    }

    fn dispatch(&mut self, command: &Command, now: Duration) -> Result<Outcome, Status> {
        const GET_RESPONSE: u8 = 0xC0;
        const SELECT: u8 = 0xA4;
        if command.ins == GET_RESPONSE {
            self.piv.session.pin_just_verified = false;
            let rest = mem::take(&mut self.rest);
            return if rest.is_empty() { Err(Status::WrongData) } else { Ok(Outcome::Answer(rest)) };
        }
        self.rest.clear();
        match (command.ins, self.selected) {
            (SELECT, _) => self.select(command).map(Outcome::Answer),
            (_, Some(Application::Piv)) => self.piv.handle(command, now),
            (_, Some(Application::Management)) => {
                device_info::handle(command, self.profile, self.serial, self.piv.has_own_secrets())
                    .map(Outcome::Answer)
            }
            (_, Some(Application::Otp)) => {
                otp::handle(command, self.profile.firmware(), self.serial).map(Outcome::Answer)
            }
            (_, None) => Err(Status::UnknownInstruction),
        }
    }

    /// SELECT by name. Choosing the application that is already chosen changes nothing, and a name nobody answers to
    /// leaves the choice as it is; but not on the 4 series.
    fn select(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        self.piv.session.pin_just_verified = false;
        if (command.p1, command.p2) != (0x04, 0x00) {
            return Err(Status::WrongParameters);
        }
        let application = Application::named(&command.data)
            .filter(|application| *application != Application::Otp || self.profile.has_otp());
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
            Application::Management => device_info::select(self.profile.firmware()),
            Application::Otp => otp::status(self.profile.firmware()),
        })
    }

    /// As much as fits, then 9000, or 61xx with the rest kept for GET RESPONSE.
    fn answer(&mut self, mut data: Vec<u8>, longest: usize) -> Vec<u8> {
        if let (ShortLe::Again, 0..256, Ok(exact)) =
            (self.profile.traits().short_le, longest, u8::try_from(data.len()))
            && usize::from(exact) > longest
        {
            return vec![0x6C, exact];
        }
        if data.len() > longest {
            self.rest = data.split_off(longest);
        }
        let status = match self.rest.len() {
            0 => Status::SUCCESS,
            left => 0x6100 | left.min(0xFF) as u16,
        };
        data.extend(status.to_be_bytes());
        data
    }
}

impl Application {
    const PIV: [u8; 11] = [0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0];
    const MANAGEMENT: [u8; 8] = [0xA0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17];
    const OTP: [u8; 7] = [0xA0, 0, 0, 5, 0x27, 0x20, 1];

    /// PIV answers to every prefix of its AID of 5 bytes or more. Yubico's own applications share theirs.
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
    card: Store,
}
