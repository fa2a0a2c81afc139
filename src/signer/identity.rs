//! Which card is in the reader: by its number, or where the firmware has none to tell, by the key in a slot.

use asymmetric_token::PublicKey;

use crate::enrollment::{Card, Registry};
use crate::piv::{self, Piv, SERIAL_SINCE, Serial};

/// Whose card it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// One of the registry's.
    Enrolled(Serial),
    /// Another one, with its number if it tells.
    Other(Option<Serial>),
}

/// Identifies a card before it sees a PIN.
///
/// # Errors
/// What the card answers instead.
pub(super) fn identify(piv: &mut Piv<'_>, registry: &Registry) -> Result<Identity, piv::Error> {
    Ok(match number(piv, &registry.cards)? {
        Some(serial) if registry.card(serial).is_some() => Identity::Enrolled(serial),
        other => Identity::Other(other),
    })
}

/// A card's number: as it tells, or where it cannot, that of the enrolled card whose key the certificate in a slot names.
/// Whether that key is in the slot, a signature will show.
///
/// # Errors
/// What the card answers instead.
pub(crate) fn number<'a>(
    piv: &mut Piv<'_>,
    enrolled: impl IntoIterator<Item = &'a Card>,
) -> Result<Option<Serial>, piv::Error> {
    match piv.serial() {
        Ok(serial) => return Ok(Some(serial)),
        Err(piv::Error::Unsupported { .. }) => {}
        Err(error) => return Err(error),
    }
    let old = enrolled.into_iter().filter(|card| card.firmware < SERIAL_SINCE);
    for (card, key) in old.flat_map(|card| card.keys.iter().map(move |key| (card, key))) {
        let point = piv.certificate(key.slot)?.and_then(|object| object.p384_point());
        if point.is_some_and(|point| PublicKey::from_uncompressed(&point) == Ok(key.public)) {
            return Ok(Some(card.serial));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use p384::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::enrollment::{Key, Role};
    use crate::piv::certificate::Description;
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
}
