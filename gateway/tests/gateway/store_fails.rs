//! The store fails between two steps of a change, as on a full disk: what the person is told, what is on record once it
//! works again, and what the same command does then.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::keys::{NewKey, Role};
use serde_json::{Value, json};

use crate::common::bearer_registry::Say;
use crate::common::computer::Computer;
use crate::common::front::Front;
use crate::common::served::{Served, on};
use crate::common::{Fixture, SoftwareKey, Upload, crate_file, store};

const CARRIED_OUT: &str = "was carried out; that is not in the audit log yet";
const DO_NOTHING: &str = "there is nothing to do, so do not run the command again";
const NOTHING_CHANGED: &str = "failed before anything was changed";

/// From now on entries of this kind cannot be written.
fn fail(fixture: &Fixture, kind: &str) {
    store::is_full_for(fixture.folder.path(), kind);
}

fn mend(fixture: &Fixture) {
    store::has_room(fixture.folder.path());
}

/// Of all intents and outcomes, in the order of the log: the mutation, or the outcome and its detail.
fn log(fixture: &Fixture) -> Vec<String> {
    let entries = fixture.running().store().audit_entries(1, 999).unwrap();
    let words = |entry: &String| {
        let entry: Value = serde_json::from_str(entry).unwrap();
        let text = |name: &str| entry[name].as_str().map(ToOwned::to_owned);
        text("mutation").or(text("outcome"))
    };
    entries.iter().filter_map(words).collect()
}

fn has_open_intents(fixture: &Fixture) -> bool {
    !fixture.running().store().open_intents().unwrap().is_empty()
}

fn yank(name: &str) -> Mutation {
    Mutation::Yank { name: name.parse().unwrap(), version: "1.0.0".parse().unwrap() }
}

#[test]
fn a_publish_that_cannot_be_written_down() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    fail(&fixture, "outcome");
    let said = fixture.put_new(&token, &upload);
    said.assert_refused(500, NOTHING_CHANGED);
    said.assert_refused(500, "try again when that is fixed");
    assert_eq!(said.field("x-audit"), None);
    for nothing in ["/api/v1/crates/hello/1.0.0/download", "/index/he/ll/hello"] {
        assert_eq!(fixture.get(nothing).status, 404, "it is not made without a record");
    }
    assert_eq!(log(&fixture), [""; 0]);
    mend(&fixture);
    fixture.put_new(&token, &upload).assert_ok();
    assert_eq!(log(&fixture), ["publish", "done"]);
    fixture.get("/api/v1/crates/hello/1.0.0/proof").assert_ok();
}

#[test]
fn as_cargo_shows_it() {
    let front = Front::new();
    front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    let alice = Computer::new(&front.gateway);
    let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\ndescription = \"H\"\n\
                    license = \"MIT\"\n";
    let folder = alice.package("hello", manifest, "//! Nothing.\n");
    fail(&front.gateway, "outcome");
    let publish = alice.cargo(&folder, "publish --registry my-reg");
    let said = String::from_utf8_lossy(&publish.stderr);
    assert!(!publish.status.success(), "{said}");
    for text in [&format!("the publish of hello 1.0.0 {CARRIED_OUT}"), DO_NOTHING] {
        assert!(said.contains(text), "{said}");
    }
}

/// What was known is forgotten then, and is found out.
#[test]
fn a_publish_that_was_not_written_down_before_the_next_start() {
    let mut front = Front::new();
    let upload = Upload::new("hello", "1.0.0");
    front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    fail(&front.gateway, "outcome");
    front.gateway.publish(&upload).assert_refused(500, CARRIED_OUT);
    mend(&front.gateway);
    let line = json!({ "vers": "1.0.0", "cksum": upload.checksum().to_string(), "yanked": false });
    front.registry.on("GET /index/he/ll/hello", Say::ok(line.to_string()));
    front.gateway.restart();
    while has_open_intents(&front.gateway) {
        std::thread::yield_now();
    }
    assert_eq!(log(&front.gateway), ["publish", "done"]);
}

/// The same command again: it is on record for the first token, and the second is refused like anybody's.
#[test]
fn in_front_of_a_registry() {
    let front = Front::new();
    let upload = Upload::new("hello", "1.0.0");
    let line = json!({ "vers": "1.0.0", "cksum": upload.checksum().to_string(), "yanked": true }).to_string();
    front.registry.on("GET /index/he/ll/hello", Say::ok(line));
    front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(r#"{"ok":true}"#));
    let token = front.gateway.publish_token(&upload);
    fail(&front.gateway, "outcome");
    front.gateway.put_new(&token, &upload).assert_refused(500, CARRIED_OUT);
    assert_eq!(front.registry.received().len(), 1);
    front.registry.on("PUT /api/v1/crates/new", Say::no("409 Conflict", "exists"));
    front.gateway.publish(&upload).assert_refused(500, NOTHING_CHANGED);
    assert!(front.registry.received().is_empty(), "its token is not spent, and nothing is forwarded");
    mend(&front.gateway);
    front.gateway.publish(&upload).assert_refused(409, "exists");
    assert_eq!(log(&front.gateway), ["publish", "done", "publish", "refused"]);
    let records = front.gateway.running().store().published(None).unwrap();
    assert_eq!(records.iter().map(|record| &record.token).collect::<Vec<_>>(), [&token]);

    fail(&front.gateway, "outcome");
    front.yank().assert_refused(500, &format!("the yank of hello 1.0.0 {CARRIED_OUT}"));
    mend(&front.gateway);
    front.yank().assert_ok();
    let store = front.gateway.running().store();
    assert_eq!(
        (&log(&front.gateway)[4..], store.open_intents().unwrap()),
        (&["yank", "done", "yank", "done"].map(String::from)[..], vec![])
    );
}

/// What the registry behind said is what its user is told.
#[test]
fn a_refusal_that_cannot_be_written_down() {
    let front = Front::new();
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::no("403 Forbidden", "not an owner"));
    fail(&front.gateway, "outcome");
    front.yank().assert_refused(403, "not an owner");
    assert_eq!(log(&front.gateway), ["yank"]);
    mend(&front.gateway);
    front.yank().assert_refused(403, "not an owner");
    assert_eq!(log(&front.gateway), ["yank", "refused", "yank", "refused"]);
}

/// Nothing is forwarded, and the token is as good as before.
#[test]
fn an_intent_that_cannot_be_written_down() {
    let front = Front::new();
    front.registry.on("DELETE /api/v1/crates/hello/1.0.0/yank", Say::ok(r#"{"ok":true}"#));
    let token = front.gateway.token(yank("hello"));
    let send = || front.gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"");
    fail(&front.gateway, "intent");
    send().assert_refused(500, NOTHING_CHANGED);
    assert!(front.registry.received().is_empty());
    mend(&front.gateway);
    send().assert_ok();
    send().assert_refused(401, "used before");
}

/// Without the folder that uploads are kept in, as when the disk is gone.
#[test]
fn an_upload_that_has_no_place() {
    let fixture = Fixture::new();
    fs::remove_dir(fixture.running().store().folder().join("tmp")).unwrap();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_refused(500, NOTHING_CHANGED);
    assert!(log(&fixture).is_empty());
}

/// It is not the client's fault that the disk is full.
#[test]
fn an_upload_that_the_disk_does_not_take() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let store = store::open(folder.path());
    let key = SoftwareKey::new(5);
    let (user, role) = ("alice".parse().unwrap(), Role::Both);
    let new = NewKey { public: key.public, user, role, label: None, subject: None, expires: None };
    store.add_key(new, Timestamp::now()).unwrap();
    drop(store);
    // No file of more than 2 MiB; what is written beyond fails, as on a full disk.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_registry-gateway"),
    ]);
    let temporary = tempfile::tempdir().unwrap();
    on(&mut command, folder.path());
    command.env("REGISTRY_GATEWAY_LOG", "off").env("TMPDIR", temporary.path());
    let served = Served::of(command, &["--listen", "127.0.0.1:0"]);
    let publish = |version: &str, bytes: usize| {
        let manifest = format!("[package]\nname = \"hello\"\nversion = \"{version}\"\nedition = \"2024\"\n");
        // Nothing that gzip makes small.
        let noise: Vec<u8> = (0_u64..).flat_map(|n| sha(n).into_iter()).take(bytes).collect();
        let entries = [("Cargo.toml", manifest.as_bytes()), ("src/noise", &noise)];
        let file = crate_file("hello", version, &entries);
        let upload = Upload::of("hello", version, &json!({ "name": "hello", "vers": version }), &file);
        let token = key.token(&served.index_url, &Claims::mutate(Timestamp::now(), upload.mutation()));
        served.send("PUT", "/api/v1/crates/new", &token, &upload.body())
    };
    publish("1.0.0", 3 << 20).assert_refused(500, "the upload could not be stored");
    let of_this_process = fs::read_dir(temporary.path()).unwrap().flatten().map(|entry| entry.path()).next();
    let uploads = of_this_process.unwrap_or(folder.path().to_owned()).join("tmp");
    assert_eq!(fs::read_dir(uploads).unwrap().count(), 0, "it takes no room");
    publish("1.0.0", 1 << 10).assert_ok();
}

fn sha(n: u64) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(n.to_le_bytes()).into()
}
