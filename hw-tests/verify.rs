//! `verify`: what a registry hands out, against a card's signature and the keys that a person trusts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use yk_cargo::enrollment::Role;

use crate::lock_registry::Somebody;
use crate::terminal::expect;
use crate::world::{NAME, Outcome, Reads, World};

/// Alice has published `alpha` 0.1.0, and the registry was asked for its proof.
struct Published {
    world: World,
    proof: Value,
    file: PathBuf,
}

impl Published {
    fn new() -> Self {
        let world = World::with(Reads::Open, |card| card).enroll();
        let package = world.package("alpha", "0.1.0", "");
        world.publish(&package).succeeds();
        let file = world.path("work/alpha-0.1.0.crate");
        fs::copy(world.path("store/crates/alpha/alpha-0.1.0.crate"), &file).unwrap();
        let proof = ask(&world, "GET", "proof", "");
        Self { world, proof, file }
    }

    /// The key that the person has been told is Alice's.
    fn key(&self) -> String {
        let registry = self.world.registry();
        let key = registry.cards[0].keys.iter().find(|key| key.role == Role::Publish);
        key.unwrap().public.to_string()
    }

    /// Verifies what was kept, as if it had come with these changes.
    fn offline(&self, change: impl FnOnce(&mut Value), more: &[&str]) -> Outcome {
        let mut proof = self.proof.clone();
        change(&mut proof);
        let proof = self.world.write("work/proof.json", &proof.to_string());
        let (proof, file) = (proof.to_str().unwrap(), self.file.to_str().unwrap());
        let verify = ["verify", "--crate", file, "--proof", proof];
        self.world.yk_cargo([&verify[..], more].concat()).ends()
    }

    fn checked(&self, change: impl FnOnce(&mut Value), key: &str) -> [String; 3] {
        let outcome = self.offline(change, &["--key", key, "--json"]);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:#?}"));
        let results = ["file", "signature", "trust"].map(|check| result(&report, check));
        let holds = results.iter().all(|result| result == "ok");
        assert_eq!(report["ok"], holds, "{report}");
        assert_eq!(outcome.status.code(), Some(i32::from(!holds)), "{outcome:#?}");
        results
    }
}

/// What the registry answers about the version.
fn ask(world: &World, method: &str, what: &str, token: &str) -> Value {
    let mut stream = TcpStream::connect(world.gateway.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let header = format!("Host: x\r\nAuthorization: {token}\r\nConnection: close");
    write!(stream, "{method} /api/v1/crates/alpha/0.1.0/{what} HTTP/1.1\r\n{header}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (header, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(header.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).unwrap()
}

fn result(report: &Value, check: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check).unwrap();
    found["result"].as_str().unwrap().to_owned()
}

pub(crate) const OTHER_KEY: &str =
    "k3.public.AmDwjlyf8jAV3gm5Z7Kz9xAOcsKslt_Vwp5v-emjFzBHLCtcANzTaVEghTNEMj9PkQ";

#[test]
fn each_of_the_three_verdicts_stands_by_itself() {
    let published = Published::new();
    let key = published.key();
    assert_eq!(published.checked(|_| {}, &key), ["ok", "ok", "ok"]);
    assert_eq!(published.checked(|_| {}, OTHER_KEY), ["ok", "ok", "failed"]);
    for (field, value) in [("index", "sparse+https://other.example/"), ("name", "beta"), ("vers", "0.1.1")] {
        let results = published.checked(|proof| proof[field] = value.into(), &key);
        assert_eq!(results, ["ok", "failed", "ok"], "{field}");
    }
    let other_key = published.checked(|proof| proof["public"] = OTHER_KEY.into(), &key);
    assert_eq!(other_key, ["ok", "failed", "failed"]);
    let mut bytes = fs::read(&published.file).unwrap();
    bytes.push(0);
    fs::write(&published.file, &bytes).unwrap();
    assert_eq!(published.checked(|_| {}, &key), ["failed", "ok", "ok"]);
    // The registry goes along with the other file; the card has not signed it.
    let tampered: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let results = published.checked(|proof| proof["cksum"] = tampered.into(), &key);
    assert_eq!(results, ["ok", "failed", "ok"]);
}

#[test]
fn the_registry_is_asked_for_proof_and_file() {
    let published = Published::new();
    let world = &published.world;
    let verify = ["verify", "alpha@0.1.0", "--registry", NAME];
    world.yk_cargo(verify).fails().says(&["1 check failed"]);
    let outcome = world.yk_cargo([&verify[..], &["--key", &published.key()]].concat()).succeeds();
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert!(
        lines[0].starts_with("ok       file: the file that the registry serves has the checksum "),
        "{outcome:#?}"
    );
    assert!(
        lines[1].starts_with("ok       signature: the key below signed this checksum as alpha 0.1.0 for ")
    );
    assert_eq!(lines[2], "ok       index: it says what the signed file says");
    assert_eq!(lines[4], format!("ok       trust: the key {} is given with --key", published.key()));
    assert_eq!(*lines.last().unwrap(), "alpha 0.1.0 is what alice (according to the registry) signed.");
    let log = "note     log: the proof names entry 2 of the log, but the log's key is not in your list";
    assert_eq!(lines[3], log, "{outcome:#?}");
    world.yk_cargo(["verify", "alpha@9.9.9", "--registry", NAME]).fails().says(&["no proof of alpha 9.9.9"]);
    // No card was needed for any of it.
    let served = world.path("store/crates/alpha/alpha-0.1.0.crate");
    fs::write(served, b"another file").unwrap();
    let outcome = world.yk_cargo([&verify[..], &["--key", &published.key()]].concat()).fails();
    assert!(outcome.stdout.starts_with("failed   file: the file that the registry serves has the checksum "));
    let file = ["--crate", published.file.to_str().unwrap(), "--key", &published.key()];
    world.yk_cargo([&verify[..], &file].concat()).succeeds();
}

/// Cargo compiles what the index says. Whoever can write there needs no signature for that, and all else holds.
#[test]
fn the_index_says_what_the_signed_file_says() {
    let published = Published::new();
    let world = &published.world;
    let key = published.key();
    let report = |more: &[&str]| {
        let verify = ["verify", "alpha@0.1.0", "--registry", NAME, "--key", &key, "--json"];
        let outcome = world.yk_cargo([&verify[..], more].concat()).ends();
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:#?}"));
        assert_eq!(outcome.status.success(), report["ok"] == true, "{outcome:#?}");
        let results = ["file", "signature", "index", "trust"].map(|check| result(&report, check));
        (results, report["checks"][2]["text"].as_str().unwrap().to_owned())
    };
    assert_eq!(report(&[]).0, ["ok"; 4]);
    let database = rusqlite::Connection::open(world.path("store/registry.db")).unwrap();
    let original: String = database.query_row("SELECT line FROM version", (), |row| row.get(0)).unwrap();
    let line: Value = serde_json::from_str(&original).unwrap();
    let with = |field: &str, value: Value| {
        let mut line = line.clone();
        line[field] = value;
        line.to_string()
    };
    // An index file that is kept in memory is told to be an old one.
    let serve = |line: String| {
        database.execute("UPDATE version SET line = ?", [line]).unwrap();
        database.execute("UPDATE crate SET revision = revision + 1", ()).unwrap();
    };
    let evil = json!([{ "name": "evil\u{202e}", "req": "*", "kind": "normal" }]);
    let file = published.file.to_str().unwrap();
    for (lines, text) in [
        (with("deps", evil), r"`deps` is `evil\u{202e} = *` (normal, "),
        (with("features", json!({ "default": ["evil"] })), "`features` is "),
        (with("cksum", "00".into()), "`cksum` is "),
        (format!("{original}\n{}", with("vers", "0.1.0+evil".into())), "the index has it twice"),
        (
            format!("{original}\n{{\"vers\":\"0.1.0\",\"vers\":\"0.1.1\"}}"),
            "line 2 of the index file cannot be read",
        ),
        (with("vers", "0.2.0".into()), "the index does not have it"),
    ] {
        serve(lines);
        for more in [&[][..], &["--crate", file]] {
            let (results, said) = report(more);
            assert_eq!(results, ["ok", "ok", "failed", "ok"], "{text}");
            assert!(said.contains(text), "{said} does not say {text}");
        }
        // A key is not trusted on the word of such a registry.
        world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME, "--remember", "--yes"]).fails();
        assert!(!world.path("home/yk-cargo/signers.toml").exists());
    }
    serve(with("yanked", true.into()));
    let (results, said) = report(&[]);
    assert_eq!((results, said.ends_with("; it is yanked")), (["ok"; 4].map(str::to_owned), true));
    let offline = published.offline(|_| {}, &["--key", &key]);
    assert!(
        offline.status.success() && offline.stdout.contains("note     index: not checked"),
        "{offline:#?}"
    );
}

#[test]
fn a_closed_registry_is_read_with_the_enrolled_key() {
    let world = World::enrolled();
    let package = world.package("alpha", "0.1.0", "");
    world.publish(&package).succeeds();
    let key = world.registry().cards[0].keys[1].public.to_string();
    world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME, "--key", &key]).succeeds();
    let index = world.gateway.index_url().to_owned();
    fs::remove_file(world.enrollments_file()).unwrap();
    world
        .yk_cargo(["verify", "alpha@0.1.0", "--registry", &index, "--key", &key])
        .fails()
        .says(&["is not enrolled"]);
}

#[test]
fn a_key_is_remembered_for_one_crate_and_only_when_asked_to() {
    let published = Published::new();
    let world = &published.world;
    let signers = world.path("home/yk-cargo/signers.toml");
    // A file says of itself whose key it names, and anybody can have signed it.
    let outcome = published.offline(|_| {}, &["--remember", "--yes"]);
    outcome.says(&["--remember does not record a key that only the file of --proof names"]);
    assert_eq!((outcome.status.code(), signers.exists()), (Some(2), false), "{outcome:#?}");
    let outcome = published.offline(|_| {}, &[]);
    assert!(!outcome.stdout.contains("according to the registry"), "{outcome:#?}");
    let outcome = published.offline(|_| {}, &["--key", &published.key()]);
    let sentence = "alpha 0.1.0 is what alice (according to a kept proof) signed.\n";
    assert!(outcome.stdout.ends_with(sentence), "{outcome:#?}");
    let remembers = |more: &[&str]| {
        let verify = ["verify", "alpha@0.1.0", "--registry", NAME, "--remember"];
        world.yk_cargo([&verify[..], more].concat()).ends()
    };
    // There is nobody to ask.
    assert!(!remembers(&[]).status.success());
    assert!(!signers.exists());
    let served = world.path("store/crates/alpha/alpha-0.1.0.crate");
    let good = fs::read(&served).unwrap();
    fs::write(&served, b"another file").unwrap();
    assert!(!remembers(&["--yes"]).status.success());
    assert!(!signers.exists(), "what does not hold is not remembered");
    fs::write(&served, good).unwrap();
    let outcome = remembers(&["--yes"]);
    assert!(outcome.status.success(), "{outcome:#?}");
    assert!(fs::read_to_string(&signers).unwrap().contains(&published.key()));
    let outcome = world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME]).succeeds();
    assert!(outcome.stdout.contains(" is alice, named in signers.toml for this crate\n"), "{outcome:#?}");
    assert!(outcome.stdout.ends_with("alpha 0.1.0 is what alice signed.\n"), "{outcome:#?}");
    // What is given decides alone.
    world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME, "--key", OTHER_KEY]).fails();

    let other = fs::read_to_string(&signers).unwrap().replace(&published.key(), OTHER_KEY);
    fs::write(&signers, &other).unwrap();
    // Another key than the trusted one is what this is there to notice: `--yes` does not wave it through.
    assert!(!remembers(&["--yes"]).status.success());
    assert_eq!(fs::read_to_string(&signers).unwrap(), other);
    let outcome = world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME]).fails();
    assert!(outcome.stdout.contains("is not in signers.toml for this crate"), "{outcome:#?}");
    fs::write(&signers, "version = 3\n").unwrap();
    world.yk_cargo(["verify", "alpha@0.1.0", "--registry", NAME]).fails().says(&["a newer yk-cargo wrote"]);
}

/// A pattern wants two of others; the new key alone cannot be enough.
#[test]
fn a_key_is_not_remembered_where_approvals_are_missing() {
    let published = Published::new();
    let world = &published.world;
    let index = world.gateway.index_url();
    let bob = Somebody(3);
    let list = |approvals: &str| {
        format!(
            "version = 2\n[[key]]\nname = \"old-one\"\npublic = \"{OTHER_KEY}\"\n{}[[signer]]\nindex = \"{index}\"\ncrate = \"al*\"\nsigners = [\"old-one\", \"old-two\"]\n{approvals}",
            bob.entry("old-two")
        )
    };
    let signers = world.write("home/yk-cargo/signers.toml", &list("approvals = 2\n"));
    let line = format!("yk-cargo verify alpha@0.1.0 --registry {NAME} --remember; echo STATUS $?");
    let mut session = world.at_a_terminal(&line);
    expect(&mut session, &["the key is not recorded, because", "failed", "approvals: 2 of", "STATUS 1"]);
    session.exp_eof().unwrap();
    assert_eq!(fs::read_to_string(&signers).unwrap(), list("approvals = 2\n"));
    // Where one is enough, the others still count.
    fs::write(&signers, list("")).unwrap();
    let mut session = world.at_a_terminal(&line);
    expect(&mut session, &["so far you trust other keys for this crate", "[y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["now recorded in", "STATUS 0"]);
    session.exp_eof().unwrap();
    let recorded = fs::read_to_string(&signers).unwrap();
    assert!(recorded.contains("signers = [\"old-one\", \"old-two\", \"alice\"]"), "{recorded}");
}

/// Gateway and yk-cargo have each their own reading of the log; here they meet.
#[test]
fn an_entry_of_the_log_is_that_of_the_publish() {
    let published = Published::new();
    let key = published.key();
    let report = |place: &str, from: &str, to: &str| {
        let change = |proof: &mut Value| {
            let leaf = proof.pointer_mut(place).unwrap();
            *leaf = leaf.as_str().unwrap().replacen(from, to, 1).into();
        };
        let outcome = published.offline(change, &["--key", &key, "--json"]);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        (outcome.status.code(), result(&report, "log"))
    };
    assert_eq!(report("/log/leaf", "", ""), (Some(0), "note".into()));
    let failed = (Some(1), "failed".to_owned());
    assert_eq!(report("/log/leaf", "alpha", "beta"), failed);
    assert_eq!(report("/log/leaf", "intent", "outcome"), failed);
    assert_eq!(report("/log/outcome/leaf", "\"intent\":3", "\"intent\":2"), failed);
}

#[test]
fn a_hostile_proof_is_refused_and_cannot_drive_the_terminal() {
    let published = Published::new();
    let evil = "sparse+https://evil.example/\u{1b}[31m";
    let outcome = published.offline(|proof| proof["index"] = evil.into(), &[]);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stdout.contains(r"\u{1b}[31m") && !outcome.stdout.contains('\u{1b}'), "{outcome:#?}");
    let outcome = published.offline(|proof| proof["role"] = "\u{1b}[31m".into(), &[]);
    assert!(!outcome.status.success() && !outcome.stderr.contains('\u{1b}'), "{outcome:#?}");
    published.offline(|proof| proof["version"] = 3.into(), &[]).says(&["version 3", "update yk-cargo"]);
    let big = json!({ "version": 1, "padding": "x".repeat(2 << 20) });
    published.offline(|proof| *proof = big, &[]).says(&["the proof cannot be read: not JSON"]);
    for usage in [vec!["verify"], vec!["verify", "alpha@0.1.0"], vec!["verify", "--proof", "proof.json"]] {
        assert_eq!(published.world.yk_cargo(usage).ends().status.code(), Some(2));
    }
}
