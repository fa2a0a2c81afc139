//! Making one key in one slot, in one transaction with the management key. What is in the slot is looked at in that very
//! transaction: the survey was taken before a person was asked, and other programs have hands too.

use std::time::SystemTime;

use asymmetric_token::PublicKey;

use crate::commands::enroll::plan::{PlannedKey, Start};
use crate::enrollment::Key;
use crate::error::Error;
use crate::piv::certificate::{Description, SlotCertificate};
use crate::piv::{self, Occupancy, Origin, P384, P384Point, PinPolicy, Piv, Serial, TouchPolicy};

/// Makes a key, or takes the one that is rightly there, and writes its certificate.
pub(super) fn on_card(
    piv: &mut Piv<'_>,
    serial: Serial,
    planned: &PlannedKey,
    description: &Description,
) -> Result<Key, Error> {
    let slot = planned.slot;
    let point = match content(piv, planned, description)? {
        Content::Key(point) => point,
        Content::Free => generate(piv, planned)?,
        Content::Taken => return Err(Error::SlotTaken { serial, slot }),
    };
    // Read back: what the card does counts, not what it was asked for.
    let key = piv.key(&P384, slot, None)?;
    if key.as_ref().is_some_and(|key| key.point != point) {
        return Err(piv::Error::Malformed { what: "public key" }.into());
    }
    let (pin, touch) = key.map_or((planned.pin, planned.touch), |key| (key.pin, key.touch));
    if strictness(pin) < strictness(planned.pin) || vigilance(touch) < vigilance(planned.touch) {
        return Err(Error::WeakerKey { serial, slot, pin, touch });
    }
    let certificate = description.certificate(&P384, &point, pin, touch, SystemTime::now())?;
    piv.put_certificate(slot, &certificate)?;
    let public = PublicKey::from_uncompressed(&point)?;
    Ok(Key { role: planned.role, slot, public, pin, touch })
}

/// What the slot holds now, in view of what it was planned to hold.
enum Content {
    /// Nothing of value: a key may be generated.
    Free,
    /// The key to use.
    Key(P384Point),
    /// Something that is not ours to touch.
    Taken,
}

fn content(piv: &mut Piv<'_>, planned: &PlannedKey, description: &Description) -> Result<Content, Error> {
    match planned.start {
        Start::Free(vacancy) => {
            Ok(if vacancy.is_still(piv, planned.slot)? { Content::Free } else { Content::Taken })
        }
        Start::Begun => begun_earlier(piv, planned, description),
        Start::Adopted(public) => adopted(piv, planned, public),
    }
}

/// What an interrupted run of ours left: nothing, a key, or a key with its certificate.
fn begun_earlier(
    piv: &mut Piv<'_>,
    planned: &PlannedKey,
    description: &Description,
) -> Result<Content, Error> {
    let certificate = piv.certificate(planned.slot)?;
    let described = certificate.as_ref().and_then(|object| object.point(&P384));
    match certificate.as_ref().map(|object| object.read()) {
        None => {}
        Some(SlotCertificate::Ours(ours)) if ours.purpose == description.purpose => {}
        Some(_) => return Ok(Content::Taken),
    }
    Ok(match piv.key(&P384, planned.slot, certificate.as_ref())? {
        Some(key) if key.origin == Origin::Generated && described.is_none_or(|point| point == key.point) => {
            Content::Key(key.point)
        }
        None if piv.occupancy(planned.slot)? != Occupancy::Used => Content::Free,
        _ => Content::Taken,
    })
}

/// The very key that was shown.
fn adopted(piv: &mut Piv<'_>, planned: &PlannedKey, public: PublicKey) -> Result<Content, Error> {
    if piv.certificate(planned.slot)?.is_some() {
        return Ok(Content::Taken);
    }
    let point = piv.key(&P384, planned.slot, None)?.map(|key| key.point);
    let same = |point: &P384Point| PublicKey::from_uncompressed(point).is_ok_and(|found| found == public);
    Ok(point.filter(same).map_or(Content::Taken, Content::Key))
}

/// FIPS cards refuse the PIN policy "never"; there the read key asks once.
fn generate(piv: &mut Piv<'_>, planned: &PlannedKey) -> Result<P384Point, Error> {
    match piv.generate(&P384, planned.slot, planned.pin, planned.touch) {
        Err(piv::Error::Refused { .. }) if planned.pin == PinPolicy::Never => {
            Ok(piv.generate(&P384, planned.slot, PinPolicy::Once, planned.touch)?)
        }
        result => Ok(result?),
    }
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
    use crate::commands::enroll::survey::Vacancy;
    use crate::enrollment::Role;
    use crate::piv::certificate::KeyPurpose;
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
            let slot = "82".parse().unwrap();
            let (pin, touch) = (PinPolicy::Never, TouchPolicy::Never);
            let planned =
                PlannedKey { role: Role::Read, slot, pin, touch, start: Start::Free(Vacancy::Empty) };
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
            let description = Description {
                purpose: KeyPurpose::Signing { role: Role::Read, index: "x:".into() },
                label: "x".into(),
            };
            on_card(&mut Piv::select(&mut card).unwrap(), Serial(1), &planned, &description)
        };
        assert!(made(7, 7).is_ok());
        let lie = made(7, 8);
        assert!(matches!(lie, Err(Error::Piv(piv::Error::Malformed { what: "public key" }))), "{lie:?}");
    }
}
