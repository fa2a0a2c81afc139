//! Choosing among the cards that are plugged in.

use super::known::{Identity, KnownCards};
use crate::error::Error;
use crate::piv::Serial;
use crate::reader::{AfterReset, ReaderName, Readers, Terms};
use crate::ui::Ui;

/// Finds one of some cards among those that are plugged in.
#[derive(Clone, Copy)]
pub(crate) struct Finder<'a> {
    pub(crate) readers: &'a Readers,
    pub(crate) ui: Ui,
}

impl Finder<'_> {
    /// The reader with the card that comes first in order. A single reader is taken unseen: the transaction itself
    /// identifies the card.
    ///
    /// # Errors
    /// [`Error::NoCard`], [`Error::WrongCard`], [`Error::Reader`].
    pub(crate) fn reader_with(&self, cards: &KnownCards) -> Result<ReaderName, Error> {
        let mut readers = self.readers.yubikeys()?;
        if readers.is_empty() && self.ui.is_interactive() {
            readers = self.wait_for_insertion(cards)?;
        }
        if readers.len() > 1 {
            return self.first_in_order(readers, cards);
        }
        readers.pop().ok_or_else(|| Error::NoCard { wanted: cards.for_display() })
    }

    /// The card that would be used.
    ///
    /// # Errors
    /// As [`reader_with`](Self::reader_with).
    pub(crate) fn card(&self, cards: &KnownCards) -> Result<Serial, Error> {
        match self.identity_of(&self.reader_with(cards)?, cards)? {
            Identity::Known(serial) => Ok(serial),
            Identity::Other(found) => Err(cards.wrong_card(&Vec::from_iter(found))),
        }
    }

    /// For work that changes nothing on the card: it may be done again after somebody's reset.
    pub(crate) fn terms(&self) -> Terms {
        Terms { limit: self.readers.deadlines().touch, after_reset: AfterReset::Repeat }
    }

    fn wait_for_insertion(&self, cards: &KnownCards) -> Result<Vec<ReaderName>, Error> {
        let text = format!("plug in {}", cards.for_display());
        let _countdown = self.ui.count_down(text, self.readers.deadlines().insertion);
        Ok(self.readers.wait_for_insertion(&[])?)
    }

    fn identity_of(&self, reader: &ReaderName, cards: &KnownCards) -> Result<Identity, Error> {
        let cards = cards.clone();
        self.readers.with_card(reader, self.terms(), move |piv| Ok(cards.identify(piv)?))
    }

    fn first_in_order(&self, readers: Vec<ReaderName>, cards: &KnownCards) -> Result<ReaderName, Error> {
        let mut known = Vec::new();
        let mut others = Vec::new();
        let mut failure = None;
        for reader in readers {
            match self.identity_of(&reader, cards) {
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
}
