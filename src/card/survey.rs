//! What a card says of itself before a key is made on it, looked at in one transaction.

use super::access::Access;
use super::identity::{CardId, exchanged, told_serial};
use super::management::Management;
use crate::error::Error;
use crate::piv::{self, EUCLEAK_MENDED, METADATA_SINCE, Occupancy, Piv, Serial, Slot, TouchPolicy, Version};
use crate::reader::{AfterReset, ReaderName, Terms};

/// One card, and what is in it. Each later transaction first makes sure that it is still the same card.
pub(crate) struct SurveyedCard<'a> {
    pub(crate) access: Access<'a>,
    reader: ReaderName,
    pub(crate) serial: Serial,
    /// Whether the card tells its number.
    tells: bool,
    pub(crate) firmware: Version,
    /// Whether the card says so (firmware 5.3 and later). The PIN is never tried for that.
    has_default_pin: bool,
    /// The same of the PUK.
    has_default_puk: bool,
    pub(crate) management_key: ManagementKeyState,
    /// When the management key asks for a touch; `None` before firmware 5.3, which does not tell.
    management_touch: Option<TouchPolicy>,
    /// The retired slots, in order.
    slots: Vec<(Slot, Occupancy)>,
}

/// What the card says of its management key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManagementKeyState {
    Default,
    /// The card keeps it behind the PIN.
    PinProtected,
    Own,
    /// Firmware before 5.3 does not tell.
    Untold,
}

impl<'a> SurveyedCard<'a> {
    /// Looks at the card with this number in a reader.
    pub(super) fn survey(access: Access<'a>, reader: ReaderName, serial: Serial) -> Result<Self, Error> {
        let (tells, firmware, [has_default_pin, has_default_puk], (management_key, management_touch), slots) =
            access.readers.look(&reader, move |piv| {
                let told = told_serial(piv)?;
                if told.is_some_and(|found| found != serial) {
                    return Err(exchanged(serial));
                }
                let firmware = piv.version()?;
                let has_default_pin = match piv.pin_metadata() {
                    Ok(pin) => pin.default,
                    Err(piv::Error::Unsupported { .. }) => false,
                    Err(error) => return Err(error.into()),
                };
                // A YubiKey Bio has none, and refuses.
                let has_default_puk = piv.puk_metadata().is_ok_and(|puk| puk.default);
                let defaults = [has_default_pin, has_default_puk];
                let management_key = management_key_state(piv)?;
                let slots = Slot::retired().map(|slot| Ok((slot, piv.occupancy(slot)?)));
                let slots = slots.collect::<Result<Vec<_>, Error>>()?;
                Ok((told.is_some(), firmware, defaults, management_key, slots))
            })?;
        Ok(Self {
            access,
            reader,
            serial,
            tells,
            firmware,
            has_default_pin,
            has_default_puk,
            management_key,
            management_touch,
            slots,
        })
    }

    /// One transaction that changes nothing and needs no touch.
    ///
    /// # Errors
    /// [`Error::NotTheChosenCard`], [`Error::Reader`], and those of the work.
    pub(crate) fn look<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let id = self.id();
        self.access.readers.look(&self.reader, move |piv| id.is_still_there(piv).and_then(|()| work(piv)))
    }

    /// One transaction that may change something, and so is never repeated.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(super) fn change<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Piv<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let id = self.id();
        let touch = self.access.readers.deadlines().touch;
        // One touch for the management key; making a key takes its time too.
        let limit = if self.may_want_touch() { touch * 2 } else { touch };
        let terms = Terms { limit, after_reset: AfterReset::GiveUp };
        self.access
            .readers
            .with_card(&self.reader, terms, move |piv| id.is_still_there(piv).and_then(|()| work(piv)))
    }

    /// Refuses a card that anybody could use, and says what its keys are worth.
    ///
    /// # Errors
    /// [`Error::DefaultPin`].
    pub(crate) fn is_fit(&self, allow_default_pin: bool) -> Result<(), Error> {
        let Self { serial, firmware, .. } = *self;
        if self.has_default_pin && !allow_default_pin {
            return Err(Error::DefaultPin { serial });
        }
        if self.has_default_puk {
            self.access.ui.warn(format_args!(
                "YubiKey {serial} still has the default PUK: anyone who finds it can set a new PIN; choose one: `ykman piv access change-puk`"
            ));
        }
        if firmware < EUCLEAK_MENDED {
            self.access.ui.warn(format_args!(
                "YubiKey {serial} has firmware {firmware}: a laboratory that has the key can extract its private keys (YSA-2024-03); keep it in sight, or use firmware 5.7"
            ));
        }
        Ok(())
    }

    /// The retired slots with something in them, in order.
    pub(super) fn used_slots(&self) -> impl Iterator<Item = Slot> {
        let used = self.slots.iter().filter(|(_, occupancy)| *occupancy == Occupancy::Used);
        used.map(|(slot, _)| *slot)
    }

    /// What was in a retired slot; `None` for other slots.
    pub(super) fn occupancy(&self, slot: Slot) -> Option<Occupancy> {
        self.slots.iter().find(|(known, _)| *known == slot).map(|(_, occupancy)| *occupancy)
    }

    fn id(&self) -> CardId {
        CardId { serial: self.serial, firmware: self.firmware, tells: self.tells }
    }

    fn may_want_touch(&self) -> bool {
        self.management_touch != Some(TouchPolicy::Never)
    }

    /// How many touches the management key takes for making so many keys, as far as the card tells: one to see that it is
    /// accepted, then one for each key.
    pub(crate) fn management_touches(&self, keys: usize) -> usize {
        match self.management_touch {
            None | Some(TouchPolicy::Never) => 0,
            Some(TouchPolicy::Cached) => 1,
            Some(TouchPolicy::Always) => 1 + keys,
        }
    }

    /// What the management key opens, and what it may ask of the person.
    pub(super) fn management(&self) -> Management {
        Management {
            ui: self.access.ui,
            serial: self.serial,
            touch: self.management_touch,
            touch_notice: self.access.settings.touch_notice(),
            contactless: self.reader.is_contactless(),
        }
    }
}

fn management_key_state(piv: &mut Piv<'_>) -> Result<(ManagementKeyState, Option<TouchPolicy>), Error> {
    let touch = match piv.management_key_metadata() {
        Ok(key) if key.default => return Ok((ManagementKeyState::Default, Some(key.touch))),
        Ok(key) => Some(key.touch),
        Err(piv::Error::Unsupported { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let state = match piv.protected_management_key() {
        Ok(None) if piv.version()? < METADATA_SINCE => ManagementKeyState::Untold,
        Ok(None) => ManagementKeyState::Own,
        Ok(Some(_)) | Err(piv::Error::NotAuthenticated) => ManagementKeyState::PinProtected,
        Err(error) => return Err(error.into()),
    };
    Ok((state, touch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piv::script::Script;

    const SELECT: (&str, &str) =
        ("00A4040009A0000003080000100000", "61114F0600000001000079074F05A000000308 9000");
    const OLD: (&str, &str) = ("00FD000000", "050207 9000");

    fn state(transcript: &[(&str, &str)]) -> ManagementKeyState {
        let mut card = Script::new(&[&[SELECT], transcript].concat());
        let (state, touch) = management_key_state(&mut Piv::select(&mut card).unwrap()).unwrap();
        card.assert_finished();
        assert_eq!(touch, None);
        state
    }

    #[test]
    fn old_firmware_does_not_tell_whose_management_key_it_has() {
        let (metadata, administrative_data) = (("00F7009B00", "6D00"), "00CB3FFF055C035FFF0000");
        assert_eq!(state(&[metadata, (administrative_data, "6A82"), OLD]), ManagementKeyState::Untold);
        let protected =
            [metadata, (administrative_data, "5305 8003 810102 9000"), ("00CB3FFF055C035FC10900", "6982")];
        assert_eq!(state(&protected), ManagementKeyState::PinProtected);
    }
}
