//! Provider mode or command line; the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use yk_cargo::cli::Cli;
use yk_cargo::ui::Ui;
use yk_cargo::{commands, provider};

fn main() -> ExitCode {
    env_logger::Builder::from_env("YK_CARGO_LOG").init();
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--cargo-plugin") {
        // Past its answer the process has nothing left to do, even if a PC/SC call still blocks in its thread.
        let served = provider::serve(home::cargo_home(), Ui::new(false));
        std::process::exit(i32::from(served.is_err()));
    }
    let cli = Cli::parse();
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Ui::new(true).error(&error, error.hint().as_deref());
            ExitCode::from(if matches!(error, yk_cargo::Error::Usage(_)) { 2 } else { 1 })
        }
    }
}
