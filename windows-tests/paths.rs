//! Files: their names on Windows, how their lines end, and who may write them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::trace::Seen;
use crate::world::{NAME, PIN, World};

/// Drive C, blanks, and letters outside ASCII, as a person's name may have them.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_home_with_blanks_and_umlauts() {
    let mut world = World::new();
    let profile = "C:\\users\\J\u{fc}rgen M\u{fc}ller \u{17d}";
    let folder = world.drive_c("users/J\u{fc}rgen M\u{fc}ller \u{17d}/.cargo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), world.read("home/config.toml")).unwrap();
    world.tell("CARGO_HOME", format!("{profile}\\.cargo"));
    let enroll = ["enroll", NAME, "--yes", "--configure", "--label", "J\u{fc}rgens"];
    let enrolled = world.yk_cargo(enroll).succeeds();
    assert!(enrolled.stdout.contains("--label \"J\u{fc}rgens\""), "{enrolled:#?}");
    assert!(folder.join("yk-cargo/enrollments.toml").is_file());
    let config = fs::read_to_string(folder.join("config.toml")).unwrap();
    assert!(config.contains("yk-cargo"), "{config}");
    world.card.clear_trace();
    let owners = world.get(&json!({"operation": "owners", "name": "alpha"})).succeeds();
    owners.says(&["(J\u{fc}rgens)"]);
    assert!(owners.answer()["Ok"]["token"].is_string());
    assert_eq!(Seen::on(&world.card).signatures("83"), 1);
    // What is wrong with a file is said with its name.
    fs::write(folder.join("yk-cargo/enrollments.toml"), "version = 7\r\n").unwrap();
    let outcome = world.yk_cargo(["list"]).fails();
    outcome.says(&[&format!("{profile}\\.cargo\\yk-cargo\\enrollments.toml"), "has version 7"]);
    // The next step is a command that Windows has, with its quotes.
    let file = fs::File::options().write(true).open(folder.join("yk-cargo/enrollments.toml")).unwrap();
    file.set_len(1 << 30).unwrap();
    let name = format!("{profile}\\.cargo\\yk-cargo\\enrollments.toml");
    let outcome = world.yk_cargo(["list"]).fails();
    outcome.says(&[&format!("hint: move it away: move \"{name}\" \"{name}.old\"")]);
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}

/// The program's own folder has a blank: cargo's configuration then names it in a list, which cargo does not split. So has the one of
/// the program that prints the PIN, which is named in quotes.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn programs_in_a_folder_with_blanks() {
    let mut world = World::new();
    let folder = world.path("Program Files");
    fs::create_dir_all(&folder).unwrap();
    let pin = world.write("Program Files/pin.bat", &format!("@echo {PIN}\r\n"));
    world.tell("YK_CARGO_PIN_COMMAND", format!("\"{}\"", world.to_windows(&pin)));
    fs::copy(world.program(), folder.join("yk-cargo.exe")).unwrap();
    let program = world.on_z("Program Files/yk-cargo.exe");
    let enroll = ["enroll", NAME, "--yes", "--configure"];
    world.run(&program, &enroll).succeeds();
    let config = world.read("home/config.toml");
    let expected = format!("credential-provider = [{}]\r\n", toml(&program));
    assert!(config.contains(&expected), "no {expected} in {config}");
    world.card.clear_trace();
    let doctor = world.run(&program, &["doctor", "--json"]).ends();
    let asked = "cargo uses yk-cargo for `my-reg`";
    assert!(doctor.stdout.contains(asked), "no {asked} in {doctor:#?}");
}

/// As toml_edit writes it.
fn toml(path: &str) -> String {
    format!("'{path}'")
}

/// A file that an editor on Windows has written keeps its line ends, its comments and its byte order mark.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn line_ends_stay_as_they_are() {
    let world = World::new();
    let index = world.gateway.index_url();
    let before = format!(
        "\u{feff}# mine\r\n[net]\r\nretry = 3 # often\r\n\r\n[registries.{NAME}]\r\nindex = \"{index}\"\r\n"
    );
    world.write("home/config.toml", &before);
    let world = world.enroll(&[]);
    let config = world.read("home/config.toml");
    assert!(config.starts_with(&before) && config.len() > before.len(), "{config:?}");
    assert_eq!(config.matches('\n').count(), config.matches("\r\n").count(), "{config:?}");
    world.yk_cargo(["forget", NAME, "--yes"]).succeeds();
    assert_eq!(world.read("home/config.toml"), before);
}

/// The program gives what it makes no rights of its own on Windows: a file has those that its folder passes on, as one of any other
/// program has.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn files_have_the_rights_that_their_folder_passes_on() {
    let world = World::enrolled();
    let script = world.write("make.bat", "@mkdir %1\\beside\r\n@echo x> %1\\beside\\file\r\n");
    world.run("cmd", &["/c", &world.to_windows(&script), &world.on_z("home")]).succeeds();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let [ours, beside] = ["yk-cargo", "beside"].map(|name| mode(&world.path(format!("home/{name}"))));
    assert_eq!(ours, beside, "{ours:o} {beside:o}");
    let file = mode(&world.path("home/beside/file"));
    for name in ["enrollments.toml", "enrollments.lock"] {
        let ours = mode(&world.path(format!("home/yk-cargo/{name}")));
        assert_eq!(ours, file, "{name}: {ours:o} {file:o}");
    }
}
