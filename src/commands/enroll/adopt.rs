//! `--existing`: keys that are on the card already, described by our certificate or by nothing.
//!
//! A new computer rebuilds its enrollment from the slot certificates. A key without a certificate object, imported or made
//! by another program, is taken only if the person says which role it has, and is then described like our own.

use crate::commands::enroll::plan::{PlannedKey, Start, roles};
use crate::commands::enroll::survey::{self, FoundKey};
use crate::commands::enroll::{Enrollment, management};
use crate::enrollment::{Key, Role};
use crate::error::Error;
use crate::piv::Origin;
use crate::text::escape;

impl Enrollment<'_> {
    pub(super) fn adopt(&self) -> Result<(), Error> {
        let keys = self.choose(survey::adoptable(self.readers, &self.card)?)?;
        for (role, found) in &keys {
            let by = match &found.described {
                Some(described) => format!("described as `{}`", escape(&described.label)),
                None => "without a certificate".to_owned(),
            };
            let imported = if found.origin == Origin::Imported { ", imported: copies may exist" } else { "" };
            self.ui.say(format_args!(
                "    {role:<7}  slot {}  PIN {}, touch {}  {by}{imported}\n             {}",
                found.slot, found.pin, found.touch, found.public
            ));
        }
        self.show_replaced();
        if !self.arguments.yes {
            let use_them = format!("Use these keys for {}", escape(&self.registry.index));
            self.confirm(&self.and_take_out(&use_them))?;
        }
        let last = keys.len() - 1;
        for (position, (role, found)) in keys.into_iter().enumerate() {
            if found.described.is_none() {
                self.describe(role, &found)?;
            }
            let label =
                found.described.map_or_else(|| self.arguments.label.clone(), |described| described.label);
            let key =
                Key { role, slot: found.slot, public: found.public, pin: found.pin, touch: found.touch };
            self.enroll(&key, label, position == last)?;
        }
        Ok(())
    }

    /// Ours for this URL; else, where the role is plain, the one undescribed key, or those in the slots named.
    fn choose(&self, found: Vec<FoundKey>) -> Result<Vec<(Role, FoundKey)>, Error> {
        let index = &self.registry.index;
        let (described, bare): (Vec<_>, Vec<_>) = found.into_iter().partition(|key| key.described.is_some());
        let ours: Vec<_> = described
            .into_iter()
            .filter_map(|key| {
                let described = key.described.as_ref().filter(|described| *index == *described.index)?;
                Some((described.role, key))
            })
            .collect();
        let roles = roles(self.arguments);
        if !ours.is_empty() {
            let named = |role| roles.iter().zip(&self.arguments.slot).find(|(named, _)| **named == role);
            let elsewhere =
                ours.iter().find(|(role, key)| named(*role).is_some_and(|(_, slot)| *slot != key.slot));
            return match elsewhere {
                Some((role, key)) => {
                    Err(Error::EnrolledElsewhere { serial: self.card.serial, role: *role, slot: key.slot })
                }
                None => Ok(ours),
            };
        }
        let nothing = || Error::NothingToAdopt { serial: self.card.serial, index: index.clone() };
        if self.arguments.slot.is_empty() {
            let [key] = <[FoundKey; 1]>::try_from(bare).map_err(|_| nothing())?;
            return if self.arguments.single_key { Ok(vec![(Role::Both, key)]) } else { Err(nothing()) };
        }
        let in_slot = |slot| bare.iter().find(|key| key.slot == slot).cloned().ok_or_else(nothing);
        roles.iter().zip(&self.arguments.slot).map(|(role, slot)| Ok((*role, in_slot(*slot)?))).collect()
    }

    fn describe(&self, role: Role, found: &FoundKey) -> Result<(), Error> {
        let start = Start::Adopted(found.public);
        let planned = PlannedKey { role, slot: found.slot, pin: found.pin, touch: found.touch, start };
        self.make_key(planned, management::key(self.asking())?).map(|_| ())
    }
}
