//! The audit log through the front door: what is written, what is signed, what is shown to whom, and that every change of it is found.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::audit::{Entry, Hash, Kind, Point};
use registry_gateway::keys::Role;
use registry_gateway::store::{Outcome, Signed, SpendError, StoreError};
use registry_gateway::{Gateway, StartError};
use transparency_log::{
    Checkpoint, Plan, SignedCheckpoint, Signer, Tiles, TreeHead, VerifiedCheckpoint, Verifier,
};

use crate::common::served::run;
use crate::common::{Fixture, Response, SoftwareKey, Upload, now, store};

/// A log with keys, publishes and yanks; the server has ended.
fn log() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    yank(&fixture, true).assert_ok();
    let bob = fixture.bob.public.id();
    fixture.running().store().revoke_key(&bob.to_string(), Timestamp::now()).unwrap();
    fixture.config.listen = fixture.running().address();
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
    let hash = Hash::leaf(entry.as_bytes()).unwrap();
    let insert = format!("INSERT INTO audit (seq, entry, hash) VALUES ({seq}, '{entry}', '{hash}')");
    fixture.sql(&format!("DELETE FROM audit WHERE seq = {seq}; {insert}"));
}

/// The log with another entry, and with the tree that belongs to it.
fn rewrite(fixture: &Fixture, seq: usize, change: impl FnOnce(&str) -> String) {
    let mut entries = entries(fixture);
    entries[seq - 1] = change(&entries[seq - 1]);
    store::has_log(fixture.folder.path(), &entries);
}

/// The log without what comes after an entry, and with the tree that belongs to it.
fn cut(fixture: &Fixture, last: usize) {
    store::has_log(fixture.folder.path(), &entries(fixture)[..last]);
}

/// What it says, by the key that the gateway tells.
fn verified(fixture: &Fixture, note: &str) -> VerifiedCheckpoint {
    let key: Verifier = fixture.send("GET", "/log/key", None, b"").text().trim_end().parse().unwrap();
    let signed: SignedCheckpoint = note.parse().unwrap();
    signed.verify(&format!("{}", key.name()).parse().unwrap(), &key, &[]).unwrap()
}

/// The tree of the newest checkpoint once it has this many entries.
fn signed_up_to(fixture: &Fixture, size: u64) -> TreeHead {
    verified(fixture, &fixture.checkpoint(size)).head
}

/// Tiles of a tree, as the gateway answers with them.
fn tiles(fixture: &Fixture, head: TreeHead, plan: &Plan) -> Tiles {
    let fetched: BTreeMap<_, _> = plan
        .tiles()
        .map(|tile| {
            let answer = fixture.get(&format!("/log/{tile}"));
            answer.assert_ok();
            assert_eq!(answer.field("content-type"), Some("application/octet-stream"));
            assert!(answer.field("cache-control").unwrap().contains("immutable"));
            (tile, tile.parse_hashes(&answer.body).unwrap())
        })
        .collect();
    Tiles::check(head, fetched).unwrap()
}

#[test]
fn everything_that_is_changed_is_an_entry() {
    let fixture = log();
    let entries = entries(&fixture);
    let parsed: Vec<_> = entries.iter().map(|entry| Entry::parse(entry.as_bytes()).unwrap()).collect();
    let kinds: Vec<_> = parsed.iter().map(|entry| entry.kind).collect();
    use Kind::{Intent, Key, Outcome};
    assert_eq!(kinds, [Key, Key, Key, Intent, Outcome, Intent, Outcome, Intent, Outcome, Key]);
    assert_ne!(parsed[0].salt, parsed[1].salt);
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
    let mut fixture = log();
    let text = verifies(&fixture, &[]);
    assert!(
        text.contains("entries      1 to 10,")
            && text.contains("none was given: a log that was written anew"),
        "{text}"
    );
    assert!(text.contains("the last is of 10 entries\n"), "signed when the server ended: {text}");
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let (note, key) = (fixture.checkpoint(10), fixture.send("GET", "/log/key", None, b"").text());
    assert!(text.contains(&format!("key          {key}")), "{text}");
    let kept = file(&fixture, "kept");
    fs::write(&kept, note).unwrap();
    yank(&fixture, false).assert_ok();
    let text = verifies(&fixture, &["--checkpoint", kept.to_str().unwrap()]);
    assert!(text.contains("kept         10 entries are as they were then"), "{text}");
}

#[test]
fn the_key_is_private() {
    let fixture = log();
    assert_eq!(fs::metadata(file(&fixture, "log-1.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_kind_of_change_is_found_and_named() {
    let replaced = |seq: usize, from: &str, to: &str| {
        let fixture = log();
        let entry = entries(&fixture)[seq - 1].replacen(from, to, 1);
        (fixture, entry)
    };
    let anew = "the log was written anew there";
    let (fixture, entry) = replaced(4, "alice", "bobby");
    fixture.sql(&format!("UPDATE audit SET entry = '{entry}' WHERE seq = 4"));
    finds(&fixture, &[], "entry 4 was changed: its hash is");
    put(&fixture, 4, &entry);
    finds(&fixture, &[], anew);

    let fixture = log();
    fixture.sql("UPDATE audit SET hash = 'none' WHERE seq = 3");
    finds(&fixture, &[], "entry 3 was changed");

    let (fixture, entry) = replaced(10, "bob", "eve");
    put(&fixture, 10, &entry);
    finds(&fixture, &[], anew);

    for (from, to, why) in [
        ("{", "{ ", "it is not written in the canonical way"),
        ("\"salt\"", "\"sand\"", "its `salt` is missing or wrong"),
    ] {
        let (fixture, entry) = replaced(6, from, to);
        put(&fixture, 6, &entry);
        finds(&fixture, &[], &format!("entry 6 was changed: {why}"));
    }

    let fixture = log();
    fixture.sql("DELETE FROM audit WHERE seq = 2");
    finds(&fixture, &[], "entry 2 is missing: it was removed");

    let fixture = log();
    let texts = entries(&fixture);
    put(&fixture, 4, &texts[5]);
    put(&fixture, 6, &texts[3]);
    finds(&fixture, &[], "entry 6 is in the place of entry 4");

    let (fixture, entry) = replaced(10, "\"seq\":10", "\"seq\":11");
    put(&fixture, 11, &entry);
    finds(&fixture, &[], "entry 11 was inserted");

    let fixture = log();
    fixture.sql("DELETE FROM audit WHERE seq > 8");
    finds(&fixture, &[], "the log ends with entry 8, and had 10 entries: the end was cut off");

    let fixture = log();
    cut(&fixture, 8);
    finds(&fixture, &[], "the log ends with entry 8, and had 10 entries: the end was cut off");

    let fixture = log();
    rewrite(&fixture, 4, |entry| entry.replace("alice", "bobby"));
    finds(&fixture, &[], anew);

    for (table, text) in [
        (
            format!("UPDATE log_end SET edge = '{0} {0}'", Hash::EMPTY),
            "the stored right edge of the tree was changed",
        ),
        (
            format!("INSERT INTO tile (level, number, hash) VALUES (1, 0, '{}')", Hash::EMPTY),
            "a tile has a hash of entries that",
        ),
    ] {
        let fixture = log();
        fixture.sql(&table);
        finds(&fixture, &[], text);
    }
}

/// What a log cannot show by itself, and a checkpoint that was kept elsewhere does.
#[test]
fn without_its_checkpoints_only_a_kept_one_shows_a_cut() {
    let mut fixture = log();
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let kept = file(&fixture, "kept");
    fs::write(&kept, fixture.checkpoint(10)).unwrap();
    fixture.running.take().unwrap().stop();
    let kept = ["--checkpoint", kept.to_str().unwrap()];
    store::loses_checkpoints(fixture.folder.path());
    cut(&fixture, 8);
    finds(&fixture, &[], "the store was changed behind the log's back");
    // Who can cut the log can have the tables follow it.
    let follow = "UPDATE key SET revoked = NULL; INSERT INTO open_intent (seq) VALUES (8);
        INSERT INTO counted (what, number) VALUES ('open', 1) ON CONFLICT (what) DO UPDATE SET number = 1;";
    fixture.sql(follow);
    assert!(verifies(&fixture, &[]).contains("looks the same"));
    finds(&fixture, &kept, "the end was cut off");

    let mut whole = entries(&fixture);
    for seq in 9..=10 {
        whole.push(whole[7].replace("\"seq\":8", &format!("\"seq\":{seq}")));
    }
    store::has_log(fixture.folder.path(), &whole);
    finds(&fixture, &kept, "the log was written anew there");
}

#[test]
fn a_checkpoint_that_was_changed_is_found() {
    let fixture = log();
    let note = |fixture: &Fixture| {
        fixture.sql("SELECT note FROM checkpoint WHERE size = 10").trim_end().to_owned() + "\n"
    };
    let good = note(&fixture);
    let put = |note: &str| fixture.sql(&format!("UPDATE checkpoint SET note = '{note}' WHERE size = 10"));
    put(&good.replace("\n10\n", "\n9\n"));
    finds(&fixture, &[], "the checkpoint of 10 entries was changed");
    put("no checkpoint");
    finds(&fixture, &[], "the checkpoint of 10 entries was changed");
    let mut other = log();
    put(&note(&other));
    finds(&fixture, &[], "the checkpoint of 10 entries was changed: ");
    put(&good);
    fixture.sql("DELETE FROM checkpoint WHERE size < 10; UPDATE checkpoint SET size = 9 WHERE size = 10");
    finds(&fixture, &[], "the checkpoint of 9 entries was changed: it is in the place of another");
    fixture.sql("UPDATE checkpoint SET size = 10 WHERE size = 9");
    verifies(&fixture, &[]);

    other.running = Some(Gateway::start(other.config.clone()).unwrap());
    let kept = file(&fixture, "kept");
    fs::write(&kept, other.checkpoint(10)).unwrap();
    finds(
        &fixture,
        &["--checkpoint", kept.to_str().unwrap()],
        "this is not a checkpoint of this store's log",
    );
    fs::write(&kept, "nonsense").unwrap();
    finds(
        &fixture,
        &["--checkpoint", kept.to_str().unwrap()],
        "this is not a checkpoint of this store's log",
    );
    finds(&fixture, &["--checkpoint", "/nowhere/at/all"], "cannot read /nowhere/at/all");
}

/// Whoever has the key can sign two trees of one size. The store keeps one, and the log has to be that one's.
#[test]
fn a_second_checkpoint_of_one_size_is_not_this_logs() {
    let fixture = log();
    let good = fixture.sql("SELECT note FROM checkpoint WHERE size = 10");
    let good: SignedCheckpoint = good.parse().unwrap();
    let origin = good.unverified().origin().clone();
    let seed = fs::read(file(&fixture, "log-1.key")).unwrap();
    let signer = Signer::new(origin.key_name().unwrap(), seed.as_slice().try_into().unwrap());
    let head = TreeHead { size: 10, root: Hash::EMPTY };
    let mut forged = SignedCheckpoint::unsigned(Checkpoint::new(origin, head).unwrap());
    forged.sign(&signer).unwrap();
    let kept = file(&fixture, "kept");
    fs::write(&kept, forged.to_string()).unwrap();
    finds(&fixture, &["--checkpoint", kept.to_str().unwrap()], "the log was written anew there");
    fixture.sql(&format!("UPDATE checkpoint SET note = '{forged}' WHERE size = 10"));
    finds(&fixture, &[], "the log was written anew there");
    assert!(does_not_start(&fixture).contains("the log was written anew there"));
}

fn does_not_start(fixture: &Fixture) -> String {
    match Gateway::start(fixture.config.clone()) {
        Err(StartError::Store(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Also if the tree follows: what was signed is another one. A gateway of a PostgreSQL has seen the end of the log, too.
#[test]
fn a_server_does_not_start_on_a_log_that_was_cut_or_written_anew() {
    let lost = if store::is_in_postgres() { "the audit log has lost its end" } else { "was cut off" };
    let fixture = log();
    cut(&fixture, 8);
    let said = does_not_start(&fixture);
    assert!(said.contains(lost), "{said}");

    let fixture = log();
    rewrite(&fixture, 4, |entry| entry.replace("alice", "bobby"));
    let said = does_not_start(&fixture);
    assert!(said.contains("the log was written anew there"), "{said}");

    // The rows alone.
    for (change, text) in [
        ("DELETE FROM audit WHERE seq = 9", "the log has lost hashes of the tile tile/0/000.p/10"),
        ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 9) WHERE seq = 8", "the log's tree: "),
    ] {
        let fixture = log();
        fixture.sql(change);
        let said = does_not_start(&fixture);
        assert!(said.contains(text), "{said}");
    }
}

/// What is signed while it runs is looked at as well.
#[test]
fn a_fork_is_not_signed() {
    let mut fixture = log();
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let note = fixture.checkpoint(10);
    rewrite(&fixture, 4, |entry| entry.replace("alice", "bobby"));
    yank(&fixture, false).assert_ok();
    fixture.running.take().unwrap().stop();
    assert_eq!(fixture.sql("SELECT max(size) FROM checkpoint"), "10");
    let said = does_not_start(&fixture);
    assert!(said.contains("the log was written anew there"), "{said}");
    assert!(note.contains("\n10\n"));
}

/// With a new key, everything that was signed before would look as if somebody else had signed it.
#[test]
fn a_server_does_not_start_without_the_key_of_its_log() {
    let mut fixture = log();
    let refuses = |fixture: &Fixture| match Gateway::start(fixture.config.clone()) {
        Err(StartError::Store(error @ StoreError::LogKeyLost { generation: 1 })) => {
            assert!(error.to_string().contains("is lost or was replaced"), "{error}");
            let hint = error.hint().unwrap();
            assert!(hint.contains("log-1.key") && hint.contains("store accept-restore"), "{hint}");
        }
        other => panic!("{other:?}"),
    };
    let key = file(&fixture, "log-1.key");
    if store::is_in_postgres() {
        fixture.sql("DELETE FROM secret WHERE name = 'log key 1'");
        refuses(&fixture);
    } else {
        let good = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        refuses(&fixture);
        assert!(!key.exists(), "none is made");
        fs::write(&key, [7; 32]).unwrap();
        refuses(&fixture);
        fs::write(&key, good).unwrap();
        drop(Gateway::start(fixture.config.clone()).unwrap());
        verifies(&fixture, &[]);
        fs::remove_file(&key).unwrap();
    }
    // As the hint says, where it is lost for good.
    let accepted = accept_restore(&fixture, &[]);
    assert!(accepted.starts_with("2\t"), "{accepted}");
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    assert!(fixture.checkpoint(1).split('\n').next().unwrap().ends_with("/index/2"));
    verifies(&fixture, &[]);
}

/// Runs `store accept-restore`, and returns what it says.
#[track_caller]
fn accept_restore(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = accepting(fixture, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn accepting(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.env("REGISTRY_GATEWAY_STORE", store::named(fixture.folder.path()));
    if let Some(state) = &fixture.config.postgres.state {
        command.env("STATE_DIRECTORY", state);
    }
    #[cfg(target_os = "linux")]
    if store::is_in_postgres() {
        command.env("CREDENTIALS_DIRECTORY", crate::common::cluster::Cluster::credentials().1);
    }
    command.args(["20", env!("CARGO_BIN_EXE_registry-gateway"), "store", "accept-restore"]);
    command.args(arguments).output().unwrap()
}

#[test]
fn the_log_is_signed_on_the_way_and_at_the_end() {
    let mut fixture = Fixture::with(|_| {});
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let old = signed_up_to(&fixture, 5);
    assert_eq!(old.size, 5);
    let (mut last, started) = (None, Instant::now());
    for n in 0..300 {
        let answer = yank(&fixture, n % 2 == 0);
        answer.assert_ok();
        last = Some(answer.field("x-audit").unwrap().parse::<Point>().unwrap());
    }
    let last = last.unwrap();
    let note = fixture.checkpoint(1);
    let head = signed_up_to(&fixture, last.seq);
    assert_eq!((head.size, last.seq), (605, 605));
    // It was not signed for each change, but once in 200 ms at most, and when it was asked for.
    let pauses = started.elapsed().as_millis() / 200;
    assert!(fixture.sql("SELECT count(*) FROM checkpoint").parse::<u128>().unwrap() <= pauses + 10);
    let plan = Plan::new(head.size).unwrap().with_leaf(last.seq - 1).unwrap().with_tree(old.size).unwrap();
    let plan = plan.with_leaf(3).unwrap();
    let tiles = tiles(&fixture, head, &plan);
    assert_eq!(tiles.leaf(last.seq - 1).unwrap(), last.hash);
    assert_eq!(tiles.root_of(old.size).unwrap(), old.root);
    tiles.consistency(old.size).unwrap().verify(old, head).unwrap();
    verifies(&fixture, &[]);
    let kept = file(&fixture, "kept");
    fs::write(&kept, note).unwrap();
    verifies(&fixture, &["--checkpoint", kept.to_str().unwrap()]);
    yank(&fixture, true).assert_ok();
    fixture.restart();
    assert_eq!(signed_up_to(&fixture, 607).size, 607);
}

/// Nobody has appended anything through the gateway: a command has.
#[test]
fn what_a_command_appends_is_signed_too() {
    let fixture = Fixture::new();
    assert_eq!(signed_up_to(&fixture, 3).size, 3);
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
    command.env("REGISTRY_GATEWAY_STORE", store::named(fixture.folder.path()));
    assert!(command.args(["user", "add", "carol"]).status().unwrap().success());
    assert_eq!(signed_up_to(&fixture, 4).size, 4);
}

#[test]
fn a_log_without_entries_has_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = registry_gateway::Config::new(store::place(folder.path()));
    #[cfg(target_os = "linux")]
    if store::is_in_postgres() {
        config.postgres.key_file = Some(crate::common::cluster::Cluster::credentials().0);
        config.postgres.state = Some(folder.path().join("state"));
    }
    config.reads = registry_gateway::config::Reads::Open;
    let running = Gateway::start(config).unwrap();
    for path in ["/log/checkpoint", "/log/key", "/log/tile/0/000.p/1", "/log/leaves/0"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(running.address()).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        assert_eq!(Response::read(stream).status, 404, "{path}");
    }
}

#[test]
fn a_proof_names_the_leaves_of_intent_and_outcome() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    let path = "/api/v1/crates/hello/1.0.0/proof";
    fixture.send("GET", path, None, b"").assert_refused(401, "token");
    fixture.get("/api/v1/crates/hello/2.0.0/proof").assert_refused(404, "no proof");
    fixture.get("/api/v1/crates/hello/1.0.0+x/proof").assert_refused(404, "no proof");
    let proof = fixture.get(path).json();
    let index = fixture.url().to_owned();
    assert_eq!((&proof["version"], &proof["index"]), (&2.into(), &index.into()));
    assert_eq!((&proof["name"], &proof["vers"]), (&"hello".into(), &"1.0.0".into()));
    assert_eq!(proof["cksum"], upload.checksum().to_string());
    assert_eq!(
        (&proof["public"], &proof["role"]),
        (&fixture.publish.public.to_string().into(), &"publish".into())
    );
    let log = &proof["log"];
    assert_eq!((&log["index"], &log["outcome"]["index"]), (&3.into(), &4.into()));
    let [intent, outcome] =
        [&log["leaf"], &log["outcome"]["leaf"]].map(|leaf| leaf.as_str().unwrap().to_owned());
    let parsed = Entry::parse(intent.as_bytes()).unwrap();
    assert_eq!(parsed.details["token"], proof["token"]);
    let head = signed_up_to(&fixture, 5);
    let plan = Plan::new(head.size).unwrap().with_leaf(3).unwrap().with_leaf(4).unwrap();
    let tiles = tiles(&fixture, head, &plan);
    for (index, leaf) in [(3, intent), (4, outcome)] {
        assert_eq!(tiles.leaf(index).unwrap(), Hash::leaf(leaf.as_bytes()).unwrap());
    }
}

#[test]
fn tiles_are_for_readers_and_of_what_is_signed() {
    let fixture = Fixture::new();
    signed_up_to(&fixture, 3);
    fixture.send("GET", "/log/tile/0/000.p/3", None, b"").assert_refused(401, "token");
    let three = fixture.get("/log/tile/0/000.p/3");
    assert_eq!(three.body.len(), 96);
    assert_eq!(fixture.get("/log/tile/0/000.p/2").body, three.body[..64]);
    for path in [
        "/log/tile/0/000",
        "/log/tile/0/000.p/4",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/03",
        "/log/tile/0/0.p/3",
        "/log/tile/0/x000/000.p/3",
        "/log/tile/1/000.p/1",
        "/log/tile/8/000",
        "/log/tile/7/x999/x999/x999/x999/x999/x999/999",
        "/log/tile/entries/000.p/3",
        "/log/tile/",
        "/log/tile",
        "/log/",
        "/log/heads",
    ] {
        assert_eq!(fixture.get(path).status, 404, "{path}");
    }
    // Nothing is shown of an entry that is not signed.
    let cut = fixture.sql("SELECT count(*) FROM audit");
    assert_eq!(cut, "3");
}

/// Readers get what was published, and not who has which key. An owners token is good once for each HTTP method, so nobody gets it
/// while it lives.
#[test]
fn readers_get_the_leaves_of_changes_of_packages() {
    let fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let token = fixture.token(Mutation::Owners { name: "hello".parse().unwrap() });
    fixture.send("GET", "/api/v1/crates/hello/owners", Some(&token), b"").assert_ok();
    yank(&fixture, true).assert_ok();
    signed_up_to(&fixture, 9);
    let stored = entries(&fixture);
    fixture.send("GET", "/log/leaves/0", None, b"").assert_refused(401, "token");
    let answer = fixture.get("/log/leaves/0");
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let answer = answer.json();
    assert_eq!((&answer["from"], &answer["size"]), (&0.into(), &9.into()));
    let leaves = answer["leaves"].as_array().unwrap();
    let indexes: Vec<_> = leaves.iter().map(|leaf| leaf["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [3, 4, 5, 6, 7, 8], "none of keys");
    for leaf in leaves {
        let index = leaf["index"].as_u64().unwrap() as usize;
        if index == 5 {
            let hash = Hash::leaf(stored[5].as_bytes()).unwrap();
            assert_eq!(
                (leaf["leaf"].as_str(), leaf["hash"].as_str()),
                (None, Some(hash.to_string().as_str()))
            );
        } else {
            assert_eq!((leaf["leaf"].as_str(), leaf["hash"].as_str()), (Some(stored[index].as_str()), None));
        }
    }
    assert!(!answer.to_string().contains(&token));
    assert_eq!(fixture.get("/log/leaves/7").json()["leaves"].as_array().unwrap().len(), 2);
    for beyond in ["9", "256", "18446744073709551615"] {
        let answer = fixture.get(&format!("/log/leaves/{beyond}")).json();
        assert_eq!((&answer["size"], &answer["leaves"]), (&9.into(), &serde_json::json!([])), "{beyond}");
    }
    for wrong in ["00", "-1", "+1", "x", "18446744073709551616", ""] {
        assert_eq!(fixture.get(&format!("/log/leaves/{wrong}")).status, 404, "{wrong}");
    }
}

/// No tile can hold it, so nothing is done for it, and nothing is spent.
#[test]
fn an_entry_that_is_too_long_is_refused_before_its_token_is_spent() {
    let fixture = Fixture::new();
    let (store, now) = (fixture.running().store(), Timestamp::now());
    let signed = |bytes: usize| Signed {
        token: "x".repeat(bytes),
        key: fixture.publish.public.id(),
        mutation: Mutation::Owners { name: "hello".parse().unwrap() },
        single_use_key: "once".to_owned(),
        challenge: None,
        kept_until: now,
        now,
    };
    let before = fixture.sql("SELECT size FROM log_end");
    match store.begin(&signed(65_536)) {
        Err(SpendError::Store(StoreError::Entry(why))) => {
            assert!(why.contains("at most 65535 bytes"), "{why}")
        }
        other => panic!("{:?}", other.map(|intent| intent.seq)),
    }
    assert_eq!(fixture.sql("SELECT size FROM log_end"), before);
    store.begin(&signed(65_000)).unwrap();
}

/// A key may get another role; that is on record, too.
#[test]
fn a_changed_key_is_an_entry() {
    let fixture = Fixture::new();
    fixture.add_key(&fixture.bob, "bob", Role::Read);
    let last = entries(&fixture).pop().unwrap();
    assert!(last.contains("\"action\":\"change\"") && last.contains("\"role\":\"read\""), "{last}");
}

/// Whoever watches a crate hears of versions by other keys, and of publishes that have no outcome.
#[test]
fn a_version_by_an_unexpected_key_is_seen() {
    let mut fixture = Fixture::new();
    for version in ["1.0.0", "1.0.1"] {
        fixture.publish(&Upload::new("hello-you", version)).assert_ok();
    }
    let upload = Upload::new("bobs", "1.0.0");
    let bobs = |fixture: &Fixture, upload: &Upload| {
        let token = fixture.bob.token(fixture.url(), &Claims::mutate(now(), upload.mutation()));
        fixture.put_new(&token, upload)
    };
    bobs(&fixture, &upload).assert_ok();
    // Who may not publish it has tried, and it got no version.
    bobs(&fixture, &Upload::new("hello-you", "1.0.2")).assert_refused(403, "belongs to alice");
    let (alice, bob) = (fixture.publish.public.to_string(), fixture.bob.public.to_string());
    let (alice, bob) = (alice.as_str(), bob.as_str());
    let url = fixture.url().to_owned();
    fixture.running.take().unwrap().stop();
    let place = fixture.folder.path().to_owned();
    let watch = |arguments: &[&str]| {
        let output = run(&place, &[&["audit", "watch"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = watch(&["--crate", "hello_You", "--key", alice]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("looked at    entries 1 to ") && said.contains("the crates have 2 versions"),
        "{said}"
    );
    let (code, said) = watch(&["--crate", "hello-you", "--crate", "bobs", "--key", alice]);
    assert_eq!(code, Some(3), "{said}");
    let id = fixture.bob.public.id();
    assert!(said.starts_with(&format!("UNEXPECTED KEY  bobs 1.0.0 by bob with {id} at ")), "{said}");
    assert_eq!(said.lines().count(), 3, "{said}");
    assert_eq!(watch(&["--crate", "hello-you", "--crate", "bobs", "--key", alice, "--key", bob]).0, Some(0));
    let (code, said) = watch(&["--crate", "hello-you", "--key", bob]);
    assert_eq!((code, said.lines().count()), (Some(3), 4), "{said}");
    // What was looked at before is not told again.
    assert_eq!(watch(&["--crate", "hello-you", "--key", bob, "--from", "1000"]).0, Some(0));
    assert_eq!(watch(&["--crate", "hello-you", "--key", "x"]).0, Some(2));

    // An entry may say what it wants: the token tells who signed. And an intent is not all.
    let store = store::open(&place);
    let begin = |version: &str, key: &SoftwareKey| {
        let upload = Upload::new("hello-you", version);
        let token = key.token(&url, &Claims::mutate(now(), upload.mutation()));
        let (key, mutation, now) = (fixture.publish.public.id(), upload.mutation(), Timestamp::now());
        let (single_use_key, challenge) = (version.to_owned(), None);
        let signed = Signed { token, key, mutation, single_use_key, challenge, kept_until: now, now };
        store.begin(&signed).unwrap()
    };
    let (open, forged) = (begin("2.0.0", &fixture.publish), begin("2.0.1", &fixture.bob));
    let hello: [&str; 6] = ["--crate", "hello-you", "--key", alice, "--from", "1000"];
    let (code, said) = watch(&hello);
    assert_eq!(code, Some(3), "{said}");
    let mut lines = said.lines();
    let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(first.starts_with("NO OUTCOME  hello-you 2.0.0 by alice with "), "{said}");
    assert!(second.starts_with("UNEXPECTED KEY, NO OUTCOME  hello-you 2.0.1 by alice with "), "{said}");
    store.settle(&open, &Outcome::Done, Timestamp::now()).unwrap();
    store.settle(&forged, &Outcome::Done, Timestamp::now()).unwrap();
    let (code, said) = watch(&hello[..4]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.starts_with("UNEXPECTED KEY  hello-you 2.0.1 by alice with "), "{said}");
}
