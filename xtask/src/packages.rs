//! `cargo xtask packages`: what `cargo xtask dist` made is installed, used, upgraded and purged in a clean Debian.
//!
//! That Debian is made once and stays in the person's cache folder. What a run writes into it is in memory, and gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::dist::{self, Order};
use crate::say::{headline, say};
use crate::workspace::{cargo_home, root, succeeds};
use crate::{Failure, Outcome, prerequisites};

mod debian;

use debian::Debian;

/// What is looked at, in this order, each with the script that does it. They run one after the other in the same Debian.
const JUDGES: [(&str, &str); 8] = [
    ("lintian finds no error", include_str!("packages/lint.sh")),
    (
        "apt installs the packages, and what they bring is where it belongs",
        include_str!("packages/install.sh"),
    ),
    ("three shells complete, man finds its pages", include_str!("packages/shells.sh")),
    (
        "somebody enrolls, publishes and verifies with the installed programs",
        include_str!("packages/person.sh"),
    ),
    ("the unit is sound, and its command serves as its user", include_str!("packages/service.sh")),
    ("an upgrade keeps configuration, key and store", include_str!("packages/upgrade.sh")),
    ("systemd starts it, brings it back, upgrades and removes it", include_str!("packages/boot.sh")),
    ("removed and purged, what must stay has stayed and nothing else", include_str!("packages/purge.sh")),
];

/// What several of them use.
const COMMON: &str = include_str!("packages/common.sh");

/// Makes the packages, and has them judged.
///
/// # Errors
/// What is missing, or the first thing that is not as it should be.
pub(crate) fn run() -> Outcome {
    if !cfg!(target_os = "linux") {
        return Err(Failure::new("packages for Debian are judged on Linux"));
    }
    prerequisites::provide(&[prerequisites::BUILD, prerequisites::PACKAGE, prerequisites::CHROOT])?;
    if !prerequisites::is_root() {
        return Err(Failure::new("a Debian of its own can be entered by root alone: run this as root"));
    }
    let folder = make()?;
    let debian = Debian::ready()?;
    let (sources, of_cargo) = (root(), cargo_home()?.join("registry"));
    let mut script = format!(
        "set -eu\nexport SOURCES='{}' CARGO_SOURCES='{}' AS_SERVICE='{}'\n",
        sources.display(),
        of_cargo.display(),
        as_service()?
    );
    for (index, (what, judge)) in JUDGES.iter().enumerate() {
        let name = format!("{index}.sh");
        fs::write(folder.join(&name), format!("{COMMON}\n{judge}"))
            .map_err(|error| cannot(&folder, &error))?;
        script += &format!("printf '\\n%s\\n' '{}. {what}'\nsh -eu /judged/{name}\n", index + 1);
    }
    let started = Instant::now();
    debian.run(&script, &folder)?;
    headline("The action of mock-card installs it, and refuses a damaged one");
    try_action(&folder)?;
    say(format_args!("\nAll of it holds ({:.0} s).", started.elapsed().as_secs_f64()));
    Ok(())
}

/// The line of the gateway's page that runs a command of root's as the service is run.
fn as_service() -> Outcome<String> {
    let page = read(&root().join("docs/gateway.md"))?;
    let line = page.lines().find(|line| line.starts_with("systemd-run "));
    line.map(str::to_owned).ok_or_else(|| Failure::new("docs/gateway.md has no line for systemd-run"))
}

/// The packages as they are in `1`, and one revision later in `2`; gives the folder above.
fn make() -> Outcome<PathBuf> {
    let made = dist::make(&Order { target: None, revision: 1 })?;
    let first = read(&made.join("SHA256SUMS"))?;
    if !first.contains(".deb\n") {
        return Err(Failure::new("there is no .deb to judge"));
    }
    let made = dist::make(&Order { target: None, revision: 2 })?;
    let folder = made.with_file_name("judged");
    let _ = fs::remove_dir_all(&folder);
    keep(&made, &folder.join("2"))?;
    let made = dist::make(&Order { target: None, revision: 1 })?;
    keep(&made, &folder.join("1"))?;
    headline("Packed twice, it is the same");
    if read(&made.join("SHA256SUMS"))? != first {
        return Err(Failure::new("SHA256SUMS is another one the second time"));
    }
    say(first.trim_end());
    Ok(folder)
}

/// Runs what `mock-card/action.yml` runs, with what was made in the place of a release.
fn try_action(folder: &Path) -> Outcome {
    if !succeeds("curl", &["--version"]) {
        say("Skipped: there is no curl");
        return Ok(());
    }
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    let release = folder.join("releases").join(tag);
    let archives = keep_files(&folder.with_file_name(dist::FOLDER), &release, |name| {
        name == "SHA256SUMS" || name.starts_with("mock-card-") && name.ends_with(".tar.gz")
    })?;
    let act = |tools: &str| {
        let mut action = Command::new(root().join("mock-card/action.sh"));
        action.env("TAG", tag).env("RELEASES", format!("file://{}", folder.join("releases").display()));
        action.env("RUNNER_TOOL_CACHE", folder.join(tools)).env("GITHUB_PATH", folder.join("path"));
        action.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    // The second time it is there, and nothing is fetched.
    if !act("tools") || !act("tools") {
        return Err(Failure::new("the action fails"));
    }
    let path = read(&folder.join("path"))?;
    let installed = Path::new(path.lines().next().unwrap_or_default());
    if !read(&installed.join("README.md"))?.starts_with("# mock-card\n") {
        return Err(Failure::new("the archive of mock-card has the README of another program"));
    }
    if !succeeds(installed.join("mock-card"), &["exec", "--", "true"]) {
        return Err(Failure::new("what the action puts into PATH has no mock-card that runs"));
    }
    for archive in archives.iter().filter(|archive| archive.extension().is_some_and(|end| end == "gz")) {
        let mut bytes = fs::read(archive).map_err(|error| cannot(archive, &error))?;
        bytes.push(0);
        fs::write(archive, bytes).map_err(|error| cannot(archive, &error))?;
    }
    if act("other-tools") || !act("tools") {
        return Err(Failure::new("the action takes an archive that has another checksum"));
    }
    Ok(())
}

/// Copies the packages.
fn keep(from: &Path, to: &Path) -> Outcome {
    keep_files(from, to, |name| name.ends_with(".deb")).map(drop)
}

/// Copies files, and gives their copies.
fn keep_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Outcome<Vec<PathBuf>> {
    fs::create_dir_all(to).map_err(|error| cannot(to, &error))?;
    let entries = fs::read_dir(from).map_err(|error| cannot(from, &error))?;
    let mut copies = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&wanted)) {
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy).map_err(|error| cannot(&copy, &error))?;
        copies.push(copy);
    }
    Ok(copies)
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot keep what is to be judged: {}: {error}", path.display()))
}
