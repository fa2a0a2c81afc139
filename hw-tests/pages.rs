//! Every command that README and docs show, run as it stands there by somebody at a terminal who answers yes.

use std::fs;
use std::path::Path;

use mock_card::MockCard;
use rexpect::ReadUntil;

use crate::sealed::TOKEN;
use crate::terminal::expect;
use crate::world::{NAME, PIN, Reads, World};

/// What these tests do not run: it installs, needs a real key, or belongs to another package, which tests it.
const ELSEWHERE: [&str; 13] = [
    "sudo ",
    "cargo install ",
    "cargo test ",
    "cargo xtask ",
    "cp ",
    "export REGISTRY_GATEWAY_CONFIG=",
    "export YK_CARGO_PIN_COMMAND=",
    "journalctl ",
    "systemctl ",
    "YK_CARGO_HW_SERIAL=",
    "mock-card ",
    "registry-gateway ",
    "ykman ",
];

/// The settings that the questions page shows are understood, all of them.
#[test]
fn the_settings_of_the_page_are_settings() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faq.md")).unwrap();
    let (_, block) = page.split_once("```toml\npinentry").unwrap();
    let settings = format!("pinentry{}", block.split("```").next().unwrap());
    let world = World::new();
    world.write("home/yk-cargo/config.toml", &settings);
    world.yk_cargo(["list"]).succeeds();
    world.write("home/yk-cargo/config.toml", &settings.replace("insertion", "insert"));
    world.yk_cargo(["list"]).fails().says(&["unknown field `insert`"]);
}

/// What README shows first is what a person sees, line after line.
#[test]
fn the_first_screen_is_a_real_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let screen = page.split("```text\n").nth(1).unwrap().split("\n```").next().unwrap();
    let (command, lines) = screen.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
    let world = World::enrolled();
    world.package("hello", "1.0.0", "");
    let world = world.forgets_its_pin();
    let mut session = world.at_a_terminal(&format!("cd hello; {command}"));
    assert_eq!(lines.lines().count(), 4);
    for line in lines.lines() {
        expect(&mut session, &[line]);
        if line.starts_with("PIV PIN of ") {
            session.send_line(PIN).unwrap();
        }
    }
}

/// The commands after a `$` in the console blocks of a page.
pub(crate) fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
    lines.map(str::to_owned).collect()
}

impl World {
    /// What the page takes for granted before this line.
    fn prepare_for(&mut self, line: &str) {
        let another = |serial| MockCard::builder().serial(serial).pin(PIN).start().unwrap();
        if line.contains("--backup") {
            self.exchange_card(another(23_456_789));
        }
        if line.contains("--replace") {
            self.exchange_card(another(34_567_890));
        }
        if line.starts_with("yk-cargo migrate") {
            self.write("home/credentials.toml", &format!("[registry]\ntoken = \"{TOKEN}\"\n"));
        }
        if line.contains("verify --lock") {
            self.cargo(&self.path("work/alpha"), ["generate-lockfile"]).succeeds();
        }
        if line.contains("--same-keys-as") {
            let moved = format!("[registries.{NAME}]\nindex = \"sparse+http://localhost:9/moved/\"\n");
            self.write("home/config.toml", &moved);
        }
    }

    /// Runs a line on a terminal, says yes to everything, and gives the PIN.
    pub(crate) fn obey(&self, line: &str, well: bool) {
        let mut session = self.at_a_terminal(&format!("cd alpha; {line}; echo STATUS $?"));
        let code = if line.contains("--invite") { self.invite() } else { String::new() };
        let questions = || {
            let texts = [
                "[y/N] ",
                "[Y/n] ",
                "Type yes to go on: ",
                "Token of `crates-io`: ",
                "left): ",
                "Invite code: ",
                "STATUS ",
            ];
            texts.map(|text| ReadUntil::String(text.to_owned())).into()
        };
        let mut shown = String::new();
        loop {
            let (before, found) =
                session.exp_any(questions()).unwrap_or_else(|error| panic!("{line}: {error}"));
            shown += &before;
            let answer = match found.as_str() {
                "[y/N] " | "[Y/n] " => "y",
                "Type yes to go on: " => "yes",
                "Token of `crates-io`: " => TOKEN,
                "left): " => PIN,
                "Invite code: " => &code,
                _ => break,
            };
            session.send_line(answer).unwrap();
        }
        let status = session.exp_eof().unwrap();
        // Other pages are for cards whose PUK is still the factory's, as that of a mock card is.
        let fine = status.trim() == "0" || (line == "yk-cargo doctor" && !well);
        assert!(fine, "{line}: {shown}status {status}");
    }
}

#[test]
fn every_command_of_the_pages_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    // It takes a registry with staged versions, and has a test of its own.
    pages.retain(|page| !page.ends_with("ci.md"));
    pages.push(root.join("README.md"));
    let mut ran = 0;
    for page in pages {
        let here: Vec<_> = commands(&page)
            .into_iter()
            .filter(|line| !ELSEWHERE.iter().any(|elsewhere| line.starts_with(elsewhere)))
            .collect();
        // A page that begins by enrolling is for somebody new; the others are for who has done that.
        let first = here.iter().find(|line| line.contains(" enroll ") && !line.contains("--proofs"));
        let is_new = first.is_some_and(|line| !line.contains("--backup"));
        // As the README's lines with ykman leave the card.
        let well = page.ends_with("README.md");
        let mut world = match (well, is_new) {
            (true, _) => World::with(Reads::AuthRequired, |card| card.puk("87654321")),
            (false, true) => World::new(),
            (false, false) => World::enrolled(),
        };
        world.package("alpha", "0.1.0", "");
        for line in here {
            world.prepare_for(&line);
            world.obey(&line, well);
            if line.contains(" enroll ") && !["--invite", "--proofs"].iter().any(|word| line.contains(word)) {
                world.add_keys("alice");
            }
            ran += 1;
        }
    }
    assert!(ran >= 14, "only {ran} commands were found");
}
