//! `cargo xtask dist`: what a release hands out. For each program a tarball and a bill of materials, on Debian's family a .deb as well,
//! and a file of checksums over all of it.
//!
//! The same build gives the same bytes: the only time in there is the commit's (`SOURCE_DATE_EPOCH`). The paths of the machine that
//! builds are not in there, so that another machine's build can be the same; whether it is has not been compared.

use std::fs;
use std::path::{Path, PathBuf};

use crate::say::{headline, say};
use crate::workspace::{root, succeeds};
use crate::{Failure, Outcome, prerequisites};

mod build;
mod checksums;
mod date;
mod deb;
mod files;
mod inside;
mod licences;
mod sbom;
mod tarball;

use build::Build;
use date::Date;
use inside::Inside;

/// A program that is released.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Where its package is in the workspace.
    folder: &'static str,
    summary: &'static str,
    /// For a package manager: what it is, a paragraph a line.
    description: &'static [&'static str],
    /// Debian packages without which it is of little use.
    recommends: &'static str,
    /// Whether it is for Linux alone, where it is tested.
    linux_only: bool,
}

impl Program {
    /// Whether it is one that runs as long as the computer does.
    fn is_service(&self) -> bool {
        !self.service_files().is_empty()
    }

    /// In `dist/` of its folder: what a system needs to run it.
    fn service_files(&self) -> &'static [&'static str] {
        if self.folder == "gateway" {
            &["registry-gateway.service", "registry-gateway.sysusers"]
        } else {
            &[]
        }
    }
}

/// All of them.
pub(crate) const PROGRAMS: [Program; 3] = [
    Program {
        name: "yk-cargo",
        folder: "",
        summary: "Cargo credential provider that signs with a YubiKey",
        description: &[
            "It has a key that cannot leave your YubiKey sign a token for each operation of cargo's (RFC 3231), instead of a password that is sent along. A publish token names one crate, one version and one checksum.",
            "It also keeps bearer tokens sealed to the card, and verifies who published what a Cargo.lock names.",
        ],
        recommends: "pcscd, yubikey-manager",
        linux_only: false,
    },
    Program {
        name: "registry-gateway",
        folder: "gateway",
        summary: "Cargo registry gateway for asymmetric tokens",
        description: &[
            "It verifies RFC 3231 tokens in front of a Cargo registry that takes bearer tokens, or with a small store of its own, and writes every change into a transparency log.",
            "The service is neither enabled nor started by the installation, because the URL of a registry is chosen once and for good: set it in /etc/registry-gateway first.",
        ],
        recommends: "",
        linux_only: true,
    },
    Program {
        name: "mock-card",
        folder: "mock-card",
        summary: "YubiKey in software, for tests of smart-card programs",
        description: &[
            "Programs that use PC/SC take it for a reader with a YubiKey in it. It needs neither hardware nor root nor a daemon, and a test can touch it, unplug it, or have it fail.",
            "It keeps its keys in the clear: it is for tests alone.",
        ],
        recommends: "libpcsclite1",
        linux_only: true,
    },
];

/// Where it all goes, below the target folder.
pub(crate) const FOLDER: &str = "packages";

/// What is to be made.
pub(crate) struct Order<'a> {
    /// A target triple, for another system than this one.
    pub(crate) target: Option<&'a str>,
    /// What Debian puts after the version, for a package that is built once more.
    pub(crate) revision: u32,
}

/// Builds and packs everything.
///
/// # Errors
/// What is missing, or what failed.
pub(crate) fn run(target: Option<&str>) -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD])?;
    if target.is_none() && deb::is_for_here() {
        prerequisites::provide(&[prerequisites::PACKAGE])?;
    }
    let made = make(&Order { target, revision: 1 })?;
    headline("Made");
    for file in files::names(&made)? {
        say(format_args!("   {}", made.join(file).display()));
    }
    Ok(())
}

/// Gives the folder with what was made. What was in there before is gone.
///
/// # Errors
/// What failed.
pub(crate) fn make(order: &Order<'_>) -> Outcome<PathBuf> {
    let date = Date::of_source()?;
    let build = Build::of(order.target)?;
    let programs: Vec<_> =
        PROGRAMS.iter().filter(|program| !program.linux_only || build.is_for_linux()).collect();
    headline("Building for release (the first time takes some ten minutes)");
    build.run(&programs)?;
    headline("Packing");
    let inside = Inside::read(&programs, &build.target)?;
    let folder = files::fresh(&build.folder().join(FOLDER))?;
    for program in &programs {
        let crates = inside.of(program.name)?;
        let bill = sbom::text(program, &crates, date, &build)?;
        files::write(&folder.join(format!("{}.cdx.json", stem(program, &build))), bill)?;
        let licences = licences::Licences::read(&crates)?;
        let printed = if build.runs_here() {
            Printed::by(&build.binary(program), &folder)?
        } else {
            Printed::default()
        };
        tarball::make(&folder, program, &build, &licences, &printed, date)?;
        if order.target.is_none() && deb::is_possible() {
            deb::make(&folder, program, &build, &licences, &printed, (date, order.revision))?;
        }
    }
    if order.target.is_some() || !deb::is_possible() {
        say(
            "Skipped: the .deb packages, for which this has to be Debian or Ubuntu, and the programs for this system",
        );
    }
    checksums::write(&folder)?;
    Ok(folder)
}

/// As in `yk-cargo-0.1.0-x86_64-unknown-linux-gnu`.
fn stem(program: &Program, build: &Build) -> String {
    format!("{}-{}-{}", program.name, VERSION, build.target)
}

/// All members have it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a program prints of itself; nothing where it cannot run.
#[derive(Default)]
struct Printed {
    /// Scripts, by their shells.
    completions: Vec<(&'static str, Vec<u8>)>,
    /// By the names of their files.
    man_pages: Vec<(String, Vec<u8>)>,
}

impl Printed {
    /// Asks the program, which writes into the folder for a moment.
    fn by(binary: &Path, folder: &Path) -> Outcome<Self> {
        let completions =
            ["bash", "zsh", "fish"].map(|shell| (shell, build::output(binary, &["completions", shell])));
        let completions =
            completions.into_iter().map(|(shell, script)| Ok((shell, script?))).collect::<Outcome<_>>()?;
        let folder = files::fresh(&folder.join("man"))?;
        let path = folder.to_str().ok_or_else(|| Failure::new("the target folder's path is not UTF-8"))?;
        build::output(binary, &["man", path])?;
        let names = files::names(&folder)?.into_iter();
        let man_pages = names
            .map(|name| files::read(&folder.join(&name)).map(|text| (name, text)))
            .collect::<Outcome<_>>()?;
        fs::remove_dir_all(&folder).map_err(|error| files::cannot("remove", &folder, &error))?;
        Ok(Self { completions, man_pages })
    }
}

/// A file of the workspace.
fn of_workspace(name: &str) -> Outcome<Vec<u8>> {
    files::read(&root().join(name))
}

/// Whether a command is there. Most print their version; that is enough.
fn has(program: &str) -> bool {
    succeeds(program, &["--version"])
}
