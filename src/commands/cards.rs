//! What the plugged-in cards say of themselves, without a PIN and at no cost.

use asymmetric_token::PublicKey;

use crate::enrollment::{Card, Enrollments, Registry};
use crate::error::Error;
use crate::piv::{self, PinState, Piv, SERIAL_SINCE, Serial, Version};
use crate::reader::{AfterReset, ReaderName, Readers, Terms};

/// A reader, and the card in it if that could be read.
pub(super) struct PluggedIn {
    pub(super) reader: ReaderName,
    pub(super) card: Result<CardState, Error>,
}

/// A card that answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct CardState {
    /// Old firmware does not tell it; then it is that of the enrolled card with the same keys.
    pub(super) serial: Option<Serial>,
    pub(super) firmware: Version,
    pub(super) pin: PinState,
}

impl CardState {
    /// As a person knows it.
    pub(super) fn name(&self) -> String {
        match self.serial {
            Some(serial) => format!("YubiKey {serial}"),
            None => "a YubiKey that does not tell its number".into(),
        }
    }

    /// `ykman`, made to mean this card where its number is known.
    pub(super) fn ykman(&self, arguments: &str) -> String {
        match self.serial {
            Some(serial) if self.firmware >= SERIAL_SINCE => format!("ykman --device {serial} {arguments}"),
            _ => format!("ykman {arguments}"),
        }
    }
}

/// All YubiKeys that are plugged in. One that cannot be read does not hide the others.
///
/// # Errors
/// [`Error::Reader`] if there is no smart card service to ask.
pub(super) fn plugged_in(readers: &Readers, enrollments: &Enrollments) -> Result<Vec<PluggedIn>, Error> {
    let cards = enrollments.registries.iter().flat_map(|registry| &registry.cards);
    let old: Vec<_> = cards.filter(|card| card.firmware < SERIAL_SINCE).cloned().collect();
    let names = readers.yubikeys()?;
    let state = |reader: &ReaderName| {
        let old = old.clone();
        look(readers, reader, move |piv| {
            Ok(CardState { serial: number(piv, &old)?, firmware: piv.version()?, pin: piv.pin_state()? })
        })
    };
    Ok(names.into_iter().map(|reader| PluggedIn { card: state(&reader), reader }).collect())
}

/// The card's number, told or known by a key that the certificate of its slot names.
///
/// # Errors
/// What the card answers instead.
pub(super) fn number(piv: &mut Piv<'_>, old: &[Card]) -> Result<Option<Serial>, Error> {
    match piv.serial() {
        Ok(serial) => return Ok(Some(serial)),
        Err(piv::Error::Unsupported { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    for (card, key) in old.iter().flat_map(|card| card.keys.iter().map(move |key| (card, key))) {
        let point = piv.certificate(key.slot)?.and_then(|object| object.p384_point());
        if point.is_some_and(|point| PublicKey::from_uncompressed(&point) == Ok(key.public)) {
            return Ok(Some(card.serial));
        }
    }
    Ok(None)
}

/// One transaction that changes nothing.
///
/// # Errors
/// What the look returned, or [`Error::Reader`].
pub(super) fn look<T: Send + 'static>(
    readers: &Readers,
    reader: &ReaderName,
    work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let terms = Terms { limit: readers.deadlines().connect, after_reset: AfterReset::Repeat };
    readers.with_card(reader, terms, work)
}

/// The state of the card that a signature would be asked of: the first enrolled one in file order.
pub(super) fn first_of(registry: &Registry, found: &[PluggedIn]) -> Option<CardState> {
    let states: Vec<_> = found.iter().filter_map(|found| found.card.as_ref().ok()).collect();
    registry
        .cards
        .iter()
        .find_map(|card| states.iter().find(|state| state.serial == Some(card.serial)).copied().copied())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use p384::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::enrollment::{Key, Role};
    use crate::piv::certificate::Description;
    use crate::piv::script::Script;
    use crate::piv::{P384Point, PinPolicy, TouchPolicy};

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

    /// The answer to GET DATA for the certificate object of a slot with this key.
    fn certificate(secret: u8) -> String {
        let description = Description { role: "both".into(), label: "old".into(), index: Some("x:".into()) };
        let now = SystemTime::now();
        let der = description.certificate(&point(secret), PinPolicy::Once, TouchPolicy::Always, now).unwrap();
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
            let mut script = Script::answers(&[SELECTED, "6D00", &certificate(secret)]);
            number(&mut Piv::select(&mut script).unwrap(), &[card(5)]).unwrap()
        };
        assert_eq!(number(5), Some(Serial(5_000_000)));
        assert_eq!(number(6), None);
        let mut empty = Script::answers(&[SELECTED, "6D00", "6A82"]);
        assert_eq!(super::number(&mut Piv::select(&mut empty).unwrap(), &[card(5)]).unwrap(), None);
    }

    #[test]
    fn ykman_is_told_the_number_where_the_card_tells_it() {
        let state = |serial, firmware| CardState { serial, firmware, pin: PinState::Blocked };
        let old = state(Some(Serial(5_000_000)), Version::new(4, 3, 7));
        assert_eq!(old.ykman("piv info"), "ykman piv info");
        let new = state(Some(Serial(12_345_678)), Version::new(5, 7, 4));
        assert_eq!(new.ykman("piv info"), "ykman --device 12345678 piv info");
        assert_eq!(state(None, old.firmware).name(), "a YubiKey that does not tell its number");
    }
}
