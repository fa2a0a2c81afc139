//! Everything cargo does at a registry whose index is a git repository: the token's URL is the repository's.
//!
//! The repository is a folder; the API and the crate files are on loopback. Cargo fetches such an index without a token,
//! so it passes on no 401, and asks for a read token only where a file or a search needs one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;
use yk_cargo::enrollment::ChallengeSource;

use crate::asking_registry::{AskingRegistry, Challenges};
use crate::challenges::Asked;
use crate::trace::Seen;
use crate::world::{NAME, Outcome, Reads, Run};

/// A bare git repository, written object by object, so that no test needs the `git` program (gitformat-loose,
/// gitrepository-layout).
pub(crate) struct GitIndex(TempDir);

/// The SHA-1 of an object.
type ObjectId = [u8; 20];

impl GitIndex {
    pub(crate) fn create() -> Self {
        let directory = tempfile::Builder::new().prefix("ykc-index").tempdir().unwrap();
        let write = |file, text| fs::write(directory.path().join(file), text).unwrap();
        fs::create_dir_all(directory.path().join("refs/heads")).unwrap();
        write("HEAD", "ref: refs/heads/master\n");
        write("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n");
        Self(directory)
    }

    /// As cargo has it: no `sparse+` before it, no slash behind.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    /// Makes these files the newest state: path and text.
    pub(crate) fn commit(&self, files: &BTreeMap<String, String>) {
        let branch = self.0.path().join("refs/heads/master");
        let parent = fs::read_to_string(&branch).map(|id| format!("parent {id}")).unwrap_or_default();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let tree = hex(&self.tree(&files));
        let who = "registry <registry@localhost> 1800000000 +0000";
        let commit = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nAs published\n");
        fs::write(branch, format!("{}\n", hex(&self.object("commit", commit.as_bytes())))).unwrap();
    }

    /// Sorted files, those of one folder beside each other.
    fn tree(&self, files: &[(&str, &str)]) -> ObjectId {
        let folder = |path: &str| path.split_once('/').map(|(folder, _)| folder.to_owned());
        let mut entries = Vec::new();
        for group in files.chunk_by(|one, other| folder(one.0).is_some() && folder(one.0) == folder(other.0))
        {
            let (mode, name, id) = match folder(group[0].0) {
                None => ("100644", group[0].0.to_owned(), self.object("blob", group[0].1.as_bytes())),
                Some(name) => {
                    let below: Vec<_> =
                        group.iter().map(|(path, text)| (&path[name.len() + 1..], *text)).collect();
                    ("40000", name, self.tree(&below))
                }
            };
            entries.extend(format!("{mode} {name}\0").into_bytes());
            entries.extend(id);
        }
        self.object("tree", &entries)
    }

    fn object(&self, kind: &str, content: &[u8]) -> ObjectId {
        let object = [format!("{kind} {}\0", content.len()).as_bytes(), content].concat();
        let id = Sha1::digest(&object).into();
        let (folder, file) = (&hex(&id)[..2], &hex(&id)[2..]);
        let folder = self.0.path().join("objects").join(folder);
        fs::create_dir_all(&folder).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&object).unwrap();
        fs::write(folder.join(file), zlib.finish().unwrap()).unwrap();
        id
    }
}

fn hex(id: &ObjectId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

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
        "gave no challenge, and would refuse a token without one; nothing was signed",
        "its index is a git repository, which cannot be asked; use its sparse index if it has one",
        "yk-cargo enroll my-reg --refresh",
    ]);
    assert!(Seen::on(&asked.world.card).nothing());
    let refresh = asked.world.yk_cargo(["enroll", NAME, "--refresh", "--yes"]).succeeds();
    refresh.says(&[
        "note: its index is a git repository, which tells nothing of challenges: tokens will carry none",
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
