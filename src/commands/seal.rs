//! `seal`: a registry's bearer token, sealed to a key on a card; also what `cargo login` does.
//!
//! Sealing needs the public half of the keys only. A card is needed to make its key once, and to see that the token
//! opens again before anybody relies on it.

use std::io::{BufRead as _, IsTerminal as _};

use asymmetric_token::CrateName;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::cargo_config::ConfiguredRegistry;
use crate::cli::Seal;
use crate::commands::configure::{self, Choice};
use crate::context::Context;
use crate::enrollment::Reads;
use crate::enrollment::{Enrollments, SealedToken};
use crate::error::Error;
use crate::piv::{Serial, Slot};
use crate::reader::Readers;
use crate::registry::greeting;
use crate::sealed::{self, AgeFile, BearerToken, Recipient, TokenError};
use crate::sealed_files;
use crate::text::{causes, escape};
use crate::ui::Ui;
use crate::unsealer::{Occasion, Unsealer};

mod add_card;
mod key;

/// What is read of standard input at most, in bytes; a token is shorter.
const LONGEST_INPUT: u64 = 16 * 1024;

/// A crate to ask an open registry's API about. It need not exist there.
const ABOUT: &str = "yk-cargo";

/// Runs `yk-cargo seal`.
///
/// # Errors
/// Whatever stopped it. A token that was sealed stays sealed, even if it could not be opened as a check.
pub fn run(arguments: &Seal, context: &Context) -> Result<(), Error> {
    let readers = Readers::start(context.settings.wait.deadlines());
    let ui = if arguments.yes { Ui::silent() } else { Ui::asking() };
    let sealer = Sealer { context, readers: &readers, ui, making: Making::from(arguments) };
    let Some(registry) = &arguments.registry else {
        return add_card::run(&sealer, arguments.no_check);
    };
    let registry = context.cargo.resolve_any(registry)?;
    if registry.index.is_unprotected() && !arguments.setup.insecure_http {
        return Err(Error::Unprotected { index: registry.index });
    }
    sealer.may_seal(&registry, arguments.rotate)?;
    sealer.key()?;
    let token = ask_for_token(&registry, context, ui)?;
    let sealed = sealer.seal(&registry, &token)?;
    if !arguments.no_check {
        sealer.check(&sealed, &token)?;
    }
    configure::provider(&registry, Choice::of(&arguments.setup), context, ui)?;
    sealer.advise(&registry)
}

/// Seals tokens; makes the key for it when there is none.
pub(crate) struct Sealer<'a> {
    /// Cargo's home and configuration.
    pub(crate) context: &'a Context,
    /// Where the cards are.
    pub(crate) readers: &'a Readers,
    /// Who is asked.
    pub(crate) ui: Ui,
    /// How a key is made, if one has to be.
    pub(crate) making: Making<'a>,
}

/// How a key is made that tokens are sealed to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Making<'a> {
    pub(crate) serial: Option<Serial>,
    pub(crate) slot: Option<Slot>,
    /// `None` is the name of this program.
    pub(crate) label: Option<&'a str>,
    pub(crate) allow_default_pin: bool,
    pub(crate) management_key_command: Option<&'a str>,
    /// Nobody is asked whether to make it.
    pub(crate) without_asking: bool,
}

impl<'a> From<&'a Seal> for Making<'a> {
    fn from(arguments: &'a Seal) -> Self {
        Self {
            serial: arguments.serial,
            slot: arguments.slot,
            label: Some(&arguments.label),
            allow_default_pin: arguments.allow_default_pin,
            management_key_command: arguments.setup.management_key_command.as_deref(),
            without_asking: arguments.yes,
        }
    }
}

impl Sealer<'_> {
    /// Nothing is replaced by accident, and nothing weaker put in place of signed tokens.
    ///
    /// # Errors
    /// [`Error::Signs`]; [`Error::AlreadySealed`] without `rotate`, [`Error::NotSealed`] with it.
    pub(crate) fn may_seal(&self, registry: &ConfiguredRegistry, rotate: bool) -> Result<(), Error> {
        let enrollments = self.enrollments()?;
        let shown = || registry.name.clone().unwrap_or_else(|| registry.index.to_string());
        if enrollments.registry(&registry.index).is_some() {
            return Err(Error::Signs { registry: shown() });
        }
        match enrollments.sealed(&registry.index) {
            Some(_) if !rotate => Err(Error::AlreadySealed { registry: escape(&shown()) }),
            None if rotate => Err(Error::NotSealed { registry: shown() }),
            _ => Ok(()),
        }
    }

    /// Makes a key on the card that is plugged in, unless this computer knows one already.
    ///
    /// # Errors
    /// Whatever stopped it; a rerun goes on from there.
    pub(crate) fn key(&self) -> Result<(), Error> {
        if self.enrollments()?.sealing_keys.is_empty() {
            key::on_a_card(self, self.making.serial)?;
        }
        Ok(())
    }

    /// Seals a token for all known cards, in place of the one that may be there, and notes it. It says nothing of the
    /// token that may lie in cargo's own files.
    ///
    /// # Errors
    /// [`Error::Enrollments`] with the file that cannot be written, and what [`key`](Self::key) says.
    pub(crate) fn seal(
        &self,
        registry: &ConfiguredRegistry,
        token: &BearerToken,
    ) -> Result<SealedToken, Error> {
        self.key()?;
        let sealed = SealedToken {
            index: registry.index.clone(),
            name: registry.name.clone(),
            reads: self.reads(registry),
            since: Timestamp::now().round(jiff::Unit::Second).unwrap_or_else(|_| Timestamp::now()),
        };
        let file = self.reseal(&sealed, token)?;
        let cards = self.enrollments()?.sealing_keys.len();
        self.ui.say(format_args!(
            "sealed the token of `{}` for {} in {}",
            escape(sealed.display_name()),
            if cards == 1 { "one card".to_owned() } else { format!("{cards} cards") },
            file.display()
        ));
        Ok(sealed)
    }

    /// Opens it again, and compares. Where nobody is there to give the PIN, that is said instead.
    ///
    /// # Errors
    /// Everything that stops a token from being opened.
    pub(crate) fn check(&self, sealed: &SealedToken, token: &BearerToken) -> Result<(), Error> {
        match self.unseal(sealed, Occasion::Check) {
            Ok(opened) if opened.expose() == token.expose() => {
                self.ui.say("opened it again: it is the same");
                Ok(())
            }
            Ok(_) => Err(Error::Sealed {
                registry: escape(sealed.display_name()),
                file: sealed_files::path(self.context.cargo.home(), &sealed.index),
                problem: sealed::FileError::Contents,
            }),
            Err(Error::NoPin { .. }) => {
                self.ui.note("it was not opened as a check, since nobody is there to give the PIN");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a sealed token.
    ///
    /// # Errors
    /// [`Unsealer::unseal`].
    pub(crate) fn unseal(&self, sealed: &SealedToken, occasion: Occasion<'_>) -> Result<BearerToken, Error> {
        let enrollments = self.enrollments()?;
        Unsealer::new(self.readers, &self.context.settings, self.ui).unseal(&enrollments, sealed, occasion)
    }

    fn reseal(&self, sealed: &SealedToken, token: &BearerToken) -> Result<std::path::PathBuf, Error> {
        let home = self.context.cargo.home();
        let keys = self.enrollments()?.sealing_keys;
        let recipients: Vec<Recipient> = keys.iter().map(|key| key.recipient).collect();
        let file = AgeFile::seal(token, &sealed.index, &recipients).map_err(|problem| Error::Sealed {
            registry: escape(sealed.display_name()),
            file: sealed_files::path(home, &sealed.index),
            problem,
        })?;
        sealed_files::keep(home, sealed, &file)
    }

    /// Whether reads need the token too. Where that cannot be found out, they do: cargo would fail otherwise.
    fn reads(&self, registry: &ConfiguredRegistry) -> Reads {
        if registry.is_crates_io() {
            return Reads::Open;
        }
        let about: CrateName = match ABOUT.parse() {
            Ok(about) => about,
            Err(_) => return Reads::AuthRequired,
        };
        match greeting::greet(&registry.index, &about, &self.context.settings) {
            Ok(greeting) => greeting.reads,
            Err(error) => {
                let because: String = causes(&error).map(|cause| format!(": {cause}")).collect();
                self.ui.warn(format_args!(
                    "the registry cannot be asked whether reads need the token ({error}{because}); taking it that they do"
                ));
                Reads::AuthRequired
            }
        }
    }

    /// What a person should know now.
    fn advise(&self, registry: &ConfiguredRegistry) -> Result<(), Error> {
        if self.enrollments()?.sealing_keys.len() == 1 {
            self.ui.note("with this card lost, the token is lost: make a new one then, or add a second card now: yk-cargo seal --add-card");
        }
        for left in self.context.cargo.plaintext_tokens()? {
            let here = left.registry.as_deref().unwrap_or(crate::cargo_config::CRATES_IO_NAME);
            if registry.name.as_deref() == Some(here) {
                self.ui.warn(format_args!(
                    "{} still has a token for `{}` in clear: remove it, and revoke it at the registry if it is another one",
                    left.file.display(),
                    escape(here)
                ));
            }
        }
        Ok(())
    }

    fn enrollments(&self) -> Result<Enrollments, Error> {
        Ok(Enrollments::load(self.context.cargo.home())?)
    }
}

/// From a hidden prompt; where standard input is no terminal, its first line.
fn ask_for_token(registry: &ConfiguredRegistry, context: &Context, ui: Ui) -> Result<BearerToken, Error> {
    if !std::io::stdin().is_terminal() {
        return first_line(std::io::stdin().lock());
    }
    ask_at_the_terminal(registry.name.as_deref().unwrap_or(&registry.index), context, ui)
}

/// From a hidden prompt.
///
/// # Errors
/// [`Error::Ask`], [`Error::BearerToken`].
pub(crate) fn ask_at_the_terminal(name: &str, context: &Context, ui: Ui) -> Result<BearerToken, Error> {
    let prompt = format!("Token of `{}`: ", escape(name));
    let line = ui.ask_hidden(&prompt, context.settings.wait.pin_prompt())?;
    Ok(BearerToken::new(line)?)
}

fn first_line(input: impl std::io::BufRead) -> Result<BearerToken, Error> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_INPUT as usize));
    input.take(LONGEST_INPUT).read_until(b'\n', &mut line).map_err(Error::Stdio)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| TokenError::NotPrintable)?;
    Ok(BearerToken::new(Zeroizing::new(text.to_owned()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_token() {
        let line = |text: &[u8]| first_line(text).map(|token| token.expose().to_owned());
        for text in [&b"abc"[..], b"abc\n", b"abc\r\n", b"abc\nmore\n"] {
            assert_eq!(line(text).unwrap(), "abc");
        }
        assert!(matches!(line(b"\nabc"), Err(Error::BearerToken(TokenError::Empty))));
        assert!(matches!(line(b"\xFFabc"), Err(Error::BearerToken(TokenError::NotPrintable))));
        assert!(matches!(line(&[b'x'; 20_000]), Err(Error::BearerToken(TokenError::TooLong))));
    }
}
