//! One use case a file.

use std::io::Read as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::cargo_config::{self, CargoConfig};
use crate::cli::Command;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::settings::Settings;
use crate::ui;

pub mod attest;
mod cards;
pub mod completions;
mod configure;
pub mod doctor;
pub mod enroll;
mod finding;
pub mod forget;
pub mod inspect;
pub mod list;
pub mod migrate;
pub mod seal;
mod sealed_tokens;
pub mod status;
pub mod token;
pub mod unseal;
pub mod verify;

/// Runs a command of the command line.
///
/// # Errors
/// Whatever stopped it.
pub fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Attest(arguments) => attest::run(&arguments, &Context::load()?),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments, &Context::load()?),
        Command::Enroll(arguments) => enroll::run(&arguments, &Context::load()?),
        Command::Forget(arguments) => forget::run(&arguments, &Context::load()?),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::List(arguments) => list::run(&arguments, &Context::load()?),
        Command::Man(arguments) => completions::man(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments, &Context::load()?),
        Command::Seal(arguments) => seal::run(&arguments, &Context::load()?),
        Command::Status(arguments) => status::run(&arguments, &Context::load()?),
        Command::Token(arguments) => token::run(&arguments, &Context::load()?),
        Command::Unseal(arguments) => unseal::run(&arguments, &Context::load()?),
        Command::Verify(arguments) => verify::run(&arguments, &Context::load()?),
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
        Self::at(home, here)
    }

    /// With this cargo home, seen from this working directory.
    pub(crate) fn at(home: PathBuf, here: PathBuf) -> Result<Self, Error> {
        let settings = Settings::load(&home)?;
        ui::color(settings.color);
        Ok(Self { cargo: CargoConfig::new(home, here), settings })
    }

    /// The enrollment that a person means by an index URL or a name. The name in cargo's configuration counts, and where
    /// it has gone from there, the one it was enrolled under.
    fn enrolled<'a>(&self, enrollments: &'a Enrollments, name_or_url: &str) -> Result<&'a Registry, Error> {
        if let Some(registry) = enrollments.registry(name_or_url) {
            return Ok(registry);
        }
        let found = match self.cargo.resolve(name_or_url) {
            Ok(configured) => enrollments.registry(&configured.index),
            Err(cargo_config::Error::UnknownRegistry { .. }) => enrollments.named(name_or_url),
            Err(error) => return Err(error.into()),
        };
        found.ok_or_else(|| Error::NotEnrolled { registry: name_or_url.to_owned() })
    }
}

/// The one way to stdout. Who stops reading, as `head` does, has seen enough.
fn print(text: impl std::fmt::Display) -> Result<(), Error> {
    use std::io::Write as _;
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::Stdio),
    }
}

fn sha256(file: &mut std::fs::File) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}
