//! `--same-keys-as`: a registry whose URL has changed is enrolled with the keys it had. Nothing is written to the card:
//! the certificates in its slots go on naming the first URL.

use crate::commands::enroll::Enrollment;
use crate::enrollment::{Card, Edit, Enrollments, Registry};
use crate::error::Error;
use crate::text::{escape, foreign_word};

impl Enrollment<'_> {
    pub(super) fn share(&self, name: &str, enrollments: &Enrollments) -> Result<(), Error> {
        let (index, serial) = (&self.registry.index, self.card.serial);
        let source = source(name, index, enrollments)?;
        let not_enrolled = || Error::not_one_of_its_cards(serial, &source.index, Some(source));
        let card = source.card(serial).ok_or_else(not_enrolled)?;
        let enrolled = enrollments.registry(index).and_then(|registry| registry.card(serial));
        let has = enrolled.map_or(&[][..], |card| &card.keys);
        if has.iter().any(|key| !card.keys.contains(key)) {
            return Err(Error::OtherKeysEnrolled { serial });
        }
        if has.len() == card.keys.len() {
            self.ui.note(format_args!("YubiKey {serial} is already enrolled there"));
            return Ok(());
        }
        self.show_shared(source, card);
        if !self.arguments.yes {
            self.confirm(&format!("Use these keys for {} too?", escape(index)))?;
        }
        let subject = self.arguments.subject.clone().or_else(|| source.subject.clone());
        let registry = Registry::new(index.clone(), self.registry.name.clone(), subject);
        let registry = Registry { key_id: source.key_id, ..registry };
        let mut edit = Edit::begin(self.context.cargo.home())?;
        for key in &card.keys {
            edit.enroll(&registry, card, key)?;
        }
        self.ui.note(format_args!(
            "when nothing is published to {} any more: yk-cargo forget {}",
            escape(&source.index),
            foreign_word(&source.index)
        ));
        Ok(())
    }

    fn show_shared(&self, source: &Registry, card: &Card) {
        self.ui.say(format_args!(
            "{} for {}, with its keys for {}",
            card.display_name(),
            escape(&self.registry.index),
            escape(&source.index)
        ));
        for key in &card.keys {
            self.ui.say(format_args!(
                "    {:<7}  slot {}  PIN {}, touch {}\n             {}",
                key.role, key.slot, key.pin, key.touch, key.public
            ));
        }
    }
}

/// By its URL, or by the name it had when it was enrolled: cargo's configuration may have the new URL under that name
/// and an entry of its own by now.
fn source<'a>(name: &str, new: &str, enrollments: &'a Enrollments) -> Result<&'a Registry, Error> {
    let named = || enrollments.registries.iter().filter(|registry| registry.name.as_deref() == Some(name));
    enrollments
        .registry(name)
        .or_else(|| named().find(|registry| registry.index != new))
        .or_else(|| named().next())
        .ok_or_else(|| Error::NotEnrolled { registry: name.to_owned() })
}
