//! The cards that would do for something, and how one of them is recognised.
//!
//! A card is known by its number, or where it tells none, by the key that a slot's certificate names.
//! It is identified before it sees a PIN, so that a wrong card's tries are never spent.

use asymmetric_token::PublicKey;

use super::identity::told_serial;
use crate::enrollment::{Card, Enrollments, SealingKey, any_of};
use crate::error::Error;
use crate::piv::{self, Curve, P256, P384, Piv, Serial, Slot};
use crate::sealed::Recipient;

/// Cards of which any will do, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownCards(Vec<KnownCard>);

#[derive(Clone, Debug)]
struct KnownCard {
    serial: Serial,
    /// As a person knows it.
    name: String,
    keys: Vec<(Slot, KnownKey)>,
}

#[derive(Clone, Copy, Debug)]
enum KnownKey {
    Signing(PublicKey),
    Sealing(Recipient),
}

/// Which card it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// One of those that would do.
    Known(Serial),
    /// Another one, with its number if it tells.
    Other(Option<Serial>),
}

impl KnownCards {
    /// Cards with keys that sign.
    pub(crate) fn enrolled<'a>(cards: impl IntoIterator<Item = &'a Card>) -> Self {
        let known = cards.into_iter().map(|card| KnownCard {
            serial: card.serial,
            name: card.display_name(),
            keys: card.keys.iter().map(|key| (key.slot, KnownKey::Signing(key.public))).collect(),
        });
        Self(known.collect())
    }

    /// Cards with keys to which tokens are sealed.
    pub(crate) fn sealing<'a>(keys: impl IntoIterator<Item = &'a SealingKey>) -> Self {
        let known = keys.into_iter().map(|key| KnownCard {
            serial: key.serial,
            name: key.card_name(),
            keys: vec![(key.slot, KnownKey::Sealing(key.recipient))],
        });
        Self(known.collect())
    }

    /// All with keys of either kind.
    pub(crate) fn all(enrollments: &Enrollments) -> Self {
        let cards = enrollments.registries.iter().flat_map(|registry| &registry.cards);
        Self::enrolled(cards).and(Self::sealing(&enrollments.sealing_keys))
    }

    fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// As a person knows them: `YubiKey 12345678 (laptop key) or YubiKey 23456789 (safe)`.
    pub(crate) fn for_display(&self) -> String {
        any_of(self.0.iter().map(|card| card.name.clone()))
    }

    pub(crate) fn wrong_card(&self, found: &[Serial]) -> Error {
        Error::WrongCard { found: found.to_vec(), wanted: self.for_display() }
    }

    /// Identifies the card in hand.
    ///
    /// # Errors
    /// What the card answers instead.
    pub(crate) fn identify(&self, piv: &mut Piv<'_>) -> Result<Identity, piv::Error> {
        Ok(match self.number(piv)? {
            Some(serial) if self.position(serial).is_some() => Identity::Known(serial),
            other => Identity::Other(other),
        })
    }

    /// A card's number. Where the card cannot tell it, it is that of the known card whose key is named by the
    /// certificate in a slot; whether that key is really in the slot shows when it is used.
    ///
    /// # Errors
    /// What the card answers instead.
    pub(crate) fn number(&self, piv: &mut Piv<'_>) -> Result<Option<Serial>, piv::Error> {
        if let Some(serial) = told_serial(piv)? {
            return Ok(Some(serial));
        }
        let cards = self.0.iter();
        for (card, (slot, key)) in cards.flat_map(|card| card.keys.iter().map(move |key| (card, key))) {
            if key.is_named_in(piv, *slot)? {
                return Ok(Some(card.serial));
            }
        }
        Ok(None)
    }

    /// What the person calls a card that is one of these.
    pub(super) fn name(&self, serial: Serial) -> Option<&str> {
        self.position(serial).map(|position| self.0[position].name.as_str())
    }

    /// Those that are left when one is of no use.
    pub(super) fn without(&self, serial: Serial) -> Self {
        Self(self.0.iter().filter(|card| card.serial != serial).cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn position(&self, serial: Serial) -> Option<usize> {
        self.0.iter().position(|card| card.serial == serial)
    }
}

impl KnownKey {
    /// Where somebody has deleted the certificate, the card's metadata tell of the key.
    fn is_named_in(self, piv: &mut Piv<'_>, slot: Slot) -> Result<bool, piv::Error> {
        match self {
            Self::Signing(key) => {
                let point = point_in(piv, &P384, slot)?;
                Ok(point.is_some_and(|point| PublicKey::from_uncompressed(&point) == Ok(key)))
            }
            Self::Sealing(key) => {
                let point = point_in(piv, &P256, slot)?;
                Ok(point.is_some_and(|point| Recipient::from_point(&point) == Ok(key)))
            }
        }
    }
}

fn point_in<const POINT: usize>(
    piv: &mut Piv<'_>,
    curve: &Curve<POINT>,
    slot: Slot,
) -> Result<Option<[u8; POINT]>, piv::Error> {
    if let Some(object) = piv.certificate(slot)? {
        return Ok(object.point(curve));
    }
    match piv.metadata(slot) {
        Ok(metadata) => metadata.map_or(Ok(None), |metadata| metadata.point(curve)),
        Err(piv::Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use p384::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::enrollment::{Card, Key, Role};
    use crate::piv::certificate::{Description, KeyPurpose};
    use crate::piv::script::Script;
    use crate::piv::{P384Point, PinPolicy, TouchPolicy, Version};

    const SELECTED: &str = "61114F0600001000010079074F05A000000308 9000";

    fn point(secret: u8) -> P384Point {
        let key = p384::SecretKey::from_slice(&[secret; 48]).unwrap().public_key();
        key.to_sec1_point(false).as_bytes().try_into().unwrap()
    }

    fn card(secret: u8) -> Card {
        let public = PublicKey::from_uncompressed(&point(secret)).unwrap();
        let slot = "82".parse().unwrap();
        let key = Key { role: Role::Both, slot, public, pin: PinPolicy::Once, touch: TouchPolicy::Always };
        let firmware = Version::new(4, 3, 7);
        Card { serial: Serial(5_000_000), firmware, label: "old".into(), keys: vec![key] }
    }

    fn known(secret: u8) -> KnownCards {
        KnownCards::enrolled(&[card(secret)])
    }

    /// The answer to GET DATA for the certificate object of a slot with this key.
    fn certificate(secret: u8) -> String {
        let purpose = KeyPurpose::Signing { role: Role::Both, index: "x:".into() };
        let description = Description { purpose, label: "old".into() };
        let now = SystemTime::now();
        let der = description
            .certificate(&P384, &point(secret), PinPolicy::Once, TouchPolicy::Always, now)
            .unwrap();
        let object = long(0x53, &long(0x70, &der));
        object.iter().map(|byte| format!("{byte:02X}")).collect::<String>() + "9000"
    }

    /// A tag, a length in two bytes, and the value.
    fn long(tag: u8, value: &[u8]) -> Vec<u8> {
        [&[tag, 0x82][..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    #[test]
    fn a_card_that_does_not_tell_its_number_is_known_by_its_keys() {
        let number = |secret| {
            let answers = |none| Script::answers(&[SELECTED, none, &certificate(secret)]);
            let [old, hidden] = ["6D00", "6985"]
                .map(|none| known(5).number(&mut Piv::select(&mut answers(none)).unwrap()).unwrap());
            assert_eq!(old, hidden);
            old
        };
        assert_eq!(number(5), Some(Serial(5_000_000)));
        assert_eq!(number(6), None);
        let number = |answers: &[&str]| {
            let mut script = Script::answers(&[&[SELECTED, "6985"], answers].concat());
            let number = known(5).number(&mut Piv::select(&mut script).unwrap()).unwrap();
            script.assert_finished();
            number
        };
        assert_eq!(number(&["6A82", "6D00"]), None, "no certificate on old firmware");
        assert_eq!(number(&["6A82", "6A88"]), None, "an empty slot");
        let hex: String = point(5).iter().map(|byte| format!("{byte:02X}")).collect();
        let metadata = format!("010114 02020202 030101 0463 8661{hex} 9000");
        assert_eq!(number(&["6A82", &metadata]), Some(Serial(5_000_000)), "a deleted certificate");
    }
}
