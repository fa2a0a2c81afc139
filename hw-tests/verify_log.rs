//! `verify --lock` and `audit` with a registry that has a transparency log.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::lock_registry::{ALICE, FILE, Locked, entry};
use crate::terminal::expect;
use crate::test_log::{TestLog, TestWitness, counts};

const ALICES: &str = "[[signer]]\nindex = \"INDEX\"\ncrate = \"*\"\nsigners = [\"alice\"]\n";

/// A registry with a log, and somebody who trusts Alice and knows the log's key, for `alpha` 0.1.0.
pub(crate) fn logged() -> Locked {
    let locked = Locked::new();
    locked.shows(TestLog::new(&locked.index), Vec::new());
    locked.logged(ALICE, "alpha", "0.1.0");
    knows(&locked, &locked.log(|log| log.entry(&[])));
    locked.locks(&[("alpha", "0.1.0")]);
    locked
}

/// The person trusts Alice, and knows this.
pub(crate) fn knows(locked: &Locked, log: &str) {
    locked.trusts(&(ALICE.entry("alice") + ALICES + log));
}

pub(crate) fn report(locked: &Locked, more: &[&str]) -> Value {
    let outcome = locked.verify(&[&["--json"], more].concat()).ends();
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:#?}"))
}

/// The folder of the registry in one of these.
pub(crate) fn folder(locked: &Locked, within: &str) -> PathBuf {
    let mut folders = fs::read_dir(locked.computer.path(within)).unwrap();
    folders.next().unwrap().unwrap().path()
}

#[test]
fn the_log_has_what_was_published() {
    let locked = logged();
    locked.is(0, "trusted", "signed by alice; entry 0 of the log (done)");
    let asked = locked.asked();
    assert_eq!(
        counts(&asked),
        [("checkpoint", 1), ("configuration", 1), ("proof", 1), ("tile", 1)].into(),
        "{asked:?}"
    );
    // What is kept is a log proof, and nothing is asked twice.
    let kept = fs::read_to_string(folder(&locked, "home/yk-cargo/proofs").join("alpha-0.1.0.json")).unwrap();
    assert!(kept.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{kept}");
    let found = report(&locked, &[]);
    assert_eq!(counts(&locked.asked()), [("checkpoint", 1), ("configuration", 1)].into());
    assert_eq!(
        found["packages"][0]["signature"]["log"],
        json!({ "index": 0, "outcome": "done", "state": "shown" })
    );
    let log = &found["logs"][0];
    assert_eq!((&log["state"], &log["size"], &log["seen-before"]), (&json!("seen"), &json!(2), &json!(2)));
    locked.log(|log| log.fill(600, "other"));
    let outcome = locked.verify(&[]).succeeds();
    let line = "log                      of r: 602 entries, which continue the 2 seen before; no witness is required\n";
    assert!(outcome.stdout.contains(line), "{outcome:#?}");
    // An intent is not all.
    let mut proof = ALICE.proof(&locked.index, "beta", "0.1.0");
    locked.log(|log| log.publishes(&mut proof));
    proof["log"]["outcome"] = Value::Null;
    locked.answers("beta", "0.1.0", "200 OK", proof.to_string());
    locked.locks(&[("beta", "0.1.0")]);
    locked.is(0, "trusted", "entry 602 of the log (no outcome yet)");
}

/// Whose key nobody has said to be the log's can show anything.
#[test]
fn a_log_whose_key_is_not_known_is_not_asked() {
    let locked = logged();
    knows(&locked, "");
    locked.is(0, "trusted", "the proof names entry 0 of the log, but the log's key is not in your list");
    assert_eq!(counts(&locked.asked()), [("configuration", 1), ("proof", 1)].into());
    let found = report(&locked, &[]);
    assert_eq!(found["logs"][0]["state"], "key unknown");
    let audit = locked.computer.yk_cargo(["audit", "r"]).fails();
    let key = locked.log(|log| log.key().to_string());
    assert_eq!(audit.status.code(), Some(10));
    audit.says(&["the log of r could not be shown to be the one you know", "audit REGISTRY --remember"]);
    assert!(audit.stdout.contains(&format!("the registry says that its key is {key}\n")), "{audit:#?}");
    assert!(!locked.computer.path("home/yk-cargo/log").exists());
    // It is remembered when that is wanted, and after a question.
    let nobody = locked.computer.yk_cargo(["audit", "r", "--remember"]).fails();
    assert_eq!(nobody.status.code(), Some(1), "{nobody:#?}");
    let mut session = locked.computer.at_a_terminal("yk-cargo audit r --remember; echo STATUS $?");
    expect(&mut session, &["log of r  ", &key, "only the registry's administrator can confirm it", "[y/N] "]);
    session.send_line("n").unwrap();
    expect(&mut session, &["key unknown", "STATUS 10"]);
    session.exp_eof().unwrap();
    assert!(!fs::read_to_string(locked.list()).unwrap().contains("[[log]]"));
    let (code, found) = locked.verdicts(&["--remember", "--yes"]);
    assert_eq!((code, found[0].1.as_str()), (0, "signed by alice; entry 0 of the log (done)"));
    let list = fs::read_to_string(locked.list()).unwrap();
    assert!(list.contains(&format!("vkey = \"{key}\"")), "{list}");
    let audit = locked.computer.yk_cargo(["audit", "r"]).succeeds();
    assert!(audit.stdout.starts_with("ok  2 entries, the same as before; no witness is required\n"));
    let audit = locked.computer.yk_cargo(["audit", "r", "--json"]).succeeds();
    let json: Value = serde_json::from_str(&audit.stdout).unwrap();
    assert_eq!((&json["state"], &json["vkey"]), (&json!("seen"), &json!(key)));
}

/// In a job of a build service there is neither a home with a checkpoint nor a list but the project's.
#[test]
fn the_checkpoint_lies_beside_the_projects_proofs() {
    let locked = logged();
    let list = fs::read_to_string(locked.list()).unwrap().replace("version = 2\n", "");
    assert_eq!(locked.verdicts(&["--save-proofs", "proofs"]).0, 0);
    assert!(folder(&locked, "work/proofs").join("checkpoint").exists());
    fs::remove_dir_all(locked.computer.path("home/yk-cargo")).unwrap();
    locked.project_trusts(&list);
    let (code, found) = locked.verdicts(&["--proofs", "proofs", "--offline"]);
    assert_eq!(code, 0, "{found:?}");
    assert!(found[0].1.ends_with("entry 0 of the log, according to a kept proof (done)"), "{found:?}");
    locked.asked();
    let found = report(&locked, &["--proofs", "proofs"]);
    assert_eq!((&found["ok"], &found["logs"][0]["seen-before"]), (&json!(true), &json!(2)));
    assert!(
        found["logs"][0]["text"].as_str().unwrap().ends_with("its key is known by this project's own list")
    );
    assert_eq!(counts(&locked.asked()).get("proof"), None);
    // Another log than that one is noticed there, too.
    fs::remove_dir_all(locked.computer.path("home/yk-cargo")).unwrap();
    let mut other = TestLog::new(&locked.index);
    other.fill(9, "other");
    locked.shows(other, Vec::new());
    let (code, found) = locked.verdicts(&["--proofs", "proofs"]);
    assert_eq!((code, found[0].0.as_str()), (17, "log refused"), "{found:?}");
    assert!(found[0].1.contains("the first 2 of its 9 entries are not those seen before"), "{found:?}");
}

/// A project can only ask for more than the person does.
#[test]
fn a_projects_list_wants_more_of_a_log_and_never_less() {
    let locked = logged();
    let other = TestLog::of(
        &locked.index,
        locked.index["sparse+http://".len()..].trim_end_matches('/').parse().unwrap(),
        9,
    );
    locked.project_trusts(&other.entry(&[]));
    locked.is(17, "log refused", "this project's own list names another key for the log than yours does");
    let witness = TestWitness::new("w.example");
    locked.project_trusts(&(witness.entry("wanda") + &locked.log(|log| log.entry(&["wanda"]))));
    locked.is(17, "log refused", "the log's checkpoint is not signed by wanda");
    // A log that was begun anew is not accepted by a project for the person.
    locked.project_trusts(&TestLog::of_generation(&locked.index, 2).entry(&[]));
    locked.is(0, "trusted", "entry 0 of the log");
    locked.shows(TestLog::of_generation(&locked.index, 2), Vec::new());
    locked.is(17, "log refused", "the log was started anew (generation 2; you know 1)");
}

#[test]
fn witnesses_that_are_wanted_have_signed() {
    let locked = logged();
    let (one, two) = (TestWitness::new("w.example"), TestWitness::new("another.example"));
    let log = locked.log(|log| log.entry(&["wanda", "walter"]));
    knows(&locked, &(one.entry("wanda") + &two.entry("walter") + &log));
    let rebuilt = || {
        let mut log = TestLog::new(&locked.index);
        log.publishes(&mut ALICE.proof(&locked.index, "alpha", "0.1.0"));
        log
    };
    locked.is(17, "log refused", "the log's checkpoint is not signed by wanda, walter");
    locked.shows(rebuilt(), vec![TestWitness::new("w.example")]);
    locked.is(17, "log refused", "the log's checkpoint is not signed by walter");
    locked.shows(rebuilt(), vec![one, two]);
    locked.is(0, "trusted", "entry 0 of the log (done)");
    let found = report(&locked, &[]);
    assert!(
        found["logs"][0]["text"].as_str().unwrap().ends_with("; also signed by wanda, walter"),
        "{found}"
    );
    // What is no list says so.
    for (list, problem) in [
        (locked.log(|log| log.entry(&["bob"])), "names `bob`, and there is no [[witness]] of that name"),
        (
            locked.log(|log| log.entry(&[])).replace("index/\"", "other/\""),
            "is not named like this registry's log",
        ),
        (locked.log(|log| log.entry(&[])).repeat(2), "has two entries for sparse+"),
        (
            TestWitness::new("w.example").entry("a") + &TestWitness::new("w.example").entry("b"),
            "has two entries for b",
        ),
    ] {
        knows(&locked, &list);
        locked.verify(&[]).fails().says(&[problem]);
    }
}

/// A restored backup is a fork; the registry begins a new log, and each consumer says that this is well.
#[test]
fn a_log_that_was_begun_anew_is_accepted_by_the_person_only() {
    let locked = logged();
    locked.is(0, "trusted", "entry 0 of the log");
    let (mut first, mut second) = (TestLog::new(&locked.index), TestLog::of_generation(&locked.index, 2));
    let alphas = ALICE.proof(&locked.index, "alpha", "0.1.0");
    for log in [&mut first, &mut second] {
        log.publishes(&mut alphas.clone());
    }
    first.append("lost");
    let (old, new) = (first.key().to_string(), second.key().to_string());
    locked.shows(second, Vec::new());
    locked.logged(ALICE, "beta", "0.1.0");
    locked.locks(&[("alpha", "0.1.0"), ("beta", "0.1.0")]);
    let is = |code: i32, says: &str| {
        let (found, verdicts) = locked.verdicts(&[]);
        assert!(
            found == code && verdicts.iter().all(|(_, text)| text.contains(says)),
            "{found} {verdicts:?}"
        );
    };
    is(
        17,
        "the log was started anew (generation 2; you know 1): entries of the earlier one may have been lost",
    );
    let (code, _) = locked.verdicts(&["--remember", "--yes"]);
    assert_eq!(code, 17, "--yes does not wave it through");
    let accept = |left: &str, answer: &str, then: &[&str]| {
        let mut session = locked.computer.at_a_terminal("yk-cargo audit r --remember; echo STATUS $?");
        expect(&mut session, &[&format!("from {old}"), &format!("to   {new}"), left, "[y/N] "]);
        session.send_line(answer).unwrap();
        expect(&mut session, then);
        session.exp_eof().unwrap();
    };
    accept("it has all 2 entries that you saw in the earlier one", "n", &["STATUS 17"]);
    let kept = folder(&locked, "home/yk-cargo/log").join("checkpoint");
    let seen = fs::read(&kept).unwrap();
    fs::write(&kept, first.checkpoint(&[]).to_string()).unwrap();
    accept("it does not have all 3 entries that you saw", "n", &["STATUS 17"]);
    fs::write(&kept, seen).unwrap();
    let then = ["4 entries of generation 2, seen for the first time", "STATUS 0"];
    accept("it has all 2 entries that you saw in the earlier one", "y", &then);
    // A log proof of the earlier one counts no more where nobody is asked.
    let (code, found) = locked.verdicts(&["--offline"]);
    assert_eq!((code, found[0].1.contains("the log was started anew since this proof was kept")), (13, true));
    is(0, "of the log (done)");
    assert_eq!(locked.verdicts(&["--offline"]).0, 0);
    // The earlier one is not shown again.
    locked.shows(first, Vec::new());
    is(17, "the registry shows an older log than the one you accepted");
}

/// One version by itself, and a file that says all of it without the registry.
#[test]
fn a_saved_proof_shows_its_place_in_the_log() {
    let locked = logged();
    let line =
        json!({ "name": "alpha", "vers": "0.1.0", "deps": [], "features": {}, "cksum": FILE.to_string() });
    locked.serves("/index/al/ph/alpha", "200 OK", line.to_string());
    let save = || locked.computer.yk_cargo(["proof", "alpha@0.1.0", "--registry", "r"]);
    save().succeeds();
    let saved = fs::read_to_string(locked.computer.path("work/alpha-0.1.0.json")).unwrap();
    assert!(saved.starts_with("c2sp.org/tlog-proof@v1\n"), "{saved}");
    let checked = |text: &str| {
        locked.computer.write("work/proof", text);
        locked.computer.write("work/alpha.crate", "");
        let verify = ["verify", "--crate", "alpha.crate", "--proof", "proof", "--json"];
        let outcome = locked.computer.yk_cargo(verify).ends();
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:#?}"));
        let checks = report["checks"].as_array().unwrap().iter();
        let log = checks.into_iter().find(|check| check["check"] == "log").unwrap();
        (log["result"].as_str().unwrap().to_owned(), log["text"].as_str().unwrap().to_owned())
    };
    locked.asked();
    let shown = "entry 0 of the log, according to a kept proof (done)";
    assert_eq!(checked(&saved), ("ok".into(), shown.into()));
    assert!(locked.asked().is_empty());
    let (result, text) = checked(&saved.replace("\nindex 0\n", "\nindex 1\n"));
    assert!(result == "failed" && text.contains("entry 0 of the log is not what the proof says"), "{text}");
    // What the log does not have is not saved.
    locked.shows(TestLog::new(&locked.index), Vec::new());
    locked.log(|log| log.fill(3, "other"));
    let _ = fs::remove_dir_all(locked.computer.path("home/yk-cargo/log"));
    locked
        .computer
        .yk_cargo(["proof", "alpha@0.1.0", "--registry", "r", "--force"])
        .fails()
        .says(&["the proof is not saved: the log has entry 0 of the log is not what the proof says"]);
    // Without a key that is known the registry's words are what there is.
    knows(&locked, "");
    locked.computer.yk_cargo(["proof", "alpha@0.1.0", "--registry", "r", "--force"]).succeeds();
    let plain = fs::read_to_string(locked.computer.path("work/alpha-0.1.0.json")).unwrap();
    let (result, text) = checked(&plain);
    assert!(
        result == "note" && text.ends_with("of the log, but the log's key is not in your list"),
        "{text}"
    );
    knows(&locked, &locked.log(|log| log.entry(&[])));
    let (result, text) = checked(&plain);
    assert!(result == "failed" && text.contains("no proof of its place in the log is kept"), "{text}");
}

/// How many questions a whole lock file costs.
#[test]
fn one_checkpoint_for_four_hundred_packages() {
    let locked = logged();
    let names: Vec<_> = (0..200).map(|number| format!("p{number}")).collect();
    for name in &names {
        locked.logged(ALICE, name, "1.0.0");
    }
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    let lock: String = names
        .iter()
        .flat_map(|name| [(name, locked.index.as_str()), (name, crates_io)])
        .map(|(name, index)| entry(name, "1.0.0", index, &FILE.to_string()))
        .collect();
    locked.writes_lock(&lock);
    let (code, found) = locked.verdicts(&[]);
    let trusted = found.iter().filter(|(verdict, _)| verdict == "trusted").count();
    assert_eq!((code, found.len(), trusted), (0, 400, 200), "{:?}", found[0]);
    // 402 entries are in two tiles of the lowest level, with one above them.
    let cold = [("checkpoint", 1), ("configuration", 1), ("proof", 200), ("tile", 3)].into();
    assert_eq!(counts(&locked.asked()), cold);
    assert_eq!(locked.verdicts(&[]).0, 0);
    assert_eq!(counts(&locked.asked()), [("checkpoint", 1), ("configuration", 1)].into());
    // What has been full before is not asked for again.
    locked.log(|log| log.fill(200, "other"));
    assert_eq!(locked.verdicts(&[]).0, 0);
    assert_eq!(counts(&locked.asked())["tile"], 3, "the second one, now full, a third and the one above");
}

/// Whoever can write into the cache wins nothing, and a damaged one costs questions only.
#[test]
fn tiles_are_kept_and_verified_every_time() {
    let locked = logged();
    locked.log(|log| log.fill(300, "other"));
    locked.is(0, "trusted", "");
    let tiles = folder(&locked, "home/yk-cargo/log").join("tiles");
    let mut kept: Vec<_> = fs::read_dir(&tiles).unwrap().map(|file| file.unwrap().path()).collect();
    kept.sort();
    for poison in [vec![0; 8192], Vec::new(), vec![1; 33]] {
        for tile in &kept {
            let good = fs::read(tile).unwrap();
            fs::write(tile, &poison).unwrap();
            locked.is(0, "trusted", "");
            assert_eq!(fs::read(tile).unwrap(), good, "{}", tile.display());
        }
    }
}
