//! What tells one card from another.

use crate::error::Error;
use crate::piv::{self, Piv, SERIAL_SINCE, Serial, Version};

/// A card that was looked at before.
#[derive(Clone, Copy, Debug)]
pub(super) struct CardId {
    pub(super) serial: Serial,
    pub(super) firmware: Version,
}

impl CardId {
    /// The card may have been exchanged while a person was thinking. One that does not tell its number is known by its
    /// firmware at least.
    ///
    /// # Errors
    /// [`Error::NotTheChosenCard`].
    pub(super) fn is_still_there(self, piv: &mut Piv<'_>) -> Result<(), Error> {
        let same = match told_serial(piv)? {
            Some(found) => found == self.serial,
            None => self.firmware < SERIAL_SINCE && piv.version()? == self.firmware,
        };
        if same { Ok(()) } else { Err(exchanged(self.serial)) }
    }
}

/// Another card is where this one was.
pub(super) fn exchanged(serial: Serial) -> Error {
    Error::NotTheChosenCard { found: Vec::new(), wanted: serial }
}

/// The number that the card tells; `None` if its firmware cannot.
pub(super) fn told_serial(piv: &mut Piv<'_>) -> Result<Option<Serial>, piv::Error> {
    match piv.serial() {
        Ok(serial) => Ok(Some(serial)),
        Err(piv::Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piv::script::Script;

    #[test]
    fn a_card_without_a_number_is_known_by_its_firmware() {
        let select = ("00A4040009A0000003080000100000", "61114F0600000001000079074F05A000000308 9000");
        let still = |firmware, answers: &[(&str, &str)]| {
            let mut card = Script::new(&[&[select], answers].concat());
            let result =
                CardId { serial: Serial(1), firmware }.is_still_there(&mut Piv::select(&mut card).unwrap());
            card.assert_finished();
            result
        };
        let (none, old) = (("00F8000000", "6D00"), Version::new(4, 3, 7));
        assert!(still(old, &[none, ("00FD000000", "040307 9000")]).is_ok());
        let other = still(old, &[none, ("00FD000000", "040305 9000")]);
        assert!(matches!(other, Err(Error::NotTheChosenCard { .. })));
        let numbered = still(Version::new(5, 4, 3), &[none]);
        assert!(matches!(numbered, Err(Error::NotTheChosenCard { .. })));
    }
}
