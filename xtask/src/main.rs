//! `cargo xtask`: the project's own commands.
//!
//! It links nothing that may have to be installed first, since installing that is part of its work. For Unix: the mock
//! card, which the demo and the tests need, stands in for pcsc-lite's daemon.

use std::fmt;
use std::process::ExitCode;

mod bench;
mod checks;
mod crates;
mod demo;
mod dist;
mod floors;
mod fuzz;
mod interop;
mod macos;
mod packages;
mod prerequisites;
mod say;
mod sid;
mod windows;
mod workflows;
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
  bench lock
           Measure how long `yk-cargo verify --lock` takes, beside a plain download of the same proofs
  fuzz     Run every fuzz target for ten seconds, or for as many as you say; or those targets that you name
  crates   Look at the packages for crates.io, build each from its packaged form and publish none: some minutes
  dist     Build what a release hands out, into target/packages: for each program a tarball, a bill of materials, and a .deb where
           this is Debian; checksums of all that. `--target TRIPLE` is for another system
  packages
           Have them installed, used, upgraded and purged in a clean Debian: as root, some minutes
  workflows
           Have what CI reads of ours read by two linters, which are installed into the cache folder
  interop  Let programs that are not ours judge what we built (interop/)
  windows  Build yk-cargo for Windows, and run it under Wine with the mock card; all scenarios, or those whose names have a word
           of yours. As root on Linux: it makes a Debian sid in your cache folder once (ten minutes, four gigabytes)
  macos    Have clippy look at what runs on macOS, for both of its processors, in the same Debian sid; nothing is linked or run

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
        ["crates"] => crates::run(),
        ["dist"] => dist::run(None),
        ["dist", "--target", target] => dist::run(Some(target)),
        ["packages"] => packages::run(),
        ["workflows"] => workflows::run(),
        ["interop"] => interop::run(),
        ["macos"] => macos::run(),
        ["windows", ref scenarios @ ..] => windows::run(scenarios),
        ["bench", "provider"] => bench::provider(),
        ["bench", "gateway"] => bench::gateway(),
        ["bench", "lock"] => bench::lock(),
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
