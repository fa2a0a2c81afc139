//! Provider mode or command line; the exit code.

use clap::{CommandFactory as _, Parser as _};
use yk_cargo::cli::Cli;
use yk_cargo::commands::completions;
use yk_cargo::process::{keep_memory_to_ourselves, leave};
use yk_cargo::provider;
use yk_cargo::ui::{self, Ui};

fn main() {
    ui::log::init();
    keep_memory_to_ourselves();
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "--cargo-plugin") {
        leave(i32::from(provider::serve(home::cargo_home(), Ui::asking().aloud()).is_err()));
    }
    if completions::answered(Cli::command) {
        leave(0);
    }
    leave(match Cli::parse().command.run() {
        Ok(()) => 0,
        Err(error) => {
            Ui::silent().error(&error, error.hint().as_deref());
            error.exit_code().into()
        }
    });
}
