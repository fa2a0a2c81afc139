//! What the plugged-in cards say of themselves, without a PIN and at no cost.

use crate::enrollment::Registry;
use crate::error::Error;
use crate::piv::{PinState, Piv, Serial, Version};
use crate::reader::{AfterReset, ReaderName, Readers, Terms};

/// A reader, and the card in it if that could be read.
pub(super) struct PluggedIn {
    pub(super) reader: ReaderName,
    pub(super) card: Result<CardState, Error>,
}

/// A card that answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct CardState {
    pub(super) serial: Serial,
    pub(super) firmware: Version,
    pub(super) pin: PinState,
}

/// All YubiKeys that are plugged in. One that cannot be read does not hide the others.
///
/// # Errors
/// [`Error::Reader`] if there is no smart card service to ask.
pub(super) fn plugged_in(readers: &Readers) -> Result<Vec<PluggedIn>, Error> {
    let state = |piv: &mut Piv<'_>| {
        Ok(CardState { serial: piv.serial()?, firmware: piv.version()?, pin: piv.pin_state()? })
    };
    let names = readers.yubikeys()?;
    Ok(names.into_iter().map(|reader| PluggedIn { card: look(readers, &reader, state), reader }).collect())
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
        .find_map(|card| states.iter().find(|state| state.serial == card.serial).copied().copied())
}
