//! The commands: one file for each, with its arguments.

use std::io::Read as _;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::text::{in_ascii, tame};

pub mod arguments;
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
mod standing;
pub mod status;
pub mod token;
pub mod unseal;
pub mod verify;

/// Prints text for a person to stdout: whoever chose what stands in it, it drives no terminal.
fn print(text: impl std::fmt::Display) -> Result<(), Error> {
    print_raw(tame(text))
}

/// Prints JSON to stdout; the same holds for it.
fn print_json(value: &serde_json::Value) -> Result<(), Error> {
    print_raw(in_ascii(value))
}

/// Prints a line to stdout as it is. It is no error if the reader has gone, as `head` does.
fn print_raw(text: impl std::fmt::Display) -> Result<(), Error> {
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
