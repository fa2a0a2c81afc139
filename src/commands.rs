//! One use case a file.

use std::path::PathBuf;

use crate::cargo_config::CargoConfig;
use crate::cli::Command;
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

/// The one way to stdout.
fn print(text: impl std::fmt::Display) -> Result<(), Error> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{text}").map_err(Error::Stdio)
}
