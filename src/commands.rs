//! One use case a file.

use std::io::Read as _;

use sha2::{Digest as _, Sha256};

use crate::cli::Command;
use crate::context::Context;
use crate::error::Error;

pub mod attest;
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
