//! Three servers of one database. One is the primary, and what it commits is on one of its two standbys before it is answered.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::Store;
use registry_gateway::store_place::StorePlace;

use super::{Cluster, OWNER, as_server, folder, programs, succeeds};

const NAMES: [&str; 3] = ["a", "b", "c"];
const PORT: u16 = 5432;

pub(crate) struct Replicated {
    servers: [Cluster; 3],
    primary: AtomicUsize,
    database: String,
}

impl Replicated {
    /// With a store in its database. `None` where PostgreSQL is not installed.
    pub(crate) fn new() -> Option<Self> {
        let programs = programs()?;
        let folders = NAMES.map(|_| folder());
        let hosts = folders.each_ref().map(|folder| folder.to_str().unwrap()).join(",");
        let mut folders = folders.into_iter();
        let servers = NAMES.map(|name| {
            // Whichever is the primary: a standby follows the server that can be written to.
            let primary = format!(
                "primary_conninfo=host={hosts} port={PORT} user={OWNER} application_name={name} target_session_attrs=read-write"
            );
            // What is killed leaves nothing outside its folder that way.
            let settings = [
                &*primary,
                "wal_retrieve_retry_interval=50ms",
                "wal_keep_size=64MB",
                "dynamic_shared_memory_type=mmap",
            ];
            Cluster::new(programs.clone(), folders.next().unwrap(), PORT, &settings, None)
        });
        let first = &servers[0];
        first.initialize(&[]);
        first.run_again();
        let database = first.database();
        let StorePlace::Postgres(url) = first.url(OWNER, &database).parse().unwrap() else { panic!() };
        Store::migrate_postgres(&url, &PostgresConfig::default()).unwrap();
        // The copies have it too.
        first.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (a, b, c)'");
        let replicated = Self { servers, primary: AtomicUsize::new(0), database };
        (1..NAMES.len()).for_each(|standby| replicated.copies(standby));
        replicated.primary().sql("postgres", "SELECT pg_reload_conf()");
        replicated.are_streaming("AND sync_state = 'quorum'");
        Some(replicated)
    }

    /// The address that names all of them.
    pub(crate) fn url(&self) -> String {
        let hosts = self.servers.each_ref().map(|server| server.folder.to_str().unwrap()).join(",");
        let database = &self.database;
        format!("postgres://{OWNER}@/{database}?host={hosts}&port={PORT}&target_session_attrs=read-write")
    }

    /// What the primary says.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.primary().sql(&self.database, sql)
    }

    pub(crate) fn primary(&self) -> &Cluster {
        &self.servers[self.primary.load(Ordering::SeqCst)]
    }

    /// Has the standby take over that has most of what the primary had committed, which is dead. Of what was answered, that one
    /// has everything. Returns the number of the dead one.
    pub(crate) fn fails_over(&self) -> usize {
        let dead = self.primary.load(Ordering::SeqCst);
        let standbys = [1, 2].map(|after| (dead + after) % NAMES.len());
        let takes_over =
            standbys.into_iter().max_by_key(|standby| received(&self.servers[*standby])).unwrap();
        assert_eq!(self.servers[takes_over].sql("postgres", "SELECT pg_promote()"), "t");
        self.primary.store(takes_over, Ordering::SeqCst);
        dead
    }

    /// Makes a standby of a server that does not run, as a copy of the primary.
    pub(crate) fn copies(&self, standby: usize) {
        let (primary, standby) = (self.primary(), &self.servers[standby]);
        let data = standby.folder.join("data");
        let _ = fs::remove_dir_all(&data);
        let mut copy = as_server(&standby.programs.join("pg_basebackup"), &standby.folder);
        copy.args(["--checkpoint=fast", "--no-sync", "--no-manifest", "--write-recovery-conf", "-U", OWNER]);
        copy.arg("-h").arg(&primary.folder).args(["-p", &PORT.to_string()]).arg("-D").arg(&data);
        succeeds(&mut copy);
        standby.run_again();
        self.are_streaming("");
    }

    /// Ends a standby. Returns its number, for [`comes_back`](Self::comes_back).
    pub(crate) fn misses_something(&self) -> usize {
        let standby = (self.primary.load(Ordering::SeqCst) + 1) % NAMES.len();
        self.servers[standby].kill();
        standby
    }

    /// With the data that it had.
    pub(crate) fn comes_back(&self, standby: usize) {
        self.servers[standby].run_again();
    }

    /// Returns when all standbys that run have what the primary has.
    fn are_streaming(&self, and: &str) {
        let streaming = format!("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' {and}");
        let others = self.servers.iter().filter(|server| server.is_running()).count() - 1;
        let until = Instant::now() + Duration::from_secs(60);
        while self.primary().sql("postgres", &streaming) != others.to_string() {
            assert!(Instant::now() < until, "a standby cannot follow the primary");
        }
    }
}

/// How much of the log a standby has on its disk, of a primary that is dead.
fn received(standby: &Cluster) -> u64 {
    let is_receiving = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
    while standby.sql("postgres", is_receiving) != "0" {}
    let received = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - pg_lsn '0/0'";
    standby.sql("postgres", received).parse().unwrap()
}
