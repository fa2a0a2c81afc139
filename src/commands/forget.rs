//! `forget`, and cargo's logout: the enrolment goes, the keys stay.

use std::path::Path;

use crate::cli::Forget;
use crate::commands::Context;
use crate::enrollment::{Edit, Enrollments};
use crate::error::Error;
use crate::settings::Settings;
use crate::ui::{Ui, escape};

/// Runs `yk-cargo forget`.
///
/// # Errors
/// [`Error::NotEnrolled`], [`Error::Declined`], or what stopped it.
pub fn run(arguments: &Forget, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let index = &context.enrolled(&enrollments, &arguments.registry)?.index;
    if arguments.yes {
        return remove(context.cargo.home(), index, Ui::new(true));
    }
    forget(context.cargo.home(), index, &context.settings, Ui::new(false))
}

/// Removes an enrolment after a typed yes.
///
/// # Errors
/// [`Error::Declined`], [`Error::Ask`] if nobody is there, or what stopped it.
pub fn forget(cargo_home: &Path, index: &str, settings: &Settings, ui: Ui) -> Result<(), Error> {
    let question = format!("Remove the enrolment for {}?", escape(index));
    if !ui.typed_yes(&question, settings.wait.pin_prompt())? {
        return Err(Error::Declined);
    }
    remove(cargo_home, index, ui)
}

fn remove(cargo_home: &Path, index: &str, ui: Ui) -> Result<(), Error> {
    let mut edit = Edit::begin(cargo_home)?;
    let removed = edit.enrollments().registry(index).cloned();
    edit.remove(index)?;
    for card in removed.iter().flat_map(|registry| &registry.cards) {
        for key in &card.keys {
            ui.say(format_args!(
                "the {} key stays in slot {} of YubiKey {} ({}): {}",
                key.role,
                key.slot,
                card.serial,
                escape(&card.label),
                key.public.id()
            ));
        }
    }
    ui.say(format_args!("removed the enrolment for {}", escape(index)));
    ui.note("the registry still trusts these keys: have them revoked there, or take them back with `yk-cargo enroll --existing`");
    Ok(())
}
