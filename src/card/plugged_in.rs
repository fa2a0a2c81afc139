//! What the plugged-in cards say of themselves, without a PIN and at no cost.

use super::choose;
use super::known::KnownCards;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::piv::{PinState, SERIAL_SINCE, Serial, Version};
use crate::reader::{ReaderName, Readers};

/// A reader, and the card in it if that could be read.
pub(crate) struct PluggedIn {
    pub(crate) reader: ReaderName,
    pub(crate) card: Result<CardState, Error>,
}

/// A card that answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CardState {
    /// Old firmware does not tell it; then it is that of the enrolled card with the same keys.
    pub(crate) serial: Option<Serial>,
    pub(crate) firmware: Version,
    pub(crate) pin: PinState,
}

impl CardState {
    /// As a person knows it.
    pub(crate) fn name(&self) -> String {
        choose::name(self.serial)
    }

    /// `ykman`, made to mean this card where its number is known.
    pub(crate) fn ykman(&self, arguments: &str) -> String {
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
pub(crate) fn cards(readers: &Readers, enrollments: &Enrollments) -> Result<Vec<PluggedIn>, Error> {
    let cards = enrollments.registries.iter().flat_map(|registry| &registry.cards);
    let known = KnownCards::enrolled(cards).and(KnownCards::sealing(&enrollments.sealing_keys));
    let names = readers.yubikeys()?;
    let state = |reader: &ReaderName| {
        let known = known.clone();
        readers.look(reader, move |piv| {
            Ok(CardState { serial: known.number(piv)?, firmware: piv.version()?, pin: piv.pin_state()? })
        })
    };
    Ok(names.into_iter().map(|reader| PluggedIn { card: state(&reader), reader }).collect())
}

/// The state of the card that a signature would be asked of: the first enrolled one in file order.
pub(crate) fn first_of(registry: &Registry, found: &[PluggedIn]) -> Option<CardState> {
    let states: Vec<_> = found.iter().filter_map(|found| found.card.as_ref().ok()).collect();
    registry
        .cards
        .iter()
        .find_map(|card| states.iter().find(|state| state.serial == Some(card.serial)).copied().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

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
