//! One use case a file.

use std::path::PathBuf;

use crate::cargo_config::{self, CargoConfig};
use crate::cli::Command;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::settings::Settings;

pub mod enroll;
pub mod forget;
pub mod inspect;
pub mod list;
pub mod token;

/// Runs a command of the command line.
///
/// # Errors
/// Whatever stopped it.
pub fn run(command: Command) -> Result<(), Error> {
    if let Command::Inspect(arguments) = command {
        return inspect::run(&arguments);
    }
    let context = Context::load()?;
    match command {
        Command::Enroll(arguments) => enroll::run(&arguments, &context),
        Command::Forget(arguments) => forget::run(&arguments, &context),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::List(arguments) => list::run(&arguments, &context),
        Command::Token(arguments) => token::run(&arguments, &context),
    }
}

/// What most commands need of their surroundings.
#[derive(Debug)]
pub struct Context {
    /// Cargo's home and configuration.
    pub cargo: CargoConfig,
    /// The person's settings.
    pub settings: Settings,
}

impl Context {
    fn load() -> Result<Self, Error> {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let home = home::cargo_home_with_cwd(&here).map_err(Error::Stdio)?;
        let settings = Settings::load(&home)?;
        Ok(Self { cargo: CargoConfig::new(home, here), settings })
    }
}

/// The enrolled registry that a person means by a URL or a name. The name in cargo's configuration counts, and where it
/// has gone from there, the one it was enrolled under.
fn enrolled<'a>(
    enrollments: &'a Enrollments,
    cargo: &CargoConfig,
    registry: &str,
) -> Result<&'a Registry, Error> {
    if let Some(found) = enrollments.registry(registry) {
        return Ok(found);
    }
    let found = match cargo.resolve(registry) {
        Ok(configured) => enrollments.registry(&configured.index),
        Err(cargo_config::Error::UnknownRegistry { .. }) => enrollments.named(registry),
        Err(error) => return Err(error.into()),
    };
    found.ok_or_else(|| Error::NotEnrolled { registry: registry.to_owned() })
}

/// The one way to stdout.
fn print(text: impl std::fmt::Display) -> Result<(), Error> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{text}").map_err(Error::Stdio)
}
