//! `cargo xtask test`: everything that must hold before a change goes in, cheapest first.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::say::{command, headline, say};
use crate::workspace::{cargo, succeeds};
use crate::{Failure, Outcome, prerequisites};

/// The steps. One profile and one target folder, so that nothing is built twice without need.
const STEPS: [&[&str]; 4] = [
    &["fmt", "--all", "--check"],
    &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    &["test", "--workspace"],
    // An example needs what the tests need, so that the dependencies have the features that clippy has checked them with:
    // without it, a hundred are checked once more.
    &["doc", "--workspace", "--no-deps", "--lib", "--bin", "xtask", "--examples"],
];

/// What Rust's test programs read.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// The gateway's tests once more, with their stores in PostgreSQL. It is the program that was built for the step before.
const IN_POSTGRES: &[&str] = &["test", "--workspace", "--test", "gateway"];
/// What its tests read.
const STORE: (&str, &str) = ("REGISTRY_GATEWAY_TEST_STORE", "postgres");
/// What stays out of that, with the reasons.
const NOT_IN_POSTGRES: &str = include_str!("../../gateway/tests/gateway/not_in_postgres.txt");

/// Bans, licences and sources need nothing from the network. Advisories do, and they
/// come with the day, not with a change.
const DENY: &[&str] = &["deny", "--locked", "--workspace", "check", "bans", "licenses", "sources"];

/// Runs all steps, up to the first that fails.
///
/// # Errors
/// Names the step.
pub(crate) fn run() -> Outcome {
    prerequisites::provide(&[prerequisites::BUILD, prerequisites::TEST])?;
    let mut times = Vec::new();
    let outcome = run_steps(&mut times);
    headline("Time");
    for (step, time) in &times {
        say(format_args!("{:>7.1} s  {step}", time.as_secs_f64()));
    }
    outcome
}

fn run_steps(times: &mut Vec<(String, Duration)>) -> Outcome {
    for arguments in STEPS {
        run_step(arguments.join(" "), &mut step(arguments), times)?;
        if arguments[0] == "test" {
            test_in_postgres(times)?;
        }
    }
    if succeeds("cargo-deny", &["--version"]) {
        return run_step(DENY.join(" "), &mut step(DENY), times);
    }
    say("Skipped: cargo deny, which is not installed (the public workflow runs it)");
    Ok(())
}

/// Clusters are for Linux in these tests.
fn test_in_postgres(times: &mut Vec<(String, Duration)>) -> Outcome {
    if !cfg!(target_os = "linux") || !prerequisites::has_postgresql() {
        say("Skipped: the gateway's tests with their stores in PostgreSQL, which is not installed");
        return Ok(());
    }
    let out = NOT_IN_POSTGRES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut test = step(IN_POSTGRES);
    test.env(STORE.0, STORE.1).arg("--").args(out.flat_map(|name| ["--skip", name]));
    run_step(format!("{}, with stores in PostgreSQL", IN_POSTGRES.join(" ")), &mut test, times)
}

fn run_step(arguments: String, step: &mut Command, times: &mut Vec<(String, Duration)>) -> Outcome {
    let name = format!("cargo {arguments}");
    headline(format_args!("Checking: {}", arguments.split(' ').next().unwrap_or_default()));
    command(&name);
    let started = Instant::now();
    let status = step.status();
    times.push((name.clone(), started.elapsed()));
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("this step failed ({status}): {name}"))),
        Err(error) => Err(Failure::new(format!("this step could not be started: {name}: {error}"))),
    }
}

fn step(arguments: &[&str]) -> Command {
    let mut step = cargo();
    step.args(arguments);
    match arguments[0] {
        "doc" => step.env("RUSTDOCFLAGS", "-D warnings"),
        "test" if std::env::var_os(TEST_THREADS).is_none() => {
            step.env(TEST_THREADS, test_threads().to_string())
        }
        _ => &mut step,
    };
    step
}

/// More than processors, because most tests wait for a process that they have started: 2 tests at a time take 219 s on two
/// processors where 5 take 131.
fn test_threads() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from) + 1
}
