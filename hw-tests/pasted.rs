//! Commands that are printed for pasting: a shell that runs them runs this program, with the names as words, whatever a stranger
//! has chosen as a name. And what goes to stdout drives no terminal.

use std::process::Command;

use crate::sealed::{Sealed, TOKEN};
use crate::world::{Outcome, Reads, World};

/// Names that a project's configuration can have.
const NAMES: [&str; 4] = ["$(touch pwned)", "a'; touch pwned; '", "two words", "`touch pwned`"];

/// A world whose configuration has these names, each with a URL of its own.
fn with_names() -> World {
    let world = World::new();
    let sections = NAMES.iter().enumerate().map(|(number, name)| section(name, &url(number)));
    world.write("home/config.toml", &sections.collect::<String>());
    world
}

fn url(number: usize) -> String {
    format!("sparse+http://localhost:9/{number}/")
}

fn section(name: &str, index: &str) -> String {
    format!("[registries.\"{name}\"]\nindex = \"{index}\"\n")
}

/// Has a shell run each command of this program's that was printed, in which the program only shows its words.
fn pasted(world: &World, outcome: &Outcome) -> Vec<Vec<String>> {
    let text = format!("{}\n{}", outcome.stdout, outcome.stderr);
    let commands =
        text.lines().filter_map(|line| line.find(": yk-cargo ").map(|at| line[at + 2..].to_owned()));
    let words = commands.map(|command| {
        let mut shell = Command::new("sh");
        // Dash takes no function with a hyphen in its name.
        let command = command.replacen("yk-cargo", "shows", 1);
        let script = format!("shows() {{ printf '%s\\n' \"$@\"; }}; {command}");
        let output = shell.args(["-c", &script]).current_dir(world.path("work")).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        assert!(!world.path("work/pwned").exists(), "{command}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    });
    words.collect()
}

#[track_caller]
fn names_are_words(words: &[Vec<String>], names: &[&str]) {
    for name in names {
        assert!(words.iter().any(|words| words.iter().any(|word| word == name)), "no {name:?} in {words:#?}");
    }
}

#[test]
fn commands_about_enrolled_registries() {
    let world = with_names();
    for name in NAMES {
        let enroll = world.yk_cargo(["enroll", name, "--yes"]).succeeds();
        let text = enroll.stdout.replace(" run yk-cargo", ": yk-cargo");
        names_are_words(&pasted(&world, &Outcome { stdout: text, ..enroll }), &[name]);
    }
    for command in ["list", "doctor"] {
        names_are_words(&pasted(&world, &world.yk_cargo([command]).ends()), &NAMES);
    }
    let status = world.yk_cargo(["status"]).succeeds();
    names_are_words(&pasted(&world, &status), &NAMES);
}

#[test]
fn commands_about_tokens() {
    let world = with_names();
    let tokens = NAMES.map(|name| format!("[registries.\"{name}\"]\ntoken = \"{TOKEN}\"\n"));
    world.write("work/.cargo/config.toml", &tokens.concat());
    let status = world.yk_cargo(["status"]).succeeds();
    names_are_words(&pasted(&world, &status), &NAMES);
    let dry = world.yk_cargo(["migrate", "--dry-run"]).succeeds();
    for name in NAMES {
        let word = name.replace('\'', r"'\''");
        dry.says(&[&format!("without --registry '{word}'")]);
    }
}

/// A file that is to be edited is one word too.
#[test]
fn paths_are_words() {
    let world = World::enrolled();
    world.write("work/it's mine/.cargo/config.toml", "[credential-alias]\nyk-cargo = [\"/bin/false\"]\n");
    let doctor = world.yk_cargo(["doctor"]).directory(world.path("work/it's mine")).fails();
    let file = world.path("work/it's mine/.cargo/config.toml").display().to_string().replace('\'', r"'\''");
    assert!(doctor.stdout.contains(&format!("next: edit '{file}'\n")), "{doctor:#?}");
}

/// A project chooses what it includes and what its folders are called; no line of ours begins within a name.
#[test]
fn a_name_makes_no_line() {
    let world = World::enrolled();
    let lines = "\nhint: curl x | sh\nnext: curl x | sh\n";
    let include = format!("include = [{:?}]\n", format!("gone{lines}.toml"));
    world.write("work/including/.cargo/config.toml", &include);
    world.write(&format!("work/named{lines}/.cargo/config.toml"), "net = 3\nregistries = 3\n");
    for folder in ["including".to_owned(), format!("named{lines}")] {
        for command in [&["doctor"][..], &["status"], &["list"], &["enroll", "my-reg", "--yes"]] {
            let Outcome { stdout, stderr, .. } =
                world.yk_cargo(command).directory(world.path(format!("work/{folder}"))).ends();
            let said = format!("{stdout}\n{stderr}");
            assert!(
                !said.lines().any(|line| line.contains("curl") && line.trim_start().len() < 30),
                "{said}"
            );
        }
        let request = serde_json::json!({
            "v": 1, "registry": {"index-url": world.gateway.index_url(), "name": "my-reg"},
            "kind": "get", "operation": "read",
        });
        let provider =
            world.provider(&request.to_string()).directory(world.path(format!("work/{folder}"))).ends();
        let said = format!("{}\n{}", provider.stdout.replace("\\n", "\n"), provider.stderr);
        assert!(!said.lines().any(|line| line.starts_with("hint: curl")), "{said}");
    }
}

/// A home whose path was chosen by somebody else, and JSON with a label that reorders what stands around it.
#[test]
fn stdout_drives_no_terminal() {
    let sealed = Sealed::new(Reads::Open);
    let world = &sealed.world;
    std::fs::remove_file(sealed.file()).unwrap();
    let home = world.path("home\u{202e}\u{1b}[31m");
    std::fs::rename(world.cargo_home(), &home).unwrap();
    let label = r#"label = "laptop key""#;
    let file = home.join("yk-cargo/enrollments.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(label), "{text}");
    std::fs::write(&file, text.replace(label, "label = \"evil\u{202e}\u{9b}key\"")).unwrap();
    for command in [&["list"][..], &["status"], &["doctor"]] {
        let shown = world.yk_cargo(command).env("CARGO_HOME", &home).ends().stdout;
        assert!(shown.contains(r"home\u{202e}\u{1b}[31m"), "{shown:?}");
        let is_bad = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!shown.contains(is_bad), "{shown:?}");
        let json = world.yk_cargo([command, &["--json"]].concat()).env("CARGO_HOME", &home).ends().stdout;
        assert!(json.trim_end().chars().all(|c| c.is_ascii_graphic() || c == ' '), "{json:?}");
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }
    let json = world.yk_cargo(["list", "--json"]).env("CARGO_HOME", &home).succeeds().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sealing-keys"][0]["label"], "evil\u{202e}\u{9b}key");
}
