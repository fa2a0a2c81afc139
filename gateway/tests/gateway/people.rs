//! Users, invites and terms of keys, from the command line, while the registry is served.

use std::path::Path;

use asymmetric_token::Claims;
use jiff::{SignedDuration, Timestamp};
use registry_gateway::keys::{Key, NewKey, Role};
use registry_gateway::policy::{Refusal, is_good};
use registry_gateway::store::StoreError;

use crate::common::served::{run, succeeds};
use crate::common::{Fixture, SoftwareKey, Upload, store};

/// Fails without a word on standard output; what is on standard error has these texts.
#[track_caller]
fn fails(store: &Path, arguments: &[&str], texts: &[&str]) {
    let output = run(store, arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    for text in texts {
        assert!(error.contains(text), "no {text:?} in {error}");
    }
}

fn read_with(fixture: &Fixture, key: &SoftwareKey) -> crate::common::Response {
    let token = key.token(fixture.url(), &Claims::read(Timestamp::now()));
    fixture.send("GET", "/index/config.json", Some(&token), b"")
}

#[test]
fn a_user_comes_and_goes() {
    let fixture = Fixture::new();
    let store = fixture.folder.path();
    fixture.publish(&Upload::new("alpha", "0.1.0")).assert_ok();
    assert_eq!(succeeds(store, &["user", "add", "carol"]), "carol\n");
    fails(store, &["user", "add", "carol"], &["there is already a user carol"]);
    fails(store, &["user", "add", "car ol"], &["a user name is"]);
    fails(store, &["user", "remove", "dave"], &["there is no user dave", "user add dave"]);
    assert_eq!(
        succeeds(store, &["user", "list"]),
        "alice\tactive\t2 keys\nbob\tactive\t1 key\ncarol\tactive\t0 keys\n"
    );

    read_with(&fixture, &fixture.read).assert_ok();
    assert_eq!(succeeds(store, &["user", "remove", "alice"]), "alice\t2 keys revoked\n");
    read_with(&fixture, &fixture.read).assert_refused(401, "was revoked at");
    fixture.publish(&Upload::new("beta", "0.1.0")).assert_refused(401, "was revoked at");
    read_with(&fixture, &fixture.bob).assert_ok();
    assert!(succeeds(store, &["user", "list"]).starts_with("alice\tremoved "));
    assert!(succeeds(store, &["record"]).contains("by alice"), "what was published stays theirs");

    // The name does not become somebody else's without a word.
    let new = SoftwareKey::new(30);
    let public = new.public.to_string();
    let add = ["key", "add", "--user", "alice", "--role", "both", &public];
    for refused in [&add[..], &["user", "add", "alice"], &["user", "remove", "alice"], &["invite", "alice"]] {
        fails(store, refused, &["the user alice was removed at", "give another person another name"]);
    }
    succeeds(store, &["user", "add", "--again", "alice"]);
    succeeds(store, &add);
    read_with(&fixture, &new).assert_ok();
    read_with(&fixture, &fixture.read).assert_refused(401, "was revoked at");
}

#[test]
fn an_invite_is_said_once_and_kept_as_a_hash() {
    let fixture = Fixture::new();
    let store = fixture.folder.path();
    fails(store, &["invite", "carol"], &["there is no user carol", "user add carol"]);
    succeeds(store, &["user", "add", "carol"]);
    let output = run(store, &["invite", "carol"]);
    let code = String::from_utf8(output.stdout).unwrap();
    assert_eq!((code.len(), code.matches('-').count()), (30, 5), "{code}");
    let next = String::from_utf8(output.stderr).unwrap();
    assert!(
        next.contains("valid once, until") && next.contains("yk-cargo enroll REGISTRY --invite"),
        "{next}"
    );
    let list = succeeds(store, &["user", "list"]);
    assert!(list.contains("carol\tactive\t0 keys\tinvited until 20"), "{list}");
    fixture.sql("UPDATE invite SET expires = '2026-01-01T00:00:00Z'");
    assert!(succeeds(store, &["user", "list"]).ends_with("carol\tactive\t0 keys\n"), "it has expired");
    let output = run(store, &["user", "add", "--invite", "dora"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim().len(), 29, "the code alone");
    assert!(succeeds(store, &["user", "list"]).contains("dora\tactive\t0 keys\tinvited until 20"));
    let (shown, bare) = (code.trim(), code.trim().replace('-', ""));
    for file in std::fs::read_dir(store).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            for text in [shown, &bare] {
                let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!found, "the code is in {}", file.display());
            }
        }
    }
}

#[test]
fn a_key_for_a_time() {
    let fixture = Fixture::new();
    let store = fixture.folder.path();
    let key = SoftwareKey::new(31);
    let public = key.public.to_string();
    let add = |expires: &'static str| {
        ["key", "add", "--user", "erin", "--role", "both", "--expires", expires, &public].map(str::to_owned)
    };
    let add = |expires| {
        let arguments = add(expires);
        run(store, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for bad in ["2020-01-01T00:00:00Z", "0d", "soon", "90", "-1d"] {
        assert!(!add(bad).status.success(), "{bad}");
    }
    assert!(add("2999-01-01T00:00:00Z").status.success());
    read_with(&fixture, &key).assert_ok();
    assert!(succeeds(store, &["key", "list"]).contains("until 2999-01-01T00:00:00Z"));
    assert!(add("90d").status.success(), "a new term for a known key");
    let expires = fixture.running().store().key(key.public.id()).unwrap().unwrap().expires.unwrap();
    let days = expires.duration_since(Timestamp::now()).as_hours();
    assert!((90 * 24 - 1..=90 * 24).contains(&days), "{expires}");

    let user = "erin".parse().unwrap();
    let over = Timestamp::now() - SignedDuration::from_secs(1);
    let new = NewKey {
        public: key.public,
        user,
        role: Role::Both,
        label: None,
        subject: None,
        expires: Some(over),
    };
    fixture.running().store().add_key(new, Timestamp::now()).unwrap();
    read_with(&fixture, &key).assert_refused(401, "expired at");
    assert!(succeeds(store, &["key", "list"]).contains("expired "));
}

/// A gateway that cannot hold to its rules does not start.
#[test]
fn roots_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let nothing = folder.path().join("nothing.pem");
    std::fs::write(&nothing, "nothing").unwrap();
    for (roots, text) in
        [("nowhere.pem", "cannot read nowhere.pem"), (nothing.to_str().unwrap(), "the certificates in ")]
    {
        let serve =
            ["serve", "--listen", "127.0.0.1:0", "--attestation", "require", "--attestation-roots", roots];
        fails(&store, &serve, &[text, "takes PEM files with certificates"]);
    }
    fails(&store, &["serve", "--attestation", "maybe"], &["`off`, `record` or `require`"]);
    fails(&store, &["serve", "--minimum-firmware", "5"], &["a firmware version has three numbers"]);
}

#[test]
fn the_last_moment_of_a_key() {
    let at: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let key = Key {
        public: SoftwareKey::new(1).public,
        user: "alice".parse().unwrap(),
        role: Role::Both,
        label: None,
        subject: None,
        added: Timestamp::UNIX_EPOCH,
        expires: Some(at),
        revoked: None,
    };
    assert_eq!(is_good(&key, at - SignedDuration::from_nanos(1)), Ok(()));
    assert!(matches!(is_good(&key, at), Err(Refusal::ExpiredKey { .. })));
}

/// A term that ends, or a removal, while an upload is on its way counts.
#[test]
fn a_key_that_ends_during_an_upload() {
    let fixture = Fixture::new();
    let upload = Upload::new("alpha", "0.1.0");
    let token = fixture.publish_token(&upload);
    let store = fixture.running().store();
    let alice = "alice".parse().unwrap();
    store.remove_user(&alice, Timestamp::now()).unwrap();
    fixture.put_new(&token, &upload).assert_refused(401, "was revoked at");
    assert!(matches!(store.remove_user(&alice, Timestamp::now()), Err(StoreError::UserRemoved { .. })));
}

/// A store of the first layout gets what is new, and keeps what it has.
#[test]
fn an_older_store_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let key = SoftwareKey::new(1);
    {
        let store = store::open(folder.path());
        let user = "alice".parse().unwrap();
        let new =
            NewKey { public: key.public, user, role: Role::Both, label: None, subject: None, expires: None };
        store.add_key(new, Timestamp::now()).unwrap();
    }
    let database = rusqlite::Connection::open(folder.path().join("registry.db")).unwrap();
    database
        .execute_batch(
            "DROP TABLE approval; DROP TABLE approver; DROP TABLE staged; DROP TABLE staging_token; DROP TABLE publisher;
             ALTER TABLE key DROP COLUMN crates;
             DROP TABLE log_end; DROP TABLE spender; DROP TABLE tile; DROP TABLE checkpoint; DROP TABLE signer; DROP TABLE cosignature; DROP TABLE shown; DROP TABLE offered_text; DROP TABLE offered; DROP TABLE in_doubt; DROP TABLE counted; DROP TABLE forgotten;
             DROP INDEX key_user;
             ALTER TABLE crate DROP COLUMN revision; CREATE INDEX audit_version ON audit (seq);
             DROP TABLE invite; DROP TABLE secret; ALTER TABLE user DROP COLUMN removed;
             ALTER TABLE key DROP COLUMN expires; ALTER TABLE key DROP COLUMN attestation; PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(database);
    let store = store::open(folder.path());
    assert_eq!(store.key(key.public.id()).unwrap().unwrap().expires, None);
    store.invite(&"alice".parse().unwrap(), Timestamp::now()).unwrap();
}

/// Whatever becomes of the write-ahead log meanwhile, the next request is judged by what another process has written.
#[test]
fn a_revocation_by_another_process_holds_for_the_next_request() {
    let fixture = Fixture::new();
    let store = fixture.folder.path();
    // What shares a process with the server must not take its locks away when it opens the same store, or closes it.
    let mut same_process = Some(store::open(store));
    let other = rusqlite::Connection::open(store.join("registry.db")).unwrap();
    let mut modes = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"].iter().cycle();
    for seed in 10..210 {
        let key = SoftwareKey::new(seed);
        fixture.add_key(&key, "carol", Role::Read);
        let token = key.token(fixture.url(), &Claims::read(Timestamp::now()));
        let read = || fixture.send("GET", "/index/config.json", Some(&token), b"");
        read().assert_ok();
        if seed % 3 == 0 {
            let checkpoint = format!("PRAGMA wal_checkpoint({})", modes.next().unwrap());
            other.query_row(&checkpoint, (), |_| Ok(())).unwrap();
            read().assert_ok();
        }
        if seed % 50 == 0 {
            other.execute_batch("VACUUM").unwrap();
            same_process = same_process.is_none().then(|| store::open(store));
            read().assert_ok();
        }
        succeeds(store, &["key", "revoke", &key.public.id().to_string()]);
        read().assert_refused(401, "was revoked at");
    }
}

/// A slip in a name would otherwise go unseen until the key's owner is refused, and a key cannot change its user.
#[test]
fn a_key_for_somebody_new_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [31, 32].map(|seed| SoftwareKey::new(seed).public.to_string());
    let add = |public: &str| run(folder.path(), &["key", "add", "--user", "dave", "--role", "both", public]);
    let said = |public: &str| String::from_utf8(add(public).stderr).unwrap();
    assert!(said(&first).contains("added the new user dave"));
    assert!(!said(&second).contains("dave"));
}

#[test]
fn mistyped_arguments_show_how_they_are_written() {
    let fixture = Fixture::new();
    let store = fixture.folder.path();
    for address in ["8000", "localhost:8000", "127.0.0.1"] {
        fails(
            store,
            &["serve", "--listen", address],
            &["write an IP address and a port, such as 127.0.0.1:8000"],
        );
    }
    fails(store, &["record", "alpha"], &["write NAME@VERSION"]);
}
