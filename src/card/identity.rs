//! What tells one card from another.

use crate::error::Error;
use crate::piv::{self, Piv, Serial, Status, Version};

/// A card that was looked at before.
#[derive(Clone, Copy, Debug)]
pub(super) struct CardId {
    pub(super) serial: Serial,
    pub(super) firmware: Version,
    /// Whether the card told its number then. One that does not now is another one.
    pub(super) tells: bool,
}

impl CardId {
    /// Makes sure that this card was not exchanged while a person was thinking. A card that does not tell its number is
    /// at least known by its firmware.
    ///
    /// # Errors
    /// [`Error::NotTheChosenCard`].
    pub(super) fn is_still_there(self, piv: &mut Piv<'_>) -> Result<(), Error> {
        let same = match told_serial(piv)? {
            Some(found) => found == self.serial,
            None => !self.tells && piv.version()? == self.firmware,
        };
        if same { Ok(()) } else { Err(exchanged(self.serial)) }
    }
}

/// The error for a reader in which another card is now.
pub(super) fn exchanged(serial: Serial) -> Error {
    Error::NotTheChosenCard { found: Vec::new(), wanted: serial }
}

/// The number that the card tells; `None` if its firmware cannot, or where it is hidden: an OTP slot that was programmed
/// without SERIAL_API_VISIBLE hides it from all applications.
pub(super) fn told_serial(piv: &mut Piv<'_>) -> Result<Option<Serial>, piv::Error> {
    match piv.serial() {
        Ok(serial) => Ok(Some(serial)),
        Err(
            piv::Error::Unsupported { .. }
            | piv::Error::Refused { status: Status::ConditionsNotSatisfied, .. },
        ) => Ok(None),
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
        let still = |tells, firmware, answers: &[(&str, &str)]| {
            let mut card = Script::new(&[&[select], answers].concat());
            let id = CardId { serial: Serial(1), firmware, tells };
            let result = id.is_still_there(&mut Piv::select(&mut card).unwrap());
            card.assert_finished();
            result
        };
        let old = Version::new(4, 3, 7);
        for none in [("00F8000000", "6D00"), ("00F8000000", "6985")] {
            assert!(still(false, old, &[none, ("00FD000000", "040307 9000")]).is_ok());
            let other = still(false, old, &[none, ("00FD000000", "040305 9000")]);
            assert!(matches!(other, Err(Error::NotTheChosenCard { .. })));
            let numbered = still(true, Version::new(5, 4, 3), &[none]);
            assert!(matches!(numbered, Err(Error::NotTheChosenCard { .. })));
        }
        assert!(still(false, old, &[("00F8000000", "00000001 9000")]).is_ok());
    }
}
