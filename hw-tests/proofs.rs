//! Proofs for crates.io and other registries that give none. Cargo lets its own tests put another registry in crates.io's place; its
//! index is asked by this program under its own name, behind a proxy.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::internet::Internet;
use crate::loopback::{Reply, Request};
use crate::sealed::{Sealed, TOKEN};
use crate::trace::Seen;
use crate::world::{NAME, Outcome, Reads, Run};

const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

/// A person with a card who publishes to crates.io, its token sealed and a key for proofs enrolled.
pub(crate) struct Proving {
    pub(crate) sealed: Sealed,
    pub(crate) internet: Internet,
    pub(crate) package: PathBuf,
}

impl Proving {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With these arguments of `enroll`.
    pub(crate) fn with(more: &[&str]) -> Self {
        let proving = Self::unenrolled();
        let enroll = ["enroll", "crates-io", "--proofs", "--yes", "--label", "laptop key"];
        proving.sealed.world.yk_cargo([&enroll[..], more].concat()).succeeds();
        proving.sealed.world.card.power_off();
        proving.sealed.world.card.clear_trace();
        proving
    }

    pub(crate) fn unenrolled() -> Self {
        let sealed = Sealed::unsealed(Reads::Open, |card| card);
        let seal = ["seal", "crates-io", "--yes", "--configure", "--label", "laptop key"];
        sealed.world.yk_cargo(seal).input(&format!("{TOKEN}\n")).succeeds();
        let package = sealed.world.package("alpha", "0.1.0", "");
        anywhere(&package);
        let state = sealed.registry.shared();
        let hosts = ["index.crates.io", "static.crates.io"];
        let internet = Internet::new(&hosts, move |host, request| {
            let path = match (host, request.path.as_str()) {
                ("index.crates.io", "/config.json") => {
                    let config =
                        json!({ "dl": "https://static.crates.io/crates", "api": "https://crates.io" });
                    return Reply::new("200 OK", config.to_string());
                }
                ("index.crates.io", path) => format!("/index{path}"),
                (_, path) => path.replacen("/crates/", "/dl/", 1),
            };
            let request = Request { method: "GET".to_owned(), path, token: None, body: Vec::new() };
            state.lock().unwrap().answer(&request)
        });
        Self { sealed, internet, package }
    }

    pub(crate) fn cargo(&self, arguments: &[&str]) -> Run {
        let index = self.sealed.registry.index_url();
        let run = self.sealed.world.cargo(&self.package, arguments);
        run.env("__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS", index)
    }

    pub(crate) fn publish(&self) -> Run {
        self.cargo(&["publish", "--no-verify", "--allow-dirty"])
    }

    pub(crate) fn yk_cargo(&self, arguments: &[&str]) -> Run {
        self.internet.leads(&self.sealed.world, self.sealed.world.yk_cargo(arguments))
    }

    /// A command of ours on a terminal, without a PIN command.
    pub(crate) fn at_a_terminal(&self, line: &str) -> rexpect::session::PtySession {
        let variables = self.internet.variables(&self.sealed.world);
        self.sealed.world.at_a_terminal(&format!("export {variables}; {line}"))
    }

    pub(crate) fn save(&self) -> Run {
        self.yk_cargo(&["proof", "alpha@0.1.0", "--out", "proof.json"])
    }

    /// Asks as cargo does.
    fn asked_for(&self, name: &str, checksum: &str) -> Run {
        self.sealed.world.provider(&request(name, checksum).to_string())
    }

    /// The pending proofs.
    pub(crate) fn pending(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return Vec::new() };
        let files = entries.map(|entry| entry.unwrap().path());
        let proofs = files.filter(|file| file.extension().is_some_and(|end| end == "json"));
        proofs.map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.sealed.world.path("home/yk-cargo/pending-proofs")
    }

    /// The key that signs proofs.
    pub(crate) fn key(&self) -> String {
        let enrollments = self.sealed.enrollments();
        enrollments.proving(CRATES_IO).unwrap().cards[0].keys[0].public.to_string()
    }

    /// The file of a version, as the registry has it.
    pub(crate) fn published(&self, version: &str) -> PathBuf {
        let file = self.sealed.world.path(format!("work/alpha-{version}.crate"));
        fs::write(&file, self.sealed.registry.state().file("alpha", version)).unwrap();
        file
    }

    /// What `doctor` finds about this.
    fn diagnosis(&self, check: &str) -> String {
        let outcome = self.sealed.world.yk_cargo(["doctor", "--json"]).directory(&self.package).ends();
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let found = report["checks"].as_array().unwrap().iter().filter(|found| found["check"] == check);
        let found = found.map(|found| {
            ["result", "text", "next"].map(|field| found[field].as_str().unwrap_or_default()).join(" ")
        });
        found.collect::<Vec<_>>().join("\n")
    }
}

/// What cargo asks for when it publishes 0.1.0 of a crate.
fn request(name: &str, checksum: &str) -> Value {
    json!({
        "v": 1, "registry": {"index-url": CRATES_IO, "name": "crates-io"}, "kind": "get",
        "operation": "publish", "name": name, "vers": "0.1.0", "cksum": checksum,
    })
}

/// A manifest that names no registry.
pub(crate) fn anywhere(package: &std::path::Path) {
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    fs::write(package.join("Cargo.toml"), manifest.replace("publish = [\"my-reg\"]\n", "")).unwrap();
}

fn write_code(proving: &Proving, text: &str) {
    fs::write(proving.package.join("src/lib.rs"), text).unwrap();
}

#[track_caller]
fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn one_key_is_made_and_registered_nowhere() {
    let proving = Proving::unenrolled();
    let world = &proving.sealed.world;
    world.card.power_off();
    world.card.clear_trace();
    world.yk_cargo(["enroll", "crates-io", "--yes"]).fails().says(&["takes only bearer tokens", "--proofs"]);
    let enroll = ["enroll", "crates-io", "--proofs", "--yes", "--label", "laptop key"];
    let outcome = world.yk_cargo(enroll).succeeds();
    let key = proving.key();
    assert!(outcome.stdout.contains(&format!("will find it:\n      {key}\n")), "{outcome:#?}");
    assert!(!outcome.stdout.contains("registry-gateway"), "{outcome:#?}");
    outcome.says(&[
        "making and checking them needs the PIN and one touch",
        "publish  slot 82  PIN once, touch cached",
        "signed once and checked the signature",
    ]);
    assert!(outcome.stdout.contains("yk-cargo enroll crates-io --proofs --backup"), "{outcome:#?}");
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.all_signatures()), (1, 1, 1));
    seen.assert_well_mannered();
    world.yk_cargo(enroll).succeeds().says(&["is already enrolled there"]);
    // As lock files have it.
    let by_url = ["enroll", &format!("registry+{CRATES_IO}"), "--proofs", "--yes"];
    world.yk_cargo(by_url).succeeds().says(&["is already enrolled there"]);
    assert_eq!(proving.internet.asked(), [""; 0]);

    let list = world.yk_cargo(["list"]).succeeds();
    assert!(list.stdout.contains("signs proofs of what is published there") && list.stdout.contains(&key));
    list.says(&[
        "who builds on your crates has to be told another key: yk-cargo enroll crates-io --proofs --backup",
    ]);
    world.yk_cargo(["forget", "crates-io", "--yes"]).succeeds().says(&["have signed stays valid"]);
    // A new computer has it from the certificate on the card.
    let existing = [&enroll[..], &["--existing"]].concat();
    world.yk_cargo(existing).succeeds();
    assert_eq!(proving.key(), key);
    // Neither takes the place of the other.
    let index = proving.sealed.registry.index_url();
    world.yk_cargo(["enroll", &index, "--proofs", "--yes"]).succeeds();
    world.yk_cargo(["enroll", &index, "--yes"]).fails().says(&["is enrolled for proofs"]);
}

#[test]
fn a_publish_has_its_proof_signed_with_one_pin_and_one_touch() {
    let proving = Proving::new();
    let world = &proving.sealed.world;
    let outcome = proving.publish().succeeds();
    outcome.says(&[
        "signing a proof of this publish, then opening the token of `crates-io`: it takes the PIN and a touch",
        "signing the proof of publish of `alpha 0.1.0` for `crates-io` with YubiKey 12345678 (laptop key)",
        "opening the token of `crates-io` for publish of `alpha 0.1.0`",
        "after it is published, this saves its proof: yk-cargo proof alpha@0.1.0",
    ]);
    let seen = Seen::on(&world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.signatures("82")), (1, 1, 1));
    seen.assert_well_mannered();
    assert_eq!(proving.sealed.registry.done(), ["publish alpha 0.1.0"]);
    assert!(!outcome.stderr.contains(TOKEN), "{outcome:#?}");

    let [pending] = &proving.pending()[..] else { panic!("one is pending") };
    assert_eq!((&pending["index"], &pending["public"]), (&json!(CRATES_IO), &json!(proving.key())));
    for entry in fs::read_dir(proving.folder()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert_eq!(mode(&proving.folder()), 0o700);
    world
        .yk_cargo(["list"])
        .succeeds()
        .says(&["the proof of alpha 0.1.0 is pending", "yk-cargo proof alpha@0.1.0"]);

    proving.save().succeeds().says(&["saved the proof of alpha 0.1.0 in proof.json"]);
    assert_eq!(proving.internet.asked(), ["index.crates.io/config.json", "index.crates.io/al/ph/alpha"]);
    assert!(proving.pending().is_empty());
    let file = proving.published("0.1.0");
    let verify = ["verify", "--crate", file.to_str().unwrap(), "--proof", "proof.json"];
    world.yk_cargo([&verify[..], &["--key", &proving.key()]].concat()).succeeds();
    // The file and its line in the index come from crates.io, and the proof from whoever has it.
    let online = |more: &[&str]| {
        proving.yk_cargo(&[&["verify", "alpha@0.1.0", "--registry", "crates-io"], more].concat())
    };
    let outcome = online(&["--proof", "proof.json", "--key", &proving.key()]).succeeds();
    assert!(outcome.stdout.contains("index: it says what the signed file says"), "{outcome:#?}");
    let outcome = online(&["--proof", "proof.json"]).fails();
    assert!(outcome.stdout.contains("at crates.io anybody can sign anybody's crate"), "{outcome:#?}");
    online(&[]).fails().says(&["the registry has no proof of alpha 0.1.0"]);
    // It is kept for another time.
    fs::remove_file(world.path("work/proof.json")).unwrap();
    proving.save().succeeds();
}

/// What is announced is what the card asks for.
#[test]
fn a_key_that_wants_a_touch_each_time_gets_it() {
    let proving = Proving::with(&["--touch-policy", "always", "--pin-policy", "always"]);
    proving.publish().succeeds().says(&["it takes the PIN and 2 touches"]);
    let seen = Seen::on(&proving.sealed.world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 2));
}

/// Reads need the token there, so cargo has it from the start, and has to come back for the publish all the same.
#[test]
fn where_reads_need_the_token_a_publish_is_asked_about_too() {
    let sealed = Sealed::new(Reads::AuthRequired);
    let enroll = ["enroll", NAME, "--proofs", "--yes", "--configure", "--label", "laptop key"];
    sealed.world.yk_cargo(enroll).succeeds();
    sealed.world.publish(&sealed.world.package("alpha", "0.1.0", "")).succeeds().says(&[
        "signing the proof of publish of `alpha 0.1.0` for `my-reg`",
        "yk-cargo proof alpha@0.1.0 --registry my-reg",
    ]);
    assert_eq!(sealed.registry.done(), ["publish alpha 0.1.0"]);
    let index = sealed.registry.index_url();
    let folder = sealed.world.path("home/yk-cargo/pending-proofs");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    assert!(files.into_iter().any(|proof| proof.contains(&format!("\"index\":\"{index}\""))));
}

/// A proof that is not signed, or cannot be kept, stops the publish before the token is opened.
#[test]
fn without_a_proof_nothing_is_published() {
    let proving = Proving::new();
    let world = &proving.sealed.world;
    let stopped = |outcome: Outcome, text: &str| {
        outcome.says(&[text]);
        assert_eq!(proving.sealed.registry.done(), [""; 0], "{outcome:#?}");
        assert_eq!(Seen::on(&world.card).signatures("95"), 0, "the token was opened");
    };
    // The disk is full.
    fs::create_dir_all(proving.folder()).unwrap();
    let request = request("alpha", &"ab".repeat(32));
    let program = env!("CARGO_BIN_EXE_yk-cargo");
    let script = format!("ulimit -f 0; trap '' XFSZ; exec {program} --cargo-plugin");
    let answer = world.run("sh", &["-c", &script]).input(&format!("{request}\n")).stays_open().succeeds();
    assert!(
        answer.answer()["Err"]["message"].as_str().unwrap().contains("free some space on that disk"),
        "{answer:#?}"
    );
    assert_eq!(Seen::on(&world.card).signatures("95"), 0);
    assert!(proving.pending().is_empty());
    // Somebody else may write there; nobody is asked for anything.
    world.card.clear_trace();
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
    fs::set_permissions(proving.folder(), mode(0o777)).unwrap();
    stopped(proving.publish().fails(), "somebody else could have written it");
    assert_eq!(Seen::on(&world.card).all_signatures(), 0);
    fs::set_permissions(proving.folder(), mode(0o700)).unwrap();
    // The key is not on the card that is there.
    world.yk_cargo(["forget", "crates-io", "--yes"]).succeeds();
    proving.publish().succeeds();
}

#[test]
fn the_index_says_which_pending_proof_counts() {
    let proving = Proving::new();
    // A publish that the registry refuses, and one of another file that it takes.
    let token = std::mem::replace(&mut proving.sealed.registry.state().token, "another".to_owned());
    write_code(&proving, "//! The first one.\n");
    proving.publish().fails().says(&["this is not the token"]);
    proving.sealed.registry.state().strange_tokens.clear();
    proving.save().fails().says(&["the index does not have alpha 0.1.0 yet, so its proof stays pending"]);
    proving.sealed.registry.state().token = token;
    write_code(&proving, "//! The second one.\n");
    proving.publish().succeeds();
    assert_eq!(proving.pending().len(), 2);
    proving.save().succeeds();
    let saved = fs::read(proving.sealed.world.path("work/proof.json")).unwrap();
    let saved: Value = serde_json::from_slice(&saved).unwrap();
    let file = fs::read(proving.published("0.1.0")).unwrap();
    let checksum: String =
        <sha2::Sha256 as sha2::Digest>::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(saved["cksum"], checksum);
    assert!(proving.pending().is_empty(), "the other one is of no version");
    // Somebody else has published this version, with another file.
    proving.asked_for("alpha", &"ab".repeat(32)).succeeds();
    fs::remove_dir_all(proving.sealed.world.path("home/yk-cargo/proofs")).unwrap();
    fs::remove_file(proving.sealed.world.path("work/proof.json")).unwrap();
    proving.save().fails().says(&["it is one for a file with the checksum abab", &checksum]);
    assert!(!proving.sealed.world.path("work/proof.json").exists());
    proving.yk_cargo(&["proof", "alpha@0.2.0"]).fails().says(&["no proof of alpha 0.2.0 was signed"]);
}

/// Nobody can ask such an index, so the person is told, and the proof stays pending: another file may yet be published.
#[test]
fn a_registry_whose_index_is_a_git_repository() {
    let proving = Proving::new();
    let world = &proving.sealed.world;
    let index = "file:///srv/index";
    world.yk_cargo(["seal", index, "--yes", "--no-configure"]).input(&format!("{TOKEN}\n")).succeeds();
    world
        .yk_cargo(["enroll", &format!("registry+{index}"), "--proofs", "--yes", "--no-configure"])
        .succeeds();
    let ask = |checksum: &str| {
        let mut request = request("alpha", checksum);
        request["registry"] = json!({ "index-url": index });
        world
            .provider(&request.to_string())
            .succeeds()
            .says(&["signing the proof of publish of `alpha 0.1.0`"]);
    };
    let save = || world.yk_cargo(["proof", "alpha@0.1.0", "--registry", index, "--out", "git.json"]);
    ask(&"ab".repeat(32));
    save().succeeds().says(&["so it was not checked for this file"]);
    let saved: Value = serde_json::from_slice(&fs::read(world.path("work/git.json")).unwrap()).unwrap();
    assert_eq!((&saved["index"], proving.pending().len()), (&json!(index), 1));
    ask(&"cd".repeat(32));
    fs::remove_file(world.path("work/git.json")).unwrap();
    save().fails().says(&["proofs for several files of this version exist"]);
}

/// Each process has its own file, and waits for its turn.
#[test]
fn two_publishes_at_once() {
    let proving = Proving::new();
    let request = |name: &str| proving.asked_for(name, &"ab".repeat(32));
    std::thread::scope(|scope| {
        let runs =
            ["alpha", "beta", "alpha", "gamma"].map(|name| scope.spawn(move || request(name).succeeds()));
        for run in runs {
            assert_eq!(run.join().unwrap().answer()["Ok"]["token"], TOKEN);
        }
    });
    let mut names: Vec<_> =
        proving.pending().iter().map(|proof| proof["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["alpha", "beta", "gamma"]);
}

/// When cargo uses yk-cargo at all, with cargo itself as the judge.
#[test]
fn doctor_says_when_a_publish_has_its_proof_signed() {
    let proving = Proving::new();
    let world = &proving.sealed.world;
    let program = env!("CARGO_BIN_EXE_yk-cargo");
    let ours = format!("credential-provider = [\"{program}\"]");
    let global = |list: &str| format!("global-credential-providers = [{list}]");
    let last = global(&format!("\"cargo:token\", \"{program}\""));
    let first = global(&format!("\"{program}\", \"cargo:token\""));
    let none = String::new();
    for (number, (config, variable, argument, is_signed, said)) in [
        (&ours, false, false, true, "ok cargo uses yk-cargo for crates.io, and publishing signs a proof"),
        (&ours, true, false, true, "ok cargo uses yk-cargo for crates.io, and publishing signs a proof"),
        (
            &last,
            false,
            false,
            true,
            "ok cargo uses yk-cargo for crates.io, as for every registry, and publishing signs a proof",
        ),
        (
            &last,
            true,
            false,
            true,
            "ok cargo uses yk-cargo for crates.io, as for every registry, and publishing signs a proof",
        ),
        (&first, true, false, false, "warning `cargo publish` may sign no proof"),
        (&none, true, false, false, "warning `cargo publish` may sign no proof"),
        (&ours, false, true, false, "not with `--token`"),
    ]
    .into_iter()
    .enumerate()
    {
        world.write("home/config.toml", &format!("[registry]\n{config}\n"));
        let _ = fs::remove_dir_all(proving.folder());
        let version = format!("0.{}.0", number + 1);
        let manifest = fs::read_to_string(proving.package.join("Cargo.toml")).unwrap();
        let line = manifest.lines().find(|line| line.starts_with("version = ")).unwrap().to_owned();
        let manifest = manifest.replace(&line, &format!("version = \"{version}\""));
        fs::write(proving.package.join("Cargo.toml"), manifest).unwrap();
        let mut arguments = vec!["publish", "--no-verify", "--allow-dirty"];
        if argument {
            arguments.extend(["--token", TOKEN]);
        }
        let mut run = proving.cargo(&arguments);
        if variable {
            run = run.env("CARGO_REGISTRY_TOKEN", TOKEN);
        }
        let outcome = run.succeeds();
        assert_eq!(proving.pending().len(), usize::from(is_signed), "{config} {outcome:#?}");
        if variable && *config == ours {
            outcome.says(&["will be ignored because this registry is configured to use credential-provider"]);
        }
        let doctor = world.yk_cargo(["doctor", "--json"]).directory(&proving.package);
        let doctor = if variable { doctor.env("CARGO_REGISTRY_TOKEN", TOKEN) } else { doctor };
        let report: Value = serde_json::from_str(&doctor.ends().stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().iter().filter(|found| found["check"] == "proofs");
        let text = |found: &Value| {
            format!("{} {}", found["result"].as_str().unwrap(), found["text"].as_str().unwrap())
        };
        let found: Vec<_> = checks.map(text).collect();
        assert!(found[0].contains(said), "{config}: {found:?}");
    }
    // With no sealed token there is nothing to be asked for.
    world.yk_cargo(["unseal", "crates-io", "--restore", "--yes"]).succeeds();
    assert!(proving.diagnosis("proofs").contains("no token of `crates-io` is sealed"));
    assert!(proving.diagnosis("proofs").contains("yk-cargo seal crates-io"));
}
