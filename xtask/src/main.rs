//! `cargo xtask`: the project's own commands.
//!
//! It links nothing that may have to be installed first, since installing that is part of its work. For Unix: the mock
//! card, which the demo and the tests need, stands in for pcsc-lite's daemon.

use std::fmt;
use std::process::ExitCode;

mod bench;
mod checks;
mod demo;
mod floors;
mod fuzz;
mod interop;
mod prerequisites;
mod say;
mod workspace;

use say::say;

const USAGE: &str = "\
The project's own commands.

Usage: cargo xtask <COMMAND>

Commands:
  demo     Publish a crate with a mock YubiKey to a registry on this computer, and build against it
  test     Everything that must hold before a change goes in: format, lints, tests, docs, dependencies
  floors   Show which rooms of a crate are on which floor, and which files import which against it; all crates, or those
           whose path begins as you say: cargo xtask floors mock-card
  bench provider
           Measure how long cargo waits for a token, beside other providers (release builds)
  bench gateway
           Measure how many tokens the gateway verifies, how many reads it passes on, and how long `cargo fetch` and
           publishes take, beside others: some minutes
  bench growth
           Measure what the gateway costs as there is more of one thing: some minutes, two gigabytes; all tables, or those that
           you name: log, versions, crate, spent, users, bytes, publishers
  fuzz     Run every fuzz target for ten seconds, or for as many as you say; or those targets that you name
  interop  Let programs that are not ours judge what we built (interop/)

What these need from the system is installed with apt-get where that can be done without asking, and what they need of
Rust with rustup.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match *arguments {
        ["demo"] => demo::run(),
        ["test"] => checks::run(),
        ["floors"] => floors::show(""),
        ["floors", crates] => floors::show(crates),
        ["fuzz"] => fuzz::run(None, &[]),
        ["fuzz", seconds, ref targets @ ..] => fuzz::run(Some(seconds), targets),
        ["interop"] => interop::run(),
        ["bench", "provider"] => bench::provider(),
        ["bench", "gateway"] => bench::gateway(),
        ["bench", "growth", ref tables @ ..] => bench::growth(tables),
        ["bench", "provider", "--on-card"] => bench::on_card(),
        ["help" | "-h" | "--help"] => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            say::complain(USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::complain(format_args!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// One sentence for the person who ran the command. Nobody matches on it.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Outcome<T = ()> = Result<T, Failure>;
