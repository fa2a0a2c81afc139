//! Finding one of some known cards among those that are plugged in.

use super::access::Access;
use super::known::{Identity, KnownCards};
use crate::error::Error;
use crate::piv::Serial;
use crate::reader::ReaderName;

/// The reader with the card that comes first in order. A single reader is taken unseen: the transaction itself identifies
/// the card.
///
/// # Errors
/// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
pub(super) fn reader(access: Access<'_>, cards: &KnownCards) -> Result<ReaderName, Error> {
    let Access { readers, ui, .. } = access;
    let mut names = readers.yubikeys()?;
    if names.is_empty() && ui.is_interactive() {
        let text = format!("plug in {}", cards.for_display());
        let _countdown = ui.aloud().count_down(text, readers.deadlines().insertion);
        names = readers.wait_for_insertion(&[])?;
    }
    if names.len() > 1 {
        return first_in_order(access, names, cards);
    }
    names.pop().ok_or_else(|| Error::NoCard { wanted: cards.for_display() })
}

/// The card that would be used.
///
/// # Errors
/// As [`reader`].
pub(crate) fn card(access: Access<'_>, cards: &KnownCards) -> Result<Serial, Error> {
    match identity(access, &reader(access, cards)?, cards)? {
        Identity::Known(serial) => Ok(serial),
        Identity::Other(found) => Err(cards.wrong_card(&Vec::from_iter(found))),
    }
}

fn first_in_order(
    access: Access<'_>,
    readers: Vec<ReaderName>,
    cards: &KnownCards,
) -> Result<ReaderName, Error> {
    let mut known = Vec::new();
    let mut others = Vec::new();
    let mut failure = None;
    for reader in readers {
        match identity(access, &reader, cards) {
            Ok(Identity::Known(serial)) => known.push((serial, reader)),
            Ok(Identity::Other(found)) => others.extend(found),
            Err(error) => failure = Some(error),
        }
    }
    match (known.into_iter().min_by_key(|(serial, _)| cards.position(*serial)), failure) {
        (Some((_, reader)), _) => Ok(reader),
        (None, Some(error)) => Err(error),
        (None, None) => Err(cards.wrong_card(&others)),
    }
}

fn identity(access: Access<'_>, reader: &ReaderName, cards: &KnownCards) -> Result<Identity, Error> {
    let cards = cards.clone();
    access.readers.look(reader, move |piv| Ok(cards.identify(piv)?))
}
