//! Without a gateway: cargo sends the registry a bearer token, and on the computer it lies sealed to the card.

use std::path::Path;

use mock_card::MockCard;
use yk_cargo_interop::computer::Computer;
use yk_cargo_interop::kellnr::{Kellnr, Rights};

use crate::everyday;
use crate::project::REGISTRY;

#[test]
fn everyday_life_with_a_sealed_token() {
    let kellnr = Kellnr::start();
    kellnr.add_user("alice", Rights::Publish);
    let token = kellnr.mint_token("alice");
    let computer = Computer::with(MockCard::builder());
    computer.configure(&format!("[registries.{REGISTRY}]\nindex = \"{}\"\n", kellnr.index_url()));
    let seal = ["seal", REGISTRY, "--yes", "--configure", "--label", "laptop key"];
    computer.yk_cargo_told(&seal, &format!("{token}\n"));
    everyday::everything(&computer);
    assert_eq!(files_with(&token, &computer.folder().join("home")), 0);
}

/// How many files have this text in them.
fn files_with(text: &str, folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => files_with(text, &path),
            false => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                usize::from(bytes.windows(text.len()).any(|window| window == text.as_bytes()))
            }
        })
        .sum()
}
