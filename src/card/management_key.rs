//! The management key, which the card wants before it makes keys: where it comes from depends on what the card says of
//! it. It is never changed.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::pin_source::{PinSource, Why};
use super::survey::{ManagementKeyState, SurveyedCard};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, ManagementKey, PinState, Piv, Serial};
use crate::process::secret_program::{Secret, SecretProgram};

impl SurveyedCard<'_> {
    /// The card's management key. The card has just accepted it, so that a wrong one leaves nothing begun. `command` is
    /// a program that prints it. If there is one it is asked first, because the key behind the PIN may be an older one.
    ///
    /// # Errors
    /// [`Error::ManagementKeyNeeded`], [`Error::ManagementKeySyntax`], [`Error::ManagementKeyNotTouched`], what the program
    /// or the person says, and [`piv::Error::WrongManagementKey`].
    pub(crate) fn management_key(&self, command: Option<&str>) -> Result<Arc<ManagementKey>, Error> {
        let key = match self.management_key {
            ManagementKeyState::Default => ManagementKey::factory_default(),
            ManagementKeyState::PinProtected if command.is_none() => self.key_behind_pin()?,
            // The card does not count wrong management keys.
            ManagementKeyState::Untold if command.is_none() => {
                match self.accepts(ManagementKey::factory_default()) {
                    Err(Error::Piv(piv::Error::WrongManagementKey)) => self.given_key(None)?,
                    result => return result,
                }
            }
            ManagementKeyState::PinProtected | ManagementKeyState::Untold | ManagementKeyState::Own => {
                self.given_key(command)?
            }
        };
        self.accepts(key)
    }

    fn accepts(&self, key: ManagementKey) -> Result<Arc<ManagementKey>, Error> {
        let key = Arc::new(key);
        let mut once_more = self.access.ui.is_interactive();
        loop {
            let (tried, management) = (Arc::clone(&key), self.management());
            match self.look(move |piv| management.authenticate(piv, &tried)) {
                Err(Error::ManagementKeyNotTouched { .. }) if std::mem::take(&mut once_more) => {
                    self.access.ui.warn("it was not touched in time; asking once more");
                }
                result => return result.map(|()| key),
            }
        }
    }

    /// The key that the command prints, or that the person types.
    fn given_key(&self, command: Option<&str>) -> Result<ManagementKey, Error> {
        let (ui, wait, serial) = (self.access.ui, &self.access.settings.wait, self.serial);
        let hex = match command {
            Some(command) => SecretProgram { prints: Secret::ManagementKey, command, variables: &[] }
                .first_line(wait.pin_command())?,
            None if ui.is_interactive() => ui.ask_hidden(
                &format!("Management key of YubiKey {serial} (hexadecimal): "),
                wait.pin_prompt(),
            )?,
            None => return Err(Error::ManagementKeyNeeded { serial }),
        };
        from_hex(hex.trim())
    }

    /// The key that the card keeps behind its PIN.
    fn key_behind_pin(&self) -> Result<ManagementKey, Error> {
        let serial = self.serial;
        let mut pins = PinSource::new(self.access.settings, self.access.ui);
        let mut pin: Option<Pin> = None;
        loop {
            let given = pin.take();
            match self.look(move |piv| unlock(piv, serial, given.as_ref()))? {
                Unlocked::Key(key) => return Ok(key),
                Unlocked::Nothing => return Err(Error::ManagementKeyNeeded { serial }),
                Unlocked::NeedsPin { tries } => {
                    pin = Some(pins.pin(
                        serial,
                        tries,
                        Why::NotVerified,
                        Some("the management key behind it"),
                    )?);
                }
                Unlocked::WrongPin { tries } => pins.was_wrong(tries)?,
            }
        }
    }
}

enum Unlocked {
    Key(ManagementKey),
    Nothing,
    NeedsPin { tries: u8 },
    WrongPin { tries: u8 },
}

fn unlock(piv: &mut Piv<'_>, serial: Serial, pin: Option<&Pin>) -> Result<Unlocked, Error> {
    match pin.map(|pin| piv.verify_pin(pin)) {
        Some(Err(piv::Error::WrongPin { tries })) => return Ok(Unlocked::WrongPin { tries }),
        Some(Err(piv::Error::PinBlocked)) => return Err(Error::PinBlocked { serial }),
        Some(result) => result?,
        None => match piv.pin_state()? {
            PinState::Verified => {}
            PinState::Tries(tries) => return Ok(Unlocked::NeedsPin { tries }),
            PinState::Blocked => return Err(Error::PinBlocked { serial }),
        },
    }
    // The card said that the key is there, but it is gone or empty.
    piv.protected_management_key()?.map_or(Ok(Unlocked::Nothing), |key| Ok(Unlocked::Key(key)))
}

fn from_hex(hex: &str) -> Result<ManagementKey, Error> {
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Error::ManagementKeySyntax);
    }
    let bytes: Result<Vec<u8>, _> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16)).collect();
    let bytes = Zeroizing::new(bytes.map_err(|_| Error::ManagementKeySyntax)?);
    ManagementKey::new(bytes).map_err(|_| Error::ManagementKeySyntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_of_the_four_lengths_only() {
        for good in [32, 48, 64] {
            assert!(from_hex(&"0a".repeat(good / 2)).is_ok(), "{good}");
        }
        for bad in ["", "0", "0a", "zz", &"0a".repeat(17), &"é".repeat(24), &"+1".repeat(24)] {
            assert!(matches!(from_hex(bad), Err(Error::ManagementKeySyntax)), "{bad}");
        }
    }
}
