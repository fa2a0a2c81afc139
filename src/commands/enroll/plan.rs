//! Which keys are to be made, and where. Decides without touching the card.

use asymmetric_token::PublicKey;

use crate::cli::Enroll;
use crate::commands::enroll::survey::{CardSurvey, Vacancy};
use crate::enrollment::{Card, Enrollments, Purpose, Role};
use crate::error::Error;
use crate::index_url::IndexUrl;
use crate::piv::{PinPolicy, Slot, TouchPolicy};

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedKey {
    pub(super) role: Role,
    pub(super) slot: Slot,
    pub(super) pin: PinPolicy,
    pub(super) touch: TouchPolicy,
    pub(super) start: Start,
}

/// What is believed to be in the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing that has to stay.
    Free(Vacancy),
    /// What an earlier run noted and did not finish.
    Begun,
    /// This key, which the person wants to use.
    Adopted(PublicKey),
}

/// The keys that one card has for a registry.
pub(super) fn roles(arguments: &Enroll) -> &'static [Role] {
    if arguments.single_key { &[Role::Both] } else { &[Role::Read, Role::Publish] }
}

/// Each key has a slot of its own, if slots are named at all.
pub(super) fn check_slots(arguments: &Enroll) -> Result<(), Error> {
    match arguments.slot[..] {
        [] => Ok(()),
        [_] if arguments.single_key => Ok(()),
        [read, publish] if !arguments.single_key && read != publish => Ok(()),
        _ if arguments.single_key => Err(Error::Usage("--single-key takes one slot: --slot 82")),
        _ => Err(Error::Usage("there are two keys, so two slots: --slot 82,83 (read, publish)")),
    }
}

/// A key stays in the slot that it was made in: `--slot` can only name that one again.
pub(super) fn check_enrolled_slots(arguments: &Enroll, card: &Card) -> Result<(), Error> {
    for (role, slot) in roles(arguments).iter().zip(&arguments.slot) {
        if let Some(key) = card.keys.iter().find(|key| key.role == *role && key.slot != *slot) {
            return Err(Error::EnrolledElsewhere { serial: card.serial, role: *role, slot: key.slot });
        }
    }
    Ok(())
}

/// The keys that this registry still lacks on this card.
pub(super) fn keys(
    arguments: &Enroll,
    index: &IndexUrl,
    card: &CardSurvey,
    enrollments: &Enrollments,
) -> Result<Vec<PlannedKey>, Error> {
    let roles = roles(arguments);
    let enrolled = enrollments.registry(index).and_then(|registry| registry.card(card.serial));
    if enrolled.is_some_and(|card| card.keys.iter().any(|key| !roles.contains(&key.role))) {
        return Err(Error::OtherKeysEnrolled { serial: card.serial });
    }
    let missing = |role: &Role| enrolled.is_none_or(|card| card.keys.iter().all(|key| key.role != *role));
    let wanted = roles.iter().filter(|role| missing(role)).count();

    let mut planned: Vec<PlannedKey> = Vec::new();
    for (position, role) in roles.iter().copied().enumerate().filter(|(_, role)| missing(role)) {
        let noted = enrollments.begun(card.serial, &Purpose::Signing { role, index: index.clone() });
        let asked_for = arguments.slot.get(position).copied();
        let (slot, start) = match (noted, asked_for) {
            (Some(begun), Some(slot)) if slot != begun => {
                return Err(Error::BegunElsewhere { serial: card.serial, slot: begun });
            }
            (Some(begun), _) => (begun, Start::Begun),
            (None, Some(slot)) => free(slot, card, enrollments, &planned)
                .map(|start| (slot, start))
                .ok_or(Error::SlotTaken { serial: card.serial, slot })?,
            (None, None) => Slot::retired()
                .find_map(|slot| free(slot, card, enrollments, &planned).map(|start| (slot, start)))
                .ok_or(Error::NoEmptySlot { serial: card.serial, wanted })?,
        };
        let (pin, touch) = policies(arguments, role);
        planned.push(PlannedKey { role, slot, pin, touch, start });
    }
    Ok(planned)
}

/// How a key could begin in this slot; `None` if it is taken, promised, or planned for another.
fn free(slot: Slot, card: &CardSurvey, enrollments: &Enrollments, planned: &[PlannedKey]) -> Option<Start> {
    let planned = planned.iter().any(|key| key.slot == slot);
    card.vacancy(slot, enrollments).filter(|_| !planned).map(Start::Free)
}

fn policies(arguments: &Enroll, role: Role) -> (PinPolicy, TouchPolicy) {
    match role {
        Role::Read => (PinPolicy::Never, arguments.read_touch),
        Role::Publish => (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Always)),
        Role::Both => (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Cached)),
    }
}
