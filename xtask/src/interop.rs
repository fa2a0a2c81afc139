//! `cargo xtask interop`: programs that are not ours judge what we built.
//!
//! They are heavy and change seldom, so what was built of them stays in the person's cache folder, one folder for each
//! version and compiler. A machine that is used once names the tree's own with `CARGO_TARGET_DIR`: part of it is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::say::{command, headline, say};
use crate::workspace::{cache, cargo, root, rustc, succeeds};
use crate::{Failure, Outcome, prerequisites};

/// The Debian packages that the foreign programs need: one a line, a reason after `#`.
const PACKAGES: &str = "debian-packages.txt";

/// Runs the tests of `interop/`.
///
/// # Errors
/// What is missing, or that a test failed.
pub(crate) fn run() -> Outcome {
    let folder = root().join("interop");
    if !folder.join("Cargo.toml").is_file() {
        return Err(Failure::new("there is no interop/ in this tree"));
    }
    prerequisites::provide(&[prerequisites::BUILD])?;
    install_packages(&folder.join(PACKAGES))?;
    let target = target_folder()?;
    let arguments = ["test", "--manifest-path", "interop/Cargo.toml", "--workspace", "--locked"];
    headline("Checking: interop");
    say(format_args!("What is built stays in {}", target.display()));
    command(format_args!("cargo {}", arguments.join(" ")));
    match cargo().args(arguments).env("CARGO_TARGET_DIR", &target).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("interop failed ({status})"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}

/// `CARGO_TARGET_DIR` where that is set, else one that outlives the tree.
fn target_folder() -> Outcome<PathBuf> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()) {
        // A relative one counts from here; cargo is started in the workspace's folder.
        return std::path::absolute(folder)
            .map_err(|error| Failure::new(format!("CARGO_TARGET_DIR cannot be found: {error}")));
    }
    let folder = cache()?.join("yk-cargo-interop").join(format!(
        "interop-{}-{}",
        env!("CARGO_PKG_VERSION"),
        rustc_version()?
    ));
    forget_ours(&folder)?;
    Ok(folder)
}

/// The folder is shared by all trees of this version. What is foreign in it does not change; what is ours may have been built
/// from another tree, and cargo, which goes by times, would take it.
fn forget_ours(target: &Path) -> Outcome {
    let arguments = ["clean", "--quiet", "--manifest-path", "interop/Cargo.toml", "--locked"];
    let ours = ["--package", "yk-cargo-interop", "--package", "plain-proxy", "--package", "mock-card"];
    match cargo().args(arguments).args(ours).env("CARGO_TARGET_DIR", target).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("what interop built before could not be removed ({status})"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}

/// On other systems than Debian's, the person has to know.
fn install_packages(list: &Path) -> Outcome {
    let Ok(text) = std::fs::read_to_string(list) else { return Ok(()) };
    let wanted = packages(&text);
    if !succeeds("dpkg-query", &["--version"]) {
        say(format_args!("Needed, by the names of Debian's packages: {}", wanted.join(" ")));
        return Ok(());
    }
    let missing: Vec<_> = wanted.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() { Ok(()) } else { prerequisites::install(&missing) }
}

fn packages(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| line.split('#').next());
    names.map(str::trim).filter(|name| !name.is_empty()).collect()
}

fn is_installed(package: &str) -> bool {
    let status =
        Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", package]).output();
    status.is_ok_and(|output| output.stdout == b"installed")
}

/// As in `1.95.0`.
fn rustc_version() -> Outcome<String> {
    let text = rustc(&["--version"])?;
    let version = text.split_whitespace().nth(1).map(str::to_owned);
    version.ok_or_else(|| Failure::new("rustc does not tell its version"))
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn a_package_is_named_before_its_reason() {
        let text = "# for the tests\nlibssl-dev # cargo links it\n\n  zlib1g-dev\n";
        assert_eq!(packages(text), ["libssl-dev", "zlib1g-dev"]);
    }
}
