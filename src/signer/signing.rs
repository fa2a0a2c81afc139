//! What is signed: the token's claims and footer, made when the card is ready for them.

use asymmetric_token::{Claims, Enrollment, Footer, Prepared, PublicKey};
use jiff::Timestamp;

use super::Purpose;
use crate::card::announcement::Announcement;
use crate::card::enrolled_keys;
use crate::card::key_use::PrivateKey;
use crate::enrollment::{Card, Key, Registry};
use crate::error::Error;
use crate::piv::{P384, PinPolicy, Piv, TouchPolicy};
use crate::text::{escape, in_words};

/// One token that is to be signed.
pub(super) struct Signing {
    pub(super) registry: Registry,
    pub(super) purpose: Purpose,
    pub(super) challenge: Option<String>,
}

/// A token and its signature, which nobody has verified yet.
pub(super) struct Signed {
    pub(super) prepared: Box<Prepared>,
    pub(super) signature: [u8; 96],
    pub(super) issued_at: Timestamp,
    pub(super) public: PublicKey,
}

impl Signing {
    pub(super) fn sign(&self, piv: &mut Piv<'_>, key: &Key) -> Result<Signed, Error> {
        let issued_at = Timestamp::now();
        let prepared = Box::new(self.prepared(key, issued_at)?);
        let signature = piv.sign_p384(key.slot, prepared.digest())?;
        Ok(Signed { prepared, signature, issued_at, public: key.public })
    }

    /// Whether the token can be made, as far as that can be known before anybody is asked for anything.
    ///
    /// # Errors
    /// [`Error::Token`]: too long, or with characters that no token can have.
    pub(super) fn is_possible(&self, keys: &[PrivateKey<Key>]) -> Result<(), Error> {
        keys.iter().try_for_each(|key| self.prepared(&key.key, Timestamp::now()).map(drop))
    }

    fn prepared(&self, key: &Key, issued_at: Timestamp) -> Result<Prepared, Error> {
        let footer = Footer {
            field: self.registry.key_id,
            ..Footer::new(self.registry.index.to_string(), key.public.id())
        };
        let mut claims = match &self.purpose {
            Purpose::Read => Claims::read(issued_at),
            Purpose::Mutation(mutation) => Claims::mutate(issued_at, mutation.clone()),
            // Nobody has given this nonce, and the token goes nowhere.
            Purpose::Trial => {
                let (challenge, role, keys) = ("trial".to_owned(), key.role, vec![key.public.id()]);
                let trial = Enrollment { issued_at, challenge, role, keys };
                return Ok(Prepared::enrollment(&key.public, &trial, &footer)?);
            }
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
}

/// The key on each card that signs for this purpose. A read token that costs neither PIN nor touch is not announced,
/// because cargo asks for many.
pub(super) fn keys(registry: &Registry, purpose: &Purpose) -> Vec<PrivateKey<Key>> {
    let mutation = purpose.is_for_mutations();
    let on_each = registry.cards.iter().filter_map(|card| {
        let key = *card.key(mutation)?;
        let asks = key.pin != PinPolicy::Never || key.touch != TouchPolicy::Never;
        let announcement = (mutation || asks).then(|| Announcement {
            text: format!("signing {} with {}", statement(registry, purpose), card.display_name()),
            registry: escape(registry.display_name()),
            card: card.label.clone(),
            mutation: match purpose {
                Purpose::Mutation(mutation) => Some(mutation.clone()),
                _ => None,
            },
        });
        Some(private_key(card, key, announcement))
    });
    on_each.collect()
}

/// A card's key, and what the person reads before it is used.
pub(super) fn private_key(card: &Card, key: Key, announcement: Option<Announcement>) -> PrivateKey<Key> {
    let (serial, firmware, pin, touch) = (card.serial, card.firmware, key.pin, key.touch);
    let gone = |serial, slot| Error::KeyGone { serial, slot };
    let is_there = |piv: &mut Piv<'_>, key: &Key| {
        enrolled_keys::is_there(piv, &P384, key.slot, |point| {
            PublicKey::from_uncompressed(point) == Ok(key.public)
        })
    };
    PrivateKey { serial, firmware, pin, touch, announcement, is_there, slot: key.slot, gone, key }
}

fn statement(registry: &Registry, purpose: &Purpose) -> String {
    let name = escape(registry.display_name());
    match purpose {
        Purpose::Read => format!("a read token for `{name}`"),
        Purpose::Trial => format!("once as a check, for `{name}`"),
        Purpose::Enrollment { keys, .. } => {
            let keys = if keys.len() == 1 { "1 key".to_owned() } else { format!("{} keys", keys.len()) };
            format!("the enrollment of {keys} for `{name}`")
        }
        Purpose::Mutation(mutation) if registry.proofs => {
            format!("the proof of {} for `{name}`", in_words(mutation))
        }
        Purpose::Mutation(mutation) => format!("{} for `{name}`", in_words(mutation)),
    }
}
