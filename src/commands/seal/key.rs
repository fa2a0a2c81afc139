//! Making the key that tokens are sealed to: P-256 in a retired slot, from 95 downward, PIN once, touch cached.
//!
//! One for each card and all registries. A card that has one already, made by this program, keeps it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::commands::enroll::management::{self, Asking};
use crate::commands::enroll::survey::{self, CardSurvey, Vacancy, is_still};
use crate::commands::seal::Sealer;
use crate::enrollment::{Edit, Enrollments, Pending, Purpose, SealingKey};
use crate::error::Error;
use crate::piv::certificate::{Description, KeyPurpose, SlotCertificate};
use crate::piv::{
    self, KeyInSlot, Occupancy, Origin, P256, P256Point, PinPolicy, Piv, Serial, Slot, TouchPolicy,
};
use crate::reader::{AfterReset, Terms};
use crate::sealed::Recipient;
use crate::ui::AskError;

/// Asked for at once, and good for the crates of a workspace: the card remembers a touch for 15 seconds.
const PIN: PinPolicy = PinPolicy::Once;
const TOUCH: TouchPolicy = TouchPolicy::Cached;

/// What the label is where nobody chose one.
const LABEL: &str = "yk-cargo";

/// What is believed to be in the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Free(Vacancy),
    Begun,
}

/// Takes the key that the card has, or makes one, and notes it.
pub(super) fn on_a_card(sealer: &Sealer<'_>, serial: Option<Serial>) -> Result<(), Error> {
    let card = survey::choose_card(sealer.readers, serial, None, sealer.context, sealer.ui)?;
    let label = sealer.making.label.unwrap_or(LABEL).to_owned();
    let enrollments = Enrollments::load(sealer.context.cargo.home())?;
    let found = if enrollments.begun(card.serial, &Purpose::Sealing).is_some() {
        None
    } else {
        made_earlier(sealer, &card)?
    };
    if let Some((slot, key)) = found {
        sealer
            .ui
            .say(format_args!("using the key for sealed tokens in slot {slot} of YubiKey {}", card.serial));
        return note(sealer, &card, label, slot, key);
    }
    let (slot, start) = plan(sealer, &card, &enrollments)?;
    card.is_fit(sealer.making.allow_default_pin, sealer.ui)?;
    agree(sealer, &card, slot, start)?;
    let management = management::key(Asking {
        card: &card,
        command: sealer.making.management_key_command,
        readers: sealer.readers,
        settings: &sealer.context.settings,
        ui: sealer.ui,
    })?;
    let pending = Pending { serial: card.serial, slot, purpose: Purpose::Sealing };
    let home = sealer.context.cargo.home();
    if !Edit::begin(home)?.add_pending(&pending)? {
        return Err(Error::SlotTaken { serial: card.serial, slot });
    }
    let description = Description { purpose: KeyPurpose::Sealing, label: label.clone() };
    let (id, serial) = (card.id(), card.serial);
    let terms = Terms { limit: sealer.readers.deadlines().touch, after_reset: AfterReset::GiveUp };
    let management = Arc::clone(&management);
    let made = sealer.readers.with_card(&card.reader, terms, move |piv| {
        is_still(piv, id)?;
        piv.authenticate_management(&management)?;
        make(piv, serial, slot, start, &description)
    });
    if let Err(Error::SlotTaken { .. }) = &made {
        // Nothing of ours is there, so the note must not stand: a rerun goes elsewhere.
        Edit::begin(home)?.remove_pending(&pending)?;
    }
    note(sealer, &card, label, slot, made?)?;
    sealer.ui.say(format_args!("made the key for sealed tokens in slot {slot} of YubiKey {serial}"));
    Ok(())
}

fn note(
    sealer: &Sealer<'_>,
    card: &CardSurvey,
    label: String,
    slot: Slot,
    key: KeyInSlot<65>,
) -> Result<(), Error> {
    let recipient =
        Recipient::from_point(&key.point).map_err(|_| piv::Error::Malformed { what: "P-256 point" })?;
    let (serial, firmware, pin, touch) = (card.serial, card.firmware, key.pin, key.touch);
    let key = SealingKey { serial, firmware, label, slot, recipient, pin, touch };
    Ok(Edit::begin(sealer.context.cargo.home())?.add_sealing_key(&key)?)
}

/// A key that this program made, perhaps on another computer, and that never was anywhere but on the card.
fn made_earlier(sealer: &Sealer<'_>, card: &CardSurvey) -> Result<Option<(Slot, KeyInSlot<65>)>, Error> {
    let used: Vec<_> = card
        .slots
        .iter()
        .rev()
        .filter(|(_, occupancy)| *occupancy == Occupancy::Used)
        .map(|(slot, _)| *slot)
        .collect();
    let id = card.id();
    survey::read(sealer.readers, &card.reader, move |piv| {
        is_still(piv, id)?;
        for slot in &used {
            let Some(certificate) = piv.certificate(*slot)? else { continue };
            if !is_ours(&certificate.read()) {
                continue;
            }
            let described = certificate.point(&P256);
            match piv.key(&P256, *slot, None)? {
                Some(key) if key.origin == Origin::Generated && described == Some(key.point) => {
                    return Ok(Some((*slot, key)));
                }
                _ => {}
            }
        }
        Ok(None)
    })
}

fn is_ours(certificate: &SlotCertificate) -> bool {
    matches!(certificate, SlotCertificate::Ours(Description { purpose: KeyPurpose::Sealing, .. }))
}

fn plan(sealer: &Sealer<'_>, card: &CardSurvey, enrollments: &Enrollments) -> Result<(Slot, Start), Error> {
    let begun = enrollments.begun(card.serial, &Purpose::Sealing);
    match (begun, sealer.making.slot) {
        (Some(begun), Some(slot)) if slot != begun => {
            Err(Error::BegunElsewhere { serial: card.serial, slot: begun })
        }
        (Some(begun), _) => Ok((begun, Start::Begun)),
        (None, Some(slot)) => card
            .vacancy(slot, enrollments)
            .map(|vacancy| (slot, Start::Free(vacancy)))
            .ok_or(Error::SlotTaken { serial: card.serial, slot }),
        (None, None) => Slot::retired()
            .rev()
            .find_map(|slot| Some((slot, Start::Free(card.vacancy(slot, enrollments)?))))
            .ok_or(Error::NoEmptySlot { serial: card.serial, wanted: 1 }),
    }
}

/// Nothing is ever overwritten; where the card cannot tell, somebody who knows has to. To name the slot is to know.
fn agree(sealer: &Sealer<'_>, card: &CardSurvey, slot: Slot, start: Start) -> Result<(), Error> {
    let (serial, firmware) = (card.serial, card.firmware);
    let confirm = |question: &str| -> Result<(), Error> {
        if sealer.ui.confirm(question, sealer.context.settings.wait.pin_prompt())? {
            Ok(())
        } else {
            Err(Error::Declined)
        }
    };
    if start == Start::Free(Vacancy::LooksEmpty) && sealer.making.slot.is_none() {
        let question = format!(
            "Firmware {firmware} does not show imported keys. Are you sure that none is in slot {slot}?"
        );
        match confirm(&question) {
            Err(Error::Ask(AskError::NobodyThere)) => {
                return Err(Error::OnlyLooksEmpty { serial, firmware, slots: slot.to_string() });
            }
            answer => answer?,
        }
    }
    if sealer.making.without_asking {
        return Ok(());
    }
    confirm(&format!(
        "Make a key for sealed tokens in slot {slot} of YubiKey {serial} (firmware {firmware}; PIN {PIN}, touch {TOUCH})?"
    ))
}

/// Makes the key, or takes the one that an interrupted run left, and describes it in its slot. What is there is looked
/// at in this very transaction.
fn make(
    piv: &mut Piv<'_>,
    serial: Serial,
    slot: Slot,
    start: Start,
    description: &Description,
) -> Result<KeyInSlot<65>, Error> {
    let taken = || Error::SlotTaken { serial, slot };
    let left = match start {
        Start::Free(vacancy) if vacancy.is_still(piv, slot)? => None,
        Start::Free(_) => return Err(taken()),
        Start::Begun => begun_earlier(piv, slot)?.ok_or_else(taken)?,
    };
    let point = match left {
        Some(point) => point,
        None => piv.generate(&P256, slot, PIN, TOUCH)?,
    };
    // Read back: what the card does counts, not what it was asked for.
    let (pin, touch) = piv.key(&P256, slot, None)?.map_or((PIN, TOUCH), |key| (key.pin, key.touch));
    if pin == PinPolicy::Never || touch == TouchPolicy::Never {
        return Err(Error::WeakerKey { serial, slot, pin, touch });
    }
    let certificate = description.certificate(&P256, &point, pin, touch, SystemTime::now())?;
    piv.put_certificate(slot, &certificate)?;
    Ok(KeyInSlot { point, pin, touch, origin: Origin::Generated })
}

/// What an interrupted run of ours left: a key, or nothing; `None` if it is something that is not ours to touch.
fn begun_earlier(piv: &mut Piv<'_>, slot: Slot) -> Result<Option<Option<P256Point>>, Error> {
    let certificate = piv.certificate(slot)?;
    if certificate.as_ref().is_some_and(|object| !is_ours(&object.read())) {
        return Ok(None);
    }
    let described = certificate.as_ref().and_then(|object| object.point(&P256));
    Ok(match piv.key(&P256, slot, None)? {
        Some(key) if key.origin == Origin::Generated && described.is_none_or(|point| point == key.point) => {
            Some(Some(key.point))
        }
        None if piv.occupancy(slot)? != Occupancy::Used => Some(None),
        _ => None,
    })
}
