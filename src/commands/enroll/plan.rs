//! Which keys are to be made, and in which slots. The card is not asked here.

use super::Enroll;
use crate::card::key_making::Start;
use crate::card::survey::SurveyedCard;
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
    pub(super) start: Start<97>,
}

/// The keys that one card has for a registry.
pub(super) fn roles(arguments: &Enroll) -> &'static [Role] {
    match (arguments.proofs, arguments.single_key) {
        (true, _) => &[Role::Publish],
        (false, true) => &[Role::Both],
        (false, false) => &[Role::Read, Role::Publish],
    }
}

/// Checks that there is one slot for each key, if slots are named at all.
pub(super) fn check_slots(arguments: &Enroll) -> Result<(), Error> {
    match arguments.slot[..] {
        [] => Ok(()),
        [_] if roles(arguments).len() == 1 => Ok(()),
        [read, publish] if roles(arguments).len() == 2 && read != publish => Ok(()),
        _ if arguments.single_key => Err(Error::Usage("--single-key needs one slot: --slot 82")),
        _ if arguments.proofs => Err(Error::Usage("--proofs needs one slot: --slot 82")),
        _ => Err(Error::Usage("two keys need two slots: --slot 82,83 (read, publish)")),
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
    card: &SurveyedCard<'_>,
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
        let purpose = Purpose::Signing { role, index: index.clone() };
        let named = arguments.slot.get(position).copied();
        let candidates = Slot::retired().filter(|slot| planned.iter().all(|key| key.slot != *slot));
        let (slot, vacancy) = card
            .place(&purpose, named, candidates, enrollments)?
            .ok_or(Error::NoEmptySlot { serial: card.serial, wanted })?;
        let (pin, touch) = policies(arguments, role);
        planned.push(PlannedKey { role, slot, pin, touch, start: Start::Vacant(vacancy) });
    }
    Ok(planned)
}

fn policies(arguments: &Enroll, role: Role) -> (PinPolicy, TouchPolicy) {
    match role {
        Role::Read => (PinPolicy::Never, arguments.read_touch),
        // Beside it stands the key that opens the token, which one touch does for, too.
        Role::Publish if arguments.proofs => {
            (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Cached))
        }
        Role::Publish => (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Always)),
        // No card gets a key for staging, which is a machine's: `roles` names none.
        Role::Both | Role::Stage => {
            (arguments.pin_policy, arguments.touch_policy.unwrap_or(TouchPolicy::Cached))
        }
    }
}
