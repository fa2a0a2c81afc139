//! The one road to a key that is made: noted, made, read back, and described in its slot.
//!
//! The slot is looked at again in the transaction in which the key is made. The survey was taken before a person was
//! asked, and another program may have filled the slot since then.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::survey::SurveyedCard;
use super::vacancy::Vacancy;
use crate::enrollment::{Edit, Noted, Pending, Purpose};
use crate::error::Error;
use crate::piv::attestation::Attestation;
use crate::piv::certificate::{CertificateError, Description, SlotCertificate};
use crate::piv::{self, Curve, KeyInSlot, ManagementKey, Origin, PinPolicy, Piv, Serial, Slot, TouchPolicy};

/// The most bytes in a data object (SP 800-73-4 part 1, table 7 allows more; YubiKeys take this).
const LARGEST_OBJECT: usize = 3049;
/// Tags and lengths around a certificate in its object.
const OBJECT_OVERHEAD: usize = 13;

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
        self.can_be_described()?;
        let pending = Pending { serial, slot, purpose: self.purpose.clone() };
        let mut edit = Edit::begin(cargo_home)?;
        if matches!(self.start, Start::Vacant(_)) {
            // Another run may have begun or made it since this one looked, in this slot or in another one.
            let known = edit.enrollments();
            let begun = known.begun(serial, &self.purpose);
            let is_ours = self.start == Start::Vacant(Vacancy::Begun) && begun == Some(slot);
            if let Some(slot) = known.enrolled(serial, &self.purpose).or(begun.filter(|_| !is_ours)) {
                return Err(Error::AnotherRun { serial, slot });
            }
        }
        if edit.add_pending(&pending)? == Noted::Taken {
            return Err(Error::SlotTaken { serial, slot });
        }
        drop(edit);
        let (management, key) = (Arc::clone(management), card.management());
        let made = card.change(move |piv| {
            key.authenticate(piv, &management)?;
            self.on_card(piv, serial)
        });
        if let Err(Error::SlotTaken { .. }) = &made {
            // Nothing of ours is in the slot, so the note has to go: the next run takes another slot.
            Edit::begin(cargo_home)?.remove_pending(&pending)?;
        }
        made
    }

    /// What does not fit into a certificate, or not onto the card, is better known before the key is made.
    fn can_be_described(&self) -> Result<(), Error> {
        let certificate = self.certificate(&self.curve.generator(), self.pin, self.touch)?;
        let bytes = certificate.len() + OBJECT_OVERHEAD;
        if bytes > LARGEST_OBJECT {
            return Err(CertificateError::TooLong { bytes }.into());
        }
        Ok(())
    }

    fn certificate(
        &self,
        point: &[u8; POINT],
        pin: PinPolicy,
        touch: TouchPolicy,
    ) -> Result<Vec<u8>, CertificateError> {
        let description = Description { purpose: (&self.purpose).into(), label: self.label.clone() };
        description.certificate(self.curve, point, pin, touch, SystemTime::now())
    }

    fn on_card(&self, piv: &mut Piv<'_>, serial: Serial) -> Result<KeyInSlot<POINT>, Error> {
        let slot = self.slot;
        let point = match self.content(piv)? {
            Content::Key(point) => point,
            Content::Free => self.generate(piv)?,
            Content::Ours => return Err(Error::AnotherRun { serial, slot }),
            Content::Taken => return Err(Error::SlotTaken { serial, slot }),
        };
        let key = self.read_back(piv, serial, point)?;
        let KeyInSlot { pin, touch, .. } = key;
        if strictness(pin) < strictness(self.pin) || vigilance(touch) < vigilance(self.touch) {
            return Err(Error::WeakerKey { serial, slot, pin, touch });
        }
        piv.put_certificate(slot, &self.certificate(&point, pin, touch)?)?;
        Ok(key)
    }

    /// What the card does counts, not what it was asked for: its metadata and its attestation have to agree with that, as far as
    /// it has them.
    fn read_back(
        &self,
        piv: &mut Piv<'_>,
        serial: Serial,
        point: [u8; POINT],
    ) -> Result<KeyInSlot<POINT>, Error> {
        let slot = self.slot;
        let not_as_made = |what| Error::NotAsMade { serial, slot, what };
        let key = piv.key(self.curve, slot, None)?.ok_or_else(|| not_as_made("shows no such key there"))?;
        if key.point != point {
            return Err(piv::Error::Malformed { what: "public key" }.into());
        }
        if matches!(self.start, Start::Adopted(_)) {
            return Ok(key);
        }
        if key.origin != Origin::Generated {
            return Err(not_as_made("says that it was imported"));
        }
        match piv.attest(slot) {
            Ok(der) => {
                let attested = Attestation::read(&der)?;
                if attested.point(self.curve) != Some(point) {
                    return Err(not_as_made("attests another key"));
                }
                if (attested.pin, attested.touch) != (key.pin, key.touch) {
                    return Err(not_as_made("attests other policies than it says it has"));
                }
            }
            // There is nothing in slot F9 to attest with.
            Err(
                piv::Error::NotAttestable { .. }
                | piv::Error::Unsupported { .. }
                | piv::Error::Refused { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(key)
    }

    fn content(&self, piv: &mut Piv<'_>) -> Result<Content<POINT>, Error> {
        match self.start {
            Start::Vacant(Vacancy::Begun) => self.begun_earlier(piv),
            Start::Vacant(vacancy) if vacancy.is_still(piv, self.slot)? => Ok(Content::Free),
            Start::Vacant(_) => Ok(if self.is_described(piv)? { Content::Ours } else { Content::Taken }),
            Start::Adopted(point) => self.adopted(piv, point),
        }
    }

    /// Whether the certificate in the slot says what ours would.
    fn is_described(&self, piv: &mut Piv<'_>) -> Result<bool, Error> {
        let certificate = piv.certificate(self.slot)?;
        Ok(certificate.is_some_and(|object| {
            matches!(object.read(), SlotCertificate::Ours(ours) if ours.purpose == (&self.purpose).into())
        }))
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

    /// Whether the key that the person was shown is still there, without a certificate.
    fn adopted(&self, piv: &mut Piv<'_>, point: [u8; POINT]) -> Result<Content<POINT>, Error> {
        if piv.certificate(self.slot)?.is_some() {
            return Ok(Content::Taken);
        }
        let is_there = piv.key(self.curve, self.slot, None)?.is_some_and(|key| key.point == point);
        Ok(if is_there { Content::Key(point) } else { Content::Taken })
    }

    /// Makes the key. FIPS cards refuse the PIN policy "never"; there the key asks for the PIN once.
    fn generate(&self, piv: &mut Piv<'_>) -> Result<[u8; POINT], Error> {
        match piv.generate(self.curve, self.slot, self.pin, self.touch) {
            Err(piv::Error::Refused { .. }) if self.pin == PinPolicy::Never => {
                Ok(piv.generate(self.curve, self.slot, PinPolicy::Once, self.touch)?)
            }
            result => Ok(result?),
        }
    }
}

/// What the slot holds now.
enum Content<const POINT: usize> {
    /// Nothing: a key may be generated.
    Free,
    /// The key to use.
    Key([u8; POINT]),
    /// The key for this very purpose, which another run has just made.
    Ours,
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
    use p384::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;
    use crate::enrollment::Role;
    use crate::piv::P384;
    use crate::piv::attestation::tests::statement_about;
    use crate::piv::script::Script;

    fn secret(secret: u8) -> p384::SecretKey {
        p384::SecretKey::from_slice(&[secret; 48]).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn point(seed: u8) -> String {
        hex(secret(seed).public_key().to_sec1_point(false).as_bytes())
    }

    /// What becomes of a card that is asked for one key, and says this of what is in the slot.
    fn made(generated: u8, metadata: &str, attestation: &str) -> Result<KeyInSlot<97>, Error> {
        let mut card = Script::answers(&[
            "61114F0600000001000079074F05A000000308 9000",
            "6A82",
            "050704 9000",
            "6A88",
            &format!("7F4963 8661{} 9000", point(generated)),
            metadata,
            attestation,
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
            pin: PinPolicy::Once,
            touch: TouchPolicy::Cached,
        };
        key.on_card(&mut Piv::select(&mut card).unwrap(), Serial(1))
    }

    fn metadata(origin: u8, seed: u8) -> String {
        format!("010114 02020203 0301{origin:02X} 0463 8661{} 9000", point(seed))
    }

    fn statement(seed: u8) -> String {
        hex(&statement_about(&secret(seed).public_key())) + "9000"
    }

    #[test]
    fn the_key_that_is_shown_is_the_one_that_was_made() {
        assert!(made(7, &metadata(1, 7), &statement(7)).is_ok());
        let lie = made(7, &metadata(1, 8), &statement(7));
        assert!(matches!(lie, Err(Error::Piv(piv::Error::Malformed { what: "public key" }))), "{lie:?}");
    }

    #[test]
    fn everything_that_was_promised_is_read_back() {
        for (metadata, attestation, what) in [
            (metadata(2, 7), statement(7), "says that it was imported"),
            ("6A88".into(), statement(7), "shows no such key there"),
            ("010111 02020203 030101 0400 9000".into(), statement(7), "shows no such key there"),
            (metadata(1, 7), statement(8), "attests another key"),
        ] {
            let lie = made(7, &metadata, &attestation);
            assert!(matches!(lie, Err(Error::NotAsMade { what: said, .. }) if said == what), "{lie:?}");
        }
        for nothing_to_attest_with in ["6A80", "6D00", "6A88"] {
            assert!(made(7, &metadata(1, 7), nothing_to_attest_with).is_ok());
        }
    }
}
