//! One token from whichever enrolled card is plugged in.
//!
//! The order is what makes it safe and short: the registry is asked for its challenge before the person is asked for
//! anything, the card is identified before it sees a PIN, the person is asked before the transaction that needs the
//! answer, and the time of the token is taken when everything else is ready. With the PIN already verified this is one
//! transaction of four APDUs: SELECT, GET SERIAL, VERIFY query, GENERAL AUTHENTICATE.

use std::sync::Arc;
use std::time::{Duration, Instant};

use asymmetric_token::Mutation;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use jiff::Timestamp;

use crate::challenge;
use crate::enrollment::{ChallengeSource, Registry};
use crate::error::Error;
use crate::pin_source::PinSource;
use crate::piv::Serial;
use crate::reader::{AfterReset, ReaderName, Readers, Terms};
use crate::settings::Settings;
use crate::ui::{Ui, escape};

pub(crate) mod identity;
mod touch_notice;
mod transaction;

use identity::{Identity, identify};
use transaction::{Attempt, Work};

/// A challenge that has grown older than this, at a prompt, is fetched again: registries let them die after minutes.
const CHALLENGE_KEEPS: Duration = Duration::from_secs(60);

/// Signs for enrolled registries.
pub struct Signer<'a> {
    readers: &'a Readers,
    settings: &'a Settings,
    pins: PinSource<'a>,
    ui: Ui,
}

/// A token, verified with the enrolled key.
#[derive(Debug)]
pub struct SignedToken {
    /// Ready to send. No secret after its window, but good for its purpose until then.
    pub token: String,
    /// Its `iat`.
    pub issued_at: Timestamp,
}

impl<'a> Signer<'a> {
    /// A signer that asks for PINs in the documented order.
    #[must_use]
    pub fn new(readers: &'a Readers, settings: &'a Settings, ui: Ui) -> Self {
        Self { readers, settings, pins: PinSource::new(settings, ui), ui }
    }

    /// Signs a read token, or a token for one mutation.
    ///
    /// # Errors
    /// [`Error`]: no challenge, no card, not the enrolled one, no PIN, no touch, a card that lies.
    pub fn sign(&mut self, registry: &Registry, mutation: Option<Mutation>) -> Result<SignedToken, Error> {
        if !registry.cards.iter().any(|card| card.key(mutation.is_some()).is_some()) {
            return Err(Error::no_key(registry, mutation.is_some()));
        }
        let mut challenge = self.challenge(registry, mutation.as_ref())?;
        let reader = self.reader_with(registry)?;
        let mut pin = None;
        let mut announce = true;
        let mut touch_again = true;
        loop {
            if challenge.as_ref().is_some_and(|challenge| challenge.is_old(Instant::now())) {
                challenge = self.challenge(registry, mutation.as_ref())?;
            }
            let mut work = Work {
                registry: registry.clone(),
                mutation: mutation.clone(),
                challenge: challenge.as_ref().map(|challenge| challenge.text.clone()),
                pin: pin.clone(),
                announce: std::mem::take(&mut announce),
                touch_notice: self.settings.touch_notice(),
                ui: self.ui,
            };
            match self.readers.with_card(&reader, self.terms(), move |piv| work.run(piv))? {
                Attempt::Signed { prepared, signature, issued_at } => {
                    let token = prepared.finish_with(&signature, is_signed).map_err(Error::CardSignature)?;
                    return Ok(SignedToken { token, issued_at });
                }
                Attempt::NeedsPin { serial, tries, why } => {
                    pin = Some(Arc::new(self.pins.pin(serial, tries, why)?));
                }
                Attempt::WrongPin { tries } => {
                    pin = None;
                    self.pins.was_wrong(tries)?;
                }
                Attempt::NotTouched { .. } if touch_again && self.pins.somebody_is_there() => {
                    touch_again = false;
                    self.ui.warn("it was not touched in time; once more");
                }
                Attempt::NotTouched { serial } => return Err(Error::NotTouched { serial }),
                Attempt::OtherCard { found } => return Err(Error::wrong_card(registry, &found)),
            }
        }
    }

    /// What the registry wants to see in a mutation token. A read token has none: cargo uses it more than once.
    fn challenge(
        &self,
        registry: &Registry,
        mutation: Option<&Mutation>,
    ) -> Result<Option<Challenge>, Error> {
        let Some(mutation) = mutation else { return Ok(None) };
        if registry.challenge == ChallengeSource::None {
            return Ok(None);
        }
        let name = escape(registry.display_name());
        let greeting = challenge::greet(&registry.index, mutation.name(), self.settings)
            .map_err(|source| Error::Challenge { registry: name.clone(), source })?;
        if let Some(clock) = greeting.clock {
            self.ui.warn(format_args!("{clock}; it may refuse the token"));
        }
        if greeting.challenge.is_none() {
            self.ui.note(format_args!(
                "`{name}` issues no challenges any more; if that is to last: yk-cargo enroll {name} --refresh"
            ));
        }
        Ok(greeting.challenge.map(|text| Challenge { text, fetched: Instant::now() }))
    }

    /// The reader with the enrolled card that comes first in file order. A single reader is taken unseen: the
    /// transaction itself identifies the card.
    fn reader_with(&self, registry: &Registry) -> Result<ReaderName, Error> {
        let mut readers = self.readers.yubikeys()?;
        if readers.is_empty() && self.ui.is_interactive() {
            readers = self.wait_for_insertion(registry)?;
        }
        if readers.len() > 1 {
            return self.first_in_file_order(readers, registry);
        }
        readers.pop().ok_or_else(|| Error::NoCard { wanted: registry.cards_for_display() })
    }

    fn wait_for_insertion(&self, registry: &Registry) -> Result<Vec<ReaderName>, Error> {
        let text = format!("plug in {}", registry.cards_for_display());
        let _countdown = self.ui.count_down(text, self.readers.deadlines().insertion);
        Ok(self.readers.wait_for_insertion(&[])?)
    }

    /// The enrolled card that a signature would be asked of.
    ///
    /// # Errors
    /// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
    pub fn find_card(&self, registry: &Registry) -> Result<Serial, Error> {
        match self.identity_of(&self.reader_with(registry)?, registry)? {
            Identity::Enrolled(serial) => Ok(serial),
            Identity::Other(found) => Err(Error::wrong_card(registry, &Vec::from_iter(found))),
        }
    }

    fn identity_of(&self, reader: &ReaderName, registry: &Registry) -> Result<Identity, Error> {
        let registry = registry.clone();
        self.readers.with_card(reader, self.terms(), move |piv| Ok(identify(piv, &registry)?))
    }

    /// Signing changes nothing on the card, so it may be done again after somebody's reset.
    fn terms(&self) -> Terms {
        Terms { limit: self.readers.deadlines().touch, after_reset: AfterReset::Repeat }
    }

    fn first_in_file_order(
        &self,
        readers: Vec<ReaderName>,
        registry: &Registry,
    ) -> Result<ReaderName, Error> {
        let mut enrolled = Vec::new();
        let mut others = Vec::new();
        let mut failure = None;
        for reader in readers {
            match self.identity_of(&reader, registry) {
                Ok(Identity::Enrolled(serial)) => enrolled.push((serial, reader)),
                Ok(Identity::Other(found)) => others.extend(found),
                Err(error) => failure = Some(error),
            }
        }
        let position = |serial: Serial| registry.cards.iter().position(|card| card.serial == serial);
        match (enrolled.into_iter().min_by_key(|(serial, _)| position(*serial)), failure) {
            (Some((_, reader)), _) => Ok(reader),
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::wrong_card(registry, &others)),
        }
    }
}

/// AWS-LC verifies three times faster than p384, and cargo waits for it before every request.
fn is_signed(public: &[u8; 49], message: &[u8], signature: &[u8; 96]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).is_ok()
}

/// A challenge and its age.
struct Challenge {
    text: String,
    fetched: Instant,
}

impl Challenge {
    fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.fetched) > CHALLENGE_KEEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_does_not_outlive_a_long_prompt() {
        let challenge = Challenge { text: "x".into(), fetched: Instant::now() };
        assert!(!challenge.is_old(challenge.fetched + Duration::from_secs(59)));
        assert!(challenge.is_old(challenge.fetched + Duration::from_secs(61)));
    }
}
