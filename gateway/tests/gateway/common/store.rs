//! Where the stores of the tests are: each in its folder, or, with `REGISTRY_GATEWAY_TEST_STORE=postgres` in the environment,
//! each in a database of its own of the [shared cluster](super::cluster). Either way a test names its store by the folder.

#[cfg(target_os = "linux")]
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::sync::{Arc, Mutex, OnceLock};

use registry_gateway::store::Store;
use registry_gateway::store_place::StorePlace;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection};
use transparency_log::{Frontier, Hash, TileHash};

#[cfg(target_os = "linux")]
use super::cluster::{Cluster, OWNER, Psql, SERVICE};

const ENGINE: &str = "REGISTRY_GATEWAY_TEST_STORE";

pub(crate) fn is_in_postgres() -> bool {
    match std::env::var_os(ENGINE) {
        None => false,
        Some(engine) if cfg!(target_os = "linux") && engine == "postgres" => true,
        Some(engine) => panic!("{ENGINE}={} is not known; on Linux there is `postgres`", engine.display()),
    }
}

/// The place of the store of this folder. A folder gets it when it is first opened; a database has it from now on.
pub(crate) fn place(folder: &Path) -> StorePlace {
    StorePlace::of(named(folder).into()).unwrap()
}

/// As the program takes it. The address of a database stays what it is.
pub(crate) fn named(folder: &Path) -> OsString {
    #[cfg(target_os = "linux")]
    if !folder.to_string_lossy().contains("://")
        && let Some(database) = database(folder)
    {
        return database.url().into();
    }
    folder.into()
}

/// The same for a role that serves the store, and does not own it.
pub(crate) fn named_for_service(folder: &Path) -> OsString {
    #[cfg(target_os = "linux")]
    if let Some(database) = database(folder) {
        return database.cluster.url(SERVICE, &database.name).into();
    }
    folder.into()
}

pub(crate) fn open(folder: &Path) -> Store {
    Store::at(&place(folder), &Default::default()).unwrap()
}

/// Asks the database past the gateway, and past foreign keys and PostgreSQL's triggers. Returns a line for each row, with `|`
/// between its columns.
pub(crate) fn sql(folder: &Path, sql: &str) -> String {
    #[cfg(target_os = "linux")]
    if let Some(database) = database(folder) {
        return database.sql(&format!("SET session_replication_role = replica; {sql}"));
    }
    let sqlite = sqlite(folder);
    sqlite.pragma_update(None, "foreign_keys", false).unwrap();
    let mut lines = Vec::new();
    let mut statements = Batch::new(&sqlite, sql);
    while let Some(mut statement) = statements.next().unwrap() {
        let columns = statement.column_count();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let text = |column| match row.get_ref(column).unwrap() {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8(text.to_owned()).unwrap(),
                other => panic!("{sql}: {other:?}"),
            };
            lines.push((0..columns).map(text).collect::<Vec<_>>().join("|"));
        }
    }
    lines.join("\n")
}

/// Keeps everybody else from writing, as long as it is there.
pub(crate) enum Held {
    Sqlite(#[expect(dead_code, reason = "closing it ends the transaction")] Connection),
    #[cfg(target_os = "linux")]
    Postgres(#[expect(dead_code, reason = "ending it ends the transaction")] Psql),
}

pub(crate) fn hold(folder: &Path) -> Held {
    #[cfg(target_os = "linux")]
    if let Some(database) = database(folder) {
        return Held::Postgres(database.psql("BEGIN; SELECT 'held' FROM log_end, ready FOR UPDATE;"));
    }
    let sqlite = sqlite(folder);
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    Held::Sqlite(sqlite)
}

/// From now on entries of this kind cannot be written, as on a full disk.
pub(crate) fn is_full_for(folder: &Path, kind: &str) {
    let entries = format!("'%\"kind\":\"{kind}\"%'");
    if is_in_postgres() {
        let check = format!("CHECK (entry NOT LIKE {entries}) NOT VALID");
        sql(folder, &format!("ALTER TABLE audit ADD CONSTRAINT disk_is_full {check}"));
    } else {
        let refuse = "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
        let when = format!("BEFORE INSERT ON audit WHEN NEW.entry LIKE {entries}");
        sql(folder, &format!("CREATE TRIGGER disk_is_full {when} {refuse}"));
    }
}

/// Undoes [`is_full_for`].
pub(crate) fn has_room(folder: &Path) {
    let of_postgres = "ALTER TABLE audit DROP CONSTRAINT disk_is_full";
    sql(folder, if is_in_postgres() { of_postgres } else { "DROP TRIGGER disk_is_full" });
}

/// The gateway that served was killed, or has ended, long enough ago for the next one to settle what it left open. In a folder
/// there is no other one, and nothing to wait for.
pub(crate) fn long_ago(folder: &Path) {
    if is_in_postgres() {
        let silent = "UPDATE gateway SET heartbeat = heartbeat - INTERVAL '1 min'";
        sql(folder, &format!("{silent}; UPDATE open_intent SET begun = begun - INTERVAL '10 min'"));
    }
}

/// Puts other bytes in the place of a crate file, or none at all.
pub(crate) fn spoil_crate_file(folder: &Path, name: &str, version: &str, bytes: Option<&str>) {
    let of_it =
        format!("WHERE cksum = (SELECT cksum FROM file WHERE name = '{name}' AND version = '{version}')");
    let path = folder.join(format!("crates/{name}/{name}-{version}.crate"));
    match bytes {
        Some(bytes) if is_in_postgres() => {
            _ = sql(folder, &format!("UPDATE piece SET bytes = '{bytes}' {of_it}"));
        }
        None if is_in_postgres() => _ = sql(folder, &format!("DELETE FROM piece {of_it}")),
        Some(bytes) => std::fs::write(path, bytes).unwrap(),
        None => std::fs::remove_file(path).unwrap(),
    }
}

/// The signed checkpoints of the log are gone.
pub(crate) fn loses_checkpoints(folder: &Path) {
    sql(folder, "DELETE FROM checkpoint");
}

/// The log has these entries, and the tree that belongs to them, as whoever can write the database can have it.
pub(crate) fn has_log(folder: &Path, entries: &[String]) {
    let (mut tree, mut statements) = (Frontier::new(), "DELETE FROM audit; DELETE FROM tile;".to_owned());
    for (seq, entry) in (1..).zip(entries) {
        let leaf = Hash::leaf(entry.as_bytes()).unwrap();
        let entry = entry.replace('\'', "''");
        statements += &format!("INSERT INTO audit (seq, entry, hash) VALUES ({seq}, '{entry}', '{leaf}');");
        for TileHash { level, index, hash } in tree.push(leaf).unwrap().into_iter().skip(1) {
            statements +=
                &format!("INSERT INTO tile (level, number, hash) VALUES ({level}, {index}, '{hash}');");
        }
        assert_eq!(seq, tree.size());
    }
    let edge: Vec<_> = tree.edge().iter().map(ToString::to_string).collect();
    let end = format!("UPDATE log_end SET size = {}, edge = '{}'", tree.size(), edge.join(" "));
    sql(folder, &(statements + &end));
}

fn sqlite(folder: &Path) -> Connection {
    Connection::open(folder.join("registry.db")).unwrap()
}

/// The database that has the store of a folder.
#[cfg(target_os = "linux")]
struct Database {
    cluster: &'static Cluster,
    name: String,
}

#[cfg(target_os = "linux")]
impl Database {
    fn url(&self) -> String {
        self.cluster.url(OWNER, &self.name)
    }

    fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    fn psql(&self, sql: &str) -> Psql {
        self.cluster.session(&self.name, sql)
    }
}

/// `None` where stores are in folders. A database goes when its folder has gone and another one is made.
#[cfg(target_os = "linux")]
fn database(folder: &Path) -> Option<Database> {
    static MADE: Mutex<BTreeMap<PathBuf, Arc<OnceLock<String>>>> = Mutex::new(BTreeMap::new());
    if !is_in_postgres() {
        return None;
    }
    let cluster = Cluster::shared().expect("PostgreSQL is installed");
    let mut gone = Vec::new();
    let name = {
        let mut made = MADE.lock().unwrap();
        if !made.contains_key(folder) {
            made.retain(|folder, name| {
                is_there(folder)
                    || name.get().is_none_or(|name| {
                        gone.push(name.clone());
                        false
                    })
            });
        }
        made.entry(folder.to_owned()).or_default().clone()
    };
    let name = name.get_or_init(|| {
        cluster.drop_databases(&gone);
        cluster.store()
    });
    Some(Database { cluster, name: name.clone() })
}

/// Whether the temporary folder is there that it is in, or is: no folder is made for a store in a database.
#[cfg(target_os = "linux")]
fn is_there(folder: &Path) -> bool {
    let all = std::env::temp_dir();
    folder
        .strip_prefix(&all)
        .ok()
        .and_then(|rest| rest.iter().next())
        .is_none_or(|own| all.join(own).exists())
}
