//! Every command that README and docs show, run as it stands there by somebody at a terminal who answers yes.

use std::fs;
use std::path::Path;

use mock_card::MockCard;
use rexpect::ReadUntil;

use crate::world::{PIN, World};

/// What these tests do not run: it installs, needs a real key, or belongs to another package, which tests it.
const ELSEWHERE: [&str; 7] = [
    "sudo apt-get ",
    "cargo install ",
    "cargo test ",
    "cargo xtask ",
    "mock-card ",
    "registry-gateway ",
    "ykman ",
];

/// The commands after a `$` in the console blocks of a page.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ "));
    lines.map(str::to_owned).collect()
}

impl World {
    /// Runs a line on a terminal, says yes to everything, and gives the PIN.
    fn obey(&self, line: &str) {
        let mut session = self.at_a_terminal(&format!("cd alpha; {line}; echo STATUS $?"));
        let questions = || {
            let texts = ["[y/N] ", "Type yes to go on: ", "left): ", "STATUS "];
            texts.map(|text| ReadUntil::String(text.to_owned())).into()
        };
        loop {
            let (_, found) = session.exp_any(questions()).unwrap_or_else(|error| panic!("{line}: {error}"));
            let answer = match found.as_str() {
                "[y/N] " => "y",
                "Type yes to go on: " => "yes",
                "left): " => PIN,
                _ => break,
            };
            session.send_line(answer).unwrap();
        }
        let status = session.exp_eof().unwrap();
        // `doctor` finds the management key of a new card, which is everybody's.
        let fine = status.trim() == "0" || line == "yk-cargo doctor";
        assert!(fine, "{line}: status {status}");
    }
}

#[test]
fn every_command_of_the_pages_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.push(root.join("README.md"));
    let mut ran = 0;
    for page in pages {
        let here: Vec<_> = commands(&page)
            .into_iter()
            .filter(|line| !ELSEWHERE.iter().any(|elsewhere| line.starts_with(elsewhere)))
            .collect();
        // A page that enrols without `--backup` begins at the beginning; the others are for who has done that.
        let is_new = here.iter().any(|line| line.contains(" enroll ") && !line.contains("--backup"));
        let mut world = if is_new { World::new() } else { World::enrolled() };
        world.package("alpha", "0.1.0", "");
        for line in here {
            if line.contains("--backup") {
                world.card = MockCard::builder().serial(23_456_789).pin(PIN).start().unwrap();
            }
            world.obey(&line);
            if line.contains(" enroll ") {
                world.add_keys("alice");
            }
            ran += 1;
        }
    }
    assert!(ran >= 9, "only {ran} commands were found");
}
