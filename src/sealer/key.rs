//! Making the key that tokens are sealed to: P-256 in a retired slot, from 95 downward, PIN once, touch cached.
//!
//! A card has one such key, for all registries. If this program has made one on the card before, that one is used.

use super::Sealer;
use crate::card::choose;
use crate::card::enrolled_keys;
use crate::card::found_keys::found_keys;
use crate::card::key_making::{NewKey, Start};
use crate::card::known::KnownCards;
use crate::card::label;
use crate::card::plugged_in;
use crate::card::survey::SurveyedCard;
use crate::card::vacancy::Vacancy;
use crate::enrollment::{Edit, Enrollments, Purpose, SealingKey};
use crate::error::Error;
use crate::piv::certificate::KeyPurpose;
use crate::piv::{self, KeyInSlot, Origin, P256, PinPolicy, Serial, Slot, TouchPolicy};
use crate::sealed::Recipient;

/// One PIN and one touch do for the crates of a workspace: the card remembers a touch for 15 seconds.
const PIN: PinPolicy = PinPolicy::Once;
const TOUCH: TouchPolicy = TouchPolicy::Cached;

impl Sealer<'_> {
    /// Takes the key that this card has, or makes one, and notes it.
    ///
    /// # Errors
    /// Whatever stopped it; a rerun goes on from there.
    pub(crate) fn key_on(&self, serial: Option<Serial>) -> Result<(), Error> {
        let enrollments = self.enrollments()?;
        let card = choose::card(self.access(), &KnownCards::all(&enrollments), serial, None, &[])?;
        if enrollments.begun(card.serial, &Purpose::Sealing).is_none()
            && let Some((slot, key)) = made_earlier(&card)?
        {
            self.ui.say(format_args!(
                "using the key for sealed tokens in slot {slot} of YubiKey {}",
                card.serial
            ));
            return self.note(&card, slot, &key);
        }
        let candidates = Slot::retired().rev();
        let (slot, vacancy) = card
            .place(&Purpose::Sealing, self.making.slot, candidates, &enrollments)?
            .ok_or(Error::NoEmptySlot { serial: card.serial, wanted: 1 })?;
        card.is_fit(self.making.allow_default_pin)?;
        self.agree(&card, slot, vacancy)?;
        let management = card.management_key(self.making.management_key_command)?;
        let new = NewKey {
            curve: &P256,
            purpose: Purpose::Sealing,
            label: self.label(),
            slot,
            start: Start::Vacant(vacancy),
            pin: PIN,
            touch: TOUCH,
        };
        let key = new.make(&card, &management, self.context.cargo.home())?;
        self.note(&card, slot, &key)?;
        self.ui.say(format_args!("made the key for sealed tokens in slot {slot} of YubiKey {}", card.serial));
        Ok(())
    }

    /// Drops the key that the named card no longer has, as after a PIV reset, so that it can get another. Whether there was one.
    ///
    /// # Errors
    /// [`Error::SealingKeyGone`] if another card has lost its key: tokens would be sealed to that in vain.
    pub(crate) fn drop_gone_key(&self, enrollments: &Enrollments) -> Result<bool, Error> {
        let Some(gone) = self.gone_key(enrollments) else { return Ok(false) };
        if Some(gone.serial) != self.making.serial {
            return Err(Error::SealingKeyGone { serial: gone.serial, slot: gone.slot });
        }
        Edit::begin(self.context.cargo.home())?.remove_sealing_key(&gone)?;
        Ok(true)
    }

    /// Of cards that are away or cannot be read, nothing is known.
    fn gone_key(&self, enrollments: &Enrollments) -> Option<SealingKey> {
        if enrollments.sealing_keys.is_empty() {
            return None;
        }
        let found = plugged_in::cards(self.readers, enrollments).unwrap_or_default();
        found.into_iter().find_map(|found| {
            let serial = found.card.ok()?.serial?;
            let key = enrollments.sealing_keys.iter().find(|key| key.serial == serial)?;
            let sought = key.clone();
            let opens = self.readers.look(&found.reader, move |piv| enrolled_keys::opens(piv, &sought));
            (!opens.ok()?).then(|| key.clone())
        })
    }

    /// Asks whether the key may be made there. Who names a slot is not asked whether it is empty.
    fn agree(&self, card: &SurveyedCard<'_>, slot: Slot, vacancy: Vacancy) -> Result<(), Error> {
        if vacancy == Vacancy::LooksEmpty && self.making.slot.is_none() {
            card.confirm_that_empty(&[slot])?;
        }
        match card.management_touches(1) {
            0 => {}
            1 => self.ui.say("the card's management key needs a touch"),
            touches => self.ui.say(format_args!("the card's management key needs {touches} touches")),
        }
        if self.making.without_asking {
            return Ok(());
        }
        self.access().confirm(&format!(
            "Make a key for sealed tokens in slot {slot} of YubiKey {} (firmware {}; PIN {PIN}, touch {TOUCH})?",
            card.serial, card.firmware
        ))
    }

    fn note(&self, card: &SurveyedCard<'_>, slot: Slot, key: &KeyInSlot<65>) -> Result<(), Error> {
        let malformed = |_| piv::Error::Malformed { what: "P-256 point" };
        let key = SealingKey {
            serial: card.serial,
            firmware: card.firmware,
            label: self.label(),
            slot,
            recipient: Recipient::from_point(&key.point).map_err(malformed)?,
            pin: key.pin,
            touch: key.touch,
        };
        Ok(Edit::begin(self.context.cargo.home())?.add_sealing_key(&key)?)
    }

    fn label(&self) -> String {
        self.making.label.map_or_else(label::usual, ToOwned::to_owned)
    }
}

/// A key that this program made, perhaps on another computer, and that never was anywhere but on the card.
fn made_earlier(card: &SurveyedCard<'_>) -> Result<Option<(Slot, KeyInSlot<65>)>, Error> {
    let keys = found_keys(card, &P256, |described| {
        described.is_some_and(|described| described.purpose == KeyPurpose::Sealing)
    })?;
    let last = keys.into_iter().rfind(|found| found.key.origin == Origin::Generated);
    Ok(last.map(|found| (found.slot, found.key)))
}
