//! The card that was named, and what its slots hold.

use std::ffi::CString;
use std::process::Command;
use std::time::Duration;

use pcsc::{Context, Disposition, Protocols, Scope, ShareMode, Transaction};
use yk_cargo::Error;
use yk_cargo::piv::pin::Pin;
use yk_cargo::piv::{self, ManagementKey, Occupancy, Piv, Serial, Slot, Transmit, TransportError, Version};
use yk_cargo::process::secret_program::{Secret, SecretProgram};
use yk_cargo::reader::{self, AfterReset, Deadlines, ReaderName, Readers, Terms};

/// Prints the management key in hexadecimal, where it is neither the factory's nor behind the PIN.
pub(super) const MANAGEMENT_KEY_COMMAND: &str = "YK_CARGO_HW_MANAGEMENT_KEY_COMMAND";

/// For a person who has to type it somewhere.
const PIN_COMMAND_TAKES_AT_MOST: Duration = Duration::from_secs(60);

pub(super) struct RealCard {
    readers: Readers,
    reader: ReaderName,
    pub(super) serial: Serial,
    pub(super) firmware: Version,
    /// The retired slots before anything was done.
    pub(super) before: Vec<(Slot, Occupancy)>,
    management: ManagementKey,
}

impl RealCard {
    /// The only YubiKey, with this number, and with a management key that it has just accepted: whoever makes keys
    /// must be able to take them away.
    ///
    /// # Panics
    /// With one sentence, if anything of that is not so.
    pub(super) fn find(serial: u32, pin_command: String) -> Self {
        let (readers, serial) = (Readers::start(Deadlines::default()), Serial(serial));
        let found = readers.yubikeys().unwrap_or_else(|error| panic!("no YubiKey can be used: {error}"));
        let [reader] = &found[..] else {
            panic!("exactly one YubiKey has to be plugged in, number {serial}; found {}", found.len());
        };
        let about = move |piv: &mut Piv<'_>| {
            let told = match piv.serial() {
                Err(piv::Error::Unsupported { .. }) => None,
                told => Some(told?),
            };
            Ok((told, piv.version()?))
        };
        let (told, firmware) = on(&readers, reader, AfterReset::Repeat, about).unwrap();
        match told {
            Some(told) if told == serial => {}
            Some(told) => panic!("YubiKey {told} is plugged in, but only YubiKey {serial} may be used"),
            None => panic!("firmware {firmware} does not tell its number, so this may be any YubiKey"),
        }
        let reader = reader.clone();
        let management = management_key(&readers, &reader, serial, &pin_command);
        let mut card = Self { readers, reader, serial, firmware, before: Vec::new(), management };
        card.deleting(|_, _| Ok(())).unwrap_or_else(|error| {
            panic!("name a program that prints the management key, {MANAGEMENT_KEY_COMMAND}: {error}")
        });
        card.before = card.slots().unwrap();
        card
    }

    /// What the retired slots hold now.
    pub(super) fn slots(&self) -> Result<Vec<(Slot, Occupancy)>, Error> {
        let slots = |piv: &mut Piv<'_>| {
            Slot::retired().map(|slot| Ok((slot, piv.occupancy(slot)?))).collect::<Result<Vec<_>, Error>>()
        };
        on(&self.readers, &self.reader, AfterReset::Repeat, slots)
    }

    /// One transaction on this very card, with leave to delete. It is of our own making, for the product can delete nothing.
    pub(super) fn deleting<T>(
        &self,
        work: impl FnOnce(&mut Piv<'_>, Deleting<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let reader = CString::new(self.reader.to_string()).unwrap();
        let context = Context::establish(Scope::User).map_err(reader::Error::from)?;
        let card = context.connect(&reader, ShareMode::Shared, Protocols::T0 | Protocols::T1);
        let mut card = card.map_err(reader::Error::from)?;
        let done = self.in_transaction(card.transaction().map_err(reader::Error::from)?, work);
        card.disconnect(Disposition::LeaveCard).map_err(|(_, error)| reader::Error::from(error))?;
        done
    }

    fn in_transaction<T>(
        &self,
        transaction: Transaction<'_>,
        work: impl FnOnce(&mut Piv<'_>, Deleting<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut wire = Deleting(&transaction);
        let mut piv = Piv::select(&mut wire)?;
        let found = piv.serial()?;
        if found != self.serial {
            return Err(Error::WrongCard { found: vec![found], wanted: format!("YubiKey {}", self.serial) });
        }
        piv.authenticate_management(&self.management)?;
        work(&mut piv, Deleting(&transaction))
    }
}

/// A card that has given leave to delete.
#[derive(Clone, Copy)]
pub(super) struct Deleting<'a>(&'a Transaction<'a>);

impl Deleting<'_> {
    /// PUT DATA with an empty object, for the certificate of a retired slot.
    pub(super) fn certificate(self, slot: Slot) {
        let object = slot.reference() - 0x82 + 0x0D;
        self.succeeds(&[0, 0xDB, 0x3F, 0xFF, 7, 0x5C, 3, 0x5F, 0xC1, object, 0x53, 0]);
    }

    /// MOVE KEY to nowhere, firmware 5.7 and later.
    pub(super) fn key(self, slot: Slot) {
        self.succeeds(&[0, 0xF6, 0xFF, slot.reference()]);
    }

    fn succeeds(mut self, command: &[u8]) {
        assert_eq!(self.transmit(command).unwrap(), [0x90, 0], "{command:02X?}");
    }
}

impl Transmit for Deleting<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut buffer = [0; pcsc::MAX_BUFFER_SIZE];
        let answer = self.0.transmit(command, &mut buffer).map_err(TransportError::new)?;
        Ok(answer.to_vec())
    }
}

fn on<T: Send + 'static>(
    readers: &Readers,
    reader: &ReaderName,
    after_reset: AfterReset,
    work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let terms = Terms { limit: readers.deadlines().touch, after_reset };
    readers.with_card(reader, terms, work)
}

/// From the command; else from the card, if it keeps it behind the PIN; else the factory's. A wrong one costs nothing.
fn management_key(
    readers: &Readers,
    reader: &ReaderName,
    serial: Serial,
    pin_command: &str,
) -> ManagementKey {
    if let Ok(command) = std::env::var(MANAGEMENT_KEY_COMMAND) {
        return from_hex(&output_of(&command));
    }
    let is_protected = |piv: &mut Piv<'_>| match piv.protected_management_key() {
        Err(piv::Error::NotAuthenticated) => Ok(true),
        found => Ok(found?.is_some()),
    };
    if !on(readers, reader, AfterReset::Repeat, is_protected).unwrap() {
        return ManagementKey::factory_default();
    }
    let variables = [("YK_CARGO_SERIAL", serial.to_string())];
    let program = SecretProgram { prints: Secret::Pin, command: pin_command, variables: &variables };
    let pin = program.first_line(PIN_COMMAND_TAKES_AT_MOST).unwrap();
    let pin = Pin::new(pin).unwrap();
    let behind_pin = move |piv: &mut Piv<'_>| {
        piv.verify_pin(&pin)?;
        Ok(piv.protected_management_key()?)
    };
    on(readers, reader, AfterReset::GiveUp, behind_pin).unwrap().expect("it was there a moment ago")
}

fn output_of(command: &str) -> String {
    let words: Vec<_> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn from_hex(text: &str) -> ManagementKey {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    ManagementKey::new(bytes.collect::<Vec<_>>().into()).unwrap()
}
