//! Opening a sealed token with whichever of its cards is plugged in.
//!
//! The file is read before the person is asked for anything, and the person reads what the token is opened for.

use asymmetric_token::Mutation;

use crate::card::access::Access;
use crate::card::announcement::Announcement;
use crate::card::enrolled_keys;
use crate::card::key_use::{KeyUse, PrivateKey};
use crate::card::known::KnownCards;
use crate::enrollment::{Enrollments, SealedToken, SealingKey};
use crate::error::Error;
use crate::piv::P256Point;
use crate::reader::Readers;
use crate::sealed::{self, AgeFile, BearerToken};
use crate::sealed_files;
use crate::settings::Settings;
use crate::text::{escape, in_words};
use crate::ui::Ui;

/// Opens sealed tokens.
pub struct Unsealer<'a> {
    settings: &'a Settings,
    key_use: KeyUse<'a>,
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
    /// Printing it, giving it back to cargo, or sealing it for other cards; in these words.
    Other(&'static str),
}

impl<'a> Unsealer<'a> {
    /// An unsealer that asks for PINs in the documented order.
    #[must_use]
    pub fn new(readers: &'a Readers, settings: &'a Settings, ui: Ui) -> Self {
        Self { settings, key_use: KeyUse::new(Access { readers, settings, ui }) }
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
        let cargo_home = &self.settings.cargo_home;
        let file = sealed_files::load(cargo_home, token)?;
        let name = escape(token.display_name());
        let keys: Vec<_> =
            enrollments.sealing_keys.iter().filter(|key| file.is_for(&key.recipient)).cloned().collect();
        if keys.is_empty() {
            return Err(Error::SealedForOthers { registry: name });
        }
        let announced = |key: &SealingKey| Announcement {
            text: format!("opening the token of `{name}`{} with {}", occasion.purpose(), key.card_name()),
            registry: name.clone(),
            card: key.label.clone(),
            mutation: match occasion {
                Occasion::Mutation(mutation) => Some(mutation.clone()),
                _ => None,
            },
        };
        let points = keys.iter().filter_map(|key| private_key(&file, key, announced(key))).collect();
        let mut attempts = self.key_use.begin(KnownCards::sealing(&keys), points)?;
        loop {
            let agreed = attempts.next(|piv, (key, point): &(SealingKey, P256Point)| {
                Ok((key.clone(), piv.agree_p256(key.slot, point)?))
            })?;
            let Some((key, secret)) = agreed else { continue };
            match file.open(&token.index, &key.recipient, &secret) {
                Ok(opened) => return Ok(opened),
                Err(problem) => {
                    let is_the_key = matches!(problem, sealed::FileError::NotOpened);
                    let error = sealed_files::unusable(cargo_home, token, problem).into();
                    if !is_the_key {
                        return Err(error);
                    }
                    attempts.was_wrong(error)?;
                }
            }
        }
    }
}

/// A key, and the point that it has to agree with.
fn private_key(
    file: &AgeFile,
    key: &SealingKey,
    announcement: Announcement,
) -> Option<PrivateKey<(SealingKey, P256Point)>> {
    let point = file.key_for(&key.recipient)?.ephemeral_point();
    Some(PrivateKey {
        serial: key.serial,
        firmware: key.firmware,
        pin: key.pin,
        touch: key.touch,
        announcement: Some(announcement),
        is_there: |piv, (key, _)| enrolled_keys::opens(piv, key),
        slot: key.slot,
        gone: |serial, slot| Error::SealingKeyGone { serial, slot },
        key: (key.clone(), point),
    })
}

impl Occasion<'_> {
    fn purpose(self) -> String {
        match self {
            Self::Read => " for reading".to_owned(),
            Self::Check => ", to check that it opens".to_owned(),
            Self::Other(purpose) => format!(" {purpose}"),
            Self::Mutation(mutation) => format!(" for {}", in_words(mutation)),
        }
    }
}
