//! Provider mode or command line; the exit code.

use clap::Parser as _;
use yk_cargo::cli::Cli;
use yk_cargo::process::leave;
use yk_cargo::ui::Ui;
use yk_cargo::{Error, commands, provider};

fn main() {
    env_logger::Builder::from_env("YK_CARGO_LOG").init();
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--cargo-plugin") {
        leave(i32::from(provider::serve(home::cargo_home(), Ui::asking()).is_err()));
    }
    leave(match commands::run(Cli::parse().command) {
        Ok(()) => 0,
        Err(error) => {
            Ui::silent().error(&error, error.hint().as_deref());
            if matches!(error, Error::Usage(_)) { 2 } else { 1 }
        }
    });
}
