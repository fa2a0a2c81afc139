//! Several gateways that serve one store in a real PostgreSQL.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::config::{Config, PostgresConfig, UpstreamConfig};
use registry_gateway::store::postgres::{CONNECTIONS, Postgres, WRITERS};
use registry_gateway::store::{Intent, Outcome, Signed, SpendError, Store, StoreError};
use registry_gateway::store_place::StorePlace;
use registry_gateway::vault::Vault;
use registry_gateway::{Gateway, StartError};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use transparency_log::SignedCheckpoint;

use crate::common::bearer_registry::{BearerRegistry, Say};
use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::issuer::{Issuer, Key};
use crate::common::served::{Served, program, signal};
use crate::common::witnessed::WitnessFolder;
use crate::common::{Fixture, Response, SoftwareKey, Upload};
use crate::cosigning::{entry, log_key};
use crate::publishers::{TOKENS, exchange};

const URL: &str = "http://crates.test";
const INDEX_URL: &str = "sparse+http://crates.test/index/";
const YANK: &str = "DELETE /api/v1/crates/hello/1.0.0/yank";
const PUBLISH: &str = "PUT /api/v1/crates/new";
const INDEX_FILE: &str = "GET /index/he/ll/hello";
/// Far longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// A gateway of this process.
pub(crate) fn gateway(database: &Database, change: impl FnOnce(&mut Config)) -> Fixture {
    Fixture::with(|config| {
        config.store = database.place(OWNER);
        config.url = Some(URL.to_owned());
        change(config);
    })
}

fn two(database: &Database) -> [Fixture; 2] {
    [(); 2].map(|()| gateway(database, |_| {}))
}

fn yank_of(name: &str) -> Mutation {
    Mutation::Yank { name: name.parse().unwrap(), version: "1.0.0".parse().unwrap() }
}

fn yank(gateway: &Fixture, name: &str) -> Response {
    let token = gateway.token(yank_of(name));
    gateway.send("DELETE", &format!("/api/v1/crates/{name}/1.0.0/yank"), Some(&token), b"")
}

/// Of all intents and outcomes: the mutation, or the outcome, with a word before it if it came late.
fn log(database: &Database) -> Vec<String> {
    let entries = store(database).audit_entries(1, 999).unwrap();
    let words = |entry: &String| {
        let entry: Value = serde_json::from_str(entry).unwrap();
        let late = if entry["late"] == true { "late " } else { "" };
        let word = entry["mutation"].as_str().or(entry["outcome"].as_str())?;
        Some(format!("{late}{word}"))
    };
    entries.iter().filter_map(words).collect()
}

fn store(database: &Database) -> Store {
    Store::at(&database.place(OWNER), &PostgresConfig::default()).unwrap()
}

#[track_caller]
pub(crate) fn is_whole(database: &Database) {
    let verified = database.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(database.sql("SELECT count(*) FROM open_intent"), "0");
    assert_eq!(database.sql("SELECT count(*) FROM turn"), "0");
}

/// The gateway that listens there has not been heard of for a minute.
fn silence(database: &Database, address: &str) {
    let silent = "UPDATE gateway SET heartbeat = heartbeat - INTERVAL '1 min'";
    database.sql(&format!("{silent} WHERE name LIKE '%({address})'"));
}

fn ten_minutes_pass(database: &Database) {
    database.sql("UPDATE open_intent SET begun = begun - INTERVAL '10 min'");
}

/// What a gateway writes down before a change. It ends there.
fn begin(store: &Store, signer: &Fixture) -> Result<Intent, SpendError> {
    let (mutation, now) = (yank_of("hello"), Timestamp::now());
    let (token, key) = (signer.token(mutation.clone()), signer.publish.public.id());
    let single_use_key = token.clone();
    store.begin(&Signed { token, key, mutation, single_use_key, challenge: None, kept_until: now, now })
}

/// However many wait for their turn to write.
#[test]
fn there_are_connections_for_readers() {
    let Some(database) = Database::new() else { return };
    let gateway = gateway(&database, |_| {});
    gateway.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let holder = database.psql("BEGIN; SELECT layout FROM log_end FOR UPDATE;");
    let waiting = || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        database.sql(waiting).parse::<usize>().unwrap()
    };
    thread::scope(|scope| {
        let change = || gateway.running().store().can_be_changed();
        let changing = [(); 2 * CONNECTIONS].map(|()| scope.spawn(change));
        while waiting() < WRITERS {}
        for _ in 0..CONNECTIONS {
            gateway.get("/api/v1/crates/hello/1.0.0/download").assert_ok();
        }
        assert_eq!(waiting(), WRITERS);
        drop(holder);
        let changed = changing.into_iter().filter_map(|change| change.join().unwrap().ok());
        assert!(changed.count() >= WRITERS);
    });
}

/// While programs of two versions serve the store, one of them makes a change in steps, and its crate's turn is its own meanwhile.
#[test]
fn a_change_waits_for_one_that_another_program_makes_in_steps() {
    let Some(database) = Database::new() else { return };
    let [one, other] = two(&database);
    one.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let intent = begin(one.running().store(), &one).unwrap();
    database.sql(&format!("INSERT INTO turn (crate, intent) VALUES ('hello', {})", intent.seq));
    thread::scope(|scope| {
        let yanking = scope.spawn(|| yank(&other, "hello"));
        let looked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND query LIKE 'SELECT open_intent.seq, open_intent.epoch%'";
        while !yanking.is_finished() && database.sql(looked) == "0" {
            thread::yield_now();
        }
        assert!(!yanking.is_finished());
        let failed = Outcome::Failed("it was not made".to_owned());
        one.running().store().settle(&intent, &failed, Timestamp::now()).unwrap();
        yanking.join().unwrap().assert_ok();
    });
    assert_eq!(log(&database)[2..], ["yank", "failed", "yank", "done"]);
    assert_eq!(database.sql("SELECT count(*) FROM turn"), "0");
}

#[test]
fn each_has_what_the_other_did() {
    let Some(database) = Database::new() else { return };
    let [one, other] = two(&database);
    let upload = Upload::new("hello", "1.0.0");
    one.publish(&upload).assert_ok();
    assert_eq!(other.get("/api/v1/crates/hello/1.0.0/download").body, upload.file);
    yank(&other, "hello").assert_ok();
    assert!(one.get("/index/he/ll/hello").text().contains("\"yanked\":true"));
    let names: Vec<_> =
        store(&database).living_gateways().unwrap().into_iter().map(|gateway| gateway.name).collect();
    let addresses = [&one, &other].map(|gateway| format!("({})", gateway.running().address()));
    assert!(
        names.len() == 2 && names.iter().zip(&addresses).all(|(name, at)| name.ends_with(at)),
        "{names:?}"
    );
    drop(one);
    other.publish(&Upload::new("hello", "1.1.0")).assert_ok();
    assert_eq!(store(&database).living_gateways().unwrap().len(), 1);
    drop(other);
    assert_eq!(store(&database).living_gateways().unwrap(), []);
    is_whole(&database);
}

/// Runs the same at both, at the same moment; returns the statuses, sorted.
fn at_both(gateways: &[Fixture; 2], request: impl Fn(&Fixture) -> u16 + Sync) -> [u16; 2] {
    let barrier = Barrier::new(2);
    let mut statuses = thread::scope(|scope| {
        let both = gateways.each_ref().map(|gateway| {
            scope.spawn(|| {
                barrier.wait();
                request(gateway)
            })
        });
        both.map(|one| one.join().unwrap())
    });
    statuses.sort_unstable();
    statuses
}

#[test]
fn a_token_is_good_at_one_of_them() {
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    gateways[0].publish(&Upload::new("hello", "1.0.0")).assert_ok();
    for round in 0..10 {
        let token = gateways[0].token(yank_of("hello"));
        let yank = |gateway: &Fixture| {
            gateway.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"").status
        };
        assert_eq!(at_both(&gateways, yank), [200, 401], "round {round}");
    }
    is_whole(&database);
}

/// So is what it gives back: nobody else has to be told.
#[test]
fn an_identity_token_is_exchanged_at_one_of_them() {
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    let key = Key::p256(1);
    let issuer = Issuer::new(&[("one", &key)]);
    let add = ["publisher", "add", "acme-ci", "--reads-as", "bob", "--crate", "widget"];
    let claim = ["--issuer", &issuer.url, "--claim", "repository=acme/widget"];
    database.succeeds(&[&add[..], &claim].concat());
    let signed = || key.sign(&json!({ "alg": "ES256", "kid": "one" }), &issuer.github("crates.test"));
    let token = signed();
    let mut statuses = at_both(&gateways, |gateway| exchange(gateway, &token).status);
    statuses.sort();
    assert_eq!(statuses, [200, 401]);
    let answer = exchange(&gateways[0], &signed());
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let is_good = |gateway: &Fixture| gateway.running().store().stager(&token).unwrap().is_some();
    assert!(gateways.iter().all(is_good));
    let given_back = gateways[1].send("DELETE", TOKENS, Some(&format!("Bearer {token}")), b"");
    assert_eq!(given_back.status, 204);
    assert!(!gateways.iter().any(is_good));
}

#[test]
fn a_version_is_published_by_one_of_them() {
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    for round in 0..10 {
        let version = format!("1.0.{round}");
        // A large one is sent piece by piece.
        let upload = match round % 2 {
            0 => Upload::new("hello", &version),
            _ => Upload::large("hello", &version, 400 << 10),
        };
        assert_eq!(
            at_both(&gateways, |gateway| gateway.publish(&upload).status),
            [200, 409],
            "round {round}"
        );
    }
    database.has_nothing_left_over();
    is_whole(&database);
}

#[test]
fn other_settings_than_those_that_serve_have() {
    let Some(database) = Database::new() else { return };
    let one = gateway(&database, |_| {});
    let start = |change: fn(&mut Config)| {
        let mut config = one.config.clone();
        config.listen.set_port(0);
        change(&mut config);
        Gateway::start(config)
    };
    let others: [(_, fn(&mut Config)); 9] = [
        ("index-url", |config| config.url = Some("http://other.test".to_owned())),
        ("window", |config| config.window = Duration::from_secs(60)),
        ("skew", |config| config.skew = Duration::from_secs(1)),
        ("challenges", |config| config.challenges = registry_gateway::challenge::Challenges::Required),
        ("owners", |config| config.owners = registry_gateway::config::Owners::Change),
        ("reads", |config| config.reads = registry_gateway::config::Reads::Open),
        ("max-crate", |config| config.max_crate = 1 << 20),
        ("policy in [attestation]", |config| {
            config.attestation.policy = registry_gateway::attestation::Mode::Record;
        }),
        ("approvals in [staging]", |config| config.staging.approvals = 2),
    ];
    for (wanted, change) in others {
        let error = start(change).unwrap_err();
        let StartError::Store(StoreError::Differs(difference)) = &error else { panic!("{error}") };
        assert_eq!(difference.setting, wanted);
        assert!(error.hint().unwrap().contains(wanted), "{error}");
    }
    let error = start(|config| config.window = Duration::from_secs(60)).unwrap_err().to_string();
    assert!(error.starts_with("`window` is 60 here, but 900 at the gateway "), "{error}");
    assert!(error.contains(&one.running().address().to_string()), "{error}");
    drop(one);
    drop(gateway(&database, |config| config.window = Duration::from_secs(60)));
}

/// Each asks the witness, and whoever asks now one of them and now the other sees one log that grows.
#[test]
fn two_gateways_show_the_same_cosignatures() {
    let Some(database) = Database::new() else { return };
    let mut one = gateway(&database, |_| {});
    let (folder, key) = (WitnessFolder::new(), log_key(&one));
    let served = folder.serve_key(&key);
    one.running.take().unwrap().stop();
    one.config.witness = vec![entry("somebody", &served.url, &folder.key)];
    one.running = Some(Gateway::start(one.config.clone()).unwrap());
    let own = tempfile::tempdir().unwrap();
    let mut config = one.config.clone();
    config.postgres.state = Some(own.path().join("state"));
    let running = Some(Gateway::start(config.clone()).unwrap());
    let [read, publish, bob] = [1, 2, 3].map(SoftwareKey::new);
    let other = Fixture { folder: own, running, config, read, publish, bob };
    let mut largest = 0;
    for number in 0..6 {
        let gateway = if number % 2 == 0 { &one } else { &other };
        let answer = gateway.publish(&Upload::new("hello", &format!("1.0.{number}")));
        answer.assert_ok();
        let size: u64 = answer.field("x-audit").unwrap().split(':').next().unwrap().parse().unwrap();
        let mut asked = [&one, &other].into_iter().cycle();
        let mut cosigned = 0;
        while cosigned < 4 {
            let answer = asked.next().unwrap().send("GET", "/log/checkpoint", None, b"");
            answer.assert_ok();
            let note: SignedCheckpoint = answer.text().parse().unwrap();
            let witness = std::slice::from_ref(&folder.key);
            let verified = note.verify(note.unverified().origin(), &key, witness).unwrap();
            assert!(verified.head.size >= largest, "{} after {largest}", verified.head.size);
            largest = verified.head.size;
            cosigned += usize::from(largest >= size && verified.cosignatures.len() == 1);
        }
    }
    let mut config = one.config.clone();
    config.listen.set_port(0);
    config.witness.clear();
    let error = Gateway::start(config).unwrap_err().to_string();
    assert!(error.starts_with("`witness` is none here, but witness.example.org/w1+"), "{error}");
}

/// It cannot write its heartbeat, and could be taken for dead at any moment.
#[test]
fn a_gateway_that_is_not_heard_of_spends_nothing() {
    let Some(database) = Database::new() else { return };
    let one = gateway(&database, |_| {});
    let begin = || begin(one.running().store(), &one);
    begin().unwrap();
    database.sql(
        "UPDATE gateway SET heartbeat = heartbeat - INTERVAL '1 min';
         CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''full''; END';
         CREATE TRIGGER fail BEFORE UPDATE ON gateway EXECUTE FUNCTION fail()",
    );
    assert!(matches!(begin(), Err(SpendError::NotAlive)));
    // It is heard of within seconds, and what comes meanwhile waits for that.
    database.sql("DROP TRIGGER fail ON gateway");
    one.publish(&Upload::new("hello", "1.0.0")).assert_ok();
}

/// The others do not wait for what it is sending, and it goes on when it counts as alive.
#[test]
fn a_publish_of_a_gateway_that_was_taken_for_dead() {
    let Some(database) = Database::new() else { return };
    let [one, other] = two(&database);
    one.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    let StorePlace::Postgres(url) = database.place(OWNER) else { panic!() };
    let postgres = Postgres::open(&url, &PostgresConfig::default()).unwrap();
    let session = postgres.session().unwrap();
    let run = |sql| session.wait(session.client().batch_execute(sql)).unwrap();
    run("BEGIN; LOCK TABLE piece IN SHARE MODE");
    let upload = Upload::large("hello", "2.0.0", 400 << 10);
    let status = thread::scope(|scope| {
        let publishing = scope.spawn(|| one.publish(&upload));
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        while database.sql(waiting) == "0" {
            thread::yield_now();
        }
        database.sql(&format!("DELETE FROM gateway WHERE name LIKE '%({})'", one.running().address()));
        yank(&other, "hello").assert_ok();
        assert_eq!(log(&database)[2..], ["yank", "done"]);
        run("ROLLBACK");
        publishing.join().unwrap()
    });
    // Others may have removed the pieces that it had sent.
    if status.status != 200 {
        status.assert_refused(503, "another attempt with the same file was given up");
        assert_eq!(other.get("/api/v1/crates/hello/2.0.0/download").status, 404);
        one.publish(&upload).assert_ok();
    }
    assert_eq!(other.get("/api/v1/crates/hello/2.0.0/download").body, upload.file);
    is_whole(&database);
}

#[test]
fn a_start_settles_what_nobody_is_at_work_on() {
    let Some(database) = Database::new() else { return };
    let one = gateway(&database, |_| {});
    let living = begin(one.running().store(), &one).unwrap();
    // By a program that has no heartbeat.
    let ended = begin(&store(&database), &one).unwrap();
    drop(gateway(&database, |_| {}));
    let open = store(&database).open_intents().unwrap();
    assert_eq!(open.iter().map(|intent| intent.seq).collect::<Vec<_>>(), [living.seq]);
    assert_ne!(living.seq, ended.seq);
    drop(one);
    drop(gateway(&database, |_| {}));
    assert_eq!(log(&database), ["yank", "yank", "failed", "failed"]);
    assert_eq!(store(&database).open_intents().unwrap(), []);
}

/// A registry behind gateways: one of this process, and programs that can be stopped and killed.
pub(crate) struct Behind {
    database: Database,
    pub(crate) registry: BearerRegistry,
    folder: TempDir,
    pub(crate) here: Fixture,
}

impl Behind {
    pub(crate) fn new() -> Option<Self> {
        let database = Database::new()?;
        let registry = BearerRegistry::start();
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        fs::write(&key_file, Vault::new_key().unwrap().as_bytes()).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let index = format!("{}/index/", registry.url());
        let config = folder.path().join("registry-gateway.toml");
        fs::write(&config, format!("[upstream]\nindex = \"{index}\"\nkey-file = \"key\"\n")).unwrap();
        let (also_known_as, timeout) = (Vec::new(), LONG);
        let vault = Vault::open(&key_file).unwrap();
        let upstream =
            UpstreamConfig { index, api: None, dl: None, also_known_as, key_file, ca_file: None, timeout };
        let here = gateway(&database, |config| config.upstream = Some(upstream));
        let alice = "alice".parse().unwrap();
        let sealed = vault.seal(&alice, "alices").unwrap();
        here.running().store().set_credential(&alice, &sealed, Timestamp::now()).unwrap();
        Some(Self { database, registry, folder, here })
    }

    /// Another gateway, and its address.
    pub(crate) fn there(&self) -> (Served, String) {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = program(Path::new(&self.database.url()));
        command.env("REGISTRY_GATEWAY_LOG", "off");
        let config = self.folder.path().join("registry-gateway.toml");
        let arguments = ["--listen", &address, "--url", URL, "--config", config.to_str().unwrap()];
        let mut served = Served::of(command, &arguments);
        assert_eq!(served.index_url, INDEX_URL);
        served.index_url = format!("sparse+http://{address}/index/");
        (served, address)
    }

    /// The registry behind says that it was asked for a change, and makes it when it may go on.
    fn holds(&self, request: &str) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (asked, has_asked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let held = Say::Ask(Arc::new(move |_| {
            asked.send(()).unwrap();
            let _ = may_go_on.lock().unwrap().recv_timeout(LONG);
            Say::ok("{}")
        }));
        self.registry.on(request, held);
        (has_asked, go_on)
    }

    /// A gateway is stopped while the registry behind is at work on its publish. It wakes with the answer, after all this.
    fn stopped_while_it_publishes(
        &self,
        there: &Served,
        upload: &Upload,
        token: &str,
        meanwhile: impl FnOnce(),
    ) {
        let (has_asked, go_on) = self.holds(PUBLISH);
        thread::scope(|scope| {
            let publishing = scope.spawn(|| there.send("PUT", "/api/v1/crates/new", token, &upload.body()));
            has_asked.recv_timeout(LONG).unwrap();
            signal(there.child.id(), Signal::STOP);
            meanwhile();
            go_on.send(()).unwrap();
            signal(there.child.id(), Signal::CONT);
            publishing.join().unwrap().assert_ok();
        });
    }

    fn token(&self, mutation: Mutation) -> String {
        self.here.publish.token(INDEX_URL, &Claims::mutate(Timestamp::now(), mutation))
    }

    fn yank_at(&self, served: &Served, name: &str) -> Response {
        let path = format!("/api/v1/crates/{name}/1.0.0/yank");
        served.send("DELETE", &path, &self.token(yank_of(name)), b"")
    }
}

#[test]
fn changes_of_a_crate_take_turns_among_gateways() {
    let Some(behind) = Behind::new() else { return };
    let (there, _) = behind.there();
    let (has_asked, go_on) = behind.holds(YANK);
    behind.registry.on("DELETE /api/v1/crates/other/1.0.0/yank", Say::ok("{}"));
    thread::scope(|scope| {
        let first = scope.spawn(|| behind.yank_at(&there, "hello"));
        has_asked.recv_timeout(LONG).unwrap();
        // It is touched neither by a start nor by an administrator, and holds nobody up who changes another crate.
        let (third, _) = behind.there();
        behind.yank_at(&third, "other").assert_ok();
        let seq = behind.database.sql("SELECT seq FROM open_intent");
        let settled = behind.database.run(&["change", "settle", &seq, "--not-done"]);
        let said = String::from_utf8(settled.stderr).unwrap();
        assert!(said.contains("the yank of hello 1.0.0 is in progress"), "{said}");
        let listed = String::from_utf8(behind.database.run(&["change", "list"]).stdout).unwrap();
        assert!(listed.contains("it is in progress at the gateway "), "{listed}");
        let second = scope.spawn(|| yank(&behind.here, "hello"));
        assert!(has_asked.recv_timeout(Duration::from_millis(200)).is_err(), "it waits for its turn");
        go_on.send(()).unwrap();
        first.join().unwrap().assert_ok();
        has_asked.recv_timeout(LONG).unwrap();
        go_on.send(()).unwrap();
        second.join().unwrap().assert_ok();
    });
    assert_eq!(log(&behind.database), ["yank", "yank", "done", "done", "yank", "done"]);
    // Who does not know what came of a change lets others have the turn.
    behind.registry.on(YANK, Say::HangUp);
    assert_eq!(behind.yank_at(&there, "hello").status, 502);
    behind.registry.on(YANK, Say::ok("{}"));
    yank(&behind.here, "hello").assert_ok();
}

#[test]
fn a_gateway_that_is_killed_during_a_change() {
    let Some(behind) = Behind::new() else { return };
    let (mut there, address) = behind.there();
    let (has_asked, _go_on) = behind.holds(YANK);
    let mut stream = there.connect().unwrap();
    let token = behind.token(yank_of("hello"));
    let request = format!(
        "DELETE /api/v1/crates/hello/1.0.0/yank HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    has_asked.recv_timeout(LONG).unwrap();
    there.child.kill().unwrap();
    there.child.wait().unwrap();
    behind.registry.on(YANK, Say::ok("{}"));
    silence(&behind.database, &address);
    let token = behind.here.token(yank_of("hello"));
    let again = || behind.here.send("DELETE", "/api/v1/crates/hello/1.0.0/yank", Some(&token), b"");
    let refused = again();
    refused.assert_refused(503, "the gateway that made it has ended, and the registry behind is given until");
    let seconds: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((500..=601).contains(&seconds), "{seconds}");
    let listed = String::from_utf8(behind.database.run(&["change", "list"]).stdout).unwrap();
    assert!(listed.contains("the gateway stopped during it, and no other has checked it yet"), "{listed}");
    // Also by one that starts.
    let (third, _) = behind.there();
    assert_eq!(behind.yank_at(&third, "hello").status, 503);
    assert_eq!(log(&behind.database), ["yank"]);
    ten_minutes_pass(&behind.database);
    again().assert_ok();
    assert_eq!(log(&behind.database), ["yank", "failed", "yank", "done"]);
    is_whole(&behind.database);
}

/// Without anybody's asking for it; but not before its time, when only an administrator may.
#[test]
fn what_a_gateway_has_left_is_settled_in_time() {
    let Some(behind) = Behind::new() else { return };
    // The oldest is looked at first.
    let begun = [(); 3].map(|()| begin(&store(&behind.database), &behind.here).unwrap());
    let seq = begun[0].seq.to_string();
    assert!(behind.database.run(&["change", "settle", &seq, "--not-done"]).status.success());
    let is_old = "UPDATE open_intent SET begun = begun - INTERVAL '10 min'";
    behind.database.sql(&format!("{is_old} WHERE seq = {}", begun[2].seq));
    let (_third, _) = behind.there();
    while log(&behind.database).len() < 5 {
        thread::yield_now();
    }
    let open = store(&behind.database).open_intents().unwrap();
    assert_eq!(open.iter().map(|intent| intent.seq).collect::<Vec<_>>(), [begun[1].seq]);
}

/// It sleeps through its own death, and wakes with what the registry behind has answered.
#[test]
fn an_outcome_that_comes_late() {
    let Some(behind) = Behind::new() else { return };
    let (there, address) = behind.there();
    let upload = Upload::new("hello", "1.0.0");
    behind.registry.on(YANK, Say::ok("{}"));
    let token = behind.token(upload.mutation());
    behind.stopped_while_it_publishes(&there, &upload, &token, || {
        behind.database.sql(&format!("DELETE FROM gateway WHERE name LIKE '%({address})'"));
        ten_minutes_pass(&behind.database);
        yank(&behind.here, "hello").assert_ok();
        assert_eq!(log(&behind.database), ["publish", "failed", "yank", "done"]);
        is_whole(&behind.database);
    });
    assert_eq!(log(&behind.database)[4..], ["late done"]);
    let records = store(&behind.database).published(None).unwrap();
    assert_eq!(records.iter().map(|record| &record.token).collect::<Vec<_>>(), [&token]);
    is_whole(&behind.database);
    // It has begun anew.
    behind.registry.on(PUBLISH, Say::ok("{}"));
    let next = Upload::new("hello", "2.0.0");
    there.send("PUT", "/api/v1/crates/new", &behind.token(next.mutation()), &next.body()).assert_ok();
    is_whole(&behind.database);
}

/// What the index said was right, and so is nothing to be corrected.
#[test]
fn an_outcome_that_comes_late_and_was_found_out() {
    let Some(behind) = Behind::new() else { return };
    let (there, address) = behind.there();
    let upload = Upload::new("hello", "1.0.0");
    behind.registry.on(YANK, Say::ok("{}"));
    let line = json!({ "vers": "1.0.0", "cksum": upload.checksum().to_string(), "yanked": false });
    behind.registry.on(INDEX_FILE, Say::ok(line.to_string()));
    let token = behind.token(upload.mutation());
    behind.stopped_while_it_publishes(&there, &upload, &token, || {
        silence(&behind.database, &address);
        ten_minutes_pass(&behind.database);
        yank(&behind.here, "hello").assert_ok();
    });
    assert_eq!(log(&behind.database), ["publish", "done", "yank", "done"]);
    is_whole(&behind.database);
}
