//! `rotate`: the statement of two keys that the second takes the place of the first, for those who build on the crates.
//!
//! It changes nothing here: it is shown to them by `verify`, and counts where they have it remembered.

use clap::Args;

use crate::card::access;
use crate::commands::arguments::serial;
use crate::commands::candidates;
use crate::commands::print;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::piv::Serial;
use crate::signer::Signer;
use crate::text::escape;
use crate::trust::{Scope, rotation_block};
use crate::ui::Ui;

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
    /// The crate, or the beginning of several names and `*`.
    #[arg(value_name = "CRATE", value_parser = crates)]
    pub crates: (Scope, String),
    /// The number of the card whose key is trusted so far. Both must be enrolled for the registry.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards())]
    pub from: Serial,
    /// The number of the card whose key replaces it.
    #[arg(long, value_name = "NUMBER", value_parser = serial, add = candidates::cards())]
    pub to: Serial,
}

/// Runs `yk-cargo rotate`.
///
/// # Errors
/// [`Error::NotEnrolled`], [`Error::NotOneOfItsCards`], and everything that stops a signature.
pub fn run(arguments: &Rotate, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let registry = context.enrolled(&enrollments, &arguments.registry)?;
    let card = |serial| {
        let unknown = || Error::not_one_of_its_cards(serial, &registry.index, Some(registry));
        registry.card(serial).ok_or_else(unknown)
    };
    let cards = [card(arguments.from)?, card(arguments.to)?];
    let (readers, ui) = (access::readers(&context.settings.wait), Ui::asking());
    let signer = Signer::new(&readers, &context.settings, ui);
    let rotation = signer.rotate(registry, arguments.crates.clone(), cards)?;
    ui.say(format_args!(
        "from {}\nto   {}\nfor {} of {}",
        rotation.from,
        rotation.to,
        escape(&rotation.written),
        escape(&rotation.index)
    ));
    ui.note("add this to the signers.toml of projects that use the crate; it counts for those who accept it with `yk-cargo verify --lock --remember`");
    print(rotation_block(&rotation).trim_end())
}

fn crates(text: &str) -> Result<(Scope, String), String> {
    Ok((text.parse()?, text.to_owned()))
}
