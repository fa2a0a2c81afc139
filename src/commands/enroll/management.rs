//! Getting leave to make keys: the management key, by the state the card reports. It is never changed.

use std::process::{Command, Stdio};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::commands::enroll::Enrollment;
use crate::commands::enroll::survey::{CardId, ManagementKeyState, is_still};
use crate::error::Error;
use crate::pin::Pin;
use crate::pin_source::{PinSource, Why};
use crate::piv::{self, ManagementKey, PinState, Piv};

/// The card's management key, which the card has just accepted: a wrong one must not leave anything begun.
pub(super) fn key(enrollment: &Enrollment<'_>) -> Result<Arc<ManagementKey>, Error> {
    let key = match enrollment.card.management {
        ManagementKeyState::Default => ManagementKey::factory_default(),
        // Who names a program wants no other way; what the PIN opens may be an older key.
        ManagementKeyState::PinProtected | ManagementKeyState::Untold
            if enrollment.arguments.management_key_command.is_some() =>
        {
            given(enrollment)?
        }
        ManagementKeyState::PinProtected => behind_pin(enrollment)?,
        ManagementKeyState::Own => given(enrollment)?,
        // A wrong one costs nothing.
        ManagementKeyState::Untold => match accepted(enrollment, ManagementKey::factory_default()) {
            Err(Error::Piv(piv::Error::WrongManagementKey)) => given(enrollment)?,
            result => return result,
        },
    };
    accepted(enrollment, key)
}

fn accepted(enrollment: &Enrollment<'_>, key: ManagementKey) -> Result<Arc<ManagementKey>, Error> {
    let key = Arc::new(key);
    let (card, tried) = (enrollment.card.id(), Arc::clone(&key));
    enrollment.look(move |piv| {
        is_still(piv, card)?;
        Ok(piv.authenticate_management(&tried)?)
    })?;
    Ok(key)
}

/// From the command, or typed.
fn given(enrollment: &Enrollment<'_>) -> Result<ManagementKey, Error> {
    let serial = enrollment.card.serial;
    let hex = match &enrollment.arguments.management_key_command {
        Some(command) => output_of(command)?,
        None if enrollment.ui.is_interactive() => enrollment.ui.ask_hidden(
            &format!("Management key of YubiKey {serial} (hexadecimal): "),
            enrollment.context.settings.wait.pin_prompt(),
        )?,
        None => return Err(Error::ManagementKeyNeeded { serial }),
    };
    from_hex(hex.trim())
}

fn output_of(command: &str) -> Result<Zeroizing<String>, Error> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or(Error::ManagementKeySyntax)?;
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::File { file: program.into(), source })?;
    let stdout = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(Error::ManagementKeyCommand { status: output.status });
    }
    let text = std::str::from_utf8(&stdout).map_err(|_| Error::ManagementKeySyntax)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
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
fn behind_pin(enrollment: &Enrollment<'_>) -> Result<ManagementKey, Error> {
    let serial = enrollment.card.serial;
    let mut pins = PinSource::new(&enrollment.context.settings, enrollment.ui);
    let card = enrollment.card.id();
    let mut pin: Option<Pin> = None;
    loop {
        let given = pin.take();
        match enrollment.look(move |piv| unlock(piv, card, given.as_ref()))? {
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
