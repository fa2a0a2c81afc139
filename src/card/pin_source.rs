//! Where a PIN comes from: the PIN command first, then the terminal, then pinentry. Nobody is asked for a PIN that the
//! card has been given already.

use crate::error::Error;
use crate::piv::Serial;
use crate::piv::pin::Pin;
use crate::process::secret_program::{PIN_COMMAND, Secret, SecretProgram};
use crate::settings::Settings;
use crate::ui::pinentry::{Pinentry, PinentryError};
use crate::ui::{AskError, Ui};

mod earlier;

/// How many windows in a row may be answered with what is no PIN. A person reads why; a program that answers by itself would be asked
/// for ever.
const MOST_WINDOWS: u32 = 5;

/// Asks for PINs in the documented order, and remembers what was tried.
pub(crate) struct PinSource<'a> {
    settings: &'a Settings,
    ui: Ui,
    command: Option<String>,
    pinentry: Option<Pinentry>,
    asked: Option<Serial>,
    /// What was wrong with the last PIN, for pinentry to show above its next question.
    mistake: Option<String>,
}

/// Why the card wants a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It has not been verified since the card got its power, or the card has forgotten it.
    NotVerified,
    /// The key's policy is to ask each time.
    EveryTime,
}

impl<'a> PinSource<'a> {
    /// The command and what pinentry needs come from the environment.
    pub(crate) fn new(settings: &'a Settings, ui: Ui) -> Self {
        let command = std::env::var(PIN_COMMAND).ok();
        Self { settings, ui, command, pinentry: None, asked: None, mistake: None }
    }

    /// A PIN to try. `tries` is how many the card has left, [`u8::MAX`] if it does not tell. `purpose` is what the person has
    /// been told on the terminal, which pinentry covers.
    ///
    /// The last try is never spent without typed consent. So it is never left to the command, which gives one PIN only,
    /// nor to pinentry, where nothing but a PIN can be typed.
    ///
    /// # Errors
    /// [`Error::LastTry`], [`Error::NoPin`], and what the command, the terminal or pinentry say.
    pub(crate) fn pin(
        &mut self,
        serial: Serial,
        tries: u8,
        why: Why,
        purpose: Option<&str>,
    ) -> Result<Pin, Error> {
        if tries > 1
            && let Some(command) = self.command.take()
        {
            self.ui.note(format_args!("asking {PIN_COMMAND} for the PIV PIN of YubiKey {serial}"));
            let variables = [("YK_CARGO_SERIAL", serial.to_string())];
            let program = SecretProgram { prints: Secret::Pin, command: &command, variables: &variables };
            let line = program.first_line(self.settings.wait.pin_command())?;
            return Ok(Pin::new(line)?);
        }
        let reason = self.reason(serial, why);
        if self.ui.is_interactive() {
            return self.at_the_terminal(serial, tries, reason);
        }
        if tries == 1 {
            return Err(Error::LastTry { serial });
        }
        self.pinentry = self.pinentry.take().or_else(|| Pinentry::find(self.settings.pinentry.as_deref()));
        if self.pinentry.is_none() {
            return Err(Error::NoPin { serial, nobody: self.ui.nobody() });
        }
        self.in_a_window(serial, tries, reason, purpose)
    }

    /// Whether somebody can do something about a mistake.
    pub(crate) fn somebody_is_there(&self) -> bool {
        self.pinentry.is_some() || self.ui.is_interactive()
    }

    /// The card refused the last PIN. Says so if somebody can try again.
    ///
    /// # Errors
    /// [`Error::WrongPin`] if nobody can.
    pub(crate) fn was_wrong(&mut self, tries: u8) -> Result<(), Error> {
        if !self.somebody_is_there() {
            return Err(Error::WrongPin { tries });
        }
        let mistake = format!("wrong PIN, {} left", count(tries));
        self.ui.aloud().warn(&mistake);
        self.mistake = Some(mistake);
        Ok(())
    }

    /// Why the PIN is asked for again, for a person who gave it a moment ago.
    fn reason(&mut self, serial: Serial, why: Why) -> Option<&'static str> {
        let first_time = self.asked.replace(serial) != Some(serial);
        if !first_time {
            return None;
        }
        let earlier = earlier::was_asked(&self.settings.cargo_home, serial);
        match why {
            Why::EveryTime => Some("this key asks for its PIN every time"),
            Why::NotVerified if earlier => Some(
                "the card has forgotten the PIN, as it does after about 5 seconds without use or when another of its applications is used",
            ),
            Why::NotVerified => None,
        }
    }

    fn at_the_terminal(&self, serial: Serial, tries: u8, reason: Option<&str>) -> Result<Pin, Error> {
        if let Some(reason) = reason {
            self.ui.aloud().note(reason);
        }
        let deadline = self.settings.wait.pin_prompt();
        if tries == 1 {
            let question =
                format!("One try is left before the PIV PIN of YubiKey {serial} is blocked. Use it?");
            if !self.ui.typed_yes(&question, deadline)? {
                return Err(Error::LastTry { serial });
            }
        }
        let prompt = match tries {
            u8::MAX => format!("PIV PIN of YubiKey {serial}: "),
            1 => format!("PIV PIN of YubiKey {serial} (last try): "),
            tries => format!("PIV PIN of YubiKey {serial} ({tries} tries left): "),
        };
        loop {
            let line = match self.ui.ask_hidden(&prompt, deadline) {
                Err(problem @ AskError::NotUtf8) => {
                    self.ui.aloud().warn(format_args!("{problem}; it was not sent to the card"));
                    continue;
                }
                line => line?,
            };
            if line.is_empty() {
                return Err(AskError::Nothing.into());
            }
            match Pin::new(line) {
                Ok(pin) => return Ok(pin),
                Err(problem) => self.ui.aloud().warn(problem),
            }
        }
    }

    fn in_a_window(
        &mut self,
        serial: Serial,
        tries: u8,
        reason: Option<&str>,
        purpose: Option<&str>,
    ) -> Result<Pin, Error> {
        let Some(pinentry) = &self.pinentry else {
            return Err(Error::NoPin { serial, nobody: self.ui.nobody() });
        };
        let left = if tries == u8::MAX { String::new() } else { format!(" ({} left)", count(tries)) };
        let reason = reason.map(|reason| format!("\n{reason}")).unwrap_or_default();
        let purpose = purpose.map(|purpose| format!(", for\n{purpose}")).unwrap_or_default();
        let description = format!("yk-cargo: the PIV PIN of YubiKey {serial}{left}{purpose}{reason}");
        let mut windows = 0;
        loop {
            windows += 1;
            let mistake = self.mistake.take();
            let limit = self.settings.wait.pin_command();
            let problem: Error = match pinentry.ask(&description, mistake.as_deref(), limit) {
                Err(problem @ PinentryError::NotUtf8) => problem.into(),
                entered => match Pin::new(entered?) {
                    Ok(pin) => return Ok(pin),
                    Err(problem) => problem.into(),
                },
            };
            if windows == MOST_WINDOWS {
                return Err(problem);
            }
            self.mistake = Some(problem.to_string());
        }
    }
}

fn count(tries: u8) -> String {
    if tries == 1 { "1 try".into() } else { format!("{tries} tries") }
}
