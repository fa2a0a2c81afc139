//! `cargo xtask fuzz`: every target of `fuzz/` for a while.

use std::fs;
use std::path::Path;

use crate::say::{command, headline};
use crate::workspace::{cargo, root};
use crate::{Failure, Outcome, prerequisites};

/// Long enough to see that a target still runs, and finds nothing at once.
const SECONDS: u32 = 10;

/// Runs each target this many seconds, or those that are named.
///
/// # Errors
/// What is missing, or that a target found something.
pub(crate) fn run(seconds: Option<&str>, wanted: &[&str]) -> Outcome {
    let seconds = match seconds {
        None => SECONDS,
        Some(text) => text
            .parse()
            .map_err(|_| Failure::new("how many seconds? cargo xtask fuzz [SECONDS [TARGET…]]"))?,
    };
    prerequisites::provide(&[prerequisites::BUILD, prerequisites::FUZZ])?;
    let folder = root().join("fuzz");
    let targets = fs::read_dir(folder.join("fuzz_targets"))
        .map_err(|error| Failure::new(format!("fuzz/ cannot be read: {error}")))?;
    let mut names: Vec<String> = targets
        .flatten()
        .filter_map(|target| Some(target.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| wanted.is_empty() || wanted.contains(&name.as_str()))
        .collect();
    names.sort();
    if names.len() < wanted.len() {
        return Err(Failure::new(format!("not all of {} are in fuzz/fuzz_targets", wanted.join(", "))));
    }
    // The features of all: each by itself would have what they share built with other features once more.
    let features = names.join(",");
    for name in &names {
        fuzz(&folder, name, &features, seconds)?;
    }
    Ok(())
}

fn fuzz(folder: &Path, name: &str, features: &str, seconds: u32) -> Outcome {
    let corpus = folder.join("target/corpus").join(name);
    fs::create_dir_all(&corpus)
        .map_err(|error| Failure::new(format!("{} cannot be made: {error}", corpus.display())))?;
    headline(format_args!("Fuzzing: {name}"));
    let arguments = [
        "run".to_owned(),
        "--release".to_owned(),
        "--locked".to_owned(),
        format!("--bin={name}"),
        format!("--features={features}"),
        "--".to_owned(),
        format!("-max_total_time={seconds}"),
        "-timeout=25".to_owned(),
        "-artifact_prefix=target/".to_owned(),
        format!("-dict=dictionaries/{name}.dict"),
        format!("target/corpus/{name}"),
        format!("seeds/{name}"),
    ];
    command(format_args!("cargo {}", arguments.join(" ")));
    // From its own folder: the flags that make it a fuzzer are in its .cargo/config.toml.
    let status =
        cargo().current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target")).args(&arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{name} failed ({status}); the input is in fuzz/target"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}
