//! What a gateway of a PostgreSQL has beside it: the key file, and the last place in the log that it has seen. And how a log goes on that
//! has lost its end, in a folder too.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::audit::Point;
use registry_gateway::store::{LastSeen, Signed, Store, StoreError};
use registry_gateway::vault::{Vault, VaultError};
use registry_gateway::{Gateway, StartError};

use crate::common::bearer_registry::Say;
use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::front::Front;
use crate::common::served::program;
use crate::common::{Fixture, Upload, store};

/// Why a gateway with the settings of this one does not start.
fn refused(fixture: &Fixture) -> StoreError {
    match Gateway::start(fixture.config.clone()).unwrap_err() {
        StartError::Store(error) => error,
        error => panic!("{error}"),
    }
}

#[test]
fn secrets_are_sealed_with_the_key_file() {
    let Some(database) = Database::new() else { return };
    let mut fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.restart();
    let secrets = database.sql("SELECT name, length(bytes) FROM secret ORDER BY name");
    let secrets: Vec<Vec<&str>> = secrets.lines().map(|line| line.split('|').collect()).collect();
    // A nonce of 12 bytes, and a tag of 16.
    for (secret, (name, length)) in
        secrets.iter().zip([("challenge key", 60), ("log key 1", 60), ("server key", 60)])
    {
        assert_eq!((secret[0], secret[1]), (name, length.to_string().as_str()));
    }
    assert_eq!(secrets.len(), 3);

    fixture.running.take().unwrap().stop();
    let other = fixture.folder.path().join("other.key");
    Vault::make_key(&other).unwrap();
    let own = fixture.config.postgres.key_file.replace(other);
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::KeyFile(VaultError::SealedSecret(_))), "{error}");
    fixture.config.postgres.key_file = None;
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::NoKeyFile), "{error}");
    assert!(error.hint().unwrap().contains("`key-file` in [postgres]"));
    fixture.config.postgres.key_file = own;
    // A secret that is put in the place of another is not taken.
    database.sql(
        "UPDATE secret SET bytes = (SELECT bytes FROM secret WHERE name = 'challenge key') WHERE name = 'server key'",
    );
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::KeyFile(VaultError::SealedSecret(_))), "{error}");

    doctor_says(&database, &fixture.folder.path().join("no-state"), "key file");
    assert!(!fixture.folder.path().join("no-state").exists());

    // Who looks needs none.
    let mut verify = crate::common::served::program(&database.path());
    let verified = verify.env_remove("CREDENTIALS_DIRECTORY").args(["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

/// A gateway that has published something and runs on, and a backup with that.
fn backed_up(database: &Database) -> (Fixture, Database) {
    let mut fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.config.listen = fixture.running().address();
    fixture.running.take().unwrap().stop();
    let backup = database.backup();
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    (fixture, backup)
}

/// A gateway has nothing that came after a backup, and yet knows that it was there.
#[test]
fn a_gateway_goes_on_after_a_restore_when_an_administrator_says_so() {
    let Some(database) = Database::new() else { return };
    let (mut fixture, backup) = backed_up(&database);
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    let seen = LastSeen { generation: 1, point: fixture.running().store().audit_end().unwrap() };
    let shown = fixture.checkpoint(seen.point.seq);
    database.restore(backup);
    let state = fixture.config.postgres.state.clone().unwrap();
    doctor_says(&database, &state, &format!("--lost {seen}"));

    let upload = Upload::new("hello", "1.2.0");
    // The connections of before are broken, and are found so one after the other.
    let refused_while_running = || {
        let answer = fixture.publish(&upload);
        answer.assert_refused(500, "before anything was changed");
    };
    refused_while_running();
    let before = database.sql("SELECT count(*) FROM audit");
    let error = fixture.running().store().can_be_changed().unwrap_err();
    assert!(matches!(error, StoreError::Restored { lost } if lost == seen), "{error}");
    assert!(error.hint().unwrap().contains(&format!("--lost {seen}")));
    refused_while_running();
    assert_eq!(database.sql("SELECT count(*) FROM audit"), before);

    // Another gateway has seen nothing of what is lost. What it adds does not make up for that.
    let mut other = Fixture::with(|config| {
        config.store = database.place(OWNER);
        config.url = Some(fixture.running().base_url().to_owned());
    });
    other.publish(&Upload::new("other", "1.0.0")).assert_ok();
    other.publish(&Upload::new("other", "1.1.0")).assert_ok();
    refused_while_running();

    // The other one has seen what is there now, and goes on.
    let end = database.open().unwrap().audit_end().unwrap();
    let lost = seen.to_string();
    // A slip in the place would be another loss.
    let slip = LastSeen { generation: 1, point: Point { seq: seen.point.seq + 1, ..seen.point } };
    let said = does_not_accept(&database, &state, &["--lost", &slip.to_string()]);
    assert!(said.contains(&lost) && said.contains("leave --lost out"), "{said}");
    let first = accepts(&database, &state, &[]);
    assert!(first.starts_with(&format!("2\t{end}\n")), "{first}");
    fixture.publish(&upload).assert_ok();
    // The gateway has seen more by now than it is said to have lost.
    let again = accepts(&database, &state, &["--lost", &lost]);
    assert!(again.starts_with("2\t"), "{again}");
    let entries = database.open().unwrap().audit_entries(end.seq + 1, end.seq + 9).unwrap();
    let begins: Vec<_> = entries.iter().filter(|entry| entry.contains("accept-restore")).collect();
    assert_eq!(begins.len(), 1, "{entries:?}");
    assert_eq!(begins[0], &entries[0], "it is the first one of the generation");
    for said in [format!(r#""found":"{end}""#), format!(r#""lost":"{lost}""#), r#""generation":2"#.to_owned()]
    {
        assert!(begins[0].contains(&said), "{begins:?} does not say {said}");
    }
    // What the gateway has shown last, and not what the backup has.
    let text = shown.split("\n\n").next().unwrap().replace('\n', "\\n");
    assert!(begins[0].contains(&text), "{begins:?} does not have {text}");

    other.publish(&Upload::new("other", "1.2.0")).assert_ok();
    let size = database.open().unwrap().audit_end().unwrap().seq;
    let notes = [&fixture, &other].map(|gateway| gateway.checkpoint(size));
    assert_eq!(notes[0], notes[1]);
    assert_eq!(notes[0].lines().next(), Some(format!("{}/2", shown.lines().next().unwrap()).as_str()));
    let key = |note: &str| note.split("— ").nth(1).map(str::to_owned);
    assert_ne!(key(&notes[0]), key(&shown));
    // What was published before is in the new tree at its old place.
    let proof =
        |gateway: &Fixture| gateway.get("/api/v1/crates/hello/1.0.0/proof").json()["log"]["index"].clone();
    assert_eq!(proof(&fixture), 3);
    other.running.take().unwrap().stop();
    fixture.restart();
    fixture.publish(&Upload::new("hello", "1.3.0")).assert_ok();
    database.succeeds(&["audit", "verify"]);
    let kept = fixture.folder.path().join("kept");
    for (note, well) in [(&notes[0], true), (&shown, false)] {
        fs::write(&kept, note).unwrap();
        let verified = database.run(&["audit", "verify", "--checkpoint", kept.to_str().unwrap()]);
        assert_eq!(verified.status.success(), well, "{verified:?}");
    }
    let seen = LastSeen { generation: 2, point: end }.to_string();
    let said = database.fails(&["store", "accept-restore", "--lost", &seen]);
    assert!(said.contains("the audit log has lost nothing"), "{said}");
}

/// Runs `store accept-restore` where a gateway runs with this state, and returns what it says.
#[track_caller]
fn accepts(database: &Database, state: &Path, arguments: &[&str]) -> String {
    let mut accept = program(&database.path());
    accept.env("STATE_DIRECTORY", state).args(["store", "accept-restore"]).args(arguments);
    let accepted = accept.output().unwrap();
    assert!(accepted.status.success(), "{accepted:?}");
    String::from_utf8(accepted.stdout).unwrap()
}

/// A new database has nothing of what was seen, and is not what is left of another one.
#[test]
fn an_empty_log_is_not_accepted_and_a_whole_one_has_lost_nothing() {
    let Some(database) = Database::new() else { return };
    let mut fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let seen = fixture.running().store().audit_end().unwrap();
    fixture.running.take().unwrap().stop();
    let state = fixture.config.postgres.state.clone().unwrap();
    let (end, elsewhere) =
        (database.open().unwrap().audit_end().unwrap(), fixture.folder.path().join("none"));
    for (state, point) in [(&state, end), (&elsewhere, end), (&elsewhere, seen)] {
        let lost = LastSeen { generation: 1, point }.to_string();
        let said = does_not_accept(&database, state, &["--lost", &lost]);
        assert!(said.contains("the audit log has lost nothing"), "{said}");
    }
    let another = Database::new().unwrap();
    for arguments in [&[][..], &["--lost", &LastSeen { generation: 1, point: end }.to_string()]] {
        let said = does_not_accept(&another, &state, arguments);
        assert!(said.contains("no entry at all") && said.contains("`store`"), "{said}");
    }
    fixture.config.store = another.place(OWNER);
    let error = refused(&fixture);
    assert!(error.to_string().contains("another database"), "{error}");
}

/// Has an administrator say that the log has lost its end, and returns why that is not taken.
#[track_caller]
fn does_not_accept(database: &Database, state: &Path, arguments: &[&str]) -> String {
    let mut accept = program(&database.path());
    accept.env("STATE_DIRECTORY", state).args(["store", "accept-restore"]).args(arguments);
    let refused = accept.output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    String::from_utf8(refused.stderr).unwrap()
}

/// What keeps a gateway with this state from starting.
#[track_caller]
fn doctor_says(database: &Database, state: &Path, hint: &str) {
    let mut doctor = program(&database.path());
    let found = doctor.env("STATE_DIRECTORY", state).arg("doctor").output().unwrap();
    let said = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("a gateway cannot serve this store") && said.contains(hint), "{said}");
}

/// The number of a generation that was lost is not used again: its key has signed another tree.
#[test]
fn a_generation_that_is_lost_is_not_begun_again() {
    let Some(database) = Database::new() else { return };
    let (mut fixture, backup) = backed_up(&database);
    let second = database.backup_of(&backup);
    let state = fixture.config.postgres.state.clone().unwrap();
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    let first_lost = LastSeen { generation: 1, point: fixture.running().store().audit_end().unwrap() };
    database.restore(backup);
    accepts(&database, &state, &[]);
    // Every connection of before is tried once at most.
    fixture.publish(&Upload::new("hello", "1.2.0"));
    fixture.publish(&Upload::new("hello", "1.2.1")).assert_ok();
    let size = database.open().unwrap().audit_end().unwrap().seq;
    let lost = fixture.checkpoint(size);
    fixture.running.take().unwrap().stop();
    database.restore(second);
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Restored { lost: LastSeen { generation: 2, .. } }), "{error}");
    let said = does_not_accept(&database, &state, &["--lost", &first_lost.to_string()]);
    assert!(said.contains("accept-restore --lost 2:"), "{said}");
    // A checkpoint of it says the same where no state is.
    let kept = fixture.folder.path().join("kept");
    fs::write(&kept, &lost).unwrap();
    let said = accepts(&database, &state, &["--checkpoint", kept.to_str().unwrap()]);
    assert!(said.starts_with("3\t"), "{said}");
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let origin = fixture.send("GET", "/log/checkpoint", None, b"").text();
    assert!(origin.lines().next().unwrap().ends_with("/index/3"), "{origin}");
    database.succeeds(&["audit", "verify"]);
}

/// Of a folder nobody knows where its log ended, but who has kept a checkpoint.
#[test]
fn a_folder_that_was_restored_goes_on_as_a_new_generation() {
    if store::is_in_postgres() {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.config.listen = fixture.running().address();
    fixture.running.take().unwrap().stop();
    let (folder, backup) = (fixture.folder.path().to_owned(), tempfile::tempdir().unwrap());
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
        assert!(copied.success());
    };
    copy(&folder, backup.path());
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let kept_before = folder.with_extension("kept-before");
    fs::write(&kept_before, fixture.checkpoint(5)).unwrap();
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    let kept = folder.with_extension("kept");
    fs::write(&kept, fixture.checkpoint(7)).unwrap();
    let accept = |arguments: &[&str]| {
        let mut accept = program(&folder);
        accept.args(["store", "accept-restore"]).args(arguments).output().unwrap()
    };
    let [kept_path, before] = [&kept, &kept_before].map(|path| path.to_str().unwrap().to_owned());
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let served = accept(&[]);
    assert!(said(&served).contains("another registry-gateway serves"), "{served:?}");
    fixture.running.take().unwrap().stop();
    let whole = accept(&["--checkpoint", &kept_path]);
    assert!(said(&whole).contains("the audit log has lost nothing"), "{whole:?}");

    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    copy(backup.path(), &folder);
    let verify = |kept: &str| {
        let mut verify = program(&folder);
        verify.args(["audit", "verify", "--checkpoint", kept]).output().unwrap()
    };
    assert!(said(&verify(&kept_path)).contains("the end was cut off"));
    // One of before the backup shows no loss.
    let nothing = accept(&["--checkpoint", &before]);
    assert!(said(&nothing).contains("the audit log has lost nothing"), "{nothing:?}");
    for _ in 0..2 {
        let accepted = accept(&["--checkpoint", &kept_path]);
        assert!(accepted.status.success() && accepted.stdout.starts_with(b"2\t"), "{accepted:?}");
    }
    // Nor is it begun once more where nothing is given.
    let again = accept(&[]);
    assert!(again.status.success() && again.stdout.starts_with(b"2\t"), "{again:?}");
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    let note = fixture.checkpoint(6);
    assert!(note.lines().next().unwrap().ends_with("/index/2"), "{note}");
    fixture.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    fixture.running.take().unwrap().stop();
    assert!(verify(&before).status.success());
    // And with nothing but an administrator's word.
    let accepted = accept(&[]);
    assert!(accepted.status.success() && accepted.stdout.starts_with(b"3\t"), "{accepted:?}");
    for path in [kept, kept_before] {
        fs::remove_file(path).unwrap();
    }
}

/// A gateway in front of a registry that has been sent a yank, and does not answer yet.
struct Yanking {
    front: Front,
    /// Of before.
    backup: Database,
    has_asked: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

const YANK: &str = "DELETE /api/v1/crates/hello/1.0.0/yank";

impl Yanking {
    fn new(database: &Database) -> Self {
        let mut front = Front::with(|config| config.store = database.place(OWNER));
        front.gateway.running.take().unwrap().stop();
        let backup = database.backup();
        front.gateway.running = Some(Gateway::start(front.gateway.config.clone()).unwrap());
        let (asked, has_asked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let held = Say::Ask(Arc::new(move |_| {
            asked.send(()).unwrap();
            let _ = may_go_on.lock().unwrap().recv();
            Say::ok("{}")
        }));
        front.registry.on(YANK, held);
        Self { front, backup, has_asked, go_on }
    }
}

/// What a gateway knows of a change is for that one, and not for another that is at its place in the log after the loss.
#[test]
fn an_outcome_whose_change_is_lost_is_written_nowhere() {
    for is_anothers_there in [false, true] {
        let Some(database) = Database::new() else { return };
        let Yanking { front, backup, has_asked, go_on } = Yanking::new(&database);
        thread::scope(|scope| {
            let yanking = scope.spawn(|| front.yank());
            has_asked.recv().unwrap();
            database.restore(backup);
            go_on.send(()).unwrap();
            yanking.join().unwrap().assert_refused(500, "that is not in the audit log yet");
        });
        front.registry.on(YANK, Say::ok(r#"{"ok":true}"#));
        let lost = Store::last_seen(&front.gateway.config.postgres).unwrap().unwrap();
        if is_anothers_there {
            let (key, now) = (front.gateway.publish.public.id(), Timestamp::now());
            let (token, single_use_key) = (String::new(), "another".to_owned());
            let mutation = Mutation::Owners { name: "other".parse().unwrap() };
            let signed =
                Signed { token, key, mutation, single_use_key, challenge: None, kept_until: now, now };
            let another = database.open().unwrap().begin(&signed).unwrap();
            assert_eq!(another.seq, i64::try_from(lost.point.seq).unwrap());
        }
        // Every connection of before is tried once at most.
        front.yank();
        database.succeeds(&["store", "accept-restore", "--lost", &lost.to_string()]);
        front.yank().assert_ok();
        let settled = format!(
            r#"SELECT count(*) FROM audit WHERE entry LIKE '%"intent":{},%' AND entry NOT LIKE '%"interrupted"%'"#,
            lost.point.seq
        );
        assert_eq!(database.sql(&settled), "0");
        database.succeeds(&["audit", "verify"]);
    }
}

/// The registry behind has made it, and cargo is not told that it will be on record.
#[test]
fn a_change_that_was_made_and_whose_beginning_is_lost() {
    let Some(database) = Database::new() else { return };
    let Yanking { front, backup, has_asked, go_on } = Yanking::new(&database);
    thread::scope(|scope| {
        let yanking = scope.spawn(|| front.yank());
        has_asked.recv().unwrap();
        database.restore(backup);
        // The connections of before are broken, and are found so one after the other.
        let store = front.gateway.running().store();
        let lost = loop {
            if let Err(StoreError::Restored { lost }) = store.can_be_changed() {
                break lost.to_string();
            }
        };
        database.succeeds(&["store", "accept-restore", "--lost", &lost]);
        while store.can_be_changed().is_err() {}
        go_on.send(()).unwrap();
        yanking.join().unwrap().assert_refused(500, "it is not in the audit log and will not be");
    });
    assert_eq!(database.sql("SELECT count(*) FROM audit WHERE entry LIKE '%yank%'"), "0");
    database.succeeds(&["audit", "verify"]);
}

/// It is lost, and that is accepted, after the gateway has looked where the log ends, and before it writes the checkpoint.
#[test]
fn no_checkpoint_is_kept_of_an_entry_that_is_lost() {
    let Some(database) = Database::new() else { return };
    let mut fixture = database.gateway();
    fixture.checkpoint(3);
    database.sql("ALTER TABLE checkpoint ADD CONSTRAINT not_yet CHECK (size < 4)");
    fixture.running().store().add_user(&"carol".parse().unwrap(), false, Timestamp::now()).unwrap();
    let lost = r#"SET session_replication_role = replica;
        SELECT layout FROM log_end FOR UPDATE;
        DO $$ BEGIN
            WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))) LOOP
                PERFORM pg_stat_clear_snapshot();
            END LOOP;
        END $$;
        UPDATE audit SET hash = repeat('f', 42) || 'c=' WHERE seq = 4;
        UPDATE log_end SET generation = 2;
        ALTER TABLE checkpoint DROP CONSTRAINT not_yet"#;
    thread::scope(|scope| {
        let losing = scope.spawn(|| database.sql(lost));
        while !database.sql("SELECT layout FROM log_end FOR UPDATE SKIP LOCKED").is_empty() {}
        fixture.running.take().unwrap().stop();
        losing.join().unwrap();
    });
    assert_eq!(database.sql("SELECT max(size) FROM checkpoint"), "3");
}

/// Also one that was stopped before.
#[test]
fn a_gateway_does_not_start_after_a_restore() {
    let Some(database) = Database::new() else { return };
    let mut fixture = database.gateway();
    fixture.running.take().unwrap().stop();
    let backup = database.backup();
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let seen = LastSeen { generation: 1, point: fixture.running().store().audit_end().unwrap() };
    fixture.running.take().unwrap().stop();
    database.restore(backup);
    let checkpoints = database.sql("SELECT count(*) FROM checkpoint");
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Restored { lost } if lost == seen), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM checkpoint"), checkpoints);

    let state = fixture.config.postgres.state.clone().unwrap();
    accepts(&database, &state, &[]);
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();

    fixture.running.take().unwrap().stop();
    let file = state.join("last-entry");
    let last: LastSeen = fs::read_to_string(&file).unwrap().trim_end().parse().unwrap();
    assert_eq!(last, LastSeen { generation: 2, point: database.open().unwrap().audit_end().unwrap() });
    fs::write(&file, "nonsense").unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::State { .. }), "{error}");
}
