//! Searches in a PostgreSQL: names and descriptions that contain a text, by their trigrams. What the index of texts does by
//! itself in SQLite is done here before: a description is kept without capital letters and accents.

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use semver::Version;

use super::super::StoreError;
use super::super::names::fold;
use super::super::sql::{Sql, values};
use super::{Found, MOST_COUNTED, SHORTEST, caseless, page};

const IN_NAME: &str = "SELECT crate.name, max_version, crate.description FROM offered
     JOIN crate ON crate.folded = offered.crate
     WHERE offered.crate LIKE ?1 ORDER BY offered.id LIMIT ?2";
const IN_DESCRIPTION: &str = "SELECT crate.name, max_version, crate.description FROM offered
     JOIN crate ON crate.folded = offered.crate
     WHERE offered.description LIKE ?1 ORDER BY offered.id LIMIT ?2";
const COUNT: &str = "SELECT count(*) FROM (
         SELECT 1 FROM offered WHERE offered.crate LIKE ?1 OR offered.description LIKE ?2 LIMIT ?3
     ) AS counted_to_a_limit";

/// What is searched for, as patterns.
pub(super) struct Patterns {
    in_name: String,
    in_description: String,
}

impl Patterns {
    /// `None` if the text is too short.
    pub(super) fn of(text: &str) -> Option<Self> {
        let searched = searched(text);
        if text.chars().count() < SHORTEST || searched.chars().count() < SHORTEST {
            return None;
        }
        Some(Self { in_name: pattern(&fold(text)), in_description: pattern(&searched) })
    }

    pub(super) fn in_name(&self, sql: &Sql<'_>, limit: u32) -> Result<Vec<Found>, StoreError> {
        page(sql, IN_NAME, values![&self.in_name, limit])
    }

    pub(super) fn in_description(&self, sql: &Sql<'_>, limit: u32) -> Result<Vec<Found>, StoreError> {
        page(sql, IN_DESCRIPTION, values![&self.in_description, limit])
    }

    pub(super) fn count(&self, sql: &Sql<'_>) -> Result<u32, StoreError> {
        let patterns = values![&self.in_name, &self.in_description, MOST_COUNTED];
        sql.one(COUNT, patterns, |row| row.get(0))
    }
}

pub(super) fn remove(transaction: &Sql<'_>, folded: &str) -> Result<(), StoreError> {
    transaction.run("DELETE FROM offered WHERE crate = ?", values![folded])
}

pub(super) fn write(
    transaction: &Sql<'_>,
    folded: &str,
    max: &Version,
    description: Option<&str>,
) -> Result<(), StoreError> {
    let description = description.map(searched);
    let write = "INSERT INTO offered (crate, max_version, description) VALUES (?, ?, ?)
         ON CONFLICT (crate) DO UPDATE SET max_version = excluded.max_version, description = excluded.description";
    transaction.run(write, values![folded, &max.to_string(), description.as_deref()])
}

/// What contains a text.
fn pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// A text as it is searched: see [`caseless`]. Accents are left out.
fn searched(text: &str) -> String {
    let classes = CanonicalCombiningClassMapBorrowed::new();
    caseless(text).chars().filter(|c| classes.get_u8(*c) == 0).collect()
}
