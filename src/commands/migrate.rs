//! `migrate`: tokens that lie in clear in cargo's files are sealed, and taken out of there.
//!
//! The order is what makes it safe to be stopped anywhere: seal, see that it opens, have cargo ask this program, and only
//! then remove what is in clear. Up to the last step the token is in its old place too; a rerun goes on from there.

use clap::Args;

use crate::card::access;
use crate::cargo_config::ConfiguredRegistry;
use crate::cargo_config::credentials::{ClearToken, Rest};
use crate::commands::arguments::serial;
use crate::commands::candidates;
use crate::commands::configure::{self, Choice};
use crate::commands::seal;
use crate::context::Context;
use crate::enrollment::{Enrollments, SealedToken};
use crate::error::Error;
use crate::piv::Serial;
use crate::registry::visit;
use crate::sealed::BearerToken;
use crate::sealer::{Making, Sealer};
use crate::text::{escape_path, foreign_word};
use crate::ui::Ui;
use crate::unsealer::Occasion;

mod plan;

use plan::{Move, Plan};

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Only the token of this registry: crates-io, its name in cargo's configuration, or its index URL.
    ///
    /// With it, a token in a project's `.cargo/config.toml` is migrated too.
    #[arg(long, add = candidates::registries())]
    pub registry: Option<String>,
    /// The tokens of all registries, which is also the default.
    #[arg(long, conflicts_with = "registry")]
    pub all: bool,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Never ask: take the defaults, and fail where a default would be unsafe. Needs --registry or --all.
    #[arg(long)]
    pub yes: bool,
    /// The YubiKey to make the key on, by the number printed on it, if there is no key yet.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards())]
    pub serial: Option<Serial>,
    /// Make a key even if the card still has its default PIN.
    #[arg(long)]
    pub allow_default_pin: bool,
    /// A program that prints the management key in hexadecimal; split at spaces outside double quotes, and run without a shell.
    #[arg(long, value_name = "COMMAND")]
    pub management_key_command: Option<String>,
}

/// Runs `yk-cargo migrate`.
///
/// # Errors
/// Whatever stopped it. A token that was not reached lies where it lay.
pub fn run(arguments: &Migrate, context: &Context) -> Result<(), Error> {
    if arguments.yes && arguments.registry.is_none() && !arguments.all {
        return Err(Error::Usage("--yes cannot ask: name the token with --registry, or add --all"));
    }
    let ui = if arguments.yes { Ui::silent() } else { Ui::asking() };
    let plan = Plan::make(arguments.registry.as_deref(), context)?;
    plan.show(context, ui)?;
    if let several @ 2.. = plan.moves.len() {
        ui.note(format_args!(
            "each is opened once as a check before the plaintext one is removed; a touch counts for 15 seconds, so that takes at most {several} touches"
        ));
    }
    if plan.moves.is_empty() || arguments.dry_run {
        return Ok(());
    }
    if !arguments.yes && !ui.confirm("Continue?", context.settings.wait.pin_prompt())? {
        return Err(Error::Declined);
    }
    let readers = access::readers(&context.settings.wait);
    let registries = plan.moves.iter().map(|moving| &moving.registry);
    let enrollments = Enrollments::load(context.cargo.home())?;
    // What is sealed already is opened for what it was.
    let is_asked = |registry: &&ConfiguredRegistry| {
        !registry.is_crates_io() && enrollments.sealed(&registry.index).is_none()
    };
    let asked: Vec<_> = registries.filter(is_asked).map(|registry| registry.index.clone()).collect();
    // A PIN may be asked for even where no question is.
    let sealer = Sealer {
        context,
        readers: &readers,
        ui: Ui::asking(),
        making: Making::from(arguments),
        greetings: visit::greetings(&asked, &context.settings),
    };
    for moving in &plan.moves {
        migrate(moving, &sealer).inspect_err(|_| {
            ui.note(format_args!(
                "the plaintext token of `{}` is still in {}",
                moving.name(),
                moving.files()
            ));
        })?;
    }
    advise(&plan.moves, &sealer)
}

impl<'a> From<&'a Migrate> for Making<'a> {
    fn from(arguments: &'a Migrate) -> Self {
        Self {
            serial: arguments.serial,
            slot: None,
            label: None,
            allow_default_pin: arguments.allow_default_pin,
            management_key_command: arguments.management_key_command.as_deref(),
            without_asking: true,
            reads: None,
        }
    }
}

fn migrate(moving: &Move, sealer: &Sealer<'_>) -> Result<(), Error> {
    let ui = sealer.ui;
    let sealed = match Enrollments::load(sealer.context.cargo.home())?.sealed(&moving.registry.index) {
        Some(sealed) => sealed.clone(),
        None => {
            sealer.key()?;
            sealer.seal(&moving.registry, &moving.token)?
        }
    };
    see_that_it_opens(&sealed, moving, sealer)?;
    configure::provider(&moving.registry, Choice::Write, sealer.context, ui)?;
    let mut copies = moving.copies.iter().peekable();
    while let Some(copy) = copies.next() {
        let rest = copy.remove()?;
        ui.say(format_args!("removed the token of `{}` from {}", moving.name(), shown_file(copy)));
        // Where there are more in the same file, the last one tells.
        if rest == Rest::HasIt && copies.peek().is_none_or(|next| next.file != copy.file) {
            ui.warn(format_args!(
                "{} still has this token elsewhere, perhaps in a comment: remove it there, too",
                shown_file(copy)
            ));
        }
    }
    Ok(())
}

/// Nothing is removed on trust: not even where nobody is there to give the PIN.
fn see_that_it_opens(sealed: &SealedToken, moving: &Move, sealer: &Sealer<'_>) -> Result<(), Error> {
    let opened: BearerToken = sealer.unseal(sealed, Occasion::Check)?;
    if opened.expose() != moving.token.expose() {
        return Err(Error::SealedIsAnother { registry: moving.name() });
    }
    sealer.ui.say("opened it as a check: it is the same");
    Ok(())
}

/// What happened, and what a person should do now.
fn advise(moves: &[Move], sealer: &Sealer<'_>) -> Result<(), Error> {
    let ui = sealer.ui;
    for moving in moves {
        let name = moving.name();
        let word = foreign_word(&name);
        ui.note(format_args!(
            "from now on cargo gets the token of `{name}` from the card; to undo this: yk-cargo unseal {word} --restore"
        ));
        ui.warn(format_args!(
            "backups may still have the plaintext token: make a new one at the registry, revoke this one, and then run: yk-cargo seal {word} --rotate"
        ));
        moving.tell_what_shadows_it(ui);
    }
    seal::warn_of_one_card(sealer.context, ui)
}

fn shown_file(token: &ClearToken) -> String {
    escape_path(&token.file)
}
