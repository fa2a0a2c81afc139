//! Everything cargo does at a registry whose index is a git repository: the token's URL is the repository's.
//!
//! The repository is a folder; the API and the crate files are on loopback. Cargo fetches such an index without a token,
//! so it passes on no 401, and asks for a read token only where a file or a search needs one.

use std::fs;

use yk_cargo::enrollment::ChallengeSource;

use crate::asked::Asked;
use crate::asking_registry::{AskingRegistry, Challenges};
use crate::trace::Seen;
use crate::world::{NAME, Outcome, Reads, Run};

/// What a command is expected to cost: processes of ours, and of them those that asked for something.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    processes: usize,
    pins: usize,
    touches: usize,
    mutations: usize,
}

/// Reads only.
fn reads(processes: usize) -> Cost {
    Cost { processes, pins: 0, touches: 0, mutations: 0 }
}

/// Mutations too, on a card that has just got its power.
fn changes(processes: usize, mutations: usize) -> Cost {
    Cost { processes, pins: 1, touches: mutations, mutations }
}

impl Asked {
    fn with_git_index(reads: Reads) -> Self {
        Self::at(AskingRegistry::start_with_git_index(reads, Challenges::Off))
    }

    #[track_caller]
    fn costs(&self, expected: Cost, run: Run) -> Outcome {
        self.world.card.power_off();
        self.world.card.clear_trace();
        let before = self.registry.state().mutations;
        let outcome = run.succeeds();
        let mutations = self.registry.state().mutations - before;
        let seen = Seen::on(&self.world.card);
        let (processes, pins, touches) = (seen.contexts(), seen.pins(), seen.touches());
        assert_eq!(Cost { processes, pins, touches, mutations }, expected, "{outcome:#?}");
        seen.assert_well_mannered();
        outcome
    }

    fn publish(&self, name: &str, version: &str) -> Run {
        self.world.publish(&self.world.package(name, version, ""))
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.world.cargo(&self.world.path("work"), [arguments, &["--registry", NAME]].concat())
    }
}

/// First with a cargo home that has never seen the registry, then with one that has. Both cost the same: no 401 is
/// waited for, so nothing depends on what is in cargo's cache.
fn cold_and_warm(test: impl Fn(&Asked, Reads, &str)) {
    for reads in [Reads::AuthRequired, Reads::Open] {
        let asked = Asked::with_git_index(reads);
        asked.publish("alpha", "0.1.0").succeeds();
        asked.world.make_cold();
        for temperature in ["cold", "warm"] {
            test(&asked, reads, temperature);
        }
    }
}

/// It cannot be asked for challenges. Who notes down that it issues some all the same gets no token without one.
#[test]
fn enroll_takes_it_for_a_registry_without_challenges() {
    let asked = Asked::with_git_index(Reads::AuthRequired);
    let challenge = || asked.enrolled().challenge;
    assert_eq!(challenge(), ChallengeSource::None);
    let file = asked.world.enrollments_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("challenge = \"none\"", "challenge = \"api\"")).unwrap();
    assert_eq!(challenge(), ChallengeSource::Api);
    asked.world.card.clear_trace();
    asked.run(&["yank", "alpha@0.1.0"]).fails().says(&[
        "which would refuse a token without one; nothing was signed",
        "its index is a git repository, which cannot be asked; use its sparse index if it has one",
        "yk-cargo enroll my-reg --refresh",
    ]);
    assert!(Seen::on(&asked.world.card).nothing());
    let refresh = asked.world.yk_cargo(["enroll", NAME, "--refresh", "--yes"]).succeeds();
    refresh.says(&[
        "note: its index is a git repository, which cannot announce challenges, so tokens will carry none; a sparse index has a URL that starts with sparse+",
    ]);
    assert_eq!(challenge(), ChallengeSource::None);
}

#[test]
fn login() {
    cold_and_warm(|asked, kind, _| {
        let processes = 1 + usize::from(kind == Reads::AuthRequired);
        asked.costs(reads(processes), asked.run(&["login"])).says(&["`my-reg` is enrolled"]);
    });
}

/// The first token is never sent where reads are open, and asked for all the same.
#[test]
fn publish() {
    cold_and_warm(|asked, _, temperature| {
        let version = if temperature == "cold" { "0.2.0" } else { "0.3.0" };
        asked.costs(changes(2, 1), asked.publish("alpha", version)).says(&["Published alpha"]);
    });
}

#[test]
fn publish_of_a_workspace() {
    cold_and_warm(|asked, _, temperature| {
        let version = if temperature == "cold" { "1.0.0" } else { "1.1.0" };
        let members = "[workspace]\nmembers = [\"beta\", \"gamma\"]\nresolver = \"3\"\n";
        asked.world.write("work/Cargo.toml", members);
        asked.world.package("beta", version, "");
        asked.world.package("gamma", version, "");
        asked.costs(changes(3, 2), asked.run(&["publish", "--workspace", "--no-verify"]));
    });
}

#[test]
fn yank_undo_and_owners() {
    cold_and_warm(|asked, _, _| {
        for command in
            [&["yank", "alpha@0.1.0"][..], &["yank", "--undo", "alpha@0.1.0"], &["owner", "--list", "alpha"]]
        {
            asked.costs(changes(1, 1), asked.run(command));
        }
    });
}

#[test]
fn search() {
    cold_and_warm(|asked, kind, _| {
        let processes = usize::from(kind == Reads::AuthRequired);
        let outcome = asked.costs(reads(processes), asked.run(&["search", "alph"]));
        assert!(outcome.stdout.contains("alpha = \"0.1.0\""), "{outcome:#?}");
    });
}

#[test]
fn build_of_a_dependent_crate() {
    cold_and_warm(|asked, kind, temperature| {
        let manifest = "[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                        [dependencies]\nalpha = { version = \"0.1\", registry = \"my-reg\" }\n";
        asked.world.write("work/user/Cargo.toml", manifest);
        asked.world.write("work/user/src/lib.rs", "");
        let downloads = kind == Reads::AuthRequired && temperature == "cold";
        let build = asked.world.cargo(&asked.world.path("work/user"), ["build"]);
        asked.costs(reads(usize::from(downloads)), build);
    });
}
