//! Which keys are to be made, and where. Decides without touching the card.

use crate::cli::Enroll;
use crate::commands::enroll::survey::CardSurvey;
use crate::enrollment::{Enrollments, Reusable, Role};
use crate::error::Error;
use crate::piv::{Occupancy, PinPolicy, Slot, TouchPolicy};

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedKey {
    pub(super) role: Role,
    pub(super) slot: Slot,
    pub(super) pin: PinPolicy,
    pub(super) touch: TouchPolicy,
    /// An earlier run noted it and did not finish.
    pub(super) resumed: bool,
    /// The firmware cannot tell whether an imported key is there.
    pub(super) only_looks_empty: bool,
}

/// The keys that this registry still lacks on this card.
pub(super) fn keys(
    arguments: &Enroll,
    index: &str,
    card: &CardSurvey,
    enrollments: &Enrollments,
) -> Result<Vec<PlannedKey>, Error> {
    let roles: &[Role] = if arguments.single_key { &[Role::Both] } else { &[Role::Read, Role::Publish] };
    if !arguments.slot.is_empty() && arguments.slot.len() != roles.len() {
        return Err(Error::Usage(if arguments.single_key {
            "--single-key takes one slot: --slot 82"
        } else {
            "there are two keys, so two slots: --slot 82,83 (read, publish)"
        }));
    }
    let enrolled = enrollments.registry(index).and_then(|registry| registry.card(card.serial));
    let missing = |role: &Role| enrolled.is_none_or(|card| card.keys.iter().all(|key| key.role != *role));
    let wanted = roles.iter().filter(|role| missing(role)).count();

    let mut planned: Vec<PlannedKey> = Vec::new();
    for (position, role) in roles.iter().copied().enumerate().filter(|(_, role)| missing(role)) {
        let noted = enrollments
            .pending
            .iter()
            .find(|pending| pending.serial == card.serial && pending.role == role && pending.index == index);
        let slot = match (noted, arguments.slot.get(position)) {
            (Some(pending), _) => pending.slot,
            (None, Some(slot)) if is_free(*slot, card, enrollments, &planned) => *slot,
            (None, Some(slot)) => return Err(Error::SlotTaken { serial: card.serial, slot: *slot }),
            (None, None) => card
                .slots
                .iter()
                .map(|(slot, _)| *slot)
                .find(|slot| is_free(*slot, card, enrollments, &planned))
                .ok_or(Error::NoEmptySlot { serial: card.serial, wanted })?,
        };
        let (pin, touch) = policies(arguments, role);
        let resumed = noted.is_some();
        let only_looks_empty = !resumed
            && !is_ours_to_reuse(slot, card, enrollments)
            && card.slots.contains(&(slot, Occupancy::LooksEmpty));
        planned.push(PlannedKey { role, slot, pin, touch, resumed, only_looks_empty });
    }
    Ok(planned)
}

/// Empty, and not promised to another key. Only retired slots are ever used.
fn is_free(slot: Slot, card: &CardSurvey, enrollments: &Enrollments, planned: &[PlannedKey]) -> bool {
    let promised = planned.iter().any(|key| key.slot == slot)
        || enrollments.pending.iter().any(|pending| pending.serial == card.serial && pending.slot == slot);
    let occupancy = card.slots.iter().find(|(known, _)| *known == slot).map(|(_, occupancy)| *occupancy);
    !promised
        && match occupancy {
            // What only looks empty is asked about before anything is done.
            Some(Occupancy::Empty | Occupancy::LooksEmpty) => true,
            Some(Occupancy::Used) => is_ours_to_reuse(slot, card, enrollments),
            None => false,
        }
}

fn is_ours_to_reuse(slot: Slot, card: &CardSurvey, enrollments: &Enrollments) -> bool {
    enrollments.reusable.contains(&Reusable { serial: card.serial, slot })
}

fn policies(arguments: &Enroll, role: Role) -> (PinPolicy, TouchPolicy) {
    match role {
        Role::Read => (PinPolicy::Never, arguments.read_touch),
        Role::Publish => (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Always)),
        Role::Both => (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Cached)),
    }
}
