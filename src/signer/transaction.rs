//! What one transaction does with a card: identify it, satisfy the key's PIN policy, sign.

use std::sync::Arc;
use std::time::{Duration, Instant};

use asymmetric_token::{Claims, Enrolment, Footer, Prepared};
use jiff::Timestamp;

use super::Purpose;
use super::identity::{Identity, identify};
use super::touch_notice::TouchNotice;
use crate::enrollment::{Card, Key, Registry};
use crate::error::Error;
use crate::pin::Pin;
use crate::pin_source::Why;
use crate::piv::{self, Missing, PinPolicy, PinState, Piv, Serial, TouchPolicy};
use crate::reader;
use crate::ui::{Ui, escape};

/// One attempt. It may run twice, when somebody resets the card in between.
pub(super) struct Work {
    pub(super) registry: Registry,
    pub(super) purpose: Purpose,
    pub(super) challenge: Option<String>,
    pub(super) pin: Option<Arc<Pin>>,
    pub(super) announce: bool,
    pub(super) touch_notice: Duration,
    pub(super) ui: Ui,
}

/// How it ended. All but the first need a person, whom nobody asks while the card is held.
pub(super) enum Attempt {
    Signed { prepared: Box<Prepared>, signature: [u8; 96], issued_at: Timestamp },
    NeedsPin { serial: Serial, tries: u8, why: Why },
    WrongPin { tries: u8 },
    NotTouched { serial: Serial },
    OtherCard { found: Vec<Serial> },
}

impl Work {
    pub(super) fn run(&mut self, piv: &mut Piv<'_>) -> Result<Attempt, Error> {
        let serial = match identify(piv, &self.registry)? {
            Identity::Enrolled(serial) => serial,
            Identity::Other(found) => return Ok(Attempt::OtherCard { found: Vec::from_iter(found) }),
        };
        let mutation = self.purpose.is_for_mutations();
        let no_key = || Error::no_key(&self.registry, mutation);
        let card = self.registry.card(serial).cloned().ok_or_else(no_key)?;
        // A YubiKey's firmware cannot be changed: what was read at enrolment still holds.
        piv.assume_version(card.firmware);
        let key = *card.key(mutation).ok_or_else(no_key)?;
        if std::mem::take(&mut self.announce) && (mutation || asks_for_something(&key)) {
            self.ui.say(format_args!(
                "signing {} with YubiKey {serial} ({})",
                self.statement(),
                escape(&card.label)
            ));
        }
        if let Some(outcome) = self.satisfy_pin_policy(piv, &card, &key)? {
            return Ok(outcome);
        }
        self.sign(piv, &card, &key)
    }

    /// `None` when the key will not ask for a PIN any more.
    fn satisfy_pin_policy(
        &self,
        piv: &mut Piv<'_>,
        card: &Card,
        key: &Key,
    ) -> Result<Option<Attempt>, Error> {
        if key.pin == PinPolicy::Never {
            return Ok(None);
        }
        if let Some(pin) = &self.pin {
            return match piv.verify_pin(pin) {
                Ok(()) => Ok(None),
                Err(piv::Error::WrongPin { tries }) => Ok(Some(Attempt::WrongPin { tries })),
                Err(error) => Err(error.into()),
            };
        }
        let once = matches!(key.pin, PinPolicy::Once | PinPolicy::MatchOnce);
        let why = if once { Why::NotVerified } else { Why::EveryTime };
        let needs_pin = |tries| Ok(Some(Attempt::NeedsPin { serial: card.serial, tries, why }));
        match piv.pin_state()? {
            PinState::Verified if once => Ok(None),
            // The state does not help, and the tries are not told while it is set.
            PinState::Verified => needs_pin(u8::MAX),
            PinState::Tries(tries) => needs_pin(tries),
            PinState::Blocked => Err(piv::Error::PinBlocked.into()),
        }
    }

    fn sign(&self, piv: &mut Piv<'_>, card: &Card, key: &Key) -> Result<Attempt, Error> {
        let issued_at = Timestamp::now();
        let prepared = self.prepared(key, issued_at)?;
        let notice = TouchNotice::begin(self.ui, card.serial, key.touch, self.touch_notice);
        let started = Instant::now();
        let signature = piv.sign_p384(key.slot, prepared.digest());
        drop(notice);
        match signature {
            Ok(signature) => Ok(Attempt::Signed { prepared: Box::new(prepared), signature, issued_at }),
            Err(piv::Error::NotAuthenticated) => self.refusal(piv, card, key, started.elapsed()),
            Err(piv::Error::Transport(error)) if gave_up(&error) && key.touch != TouchPolicy::Never => {
                Ok(Attempt::NotTouched { serial: card.serial })
            }
            Err(piv::Error::NoSuchKey { slot }) => Err(Error::KeyGone { serial: card.serial, slot }),
            Err(error) => Err(error.into()),
        }
    }

    fn prepared(&self, key: &Key, issued_at: Timestamp) -> Result<Prepared, Error> {
        let footer = Footer {
            field: self.registry.key_id,
            ..Footer::new(self.registry.index.clone(), key.public.id())
        };
        let mut claims = match &self.purpose {
            Purpose::Read => Claims::read(issued_at),
            Purpose::Mutation(mutation) => Claims::mutate(issued_at, mutation.clone()),
            Purpose::Enrolment { nonce, role, keys } => {
                let (challenge, role, keys) = (nonce.clone(), role.as_str().to_owned(), keys.clone());
                let enrolment = Enrolment { issued_at, challenge, role, keys };
                return Ok(Prepared::enrolment(&key.public, &enrolment, &footer)?);
            }
        };
        claims.subject.clone_from(&self.registry.subject);
        claims.challenge.clone_from(&self.challenge);
        Ok(Prepared::new(&key.public, &claims, &footer)?)
    }

    /// `6982` means "no PIN" or "no touch"; the time it took and the PIN's state tell which.
    fn refusal(
        &self,
        piv: &mut Piv<'_>,
        card: &Card,
        key: &Key,
        elapsed: Duration,
    ) -> Result<Attempt, Error> {
        let pin_given = self.pin.is_some()
            || key.pin == PinPolicy::Never
            || matches!(piv.pin_state(), Ok(PinState::Verified));
        match Missing::after(elapsed, pin_given) {
            // A key that never asks for a touch has no reason that a person could do something about.
            Missing::Touch if key.touch != TouchPolicy::Never => {
                Ok(Attempt::NotTouched { serial: card.serial })
            }
            _ => Err(piv::Error::NotAuthenticated.into()),
        }
    }

    fn statement(&self) -> String {
        let registry = escape(self.registry.display_name());
        match &self.purpose {
            Purpose::Read => format!("a read token for `{registry}`"),
            Purpose::Enrolment { keys, .. } => {
                let keys = if keys.len() == 1 { "1 key".to_owned() } else { format!("{} keys", keys.len()) };
                format!("the enrolment of {keys} for `{registry}`")
            }
            Purpose::Mutation(mutation) => {
                let version = mutation.version().map(|version| format!(" {version}")).unwrap_or_default();
                let kind =
                    if mutation.version().is_some() { mutation.kind() } else { "a request about the owners" };
                format!("{kind} of `{}{version}` for `{registry}`", mutation.name())
            }
        }
    }
}

/// Windows answers like this, with no status word, when the time for a touch is over.
fn gave_up(error: &piv::TransportError) -> bool {
    matches!(error.cause(), Some(reader::Error::Other { code: reader::COMM_DATA_LOST, .. }))
}

fn asks_for_something(key: &Key) -> bool {
    key.pin != PinPolicy::Never || key.touch != TouchPolicy::Never
}

#[cfg(test)]
mod tests;
