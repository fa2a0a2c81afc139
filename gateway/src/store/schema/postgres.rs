//! The layout of a PostgreSQL, which is the present one of SQLite. What is kept there in a file beside the database is in a
//! table here.
//!
//! Text is compared byte by byte, as SQLite does it and as ranges of names need it: all that is compared has the collation
//! "C", whatever the database has.

use super::super::sql::{Sql, values};
use super::super::{StoreError, tree};

/// One step to the present layout. It is never changed; new ones are added at the end.
struct Step {
    sql: &'static str,
    /// The oldest layout that a program may know to write the one that this step makes. While a gateway is upgraded, those
    /// of before go on beside it, if this says so.
    serves: i64,
}

const STEPS: [Step; 8] = [
    Step { sql: include_str!("postgres/1.sql"), serves: 1 },
    Step { sql: include_str!("postgres/2.sql"), serves: 2 },
    Step { sql: include_str!("postgres/3.sql"), serves: 3 },
    Step { sql: include_str!("postgres/4.sql"), serves: 3 },
    Step { sql: include_str!("postgres/5.sql"), serves: 3 },
    Step { sql: include_str!("postgres/6.sql"), serves: 6 },
    Step { sql: include_str!("postgres/7.sql"), serves: 6 },
    Step { sql: include_str!("postgres/8.sql"), serves: 8 },
];

/// The step by which the log has a tree.
const WITH_TREE: i64 = 6;

/// The version of the layout: the number of steps that were made.
pub(in super::super) const VERSION: i64 = STEPS.len() as i64;

/// The rights of a role that serves, which is called `gateway` there. To the log it may add, and do nothing else.
const GRANTS: &str = include_str!("postgres/grants.sql");

/// Searches ask by it for texts that are somewhere within names and descriptions. Without it they read all of them.
const TRIGRAMS: &str = "
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX offered_crate ON offered USING gin (crate gin_trgm_ops);
    CREATE INDEX offered_description ON offered USING gin (description gin_trgm_ops);
";

/// Looks whether there is a layout that this program can serve: it has all steps that this program knows, and no later one
/// keeps this program out.
pub(in super::super) fn judge(sql: &Sql<'_>) -> Result<(), StoreError> {
    if !is_made(sql)? {
        return Err(StoreError::NotMade);
    }
    let found = "SELECT layout, serves FROM log_end";
    let (found, serves): (i64, i64) = sql.one(found, values![], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if serves > VERSION {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    if found < VERSION { Err(StoreError::Older { found, known: VERSION }) } else { Ok(()) }
}

/// Makes the steps that are missing. A newer layout that this program can serve is left as it is.
pub(super) fn migrate(transaction: &Sql<'_>) -> Result<(), StoreError> {
    // Of two that come at once, one waits here for the other, and while nobody writes a step may take its time.
    transaction.without_limits()?;
    transaction.batch("SELECT pg_advisory_xact_lock(2037080935)")?;
    let found: i64 = match is_made(transaction)? {
        true => transaction.one("SELECT layout FROM log_end FOR UPDATE", values![], |row| row.get(0))?,
        false => 0,
    };
    // Who waits for a table keeps everybody from it who comes later, and has the log's end, without which nobody writes.
    transaction.batch("SET LOCAL lock_timeout = '5s'")?;
    for (step, version) in STEPS.iter().zip(1_i64..).filter(|(_, version)| *version > found) {
        transaction.batch(step.sql)?;
        if version == 1 {
            find_by_trigrams(transaction)?;
        }
        if version == WITH_TREE {
            tree::plant(transaction)?;
        }
        let note = match version {
            1 => "INSERT INTO log_end (layout, serves) VALUES (?, ?)",
            _ => "UPDATE log_end SET layout = ?, serves = ?",
        };
        transaction.execute(note, values![version, step.serves])?;
    }
    judge(transaction)
}

/// Gives a role the rights of one that serves, and takes all others from it.
pub(in super::super) fn grant(transaction: &Sql<'_>, role: &str) -> Result<(), StoreError> {
    is_without_power(transaction, role)?;
    let quoted = quoted(role);
    let grants = GRANTS.replace("FROM gateway;", &format!("FROM {quoted};"));
    transaction.batch(&grants.replace("TO gateway;", &format!("TO {quoted};")))
}

/// A name as it stands in a statement. A plain one needs no quotes.
pub(in super::super) fn quoted(role: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    match !role.is_empty() && role.bytes().all(is_plain) {
        true => role.to_owned(),
        false => format!("\"{}\"", role.replace('"', "\"\"")),
    }
}

/// Whether there is such a role, and it has no rights of its own: those of a superuser, or of the owner of the tables.
fn is_without_power(sql: &Sql<'_>, role: &str) -> Result<(), StoreError> {
    let powers = "SELECT rolsuper, pg_has_role(pg_roles.oid, relowner, 'MEMBER') FROM pg_roles, pg_class
                  WHERE rolname = ? AND pg_class.oid = to_regclass('log_end')";
    let powers = sql.optional(powers, values![role], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let is = match powers.ok_or_else(|| StoreError::NoRole(role.to_owned()))? {
        (true, _) => "a superuser",
        (false, true) => "a member of the role that owns the tables",
        (false, false) => return Ok(()),
    };
    Err(StoreError::PowerfulRole { role: role.to_owned(), is })
}

fn is_made(sql: &Sql<'_>) -> Result<bool, StoreError> {
    sql.one("SELECT to_regclass('log_end') IS NOT NULL", values![], |row| row.get(0))
}

/// Writes a row that says nothing but when it was written.
pub(in super::super) fn note_ready(transaction: &Sql<'_>) -> Result<(), StoreError> {
    transaction.execute("UPDATE ready SET at = clock_timestamp()", values![]).map(drop)
}

fn find_by_trigrams(transaction: &Sql<'_>) -> Result<(), StoreError> {
    let trigrams = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'";
    if transaction.one(trigrams, values![], |row| row.get::<i64>(0))? > 0 {
        transaction.batch(TRIGRAMS)?;
    }
    Ok(())
}
