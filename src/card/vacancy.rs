//! Slots in which a key can be made without destroying anything. Only retired slots are ever used.

use super::survey::SurveyedCard;
use crate::enrollment::{Enrollments, Purpose};
use crate::error::Error;
use crate::piv::{self, Occupancy, Piv, Slot};

/// Why a slot can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vacancy {
    /// There is nothing in it.
    Empty,
    /// Nothing that firmware before 5.3 would show, which hides imported keys; a person has to agree.
    LooksEmpty,
    /// An earlier run noted a key there, and did not finish it.
    Begun,
}

impl Vacancy {
    /// Whether the card says so still, in the transaction in which the key is made.
    pub(super) fn is_still(self, piv: &mut Piv<'_>, slot: Slot) -> Result<bool, piv::Error> {
        Ok(match self {
            Self::Empty => piv.occupancy(slot)? == Occupancy::Empty,
            Self::LooksEmpty | Self::Begun => piv.occupancy(slot)? != Occupancy::Used,
        })
    }
}

impl SurveyedCard<'_> {
    /// Where a key for this purpose goes: where it was begun, or into the slot that was named, or into the first empty one of
    /// the `candidates`; `None` if none of those is empty.
    ///
    /// # Errors
    /// [`Error::SlotTaken`] for a named slot, [`Error::BegunElsewhere`].
    pub(crate) fn place(
        &self,
        purpose: &Purpose,
        named: Option<Slot>,
        mut candidates: impl Iterator<Item = Slot>,
        enrollments: &Enrollments,
    ) -> Result<Option<(Slot, Vacancy)>, Error> {
        let serial = self.serial;
        match (enrollments.begun(serial, purpose), named) {
            (Some(slot), Some(named)) if slot != named => Err(Error::BegunElsewhere { serial, slot }),
            (Some(slot), _) => Ok(Some((slot, Vacancy::Begun))),
            (None, Some(slot)) => match self.vacancy(slot, enrollments) {
                Some(vacancy) => Ok(Some((slot, vacancy))),
                None => Err(Error::SlotTaken { serial, slot }),
            },
            (None, None) => Ok(candidates.find_map(|slot| Some((slot, self.vacancy(slot, enrollments)?)))),
        }
    }

    /// `None` if the slot is taken or promised.
    fn vacancy(&self, slot: Slot, enrollments: &Enrollments) -> Option<Vacancy> {
        match self.occupancy(slot)? {
            _ if enrollments.holds(self.serial, slot) => None,
            Occupancy::Empty => Some(Vacancy::Empty),
            Occupancy::LooksEmpty => Some(Vacancy::LooksEmpty),
            Occupancy::Used => None,
        }
    }

    /// Nothing is ever overwritten; where the card cannot tell whether a slot is empty, somebody who knows has to.
    ///
    /// # Errors
    /// [`Error::OnlyLooksEmpty`] if nobody is there, [`Error::Declined`].
    pub(crate) fn confirm_that_empty(&self, slots: &[Slot]) -> Result<(), Error> {
        let slots = slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(",");
        let (serial, firmware) = (self.serial, self.firmware);
        match self.access.confirm(&format!(
            "Firmware {firmware} does not show imported keys. Are you sure that none is in slot {slots}?"
        )) {
            Err(Error::Ask(error)) if error.is_for_nobody() => {
                Err(Error::OnlyLooksEmpty { serial, firmware, slots })
            }
            answer => answer,
        }
    }
}
