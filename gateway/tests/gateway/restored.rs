//! What a gateway of a PostgreSQL has beside it: the key file, and the last place in the log that it has seen.
#![cfg(target_os = "linux")]

use std::fs;
use std::thread;

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::audit::Point;
use registry_gateway::store::{Signed, Store, StoreError};
use registry_gateway::vault::{Vault, VaultError};
use registry_gateway::{Gateway, StartError};

use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::{Fixture, Upload};

/// The object identifier of P-384, which every unsealed key in PKCS#8 has in it (RFC 5480, 2.1.1.1).
const P384: &str = "2b81040022";

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
    let secrets = database.sql("SELECT name, length(bytes), encode(bytes, 'hex') FROM secret ORDER BY name");
    let secrets: Vec<Vec<&str>> = secrets.lines().map(|line| line.split('|').collect()).collect();
    // A nonce of 12 bytes, and a tag of 16.
    for (secret, (name, length)) in
        secrets.iter().zip([("challenge key", 60), ("head key", 213), ("server key", 60)])
    {
        assert_eq!((secret[0], secret[1]), (name, length.to_string().as_str()));
        assert!(!secret[2].contains(P384), "{name}");
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

    // Who looks needs none.
    let mut verify = crate::common::served::program(&database.path());
    let verified = verify.env_remove("CREDENTIALS_DIRECTORY").args(["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

/// A gateway that has published something and runs on, and a backup with that.
fn backed_up(database: &Database) -> (Fixture, Database) {
    let mut fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
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
    let seen = fixture.running().store().audit_end().unwrap();
    database.restore(backup);

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
    other.running.take().unwrap().stop();
    refused_while_running();

    let end = database.open().unwrap().audit_end().unwrap();
    let lost = seen.to_string();
    for _ in 0..2 {
        let said = database.succeeds(&["store", "accept-restore", "--lost", &lost]);
        assert!(said.starts_with(&format!("{lost}\t")), "{said}");
    }
    let entry = database.open().unwrap().audit_entries(end.seq + 1, end.seq + 9).unwrap();
    assert_eq!(entry.len(), 1, "{entry:?}");
    assert!(entry[0].contains(&format!(r#""action":"accept-restore","found":"{end}""#)), "{entry:?}");
    assert!(entry[0].contains(&format!(r#""lost":"{lost}""#)), "{entry:?}");

    fixture.publish(&upload).assert_ok();
    fixture.restart();
    fixture.publish(&Upload::new("hello", "1.3.0")).assert_ok();
    database.succeeds(&["audit", "verify"]);
    let said = database.fails(&["store", "accept-restore", "--lost", &end.to_string()]);
    assert!(said.contains("the audit log has lost nothing"), "{said}");
}

/// What a gateway knows of a change is for that one, and not for another that is at its place in the log after the loss.
#[test]
fn an_outcome_whose_change_is_lost_is_written_nowhere() {
    for is_anothers_there in [false, true] {
        let Some(database) = Database::new() else { return };
        let (fixture, backup) = backed_up(&database);
        let holder = database.hold("INSERT ON version");
        thread::scope(|scope| {
            let publishing = scope.spawn(|| fixture.publish(&Upload::new("hello", "1.1.0")));
            database.holds();
            database.restore(backup);
            assert_ne!(publishing.join().unwrap().status, 200);
        });
        drop(holder);
        let lost = Store::last_seen(&fixture.config.postgres).unwrap().unwrap();
        if is_anothers_there {
            let (key, now) = (fixture.publish.public.id(), Timestamp::now());
            let (token, single_use_key) = (String::new(), "another".to_owned());
            let mutation = Mutation::Owners { name: "other".parse().unwrap() };
            let signed =
                Signed { token, key, mutation, single_use_key, challenge: None, kept_until: now, now };
            let another = database.open().unwrap().begin(&signed).unwrap();
            assert_eq!(another.seq, i64::try_from(lost.seq).unwrap());
        }
        // Every connection of before is tried once at most.
        fixture.publish(&Upload::new("hello", "1.2.0"));
        database.succeeds(&["store", "accept-restore", "--lost", &lost.to_string()]);
        fixture.publish(&Upload::new("hello", "1.2.0")).assert_ok();
        let settled = format!(
            r#"SELECT count(*) FROM audit WHERE entry LIKE '%"intent":{},%' AND entry NOT LIKE '%"interrupted"%'"#,
            lost.seq
        );
        assert_eq!(database.sql(&settled), "0");
        database.succeeds(&["audit", "verify"]);
    }
}

/// It is lost, and that is accepted, after the gateway has looked where the log ends, and before it writes the head.
#[test]
fn no_head_is_kept_of_an_entry_that_is_lost() {
    let Some(database) = Database::new() else { return };
    let mut fixture = database.gateway();
    let end = fixture.running().store().audit_end().unwrap();
    let lost = format!(
        r#"SET session_replication_role = replica;
        SELECT layout FROM log_end FOR UPDATE;
        DO $$ BEGIN
            WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))) LOOP
                PERFORM pg_stat_clear_snapshot();
            END LOOP;
        END $$;
        UPDATE audit SET hash = repeat('f', 64), entry = '{{"action":"accept-restore","lost":"{end}"}}' WHERE seq = {}"#,
        end.seq
    );
    thread::scope(|scope| {
        let losing = scope.spawn(|| database.sql(&lost));
        while !database.sql("SELECT layout FROM log_end FOR UPDATE SKIP LOCKED").is_empty() {}
        fixture.running.take().unwrap().stop();
        losing.join().unwrap();
    });
    assert_eq!(database.sql(&format!("SELECT count(*) FROM head WHERE seq = {}", end.seq)), "0");
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
    let seen = fixture.running().store().audit_end().unwrap();
    fixture.running.take().unwrap().stop();
    database.restore(backup);
    let heads = database.sql("SELECT count(*) FROM head");
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::Restored { lost } if lost == seen), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM head"), heads);

    let state = fixture.config.postgres.state.clone().unwrap();
    let mut accept = crate::common::served::program(&database.path());
    accept.env("STATE_DIRECTORY", &state).args(["store", "accept-restore"]);
    let accepted = accept.output().unwrap();
    assert!(accepted.status.success(), "{accepted:?}");
    fixture.running = Some(Gateway::start(fixture.config.clone()).unwrap());
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();

    fixture.running.take().unwrap().stop();
    let file = state.join("last-entry");
    let last: Point = fs::read_to_string(&file).unwrap().trim_end().parse().unwrap();
    assert_eq!(last, database.open().unwrap().audit_end().unwrap());
    fs::write(&file, "nonsense").unwrap();
    let error = refused(&fixture);
    assert!(matches!(error, StoreError::State { .. }), "{error}");
}
