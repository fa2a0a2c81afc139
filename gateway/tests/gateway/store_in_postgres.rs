//! A store in a real PostgreSQL.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Output;
use std::sync::Barrier;
use std::thread;

use asymmetric_token::Mutation;
use jiff::Timestamp;
use registry_gateway::config::PostgresConfig;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::policy::Refusal;
use registry_gateway::store::{Outcome, Signed, SpendError, Store, StoreError};
use registry_gateway::store_place::StorePlace;
use serde_json::json;

use crate::common::cluster::{Cluster, OWNER};
use crate::common::served::program;
use crate::common::{Fixture, SoftwareKey, Upload, crate_file};

/// A database of one test.
pub(crate) struct Database {
    cluster: &'static Cluster,
    name: String,
}

impl Database {
    /// `None` where PostgreSQL is not installed.
    fn empty() -> Option<Self> {
        let cluster = Cluster::shared()?;
        Some(Self { cluster, name: cluster.database() })
    }

    /// One with a store.
    pub(crate) fn new() -> Option<Self> {
        let database = Self::empty()?;
        let StorePlace::Postgres(url) = database.place(OWNER) else { panic!() };
        Store::migrate_postgres(&url, &PostgresConfig::default()).unwrap();
        Some(database)
    }

    pub(crate) fn place(&self, user: &str) -> StorePlace {
        self.cluster.url(user, &self.name).parse().unwrap()
    }

    fn open_as(&self, user: &str) -> Result<Store, StoreError> {
        Store::at(&self.place(user), &PostgresConfig::default())
    }

    fn open(&self) -> Result<Store, StoreError> {
        self.open_as(OWNER)
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url(OWNER, &self.name)
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        program(Path::new(&self.url())).args(arguments).output().unwrap()
    }

    fn gateway(&self) -> Fixture {
        Fixture::with(|config| config.store = self.place(OWNER))
    }
}

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

/// By a role that owns nothing, as docs/gateway.md has it.
#[test]
fn a_crates_life() {
    let Some(database) = Database::new() else { return };
    let page = include_str!("../../../docs/gateway.md");
    let grants = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(grants.contains("ON audit"), "{grants}");
    database.sql(grants);
    for may_not in ["UPDATE", "DELETE", "TRUNCATE"] {
        let may = format!("SELECT has_table_privilege('gateway', 'audit', '{may_not}')");
        assert_eq!(database.sql(&may).trim(), "f", "{may_not}");
    }
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
    fixture.publish(&upload).assert_refused(409, "is published already");
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
        fixture.get("/audit/head").assert_ok();
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
    assert_eq!(stores[1].verify_audit(&[]).unwrap().seq, 201);
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
    database.sql("UPDATE log_end SET layout = 2");
    store.challenge_key().unwrap();
    database.sql("UPDATE log_end SET layout = 3, serves = 2");
    let error = store.challenge_key().unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 3, known: 1 }), "{error}");
    let error = database.open().unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 3, known: 1 }), "{error}");
}

#[test]
fn a_text_with_a_null_character_is_nowhere() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    fixture.get("/api/v1/crates?q=a%00bc").assert_ok();
    fixture.get("/index/he/ll/hel%00lo").assert_refused(404, "");
}
