//! The workspace: where it is, and cargo in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Failure, Outcome};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    // `cargo run` sets the variable; the constant is for whoever starts the program by hand.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(package).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// The cargo that runs us, started in the workspace and without what it set for us alone: the description of the
/// package `xtask`, which would make build scripts believe that their surroundings have changed.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    let ours =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|set| name.starts_with(set));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(ours) {
            command.env_remove(name);
        }
    }
    command.env_remove("CARGO").current_dir(root()).stdin(Stdio::null());
    command
}

/// The path of the cargo that runs us.
pub(crate) fn cargo_program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// The folder with the workspace's built programs: the one we were started from.
pub(crate) fn programs() -> Outcome<PathBuf> {
    let this = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find the programs: {error}")))?;
    Ok(this.parent().map_or_else(PathBuf::new, Path::to_owned))
}

/// Whether a program can be started and likes its arguments. It says nothing and is asked nothing.
pub(crate) fn succeeds(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
