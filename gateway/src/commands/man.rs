//! The man pages, for packagers: what the definitions of the command line say, and what they do not.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use clap::Command;

/// Environment, files and examples.
const MORE: &str = include_str!("man/registry-gateway.roff");

/// Writes one page for the program and one for each command into a folder, which is made if it is not there.
pub(crate) fn write(directory: &Path, command: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command.name("registry-gateway").disable_help_subcommand(true), directory)?;
    OpenOptions::new().append(true).open(directory.join("registry-gateway.1"))?.write_all(MORE.as_bytes())
}
