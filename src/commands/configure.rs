//! Having cargo ask this program for a registry's tokens: lines of the person's own configuration, if the person agrees.

use crate::cargo_config::{
    self, Configuration, ConfiguredRegistry, DecidedBy, ProviderChange, Scope, our_command,
};
use crate::commands::arguments::Setup;
use crate::commands::standing::Served;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::text::{escape, escape_path};
use crate::ui::Ui;

/// `--configure`, `--no-configure`, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Write,
    Leave,
    Ask,
}

impl Choice {
    pub(super) fn of(setup: &Setup) -> Self {
        match (setup.configure, setup.no_configure) {
            (true, _) => Self::Write,
            (false, true) => Self::Leave,
            (false, false) => Self::Ask,
        }
    }
}

/// The registry that a person means. One that only a project names can be taken over into the person's own configuration.
///
/// # Errors
/// Cargo's configuration does not say, or cannot be read or written.
pub(super) fn registry(
    name_or_url: &str,
    enrollments: &Enrollments,
    context: &Context,
    ui: Ui,
) -> Result<ConfiguredRegistry, Error> {
    match context.registry(name_or_url, enrollments) {
        Err(Error::CargoConfig(error @ cargo_config::Error::OnlyInProject { .. })) if ui.is_interactive() => {
            ui.say(&error);
            let cargo_config::Error::OnlyInProject { name, index, .. } = error else {
                return Err(error.into());
            };
            let question = format!("Copy `[registries.{}]` into your own configuration?", escape(&name));
            if !ui.confirm(&question, context.settings.wait.pin_prompt())? {
                return Err(Error::Declined);
            }
            let file = context.cargo.add_registry(&name, &index)?;
            ui.say(format_args!("wrote its index to {}", file.display()));
            Ok(ConfiguredRegistry { index, name: Some(name) })
        }
        registry => registry,
    }
}

/// Sets the credential provider, or says what is missing. Where nobody is there to be asked, nothing is written. Gives whether cargo's
/// configuration names it now.
///
/// # Errors
/// Cargo's configuration cannot be read; what was to be written cannot be.
pub(super) fn provider(
    registry: &ConfiguredRegistry,
    choice: Choice,
    context: &Context,
    ui: Ui,
) -> Result<bool, Error> {
    let cargo = context.cargo.read()?;
    if !is_set(&cargo, registry)? {
        let change = match cargo.provider_change(registry, &our_command()) {
            Err(error) if choice != Choice::Write => {
                ui.note(format_args!("cargo does not use yk-cargo yet: {}", error.with_hint()));
                return Ok(false);
            }
            change => change?,
        };
        if !write(&change, registry, choice, &cargo, context, ui)? {
            return Ok(false);
        }
    }
    // What was written is not all that cargo goes by.
    let enrollments = Enrollments::load(context.cargo.home())?;
    let served =
        Served { registry: registry.clone(), is_sealed: enrollments.signing(&registry.index).is_none() };
    if let Some(problem) = served.obstacle(&enrollments, &context.cargo.read(), true) {
        ui.warn(problem);
    }
    Ok(true)
}

/// Whether the person's own configuration names this very program.
///
/// # Errors
/// Cargo refuses its configuration.
pub(super) fn is_set(cargo: &Configuration, registry: &ConfiguredRegistry) -> Result<bool, Error> {
    for scope in [Scope::Own, Scope::Here] {
        let providers = cargo.providers(scope, registry)?;
        if let (DecidedBy::Registry, [provider]) = (providers.by, &providers.asked[..])
            && !provider.decided_at().is_projects()
            && provider.command.len() == 1
            && (provider.program() == our_command() || provider.is_this_program())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file that is changed, as a person knows it.
pub(super) fn file_of(change: &ProviderChange, cargo: &Configuration) -> String {
    if change.file == cargo.home_file() {
        "$CARGO_HOME/config.toml".into()
    } else {
        escape_path(&change.file)
    }
}

/// Whether it was written.
fn write(
    change: &ProviderChange,
    registry: &ConfiguredRegistry,
    choice: Choice,
    cargo: &Configuration,
    context: &Context,
    ui: Ui,
) -> Result<bool, Error> {
    let file = file_of(change, cargo);
    let lines = [std::slice::from_ref(&change.section), &change.lines].concat();
    let section = lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n    ");
    // A name that only a project gives the registry is the person's once they have said so.
    let only_in_project = cargo.only_in_project(registry)?;
    let may_write_unasked = choice == Choice::Write && only_in_project.is_none();
    if choice == Choice::Write && !ui.is_interactive() {
        only_in_project.map_or(Ok(()), Err)?;
    }
    let providers = cargo.providers(Scope::Own, registry)?;
    if let (DecidedBy::Registry, [other]) = (providers.by, &providers.asked[..])
        && choice != Choice::Write
    {
        ui.warn(format_args!("cargo currently asks `{}` for this registry's tokens", other.shown()));
    }
    let question = format!("Write this into {file}?\n    {section}\n");
    let yes = match choice {
        _ if may_write_unasked => true,
        Choice::Leave => false,
        Choice::Write | Choice::Ask => {
            ui.is_interactive() && ui.agree(&question, context.settings.wait.pin_prompt())?
        }
    };
    let by_hand = || ui.note(format_args!("cargo will use yk-cargo once {file} contains\n    {section}"));
    if !yes {
        by_hand();
        return Ok(false);
    }
    change.write().inspect_err(|_| by_hand())?;
    ui.say(format_args!("wrote {} into {}", change.lines.join(", "), change.file.display()));
    let name = cargo.name_by_url(Scope::Own, registry)?;
    if let Some(variable) = name.as_ref().and_then(|name| name.origin.variable()) {
        ui.note(format_args!(
            "while {variable} is set, cargo calls this registry `{}` and reads that section",
            escape(&change.name)
        ));
    }
    Ok(true)
}
