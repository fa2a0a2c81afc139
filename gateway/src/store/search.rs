//! What searches find: the crates that have a version which is not yanked. Their names and descriptions are in an index
//! of trigrams, in which capital letters and accents make no difference.
//!
//! In SQLite the index is FTS5's. It has no key but `rowid`, which is the `id` of the crate's row in `offered`. In PostgreSQL it
//! is one of `offered` itself: see `postgres`.

mod postgres;

use icu_normalizer::DecomposingNormalizerBorrowed;
use semver::Version;

use super::names::fold;
use super::sql::{Sql, Value, values};
use super::{Store, StoreError, parsed};
use crate::index::Line;
use postgres::Patterns;

/// Matches beyond this number are not counted.
const MOST_COUNTED: u32 = 1000;
/// The index has no shorter texts, in characters. Shorter ones find the names that begin with them.
const SHORTEST: usize = 3;
/// Only so many characters of what is searched for count.
const LONGEST: usize = 100;

/// One crate that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The highest version by SemVer precedence that is not yanked.
    pub max_version: Version,
    /// From the version published last.
    pub description: Option<String>,
}

const BEGIN: &str = "SELECT crate.name, max_version, crate.description FROM offered
     JOIN crate ON crate.folded = offered.crate
     WHERE offered.crate >= ?1 AND offered.crate < ?2 ORDER BY offered.crate LIMIT ?3";
const COUNT_BEGIN: &str = "SELECT count(*) FROM (
         SELECT 1 FROM offered WHERE offered.crate >= ?1 AND offered.crate < ?2 LIMIT ?3
     ) AS counted_to_a_limit";
const CONTAIN: &str = "SELECT crate.name, max_version, crate.description FROM offered_text
     JOIN offered ON offered.id = offered_text.rowid
     JOIN crate ON crate.folded = offered.crate
     WHERE offered_text MATCH ?1 ORDER BY offered_text.rowid LIMIT ?2";
const COUNT_CONTAIN: &str = "SELECT count(*) FROM (
         SELECT 1 FROM offered_text WHERE offered_text MATCH ?1 LIMIT ?2
     ) AS counted_to_a_limit";

impl Store {
    /// Crates with this text in their name or description, and how many there are; from 1,000 on they are not counted.
    /// First come those whose name begins with it, by name; then those with it in their name, then in their
    /// description, the oldest first.
    pub(crate) fn search(&self, text: &str, limit: u32) -> Result<(Vec<Found>, u32), StoreError> {
        let text: String = text.chars().take(LONGEST).collect();
        // Nothing has it, and PostgreSQL does not let it be asked for.
        if text.contains('\0') {
            return Ok((Vec::new(), 0));
        }
        let reader = self.reader()?;
        let begin = fold(&text);
        let end = format!("{begin}{}", char::MAX);
        let mut found = page(&reader, BEGIN, values![&begin, &end, limit])?;
        let Some(wanted) = Wanted::of(&text, &reader) else {
            return Ok((found, count(&reader, COUNT_BEGIN, values![&begin, &end, MOST_COUNTED])?));
        };
        for look in [Wanted::in_name, Wanted::in_description] {
            let known = u32::try_from(found.len()).unwrap_or(limit);
            if known < limit {
                let more = look(&wanted, &reader, limit + known)?;
                let new: Vec<_> = more.into_iter().filter(|one| !found.contains(one)).collect();
                found.extend(new);
                found.truncate(limit as usize);
            }
        }
        Ok((found, wanted.count(&reader)?))
    }
}

/// What is searched for, as the engine takes it.
enum Wanted {
    Sqlite(Phrases),
    Postgres(Patterns),
}

impl Wanted {
    /// `None` if the text is too short to be somewhere within others.
    fn of(text: &str, sql: &Sql<'_>) -> Option<Self> {
        if sql.is_postgres() {
            Patterns::of(text).map(Self::Postgres)
        } else {
            Phrases::of(text).map(Self::Sqlite)
        }
    }

    fn in_name(&self, sql: &Sql<'_>, limit: u32) -> Result<Vec<Found>, StoreError> {
        match self {
            Self::Sqlite(phrases) => page(sql, CONTAIN, values![&phrases.in_name, limit]),
            Self::Postgres(patterns) => patterns.in_name(sql, limit),
        }
    }

    fn in_description(&self, sql: &Sql<'_>, limit: u32) -> Result<Vec<Found>, StoreError> {
        match self {
            Self::Sqlite(phrases) => page(sql, CONTAIN, values![&phrases.in_description, limit]),
            Self::Postgres(patterns) => patterns.in_description(sql, limit),
        }
    }

    fn count(&self, sql: &Sql<'_>) -> Result<u32, StoreError> {
        match self {
            Self::Sqlite(Phrases { in_name, in_description }) => {
                let anywhere = format!("{in_name} OR {in_description}");
                count(sql, COUNT_CONTAIN, values![&anywhere, MOST_COUNTED])
            }
            Self::Postgres(patterns) => patterns.count(sql),
        }
    }
}

/// What is searched for, as FTS5 takes it.
struct Phrases {
    in_name: String,
    in_description: String,
}

impl Phrases {
    /// `None` if the index has no such texts.
    fn of(text: &str) -> Option<Self> {
        if text.chars().count() < SHORTEST {
            return None;
        }
        let phrase = |column: &str, text: &str| format!("{column} : \"{}\"", text.replace('"', "\"\""));
        Some(Self {
            in_name: phrase("name", &fold(text)),
            in_description: phrase("description", &caseless(text)),
        })
    }
}

fn page(store: &Sql<'_>, sql: &str, parameters: &[Value<'_>]) -> Result<Vec<Found>, StoreError> {
    store.all(sql, parameters, |row| {
        Ok(Found { name: row.get(0)?, max_version: parsed(row.get(1)?)?, description: row.get(2)? })
    })
}

fn count(store: &Sql<'_>, sql: &str, parameters: &[Value<'_>]) -> Result<u32, StoreError> {
    store.one(sql, parameters, |row| row.get(0))
}

/// Notes that a version of a crate is there, or there again, and what the crate's description is.
pub(super) fn offer(transaction: &Sql<'_>, folded: &str, version: &str) -> Result<(), StoreError> {
    offer_described(transaction, folded, version, described(transaction, folded)?.as_deref())
}

/// The same where it is known how the crate is described.
pub(super) fn offer_described(
    transaction: &Sql<'_>,
    folded: &str,
    version: &str,
    description: Option<&str>,
) -> Result<(), StoreError> {
    let new: Version = parsed(version)?;
    let max = highest(transaction, folded)?.map_or(new.clone(), |known| known.max(new));
    write(transaction, folded, &max, description)
}

/// Notes that a version of a crate is yanked.
pub(super) fn withdraw(transaction: &Sql<'_>, folded: &str, version: &str) -> Result<(), StoreError> {
    if highest(transaction, folded)?.is_none_or(|known| known.to_string() != version) {
        return Ok(());
    }
    let versions = "SELECT version, line FROM version WHERE crate = ?";
    let versions = transaction.all(versions, values![folded], |row| offered(row.get(0)?, row.get(1)?))?;
    match versions.into_iter().max().flatten() {
        Some(max) => write(transaction, folded, &max, described(transaction, folded)?.as_deref()),
        None if transaction.is_postgres() => postgres::remove(transaction, folded),
        None => {
            transaction.execute(
                "DELETE FROM offered_text WHERE rowid = (SELECT id FROM offered WHERE crate = ?)",
                values![folded],
            )?;
            transaction.execute("DELETE FROM offered WHERE crate = ?", values![folded]).map(drop)
        }
    }
}

/// A version if it is not yanked, from its row.
pub(super) fn offered(version: &str, line: &str) -> Result<Option<Version>, StoreError> {
    let line = Line::from_json(line).map_err(|error| StoreError::Damaged(error.to_string()))?;
    if line.yanked { Ok(None) } else { parsed(version).map(Some) }
}

/// Fills a new index with what a store has. A damaged line keeps nobody from the other crates.
pub(super) fn fill(transaction: &Sql<'_>) -> Result<(), StoreError> {
    transaction.each("SELECT crate, version, line FROM version", values![], |row| {
        let (folded, version) = (row.get(0)?, row.get(1)?);
        match offered(version, row.get(2)?) {
            Ok(Some(_)) => offer(transaction, folded, version)?,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "searches do not find {folded} {version}"),
        }
        Ok(())
    })
}

/// Copies what another store's searches find, the oldest first. Its crates are there already.
pub(super) fn take(transaction: &Sql<'_>, rows: &Sql<'_>) -> Result<(), StoreError> {
    rows.each("SELECT crate, max_version FROM offered ORDER BY id", values![], |row| {
        let folded = row.get(0)?;
        write(transaction, folded, &parsed(row.get(1)?)?, described(transaction, folded)?.as_deref())
    })
}

/// Empties the index of texts that SQLite has.
pub(super) fn clear(transaction: &Sql<'_>) -> Result<(), StoreError> {
    transaction.batch("INSERT INTO offered_text (offered_text) VALUES ('delete-all')")
}

pub(super) fn highest(sql: &Sql<'_>, folded: &str) -> Result<Option<Version>, StoreError> {
    let known = "SELECT max_version FROM offered WHERE crate = ?";
    sql.optional(known, values![folded], |row| parsed(row.get(0)?))
}

fn described(sql: &Sql<'_>, folded: &str) -> Result<Option<String>, StoreError> {
    sql.one("SELECT description FROM crate WHERE folded = ?", values![folded], |row| row.get(0))
}

fn write(
    transaction: &Sql<'_>,
    folded: &str,
    max: &Version,
    description: Option<&str>,
) -> Result<(), StoreError> {
    if transaction.is_postgres() {
        return postgres::write(transaction, folded, max, description);
    }
    let id: i64 = transaction.one(
        "INSERT INTO offered (crate, max_version) VALUES (?, ?)
         ON CONFLICT (crate) DO UPDATE SET max_version = excluded.max_version RETURNING id",
        values![folded, &max.to_string()],
        |row| row.get(0),
    )?;
    transaction.execute("DELETE FROM offered_text WHERE rowid = ?", values![id])?;
    let description = description.map(caseless);
    let insert = "INSERT INTO offered_text (rowid, name, description) VALUES (?, ?, ?)";
    transaction.execute(insert, values![id, folded, description.as_deref()]).map(drop)
}

/// A text as it is searched: in one case, and with each accent in one spelling, which the index then leaves out. FTS5 by itself
/// changes single characters only.
fn caseless(text: &str) -> String {
    DecomposingNormalizerBorrowed::new_nfkd().normalize(text).to_uppercase()
}
