//! Opening a sealed token with whichever of its cards is plugged in.
//!
//! In the order of signing: the file is read before the person is asked for anything, the card is identified before it
//! sees a PIN, the person is asked before the transaction that needs the answer. With the PIN verified already this is
//! one transaction of four APDUs: SELECT, GET SERIAL, VERIFY query, GENERAL AUTHENTICATE.

use std::path::Path;
use std::sync::Arc;

use asymmetric_token::Mutation;

use crate::card::choose::Finder;
use crate::card::key_use::{Attempts, Obstacle, PrivateKey, TouchAnnouncement};
use crate::card::known::{Identity, KnownCards};
use crate::enrollment::{Enrollments, SealedToken, SealingKey};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, P256Point, Piv, Serial};
use crate::reader::Readers;
use crate::sealed::{AgeFile, BearerToken, SharedSecret};
use crate::sealed_files;
use crate::settings::Settings;
use crate::text::escape;
use crate::text::in_words;
use crate::ui::Ui;

/// Opens sealed tokens.
pub struct Unsealer<'a> {
    readers: &'a Readers,
    settings: &'a Settings,
    attempts: Attempts<'a>,
    ui: Ui,
}

/// What a token is opened for; the person reads it before the PIN is asked.
#[derive(Clone, Copy, Debug)]
pub enum Occasion<'m> {
    /// Reading index and crates.
    Read,
    /// One change of one crate.
    Mutation(&'m Mutation),
    /// Seeing that it opens.
    Check,
    /// Giving it out, or sealing it for other cards.
    Other(&'static str),
}

impl<'a> Unsealer<'a> {
    /// An unsealer that asks for PINs in the documented order.
    #[must_use]
    pub fn new(readers: &'a Readers, settings: &'a Settings, ui: Ui) -> Self {
        Self { readers, settings, attempts: Attempts::new(settings, ui), ui }
    }

    /// Opens the token of a registry.
    ///
    /// # Errors
    /// [`Error`]: no file, no card, not one of its cards, no PIN, no touch, a file that was changed or exchanged.
    pub fn unseal(
        &mut self,
        enrollments: &Enrollments,
        token: &SealedToken,
        occasion: Occasion<'_>,
    ) -> Result<BearerToken, Error> {
        let file = sealed_files::load(self.cargo_home(), token)?;
        let name = escape(token.display_name());
        let keys: Vec<_> =
            enrollments.sealing_keys.iter().filter(|key| file.is_for(&key.recipient)).cloned().collect();
        if keys.is_empty() {
            return Err(Error::SealedForOthers { registry: name });
        }
        let statement = format!("opening the token of `{name}`{}", occasion.purpose());
        let (key, secret) = self.agree(&file, keys, &statement)?;
        file.open(&token.index, &key.recipient, &secret).map_err(|problem| Error::Sealed {
            registry: name,
            file: sealed_files::path(self.cargo_home(), &token.index),
            problem,
        })
    }

    fn agree(
        &mut self,
        file: &AgeFile,
        keys: Vec<SealingKey>,
        statement: &str,
    ) -> Result<(SealingKey, SharedSecret), Error> {
        let cards = KnownCards::sealing(&keys);
        let points: Vec<_> = keys
            .into_iter()
            .filter_map(|key| file.key_for(&key.recipient).map(|wrapped| (key, wrapped.ephemeral_point())))
            .collect();
        let finder = Finder { readers: self.readers, ui: self.ui };
        let reader = finder.reader_with(&cards)?;
        let mut statement = Some(statement.to_owned());
        self.attempts.begin();
        loop {
            let mut work = Work {
                cards: cards.clone(),
                points: points.clone(),
                pin: self.attempts.pin(),
                statement: statement.take(),
                announcing: TouchAnnouncement { ui: self.ui, delay: self.settings.touch_notice() },
            };
            match self.readers.with_card(&reader, finder.terms(), move |piv| work.run(piv))? {
                Ok(agreed) => return Ok(agreed),
                Err(obstacle) => self.attempts.overcome(obstacle, &cards)?,
            }
        }
    }

    fn cargo_home(&self) -> &'a Path {
        &self.settings.cargo_home
    }
}

impl Occasion<'_> {
    fn purpose(self) -> String {
        match self {
            Self::Read => " for reading".to_owned(),
            Self::Check => ", to see that it opens".to_owned(),
            Self::Other(purpose) => format!(" {purpose}"),
            Self::Mutation(mutation) => format!(" for {}", in_words(mutation)),
        }
    }
}

/// One attempt. It may run twice, when somebody resets the card in between.
struct Work {
    cards: KnownCards,
    /// What each card's key has to agree with.
    points: Vec<(SealingKey, P256Point)>,
    pin: Option<Arc<Pin>>,
    /// Said once, when the card is known to be the right one.
    statement: Option<String>,
    announcing: TouchAnnouncement,
}

impl Work {
    fn run(&mut self, piv: &mut Piv<'_>) -> Result<Result<(SealingKey, SharedSecret), Obstacle>, Error> {
        let serial = match self.cards.identify(piv)? {
            Identity::Known(serial) => serial,
            Identity::Other(found) => return Ok(Err(Obstacle::OtherCard { found: Vec::from_iter(found) })),
        };
        let Some((key, point)) = self.on(serial) else {
            return Ok(Err(Obstacle::OtherCard { found: vec![serial] }));
        };
        // A YubiKey's firmware cannot be changed: what was read when the key was made still holds.
        piv.assume_version(key.firmware);
        if let Some(statement) = self.statement.take() {
            let label = escape(&key.label);
            self.announcing.ui.say(format_args!("{statement} with YubiKey {serial} ({label})"));
        }
        let private = PrivateKey { serial, pin: key.pin, touch: key.touch };
        if let Some(obstacle) = private.satisfy_pin_policy(piv, self.pin.as_deref())? {
            return Ok(Err(obstacle));
        }
        let agree = |piv: &mut Piv<'_>| piv.agree_p256(key.slot, &point);
        match private.operate(piv, self.pin.as_deref(), self.announcing, agree) {
            Ok(outcome) => Ok(outcome.map(|secret| (key, secret))),
            Err(Error::Piv(piv::Error::NoSuchKey { slot })) => Err(Error::SealingKeyGone { serial, slot }),
            Err(error) => Err(error),
        }
    }

    fn on(&self, serial: Serial) -> Option<(SealingKey, P256Point)> {
        self.points.iter().find(|(key, _)| key.serial == serial).cloned()
    }
}
