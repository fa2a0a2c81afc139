//! What readers ask of the store: index files, downloads, search, owners.

use std::collections::HashSet;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _};
use semver::Version;

use super::{Store, StoreError, parsed};

/// One crate that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The highest version by SemVer precedence.
    pub max_version: Version,
    /// From the version published last.
    pub description: Option<String>,
}

/// A crate's index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// One line a version, in the order of publishing.
    pub(crate) lines: String,
    /// Unix seconds of the last publish, yank or unyank.
    pub(crate) changed: i64,
}

/// A crate's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// A number for the API; stable, and nothing else.
    pub(crate) id: i64,
    pub(crate) name: String,
}

impl Store {
    /// The index file of the crate whose name in lower case is this.
    pub(crate) fn index_file(&self, lower: &str) -> Result<Option<IndexFile>, StoreError> {
        let connection = self.connection();
        let found = connection
            .prepare_cached("SELECT name, changed FROM crate WHERE folded = ?")?
            .query_row([fold(lower)], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .optional()?;
        let Some((name, changed)) = found else { return Ok(None) };
        if name.to_ascii_lowercase() != lower {
            return Ok(None);
        }
        let mut statement =
            connection.prepare_cached("SELECT line FROM version WHERE crate = ? ORDER BY id")?;
        let mut lines = String::new();
        for line in statement.query_map([fold(lower)], |row| row.get::<_, String>(0))? {
            lines.push_str(&line?);
            lines.push('\n');
        }
        Ok(Some(IndexFile { lines, changed }))
    }

    /// The file of a version, if there is such a version, spelt exactly so.
    pub(crate) fn published_file(&self, name: &str, version: &str) -> Result<Option<PathBuf>, StoreError> {
        let known = self
            .connection()
            .prepare_cached(
                "SELECT 1 FROM version JOIN crate ON crate.folded = version.crate
                 WHERE crate.name = ? AND version.version = ?",
            )?
            .exists((name, version))?;
        Ok(known.then(|| self.crate_file(name, version)))
    }

    /// Crates with this text in the name or the description, those that are called so first; and how many there are.
    pub(crate) fn search(&self, text: &str, limit: u32) -> Result<(Vec<Found>, u32), StoreError> {
        const MATCHES: &str = "(instr(folded, ?1) > 0 OR instr(lower(coalesce(description, '')), ?2) > 0)";
        let (folded, lower) = (fold(text), text.to_lowercase());
        let connection = self.connection();
        let total = connection.query_row(
            &format!("SELECT count(*) FROM crate WHERE {MATCHES}"),
            (&folded, &lower),
            |row| row.get(0),
        )?;
        let mut statement = connection.prepare(&format!(
            "SELECT name, folded, description FROM crate WHERE {MATCHES}
             ORDER BY folded = ?1 DESC, instr(folded, ?1) > 0 DESC, folded LIMIT ?3"
        ))?;
        let rows = statement.query_map((&folded, &lower, limit), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
        })?;
        let mut found = Vec::new();
        for row in rows {
            let (name, folded, description) = row?;
            let max_version = max_version(&connection, &folded)?;
            found.push(Found { name, max_version, description });
        }
        Ok((found, total))
    }

    /// Who owns a crate; `None` if there is none of this name, after folding.
    pub(crate) fn owner(&self, name: &str) -> Result<Option<Owner>, StoreError> {
        owner(&self.connection(), name)
    }

    /// The files of all versions.
    pub(super) fn crate_files(&self) -> Result<HashSet<PathBuf>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT crate.name, version.version FROM version JOIN crate ON crate.folded = version.crate",
        )?;
        let names = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(names.iter().map(|(name, version)| self.crate_file(name, version)).collect())
    }
}

/// A name as it is compared: two names that a person could confuse are one.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

pub(super) fn owner(connection: &Connection, name: &str) -> Result<Option<Owner>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT user.id, user.name FROM crate JOIN user ON user.id = crate.owner WHERE crate.folded = ?",
    )?;
    Ok(statement
        .query_row([fold(name)], |row| Ok(Owner { id: row.get(0)?, name: row.get(1)? }))
        .optional()?)
}

fn max_version(connection: &Connection, folded: &str) -> Result<Version, StoreError> {
    let mut statement = connection.prepare_cached("SELECT version FROM version WHERE crate = ?")?;
    let versions =
        statement.query_map([folded], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let versions = versions.iter().map(|text| parsed(text)).collect::<Result<Vec<Version>, _>>()?;
    versions
        .into_iter()
        .max()
        .ok_or_else(|| StoreError::Damaged(format!("the crate `{folded}` has no version")))
}
