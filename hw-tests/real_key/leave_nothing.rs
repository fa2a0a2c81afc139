//! Taking away what a run made on a real card, whatever became of the run.

use std::path::PathBuf;

use yk_cargo::Error;
use yk_cargo::enrollment::Enrollments;
use yk_cargo::piv::certificate::{KeyPurpose, SlotCertificate};
use yk_cargo::piv::{Occupancy, Piv, Slot, Version};

use super::card::RealCard;
use super::tell;
use crate::world::Computer;

/// Keys can be deleted from this firmware on.
const DELETES_SINCE: Version = Version::new(5, 7, 0);

/// Deletes, when it is dropped, what is in the slots that this computer has noted and that were empty before; then makes
/// sure that the card is as it was. Firmware before 5.7 keeps the keys.
pub(super) struct LeaveNothing<'a> {
    card: &'a RealCard,
    home: PathBuf,
    index: String,
}

impl<'a> LeaveNothing<'a> {
    pub(super) fn on(card: &'a RealCard, computer: &Computer) -> Self {
        Self { card, home: computer.cargo_home(), index: computer.gateway.index_url().to_owned() }
    }

    /// The first slot that is not as it was, in spite of that.
    fn clean_up(&self) -> Result<Option<Slot>, Error> {
        let can_delete = self.card.firmware >= DELETES_SINCE;
        let slots = self.made()?;
        let kept = self.card.deleting(|piv, delete| {
            let mut kept = Vec::new();
            for slot in slots {
                if !is_ours(piv, slot, &self.index)? {
                    tell(format_args!("slot {slot} holds something else by now; it is left alone"));
                    continue;
                }
                delete.certificate(slot);
                if can_delete && piv.metadata(slot)?.is_some() {
                    delete.key(slot);
                }
                if piv.occupancy(slot)? == Occupancy::Used {
                    kept.push(slot);
                }
            }
            Ok(kept)
        })?;
        self.tell_what_is_kept(&kept);
        let slots = self.card.slots()?.into_iter().zip(&self.card.before);
        let mut changed = slots.filter(|((slot, now), (_, before))| now != before && !kept.contains(slot));
        Ok(changed.next().map(|((slot, _), _)| slot))
    }

    /// Slots with a key of this run, finished or not.
    fn made(&self) -> Result<Vec<Slot>, Error> {
        let serial = self.card.serial;
        let enrollments = Enrollments::load(&self.home)?;
        let were_free = self.card.before.iter().filter(|(_, content)| *content != Occupancy::Used);
        Ok(were_free.map(|(slot, _)| *slot).filter(|slot| enrollments.holds(serial, *slot)).collect())
    }

    fn tell_what_is_kept(&self, kept: &[Slot]) {
        let (serial, firmware) = (self.card.serial, self.card.firmware);
        if kept.is_empty() {
            return;
        }
        tell(format_args!(
            "firmware {firmware} cannot delete keys: YubiKey {serial} keeps some, without a certificate. \
             To use them: yk-cargo enroll REGISTRY --existing --slot {}",
            kept.iter().map(Slot::to_string).collect::<Vec<_>>().join(",")
        ));
    }
}

impl Drop for LeaveNothing<'_> {
    fn drop(&mut self) {
        let why = match self.clean_up() {
            Ok(None) => return,
            Ok(Some(slot)) => format!("slot {slot} holds something else"),
            Err(error) => error.to_string(),
        };
        let text = format!("YubiKey {} is not as it was: {why}; `ykman piv info` shows it", self.card.serial);
        // A second panic would end the process without a word.
        if std::thread::panicking() {
            tell(format_args!("{text}"));
        } else {
            panic!("{text}");
        }
    }
}

/// What this run made has no certificate yet, or one that names this run's registry.
fn is_ours(piv: &mut Piv<'_>, slot: Slot, index: &str) -> Result<bool, Error> {
    Ok(match piv.certificate(slot)?.map(|object| object.read()) {
        None => true,
        Some(SlotCertificate::Ours(described)) => {
            matches!(described.purpose, KeyPurpose::Signing { index: of, .. } if of == index)
        }
        Some(_) => false,
    })
}
