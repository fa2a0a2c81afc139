//! What one transaction does with a card: identify it, satisfy the key's PIN policy, sign.

use std::sync::Arc;

use asymmetric_token::{Claims, Enrollment, Footer, Prepared};
use jiff::Timestamp;

use super::Purpose;
use crate::card::key_use::{Obstacle, PrivateKey, TouchAnnouncement};
use crate::card::known::{Identity, KnownCards};
use crate::enrollment::{Key, Registry};
use crate::error::Error;
use crate::piv::pin::Pin;
use crate::piv::{self, PinPolicy, Piv, TouchPolicy};
use crate::text::escape;
use crate::text::in_words;

/// One attempt. It may run twice, when somebody resets the card in between.
pub(super) struct Work {
    pub(super) registry: Registry,
    pub(super) purpose: Purpose,
    pub(super) challenge: Option<String>,
    pub(super) pin: Option<Arc<Pin>>,
    pub(super) announce: bool,
    pub(super) announcing: TouchAnnouncement,
}

/// How it ended.
pub(super) enum Attempt {
    Signed { prepared: Box<Prepared>, signature: [u8; 96], issued_at: Timestamp },
    Hindered(Obstacle),
}

impl Work {
    pub(super) fn run(&mut self, piv: &mut Piv<'_>) -> Result<Attempt, Error> {
        let serial = match KnownCards::enrolled(&self.registry.cards).identify(piv)? {
            Identity::Known(serial) => serial,
            Identity::Other(found) => {
                return Ok(Attempt::Hindered(Obstacle::OtherCard { found: Vec::from_iter(found) }));
            }
        };
        let mutation = self.purpose.is_for_mutations();
        let no_key = || Error::no_key(&self.registry, mutation);
        let card = self.registry.card(serial).cloned().ok_or_else(no_key)?;
        // A YubiKey's firmware cannot be changed: what was read at enrollment still holds.
        piv.assume_version(card.firmware);
        let key = *card.key(mutation).ok_or_else(no_key)?;
        if std::mem::take(&mut self.announce) && (mutation || asks_for_something(&key)) {
            self.announcing.ui.say(format_args!(
                "signing {} with YubiKey {serial} ({})",
                self.statement(),
                escape(&card.label)
            ));
        }
        let private = PrivateKey { serial, pin: key.pin, touch: key.touch };
        if let Some(obstacle) = private.satisfy_pin_policy(piv, self.pin.as_deref())? {
            return Ok(Attempt::Hindered(obstacle));
        }
        self.sign(piv, private, &key)
    }

    fn sign(&self, piv: &mut Piv<'_>, private: PrivateKey, key: &Key) -> Result<Attempt, Error> {
        let issued_at = Timestamp::now();
        let prepared = self.prepared(key, issued_at)?;
        let signed = private.operate(piv, self.pin.as_deref(), self.announcing, |piv| {
            piv.sign_p384(key.slot, prepared.digest())
        });
        match signed {
            Ok(Ok(signature)) => Ok(Attempt::Signed { prepared: Box::new(prepared), signature, issued_at }),
            Ok(Err(obstacle)) => Ok(Attempt::Hindered(obstacle)),
            Err(Error::Piv(piv::Error::NoSuchKey { slot })) => {
                Err(Error::KeyGone { serial: private.serial, slot })
            }
            Err(error) => Err(error),
        }
    }

    fn prepared(&self, key: &Key, issued_at: Timestamp) -> Result<Prepared, Error> {
        let footer = Footer {
            field: self.registry.key_id,
            ..Footer::new(self.registry.index.to_string(), key.public.id())
        };
        let mut claims = match &self.purpose {
            Purpose::Read => Claims::read(issued_at),
            Purpose::Mutation(mutation) => Claims::mutate(issued_at, mutation.clone()),
            Purpose::Enrollment { nonce, role, keys } => {
                let (challenge, role, keys) = (nonce.clone(), *role, keys.clone());
                let enrollment = Enrollment { issued_at, challenge, role, keys };
                return Ok(Prepared::enrollment(&key.public, &enrollment, &footer)?);
            }
        };
        claims.subject.clone_from(&self.registry.subject);
        claims.challenge.clone_from(&self.challenge);
        Ok(Prepared::new(&key.public, &claims, &footer)?)
    }

    fn statement(&self) -> String {
        let registry = escape(self.registry.display_name());
        match &self.purpose {
            Purpose::Read => format!("a read token for `{registry}`"),
            Purpose::Enrollment { keys, .. } => {
                let keys = if keys.len() == 1 { "1 key".to_owned() } else { format!("{} keys", keys.len()) };
                format!("the enrollment of {keys} for `{registry}`")
            }
            Purpose::Mutation(mutation) => format!("{} for `{registry}`", in_words(mutation)),
        }
    }
}

fn asks_for_something(key: &Key) -> bool {
    key.pin != PinPolicy::Never || key.touch != TouchPolicy::Never
}

#[cfg(test)]
mod tests;
