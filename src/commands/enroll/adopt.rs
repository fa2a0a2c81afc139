//! `--existing`: keys that are on the card already, described by our certificate or by nothing.
//!
//! A new computer rebuilds its enrollment from the slot certificates. A key without a certificate object, imported or
//! made by another program, is taken only if the person says which role it has, and is then described like our own.

use asymmetric_token::PublicKey;

use super::Enrollment;
use super::make::keys_for_signing;
use super::plan::{PlannedKey, roles};
use crate::card::found_keys::FoundKey;
use crate::card::key_making::Start;
use crate::enrollment::{Key, Role};
use crate::error::Error;
use crate::piv::Origin;
use crate::piv::certificate::KeyPurpose;
use crate::text::escape;

type Found = FoundKey<97>;

impl Enrollment<'_> {
    pub(super) fn adopt(&self) -> Result<(), Error> {
        let keys = self.choose(keys_for_signing(&self.card)?)?;
        for (role, found) in &keys {
            let by = match &found.described {
                Some(described) => format!("labelled `{}`", escape(&described.label)),
                None => "without a certificate".to_owned(),
            };
            let (key, slot) = (&found.key, found.slot);
            let imported =
                if key.origin == Origin::Imported { ", imported, so copies may exist" } else { "" };
            self.ui.say(format_args!(
                "    {role:<7}  slot {slot}  PIN {}, touch {}  {by}{imported}\n             {}",
                key.pin,
                key.touch,
                PublicKey::from_uncompressed(&key.point)?
            ));
        }
        self.show_replaced();
        if !self.arguments.yes {
            let use_them = format!("Use these keys for {}", escape(&self.registry.index));
            self.confirm(&self.and_take_out(&use_them))?;
        }
        let last = keys.len() - 1;
        for (position, (role, found)) in keys.into_iter().enumerate() {
            let (slot, pin, touch) = (found.slot, found.key.pin, found.key.touch);
            let label = match found.described {
                Some(described) => described.label,
                None => {
                    let start = Start::Adopted(found.key.point);
                    let planned = PlannedKey { role, slot, pin, touch, start };
                    self.make_key(planned, &self.management_key()?)?;
                    self.label.clone()
                }
            };
            let public = PublicKey::from_uncompressed(&found.key.point)?;
            self.enroll(&Key { role, slot, public, pin, touch }, label, position == last)?;
        }
        Ok(())
    }

    /// The keys that our certificates describe for this URL. If there are none: the only undescribed key, where its
    /// role is plain, or the undescribed keys in the slots that were named.
    fn choose(&self, found: Vec<Found>) -> Result<Vec<(Role, Found)>, Error> {
        let index = &self.registry.index;
        let (described, bare): (Vec<_>, Vec<_>) = found.into_iter().partition(|key| key.described.is_some());
        let ours: Vec<_> = described
            .into_iter()
            .filter_map(|key| match &key.described.as_ref()?.purpose {
                KeyPurpose::Signing { role, index: of } if index == of.as_str() => Some((*role, key)),
                _ => None,
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
            let [key] = <[Found; 1]>::try_from(bare).map_err(|_| nothing())?;
            let [role] = roles else { return Err(nothing()) };
            return Ok(vec![(*role, key)]);
        }
        let in_slot = |slot| bare.iter().find(|key| key.slot == slot).cloned().ok_or_else(nothing);
        roles.iter().zip(&self.arguments.slot).map(|(role, slot)| Ok((*role, in_slot(*slot)?))).collect()
    }
}
