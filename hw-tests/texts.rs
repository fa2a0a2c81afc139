//! What the program says of itself, as it was read and approved. To approve a change: `SNAPSHOTS=overwrite`.

use std::path::Path;

use clap::CommandFactory as _;
use snapbox::{Assert, Data};
use yk_cargo::cli::Cli;

use crate::world::World;

#[test]
fn every_help_text_is_as_approved() {
    let world = World::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw-tests/texts");
    let approved = |file: String, arguments: &[&str]| {
        let text = world.yk_cargo(arguments).succeeds().stdout;
        Assert::new().action_env("SNAPSHOTS").eq(text, Data::read_from(&folder.join(file), None).raw());
    };
    approved("help.txt".into(), &["--help"]);
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        approved(format!("help-{name}.txt"), &[name, "--help"]);
    }
}

/// Nothing to be found only by accident: each command and option says what it is.
#[test]
fn every_command_and_option_is_explained() {
    for command in Cli::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{command}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{command} {argument}");
        }
    }
}
