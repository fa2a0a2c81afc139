//! A store in a real PostgreSQL.
#![cfg(target_os = "linux")]

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::config::Owners;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::policy::Refusal;
use registry_gateway::store::postgres::CALL;
use registry_gateway::store::{Outcome, Signed, SpendError, Store, StoreError};
use serde_json::json;

use crate::common::database::Database;
use crate::common::network::Network;
use crate::common::served::program;
use crate::common::{Fixture, SoftwareKey, Upload, crate_file};
use crate::postgres_fails::operators;

fn add_key(store: &Store, key: &SoftwareKey) {
    let user = "alice".parse().unwrap();
    let new =
        NewKey { public: key.public, user, role: Role::Both, label: None, subject: None, expires: None };
    store.add_key(new, Timestamp::UNIX_EPOCH).unwrap();
}

fn signed(key: &SoftwareKey, single_use_key: &str) -> Signed {
    Signed {
        token: String::new(),
        key: key.public.id(),
        mutation: Mutation::Owners { name: "hello".parse().unwrap() },
        single_use_key: single_use_key.to_owned(),
        challenge: None,
        kept_until: Timestamp::MAX,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Other things are asked of the database meanwhile, and a connection that is new asks more. So one publish of many has to be so.
#[test]
fn a_publish_is_few_round_trips() {
    let Some(database) = Database::new() else { return };
    let network = Network::to(database.socket());
    let gateway = Fixture::with(|config| config.store = database.url_at(network.address).parse().unwrap());
    let of_one = |round| {
        let upload = Upload::new("hello", &format!("1.0.{round}"));
        let before = network.round_trips();
        gateway.publish(&upload).assert_ok();
        network.round_trips() - before
    };
    assert!((0..200).map(of_one).any(|round_trips| (5..=10).contains(&round_trips)));
}

/// Longer than a statement of a request may take, and than a gateway waits for an answer to one.
#[test]
fn a_migration_takes_as_long_as_it_needs() {
    let Some(database) = Database::empty() else { return };
    database.sql(
        "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
             IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.log_end') THEN
                 PERFORM pg_sleep(16);
             END IF;
         END $$;
         CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION slow()",
    );
    let begun = Instant::now();
    database.succeeds(&["store", "migrate"]);
    assert!(begun.elapsed() > CALL);
    database.gateway().publish(&Upload::new("hello", "1.0.0")).assert_ok();
}

#[test]
fn it_is_made_by_a_command_of_its_own() {
    let Some(database) = Database::empty() else { return };
    let refused = database.run(&["user", "add", "alice"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("there is no store in this PostgreSQL"), "{said}");
    assert!(said.contains("`registry-gateway store migrate`"), "{said}");
    for _ in 0..2 {
        assert!(database.run(&["store", "migrate"]).status.success());
    }
    assert!(database.run(&["user", "add", "alice"]).status.success());
    let listed = database.run(&["user", "list"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "alice\tactive\t0 keys\n");
}

/// Gives the role that serves its rights, with the statements of docs/gateway.md.
fn as_the_page_has_it(database: &Database) {
    let page = include_str!("../../../docs/gateway.md");
    let grants = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    database.role("gateway");
    database.sql(grants);
}

/// What a role may do, table by table.
fn rights(database: &Database, role: &str) -> String {
    database.sql(&format!(
        "SELECT relname, relacl FROM (
             SELECT relname, (SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM aclexplode(relacl)
                 WHERE grantee = '{role}'::regrole) AS relacl
             FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
         ) AS granted ORDER BY relname"
    ))
}

#[test]
fn the_role_that_serves_adds_to_the_log_and_does_nothing_else_to_it() {
    let Some(database) = Database::new() else { return };
    as_the_page_has_it(&database);
    database.role("other");
    database.succeeds(&["store", "migrate", "--role", "other"]);
    assert_eq!(rights(&database, "other"), rights(&database, "gateway"));
    let mut fixture = Fixture::with(|config| config.store = database.place("gateway"));
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.running.take().unwrap().stop();
    for (statement, table) in [
        ("UPDATE audit SET entry = ''", "audit"),
        ("DELETE FROM audit", "audit"),
        ("TRUNCATE audit CASCADE", "audit"),
        ("SELECT * FROM audit FOR UPDATE", "audit"),
        ("SELECT * FROM audit FOR KEY SHARE", "audit"),
        ("UPDATE tile SET hash = ''", "tile"),
        ("DELETE FROM tile", "tile"),
        ("UPDATE checkpoint SET note = ''", "checkpoint"),
        ("DELETE FROM checkpoint", "checkpoint"),
        ("UPDATE signer SET public = ''", "signer"),
        ("UPDATE secret SET bytes = ''", "secret"),
        ("DELETE FROM published", "published"),
        ("UPDATE log_end SET serves = 9", "log_end"),
        ("UPDATE log_end SET moved_to = NULL", "log_end"),
        ("DROP TABLE audit CASCADE", "audit"),
    ] {
        let denied = database.sql(&format!(
            "SET ROLE gateway;
             DO $$ BEGIN EXECUTE '{}'; RAISE 'it was done';
             EXCEPTION WHEN insufficient_privilege THEN SET my.denied = '1'; END $$;
             SELECT current_setting('my.denied')",
            statement.replace('\'', "''")
        ));
        assert!(denied.ends_with('1'), "{statement} of {table}: {denied}");
    }
    let said = database.fails(&["store", "migrate", "--role", "owner"]);
    assert!(said.contains("owner owns the tables"), "{said}");
    database.sql("CREATE ROLE mighty LOGIN SUPERUSER; CREATE ROLE heir LOGIN IN ROLE owner");
    for (role, why) in [
        ("mighty", "mighty is a superuser, and can give itself every right"),
        ("heir", "heir is a member of the role that owns the tables"),
        ("absent", "CREATE ROLE absent LOGIN"),
        ("ab sent", "CREATE ROLE \"ab sent\" LOGIN"),
    ] {
        let said = database.fails(&["store", "migrate", "--role", role]);
        assert!(said.contains(why), "{said}");
    }
}

/// A store of the first layout, which had its secrets in clear.
#[test]
fn each_step_to_the_present_layout_is_made() {
    let Some(database) = Database::empty() else { return };
    database.sql(include_str!("../../src/store/schema/postgres/1.sql"));
    database.sql(
        "INSERT INTO log_end (layout, serves) VALUES (1, 1);
         INSERT INTO secret VALUES ('challenge key', 'in clear');
         INSERT INTO \"user\" (name) VALUES ('alice')",
    );
    let refused = database.open().unwrap_err();
    assert!(matches!(refused, StoreError::Older { found: 1, .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("`registry-gateway store migrate`"));
    // Nobody has to wait for a step that waits for a long transaction.
    let backup = database.psql("BEGIN; LOCK TABLE secret IN SHARE MODE; SELECT 'locked';");
    let said = database.fails(&["store", "migrate"]);
    assert!(said.contains("lock timeout") && said.contains("run the command again"), "{said}");
    drop(backup);
    for _ in 0..2 {
        database.succeeds(&["store", "migrate"]);
        assert_eq!(database.sql("SELECT count(*) FROM secret"), "0");
        assert_eq!(database.succeeds(&["user", "list"]), "alice\tactive\t0 keys\n");
    }
    // One that a newer program made is left as it is.
    database.sql("UPDATE log_end SET layout = layout + 1");
    let before = database.sql("SELECT * FROM log_end");
    database.succeeds(&["store", "migrate"]);
    assert_eq!(database.sql("SELECT * FROM log_end"), before);
}

/// By a role that owns nothing, as docs/gateway.md has it.
#[test]
fn a_crates_life() {
    let Some(database) = Database::new() else { return };
    as_the_page_has_it(&database);
    let mut fixture = Fixture::with(|config| config.store = database.place("gateway"));
    let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\ndescription = \"Café\"\n";
    let mut noise = vec![0; 600 << 10];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    let file = crate_file("hello", "1.0.0", &[("Cargo.toml", manifest.as_bytes()), ("noise", &noise)]);
    assert!(file.len() > 600 << 10);
    let upload = Upload::of(
        "hello",
        "1.0.0",
        &json!({ "name": "hello", "vers": "1.0.0", "description": "Café" }),
        &file,
    );
    let token = fixture.token(upload.mutation());
    fixture.put_new(&token, &upload).assert_ok();
    fixture.put_new(&token, &upload).assert_refused(401, "was used before");
    fixture.publish(&upload).assert_refused(409, "is already published");
    for _ in 0..2 {
        assert_eq!(fixture.get("/api/v1/crates/hello/1.0.0/download").body, file);
        assert!(fixture.get("/index/he/ll/hello").text().contains(&upload.checksum().to_string()));
        for (wanted, total) in
            [("hell", 1), ("LLO", 1), ("cafe\u{301}", 1), ("CAFE", 1), ("h%25", 0), ("caf_", 0)]
        {
            let found: serde_json::Value =
                serde_json::from_str(&fixture.get(&format!("/api/v1/crates?q={wanted}")).text()).unwrap();
            assert_eq!(found["meta"]["total"], total, "{wanted}");
        }
        let proof = fixture.get("/api/v1/crates/hello/1.0.0/proof").text();
        assert!(proof.contains(&token), "{proof}");
        fixture.restart();
        fixture.checkpoint(1);
    }
    assert!(database.run(&["audit", "verify"]).status.success());
    assert!(database.sql("SELECT max(length(bytes)), count(*) FROM piece").starts_with("262144|"));
    database.sql("DELETE FROM piece WHERE number = 1");
    let verified = database.run(&["audit", "verify"]);
    assert!(!verified.status.success(), "{verified:?}");
}

#[test]
fn a_token_that_is_spent_through_two_connections_at_once_is_spent_once() {
    let Some(database) = Database::new() else { return };
    let stores = [(); 2].map(|()| database.open().unwrap());
    let key = SoftwareKey::new(1);
    add_key(&stores[0], &key);
    for round in 0..100 {
        let barrier = Barrier::new(2);
        let spend = |store: &Store| {
            barrier.wait();
            match store.begin(&signed(&key, &round.to_string())) {
                Ok(intent) => {
                    store.settle(&intent, &Outcome::Done, Timestamp::UNIX_EPOCH).unwrap();
                    1
                }
                Err(SpendError::Refused(Refusal::Replayed(_))) => 0,
                Err(error) => panic!("{error:?}"),
            }
        };
        let spent: u32 = thread::scope(|scope| {
            let both = stores.each_ref().map(|store| scope.spawn(|| spend(store)));
            both.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(spent, 1, "round {round}");
    }
    assert_eq!(stores[1].verify_audit(&[]).unwrap().end.seq, 201);
    assert_eq!(stores[1].discrepancies(Timestamp::UNIX_EPOCH).unwrap(), []);
}

#[test]
fn only_changes_of_who_may_what_raise_the_revision() {
    let Some(database) = Database::new() else { return };
    let (one, other) = (database.open().unwrap(), database.open().unwrap());
    let key = SoftwareKey::new(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let revision = || runtime.block_on(one.revision()).unwrap();
    let mut before = revision();
    let mut is_raised = || {
        let now = revision();
        let is_raised = now != before;
        before = now;
        is_raised
    };
    add_key(&other, &key);
    assert!(is_raised());
    other.begin(&signed(&key, "one")).unwrap();
    assert!(!is_raised());
    other.set_credential(&"alice".parse().unwrap(), b"sealed", Timestamp::UNIX_EPOCH).unwrap();
    assert!(is_raised());
    other.revoke_key(&key.public.id().to_string(), Timestamp::UNIX_EPOCH).unwrap();
    assert!(is_raised());
}

/// Also one that was opened before.
#[test]
fn a_layout_of_a_newer_program_is_not_written() {
    let Some(database) = Database::new() else { return };
    let store = database.open().unwrap();
    database.sql("UPDATE log_end SET layout = layout + 1");
    store.can_be_changed().unwrap();
    let served = Fixture::with(|config| {
        config.store = database.place("owner");
        config.metrics = Some(([127, 0, 0, 1], 0).into());
    });
    served.get("/index/config.json").assert_ok();
    database.sql("UPDATE log_end SET layout = layout + 1, serves = layout + 1");
    for error in [
        store.can_be_changed().unwrap_err(),
        tokio::runtime::Runtime::new().unwrap().block_on(store.revision()).unwrap_err(),
        database.open().map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Newer { found, known } if found > known), "{error}");
    }
    served.get("/index/config.json").assert_refused(503, "has to be upgraded");
    served.publish(&Upload::new("hello", "1.0.0")).assert_refused(503, "has to be upgraded");
    let ready = operators(&served, "/readyz");
    assert!(ready.status == 503 && ready.text().contains("install the newer"), "{}", ready.text());
}

/// PostgreSQL has none. Nothing is on record of who sends one, so no token is spent.
#[test]
fn a_text_with_a_null_character_is_nowhere() {
    let Some(database) = Database::new() else { return };
    let fixture = Fixture::with(|config| {
        config.store = database.place("owner");
        config.owners = Owners::Change;
    });
    fixture.get("/api/v1/crates?q=a%00bc").assert_ok();
    for path in ["/index/he/ll/hel%00lo", "/api/v1/crates/hel%00lo/1.0.0/download"] {
        fixture.get(path).assert_refused(404, "");
    }
    fixture.publish(&Upload::new("hello", "0.9.0")).assert_ok();
    let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\ndescription = \"a\\u0000b\"\n";
    let json = json!({ "name": "hello", "vers": "1.0.0", "description": "a\0b" });
    let nul = Upload::with_manifest("hello", "1.0.0", manifest, &json);
    let before = database.sql("SELECT count(*) FROM audit");
    fixture.publish(&nul).assert_refused(422, "U+0000");
    let token = fixture.token(Mutation::Owners { name: "hello".parse().unwrap() });
    fixture
        .send("PUT", "/api/v1/crates/hello/owners", Some(&token), br#"{"users":["a\u0000b"]}"#)
        .assert_refused(400, "a change of owners is");
    assert_eq!(database.sql("SELECT count(*) FROM audit"), before);
}

#[test]
fn doctor_tells_whether_the_log_can_be_changed() {
    let Some(database) = Database::new() else { return };
    as_the_page_has_it(&database);
    for (role, said) in [("owner", "can change the audit log"), ("gateway", "but not change it")] {
        let mut doctor = program(database.url_of(role).as_ref());
        let found = String::from_utf8(doctor.arg("doctor").output().unwrap().stdout).unwrap();
        assert!(found.contains(&format!("the role {role} can")) && found.contains(said), "{found}");
    }
}
