//! Having cargo ask this program for a registry's tokens: one line of `$CARGO_HOME/config.toml`, if the person agrees.

use std::path::PathBuf;

use crate::cargo_config::{CargoConfig, ConfiguredRegistry};
use crate::commands::arguments::Setup;
use crate::context::Context;
use crate::error::Error;
use crate::text::escape;
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

/// Sets the credential provider, or says what is missing. Where nobody is there to be asked, nothing is written.
///
/// # Errors
/// Cargo's configuration cannot be read or written.
pub(super) fn provider(
    registry: &ConfiguredRegistry,
    choice: Choice,
    context: &Context,
    ui: Ui,
) -> Result<(), Error> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("yk-cargo"));
    let line = CargoConfig::provider_line(&program);
    let Some(section) = registry.section() else {
        ui.note(format_args!("put `{line}` into this registry's section of $CARGO_HOME/config.toml"));
        return Ok(());
    };
    let configured = context.cargo.provider_of(registry)?;
    if configured
        .as_deref()
        .is_some_and(|provider| line.ends_with(provider) || line.contains(&format!("{provider:?}")))
    {
        return Ok(());
    }
    if let Some(other) = configured.filter(|_| choice != Choice::Write) {
        ui.warn(format_args!("cargo asks `{}` for tokens of this registry now", escape(&other)));
    }
    let section = format!("{}\n    {line}", escape(&section));
    let question = format!("Write this into $CARGO_HOME/config.toml?\n    {section}\n");
    let write = match choice {
        Choice::Write => true,
        Choice::Leave => false,
        Choice::Ask => ui.is_interactive() && ui.confirm(&question, context.settings.wait.pin_prompt())?,
    };
    if write {
        let file = context.cargo.set_provider(registry, &program)?;
        ui.say(format_args!("wrote {line} into {}", file.display()));
    } else {
        ui.note(format_args!("cargo will ask this program once $CARGO_HOME/config.toml has\n    {section}"));
    }
    Ok(())
}
