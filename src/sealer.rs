//! Sealing bearer tokens to the keys of the cards that this computer knows, and making the first of these keys.
//!
//! Sealing needs the public half of the keys only. A card is needed to make its key once, and to see that the token
//! opens again before anybody relies on it.

use std::path::PathBuf;

use jiff::{Timestamp, Unit};

use crate::card::access::Access;
use crate::cargo_config::ConfiguredRegistry;
use crate::context::Context;
use crate::enrollment::{Enrollments, Reads, SealedToken};
use crate::error::Error;
use crate::piv::{Serial, Slot};
use crate::reader::Readers;
use crate::registry::visit::Greetings;
use crate::sealed::{AgeFile, BearerToken, FileError, Recipient};
use crate::sealed_files;
use crate::text::escape;
use crate::ui::Ui;
use crate::unsealer::{Occasion, Unsealer};

mod key;
mod reads;

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
    /// What registries have said already of whether they want a token for reads.
    pub(crate) greetings: Greetings,
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
    /// What the person says a token is opened for besides changes.
    pub(crate) reads: Option<Reads>,
}

impl Sealer<'_> {
    /// Refuses to replace a sealed token by accident, and to put a bearer token in the place of signed ones.
    ///
    /// # Errors
    /// [`Error::Signs`]; [`Error::AlreadySealed`] without `rotate`, [`Error::NotSealed`] with it.
    pub(crate) fn may_seal(&self, registry: &ConfiguredRegistry, rotate: bool) -> Result<(), Error> {
        let enrollments = self.enrollments()?;
        let shown = || registry.name.clone().unwrap_or_else(|| registry.index.to_string());
        if enrollments.signing(&registry.index).is_some() {
            return Err(Error::Signs { registry: shown() });
        }
        match enrollments.sealed(&registry.index) {
            Some(_) if !rotate => Err(Error::AlreadySealed { registry: escape(&shown()) }),
            None if rotate => Err(Error::NotSealed { registry: shown() }),
            _ => Ok(()),
        }
    }

    /// Makes a key on the card that is plugged in, unless this computer knows one already. On a card that was named, one that
    /// is gone is made anew.
    ///
    /// # Errors
    /// [`Error::SealingKeyGone`], or whatever stopped it; a rerun goes on from there.
    pub(crate) fn key(&self) -> Result<(), Error> {
        let enrollments = self.enrollments()?;
        if self.drop_gone_key(&enrollments)? || enrollments.sealing_keys.is_empty() {
            self.key_on(self.making.serial)?;
        }
        Ok(())
    }

    /// Seals a token for all known cards, of which [`key`](Self::key) makes sure, in place of the one that may be there, and
    /// notes it. Cargo's own files are not looked at.
    ///
    /// # Errors
    /// [`Error::Enrollments`] with the file that cannot be written.
    pub(crate) fn seal(
        &self,
        registry: &ConfiguredRegistry,
        token: &BearerToken,
    ) -> Result<SealedToken, Error> {
        let sealed = SealedToken {
            index: registry.index.clone(),
            name: registry.name.clone(),
            reads: self.reads(registry)?,
            since: Timestamp::now().round(Unit::Second).unwrap_or_else(|_| Timestamp::now()),
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

    /// Seals a token for all cards that are known by now.
    ///
    /// # Errors
    /// [`Error::Enrollments`] with the file that cannot be written.
    pub(crate) fn reseal(&self, sealed: &SealedToken, token: &BearerToken) -> Result<PathBuf, Error> {
        let home = self.context.cargo.home();
        let keys = self.enrollments()?.sealing_keys;
        let recipients: Vec<Recipient> = keys.iter().map(|key| key.recipient).collect();
        let file = AgeFile::seal(token, &sealed.index, &recipients)
            .map_err(|problem| sealed_files::unusable(home, sealed, problem))?;
        Ok(sealed_files::keep(home, sealed, &file)?)
    }

    /// Opens a sealed token again and compares. If nobody is there to give the PIN, it says that and goes on.
    ///
    /// # Errors
    /// Everything that stops a token from being opened.
    pub(crate) fn check(&self, sealed: &SealedToken, token: &BearerToken) -> Result<(), Error> {
        match self.unseal(sealed, Occasion::Check) {
            Ok(opened) if opened.expose() == token.expose() => {
                self.ui.say("opened it as a check: it is the same");
                Ok(())
            }
            Ok(_) => {
                let home = self.context.cargo.home();
                Err(sealed_files::unusable(home, sealed, FileError::Contents).into())
            }
            Err(Error::NoPin { .. }) => {
                self.ui.note("it was not opened as a check, because nobody is there to enter the PIN");
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

    fn access(&self) -> Access<'_> {
        Access { readers: self.readers, settings: &self.context.settings, ui: self.ui }
    }

    fn enrollments(&self) -> Result<Enrollments, Error> {
        Ok(Enrollments::load(self.context.cargo.home())?)
    }
}
