//! `forget`, and cargo's logout: the enrollment goes, the keys stay.

use std::path::Path;

use clap::Args;

use crate::context::Context;
use crate::enrollment::{Edit, Enrollments, Pending, Purpose};
use crate::error::Error;
use crate::index_url::IndexUrl;
use crate::settings::Settings;
use crate::text::escape;
use crate::ui::Ui;

/// Arguments of `forget`.
#[derive(Debug, Args)]
pub struct Forget {
    /// The registry's name in cargo's configuration, or its index URL.
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
        return remove(context.cargo.home(), &index, Ui::silent());
    }
    forget(context.cargo.home(), &index, &context.settings, Ui::asking())
}

/// Of an enrollment, or of what was only begun: who does not want to go on must be able to leave.
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
    remove(cargo_home, index, ui)
}

fn remove(cargo_home: &Path, index: &IndexUrl, ui: Ui) -> Result<(), Error> {
    let mut edit = Edit::begin(cargo_home)?;
    let removed = edit.enrollments().registry(index).cloned();
    let begun = edit.enrollments().pending.clone();
    edit.remove(index)?;
    for card in removed.iter().flat_map(|registry| &registry.cards) {
        for key in &card.keys {
            ui.say(format_args!(
                "the {} key stays in slot {} of {}: {}",
                key.role,
                key.slot,
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
    if let Some(registry) = removed {
        ui.note(format_args!(
            "the registry still trusts these keys: have them revoked there, or take them back with `yk-cargo enroll {} --existing`",
            escape(registry.display_name())
        ));
    }
    Ok(())
}
