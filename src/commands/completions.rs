//! `completions` and the man pages: both come from the definitions of the command line.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::commands::print_raw;
use crate::error::Error;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Runs `yk-cargo completions`.
///
/// # Errors
/// [`Error::Stdio`].
pub fn completions(arguments: &Completions, mut cli: Command) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut cli, "yk-cargo", &mut script);
    print_raw(String::from_utf8_lossy(&script).trim_end())
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder for the pages; it is made if it is not there.
    pub directory: PathBuf,
}

/// Runs the hidden `yk-cargo man`, for packagers: one page for the program and one for each command.
///
/// # Errors
/// [`Error::Stdio`] if they cannot be written.
pub fn man(arguments: &Man, cli: Command) -> Result<(), Error> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(cli.disable_help_subcommand(true), directory))
        .map_err(Error::Stdio)
}
