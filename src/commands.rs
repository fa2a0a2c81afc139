//! The commands: one file for each, with its arguments.

use std::io::{Read as _, Write as _};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::text::fitted::{columns, fitted};
use crate::text::{in_ascii, tame};

pub mod arguments;
pub mod attest;
pub mod audit;
mod candidates;
pub mod completions;
mod configure;
pub mod doctor;
pub mod enroll;
mod finding;
pub mod forget;
pub mod inspect;
pub mod list;
pub mod man;
pub mod migrate;
pub mod proof;
mod proofs_shown;
mod registered;
pub mod rotate;
pub mod seal;
mod sealed_tokens;
pub mod sign;
pub mod stage;
mod standing;
pub mod status;
pub mod token;
pub mod unseal;
pub mod verify;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints text for a person to stdout: whoever chose what stands in it, it drives no terminal.
fn print(text: impl std::fmt::Display) -> Result<(), Error> {
    print_raw(fitted(&tame(text), 0, columns(std::io::stdout())))
}

/// Prints JSON to stdout; the same holds for it.
fn print_json(value: &serde_json::Value) -> Result<(), Error> {
    print_raw(in_ascii(value))
}

/// Prints a line to stdout as it is. It is no error if the reader has gone, as `head` does.
fn print_raw(text: impl std::fmt::Display) -> Result<(), Error> {
    written(writeln!(std::io::stdout().lock(), "{text}"))
}

fn written(result: std::io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::Stdio),
    }
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Good,
    Bad,
}

/// Prints an indented line to stdout that begins with a mark, in colour where stdout has any.
fn print_marked(mark: Mark, text: impl std::fmt::Display) -> Result<(), Error> {
    match mark {
        Mark::Good => print_styled(GOOD, "  \u{2713}", format_args!(" {text}")),
        Mark::Bad => print_styled(BAD, "  \u{2717}", format_args!(" {text}")),
    }
}

/// Prints a line to stdout whose first word is coloured.
fn print_styled(style: Style, word: &str, text: impl std::fmt::Display) -> Result<(), Error> {
    let mut stdout = AutoStream::auto(std::io::stdout().lock());
    let text = fitted(&tame(text), word.chars().count(), columns(std::io::stdout()));
    written(writeln!(stdout, "{style}{word}{style:#}{text}"))
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
