//! `cargo xtask fuzz`: every target of `fuzz/` for a while.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::say::{command, headline, say};
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
    let features = format!("--features={}", names.join(","));
    built(&folder, &names, &features)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for together in names.chunks(processors) {
        let fuzzed: Vec<_> = std::thread::scope(|scope| {
            let running = together.iter().map(|name| scope.spawn(|| fuzz(&folder, name, &features, seconds)));
            running.collect::<Vec<_>>().into_iter().map(|one| one.join()).collect()
        });
        for (name, outcome) in together.iter().zip(fuzzed) {
            let (command_line, output) =
                outcome.map_err(|_| Failure::new(format!("{name} could not be waited for")))??;
            headline(format_args!("Fuzzing: {name}"));
            command(command_line);
            say(String::from_utf8_lossy(&output.stderr).trim_end());
            if !output.status.success() {
                let status = output.status;
                return Err(Failure::new(format!("{name} failed ({status}); the input is in fuzz/target")));
            }
        }
    }
    Ok(())
}

/// All at once: those that run at the same time would wait for each other's build.
fn built(folder: &Path, names: &[String], features: &str) -> Outcome {
    let mut arguments =
        vec!["build".to_owned(), "--release".to_owned(), "--locked".to_owned(), features.to_owned()];
    arguments.extend(names.iter().map(|name| format!("--bin={name}")));
    headline("Building: fuzz");
    command(format_args!("cargo {}", arguments.join(" ")));
    match in_folder(folder).args(&arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the targets could not be built ({status})"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}

/// The command line, and what came of it.
fn fuzz(folder: &Path, name: &str, features: &str, seconds: u32) -> Outcome<(String, Output)> {
    let corpus = folder.join("target/corpus").join(name);
    fs::create_dir_all(&corpus)
        .map_err(|error| Failure::new(format!("{} cannot be made: {error}", corpus.display())))?;
    let arguments = [
        "run".to_owned(),
        "--release".to_owned(),
        "--locked".to_owned(),
        format!("--bin={name}"),
        features.to_owned(),
        "--".to_owned(),
        format!("-max_total_time={seconds}"),
        "-timeout=25".to_owned(),
        "-artifact_prefix=target/".to_owned(),
        format!("-dict=dictionaries/{name}.dict"),
        format!("target/corpus/{name}"),
        format!("seeds/{name}"),
    ];
    let output = in_folder(folder).args(&arguments).output();
    let output = output.map_err(|error| Failure::new(format!("cargo could not be started: {error}")))?;
    Ok((format!("cargo {}", arguments.join(" ")), output))
}

/// From its own folder: the flags that make it a fuzzer are in its .cargo/config.toml.
fn in_folder(folder: &Path) -> Command {
    let mut cargo = cargo();
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    cargo
}
