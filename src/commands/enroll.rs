//! `enroll`: keys on a card for one registry.
//!
//! Nothing on the card is ever overwritten, and nothing is left half: each key is noted in the enrollments file before
//! it is made, so that a rerun finishes what an interruption left.

use clap::Args;

use crate::card::access::{self, Access};
use crate::card::choose;
use crate::card::known::KnownCards;
use crate::card::label;
use crate::card::survey::SurveyedCard;
use crate::cargo_config::{self, ConfiguredRegistry};
use crate::commands::arguments::{self, Setup, retired_slot, serial, subject};
use crate::commands::candidates;
use crate::commands::configure::{self, Choice};
use crate::context::Context;
use crate::enrollment::{Card, Edit, Enrollments, Key, Registry};
use crate::error::Error;
use crate::piv::{PinPolicy, Serial, Slot, TouchPolicy};
use crate::registry::visit::{self, Credential, Visit, Welcome};
use crate::signer::{self, Purpose, Signer};
use crate::text::{escape, foreign_word};
use crate::ui::Ui;

mod adopt;
mod make;
mod plan;
mod refresh;
mod register;
mod replace;
mod report;
mod same_keys;

use register::Registering;
use report::Lacks;

/// Arguments of `enroll`.
#[derive(Debug, Args)]
pub struct Enroll {
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
    /// Never ask: take the defaults, and fail where a default would be unsafe. The code for --invite and the PIN for --endorse-with have no default, and are still asked for.
    #[arg(long)]
    pub yes: bool,
    /// The YubiKey to use, by the number printed on it.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards())]
    pub serial: Option<Serial>,
    /// What to call the key on this card, 1 to 64 characters (default: USER@COMPUTER)
    #[arg(long, value_parser = arguments::label)]
    pub label: Option<String>,
    /// The key subject, if the registry gave you one.
    #[arg(long, value_parser = subject)]
    pub subject: Option<String>,
    /// One key for reads and mutations, for registries that accept only one key.
    #[arg(long)]
    pub single_key: bool,
    /// For crates.io and other registries that accept no signed tokens: make one key, which is registered nowhere and signs proofs of what you publish there.
    #[arg(long, conflicts_with_all = ["single_key", "read_touch", "invite", "endorse_with", "subject", "refresh", "same_keys_as"])]
    pub proofs: bool,
    /// Adopt keys that the card already has for this registry, after showing them.
    #[arg(long, conflicts_with_all = ["pin_policy", "touch_policy", "read_touch"])]
    pub existing: bool,
    /// Add this card to a registry that is enrolled with another one.
    #[arg(long)]
    pub backup: bool,
    /// Register the keys at once, with the invite code from the registry's administrator, which is the first line of standard input or typed without echo.
    #[arg(long, conflicts_with_all = ["refresh", "subject"])]
    pub invite: bool,
    /// Register the keys at once, because another of your cards that is enrolled there vouches for this one, with its PIN and a touch.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards(), conflicts_with_all = ["refresh", "subject", "invite"])]
    pub endorse_with: Option<Serial>,
    /// Remove this card from the enrollment as soon as another one has its keys there.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards(), conflicts_with = "backup")]
    pub replace: Option<Serial>,
    /// Use the keys that this card has for another registry, as when its URL has changed.
    #[arg(long, value_name = "REGISTRY", add = candidates::registries(), conflicts_with_all = ["existing", "replace", "slot", "single_key", "label"])]
    #[arg(conflicts_with_all = ["pin_policy", "touch_policy", "read_touch"])]
    pub same_keys_as: Option<String>,
    /// Ask an enrolled registry again what it requires: challenges, and how long a token is valid.
    #[arg(long, conflicts_with_all = ["existing", "backup", "replace", "same_keys_as", "slot", "single_key"])]
    pub refresh: bool,
    /// The slots for the keys: read, publish. [default: the first empty ones from 82]
    #[arg(long, value_name = "SLOT[,SLOT]", value_delimiter = ',', value_parser = retired_slot, add = candidates::slots())]
    pub slot: Vec<Slot>,
    /// When the publish key asks for the PIN: never, once, always.
    #[arg(long, value_name = "POLICY", default_value = "once", add = candidates::pin_policies())]
    pub pin_policy: PinPolicy,
    /// When the publish key asks for a touch: never, cached, always. [default: always; cached with --single-key or --proofs]
    #[arg(long, value_name = "POLICY", add = candidates::touch_policies())]
    pub touch_policy: Option<TouchPolicy>,
    /// When the read key asks for a touch: never, cached, always.
    #[arg(long, value_name = "POLICY", default_value = "never", add = candidates::touch_policies())]
    pub read_touch: TouchPolicy,
    /// Enroll even if the card still has its default PIN.
    #[arg(long)]
    pub allow_default_pin: bool,
    /// Card, registry and cargo.
    #[command(flatten)]
    pub setup: Setup,
}

/// Runs `yk-cargo enroll`.
///
/// # Errors
/// Whatever stopped it; what was made until then is finished by a rerun.
pub fn run(arguments: &Enroll, context: &Context) -> Result<(), Error> {
    plan::check_slots(arguments)?;
    let enrollments = Enrollments::load(context.cargo.home())?;
    let ui = if arguments.yes { Ui::silent() } else { Ui::asking() };
    let registry = configure::registry(&arguments.registry, &enrollments, context, ui)?;
    if registry.is_crates_io() && !arguments.proofs {
        return Err(cargo_config::Error::CratesIo.into());
    }
    if registry.index.is_unprotected() && !arguments.setup.insecure_http {
        return Err(Error::Unprotected { index: registry.index });
    }
    if arguments.backup
        && enrollments.registry(&registry.index).is_none_or(|enrolled| enrolled.cards.is_empty())
    {
        return Err(Error::BacksUpNone { registry: arguments.registry.clone(), proofs: arguments.proofs });
    }
    signer::has_room(&registry.index, arguments.subject.as_deref())?;
    let readers = access::readers(&context.settings.wait);
    if arguments.refresh {
        return refresh::run(&registry, &enrollments, &readers, context, ui);
    }
    let registering = Registering::begin(arguments, &registry, &enrollments, context)?;
    let replaced = replace::card(arguments.replace, &registry.index, &enrollments)?;
    let access = Access { readers: &readers, settings: &context.settings, ui };
    let known = KnownCards::all(&enrollments);
    let others = not_the_new_one(arguments, enrollments.registry(&registry.index));
    let card = choose::card(access, &known, arguments.serial, arguments.replace, &others)?;
    if let Some(registering) = &registering {
        registering.may_enroll(card.serial)?;
    }
    let enrolled = enrollments.registry(&registry.index).and_then(|registry| registry.card(card.serial));
    let label = called(enrolled, arguments.label.as_deref(), ui);
    let enrollment = Enrollment { arguments, context, ui, card, registry, replaced, registering, label };

    enrollment.may_join(&enrollments)?;
    let made = if let Some(source) = &arguments.same_keys_as {
        enrollment.share(source, &enrollments)?;
        Vec::new()
    } else if arguments.existing {
        enrollment.adopt()?;
        Vec::new()
    } else {
        enrollment.make(enrollments)?
    };
    enrollment.finish(&made)
}

/// The cards that are not meant where a further one is to be enrolled.
fn not_the_new_one(arguments: &Enroll, registry: Option<&Registry>) -> Vec<Serial> {
    match (arguments.endorse_with, registry) {
        (Some(endorser), _) => vec![endorser],
        (None, Some(registry)) if arguments.backup => registry.cards.iter().map(|card| card.serial).collect(),
        _ => Vec::new(),
    }
}

/// What a card is called: a later label would be another than the one in the certificates beside its keys.
fn called(enrolled: Option<&Card>, wanted: Option<&str>, ui: Ui) -> String {
    let Some(card) = enrolled else { return wanted.map_or_else(label::usual, ToOwned::to_owned) };
    if wanted.is_some_and(|wanted| wanted != card.label) {
        ui.warn(format_args!(
            "--label is ignored: YubiKey {} was enrolled as `{}` and keeps that name",
            card.serial,
            escape(&card.label)
        ));
    }
    card.label.clone()
}

/// The enrollment of one card for one registry.
struct Enrollment<'a> {
    arguments: &'a Enroll,
    context: &'a Context,
    ui: Ui,
    card: SurveyedCard<'a>,
    registry: ConfiguredRegistry,
    /// The card whose place this one takes.
    replaced: Option<Card>,
    /// The registry that takes the keys itself, if it is to do so.
    registering: Option<Registering<'a>>,
    /// What the card is called, in its certificates too.
    label: String,
}

impl Enrollment<'_> {
    /// Asks before a second card is added to a registry, unless the person has said so on the command line.
    fn may_join(&self, enrollments: &Enrollments) -> Result<(), Error> {
        let Some(enrolled) = enrollments.registry(&self.registry.index) else { return Ok(()) };
        if enrolled.proofs != self.arguments.proofs {
            return Err(Error::ForSomethingElse { proofs: enrolled.proofs });
        }
        if self.arguments.subject.is_some() && self.arguments.subject != enrolled.subject {
            return Err(Error::OtherSubject { enrolled: enrolled.subject.clone().unwrap_or_default() });
        }
        if let Some(card) = enrolled.card(self.card.serial) {
            if self.arguments.backup && enrolled.cards.len() == 1 {
                return Err(Error::BacksUpItself { serial: self.card.serial });
            }
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

    /// Writes a key into the enrollment. With the last one the card that is replaced is taken out, in the same write.
    fn enroll(&self, key: &Key, label: String, is_last: bool) -> Result<(), Error> {
        let (index, name) = (self.registry.index.clone(), self.registry.name.clone());
        let registry = Registry {
            proofs: self.arguments.proofs,
            ..Registry::new(index, name, self.arguments.subject.clone())
        };
        let card = Card { serial: self.card.serial, firmware: self.card.firmware, label, keys: Vec::new() };
        let mut edit = Edit::begin(self.context.cargo.home())?;
        match self.replaced.as_ref().filter(|_| is_last) {
            Some(replaced) => edit.enroll_instead(&registry, &card, key, replaced.serial)?,
            None => edit.enroll(&registry, &card, key)?,
        }
        Ok(())
    }

    /// Registers the keys at the registry if it takes them, signs one read token as a check, sets cargo's provider, and
    /// says what comes next. Keys that were `made` just now and do not sign are not left enrolled.
    fn finish(&self, made: &[Key]) -> Result<(), Error> {
        match self.use_once() {
            Err(error) if error.is_of_the_card() && !made.is_empty() => {
                let mut edit = Edit::begin(self.context.cargo.home())?;
                edit.take_back(&self.registry.index, self.card.serial, made)?;
                self.ui.warn("the keys were made but are not enrolled");
                Err(error)
            }
            result => result,
        }
    }

    fn use_once(&self) -> Result<(), Error> {
        let enrollments = Enrollments::load(self.context.cargo.home())?;
        let registry = enrollments
            .registry(&self.registry.index)
            .ok_or_else(|| Error::NotEnrolled { registry: self.registry.index.to_string() })?;
        if let Some(registering) = &self.registering {
            self.register(registering, registry)?;
        }
        // The check is for the card that was just enrolled. It may have been unplugged for the one that vouched.
        let this_card = registry.card(self.card.serial).cloned();
        let alone = Registry { cards: Vec::from_iter(this_card), ..registry.clone() };
        let mut signer = Signer::with(self.card.access);
        let purpose = || if registry.proofs { Purpose::Trial } else { Purpose::Read };
        let signed = match signer.sign_for(&alone, purpose()) {
            Err(Error::WrongCard { .. } | Error::NoCard { .. }) => signer.sign_for(registry, purpose()),
            signed => signed,
        };
        let token = match signed {
            Ok(_) if registry.proofs => {
                self.ui.say("signed once and checked the signature");
                None
            }
            Ok(signed) => {
                self.ui.say("signed a read token and checked it");
                Some(signed.token)
            }
            Err(Error::NoPin { .. }) => {
                self.ui.note("no test token was signed, because nobody is there to enter the PIN");
                None
            }
            Err(error) => return Err(error),
        };
        if registry.proofs {
            return self.finish_for_proofs(registry, &enrollments);
        }
        refresh::what_the_registry_wants(registry, token.as_deref(), self.context, self.ui)?;
        let is_registered = self.registering.is_some() || self.is_known(registry, token);
        let configured =
            configure::provider(&self.registry, Choice::of(&self.arguments.setup), self.context, self.ui);
        // The keys are there, whatever becomes of the configuration.
        let lacks = Lacks { keys: !is_registered, provider: !matches!(configured, Ok(true)) };
        report::print(registry, self.card.serial, self.replaced.as_ref(), lacks)?;
        configured.map(drop)
    }

    /// Whether the registry takes the card's read token, and refuses no other key of it, so that none need be registered.
    fn is_known(&self, registry: &Registry, token: Option<String>) -> bool {
        let card = registry.cards.iter().find(|card| card.serial == self.card.serial);
        let changes = card.and_then(|card| card.key(true)).map(|key| key.public.id());
        let credential = token.map(|token| Credential { token, changes });
        let visits = visit::all(&[(&registry.index, credential)], &self.context.settings);
        let Some(Ok(Visit { welcome: Welcome::Taken, changes, .. })) = visits.first() else { return false };
        !matches!(changes, Welcome::Refused(_))
    }

    /// Without a sealed token cargo has nothing to ask for.
    fn finish_for_proofs(&self, registry: &Registry, enrollments: &Enrollments) -> Result<(), Error> {
        let configured = match enrollments.sealed(&registry.index) {
            Some(_) => {
                configure::provider(&self.registry, Choice::of(&self.arguments.setup), self.context, self.ui)
            }
            None => {
                self.ui.note(format_args!(
                    "after `yk-cargo seal {0}`, `cargo publish` signs a proof too; for versions published in another way: yk-cargo sign NAME@VERS --registry {0}",
                    foreign_word(registry.display_name())
                ));
                Ok(true)
            }
        };
        let lacks = Lacks { keys: true, provider: !matches!(configured, Ok(true)) };
        report::print(registry, self.card.serial, self.replaced.as_ref(), lacks)?;
        configured.map(drop)
    }

    fn confirm(&self, question: &str) -> Result<(), Error> {
        self.card.access.confirm(question)
    }
}
