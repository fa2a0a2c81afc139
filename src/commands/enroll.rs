//! `enroll`: keys on a card for one registry.
//!
//! Nothing on the card is ever overwritten, and nothing is left half: each key is noted in the enrollments file before
//! it is made, so that a rerun finishes what an interruption left.

use std::sync::Arc;

use asymmetric_token::{KeyIdField, PublicKey};

use crate::card::access::Access;
use crate::card::choose;
use crate::card::found_keys::{FoundKey, found_keys};
use crate::card::key_making::{NewKey, Start};
use crate::card::survey::{ManagementKeyState, SurveyedCard};
use crate::card::vacancy::Vacancy;
use crate::cargo_config::ConfiguredRegistry;
use crate::cli::Enroll;
use crate::commands::configure::{self, Choice};
use crate::context::Context;
use crate::enrollment::{
    Card, ChallengeSource, DEFAULT_REUSE, Edit, Enrollments, Key, Purpose, Registry, Role,
};
use crate::error::Error;
use crate::piv::certificate::KeyPurpose;
use crate::piv::{ManagementKey, P384, PinPolicy, TouchPolicy};
use crate::reader::Readers;
use crate::signer::Signer;
use crate::text::escape;
use crate::ui::Ui;

mod adopt;
mod plan;
mod refresh;
mod register;
mod replace;
mod report;
mod same_keys;

use plan::PlannedKey;
use register::Registering;

/// Runs `yk-cargo enroll`.
///
/// # Errors
/// Whatever stopped it; what was made until then is finished by a rerun.
pub fn run(arguments: &Enroll, context: &Context) -> Result<(), Error> {
    plan::check_slots(arguments)?;
    let registry = context.cargo.resolve(&arguments.registry)?;
    if registry.index.is_unprotected() && !arguments.setup.insecure_http {
        return Err(Error::Unprotected { index: registry.index });
    }
    let enrollments = Enrollments::load(context.cargo.home())?;
    let readers = Readers::start(context.settings.wait.deadlines());
    let ui = if arguments.yes { Ui::silent() } else { Ui::asking() };
    if arguments.refresh {
        return refresh::run(&registry, &enrollments, &readers, context, ui);
    }
    let registering = Registering::begin(arguments, &registry, &enrollments, context, ui)?;
    let replaced = replace::card(arguments.replace, &registry.index, &enrollments)?;
    let access = Access { readers: &readers, settings: &context.settings, ui };
    let card = choose::card(access, arguments.serial, arguments.replace)?;
    if let Some(registering) = &registering {
        registering.may_enroll(card.serial)?;
    }
    let enrollment =
        Enrollment { arguments, context, readers: &readers, ui, card, registry, replaced, registering };

    enrollment.may_join(&enrollments)?;
    if let Some(source) = &arguments.same_keys_as {
        enrollment.share(source, &enrollments)?;
    } else if arguments.existing {
        enrollment.adopt()?;
    } else {
        enrollment.make(&enrollments)?;
    }
    enrollment.finish()
}

/// One registry meets one card.
struct Enrollment<'a> {
    arguments: &'a Enroll,
    context: &'a Context,
    readers: &'a Readers,
    ui: Ui,
    card: SurveyedCard<'a>,
    registry: ConfiguredRegistry,
    /// The card whose place this one takes.
    replaced: Option<Card>,
    /// The registry takes the keys itself.
    registering: Option<Registering<'a>>,
}

impl Enrollment<'_> {
    /// A second card for a registry is a good thing, but not by accident.
    fn may_join(&self, enrollments: &Enrollments) -> Result<(), Error> {
        let Some(enrolled) = enrollments.registry(&self.registry.index) else { return Ok(()) };
        if self.arguments.subject.is_some() && self.arguments.subject != enrolled.subject {
            return Err(Error::OtherSubject { enrolled: enrolled.subject.clone().unwrap_or_default() });
        }
        if let Some(card) = enrolled.card(self.card.serial) {
            return plan::check_enrolled_slots(self.arguments, card);
        }
        if self.arguments.backup
            || self.arguments.endorse_with.is_some()
            || self.replaced.is_some()
            || enrolled.cards.is_empty()
        {
            return Ok(());
        }
        let question = format!(
            "{} is enrolled with {}. Add YubiKey {} to it?",
            escape(&self.registry.index),
            enrolled.cards_for_display(),
            self.card.serial
        );
        match self.confirm(&question) {
            Err(Error::Ask(error)) if error.is_for_nobody() => Err(Error::OtherCardEnrolled {
                serial: self.card.serial,
                enrolled: enrolled.cards_for_display(),
            }),
            answer => answer,
        }
    }

    /// Makes the keys that are still missing.
    fn make(&self, enrollments: &Enrollments) -> Result<(), Error> {
        let planned = plan::keys(self.arguments, &self.registry.index, &self.card, enrollments)?;
        if planned.is_empty() && self.replaced.is_some() {
            return self.only_take_out();
        }
        if planned.is_empty() {
            self.ui.note(format_args!("YubiKey {} is already enrolled there", self.card.serial));
            return Ok(());
        }
        self.card.is_fit(self.arguments.allow_default_pin)?;
        self.may_be_overwritten(&planned)?;
        self.show(&planned);
        self.mention_keys_that_are_there(enrollments);
        if !self.arguments.yes {
            refresh::warn_if_no_index(&self.registry.index, self.context, self.ui);
            self.confirm(&self.and_take_out("Make these keys"))?;
        }
        let management = self.management_key()?;
        let last = planned.len() - 1;
        for (position, key) in planned.into_iter().enumerate() {
            let (role, slot, pin) = (key.role, key.slot, key.pin);
            let label = self.arguments.label.clone();
            let key = self.make_key(key, &management)?;
            self.enroll(&key, label, position == last)?;
            self.ui.say(format_args!(
                "made the {role} key in slot {slot}, as read back: PIN {}, touch {}",
                key.pin, key.touch
            ));
            if pin == PinPolicy::Never && key.pin == PinPolicy::Once {
                self.ui.note(format_args!(
                    "this card makes no key that needs no PIN: the {role} key asks for it once"
                ));
            }
        }
        Ok(())
    }

    /// To name the slots is to know that they are empty.
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
                if key.start == Start::Vacant(Vacancy::Begun) { "  (begun earlier)" } else { "" }
            ));
        }
        self.say_what_it_asks(planned);
        self.show_replaced();
    }

    /// Making keys may need the PIN for the management key; then one token is signed as a check, with a key that reads. Where
    /// the registry takes the keys itself, each of them signs for that too.
    fn say_what_it_asks(&self, planned: &[PlannedKey]) {
        let behind_pin = self.card.management_key == ManagementKeyState::PinProtected
            && self.arguments.setup.management_key_command.is_none();
        let check = planned.iter().find(|key| key.role != Role::Publish);
        let proofs = planned.iter().filter(|_| self.registering.is_some());
        let signatures: Vec<_> = check.into_iter().chain(proofs).collect();
        let pin = behind_pin || signatures.iter().any(|key| key.pin != PinPolicy::Never);
        let touches = signatures.iter().filter(|key| key.touch != TouchPolicy::Never).count();
        let asked = match (pin, touches) {
            (false, 0) => "no touch".to_owned(),
            (true, 0) => "the PIN, and no touch".to_owned(),
            (false, 1) => "one touch".to_owned(),
            (true, 1) => "the PIN and one touch".to_owned(),
            (false, touches) => format!("{touches} touches"),
            (true, touches) => format!("the PIN and {touches} touches"),
        };
        self.ui.say(format_args!("making and checking them takes {asked}"));
    }

    /// On a new computer it is easy to forget `--existing`, and a card has room for few registries. That something
    /// else on the card cannot be read stops nothing.
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
                "the card already has keys for this registry, in slot {}; to use those: yk-cargo enroll {} --existing",
                slots.join(" and "),
                escape(self.registry.name.as_deref().unwrap_or(&self.registry.index))
            ));
        }
    }

    fn make_key(&self, planned: PlannedKey, management: &Arc<ManagementKey>) -> Result<Key, Error> {
        let PlannedKey { role, slot, pin, touch, start } = planned;
        let purpose = Purpose::Signing { role, index: self.registry.index.clone() };
        let label = self.arguments.label.clone();
        let key = NewKey { curve: &P384, purpose, label, slot, start, pin, touch };
        let key = key.make(&self.card, management, self.context.cargo.home())?;
        let public = PublicKey::from_uncompressed(&key.point)?;
        Ok(Key { role, slot, public, pin: key.pin, touch: key.touch })
    }

    fn management_key(&self) -> Result<Arc<ManagementKey>, Error> {
        self.card.management_key(self.arguments.setup.management_key_command.as_deref())
    }

    /// With the last key the card that is replaced goes, in the same write.
    fn enroll(&self, key: &Key, label: String, is_last: bool) -> Result<(), Error> {
        let registry = Registry {
            index: self.registry.index.clone(),
            name: self.registry.name.clone(),
            subject: self.arguments.subject.clone(),
            key_id: KeyIdField::Both,
            challenge: ChallengeSource::default(),
            reuse: DEFAULT_REUSE,
            cards: Vec::new(),
        };
        let card = Card { serial: self.card.serial, firmware: self.card.firmware, label, keys: Vec::new() };
        let mut edit = Edit::begin(self.context.cargo.home())?;
        match self.replaced.as_ref().filter(|_| is_last) {
            Some(replaced) => edit.enroll_instead(&registry, &card, key, replaced.serial)?,
            None => edit.enroll(&registry, &card, key)?,
        }
        Ok(())
    }

    /// Has the registry take the keys if it does, signs one read token as cargo will have it, sets the provider, says what comes next.
    fn finish(&self) -> Result<(), Error> {
        let enrollments = Enrollments::load(self.context.cargo.home())?;
        let registry = enrollments
            .registry(&self.registry.index)
            .ok_or_else(|| Error::NotEnrolled { registry: self.registry.index.to_string() })?;
        if let Some(registering) = &self.registering {
            self.register(registering, registry)?;
        }
        let token = match Signer::new(self.readers, &self.context.settings, self.ui).sign(registry, None) {
            Ok(signed) => {
                self.ui.say("signed and checked one read token");
                Some(signed.token)
            }
            Err(Error::NoPin { .. }) => {
                self.ui.note("no token was signed as a check, since nobody is there to give the PIN");
                None
            }
            Err(error) => return Err(error),
        };
        refresh::what_the_registry_wants(registry, token.as_deref(), self.context, self.ui)?;
        configure::provider(&self.registry, Choice::of(&self.arguments.setup), self.context, self.ui)?;
        report::print(registry, self.card.serial, self.replaced.as_ref(), self.registering.is_some())
    }

    fn confirm(&self, question: &str) -> Result<(), Error> {
        self.access().confirm(question)
    }

    fn access(&self) -> Access<'_> {
        Access { readers: self.readers, settings: &self.context.settings, ui: self.ui }
    }
}

/// Keys that sign, for whichever registry, and such as nothing describes.
fn keys_for_signing(card: &SurveyedCard<'_>) -> Result<Vec<FoundKey<97>>, Error> {
    found_keys(card, &P384, |described| {
        described.is_none_or(|described| matches!(described.purpose, KeyPurpose::Signing { .. }))
    })
}
