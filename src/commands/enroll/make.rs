//! Making the keys that a registry still lacks on a card, after showing them.

use std::sync::Arc;

use asymmetric_token::PublicKey;

use super::plan::{self, PlannedKey};
use super::{Enrollment, refresh};
use crate::card::enrolled_keys::{self, Found};
use crate::card::found_keys::{FoundKey, found_keys};
use crate::card::key_making::{NewKey, Start};
use crate::card::survey::{ManagementKeyState, SurveyedCard};
use crate::card::vacancy::Vacancy;
use crate::enrollment::{Edit, Enrollments, Key, Purpose, Role};
use crate::error::Error;
use crate::piv::certificate::KeyPurpose;
use crate::piv::{ManagementKey, P384, PinPolicy, TouchPolicy};
use crate::text::{escape, foreign_word};

impl Enrollment<'_> {
    /// Makes the keys that are still missing, also those that are enrolled and no longer on the card. Gives what it made.
    pub(super) fn make(&self, enrollments: Enrollments) -> Result<Vec<Key>, Error> {
        let (index, serial) = (&self.registry.index, self.card.serial);
        let gone = self.keys_gone(&enrollments)?;
        let enrollments = &enrollments.without(index, serial, &gone);
        let planned = plan::keys(self.arguments, index, &self.card, enrollments)?;
        if planned.is_empty() && self.replaced.is_some() {
            return self.only_take_out().map(|()| Vec::new());
        }
        if planned.is_empty() {
            self.ui.note(format_args!("YubiKey {serial} is already enrolled there"));
            return Ok(Vec::new());
        }
        self.card.is_fit(self.arguments.allow_default_pin)?;
        if let Some(registering) = &self.registering {
            registering.is_invited(&self.label)?;
        }
        self.may_be_overwritten(&planned)?;
        self.show(&planned);
        self.mention_keys_that_are_there(enrollments);
        refresh::may_have_keys(&self.registry.index, self.context, self.ui)?;
        if !self.arguments.yes {
            self.confirm(&self.and_take_out("Make these keys"))?;
        }
        let management = self.management_key()?;
        if !gone.is_empty() {
            Edit::begin(self.context.cargo.home())?.remove_keys(index, serial, &gone)?;
        }
        let last = planned.len() - 1;
        let mut made = Vec::new();
        for (position, key) in planned.into_iter().enumerate() {
            let (role, slot, pin) = (key.role, key.slot, key.pin);
            let label = self.label.clone();
            let key = self.make_key(key, &management)?;
            self.enroll(&key, label, position == last)?;
            made.push(key);
            self.ui.say(format_args!(
                "made the {role} key in slot {slot}, as read back: PIN {}, touch {}",
                key.pin, key.touch
            ));
            if pin == PinPolicy::Never && key.pin == PinPolicy::Once {
                self.ui.note(format_args!(
                    "this card cannot make a key without a PIN: the {role} key asks for it once"
                ));
            }
        }
        Ok(made)
    }

    /// The keys that this card had for the registry before somebody deleted them or reset PIV.
    fn keys_gone(&self, enrollments: &Enrollments) -> Result<Vec<Key>, Error> {
        let registry = enrollments.registry(&self.registry.index);
        let Some(card) = registry.and_then(|registry| registry.card(self.card.serial)).cloned() else {
            return Ok(Vec::new());
        };
        let found = self.card.look(move |piv| enrolled_keys::compare(piv, &card))?;
        let gone: Vec<_> =
            found.into_iter().filter(|(_, found)| *found == Found::Gone).map(|(key, _)| key).collect();
        for key in &gone {
            self.ui.warn(format_args!(
                "YubiKey {} no longer has the enrolled {} key; if that key was registered, have it revoked: {}",
                self.card.serial,
                key.role,
                key.public.id()
            ));
        }
        Ok(gone)
    }

    /// Asks whether slots that look empty are. It does not ask for slots that the person has named.
    fn may_be_overwritten(&self, planned: &[PlannedKey]) -> Result<(), Error> {
        let looks_empty = |key: &PlannedKey| key.start == Start::Vacant(Vacancy::LooksEmpty);
        if !self.arguments.slot.is_empty() || !planned.iter().any(looks_empty) {
            return Ok(());
        }
        self.card.confirm_that_empty(&planned.iter().map(|key| key.slot).collect::<Vec<_>>())
    }

    fn show(&self, planned: &[PlannedKey]) {
        self.ui.say(format_args!(
            "YubiKey {} (firmware {}) for {}",
            self.card.serial,
            self.card.firmware,
            escape(&self.registry.index)
        ));
        for key in planned {
            self.ui.say(format_args!(
                "    {:<7}  slot {}  PIN {}, touch {}{}",
                key.role,
                key.slot,
                key.pin,
                key.touch,
                if key.start == Start::Vacant(Vacancy::Begun) { "  (started earlier)" } else { "" }
            ));
        }
        self.say_what_it_asks(planned);
        self.show_replaced();
    }

    /// Says how often the person will be asked. The management key may be behind the PIN; one read token is signed as a
    /// check; and if the registry takes the keys itself, each of them signs once more.
    fn say_what_it_asks(&self, planned: &[PlannedKey]) {
        let behind_pin = self.card.management_key == ManagementKeyState::PinProtected
            && self.arguments.setup.management_key_command.is_none();
        let check = planned.iter().find(|key| self.arguments.proofs || key.role != Role::Publish);
        let proofs = planned.iter().filter(|_| self.registering.is_some());
        let signatures: Vec<_> = check.into_iter().chain(proofs).collect();
        let pin = behind_pin || signatures.iter().any(|key| key.pin != PinPolicy::Never);
        let touches = signatures.iter().filter(|key| key.touch != TouchPolicy::Never).count()
            + self.card.management_touches(planned.len());
        let asked = match (pin, touches) {
            (false, 0) => "neither PIN nor touch".to_owned(),
            (true, 0) => "the PIN but no touch".to_owned(),
            (false, 1) => "one touch".to_owned(),
            (true, 1) => "the PIN and one touch".to_owned(),
            (false, touches) => format!("{touches} touches"),
            (true, touches) => format!("the PIN and {touches} touches"),
        };
        self.ui.say(format_args!("making and checking them needs {asked}"));
    }

    /// Says so if the card has keys for this registry: on a new computer it is easy to forget `--existing`. If the card
    /// cannot be read to its end, nothing is said.
    fn mention_keys_that_are_there(&self, enrollments: &Enrollments) {
        let found = keys_for_signing(&self.card).unwrap_or_default();
        let ours = found.iter().filter(|found| {
            let here = found.described.as_ref().is_some_and(|described| {
                matches!(&described.purpose, KeyPurpose::Signing { index, .. } if self.registry.index == index.as_str())
            });
            here && !enrollments.holds(self.card.serial, found.slot)
        });
        let slots: Vec<_> = ours.map(|key| key.slot.to_string()).collect();
        if !slots.is_empty() {
            self.ui.note(format_args!(
                "the card already has keys for this registry in {} {}; to use them: yk-cargo enroll {}{} --existing",
                if slots.len() == 1 { "slot" } else { "slots" },
                slots.join(" and "),
                foreign_word(self.registry.name.as_deref().unwrap_or(&self.registry.index)),
                if self.arguments.proofs { " --proofs" } else { "" }
            ));
        }
    }

    pub(super) fn make_key(
        &self,
        planned: PlannedKey,
        management: &Arc<ManagementKey>,
    ) -> Result<Key, Error> {
        let PlannedKey { role, slot, pin, touch, start } = planned;
        let purpose = Purpose::Signing { role, index: self.registry.index.clone() };
        let label = self.label.clone();
        let key = NewKey { curve: &P384, purpose, label, slot, start, pin, touch };
        let key = key.make(&self.card, management, self.context.cargo.home())?;
        let public = PublicKey::from_uncompressed(&key.point)?;
        Ok(Key { role, slot, public, pin: key.pin, touch: key.touch })
    }

    pub(super) fn management_key(&self) -> Result<Arc<ManagementKey>, Error> {
        self.card.management_key(self.arguments.setup.management_key_command.as_deref())
    }
}

/// The keys on the card that sign for any registry, and those that no certificate describes.
pub(super) fn keys_for_signing(card: &SurveyedCard<'_>) -> Result<Vec<FoundKey<97>>, Error> {
    found_keys(card, &P384, |described| {
        described.is_none_or(|described| matches!(described.purpose, KeyPurpose::Signing { .. }))
    })
}
