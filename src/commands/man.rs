//! The man pages, for packagers: what the definitions of the command line say, and what they do not.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use crate::error::Error;

/// Environment, files and examples.
const MORE: &str = include_str!("man/yk-cargo.roff");

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder for the pages; it is created if necessary.
    pub directory: PathBuf,
}

/// Runs the hidden `yk-cargo man`: one page for the program and one for each command.
///
/// # Errors
/// [`Error::Stdio`] if they cannot be written.
pub fn run(arguments: &Man, cli: Command) -> Result<(), Error> {
    write(&arguments.directory, cli).map_err(Error::Stdio)
}

fn write(directory: &Path, cli: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(cli.disable_help_subcommand(true), directory)?;
    OpenOptions::new().append(true).open(directory.join("yk-cargo.1"))?.write_all(MORE.as_bytes())
}
