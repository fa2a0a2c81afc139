//! The command line: which commands there are. Each command's arguments are defined beside it. Help, completions and
//! the man pages come from these definitions.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::attest::{self, Attest};
use crate::commands::audit::{self, Audit};
use crate::commands::completions::{self, Completions};
use crate::commands::doctor::{self, Doctor};
use crate::commands::enroll::{self, Enroll};
use crate::commands::forget::{self, Forget};
use crate::commands::inspect::{self, Inspect};
use crate::commands::list::{self, List};
use crate::commands::man::{self, Man};
use crate::commands::migrate::{self, Migrate};
use crate::commands::proof::{self, SaveProof};
use crate::commands::rotate::{self, Rotate};
use crate::commands::seal::{self, Seal};
use crate::commands::sign::{self, Sign};
use crate::commands::stage::{self, Stage};
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
    /// Find what could stop cargo from signing, and show how to fix it.
    Doctor(Doctor),
    /// Show enrolled registries, cards and keys; no card is needed.
    List(List),
    /// Show what a token says, without verifying it.
    Inspect(Inspect),
    /// Seal a bearer token to a YubiKey, for registries that accept nothing else, such as crates.io.
    Seal(Seal),
    /// Seal the plaintext tokens in cargo's files, and remove them from there.
    Migrate(Migrate),
    /// Print one token, for tools that do not run credential providers.
    Token(Token),
    /// Check that a version, or every package of a lock file, was signed by keys you trust.
    Verify(Verify),
    /// Check that a registry's log is the one you know, and only continues what you have seen.
    Audit(Audit),
    /// Save the proof of a version as a file.
    Proof(SaveProof),
    /// Sign a proof of a version, for registries that give none, such as crates.io.
    Sign(Sign),
    /// Show what machines have staged at a registry, and approve or reject it.
    Stage(Stage),
    /// Sign with two cards that the key of one replaces the key of the other.
    Rotate(Rotate),
    /// Print the card's certificates, in PEM, that it made the enrolled keys itself.
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
            Self::Audit(arguments) => audit::run(&arguments, &Context::load()?),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Doctor(arguments) => doctor::run(&arguments),
            Self::Enroll(arguments) => enroll::run(&arguments, &Context::load()?),
            Self::Forget(arguments) => forget::run(&arguments, &Context::load()?),
            Self::Inspect(arguments) => inspect::run(&arguments),
            Self::List(arguments) => list::run(&arguments, &Context::load()?),
            Self::Man(arguments) => man::run(&arguments, Cli::command()),
            Self::Migrate(arguments) => migrate::run(&arguments, &Context::load()?),
            Self::Proof(arguments) => proof::run(&arguments, &Context::load()?),
            Self::Rotate(arguments) => rotate::run(&arguments, &Context::load()?),
            Self::Seal(arguments) => seal::run(&arguments, &Context::load()?),
            Self::Sign(arguments) => sign::run(&arguments, &Context::load()?),
            Self::Stage(arguments) => stage::run(&arguments, &Context::load()?),
            Self::Status(arguments) => status::run(&arguments, &Context::load()?),
            Self::Token(arguments) => token::run(&arguments, &Context::load()?),
            Self::Unseal(arguments) => unseal::run(&arguments, &Context::load()?),
            Self::Verify(arguments) => verify::run(&arguments, &Context::load()?),
        }
    }
}
