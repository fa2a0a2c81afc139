//! The audit log through the front door: what is written, what is signed, and that every change of it is found.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use asymmetric_token::Mutation;
use registry_gateway::audit::{Entry, Hash, Head, Kind, Point};
use registry_gateway::keys::Role;
use registry_gateway::{Gateway, StartError};

use crate::common::{Fixture, Response, Upload, store};

/// A log with keys, publishes and yanks; the server has ended.
fn log() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    yank(&fixture, true).assert_ok();
    let bob = fixture.bob.public.id();
    fixture.running().store().revoke_key(&bob.to_string(), jiff::Timestamp::now()).unwrap();
    fixture.running.take().unwrap().stop();
    fixture
}

fn yank(fixture: &Fixture, yanked: bool) -> Response {
    let (name, version) = ("hello".parse().unwrap(), "1.0.0".parse().unwrap());
    if yanked {
        let token = fixture.token(Mutation::Yank { name, version });
        fixture.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"")
    } else {
        let token = fixture.token(Mutation::Unyank { name, version });
        fixture.send("PUT", "/api/v1/crates/hello/1.0.0/unyank", Some(&token), b"")
    }
}

fn file(fixture: &Fixture, name: &str) -> PathBuf {
    fixture.folder.path().join(name)
}

fn audit(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.env("REGISTRY_GATEWAY_STORE", store::named(fixture.folder.path()));
    command.args(["20", env!("CARGO_BIN_EXE_registry-gateway"), "audit"]).args(arguments).output().unwrap()
}

#[track_caller]
fn verifies(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = audit(fixture, &[&["verify"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn finds(fixture: &Fixture, arguments: &[&str], text: &str) {
    let output = audit(fixture, &[&["verify"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(text), "{error:?} does not say {text:?}");
}

fn entries(fixture: &Fixture) -> Vec<String> {
    let output = audit(fixture, &["export"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Puts other bytes in the place of an entry, with the hash that belongs to them.
fn put(fixture: &Fixture, seq: usize, entry: &str) {
    let hash = Hash::of(entry.as_bytes());
    let insert = format!("INSERT INTO audit (seq, entry, hash) VALUES ({seq}, '{entry}', '{hash}')");
    fixture.sql(&format!("DELETE FROM audit WHERE seq = {seq}; {insert}"));
}

/// The log written anew from an entry on.
fn rewrite(fixture: &Fixture, from: usize, change: impl FnOnce(&str) -> String) {
    let mut entries = entries(fixture);
    entries[from - 1] = change(&entries[from - 1]);
    put(fixture, from, &entries[from - 1]);
    for position in from..entries.len() {
        let mut entry = Entry::parse(entries[position].as_bytes()).unwrap();
        entry.prev = Hash::of(entries[position - 1].as_bytes());
        entries[position] = entry.to_json().unwrap();
        put(fixture, position + 1, &entries[position]);
    }
}

#[test]
fn everything_that_is_changed_is_an_entry() {
    let fixture = log();
    let entries = entries(&fixture);
    let parsed: Vec<_> = entries.iter().map(|entry| Entry::parse(entry.as_bytes()).unwrap()).collect();
    let kinds: Vec<_> = parsed.iter().map(|entry| entry.kind).collect();
    use Kind::{Intent, Key, Outcome};
    assert_eq!(kinds, [Key, Key, Key, Intent, Outcome, Intent, Outcome, Intent, Outcome, Key]);
    assert_eq!((parsed[0].prev, parsed[1].prev), (Hash::NOTHING, Hash::of(entries[0].as_bytes())));
    let (key, intent, outcome, revoked) =
        (&parsed[1].details, &parsed[3].details, &parsed[4].details, &parsed[9].details);
    assert_eq!(
        (&key["action"], &key["role"], &key["user"]),
        (&"add".into(), &"publish".into(), &"alice".into())
    );
    assert_eq!(key["public"], fixture.publish.public.to_string());
    assert_eq!((&intent["mutation"], &intent["vers"]), (&"publish".into(), &"1.0.0".into()));
    assert_eq!(intent["cksum"], Upload::new("hello", "1.0.0").checksum().to_string());
    assert_eq!((&outcome["intent"], &outcome["outcome"]), (&4.into(), &"done".into()));
    assert_eq!((&revoked["action"], &revoked["user"]), (&"revoke".into(), &"bob".into()));
}

#[test]
fn a_log_that_nobody_touched_verifies() {
    let fixture = log();
    let text = verifies(&fixture, &[]);
    assert!(
        text.contains("entries    1 to 10,") && text.contains("none was given: a log whose end"),
        "{text}"
    );
    let head = store::open(fixture.folder.path()).heads().unwrap().pop().unwrap();
    assert_eq!(head.point.seq, 10, "signed when the server ended");
    let text = verifies(&fixture, &["--head", &head.point.to_string()]);
    assert!(text.contains("kept head  entry 10 is as it was then"), "{text}");
    fs::write(file(&fixture, "kept"), head.to_json() + "\n").unwrap();
    verifies(&fixture, &["--head", file(&fixture, "kept").to_str().unwrap()]);
}

#[test]
fn heads_and_their_key_are_private() {
    let fixture = log();
    let mode = |name| fs::metadata(file(&fixture, name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("heads.key"), mode("heads")), (0o600, 0o600));
}

#[test]
fn every_kind_of_change_is_found_and_named() {
    let replaced = |seq: usize, from: &str, to: &str| {
        let fixture = log();
        let entry = entries(&fixture)[seq - 1].replacen(from, to, 1);
        (fixture, entry)
    };
    let (fixture, entry) = replaced(4, "alice", "bobby");
    fixture.sql(&format!("UPDATE audit SET entry = '{entry}' WHERE seq = 4"));
    finds(&fixture, &[], "entry 4 was changed: its hash is");
    put(&fixture, 4, &entry);
    finds(&fixture, &[], "entry 5 does not follow what is there before it");

    let fixture = log();
    fixture.sql("UPDATE audit SET hash = 'none' WHERE seq = 3");
    finds(&fixture, &[], "entry 3 was changed");

    let (fixture, entry) = replaced(10, "bob", "eve");
    put(&fixture, 10, &entry);
    finds(&fixture, &[], "entry 10 has the hash");

    let (fixture, entry) = replaced(6, "{", "{ ");
    put(&fixture, 6, &entry);
    finds(&fixture, &[], "entry 6 was changed: it is not written in the canonical way");

    let fixture = log();
    fixture.sql("DELETE FROM audit WHERE seq = 2");
    finds(&fixture, &[], "entry 2 is missing: it was removed");

    let fixture = log();
    let texts = entries(&fixture);
    put(&fixture, 4, &texts[5]);
    put(&fixture, 6, &texts[3]);
    finds(&fixture, &[], "entry 6 stands in the place of entry 4");

    // Another outcome, after which the entry that it was copied from follows the one before both.
    let (fixture, entry) = replaced(9, "\"seq\":9", "\"seq\":10");
    put(&fixture, 10, &entry);
    let inserted = entries(&fixture)[8].replace("done", "failed");
    put(&fixture, 9, &inserted);
    finds(&fixture, &[], "entry 9 was inserted");

    let fixture = log();
    fixture.sql("DELETE FROM audit WHERE seq > 8");
    finds(&fixture, &[], "the log ends with entry 8, and there is a head of entry 10: the end was cut off");

    let fixture = log();
    rewrite(&fixture, 4, |entry| entry.replace("alice", "bobby"));
    finds(&fixture, &[], "the log was written anew");
}

/// What a chain cannot show by itself, and a head that was kept elsewhere does.
#[test]
fn without_its_heads_only_a_kept_head_shows_a_cut() {
    let fixture = log();
    let kept = store::open(fixture.folder.path()).heads().unwrap().pop().unwrap();
    store::loses_heads(fixture.folder.path());
    fixture.sql("DELETE FROM audit WHERE seq > 8");
    finds(&fixture, &[], "the store was changed past the log");
    // Who can cut the log can have the tables follow it.
    let follow = "UPDATE key SET revoked = NULL; INSERT INTO open_intent (seq) VALUES (8);
        UPDATE counted SET number = 1 WHERE what = 'open';";
    fixture.sql(follow);
    assert!(verifies(&fixture, &[]).contains("looks the same"));
    finds(&fixture, &["--head", &kept.point.to_string()], "the end was cut off");
    fs::write(file(&fixture, "kept"), kept.to_json()).unwrap();
    let path = file(&fixture, "kept");
    finds(&fixture, &["--head", path.to_str().unwrap()], "the end was cut off");

    rewrite(&fixture, 4, |entry| entry.replace("alice", "bob"));
    finds(&fixture, &[], "the crate hello has the owner \"alice\" in the store, and \"bob\" by the log");
    let follow = r#"UPDATE crate SET owner = (SELECT id FROM "user" WHERE name = 'bob')"#;
    fixture.sql(follow);
    assert!(verifies(&fixture, &[]).contains("looks the same"));
    let middle = Point { seq: 5, hash: kept.point.hash };
    finds(&fixture, &["--head", &middle.to_string()], "entry 5 has the hash");
}

#[test]
fn a_head_that_was_changed_is_found() {
    let fixture = log();
    let heads = file(&fixture, "heads");
    let good = fs::read_to_string(&heads).unwrap();
    fs::write(&heads, good.replace("\"seq\":10", "\"seq\":9")).unwrap();
    finds(&fixture, &[], "the signature of the head of entry 9 does not hold");
    fs::write(&heads, "no head\n").unwrap();
    finds(&fixture, &[], "not a head of an audit log");
    let other = log();
    fs::copy(file(&other, "heads"), &heads).unwrap();
    finds(&fixture, &[], "the head of entry 10 was signed by another key");
    fs::write(&heads, good).unwrap();
    let path = file(&other, "heads");
    finds(&fixture, &["--head", path.to_str().unwrap()], "was signed by another key");
    finds(&fixture, &["--head", "/nowhere/at/all"], "a place is written SEQ:HASH");
}

#[test]
fn a_server_does_not_start_on_a_log_that_was_cut() {
    let fixture = log();
    fixture.sql("DELETE FROM audit WHERE seq > 8");
    match Gateway::start(fixture.config.clone()) {
        Err(StartError::Store(error)) => assert!(error.to_string().contains("was cut off"), "{error}"),
        other => panic!("{other:?}"),
    }
}

/// With a new key, everything that was signed before would look as if somebody else had signed it.
#[test]
fn a_server_does_not_start_without_the_key_of_its_heads() {
    let fixture = log();
    let (key, heads) = (file(&fixture, "heads.key"), file(&fixture, "heads"));
    let (good, signed) = (fs::read(&key).unwrap(), fs::read(&heads).unwrap());
    let refuses = || match Gateway::start(fixture.config.clone()) {
        Err(error @ StartError::Store(_)) => {
            assert!(error.to_string().contains("heads.key is not the key that signed them"), "{error}");
            assert!(error.hint().unwrap().starts_with("restore heads.key from a backup"), "{error:?}");
        }
        other => panic!("{other:?}"),
    };
    fs::remove_file(&key).unwrap();
    refuses();
    assert!(!key.exists(), "none is made");
    finds(&fixture, &[], "heads.key is not the key that signed them");
    fs::copy(file(&log(), "heads.key"), &key).unwrap();
    refuses();
    fs::remove_file(&key).unwrap();
    fs::write(&heads, &signed[..20]).unwrap();
    refuses();
    fs::write(&heads, signed).unwrap();
    fs::write(&key, good).unwrap();
    drop(Gateway::start(fixture.config.clone()).unwrap());
    verifies(&fixture, &[]);
    // As the hint says, where it is lost for good.
    fs::remove_file(&key).unwrap();
    fs::remove_file(&heads).unwrap();
    drop(Gateway::start(fixture.config.clone()).unwrap());
    verifies(&fixture, &[]);
}

#[test]
fn a_head_that_was_being_written_in_a_crash_is_signed_again() {
    let mut fixture = log();
    let heads = file(&fixture, "heads");
    let good = fs::read_to_string(&heads).unwrap();
    fs::write(&heads, &good[..good.len() - 20]).unwrap();
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let served = Head::parse(&fixture.send("GET", "/audit/head", None, b"").text()).unwrap();
    assert_eq!(served.point.seq, 10);
    verifies(&fixture, &[]);
}

#[test]
fn heads_are_signed_on_the_way_and_at_the_end() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.send("GET", "/audit/head", None, b"").status, 404);
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let mut mark = String::new();
    for n in 0..64 {
        let answer = yank(&fixture, n % 2 == 0);
        answer.assert_ok();
        mark = answer.field("x-audit").unwrap().replace(' ', ":");
    }
    let head =
        |fixture: &Fixture| Head::parse(&fixture.send("GET", "/audit/head", None, b"").text()).unwrap();
    let last: Point = mark.parse().unwrap();
    assert_eq!((last.seq, head(&fixture).point.seq), (133, 128));
    assert_eq!(head(&fixture).index, fixture.url());
    verifies(&fixture, &["--head", &mark]);
    fixture.restart();
    assert_eq!(head(&fixture).point, last);
    let signed: Vec<_> =
        fixture.running().store().heads().unwrap().iter().map(|head| head.point.seq).collect();
    assert_eq!(signed, [64, 128, 133]);
}

#[test]
fn the_proof_of_a_publish_leads_to_a_head() {
    let mut fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    let path = "/api/v1/crates/hello/1.0.0/proof";
    fixture.send("GET", path, None, b"").assert_refused(401, "token");
    fixture.get("/api/v1/crates/hello/2.0.0/proof").assert_refused(404, "no proof");
    fixture.get("/api/v1/crates/hello/1.0.0+x/proof").assert_refused(404, "no proof");
    let proof = fixture.get(path).json();
    let index = fixture.url().to_owned();
    assert_eq!((&proof["version"], &proof["index"]), (&1.into(), &index.into()));
    assert_eq!((&proof["name"], &proof["vers"]), (&"hello".into(), &"1.0.0".into()));
    assert_eq!(proof["cksum"], upload.checksum().to_string());
    assert_eq!(
        (&proof["public"], &proof["role"]),
        (&fixture.publish.public.to_string().into(), &"publish".into())
    );
    let way = &proof["audit"];
    assert_eq!(
        (&way["seq"], &way["path"], &way["head"]),
        (&4.into(), &[(); 0].as_slice().into(), &().into())
    );

    fixture.restart();
    let proof = fixture.get(path).json();
    let way = &proof["audit"];
    let head = Head::parse(way["head"].as_str().unwrap()).unwrap();
    assert_eq!((head.point.seq, way["path"].as_array().unwrap().len()), (5, 1));
    let entry = Entry::parse(way["entry"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(entry.details["token"], proof["token"]);
    assert_eq!(Hash::of(way["path"][0].as_str().unwrap().as_bytes()), head.point.hash);
}

/// An owners token is good once for each HTTP method, so a reader of the log must not get it while it lives.
#[test]
fn a_token_that_is_still_good_for_something_is_not_handed_out() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let proof = || fixture.get("/api/v1/crates/hello/1.0.0/proof").json();
    assert!(proof()["audit"].is_object());
    let token = fixture.token(Mutation::Owners { name: "hello".parse().unwrap() });
    fixture.send("GET", "/api/v1/crates/hello/owners", Some(&token), b"").assert_ok();
    for n in 0..32 {
        yank(&fixture, n % 2 == 0).assert_ok();
    }
    assert!(proof()["audit"].is_null(), "a head was signed beyond the owners token");
}

/// A key may get another role; that is on record, too.
#[test]
fn a_changed_key_is_an_entry() {
    let fixture = Fixture::new();
    fixture.add_key(&fixture.bob, "bob", Role::Read);
    let last = entries(&fixture).pop().unwrap();
    assert!(last.contains("\"action\":\"change\"") && last.contains("\"role\":\"read\""), "{last}");
}
