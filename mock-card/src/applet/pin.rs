//! PIN and PUK: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER (SP 800-73-4 part 2, 3.2.1 to 3.2.3) and
//! Yubico's SET PIN RETRIES.

use serde::{Deserialize, Serialize};

use super::apdu::Command;
use super::piv::Piv;
use super::status::Status;
use crate::profile::LastTry;

/// The key references of VERIFY and CHANGE REFERENCE DATA.
pub(crate) const PIN: u8 = 0x80;
pub(crate) const PUK: u8 = 0x81;

const LENGTH: usize = 8;
const SHORTEST: usize = 6;
const PADDING: u8 = 0xFF;

/// A PIN or PUK with its counter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    /// Padded with FF to 8 bytes.
    value: [u8; LENGTH],
    pub(crate) tries: u8,
    pub(crate) left: u8,
}

impl Reference {
    const DEFAULT_PIN: [u8; LENGTH] = *b"123456\xFF\xFF";
    const DEFAULT_PUK: [u8; LENGTH] = *b"12345678";
    const DEFAULT_TRIES: u8 = 3;

    pub(crate) fn default_pin() -> Self {
        Self::new(Self::DEFAULT_PIN, Self::DEFAULT_TRIES)
    }

    pub(crate) fn default_puk() -> Self {
        Self::new(Self::DEFAULT_PUK, Self::DEFAULT_TRIES)
    }

    pub(crate) fn is_default_pin(&self) -> bool {
        self.value == Self::DEFAULT_PIN
    }

    pub(crate) fn is_default_puk(&self) -> bool {
        self.value == Self::DEFAULT_PUK
    }

    /// 6 to 8 characters, padded.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut value = [PADDING; LENGTH];
        value.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        is_well_formed(&value).then(|| Self::new(value, Self::DEFAULT_TRIES))
    }

    fn new(value: [u8; LENGTH], tries: u8) -> Self {
        Self { value, tries, left: tries }
    }

    /// Spends a try on a wrong value; a right one fills the counter.
    fn check(&mut self, value: &[u8], last_try: LastTry) -> Result<(), Status> {
        if self.left == 0 {
            return Err(Status::Blocked);
        }
        if self.value != value {
            self.left -= 1;
            return match (self.left, last_try) {
                (0, LastTry::Blocked) => Err(Status::Blocked),
                (left, _) => Err(Status::TriesLeft(left)),
            };
        }
        self.left = self.tries;
        Ok(())
    }

    fn change(&mut self, value: [u8; LENGTH]) {
        *self = Self::new(value, self.tries);
    }
}

impl Piv {
    /// VERIFY, its query without data, and with P1 = FF the logout.
    pub(super) fn verify(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        if command.p2 != PIN {
            return Err(Status::ReferenceNotFound);
        }
        let last_try = self.profile.traits().last_try;
        match (command.p1, &command.data[..]) {
            (0x00, []) => self.query_pin(),
            (0x00, pin) if pin.len() == LENGTH => {
                self.session.pin_verified = false;
                self.change().pin.check(pin, last_try)?;
                self.session.pin_verified = true;
                self.session.pin_just_verified = true;
                Ok(Vec::new())
            }
            (0x00, _) => Err(Status::WrongData),
            (0xFF, []) if self.profile.has_logout() => {
                self.session.pin_verified = false;
                Ok(Vec::new())
            }
            _ => Err(Status::WrongParameters),
        }
    }

    fn query_pin(&mut self) -> Result<Vec<u8>, Status> {
        let was_verified = self.session.pin_verified;
        if self.profile.query_forgets_pin() {
            self.session.pin_verified = false;
        }
        match self.store().pin.left {
            _ if was_verified && self.profile.query_tells_verified() => Ok(Vec::new()),
            0 => Err(Status::Blocked),
            left => Err(Status::TriesLeft(left)),
        }
    }

    /// CHANGE REFERENCE DATA: the old value, then the new one, 8 bytes each. A wrong old PIN also forgets a
    /// verified one.
    pub(super) fn change_reference(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        if command.p1 != 0 || !matches!(command.p2, PIN | PUK) {
            return Err(Status::ReferenceNotFound);
        }
        let (old, new) = two_values(&command.data)?;
        let last_try = self.profile.traits().last_try;
        if command.p2 == PIN {
            let checked = self.change().pin.check(old, last_try);
            self.session.pin_verified &= checked.is_ok();
            checked?;
            self.require_well_formed(&new, PIN)?;
            self.change().pin.change(new);
        } else {
            self.change().puk.check(old, last_try)?;
            self.require_well_formed(&new, PUK)?;
            self.change().puk.change(new);
        }
        Ok(Vec::new())
    }

    /// RESET RETRY COUNTER: the PUK, then a new PIN, 8 bytes each. The new PIN is not verified by it.
    pub(super) fn reset_retry(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        if command.p1 != 0 || command.p2 != PIN {
            return Err(Status::ReferenceNotFound);
        }
        let (puk, pin) = two_values(&command.data)?;
        let last_try = self.profile.traits().last_try;
        self.change().puk.check(puk, last_try)?;
        self.require_well_formed(&pin, PIN)?;
        self.change().pin.change(pin);
        self.session.pin_verified = false;
        Ok(Vec::new())
    }

    /// SET PIN RETRIES: the tries in P1 (PIN) and P2 (PUK); both values go back to their defaults.
    pub(super) fn set_pin_retries(&mut self, command: &Command) -> Result<Vec<u8>, Status> {
        self.require_management()?;
        self.require_pin()?;
        if command.p1 == 0 || command.p2 == 0 {
            return Err(Status::WrongData);
        }
        let store = self.change();
        store.pin = Reference::new(Reference::DEFAULT_PIN, command.p1);
        store.puk = Reference::new(Reference::DEFAULT_PUK, command.p2);
        self.session.pin_verified = false;
        Ok(Vec::new())
    }

    pub(super) fn require_pin(&self) -> Result<(), Status> {
        if self.session.pin_verified { Ok(()) } else { Err(Status::SecurityNotSatisfied) }
    }

    fn require_well_formed(&self, value: &[u8; LENGTH], reference: u8) -> Result<(), Status> {
        let text_only = reference == PUK && self.profile.has_text_puk();
        let content = content(value).filter(|content| {
            content.len() >= self.profile.shortest_pin()
                && (!text_only || content.is_ascii())
                && (!self.profile.has_pin_complexity() || !is_trivial(content))
        });
        content.map(|_| ()).ok_or(Status::ConditionsNotSatisfied)
    }
}

/// 6 to 8 bytes, then padding only.
fn is_well_formed(value: &[u8; LENGTH]) -> bool {
    content(value).is_some_and(|content| content.len() >= SHORTEST)
}

/// What stands before the padding, if nothing stands after it.
fn content(value: &[u8; LENGTH]) -> Option<&[u8]> {
    let length = value.iter().position(|byte| *byte == PADDING).unwrap_or(LENGTH);
    let (content, padding) = value.split_at(length);
    padding.iter().all(|byte| *byte == PADDING).then_some(content)
}

/// One character over and over, or a value that Yubico lists (YubiKey technical manual, "PIN complexity").
fn is_trivial(content: &[u8]) -> bool {
    const LISTED: [&[u8]; 12] = [
        b"123456",
        b"1234567",
        b"12345678",
        b"123123",
        b"123321",
        b"654321",
        b"87654321",
        b"112233",
        b"11223344",
        b"abc123",
        b"password",
        b"qwertyui",
    ];
    content.iter().all(|byte| *byte == content[0]) || LISTED.contains(&content)
}

fn two_values(data: &[u8]) -> Result<(&[u8], [u8; LENGTH]), Status> {
    let (old, new) = data.split_at_checked(LENGTH).ok_or(Status::WrongData)?;
    Ok((old, new.try_into().map_err(|_| Status::WrongData)?))
}
