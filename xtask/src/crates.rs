//! `cargo xtask crates`: the packages for crates.io. Which files each has, what it says of itself, and whether it builds from that alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::say::{command, headline, say};
use crate::workspace::{cargo, root};
use crate::{Failure, Outcome, prerequisites};

/// In every package.
const EVERYWHERE: [&str; 4] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];
/// What cargo adds.
const OF_CARGO: [&str; 3] = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml.orig"];

/// What is published, in the order of dependence, and what it has beside its sources.
const PUBLISHED: [(&str, &[&str]); 6] = [
    ("asymmetric-token", &[]),
    ("transparency-log", &[]),
    ("crate-file", &[]),
    ("mock-card", &[]),
    ("registry-gateway", &["data/", "dist/", "examples/"]),
    ("yk-cargo", &["CHANGELOG.md"]),
];

/// Where cargo packs and builds them, below the target folder.
const BUILDS: &str = "crates";

/// Checks all packages; none is published.
///
/// # Errors
/// The first package that is not as it should be.
pub(crate) fn run() -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    headline("What each package says, and has");
    let packages = described()?;
    for (name, more) in PUBLISHED {
        let files = files_of(name)?;
        check_description(&packages, name)?;
        check_files(name, &files, more)?;
        say(format_args!("   {name}: {} files", files.len()));
    }
    headline("Each builds from its package alone");
    verify()?;
    headline("So do the examples");
    check_examples()
}

/// What cargo knows of the workspace's packages.
fn described() -> Outcome<Vec<Value>> {
    let arguments = ["metadata", "--locked", "--no-deps", "--format-version", "1"];
    let metadata: Value = serde_json::from_slice(&output(cargo().args(arguments))?)
        .map_err(|error| Failure::new(format!("cargo metadata is not JSON: {error}")))?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// What crates.io and docs.rs show, and what is searched for.
fn check_description(packages: &[Value], name: &str) -> Outcome {
    let package = packages.iter().find(|package| package["name"] == name);
    let package = package.ok_or_else(|| Failure::new(format!("cargo does not know {name}")))?;
    let wrong = |what: &str| Err(Failure::new(format!("{name}: {what}")));
    let some = |field: &str| package[field].as_array().is_some_and(|list| (1..=5).contains(&list.len()));
    match () {
        () if !package["publish"].is_null() => wrong("its manifest keeps it from being published"),
        () if !some("keywords") => wrong("one to five keywords are missing"),
        () if !some("categories") => wrong("one to five categories are missing"),
        () if package["readme"] != "README.md" => wrong("it names no README.md"),
        () if package["license"] != "MIT OR Apache-2.0" => wrong("it has another licence"),
        () if package["description"].as_str().is_none_or(str::is_empty) => wrong("it has no description"),
        () if package["metadata"]["docs"]["rs"].is_null() => wrong("it says nothing to docs.rs"),
        () => Ok(()),
    }
}

/// The files of a package, without a build.
fn files_of(name: &str) -> Outcome<Vec<String>> {
    let arguments = ["package", "--list", "--quiet", "--allow-dirty", "--package", name];
    let list = output(cargo().args(arguments))?;
    // Windows has another separator.
    Ok(String::from_utf8_lossy(&list).lines().map(|file| file.replace('\\', "/")).collect())
}

/// All that must be in there, and nothing that nobody knows of.
fn check_files(name: &str, files: &[String], more: &[&str]) -> Outcome {
    if let Some(missing) = EVERYWHERE.iter().find(|wanted| !files.iter().any(|file| file == *wanted)) {
        return Err(Failure::new(format!("{name}: {missing} is not in the package")));
    }
    let known = |file: &str| {
        file.starts_with("src/")
            || EVERYWHERE.contains(&file)
            || OF_CARGO.contains(&file)
            || more.iter().any(|more| file == *more || more.ends_with('/') && file.starts_with(more))
    };
    match files.iter().find(|file| !known(file)) {
        Some(file) => {
            Err(Failure::new(format!("{name}: {file} is in the package, and nobody needs it there")))
        }
        None => Ok(()),
    }
}

/// Cargo unpacks and builds each as if it came from crates.io, with the others as if they were there.
fn verify() -> Outcome {
    let arguments = ["publish", "--workspace", "--dry-run", "--locked", "--allow-dirty"];
    command(format_args!("cargo {}", arguments.join(" ")));
    // Without a folder in common, each would build all that it depends on anew.
    succeed(cargo().args(arguments).env("CARGO_BUILD_BUILD_DIR", target().join(BUILDS)))
}

/// Cargo leaves out the examples. They are checked where no workspace is above them, with our other packages in the place of crates.io's.
fn check_examples() -> Outcome {
    let packed = target().join(BUILDS).join("package/tmp-crate");
    let place = std::env::temp_dir().join(format!("yk-cargo-crates-{}", std::process::id()));
    let mut outcome = Ok(());
    for (name, _) in PUBLISHED.into_iter().filter(|(_, more)| more.contains(&"examples/")) {
        outcome = outcome.and_then(|()| check_examples_of(name, &packed, &place));
    }
    let _ = fs::remove_dir_all(&place);
    outcome
}

fn check_examples_of(name: &str, packed: &Path, place: &Path) -> Outcome {
    for (other, _) in PUBLISHED {
        unpack(&packed.join(format!("{}.crate", versioned(other))), place)?;
    }
    let mut check = cargo();
    check.args(["check", "--examples", "--offline", "--target-dir"]).arg(target());
    for (other, _) in PUBLISHED.iter().filter(|(other, _)| *other != name) {
        let path = place.join(versioned(other));
        check.arg("--config").arg(format!("patch.crates-io.{other}.path={:?}", path.to_string_lossy()));
    }
    command(format_args!("cargo check --examples   # {name}"));
    succeed(check.current_dir(place.join(versioned(name))))
}

fn unpack(package: &Path, place: &Path) -> Outcome {
    let file = fs::File::open(package);
    let unpacked = file.and_then(|file| tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(place));
    unpacked.map_err(|error| Failure::new(format!("cannot unpack {}: {error}", package.display())))
}

/// As in `yk-cargo-0.1.0`: all members have one version.
fn versioned(name: &str) -> String {
    format!("{name}-{}", env!("CARGO_PKG_VERSION"))
}

fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    set.map_or_else(|| root().join("target"), |folder| root().join(folder))
}

fn output(command: &mut Command) -> Outcome<Vec<u8>> {
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(Failure::new(format!("cargo failed ({})", output.status))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}

fn succeed(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("cargo failed ({status})"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{PUBLISHED, check_description, check_files, described, files_of};

    #[test]
    fn every_package_says_what_it_is_and_has_what_it_needs() {
        let packages = described().unwrap();
        for (name, more) in PUBLISHED {
            check_description(&packages, name).unwrap();
            check_files(name, &files_of(name).unwrap(), more).unwrap();
        }
    }

    #[test]
    fn whatever_may_be_published_is_known_here() {
        let packages = described().unwrap();
        let free = packages.iter().filter(|package| package["publish"].is_null());
        let mut names: Vec<_> = free.filter_map(|package| package["name"].as_str()).collect();
        names.sort_unstable();
        let mut known = PUBLISHED.map(|(name, _)| name);
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn a_file_too_few_or_too_many_is_found() {
        let mut files = super::EVERYWHERE.map(str::to_owned).to_vec();
        files.push("src/lib.rs".to_owned());
        check_files("a", &files, &[]).unwrap();
        files.push("examples/one.rs".to_owned());
        check_files("a", &files, &["examples/"]).unwrap();
        let found = check_files("a", &files, &[]).unwrap_err().to_string();
        assert!(found.contains("examples/one.rs"), "{found}");
        let found = check_files("a", &files[1..], &["examples/"]).unwrap_err().to_string();
        assert!(found.contains("Cargo.toml is not"), "{found}");
    }
}
