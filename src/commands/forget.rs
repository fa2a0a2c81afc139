//! `forget`, and cargo's logout: the enrollment goes, the keys stay.

use std::path::Path;

use clap::Args;

use crate::card::access;
use crate::card::enrolled_keys::{self, Found};
use crate::card::plugged_in;
use crate::cargo_config::{CargoConfig, ConfiguredRegistry};
use crate::commands::candidates;
use crate::context::Context;
use crate::enrollment::{Edit, Enrollments, Key, Pending, Purpose, Registry};
use crate::error::Error;
use crate::index_url::IndexUrl;
use crate::piv::Serial;
use crate::settings::Settings;
use crate::text::{escape, foreign_word};
use crate::ui::Ui;

/// Arguments of `forget`.
#[derive(Debug, Args)]
pub struct Forget {
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Runs `yk-cargo forget`.
///
/// # Errors
/// [`Error::NotEnrolled`], [`Error::Declined`], or what stopped it.
pub fn run(arguments: &Forget, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let index = index(&enrollments, &arguments.registry, context)?;
    if arguments.yes {
        return remove(context.cargo.home(), &index, &context.settings, Ui::silent());
    }
    forget(context.cargo.home(), &index, &context.settings, Ui::asking())
}

/// The index URL of an enrollment. One that was only begun counts too, so that it can be given up.
fn index(enrollments: &Enrollments, name_or_url: &str, context: &Context) -> Result<IndexUrl, Error> {
    let not_enrolled = match context.enrolled(enrollments, name_or_url) {
        Ok(registry) => return Ok(registry.index.clone()),
        Err(error @ Error::NotEnrolled { .. }) => error,
        Err(error) => return Err(error),
    };
    let configured = context.cargo.resolve(name_or_url).map(|registry| registry.index).ok();
    let is_meant = |index: &&IndexUrl| **index == name_or_url || Some(*index) == configured.as_ref();
    let mut begun = enrollments.pending.iter().filter_map(|pending| pending.purpose.index());
    begun.find(is_meant).cloned().ok_or(not_enrolled)
}

/// Removes an enrollment after a typed yes.
///
/// # Errors
/// [`Error::Declined`], [`Error::Ask`] if nobody is there, or what stopped it.
pub fn forget(cargo_home: &Path, index: &IndexUrl, settings: &Settings, ui: Ui) -> Result<(), Error> {
    let question = format!("Remove the enrollment for {}?", escape(index));
    if !ui.typed_yes(&question, settings.wait.pin_prompt())? {
        return Err(Error::Declined);
    }
    remove(cargo_home, index, settings, ui)
}

fn remove(cargo_home: &Path, index: &IndexUrl, settings: &Settings, ui: Ui) -> Result<(), Error> {
    let mut edit = Edit::begin(cargo_home)?;
    let removed = edit.enrollments().registry(index).cloned();
    let begun = edit.enrollments().pending.clone();
    edit.remove(index)?;
    drop(edit);
    let on_cards = removed.as_ref().map(|registry| keys_on_cards(registry, settings)).unwrap_or_default();
    for card in removed.iter().flat_map(|registry| &registry.cards) {
        let found = on_cards.iter().find(|(serial, _)| *serial == card.serial).map(|(_, found)| found);
        for key in &card.keys {
            let found = found.and_then(|found| found.iter().find(|(other, _)| other == key));
            let (role, slot) = (key.role, key.slot);
            let (what, unseen) = match found.map(|(_, found)| *found) {
                Some(Found::Gone) => ("is no longer", ""),
                Some(_) => ("stays", ""),
                None => ("stays", ", which was not looked at"),
            };
            ui.say(format_args!(
                "the {role} key {what} in slot {slot} of {}{unseen}: {}",
                card.display_name(),
                key.public.id()
            ));
        }
    }
    for Pending { serial, slot, purpose } in begun {
        let Purpose::Signing { role, index: of } = purpose else { continue };
        if of != *index {
            continue;
        }
        ui.say(format_args!(
            "slot {slot} of YubiKey {serial} may hold a {role} key that was never enrolled; `ykman piv keys delete {slot}` (firmware 5.7) makes room"
        ));
    }
    ui.say(format_args!("removed the enrollment for {}", escape(index)));
    unset_provider(cargo_home, index, ui);
    if let Some(registry) = removed {
        let all_gone = registry.cards.iter().all(|card| {
            let found = on_cards.iter().find(|(serial, _)| *serial == card.serial);
            found.is_some_and(|(_, keys)| keys.iter().all(|(_, found)| *found == Found::Gone))
        });
        if registry.proofs {
            ui.note("what these keys have signed stays valid for those who trust them, until they remove the keys from their lists");
        } else if all_gone {
            ui.note("the registry still accepts these keys: have them revoked there");
        } else {
            ui.note(format_args!(
                "the registry still accepts these keys: have them revoked there, or enroll them again with `yk-cargo enroll {} --existing`",
                foreign_word(registry.display_name())
            ));
        }
    }
    Ok(())
}

/// cargo is not to ask this program any more, unless for a token that is sealed. That its configuration cannot be changed is no reason
/// not to forget.
fn unset_provider(cargo_home: &Path, index: &IndexUrl, ui: Ui) {
    if Enrollments::load(cargo_home).is_ok_and(|enrollments| enrollments.know(index)) {
        return;
    }
    let here = std::env::current_dir().unwrap_or_default();
    let cargo = CargoConfig::new(cargo_home.to_owned(), here);
    match cargo.unset_provider(&ConfiguredRegistry { index: index.clone(), name: None }) {
        Ok(true) => ui.say("removed its `credential-provider` from cargo's configuration"),
        Ok(false) => {}
        Err(error) => ui.warn(format_args!(
            "its `credential-provider` stays in cargo's configuration: {}",
            error.with_hint()
        )),
    }
}

/// What the cards say of the keys, as far as they are plugged in and free. That none can be read is no reason not to forget.
fn keys_on_cards(registry: &Registry, settings: &Settings) -> Vec<(Serial, Vec<(Key, Found)>)> {
    let readers = access::readers(&settings.wait);
    let known = Enrollments { registries: vec![registry.clone()], ..Enrollments::default() };
    let found = plugged_in::cards(&readers, &known).unwrap_or_default();
    let compared = found.into_iter().filter_map(|found| {
        let card = registry.card(found.card.ok()?.serial?)?.clone();
        let serial = card.serial;
        let keys = readers.look(&found.reader, move |piv| enrolled_keys::compare(piv, &card));
        Some((serial, keys.ok()?))
    });
    compared.collect()
}
