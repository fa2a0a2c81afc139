//! `unseal`: a sealed token given out, or given back to cargo.

use std::path::PathBuf;

use clap::Args;

use crate::card::access;
use crate::cargo_config::ConfiguredRegistry;
use crate::commands::candidates;
use crate::commands::print_raw;
use crate::context::Context;
use crate::enrollment::{Enrollments, SealedToken};
use crate::error::Error;
use crate::sealed::BearerToken;
use crate::sealed_files;
use crate::text::escape;
use crate::ui::Ui;
use crate::unsealer::{Occasion, Unsealer};

/// Arguments of `unseal`.
#[derive(Debug, Args)]
pub struct Unseal {
    /// crates-io, another registry's name in cargo's configuration, or an index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
    /// Write the token back into cargo's credentials, and let cargo use it from there.
    #[arg(long)]
    pub restore: bool,
    /// Do not ask.
    #[arg(long, requires = "restore")]
    pub yes: bool,
}

/// Runs `yk-cargo unseal`.
///
/// # Errors
/// [`Error::NotSealed`], [`Error::Declined`], [`Error::Ask`] if nobody is there, and everything that stops a token from
/// being opened.
pub fn run(arguments: &Unseal, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let token = context.sealed(&enrollments, &arguments.registry)?;
    let ui = if arguments.yes { Ui::silent() } else { Ui::asking() };
    let shown = escape(token.display_name());
    let question = if arguments.restore {
        format!("Write the token of `{shown}` into cargo's credentials, in plain text?")
    } else {
        format!("Print the token of `{shown}` in plain text?")
    };
    if !arguments.yes && !ui.typed_yes(&question, context.settings.wait.pin_prompt())? {
        return Err(Error::Declined);
    }
    let readers = access::readers(&context.settings.wait);
    // A PIN may be asked for even where no question is.
    let mut unsealer = Unsealer::new(&readers, &context.settings, Ui::asking());
    let occasion = if arguments.restore { "to give it back to cargo" } else { "to print it" };
    let opened = unsealer.unseal(&enrollments, token, Occasion::Other(occasion))?;
    if arguments.restore { restore(token, &opened, context, ui) } else { print_raw(opened.expose()) }
}

/// The token is in both places before the sealed one goes, so that it is never in neither.
fn restore(token: &SealedToken, opened: &BearerToken, context: &Context, ui: Ui) -> Result<(), Error> {
    let registry = ConfiguredRegistry { index: token.index.clone(), name: token.name.clone() };
    let file: PathBuf = context.cargo.store_token(&registry, opened)?;
    ui.say(format_args!("wrote the token of `{}` into {}", escape(token.display_name()), file.display()));
    if context.cargo.unset_provider(&registry)? {
        ui.say("cargo no longer uses yk-cargo for this registry");
    }
    sealed_files::remove(context.cargo.home(), &token.index)?;
    ui.warn("anyone who can read that file can publish in your name");
    Ok(())
}
