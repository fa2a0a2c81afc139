//! A PostgreSQL that fails: what people and operators are told meanwhile, and that nothing is lost.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use registry_gateway::config::{PostgresConfig, Reads};
use registry_gateway::store::Store;
use registry_gateway::store_place::StorePlace;
use rustix::process::Signal;
use serde_json::json;

use crate::common::bearer_registry::Say;
use crate::common::cluster::{Cluster, OWNER};
use crate::common::front::Front;
use crate::common::network::{Commit, Network, Weather};
use crate::common::served::{Served, program, signal};
use crate::common::{Fixture, Response, Upload, crate_file};

/// How long a change and a read wait for a database at most, as docs/gateway.md says.
const CHANGE: Duration = Duration::from_secs(30);
const READ: Duration = Duration::from_secs(10);
const NOTHING_CHANGED: &str = "failed before anything was changed";
const NO_ANSWER: &str = "the registry's database does not answer";

/// A database with a store, and a network on the way to it.
struct Database<'a> {
    cluster: &'a Cluster,
    name: String,
    network: Network,
}

impl Database<'static> {
    /// `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        Cluster::shared().map(Self::of)
    }
}

impl<'a> Database<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let name = cluster.database();
        Self::named(cluster, name)
    }

    fn named(cluster: &'a Cluster, name: String) -> Self {
        let database = Self { network: Network::to(cluster.socket()), cluster, name };
        let StorePlace::Postgres(url) = database.directly() else { panic!() };
        Store::migrate_postgres(&url, &PostgresConfig::default()).unwrap();
        database
    }

    /// Not over the network.
    fn directly(&self) -> StorePlace {
        self.cluster.url(OWNER, &self.name).parse().unwrap()
    }

    fn url(&self, user: &str) -> String {
        format!("postgres://{user}@{}/{}", self.network.address, self.name)
    }

    fn store(&self) -> Store {
        Store::at(&self.url(OWNER).parse().unwrap(), &PostgresConfig::default()).unwrap()
    }

    fn gateway(&self) -> Fixture {
        self.gateway_as(OWNER)
    }

    /// From now on the log is not signed, so that no COMMIT is another one's than the publish's.
    fn signs_no_more(&self) {
        while self.sql("SELECT count(*) FROM checkpoint WHERE size = (SELECT size FROM log_end)") == "0" {}
        self.sql("ALTER TABLE checkpoint ADD CONSTRAINT no_more CHECK (false) NOT VALID");
    }

    fn gateway_as(&self, user: &str) -> Fixture {
        Fixture::with(|config| {
            config.store = self.url(user).parse().unwrap();
            config.metrics = Some("127.0.0.1:0".parse().unwrap());
        })
    }

    fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    fn end_sessions(&self) {
        let name = &self.name;
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        self.cluster.sql("postgres", &end);
    }

    /// The outcomes of the log, and what was settled is in it with its intent.
    fn outcomes(&self) -> Vec<String> {
        let outcomes =
            "SELECT entry::json->>'outcome' FROM audit WHERE entry::json->>'kind' = 'outcome' ORDER BY seq";
        self.sql(outcomes).lines().map(ToOwned::to_owned).collect()
    }
}

pub(crate) fn operators(fixture: &Fixture, path: &str) -> Response {
    let mut stream = TcpStream::connect(fixture.running().metrics_address().unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    Response::read(stream)
}

/// Refused, and when to come again is said, after no longer than was promised.
#[track_caller]
fn assert_unavailable(within: Duration, ask: impl FnOnce() -> Response, text: &str) {
    let asked = Instant::now();
    let response = ask();
    response.assert_refused(503, text);
    assert!(response.field("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "{response:?}");
    assert!(asked.elapsed() < within, "{:?}", asked.elapsed());
}

fn retried_until(is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < until, "it does not recover");
        thread::sleep(Duration::from_millis(20));
    }
}

/// While the database is in some state, and after that.
struct Failing<'a> {
    fixture: &'a Fixture,
    upload: Upload,
    token: String,
}

impl<'a> Failing<'a> {
    /// Nothing is changed, and the token is as good as before. These are not read either.
    #[track_caller]
    fn refused(fixture: &'a Fixture, version: &str, why: &str, not_ready: &str, reads: &[&str]) -> Self {
        let upload = Upload::new("hello", version);
        let token = fixture.publish_token(&upload);
        // At once, because each waits as long as it may.
        thread::scope(|scope| {
            for path in reads {
                scope.spawn(|| assert_unavailable(READ, || fixture.get(path), NO_ANSWER));
            }
            scope.spawn(|| {
                operators(fixture, "/healthz").assert_ok();
                // A connection that was kept from before may have its own say first.
                retried_until(|| {
                    let ready = operators(fixture, "/readyz");
                    assert_eq!(ready.status, 503, "{}", ready.text());
                    ready.text().contains(not_ready)
                });
            });
            assert_unavailable(CHANGE, || fixture.put_new(&token, &upload), why);
        });
        Self { fixture, upload, token }
    }

    /// With the same token, by the same process.
    #[track_caller]
    fn recovers(self) {
        retried_until(|| operators(self.fixture, "/readyz").status == 200);
        self.fixture.put_new(&self.token, &self.upload).assert_ok();
        self.fixture.put_new(&self.token, &self.upload).assert_refused(401, "used before");
        self.fixture.get("/index/he/ll/hello").assert_ok();
    }
}

/// The query that is under way was answered before the change was committed that they come after.
#[test]
fn whoever_asks_during_a_query_waits_for_the_next_one() {
    let Some(database) = Database::new() else { return };
    let (store, direct) =
        (database.store(), Store::at(&database.directly(), &PostgresConfig::default()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let old = store.revision().await.unwrap();
        database.network.is(Weather::NoAnswers);
        let mut first = pin!(store.revision());
        assert!(first.as_mut().now_or_never().is_none());
        database.network.keeps_an_answer();
        direct.add_user(&"alice".parse().unwrap(), false, Timestamp::UNIX_EPOCH).unwrap();
        let mut second = pin!(store.revision());
        assert!(second.as_mut().now_or_never().is_none());
        database.network.is(Weather::Good);
        assert_eq!(first.await.unwrap(), old);
        assert_ne!(second.await.unwrap(), old);
    });
}

/// Another server may answer there, and have lost the last changes.
#[test]
fn a_revision_of_another_connection_is_another_one() {
    let Some(database) = Database::new() else { return };
    let store = database.store();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let revision = || runtime.block_on(store.revision());
    let old = revision().unwrap();
    assert_eq!(revision().unwrap(), old);
    database.network.is(Weather::Away);
    assert!(revision().is_err());
    database.network.is(Weather::Good);
    assert_ne!(revision().unwrap(), old);
}

/// They are answered without what was known before, and no thread waits with them.
#[test]
fn readers_of_a_database_that_does_not_answer() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    let token = fixture.read_token();
    let url = fixture.url().to_owned();
    let address = fixture.running().address();
    drop(fixture);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = program(Path::new(&database.url(OWNER)));
    command.stderr(log.reopen().unwrap());
    let served = Served::of(
        command,
        &[
            "--listen",
            &address.to_string(),
            "--url",
            url.trim_start_matches("sparse+").trim_end_matches("/index/"),
        ],
    );
    served.get("/index/he/ll/hello", &token).assert_refused(404, "");
    let threads = || fs::read_dir(format!("/proc/{}/task", served.child.id())).unwrap().count();
    let before = threads();
    database.network.is(Weather::Silent);
    let request = format!(
        "GET /index/he/ll/hello HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    );
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = served.connect().unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let (mut most, first) = (0, &waiting[0]);
    first.set_nonblocking(true).unwrap();
    while first.peek(&mut [0]).is_err() {
        most = most.max(threads());
        thread::sleep(Duration::from_millis(10));
    }
    first.set_nonblocking(false).unwrap();
    assert!(most <= before + 2, "{most} threads, and {before} before");
    for stream in waiting {
        assert_unavailable(READ, || Response::read(stream), NO_ANSWER);
    }
    database.network.is(Weather::Good);
    retried_until(|| served.get("/index/he/ll/hello", &token).status == 404);
    let log = fs::read_to_string(log.path()).unwrap();
    for once in ["the store's database does not answer", "the store's database answers again"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
}

/// An hour ahead of this computer's.
#[test]
fn the_databases_clock_is_the_one_that_counts() {
    let Some(database) = Database::new() else { return };
    database.sql(
        "CREATE SCHEMA ahead;
         CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
             'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''",
    );
    database.sql(&format!("ALTER DATABASE {} SET search_path = ahead, pg_catalog, public", database.name));
    let fixture = database.gateway();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_refused(401, "");
    let there = Timestamp::now() + SignedDuration::from_hours(1);
    let token = fixture.publish.token(fixture.url(), &Claims::mutate(there, upload.mutation()));
    fixture.put_new(&token, &upload).assert_ok();
    let read = |time| {
        let token = fixture.read.token(fixture.url(), &Claims::read(time));
        fixture.send("GET", "/index/he/ll/hello", Some(&token), b"").status
    };
    assert_eq!([read(there), read(Timestamp::now())], [200, 401]);
    let behind = database.sql(
        "SELECT count(*) FROM audit WHERE (entry::json->>'time')::timestamptz < now() + interval '50 minutes'",
    );
    // The fixture's keys were registered with a time of the test's own.
    assert_eq!(behind, database.sql("SELECT count(*) FROM audit WHERE entry::json->>'kind' = 'key'"));
}

/// It was carried out, and that is found out.
#[test]
fn a_commit_whose_answer_is_lost() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    database.signs_no_more();
    database.network.after_commits(0, Commit::Unanswered);
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    assert_eq!(database.outcomes(), ["done"]);
}

/// A gateway on this database, in front of a registry that takes everything.
fn front(database: &Database<'_>) -> Front {
    let front = Front::with(|config| config.store = database.url(OWNER).parse().unwrap());
    front.registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    database.signs_no_more();
    front
}

/// Whichever COMMIT of a publish in front of a registry it is.
#[test]
fn a_commit_whose_answer_is_lost_in_front_of_a_registry() {
    let Some(database) = Database::new() else { return };
    let front = front(&database);
    for (others, version) in ["1.0.0", "2.0.0"].into_iter().enumerate() {
        database.network.after_commits(others as u32, Commit::Unanswered);
        front.gateway.publish(&Upload::new("hello", version)).assert_ok();
    }
    assert_eq!(database.outcomes(), ["done"; 2]);
    assert_eq!(database.sql("SELECT count(*) FROM open_intent"), "0");
}

/// It is found out that it was not carried out: nothing was made, and the token is as good as before.
#[test]
fn a_commit_that_is_lost() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    database.signs_no_more();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    database.network.after_commits(0, Commit::Lost);
    assert_unavailable(CHANGE, || fixture.put_new(&token, &upload), NOTHING_CHANGED);
    fixture.put_new(&token, &upload).assert_ok();
    fixture.put_new(&token, &upload).assert_refused(401, "used before");
    assert_eq!(database.outcomes(), ["done"]);
}

/// The registry has nothing of it, or it has, and that is on record later.
#[test]
fn a_commit_that_is_lost_in_front_of_a_registry() {
    let Some(database) = Database::new() else { return };
    let front = front(&database);
    let upload = Upload::new("hello", "1.0.0");
    let token = front.gateway.publish_token(&upload);
    database.network.after_commits(0, Commit::Lost);
    assert_unavailable(CHANGE, || front.gateway.put_new(&token, &upload), NOTHING_CHANGED);
    assert!(front.registry.received().is_empty());
    database.network.after_commits(1, Commit::Lost);
    front.gateway.put_new(&token, &upload).assert_refused(500, "that is not in the audit log yet");
    assert_eq!(database.sql("SELECT count(*) FROM open_intent"), "1");
    front.gateway.publish(&Upload::new("other", "1.0.0")).assert_ok();
    assert_eq!(database.outcomes(), ["done"; 2]);
}

/// At once, because each takes as long as it may.
#[test]
fn a_commit_that_is_waited_for() {
    let (Some(one), Some(other)) = (Database::new(), Database::new()) else { return };
    thread::scope(|scope| {
        scope.spawn(|| a_commit_that_does_not_arrive(&one));
        a_commit_of_which_nothing_can_be_found_out(&other);
    });
}

/// The server has waited for it too, and has given the transaction up.
fn a_commit_that_does_not_arrive(database: &Database<'_>) {
    let fixture = database.gateway();
    database.signs_no_more();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    database.network.after_commits(0, Commit::Stuck);
    assert_unavailable(CHANGE, || fixture.put_new(&token, &upload), NOTHING_CHANGED);
    fixture.put_new(&token, &upload).assert_ok();
    assert_eq!(database.outcomes(), ["done"]);
}

/// That is what is said. It was carried out, as turns out later.
fn a_commit_of_which_nothing_can_be_found_out(database: &Database<'_>) {
    let fixture = database.gateway();
    database.signs_no_more();
    let upload = Upload::new("hello", "1.0.0");
    let token = fixture.publish_token(&upload);
    database.network.after_commits(0, Commit::UnansweredAndAway);
    let said = "did not say whether this was done";
    assert_unavailable(CHANGE, || fixture.put_new(&token, &upload), said);
    database.network.is(Weather::Good);
    retried_until(|| operators(&fixture, "/readyz").status == 200);
    fixture.put_new(&token, &upload).assert_refused(401, "used before");
    fixture.publish(&upload).assert_refused(409, "already published");
    assert_eq!(database.outcomes(), ["done"]);
    assert_eq!(database.sql("SELECT count(*) FROM open_intent"), "0");
}

#[test]
fn a_database_that_cannot_be_reached() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "0.0.1")).assert_ok();
    for (weather, version, not_ready) in
        [(Weather::Away, "1.0.0", "no PostgreSQL can be used"), (Weather::Silent, "2.0.0", "2 seconds")]
    {
        database.network.is(weather);
        let reads = ["/index/he/ll/hello", "/api/v1/crates/hello/0.0.1/download", "/api/v1/crates?q=hello"];
        let failing = Failing::refused(&fixture, version, NO_ANSWER, not_ready, &reads);
        database.network.is(Weather::Good);
        failing.recovers();
    }
    assert_eq!(database.outcomes(), ["done"; 3]);
}

/// Nobody's key has to be looked up there.
#[test]
fn an_open_index_of_a_registry_behind_is_read_without_the_database() {
    let Some(database) = Database::new() else { return };
    let front = Front::with(|config| {
        config.store = database.url(OWNER).parse().unwrap();
        config.reads = Reads::Open;
    });
    front.registry.on("GET /index/he/ll/hello", Say::ok("{}"));
    for weather in [Weather::Good, Weather::Away, Weather::Silent] {
        database.network.is(weather);
        let read = front.gateway.send("GET", "/index/he/ll/hello", None, b"");
        assert_eq!((read.status, read.text().as_str()), (200, "{}"), "{weather:?}");
    }
    assert_unavailable(CHANGE, || front.yank(), NO_ANSWER);
    database.network.is(Weather::Good);
}

/// Where reading needs no token, nothing but the reading itself finds out.
#[test]
fn an_open_index_of_its_own() {
    let Some(database) = Database::new() else { return };
    let fixture = Fixture::with(|config| {
        config.store = database.url(OWNER).parse().unwrap();
        config.reads = Reads::Open;
    });
    database.network.is(Weather::Silent);
    assert_unavailable(READ, || fixture.send("GET", "/index/he/ll/hello", None, b""), NO_ANSWER);
    database.network.is(Weather::Good);
}

/// As a role whom the limit is for: superusers have places of their own.
#[test]
fn a_database_without_connections_to_spare() {
    let Some(database) = Database::new() else { return };
    let (name, role) = (&database.name, format!("of_{}", database.name));
    database.sql(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    let fixture = database.gateway_as(&role);
    database.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 0"));
    database.end_sessions();
    let failing = Failing::refused(&fixture, "1.0.0", NO_ANSWER, "too many connections for role", &[]);
    database.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
    failing.recovers();
    database.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    database.end_sessions();
    let failing = Failing::refused(&fixture, "2.0.0", NO_ANSWER, "it is read-only", &[]);
    database.cluster.sql("postgres", &format!("ALTER DATABASE {name} RESET ALL"));
    failing.recovers();
}

/// A server of the test's own, because others would suffer with it.
#[test]
fn a_server_that_is_read_only_or_frozen_or_restarted() {
    let Some(cluster) = Cluster::with(5432, &[], &[]) else { return };
    let database = Database::of(&cluster);
    let fixture = database.gateway();
    fixture.publish(&Upload::new("hello", "0.0.1")).assert_ok();
    let read_only = |is: &str| {
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {is}");
        cluster.sql("postgres", &set);
        cluster.sql("postgres", "SELECT pg_reload_conf()");
        retried_until(|| cluster.sql("postgres", "SHOW default_transaction_read_only") == is);
    };
    read_only("on");
    retried_until(|| operators(&fixture, "/readyz").status == 503);
    let failing = Failing::refused(&fixture, "1.0.0", "", "read-only", &[]);
    // By a connection from before, when nobody else has it: no new one is made.
    retried_until(|| fixture.get("/index/he/ll/hello").status == 200);
    read_only("off");
    failing.recovers();

    let frozen = cluster.freeze();
    let failing = Failing::refused(&fixture, "2.0.0", NO_ANSWER, "2 seconds", &[]);
    frozen.go_on();
    failing.recovers();

    signal(cluster.postmaster(), Signal::QUIT);
    retried_until(|| !cluster.is_running());
    let failing = Failing::refused(&fixture, "3.0.0", NO_ANSWER, "check whether it runs", &[]);
    cluster.run_again();
    failing.recovers();
    assert_eq!(database.outcomes(), ["done"; 4]);
}

/// A transaction is on the primary before it is on a standby. Its row there does not say yet that a failover keeps it.
#[test]
fn a_commit_without_an_answer_is_told_when_a_standby_has_it() {
    let Some(cluster) = Cluster::with(5432, &[], &[]) else { return };
    let database = Database::of(&cluster);
    let fixture = database.gateway();
    database.signs_no_more();
    let standbys = |names: &str| {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        cluster.sql("postgres", "SELECT pg_reload_conf()");
        retried_until(|| cluster.sql("postgres", "SHOW synchronous_standby_names") == names);
    };
    let waiting = |query: &str| {
        let waiting = format!(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '{query}' LIMIT 1"
        );
        cluster.sql("postgres", &waiting)
    };
    standbys("nobody");
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fixture.publish(&Upload::new("hello", "1.0.0")));
        retried_until(|| !waiting("COMMIT").is_empty());
        let end = format!("SELECT pg_terminate_backend({}, 10000)", waiting("COMMIT"));
        cluster.sql("postgres", &end);
        let asks = "BEGIN%FROM attempt WHERE id = %";
        retried_until(|| {
            publishing.is_finished() || !waiting(asks).is_empty() || !waiting("COMMIT").is_empty()
        });
        assert!(!waiting(asks).is_empty());
        standbys("");
        publishing.join().unwrap().assert_ok();
    });
    assert_eq!(database.outcomes(), ["done"]);
    // What no standby has is not told, although the primary has it.
    standbys("nobody");
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fixture.publish(&Upload::new("hello", "2.0.0")));
        retried_until(|| !waiting("COMMIT").is_empty());
        cluster.sql("postgres", &format!("SELECT pg_terminate_backend({}, 10000)", waiting("COMMIT")));
        retried_until(|| publishing.is_finished());
        assert_eq!(database.outcomes(), ["done", "done"]);
        publishing.join().unwrap().assert_refused(503, "did not say whether");
    });
    standbys("");
    fixture.publish(&Upload::new("hello", "2.0.0")).assert_refused(409, "already published");
}

/// It waits for a database that comes up after it.
#[test]
fn a_database_that_is_away_at_the_start() {
    let Some(database) = Database::new() else { return };
    database.network.is(Weather::Away);
    let mut command = program(Path::new(&database.url(OWNER)));
    let log = tempfile::NamedTempFile::new().unwrap();
    command.stderr(log.reopen().unwrap());
    thread::scope(|scope| {
        let starting = scope.spawn(|| Served::of(command, &["--listen", "127.0.0.1:0"]));
        let said = || fs::read_to_string(log.path()).unwrap();
        retried_until(|| said().contains("waiting for it") && said().contains("check whether it runs"));
        database.network.is(Weather::Good);
        starting.join().unwrap().stop(Signal::TERM);
    });
}

/// A database that is silent keeps nobody from stopping it, and the reason why it waits is told once.
#[test]
fn a_gateway_that_waits_for_its_database_ends_when_it_is_told_to() {
    let Some(database) = Database::new() else { return };
    for (weather, most) in [(Weather::Away, 2), (Weather::Silent, 0)] {
        database.network.is(weather);
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = program(Path::new(&database.url(OWNER)));
        command.env("REGISTRY_GATEWAY_LOG", "registry_gateway=debug").stderr(log.reopen().unwrap());
        let mut child = command.args(["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let said = || fs::read_to_string(log.path()).unwrap();
        retried_until(|| said().matches("trying the store's database").count() > most);
        let asked = Instant::now();
        signal(child.id(), Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert!(said().matches("waiting for it").count() <= 1, "{}", said());
    }
    database.network.is(Weather::Good);
}

/// Nobody is there who needs its last words.
#[test]
fn a_gateway_that_ends_while_its_database_is_silent() {
    let Some(database) = Database::new() else { return };
    let mut command = program(Path::new(&database.url(OWNER)));
    let log = tempfile::NamedTempFile::new().unwrap();
    command.stderr(log.reopen().unwrap());
    let served = Served::of(command, &["--listen", "127.0.0.1:0"]);
    database.network.is(Weather::Silent);
    let asked = Instant::now();
    served.stop(Signal::TERM);
    // Five seconds, and as many for a busy machine.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let said = fs::read_to_string(log.path()).unwrap();
    assert!(said.contains("does not answer, and is not waited for"), "{said}");
    database.network.is(Weather::Good);
}

/// However slowly they read, and none of it is kept in a file on the way.
#[test]
fn slow_downloads_use_no_connections() {
    let Some(database) = Database::new() else { return };
    let fixture = database.gateway();
    let mut noise = vec![0; 12 << 20];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    let manifest = b"[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";
    let file = crate_file("hello", "1.0.0", &[("Cargo.toml", manifest), ("noise", &noise)]);
    let upload = Upload::of("hello", "1.0.0", &json!({ "name": "hello", "vers": "1.0.0" }), &file);
    fixture.publish(&upload).assert_ok();
    let request = format!(
        "GET /api/v1/crates/hello/1.0.0/download HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        fixture.read_token()
    );
    let mut reading: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = fixture.connect();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 15]).unwrap();
            stream
        })
        .collect();
    let busy = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state <> 'idle'",
        database.name
    );
    retried_until(|| database.cluster.sql("postgres", &busy) == "0");
    let spooled = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let spooled = spooled.filter_map(|fd| fs::read_link(fd.path()).ok());
    let spooled = spooled.filter(|path| path.to_string_lossy().contains("(deleted)"));
    let large = spooled.filter(|path| path.metadata().is_ok_and(|file| file.len() > 1 << 20)).count();
    assert_eq!(large, 0);
    fixture.publish(&Upload::new("other", "1.0.0")).assert_ok();
    let mut whole = Vec::new();
    reading.pop().unwrap().read_to_end(&mut whole).unwrap();
    assert!(whole.ends_with(&file));

    // Whoever reads on when the rest cannot be had learns that something is missing.
    database.network.is(Weather::Away);
    whole.clear();
    let _ = reading.pop().unwrap().read_to_end(&mut whole);
    assert!(whole.len() < file.len(), "{}", whole.len());
}

/// A disk as small as a file system in memory, where the system lets one be mounted.
#[test]
fn a_full_disk() {
    let can_mount =
        Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status();
    if !can_mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    for kind in ["base", "pg_wal"] {
        let Some(cluster) = Cluster::on_small_disk(kind) else { return };
        let database = Database::of(&cluster);
        let fixture = database.gateway();
        fixture.publish(&Upload::new("hello", "0.0.1")).assert_ok();
        let ballast = cluster.fill_disk();
        // More than the segments of its WAL that a new cluster has in store.
        let mut noise = vec![0; 12 << 20];
        aws_lc_rs::rand::fill(&mut noise).unwrap();
        let manifest = b"[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";
        let file = crate_file("hello", "1.0.0", &[("Cargo.toml", manifest), ("noise", &noise)]);
        let upload = Upload::of("hello", "1.0.0", &json!({ "name": "hello", "vers": "1.0.0" }), &file);
        let failed = fixture.publish(&upload);
        assert_eq!(failed.status, 503, "{kind}: {} {}", failed.text(), cluster.log());
        fs::remove_file(ballast).unwrap();
        retried_until(|| {
            // Without room for its WAL it does not start by itself.
            if !cluster.is_running() {
                cluster.run_again();
            }
            operators(&fixture, "/readyz").status == 200
        });
        fixture.publish(&upload).assert_ok();
        assert_eq!(database.outcomes().last().unwrap(), "done", "{kind}");
    }
}
