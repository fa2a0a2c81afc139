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

/// The person's folder for what can be made again. XDG Base Directory Specification: a relative `XDG_CACHE_HOME` is to be
/// ignored.
///
/// # Errors
/// There is none.
pub(crate) fn cache() -> Outcome<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    caches.ok_or_else(|| Failure::new("set HOME or XDG_CACHE_HOME: there is no cache folder without"))
}

/// Whether a program can be started and likes its arguments. It says nothing and is asked nothing.
pub(crate) fn succeeds(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What the compiler says.
pub(crate) fn rustc(arguments: &[&str]) -> Outcome<String> {
    let output = Command::new("rustc").args(arguments).current_dir(root()).stdin(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok_or_else(|| Failure::new(format!("this failed: rustc {}", arguments.join(" "))))
}

/// Where cargo keeps what it downloads.
pub(crate) fn cargo_home() -> Outcome<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("CARGO_HOME").or_else(|| set("HOME").map(|home| home.join(".cargo")));
    home.ok_or_else(|| Failure::new("set HOME or CARGO_HOME"))
}
