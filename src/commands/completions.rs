//! `completions` and the man pages: both come from the definitions of the command line.

use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::{Cli, Completions, Man};
use crate::commands::print;
use crate::error::Error;

/// Runs `yk-cargo completions`.
///
/// # Errors
/// [`Error::Stdio`].
pub fn completions(arguments: &Completions) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "yk-cargo", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}

/// Runs the hidden `yk-cargo man`, for packagers: one page for the program and one for each command.
///
/// # Errors
/// [`Error::Stdio`] if they cannot be written.
pub fn man(arguments: &Man) -> Result<(), Error> {
    write(&arguments.directory).map_err(Error::Stdio)
}

fn write(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory)
}
