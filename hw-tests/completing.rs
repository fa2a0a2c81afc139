//! What is offered for completion, and the man pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::terminal::expect;
use crate::world::World;

/// What the script of a shell gets for a command line whose last word is unfinished.
fn candidates(world: &World, words: &[&str]) -> BTreeSet<String> {
    let arguments = [&["--", "yk-cargo"], words].concat();
    let asked = world.yk_cargo(&arguments).env("YK_CARGO_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    let asked = asked.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    asked.succeeds().stdout.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn what_is_offered_is_the_persons_own() {
    let world = World::new();
    world.write(
        "work/.cargo/config.toml",
        "[registries.projects]\nindex = \"sparse+https://p.example/\"\n[registries.\"$(reboot)\"]\nindex = \"sparse+https://q.example/\"\n",
    );
    let home = fs::read_to_string(world.path("home/config.toml")).unwrap();
    world.write(
        "home/config.toml",
        &format!("{home}[registries.\"a;b\"]\nindex = \"sparse+https://r.example/\"\n"),
    );
    let names = BTreeSet::from(["crates-io".to_owned(), "my-reg".to_owned()]);
    let registries = |words: &[&str]| -> BTreeSet<String> {
        candidates(&world, words).into_iter().filter(|word| !word.starts_with('-')).collect()
    };
    assert_eq!(registries(&["enroll", ""]), names);
    assert_eq!(registries(&["verify", "--registry", ""]), names);
    let slots = candidates(&world, &["enroll", "--slot", ""]);
    assert_eq!((slots.len(), slots.contains("82"), slots.contains("9c")), (20, true, false), "{slots:?}");
    assert_eq!(candidates(&world, &["enroll", "--pin-policy", ""]).len(), 3);
    assert!(candidates(&world, &["enroll", ""]).contains("--single-key"));
    // A configuration that cannot be read is no reason to say something in the middle of a command line.
    world.write("home/config.toml", "[registries");
    assert_eq!(registries(&["enroll", ""]), BTreeSet::from(["crates-io".to_owned()]));
}

/// Bash breaks words at `=`, `:` and `@`, and puts an answer in the place of what stands after the break.
#[test]
fn tab_in_bash_completes_the_rest_of_a_word() {
    let world = World::new();
    world.write("work/a:bcd", "");
    let mut session = world.at_a_terminal("PS1='$ ' exec bash --norc -i");
    expect(&mut session, &["$ "]);
    session
        .send_line("bind 'set bell-style none'; source <(yk-cargo completions bash); echo rea''dy")
        .unwrap();
    expect(&mut session, &["ready"]);
    for (typed, completed) in [
        ("enroll --touch-policy c", "enroll --touch-policy cached "),
        ("enroll --touch-policy=c", "enroll --touch-policy=cached "),
        ("enroll --pin-policy=al", "enroll --pin-policy=always "),
        ("migrate --registry=my", "migrate --registry=my-reg "),
        ("verify --crate a:b", "verify --crate a:bcd "),
        ("verify a@1.0.0 --regi", "verify a@1.0.0 --registry "),
        ("verify --registry sparse+https:", "verify --registry sparse+https:"),
    ] {
        session.send(&format!("yk-cargo {typed}\t|")).unwrap();
        session.flush().unwrap();
        expect(&mut session, &[&format!("yk-cargo {completed}|")]);
        session.send_control('u').unwrap();
    }
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
}

/// cargo's request is answered whatever the environment says.
#[test]
fn the_provider_is_nobodys_completion() {
    let world = World::enrolled();
    let package = world.package("alpha", "0.1.0", "");
    world.publish(&package).env("YK_CARGO_COMPLETE", "bash").succeeds();
}

/// A section of a page as a person reads it.
fn section(page: &Path, title: &str) -> String {
    let shown = Command::new("man")
        .args(["--warnings", "-E", "utf8", "-l"])
        .arg(page)
        .env("MANWIDTH", "400")
        .output()
        .unwrap();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let lines = text.lines().skip_while(|line| *line != title).skip(1);
    let lines: Vec<_> = lines.take_while(|line| line.is_empty() || line.starts_with(' ')).collect();
    assert!(!lines.is_empty(), "no {title} in {text}");
    lines.join("\n")
}

#[test]
fn the_man_page_has_environment_files_and_examples() {
    let world = World::new();
    let pages = world.path("man");
    world.yk_cargo(["man", pages.to_str().unwrap()]).succeeds();
    let page = pages.join("yk-cargo.1");
    let environment = section(&page, "ENVIRONMENT");
    for variable in ["CARGO_HOME", "YK_CARGO_PIN_COMMAND", "YK_CARGO_SERIAL", "YK_CARGO_LOG", "NO_COLOR"] {
        assert!(environment.contains(variable), "no {variable} in {environment}");
    }
    assert!(section(&page, "FILES").contains("enrollments.toml"));
    let examples = section(&page, "EXAMPLES");
    let commands: Vec<_> =
        examples.lines().map(str::trim).filter(|line| line.starts_with("yk-cargo ")).collect();
    assert!(commands.len() > 4, "{examples}");
    for command in commands {
        // With --help an argument that does not exist is refused, and nothing is done.
        let command = command.split(" > ").next().unwrap();
        let run = world.run("sh", &["-c", &format!("{command} --help")]);
        assert!(run.succeeds().stdout.contains("Usage: yk-cargo"), "{command}");
    }
}
