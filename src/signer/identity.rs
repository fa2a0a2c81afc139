//! Which card is in the reader: by its number, or where the firmware has none to tell, by the key in a slot.

use asymmetric_token::PublicKey;

use crate::enrollment::Registry;
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
    match piv.serial() {
        Ok(serial) if registry.card(serial).is_some() => Ok(Identity::Enrolled(serial)),
        Ok(serial) => Ok(Identity::Other(Some(serial))),
        Err(piv::Error::Unsupported { .. }) => by_key(piv, registry),
        Err(error) => Err(error),
    }
}

/// The certificate says which key is in the slot; whether that is so, the signature will show.
fn by_key(piv: &mut Piv<'_>, registry: &Registry) -> Result<Identity, piv::Error> {
    let old = registry.cards.iter().filter(|card| card.firmware < SERIAL_SINCE);
    for (card, key) in old.flat_map(|card| card.keys.iter().map(move |key| (card, key))) {
        let point = piv.certificate(key.slot)?.and_then(|object| object.p384_point());
        if point.is_some_and(|point| PublicKey::from_uncompressed(&point) == Ok(key.public)) {
            return Ok(Identity::Enrolled(card.serial));
        }
    }
    Ok(Identity::Other(None))
}
