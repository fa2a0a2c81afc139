//! Registries that show a log which is not what it was, or not what their proofs say.

use std::fs;

use serde_json::{Value, json};
use transparency_log::{Checkpoint, Origin, SignedCheckpoint, Signer, TreeHead};

use crate::lock_registry::{ALICE, Locked};
use crate::test_log::{TestLog, TestWitness, counts};
use crate::verify_log::{folder, knows, logged, report};

fn forget_proofs(locked: &Locked) {
    let _ = fs::remove_dir_all(locked.computer.path("home/yk-cargo/proofs"));
}

#[test]
fn what_is_not_in_the_log_is_bad() {
    let locked = logged();
    let mut good = ALICE.proof(&locked.index, "alpha", "0.1.0");
    TestLog::new(&locked.index).publishes(&mut good);
    let is = |change: &dyn Fn(&mut Value), code: i32, verdict: &str, says: &str| {
        let mut proof = good.clone();
        change(&mut proof["log"]);
        locked.answers("alpha", "0.1.0", "200 OK", proof.to_string());
        locked.is(code, verdict, says);
        forget_proofs(&locked);
    };
    let replaced = |text: &Value, from: &str, to: &str| -> Value {
        let changed = text.as_str().unwrap().replace(from, to);
        assert_ne!(text, &json!(changed));
        changed.into()
    };
    is(&|_| {}, 0, "trusted", "entry 0 of the log");
    is(
        &|log| log["leaf"] = replaced(&log["leaf"], "AAAA", "BBBB"),
        16,
        "bad",
        "entry 0 of the log is not what the proof says",
    );
    is(&|log| log["leaf"] = replaced(&log["leaf"], "alpha", "beta"), 16, "bad", "its `name` differs");
    is(&|log| log["index"] = 1.into(), 16, "bad", "entry 1 is not the outcome");
    let outcome = |change: &dyn Fn(&mut Value), says: &str| {
        is(&|log| change(&mut log["outcome"]), 16, "bad", says);
    };
    outcome(
        &|outcome| outcome["leaf"] = replaced(&outcome["leaf"], "done", "failed"),
        "entry 1 of the log is not what the proof says",
    );
    outcome(
        &|outcome| outcome["leaf"] = replaced(&outcome["leaf"], "\"intent\":1", "\"intent\":2"),
        "its `intent` differs",
    );
    is(&|log| *log = Value::Null, 16, "bad", "the proof names no entry of the registry's log");
    // What the newest checkpoint does not have may come, and was waited for.
    is(
        &|log| log["outcome"]["index"] = 5.into(),
        13,
        "withheld or unreachable",
        "has 2 entries so far, and not yet entry 5",
    );
    is(
        &|log| log["outcome"]["index"] = u64::MAX.into(),
        13,
        "withheld or unreachable",
        "not yet entry 18446744073709551615",
    );
    is(&|log| log["index"] = json!(1e30), 16, "bad", "the proof is damaged");
    // A proof that was kept before the log was known is asked for again.
    knows(&locked, "");
    locked.published(ALICE, "alpha", "0.1.0");
    locked.is(0, "trusted", "");
    knows(&locked, &locked.log(|log| log.entry(&[])));
    locked.answers("alpha", "0.1.0", "200 OK", good.to_string());
    locked.is(0, "trusted", "entry 0 of the log");
}

/// What the log's routes answer is a stranger's.
#[test]
fn a_hostile_log_is_refused() {
    let locked = logged();
    let honest = locked.log(|log| log.checkpoint(&[]).to_string());
    let signed = |origin: &str, seed: u8, size: u64| {
        let origin: Origin = origin.parse().unwrap();
        let head = TreeHead { size, ..locked.log(|log| log.checkpoint(&[]).unverified().head()) };
        let signer = Signer::new(origin.key_name().unwrap(), &[seed; 32]);
        let mut checkpoint = SignedCheckpoint::unsigned(Checkpoint::new(origin, head).unwrap());
        checkpoint.sign(&signer).unwrap();
        checkpoint.to_string()
    };
    let origin = locked.log(|log| log.key().name().to_string());
    let (refused, withheld) = ((17, "log refused"), (13, "withheld or unreachable"));
    for (path, status, body, (code, verdict), says) in [
        ("checkpoint", "200 OK", String::new(), refused, "the log's checkpoint is refused: "),
        ("checkpoint", "200 OK", "\u{1b}[31m".into(), refused, "the log's checkpoint is refused: "),
        ("checkpoint", "200 OK", honest.replace("\n2\n", "\n3\n"), refused, "the signature by"),
        (
            "checkpoint",
            "200 OK",
            honest.replace("\n2\n", "\n18446744073709551616\n"),
            refused,
            "a checkpoint has a line each",
        ),
        ("checkpoint", "200 OK", honest.replace("\n2\n", "\n02\n"), refused, "a checkpoint has a line each"),
        (
            "checkpoint",
            "200 OK",
            honest.replacen("/index", "\nindex", 1),
            refused,
            "a checkpoint has a line each",
        ),
        (
            "checkpoint",
            "200 OK",
            honest.replacen("/index", "/ind\u{7f}\u{202e}ex", 1),
            refused,
            "is that of the log",
        ),
        ("checkpoint", "200 OK", signed("other.example", 7, 2), refused, "is that of the log other.example"),
        ("checkpoint", "200 OK", signed(&origin, 8, 2), refused, "not signed by the key that is known"),
        ("checkpoint", "200 OK", signed(&origin, 7, 1 << 62), withheld, "the log is missing tile/"),
        ("checkpoint", "200 OK", " ".repeat(200_000), refused, "sent a longer answer than a registry should"),
        ("checkpoint", "404 Not Found", String::new(), withheld, "the registry shows no log"),
        ("checkpoint", "500 Internal Server Error", String::new(), withheld, "answers with status 500"),
        ("tile/0/000.p/2", "404 Not Found", String::new(), withheld, "the log is missing tile/0/000.p/2"),
        ("tile/0/000.p/2", "200 OK", "x".repeat(63), refused, "63 bytes are not the content of the tile"),
        ("tile/0/000.p/2", "200 OK", "x".repeat(96), refused, "96 bytes are not the content of the tile"),
        ("tile/0/000.p/2", "200 OK", "x".repeat(64), refused, "the tiles are not those of the tree"),
        ("tile/0/000.p/2", "200 OK", "x".repeat(8192), refused, "the tiles are not those of the tree"),
        (
            "tile/0/000.p/2",
            "200 OK",
            "x".repeat(9000),
            refused,
            "sent a longer answer than a registry should",
        ),
    ] {
        let path = format!("/log/{path}");
        locked.serves(&path, status, body);
        locked.is(code, verdict, says);
        let outcome = locked.verify(&[]).fails();
        assert!(!outcome.stdout.contains(['\u{1b}', '\u{202e}']), "{outcome:#?}");
        locked.is_honest_about(&path);
        forget_proofs(&locked);
        let _ = fs::remove_dir_all(locked.computer.path("home/yk-cargo/log"));
    }
    locked.is(0, "trusted", "");
    // Who has a key for the log that is none, says no more than that.
    knows(&locked, "");
    for (key, says) in
        [("\u{1b}", "as its log's key"), (&"x".repeat(10_000), "a longer answer than a registry should")]
    {
        locked.serves("/log/key", "200 OK", key);
        locked
            .computer
            .yk_cargo(["audit", "r", "--remember", "--yes"])
            .fails()
            .quotes(&["could not be shown to be"]);
        let found = report(&locked, &["--remember", "--yes"]);
        assert!(found["logs"][0]["text"].as_str().unwrap().contains(says), "{found}");
    }
}

/// Only the registry can have signed two histories, and who has seen the one does not go along with the other.
#[test]
fn two_histories_are_evidence() {
    let locked = logged();
    locked.log(|log| log.fill(298, "other"));
    locked.is(0, "trusted", "entry 0 of the log");
    let kept = folder(&locked, "home/yk-cargo/log");
    let seen = fs::read_to_string(kept.join("checkpoint")).unwrap();
    let with = |first: usize, then: usize| {
        let mut log = TestLog::new(&locked.index);
        log.publishes(&mut ALICE.proof(&locked.index, "alpha", "0.1.0"));
        log.fill(first, "other");
        log.fill(then, "others");
        log
    };
    let evidence = || {
        fs::read_dir(&kept)
            .unwrap()
            .filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with("evidence-"))
            .count()
    };
    for (number, (log, says)) in [
        (
            with(200, 0),
            "the log is older or shorter than the one seen before: it had 300 entries, and now has 202; both checkpoints are kept in /",
        ),
        (with(297, 1), "its 300 entries differ from those seen before"),
        (with(297, 100), "the first 300 of its 399 entries are not those seen before"),
    ]
    .into_iter()
    .enumerate()
    {
        let served = log.checkpoint(&[]).to_string();
        locked.shows(log, Vec::new());
        locked.is(17, "log refused", says);
        let found = report(&locked, &[]);
        let file = found["logs"][0]["evidence"].as_str().unwrap();
        assert!(found["packages"][0]["text"].as_str().unwrap().contains(file), "{found}");
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(&seen) && text.contains(&served), "{text}");
        assert_eq!(text.contains("the consistency proof from it:"), number == 2, "{text}");
        // An honest log, shown as it once was, contradicts nothing.
        assert_eq!(text.contains("of which neither continues the other"), number > 0, "{text}");
        assert_eq!(evidence(), number + 1, "the same again is one file");
        let audit = locked.computer.yk_cargo(["audit", "r"]).fails();
        assert_eq!(audit.status.code(), Some(17));
        assert!(audit.stdout.contains(says) && audit.stdout.contains(file), "{audit:#?}");
        assert_eq!(fs::read_to_string(kept.join("checkpoint")).unwrap(), seen, "it is not overwritten");
    }
    locked.shows(with(298, 1), Vec::new());
    locked.is(0, "trusted", "entry 0 of the log");
    // What stands in the place of the checkpoint is not passed over.
    fs::write(kept.join("checkpoint"), "x").unwrap();
    locked.is(17, "log refused", "checkpoint is no checkpoint of this log");
}

/// A witness that signs whatever it is shown vouches for two histories. Whoever has seen one refuses the other.
#[test]
fn a_lying_witness_convinces_nobody_who_has_seen_the_log() {
    let locked = logged();
    let witness = || vec![TestWitness::new("w.example")];
    let log = locked.log(|log| log.entry(&["wanda"]));
    knows(&locked, &(witness()[0].entry("wanda") + &log));
    let published = || {
        let mut log = TestLog::new(&locked.index);
        log.publishes(&mut ALICE.proof(&locked.index, "alpha", "0.1.0"));
        log
    };
    let (mut one, mut other) = (published(), published());
    one.fill(3, "one");
    other.fill(4, "other");
    locked.shows(one, witness());
    locked.is(0, "trusted", "entry 0 of the log");
    locked.shows(other, witness());
    locked.is(17, "log refused", "the first 5 of its 6 entries are not those seen before");
}

/// Where nobody is asked, the kept proof has to show it.
#[test]
fn a_kept_log_proof_is_verified_where_nobody_is_asked() {
    let locked = logged();
    locked.is(0, "trusted", "");
    locked.asked();
    let file = folder(&locked, "home/yk-cargo/proofs").join("alpha-0.1.0.json");
    let good = fs::read_to_string(&file).unwrap();
    let offline = |text: &str| {
        fs::write(&file, text).unwrap();
        let (code, found) = locked.verdicts(&["--offline"]);
        assert!(locked.asked().is_empty());
        (code, found[0].1.clone())
    };
    let (code, text) = offline(&good);
    assert!(code == 0 && text.contains("according to a kept proof"), "{text}");
    let json = {
        let extra = good.lines().nth(1).unwrap().strip_prefix("extra ").unwrap();
        use base64::Engine as _;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(extra).unwrap()).unwrap()
    };
    for (text, code, says) in [
        (json, 13, "no proof of its place in the log is kept"),
        (good.replace("\nindex 0\n", "\nindex 1\n"), 16, "entry 0 of the log is not what the proof says"),
        (
            good.replacen("index 0\n", "index 0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 1),
            16,
            "does not show the entry 0",
        ),
        (good.replace("\n2\n", "\n3\n"), 17, "the signature by"),
        ("x".repeat(1 << 20), 13, "no proof of it is kept"),
    ] {
        let (found, text) = offline(&text);
        assert!(found == code && text.contains(says), "{found} {text}");
    }
    // A checkpoint of the same size with another root contradicts the one that was seen.
    let mut other = TestLog::new(&locked.index);
    other.fill(2, "other");
    let contradicting = other.checkpoint(&[]).to_string();
    fs::write(folder(&locked, "home/yk-cargo/log").join("checkpoint"), contradicting).unwrap();
    let (code, text) = offline(&good);
    assert!(code == 17 && text.contains("its 2 entries differ from those seen before"), "{text}");
    assert!(text.contains("both checkpoints are kept as evidence in "), "{text}");
}

/// A kept proof may be anybody's, and has no word in what the log is said to have: the registry's counts.
#[test]
fn a_kept_proof_that_the_log_does_not_have_is_asked_for_again() {
    let locked = logged();
    locked.is(0, "trusted", "entry 0 of the log");
    assert_eq!(locked.verdicts(&["--save-proofs", "proofs"]).0, 0);
    let cached = folder(&locked, "home/yk-cargo/proofs").join("alpha-0.1.0.json");
    let committed = folder(&locked, "work/proofs").join("alpha-0.1.0.json");
    let mut good = ALICE.proof(&locked.index, "alpha", "0.1.0");
    TestLog::new(&locked.index).publishes(&mut good);
    let leaf = good["log"]["leaf"].as_str().unwrap().replace("AAAA", "BBBB");
    for (place, value) in [
        ("/log/leaf", json!(leaf)),
        ("/log/outcome/index", json!(7)),
        (
            "/log/outcome/leaf",
            json!(good["log"]["outcome"]["leaf"].as_str().unwrap().replace("done", "failed")),
        ),
    ] {
        let mut altered = good.clone();
        *altered.pointer_mut(place).unwrap() = value;
        for file in [&cached, &committed] {
            fs::write(file, altered.to_string()).unwrap();
        }
        locked.asked();
        let found = report(&locked, &["--proofs", "proofs"]);
        assert_eq!(found["packages"][0]["verdict"], "trusted", "{place}: {found}");
        assert_eq!(counts(&locked.asked())["proof"], 1);
        // That one is kept now.
        locked.is(0, "trusted", "entry 0 of the log (done)");
        assert_eq!(counts(&locked.asked()).get("proof"), None);
    }
    // What the registry then says is what counts, whatever it is.
    let mut altered = good.clone();
    altered["log"]["leaf"] = json!(leaf);
    for (status, body, code, verdict) in [
        ("404 Not Found", String::new(), 11, "unsigned"),
        ("500 Internal Server Error", String::new(), 13, "withheld or unreachable"),
        ("200 OK", altered.to_string(), 16, "bad"),
    ] {
        fs::write(&cached, altered.to_string()).unwrap();
        locked.answers("alpha", "0.1.0", status, body);
        locked.is(code, verdict, "");
    }
}

/// The checkpoint that a project keeps is compared with, whichever option names the folder.
#[test]
fn a_fork_does_not_take_the_place_of_a_kept_checkpoint() {
    let locked = logged();
    locked.log(|log| log.fill(3, "other"));
    assert_eq!(locked.verdicts(&["--save-proofs", "proofs"]).0, 0);
    let kept = folder(&locked, "work/proofs").join("checkpoint");
    let seen = fs::read_to_string(&kept).unwrap();
    let fork = |entries: usize| {
        let mut log = TestLog::new(&locked.index);
        log.publishes(&mut ALICE.proof(&locked.index, "alpha", "0.1.0"));
        log.fill(entries, "others");
        log
    };
    let forget = || fs::remove_dir_all(locked.computer.path("home/yk-cargo/log")).unwrap();
    let says = "the first 5 of its 11 entries are not those seen before";
    for command in [&["verify", "--lock"][..], &["audit", "r"]] {
        forget();
        locked.shows(fork(9), Vec::new());
        let outcome = locked.computer.yk_cargo([command, &["--save-proofs", "proofs"]].concat()).fails();
        assert!(outcome.status.code() == Some(17) && outcome.stdout.contains(says), "{outcome:#?}");
        assert_eq!(fs::read_to_string(&kept).unwrap(), seen, "it is not overwritten");
    }
    // What cannot be read is not passed over either.
    fs::write(&kept, "x").unwrap();
    let (code, found) = locked.verdicts(&["--save-proofs", "proofs"]);
    assert!(code == 17 && found[0].1.contains("checkpoint is no checkpoint of this log"), "{found:?}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "x");
    fs::write(&kept, &seen).unwrap();
    // Another run keeps something meanwhile: a fork is refused, and what continues this answer stays.
    let newer = |more: usize| {
        let mut log = fork(0);
        log.fill(3 + more, "other");
        log
    };
    for (meanwhile, code) in [(fork(9), 13), (fork(3), 17), (newer(4), 0)] {
        let _ = fs::remove_dir_all(locked.computer.path("home/yk-cargo/log"));
        locked.shows(newer(1), Vec::new());
        locked.is(0, "trusted", "");
        let home = folder(&locked, "home/yk-cargo/log").join("checkpoint");
        let note = meanwhile.checkpoint(&[]).to_string();
        locked.shows(if code == 0 { newer(4) } else { newer(2) }, Vec::new());
        if code == 0 {
            // The answer to this run is the older one.
            locked.log(|log| log.signs = Some(7));
        }
        let (file, text) = (home.clone(), note.clone());
        locked.when_asked("/log/checkpoint", move || fs::write(file, text).unwrap());
        let (found, verdicts) = locked.verdicts(&[]);
        assert_eq!(found, code, "{verdicts:?}");
        assert_eq!(fs::read_to_string(home).unwrap(), note, "it is not overwritten");
    }
}

/// A project's list may name another key; the good checkpoint is not what is wrong then.
#[test]
fn a_key_that_a_project_names_does_not_make_a_checkpoint_a_bad_one() {
    let locked = logged();
    locked.is(0, "trusted", "entry 0 of the log");
    let origin = locked.index["sparse+http://".len()..].trim_end_matches('/').parse().unwrap();
    knows(&locked, "");
    locked.project_trusts(&TestLog::of(&locked.index, origin, 9).entry(&[]));
    locked.is(
        17,
        "log refused",
        "the keys differ: another key than the one that a list names for the log has signed",
    );
    let outcome = locked.verify(&[]).fails();
    assert!(!format!("{outcome:#?}").contains("move it away"), "{outcome:#?}");
    // What is damaged is another matter.
    knows(&locked, &locked.log(|log| log.entry(&[])));
    locked.project_trusts("");
    let kept = folder(&locked, "home/yk-cargo/log").join("checkpoint");
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, text.replace("\n2\n", "\n3\n")).unwrap();
    locked.is(17, "log refused", "is no checkpoint of this log (");
}
