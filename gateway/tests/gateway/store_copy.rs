//! A store that goes to another place.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::config::PostgresConfig;
use registry_gateway::store::{Store, StoreError};
use registry_gateway::vault::{Credential, Vault};
use registry_gateway::{Gateway, StartError};
use rustix::process::Signal;

use crate::common::cluster::{Cluster, OWNER};
use crate::common::database::Database;
use crate::common::machine::Machine;
use crate::common::served::{program, run, signal, succeeds};

use crate::common::{Fixture, Upload, store};

fn copying(from: &Path, to: &Path) -> Command {
    let mut command = program(from);
    // Where the store is, these two say alone.
    command.env_remove("REGISTRY_GATEWAY_STORE").args(["store", "copy", "--from"]).arg(from);
    command.env("CREDENTIALS_DIRECTORY", Cluster::credentials().1).arg("--to").arg(to);
    command.stdin(Stdio::null());
    command
}

fn copy(from: &Path, to: &Path) -> Output {
    copying(from, to).output().unwrap()
}

#[track_caller]
fn moves(from: &Path, to: &Path) {
    let output = copy(from, to);
    assert!(output.status.success(), "{output:?}");
}

#[track_caller]
fn is_refused(from: &Path, to: &Path, why: &str) {
    let output = copy(from, to);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(why), "{said:?} does not say {why:?}");
}

/// Why a gateway with the settings of this one does not start.
fn not_served(fixture: &Fixture) -> StoreError {
    match Gateway::start(fixture.config.clone()).unwrap_err() {
        StartError::Store(error) => error,
        error => panic!("{error}"),
    }
}

/// Serves another place with the same URL.
fn goes_on_at(fixture: &mut Fixture, store: impl Into<registry_gateway::store_place::StorePlace>) {
    fixture.config.store = store.into();
    let postgres = &mut fixture.config.postgres;
    postgres.key_file.get_or_insert_with(|| Cluster::credentials().0);
    postgres.state.get_or_insert_with(|| fixture.folder.path().join("state"));
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
}

fn stop(fixture: &mut Fixture) {
    fixture.config.listen = fixture.running().address();
    fixture.running.take().unwrap().stop();
}

/// Everything that a store is asked for goes on as before, there and back.
#[test]
fn a_store_goes_to_a_postgresql_and_back() {
    let Some(database) = Database::empty() else { return };
    let mut fixture = Fixture::new();
    let folder = fixture.config.store.folder().unwrap().to_owned();
    let (hello, other) = (Upload::new("hello", "1.0.0"), Upload::new("hello-world", "0.1.0"));
    let token = fixture.publish_token(&hello);
    fixture.put_new(&token, &hello).assert_ok();
    fixture.publish(&other).assert_ok();
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    let yank = Mutation::Yank { name: "hello".parse().unwrap(), version: "1.1.0".parse().unwrap() };
    let yanked = fixture.token(yank);
    fixture.send("DELETE", "/api/v1/crates/hello/1.1.0/yank", Some(&yanked), b"").assert_ok();
    fixture.running().store().invite(&"bob".parse().unwrap(), Timestamp::now()).unwrap();
    fixture.running().store().revoke_key(&fixture.bob.public.id().to_string(), Timestamp::now()).unwrap();
    let asked = ["/index/he/ll/hello", "/api/v1/crates/hello/1.0.0/download", "/api/v1/crates?q=hel"];
    let answers = |fixture: &Fixture| asked.map(|path| fixture.get(path).body);
    let before = answers(&fixture);
    let secrets = |store: &Store| {
        (store.challenge_key().unwrap(), store.enrollment_key().unwrap(), store.log_keys().unwrap())
    };
    while fixture.running().store().log_keys().unwrap().is_empty() {}
    let kept = secrets(fixture.running().store());
    stop(&mut fixture);
    let [log, users, keys] =
        [["audit", "export"], ["user", "list"], ["key", "list"]].map(|command| succeeds(&folder, &command));

    let back = tempfile::tempdir().unwrap();
    let back = back.path().join("store");
    for (from, to) in [(&folder, &database.path()), (&database.path(), &back)] {
        moves(from, to);
        let error = not_served(&fixture);
        assert!(matches!(&error, StoreError::Moved { .. }), "{error}");
        assert!(error.hint().unwrap().contains("`store`"));
        // Who writes is told where it is; who looks may look.
        let added = run(from, &["user", "add", "carol"]);
        let said = String::from_utf8(added.stderr).unwrap();
        assert!(said.contains("this store was moved to "), "{said}");
        let found = String::from_utf8(run(from, &["doctor"]).stdout).unwrap();
        assert!(found.contains("a gateway cannot serve this store: this store was moved to "), "{found}");
        assert_eq!(succeeds(from, &["user", "list"]), users);
        is_refused(from, &tempfile::tempdir().unwrap().path().join("third"), "this store was moved to ");
        for (command, before) in
            [(["audit", "export"], &log), (["user", "list"], &users), (["key", "list"], &keys)]
        {
            assert_eq!(&succeeds(to, &command), before, "{command:?}");
        }
        succeeds(to, &["audit", "verify"]);
        succeeds(to, &["record"]);
        // Somebody who would serve it for a moment would change the log, which is compared above.
        let looked = run(to, &["doctor"]);
        let said = String::from_utf8(looked.stdout).unwrap();
        assert!(said.contains("the store holds what its log says"), "{said}");
        if to == &database.path() {
            fixture.config.store = database.place("owner");
            fixture.config.postgres.key_file = Some(Cluster::credentials().0);
            fixture.config.postgres.state = Some(fixture.folder.path().join("state"));
        }
    }
    moves(&back, &{
        // An empty database once more, for the first one is marked as moved.
        let again = Database::empty().unwrap();
        fixture.config.store = again.place("owner");
        again.path()
    });
    let there = fixture.config.store.clone();
    goes_on_at(&mut fixture, there);
    assert_eq!(answers(&fixture), before);
    assert_eq!(secrets(fixture.running().store()), kept);
    fixture.put_new(&token, &hello).assert_refused(401, "was used before");
    let by_bob = fixture.bob.token(fixture.url(), &Claims::read(Timestamp::now()));
    fixture.send("GET", asked[0], Some(&by_bob), b"").assert_refused(401, "revoked");
    fixture.publish(&hello).assert_refused(409, "is already published");
    fixture.add_key(&crate::common::SoftwareKey::new(9), "dave", registry_gateway::keys::Role::Read);
    fixture.publish(&Upload::new("hello", "1.2.0")).assert_ok();
    fixture.restart();
    let log = fixture.running().store().verify_audit(&[]).unwrap();
    assert_eq!(log.newest.unwrap().1.public_key(), &kept.2[0].key);
    assert!(log.checkpoints >= 2, "those of the folder came along");
}

#[test]
fn what_is_not_copied() {
    let Some(database) = Database::new() else { return };
    let mut fixture = Fixture::new();
    let folder = fixture.config.store.folder().unwrap().to_owned();
    let there = database.path();
    is_refused(&folder, &there, "another registry-gateway serves ");
    stop(&mut fixture);
    is_refused(&folder, &folder, "--from and --to are the same store");
    is_refused(&folder.join("nowhere"), &there, "there is no store in ");
    let other = database.gateway();
    is_refused(&folder, &there, "another registry-gateway serves ");
    drop(other);
    is_refused(&folder, &there, "there is already a store at the destination");

    // A file that is not the signed one. Nothing is marked, and it goes on when that is mended.
    goes_on_at(&mut fixture, folder.as_path());
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    stop(&mut fixture);
    let file = folder.join("crates/hello/hello-1.0.0.crate");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, b"another").unwrap();
    let empty = Database::empty().unwrap();
    is_refused(&folder, &empty.path(), "the store was changed behind the log's back");
    fs::write(&file, whole).unwrap();
    goes_on_at(&mut fixture, folder.as_path());
    stop(&mut fixture);
    moves(&folder, &empty.path());
}

/// A role that may not mark the source copies nothing.
#[test]
fn only_the_owner_of_the_tables_copies_them() {
    let Some(database) = Database::new() else { return };
    database.role("gateway");
    database.succeeds(&["store", "migrate", "--role", "gateway"]);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("store");
    is_refused(Path::new(&database.url_of("gateway")), &to, "as the owner of the tables");
    moves(&database.path(), &to);
}

/// What is revoked in the new place is not heard of in the old one.
#[test]
fn a_gateway_that_slept_through_it_answers_no_reads() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let read = || fixture.get("/index/he/ll/hello");
    read().assert_ok();
    for mark in ["moved_to", "copied_from"] {
        database.sql(&format!("UPDATE log_end SET {mark} = '/another'"));
        assert_eq!(read().status, 500, "{mark}");
        database.sql(&format!("UPDATE log_end SET {mark} = NULL"));
        read().assert_ok();
    }
}

/// Whenever it is killed, at most one of the two is served, and the next attempt brings it to its end.
#[test]
fn a_copy_that_is_killed_is_begun_again() {
    let Some(database) = Database::new() else { return };
    let mut fixture = Fixture::new();
    let folder = fixture.config.store.folder().unwrap().to_owned();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    stop(&mut fixture);
    let can_be_changed = || {
        [Store::open(&folder).unwrap(), database.open().unwrap()].map(|store| store.can_be_changed().is_ok())
    };
    for (statement, table, changeable) in [
        ("INSERT ON piece", "piece", [true, false]),
        ("INSERT ON checkpoint", "checkpoint", [true, false]),
        ("UPDATE OF copied_from ON log_end", "log_end", [false, false]),
    ] {
        let is_last = statement.contains("copied_from");
        let when = if is_last { "FOR EACH ROW WHEN (NEW.copied_from IS NULL)" } else { "FOR EACH ROW" };
        let holder = database.hold(&format!("{statement} {when}"));
        let mut child = copying(&folder, &database.path()).spawn().unwrap();
        database.holds();
        signal(child.id(), Signal::KILL);
        child.wait().unwrap();
        database.release(table, holder);
        assert_eq!(can_be_changed(), changeable, "{statement}");
        if changeable == [true, false] {
            let said = database.fails(&["user", "add", "carol"]);
            assert!(said.contains("that is not complete"), "{said}");
        }
    }
    // Neither is taken for the end of this copy: a copy of another store, and a store that was moved elsewhere.
    for (sql, mark) in [
        (&(|sql: &str| database.sql(sql)) as &dyn Fn(&str) -> String, "copied_from"),
        (&|sql| fixture.sql(sql), "moved_to"),
    ] {
        let right = sql(&format!("SELECT {mark} FROM log_end"));
        sql(&format!("UPDATE log_end SET {mark} = '/another'"));
        is_refused(&folder, &database.path(), "this store was moved to ");
        assert_eq!(can_be_changed(), [false, false], "{mark}");
        sql(&format!("UPDATE log_end SET {mark} = '{right}'"));
    }
    // Spelt otherwise it is the same copy: the same server is named twice.
    let url = database.url();
    let (_, host) = url.split_once("host=").unwrap();
    let host = host.split('&').next().unwrap();
    moves(&folder, Path::new(&url.replace(host, &format!("{host},{host}"))));
    assert_eq!(can_be_changed(), [false, true]);
    database.succeeds(&["audit", "verify"]);
    assert_eq!(database.sql("SELECT count(*) FROM file"), "2");
}

/// What others write while a store is copied is copied, or is not done.
#[test]
fn nothing_is_lost_that_is_written_meanwhile() {
    let Some(database) = Database::empty() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    succeeds(&folder, &["user", "add", "user0"]);
    let mut child = copying(&folder, &database.path()).spawn().unwrap();
    let mut added = 0;
    loop {
        let name = format!("user{}", added + 1);
        let output = run(&folder, &["user", "add", &name]);
        if !output.status.success() {
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("this store was moved to "), "{said}");
            break;
        }
        added += 1;
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(database.succeeds(&["user", "list"]).lines().count(), added + 1);
}

#[test]
fn credentials_are_sealed_with_the_key_file_or_nothing_is_copied() {
    let Some(database) = Database::empty() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let (alice, now) = ("alice".parse().unwrap(), Timestamp::now());
    let store = Store::open(&folder).unwrap();
    store.add_user(&alice, false, now).unwrap();
    let other = folder.with_file_name("other.key");
    Vault::make_key(&other).unwrap();
    store
        .set_credential(&alice, &Vault::open(&other).unwrap().seal(&alice, "hunter2").unwrap(), now)
        .unwrap();
    is_refused(&folder, &database.path(), "the credential of alice does not open with this key file");
    let vault = Vault::open(&Cluster::credentials().0).unwrap();
    let sealed = vault.seal(&alice, "hunter2").unwrap();
    store.set_credential(&alice, &sealed, now).unwrap();
    moves(&folder, &database.path());
    let copied = database.open().unwrap().credential(&alice).unwrap().unwrap();
    assert_ne!(copied, sealed);
    let Ok(Credential::Token(token)) = vault.unseal(&alice, &copied) else { panic!("no token") };
    assert_eq!(*token, "hunter2");
    let none = Store::at(&database.place("owner"), &PostgresConfig::default()).unwrap();
    assert!(matches!(none.challenge_key().unwrap_err(), StoreError::NoKeyFile));
}

/// The present generation's key has to be there; an earlier one signs nothing any more. What an interrupted copy has left of either is in
/// nobody's way.
#[test]
fn the_keys_of_the_log_come_along() {
    if store::is_in_postgres() {
        return;
    }
    let mut fixture = Fixture::new();
    let folder = fixture.config.store.folder().unwrap().to_owned();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    while fixture.running().store().log_keys().unwrap().is_empty() {}
    stop(&mut fixture);
    assert!(succeeds(&folder, &["store", "accept-restore"]).starts_with("2\t"));
    goes_on_at(&mut fixture, folder.as_path());
    while fixture.running().store().log_keys().unwrap().len() < 2 {}
    stop(&mut fixture);
    let places = tempfile::tempdir().unwrap();
    let [aside, to, third] = ["log-2.key", "to", "third"].map(|name| places.path().join(name));
    let key = |folder: &Path, generation: u64| folder.join(format!("log-{generation}.key"));
    let present = fs::read(key(&folder, 2)).unwrap();
    fs::rename(key(&folder, 2), &aside).unwrap();
    is_refused(&folder, &to, "log");
    assert!(key(&to, 1).exists() && !key(&to, 2).exists(), "it was interrupted between the two");
    fs::rename(&aside, key(&folder, 2)).unwrap();
    moves(&folder, &to);
    fs::remove_file(key(&to, 1)).unwrap();
    moves(&to, &third);
    assert_eq!(fs::read(key(&third, 2)).unwrap(), present);
    assert!(!key(&third, 1).exists());
    goes_on_at(&mut fixture, third.as_path());
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
}

/// With its file, and with what people have said of it.
#[test]
fn what_was_staged_comes_along() {
    let Some(database) = Database::empty() else { return };
    let mut fixture = Fixture::with(|config| config.staging.approvals = 2);
    let folder = fixture.config.store.folder().unwrap().to_owned();
    let machine = Machine::new(&fixture, 9, &["hello"]);
    let job = fixture.job(&machine);
    let uploads = ["1.0.0", "1.1.0", "1.2.0"].map(|version| Upload::new("hello", version));
    let [one, two, three] = uploads.each_ref().map(|upload| fixture.stage(&job, upload));
    fixture.approves(two, &uploads[1]).assert_ok();
    fixture.reject(three, &fixture.fresh_read_token(), "").assert_ok();
    stop(&mut fixture);
    moves(&folder, &database.path());
    goes_on_at(&mut fixture, database.place(OWNER));
    assert_eq!([one, two, three].map(|id| fixture.state(id)), ["staged", "waiting", "rejected"]);
    assert_eq!(fixture.get(&format!("/api/v1/staged/{one}/download")).body, uploads[0].file);
    let seen = fixture.send("GET", "/index/he/ll/hello", Some(&job), b"").text();
    assert_eq!(seen.lines().count(), 2, "{seen}");
    fixture.approve(two, &fixture.bobs(&uploads[1])).assert_ok();
    assert_eq!(fixture.state(two), "published");
    fixture.is_as_logged();
    stop(&mut fixture);

    let back = tempfile::tempdir().unwrap();
    let back = back.path().join("store");
    moves(&database.path(), &back);
    goes_on_at(&mut fixture, back.as_path());
    fixture
        .running()
        .store()
        .add_approver(&"hello".parse().unwrap(), &"alice".parse().unwrap(), Timestamp::now())
        .unwrap();
    fixture.approves(one, &uploads[0]).assert_ok();
    assert_eq!(fixture.state(one), "waiting");
    fixture.approve(one, &fixture.bobs(&uploads[0])).assert_ok();
    assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, uploads[0].file);
    fixture.is_as_logged();
}
