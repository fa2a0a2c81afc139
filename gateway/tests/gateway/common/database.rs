//! A database of one test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::{Store, StoreError};
use registry_gateway::store_place::StorePlace;

use super::Fixture;
use super::cluster::{Cluster, OWNER, Psql};
use super::round_robin::RoundRobin;

pub(crate) struct Database {
    cluster: &'static Cluster,
    name: String,
}

impl Database {
    /// `None` where PostgreSQL is not installed.
    pub(crate) fn empty() -> Option<Self> {
        let cluster = Cluster::shared()?;
        Some(Self { cluster, name: cluster.database() })
    }

    /// One with a store.
    pub(crate) fn new() -> Option<Self> {
        let cluster = Cluster::shared()?;
        Some(Self { cluster, name: cluster.store() })
    }

    /// Its address for the owner.
    pub(crate) fn url(&self) -> String {
        self.url_of(OWNER)
    }

    /// Its address for the owner, at this end of a network.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://{OWNER}@{address}/{}", self.name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.cluster.socket()
    }

    pub(crate) fn url_of(&self, user: &str) -> String {
        self.cluster.url(user, &self.name)
    }

    /// Its address for the owner, where a path is wanted.
    pub(crate) fn path(&self) -> PathBuf {
        self.url().into()
    }

    pub(crate) fn place(&self, user: &str) -> StorePlace {
        self.url_of(user).parse().unwrap()
    }

    pub(crate) fn open_as(&self, user: &str) -> Result<Store, StoreError> {
        let key_file = Some(Cluster::credentials().0);
        Store::at(&self.place(user), &PostgresConfig { key_file, ..PostgresConfig::default() })
    }

    pub(crate) fn open(&self) -> Result<Store, StoreError> {
        self.open_as(OWNER)
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// A connection on which these statements, which return one row, were carried out.
    pub(crate) fn psql(&self, sql: &str) -> Psql {
        self.cluster.session(&self.name, sql)
    }

    /// Lets every statement that a trigger is for (`INSERT ON piece`) wait until what is returned ends.
    pub(crate) fn hold(&self, statement: &str) -> Psql {
        let holder = self.psql("SELECT 'held' FROM pg_advisory_lock(1);");
        self.sql(&format!(
            "CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
             CREATE TRIGGER wait BEFORE {statement} EXECUTE FUNCTION wait()"
        ));
        holder
    }

    /// Waits until a gateway's statement is held.
    pub(crate) fn holds(&self) {
        let held = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted
             AND locktype = 'advisory' AND datname = current_database()";
        while self.sql(held) == "0" {}
    }

    /// Ends the sessions of gateways, as those of a process that was killed do not do while they wait, and holds nothing more.
    pub(crate) fn release(&self, table: &str, holder: Psql) {
        self.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'registry-gateway'",
        );
        drop(holder);
        self.sql(&format!("DROP TRIGGER wait ON {table}"));
    }

    /// Waits until no piece is there that belongs to nothing. A gateway looks for those that it has left, and once a minute if that fails.
    #[track_caller]
    pub(crate) fn has_nothing_left_over(&self) {
        let left = "SELECT (SELECT count(*) FROM upload)
             + (SELECT count(*) FROM piece WHERE cksum NOT IN (SELECT cksum FROM file UNION SELECT cksum FROM staged))";
        let until = Instant::now() + Duration::from_secs(90);
        while self.sql(left) != "0" {
            assert!(Instant::now() < until, "{}", self.sql("SELECT * FROM upload"));
        }
    }

    /// Makes a role that may log in, unless another test has.
    pub(crate) fn role(&self, name: &str) {
        self.sql(&format!(
            "DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ));
    }

    /// As [`run`](Self::run), and returns standard error.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn gateway(&self) -> Fixture {
        Fixture::with(|config| config.store = self.place(OWNER))
    }

    /// Two gateways, behind a load balancer whose address is theirs.
    pub(crate) fn two_in_turn(&self) -> [Fixture; 2] {
        let balancer = RoundRobin::new();
        let gateways = [(); 2].map(|()| {
            Fixture::with(|config| {
                config.store = self.place(OWNER);
                config.url = Some(format!("http://{}", balancer.address));
            })
        });
        balancer.lead_to(gateways.each_ref().map(|gateway| gateway.running().address()).to_vec());
        gateways
    }

    /// What a backup of it now would be. Nobody may be connected.
    pub(crate) fn backup(&self) -> Self {
        let name = self.cluster.database();
        self.cluster.sql("postgres", &format!("DROP DATABASE {name}"));
        self.cluster.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", self.name));
        Self { cluster: self.cluster, name }
    }

    /// Another copy of a backup.
    pub(crate) fn backup_of(&self, backup: &Self) -> Self {
        backup.backup()
    }

    /// Puts a backup in its place, whoever is connected.
    pub(crate) fn restore(&self, backup: Self) {
        let (cluster, name) = (self.cluster, &self.name);
        cluster.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
        cluster.sql("postgres", &format!("ALTER DATABASE {} RENAME TO {name}", backup.name));
    }
}
