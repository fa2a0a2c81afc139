//! What the program says of itself, as it was read and approved. To approve a change: `SNAPSHOTS=overwrite`.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
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

/// What people are told to type, in the documentation and in the hints of errors, is understood.
#[test]
fn every_command_that_is_recommended_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut understood = 0;
    for page in pages.chain(["README.md", "src/error/messages.txt"].map(|file| root.join(file))) {
        let Ok(text) = std::fs::read_to_string(&page) else { continue };
        for line in recommended(&text) {
            let words = words(line);
            // `yk-cargo enroll` may also be a name for the command.
            let is_name = words.len() == 2 && Cli::command().find_subcommand(&words[1]).is_some();
            let parsed = Cli::try_parse_from(words);
            assert!(is_name || parsed.is_ok(), "{}: `{line}`: {}", page.display(), parsed.unwrap_err());
            understood += 1;
        }
    }
    assert!(understood > 10, "only {understood} were found");
}

/// Whole commands of ours between backticks and after a prompt; those with an ellipsis are for reading only. What
/// cargo types is not told here.
fn recommended(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let typed =
        text.lines().filter_map(|line| line.strip_prefix("$ ").or_else(|| line.strip_prefix("hint: ")));
    let ours = |line: &&str| {
        line.starts_with("yk-cargo ") && !line.contains("--cargo-plugin") && !line.contains(['…', '|', '\\'])
    };
    quoted.chain(typed).filter(ours)
}

/// As a shell splits a line without anything but blanks and double quotes in it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (position, part) in line.split('"').enumerate() {
        let mut pieces = if position % 2 == 1 { vec![part] } else { part.split(' ').collect() }.into_iter();
        words.last_mut().unwrap().push_str(pieces.next().unwrap_or_default());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}
