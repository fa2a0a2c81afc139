//! The one road to a key that is made: noted, made, read back, and described in its slot.
//!
//! What is in the slot is looked at in the very transaction in which the key is made: the survey was taken before a person
//! was asked, and other programs have hands too.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::survey::SurveyedCard;
use super::vacancy::Vacancy;
use crate::enrollment::{Edit, Pending, Purpose};
use crate::error::Error;
use crate::piv::certificate::{Description, SlotCertificate};
use crate::piv::{self, Curve, KeyInSlot, ManagementKey, Origin, PinPolicy, Piv, Serial, Slot, TouchPolicy};

/// A key that is to be made, or taken up, in one slot.
pub(crate) struct NewKey<const POINT: usize> {
    pub(crate) curve: &'static Curve<POINT>,
    pub(crate) purpose: Purpose,
    /// The person's name for it.
    pub(crate) label: String,
    pub(crate) slot: Slot,
    pub(crate) start: Start<POINT>,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
}

/// What is believed to be in the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<const POINT: usize> {
    /// Nothing that has to stay.
    Vacant(Vacancy),
    /// This key, which the person wants to use.
    Adopted([u8; POINT]),
}

impl<const POINT: usize> NewKey<POINT> {
    /// Notes the key, makes it, and writes its certificate. The note stands until the key is enrolled, so that a rerun
    /// finishes what an interruption left.
    ///
    /// # Errors
    /// [`Error::SlotTaken`] if something came into the slot in the meantime, [`Error::WeakerKey`], and those of the card.
    pub(crate) fn make(
        self,
        card: &SurveyedCard<'_>,
        management: &Arc<ManagementKey>,
        cargo_home: &Path,
    ) -> Result<KeyInSlot<POINT>, Error> {
        let (serial, slot) = (card.serial, self.slot);
        let pending = Pending { serial, slot, purpose: self.purpose.clone() };
        if !Edit::begin(cargo_home)?.add_pending(&pending)? {
            return Err(Error::SlotTaken { serial, slot });
        }
        let management = Arc::clone(management);
        let made = card.change(move |piv| {
            piv.authenticate_management(&management)?;
            self.on_card(piv, serial)
        });
        if let Err(Error::SlotTaken { .. }) = &made {
            // Nothing of ours is there, so the note must not stand: a rerun goes elsewhere.
            Edit::begin(cargo_home)?.remove_pending(&pending)?;
        }
        made
    }

    fn on_card(&self, piv: &mut Piv<'_>, serial: Serial) -> Result<KeyInSlot<POINT>, Error> {
        let slot = self.slot;
        let point = match self.content(piv)? {
            Content::Key(point) => point,
            Content::Free => self.generate(piv)?,
            Content::Taken => return Err(Error::SlotTaken { serial, slot }),
        };
        // Read back: what the card does counts, not what it was asked for.
        let asked_for = KeyInSlot { point, pin: self.pin, touch: self.touch, origin: Origin::Generated };
        let key = piv.key(self.curve, slot, None)?.unwrap_or(asked_for);
        if key.point != point {
            return Err(piv::Error::Malformed { what: "public key" }.into());
        }
        let KeyInSlot { pin, touch, .. } = key;
        if strictness(pin) < strictness(self.pin) || vigilance(touch) < vigilance(self.touch) {
            return Err(Error::WeakerKey { serial, slot, pin, touch });
        }
        let description = Description { purpose: (&self.purpose).into(), label: self.label.clone() };
        let certificate = description.certificate(self.curve, &point, pin, touch, SystemTime::now())?;
        piv.put_certificate(slot, &certificate)?;
        Ok(key)
    }

    fn content(&self, piv: &mut Piv<'_>) -> Result<Content<POINT>, Error> {
        match self.start {
            Start::Vacant(Vacancy::Begun) => self.begun_earlier(piv),
            Start::Vacant(vacancy) if vacancy.is_still(piv, self.slot)? => Ok(Content::Free),
            Start::Vacant(_) => Ok(Content::Taken),
            Start::Adopted(point) => self.adopted(piv, point),
        }
    }

    /// What an interrupted run of ours left: nothing, a key, or a key with its certificate.
    fn begun_earlier(&self, piv: &mut Piv<'_>) -> Result<Content<POINT>, Error> {
        let certificate = piv.certificate(self.slot)?;
        let described = certificate.as_ref().and_then(|object| object.point(self.curve));
        match certificate.as_ref().map(|object| object.read()) {
            None => {}
            Some(SlotCertificate::Ours(ours)) if ours.purpose == (&self.purpose).into() => {}
            Some(_) => return Ok(Content::Taken),
        }
        Ok(match piv.key(self.curve, self.slot, certificate.as_ref())? {
            Some(key)
                if key.origin == Origin::Generated && described.is_none_or(|point| point == key.point) =>
            {
                Content::Key(key.point)
            }
            None if Vacancy::Begun.is_still(piv, self.slot)? => Content::Free,
            _ => Content::Taken,
        })
    }

    /// The very key that was shown.
    fn adopted(&self, piv: &mut Piv<'_>, point: [u8; POINT]) -> Result<Content<POINT>, Error> {
        if piv.certificate(self.slot)?.is_some() {
            return Ok(Content::Taken);
        }
        let is_there = piv.key(self.curve, self.slot, None)?.is_some_and(|key| key.point == point);
        Ok(if is_there { Content::Key(point) } else { Content::Taken })
    }

    /// FIPS cards refuse the PIN policy "never"; there the read key asks once.
    fn generate(&self, piv: &mut Piv<'_>) -> Result<[u8; POINT], Error> {
        match piv.generate(self.curve, self.slot, self.pin, self.touch) {
            Err(piv::Error::Refused { .. }) if self.pin == PinPolicy::Never => {
                Ok(piv.generate(self.curve, self.slot, PinPolicy::Once, self.touch)?)
            }
            result => Ok(result?),
        }
    }
}

/// What the slot holds now, in view of what it was planned to hold.
enum Content<const POINT: usize> {
    /// Nothing of value: a key may be generated.
    Free,
    /// The key to use.
    Key([u8; POINT]),
    /// Something that is not ours to touch.
    Taken,
}

/// How much a PIN policy asks for.
fn strictness(policy: PinPolicy) -> u8 {
    match policy {
        PinPolicy::Never => 0,
        PinPolicy::Once | PinPolicy::MatchOnce => 1,
        PinPolicy::Always | PinPolicy::MatchAlways => 2,
    }
}

/// How much a touch policy asks for.
fn vigilance(policy: TouchPolicy) -> u8 {
    match policy {
        TouchPolicy::Never => 0,
        TouchPolicy::Cached => 1,
        TouchPolicy::Always => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::Role;
    use crate::piv::P384;
    use crate::piv::script::Script;

    fn point(secret: u8) -> String {
        let key = p384::ecdsa::SigningKey::from_slice(&[secret; 48]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        point.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// What becomes of a card that says it has generated one key, and then shows another one in the slot.
    #[test]
    fn the_key_that_is_shown_is_the_one_that_was_made() {
        let made = |generated: u8, shown: u8| {
            let mut card = Script::answers(&[
                "61114F0600000001000079074F05A000000308 9000",
                "6A82",
                "050704 9000",
                "6A88",
                &format!("7F4963 8661{} 9000", point(generated)),
                &format!("010114 02020101 030101 0463 8661{} 9000", point(shown)),
                "9000",
                "9000",
                "9000",
            ]);
            let key = NewKey {
                curve: &P384,
                purpose: Purpose::Signing { role: Role::Read, index: "x:".parse().unwrap() },
                label: "x".into(),
                slot: "82".parse().unwrap(),
                start: Start::Vacant(Vacancy::Empty),
                pin: PinPolicy::Never,
                touch: TouchPolicy::Never,
            };
            key.on_card(&mut Piv::select(&mut card).unwrap(), Serial(1))
        };
        assert!(made(7, 7).is_ok());
        let lie = made(7, 8);
        assert!(matches!(lie, Err(Error::Piv(piv::Error::Malformed { what: "public key" }))), "{lie:?}");
    }
}
