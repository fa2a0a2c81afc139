//! Where a PIN comes from: the PIN command, then the terminal, else nobody. What the card already knows is not asked.

use crate::error::Error;
use crate::pin::Pin;
use crate::piv::Serial;
use crate::settings::Settings;
use crate::ui::pin_command::{self, VARIABLE};
use crate::ui::{AskError, Ui};

/// Asks for PINs in the documented order, and remembers what was tried.
pub struct PinSource<'a> {
    settings: &'a Settings,
    ui: Ui,
    command: Option<String>,
}

impl<'a> PinSource<'a> {
    /// The command comes from the environment.
    #[must_use]
    pub fn new(settings: &'a Settings, ui: Ui) -> Self {
        Self { settings, ui, command: std::env::var(VARIABLE).ok() }
    }

    /// A PIN to try. `tries` is how many the card has left, [`u8::MAX`] if it does not tell.
    ///
    /// The last try is never spent without typed consent, and the command, which gives one PIN only, never gets it.
    ///
    /// # Errors
    /// [`Error::LastTry`], [`Error::NoPin`], and what the command or the terminal say.
    pub fn pin(&mut self, serial: Serial, tries: u8) -> Result<Pin, Error> {
        if tries > 1
            && let Some(command) = self.command.take()
        {
            self.ui.note(format_args!("asking {VARIABLE} for the PIN of YubiKey {serial}"));
            let line = pin_command::run(&command, serial, self.settings.wait.pin_command())?;
            return Ok(Pin::new(line)?);
        }
        if !self.ui.is_interactive() {
            return Err(if tries == 1 { Error::LastTry { serial } } else { Error::NoPin { serial } });
        }
        let deadline = self.settings.wait.pin_prompt();
        if tries == 1 {
            let question = format!("One try is left before the PIN of YubiKey {serial} is blocked. Use it?");
            if !self.ui.typed_yes(&question, deadline)? {
                return Err(Error::LastTry { serial });
            }
        }
        let prompt = match tries {
            u8::MAX => format!("PIN of YubiKey {serial}: "),
            1 => format!("PIN of YubiKey {serial} (last try): "),
            tries => format!("PIN of YubiKey {serial} ({tries} tries left): "),
        };
        loop {
            let line = self.ui.ask_hidden(&prompt, deadline)?;
            if line.is_empty() {
                return Err(AskError::Nothing.into());
            }
            match Pin::new(line) {
                Ok(pin) => return Ok(pin),
                Err(problem) => self.ui.warn(problem),
            }
        }
    }

    /// The card refused the last PIN. Says so if somebody can try again.
    ///
    /// # Errors
    /// [`Error::WrongPin`] if nobody can.
    pub fn was_wrong(&mut self, tries: u8) -> Result<(), Error> {
        if !self.ui.is_interactive() {
            return Err(Error::WrongPin { tries });
        }
        self.ui.warn(format_args!("wrong PIN, {} left", count(tries)));
        Ok(())
    }
}

fn count(tries: u8) -> String {
    if tries == 1 { "1 try".into() } else { format!("{tries} tries") }
}
