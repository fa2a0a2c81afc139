//! `cargo xtask workflows`: what CI reads of ours is read by two linters. check-jsonschema holds each file against the schema of
//! its kind, and zizmor looks for what lets others in: actions that are not pinned, credentials that stay, text that a shell runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::say::{command, headline, say};
use crate::workspace::{cache, root, succeeds};
use crate::{Failure, Outcome, prerequisites};

#[cfg(test)]
mod played;

/// They come from PyPI, in these versions: their builds for Rust take longer than all of ours.
const LINTERS: [&str; 2] = ["check-jsonschema==0.39.0", "zizmor==1.32.0"];

/// Where the workflows are.
const WORKFLOWS: &str = ".github/workflows";
/// Actions of ours.
const ACTIONS: [&str; 1] = ["mock-card/action.yml"];

/// Reads all workflows and actions.
///
/// # Errors
/// What is missing, or that a linter complained.
pub(crate) fn run() -> Outcome {
    let linters = linters()?;
    let workflows = workflows()?;
    headline("Checking: workflows and actions");
    let schema = |name: &str, files: &[String]| {
        let arguments = ["--builtin-schema", name].map(str::to_owned);
        lint(&linters.join("bin/check-jsonschema"), &[&arguments, files].concat())
    };
    let actions = ACTIONS.map(str::to_owned);
    schema("vendor.github-workflows", &workflows)?;
    schema("vendor.github-actions", &actions)?;
    let arguments = ["--offline", "--no-progress", "--strict-collection", "--quiet"].map(str::to_owned);
    lint(&linters.join("bin/zizmor"), &[&arguments, workflows.as_slice(), &actions].concat())?;
    say(format_args!("Nothing to complain of in {} files.", workflows.len() + actions.len()));
    Ok(())
}

/// As paths from the workspace's folder.
fn workflows() -> Outcome<Vec<String>> {
    let entries = fs::read_dir(root().join(WORKFLOWS));
    let entries = entries.map_err(|error| Failure::new(format!("cannot list {WORKFLOWS}: {error}")))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_yaml = |name: &String| [".yml", ".yaml"].iter().any(|end| name.ends_with(end));
    let mut files: Vec<_> = names.filter(is_yaml).map(|name| format!("{WORKFLOWS}/{name}")).collect();
    files.sort_unstable();
    Ok(files)
}

/// Both linters, in a folder of their own in the person's cache.
fn linters() -> Outcome<PathBuf> {
    let folder = cache()?.join("yk-cargo-workflows").join(LINTERS.join("-").replace("==", "-"));
    if succeeds(folder.join("bin/zizmor"), &["--version"]) {
        return Ok(folder);
    }
    prerequisites::provide(&[prerequisites::WORKFLOWS])?;
    say("Installing the linters of workflows (once)");
    let arguments = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    lint(Path::new("python3"), &arguments(&["-m", "venv", &folder.to_string_lossy()]))?;
    let install = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    lint(&folder.join("bin/pip"), &arguments(&[&install, LINTERS.as_slice()].concat()))?;
    Ok(folder)
}

fn lint(program: &Path, arguments: &[String]) -> Outcome {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    command(format_args!("{name} {}", arguments.join(" ")));
    match Command::new(program).args(arguments).current_dir(root()).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{name} failed ({status})"))),
        Err(error) => Err(Failure::new(format!("{name} could not be started: {error}"))),
    }
}
