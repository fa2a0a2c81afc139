//! The command line: which commands there are. Each command's arguments are defined beside it. Help, completions and
//! the man pages come from these definitions.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::attest::{self, Attest};
use crate::commands::completions::{self, Completions, Man};
use crate::commands::doctor::{self, Doctor};
use crate::commands::enroll::{self, Enroll};
use crate::commands::forget::{self, Forget};
use crate::commands::inspect::{self, Inspect};
use crate::commands::list::{self, List};
use crate::commands::migrate::{self, Migrate};
use crate::commands::seal::{self, Seal};
use crate::commands::status::{self, Status};
use crate::commands::token::{self, Token};
use crate::commands::unseal::{self, Unseal};
use crate::commands::verify::{self, Verify};
use crate::context::Context;
use crate::error::Error;

/// Publish crates with a key that cannot leave your YubiKey.
///
/// As `credential-provider = "yk-cargo"` in a registry's section of $CARGO_HOME/config.toml it signs one short-lived
/// token for each thing cargo does there. `yk-cargo enroll REGISTRY` makes the keys and sets that up.
#[derive(Debug, Parser)]
#[command(name = "yk-cargo", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make keys on a YubiKey for a registry, or adopt the ones it has.
    Enroll(Enroll),
    /// Show which cards are plugged in, and what the next publish will ask for.
    Status(Status),
    /// Look for what could stop cargo from signing, and say what to do about it.
    Doctor(Doctor),
    /// Show enrolled registries, cards and keys; no card is needed.
    List(List),
    /// Show what a token says, without judging it.
    Inspect(Inspect),
    /// Seal a bearer token to a YubiKey, for registries that take nothing else, such as crates.io.
    Seal(Seal),
    /// Seal the tokens that lie in clear in cargo's files, and remove them there.
    Migrate(Migrate),
    /// Print one token, for tools that do not run credential providers.
    Token(Token),
    /// Check that a version, or all of a lock file, is what keys you trust have signed.
    Verify(Verify),
    /// Print the card's certificates that it made the enrolled keys itself, in PEM.
    Attest(Attest),
    /// Print a sealed token, or give it back to cargo.
    Unseal(Unseal),
    /// Remove an enrollment from this computer; the keys stay on their cards.
    Forget(Forget),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// Write the man pages, for packagers.
    #[command(hide = true)]
    Man(Man),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever stopped it.
    pub fn run(self) -> Result<(), Error> {
        match self {
            Self::Attest(arguments) => attest::run(&arguments, &Context::load()?),
            Self::Completions(arguments) => completions::completions(&arguments, Cli::command()),
            Self::Doctor(arguments) => doctor::run(&arguments, &Context::load()?),
            Self::Enroll(arguments) => enroll::run(&arguments, &Context::load()?),
            Self::Forget(arguments) => forget::run(&arguments, &Context::load()?),
            Self::Inspect(arguments) => inspect::run(&arguments),
            Self::List(arguments) => list::run(&arguments, &Context::load()?),
            Self::Man(arguments) => completions::man(&arguments, Cli::command()),
            Self::Migrate(arguments) => migrate::run(&arguments, &Context::load()?),
            Self::Seal(arguments) => seal::run(&arguments, &Context::load()?),
            Self::Status(arguments) => status::run(&arguments, &Context::load()?),
            Self::Token(arguments) => token::run(&arguments, &Context::load()?),
            Self::Unseal(arguments) => unseal::run(&arguments, &Context::load()?),
            Self::Verify(arguments) => verify::run(&arguments, &Context::load()?),
        }
    }
}
