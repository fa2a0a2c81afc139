//! Getting leave to make keys: the management key, by the state the card reports. It is never changed.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::card::pin_source::{PinSource, Why};
use crate::commands::enroll::survey::{self, CardId, CardSurvey, ManagementKeyState, is_still};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, ManagementKey, PinState, Piv};
use crate::process::secret_program::{Secret, SecretProgram};
use crate::reader::Readers;
use crate::settings::Settings;
use crate::ui::Ui;

/// A card that is asked for leave, and where its management key could come from.
#[derive(Clone, Copy)]
pub(in crate::commands) struct Asking<'a> {
    pub(in crate::commands) card: &'a CardSurvey,
    /// `--management-key-command`
    pub(in crate::commands) command: Option<&'a str>,
    pub(in crate::commands) readers: &'a Readers,
    pub(in crate::commands) settings: &'a Settings,
    pub(in crate::commands) ui: Ui,
}

impl Asking<'_> {
    fn look<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        survey::read(self.readers, &self.card.reader, work)
    }
}

/// The card's management key, which the card has just accepted: a wrong one must not leave anything begun.
pub(in crate::commands) fn key(asking: Asking<'_>) -> Result<Arc<ManagementKey>, Error> {
    let key = match asking.card.management {
        ManagementKeyState::Default => ManagementKey::factory_default(),
        // Who names a program wants no other way; what the PIN opens may be an older key.
        ManagementKeyState::PinProtected | ManagementKeyState::Untold if asking.command.is_some() => {
            given(asking)?
        }
        ManagementKeyState::PinProtected => behind_pin(asking)?,
        ManagementKeyState::Own => given(asking)?,
        // A wrong one costs nothing.
        ManagementKeyState::Untold => match accepted(asking, ManagementKey::factory_default()) {
            Err(Error::Piv(piv::Error::WrongManagementKey)) => given(asking)?,
            result => return result,
        },
    };
    accepted(asking, key)
}

fn accepted(asking: Asking<'_>, key: ManagementKey) -> Result<Arc<ManagementKey>, Error> {
    let key = Arc::new(key);
    let (card, tried) = (asking.card.id(), Arc::clone(&key));
    asking.look(move |piv| {
        is_still(piv, card)?;
        Ok(piv.authenticate_management(&tried)?)
    })?;
    Ok(key)
}

/// From the command, or typed.
fn given(asking: Asking<'_>) -> Result<ManagementKey, Error> {
    let serial = asking.card.serial;
    let hex = match asking.command {
        Some(command) => SecretProgram { prints: Secret::ManagementKey, command, variables: &[] }
            .first_line(asking.settings.wait.pin_command())?,
        None if asking.ui.is_interactive() => asking.ui.ask_hidden(
            &format!("Management key of YubiKey {serial} (hexadecimal): "),
            asking.settings.wait.pin_prompt(),
        )?,
        None => return Err(Error::ManagementKeyNeeded { serial }),
    };
    from_hex(hex.trim())
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

/// The card gives it out for its PIN.
fn behind_pin(asking: Asking<'_>) -> Result<ManagementKey, Error> {
    let serial = asking.card.serial;
    let mut pins = PinSource::new(asking.settings, asking.ui);
    let card = asking.card.id();
    let mut pin: Option<Pin> = None;
    loop {
        let given = pin.take();
        match asking.look(move |piv| unlock(piv, card, given.as_ref()))? {
            Unlocked::Key(key) => return Ok(key),
            Unlocked::Nothing => return Err(Error::ManagementKeyNeeded { serial }),
            Unlocked::NeedsPin { tries } => pin = Some(pins.pin(serial, tries, Why::NotVerified)?),
            Unlocked::WrongPin { tries } => pins.was_wrong(tries)?,
        }
    }
}

enum Unlocked {
    Key(ManagementKey),
    Nothing,
    NeedsPin { tries: u8 },
    WrongPin { tries: u8 },
}

fn unlock(piv: &mut Piv<'_>, card: CardId, pin: Option<&Pin>) -> Result<Unlocked, Error> {
    is_still(piv, card)?;
    match pin.map(|pin| piv.verify_pin(pin)) {
        Some(Err(piv::Error::WrongPin { tries })) => return Ok(Unlocked::WrongPin { tries }),
        Some(result) => result?,
        None => match piv.pin_state()? {
            PinState::Verified => {}
            PinState::Tries(tries) => return Ok(Unlocked::NeedsPin { tries }),
            PinState::Blocked => return Err(piv::Error::PinBlocked.into()),
        },
    }
    // It was said to be there, and is gone or empty.
    piv.protected_management_key()?.map_or(Ok(Unlocked::Nothing), |key| Ok(Unlocked::Key(key)))
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
