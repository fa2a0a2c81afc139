//! The crates of the built-in registry: index files, downloads, search, owners; publishing and yanking.

use std::collections::HashSet;
use std::path::PathBuf;

use icu_normalizer::DecomposingNormalizerBorrowed;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};
use semver::Version;
use tempfile::NamedTempFile;

use super::{Store, StoreError, parsed};
use crate::index::Line;
use crate::keys::User;
use crate::policy::Refusal;

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

/// A crate's index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// One line for each version, in the order of publishing.
    pub(crate) lines: String,
    /// Unix seconds of the last publish, yank or unyank.
    pub(crate) changed: i64,
}

/// A crate's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// A stable number, which only the API needs.
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// Why the built-in registry does not make a change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CratesError {
    /// The user may not change it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The version exists. Versions are never replaced, and build metadata does not make another one.
    #[error("{name} {version} is published already; versions are never replaced, so raise the version")]
    VersionExists { name: String, version: String },
    /// The name is too similar to another crate's name.
    #[error("the name `{wanted}` is too like the crate `{taken}` here: case, `-` and `_` make no difference")]
    NameTaken { wanted: String, taken: String },
    /// There is no such crate or version.
    #[error("there is no {0} here")]
    NotFound(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for CratesError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Whether a user could publish this version, as things stand.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub(crate) fn could_publish(&self, user: &User, name: &str, version: &str) -> Result<(), CratesError> {
        publishable(&self.connection(), user, name, version).map(drop)
    }

    /// Publishes a version: its file first, then its row. Whoever publishes a crate first owns it.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`], [`CratesError::NameTaken`], [`CratesError::VersionExists`].
    pub(crate) fn publish(
        &self,
        user: &User,
        line: &Line,
        description: Option<&str>,
        file: NamedTempFile,
        now: Timestamp,
    ) -> Result<(), CratesError> {
        let (name, version) = (line.name.as_str(), line.vers.as_str());
        self.write(|transaction| {
            let core = publishable(transaction, user, name, version)?;
            transaction.execute(
                "INSERT INTO crate (folded, name, owner, description, changed)
                 SELECT ?1, ?2, user.id, ?4, ?5 FROM user WHERE user.name = ?3
                 ON CONFLICT (folded) DO UPDATE SET description = ?4, changed = ?5",
                (fold(name), name, user.as_str(), description, now.as_second()),
            )?;
            transaction.execute(
                "INSERT INTO version (crate, version, core, line) VALUES (?, ?, ?, ?)",
                (fold(name), version, core, line.to_json()),
            )?;
            Ok(self.keep(file, name, version)?)
        })
    }

    /// Whether a user could yank or unyank this version, as things stand.
    ///
    /// # Errors
    /// As [`set_yanked`](Self::set_yanked).
    pub(crate) fn could_yank(&self, user: &User, name: &str, version: &str) -> Result<(), CratesError> {
        yankable(&self.connection(), user, name, version).map(drop)
    }

    /// Yanks or unyanks a version for its owner. If it is so already, that is no error.
    ///
    /// # Errors
    /// [`CratesError::NotFound`], [`Refusal::NotOwner`].
    pub(crate) fn set_yanked(
        &self,
        user: &User,
        name: &str,
        version: &str,
        yanked: bool,
        now: Timestamp,
    ) -> Result<(), CratesError> {
        self.write(|transaction| {
            let (id, mut line) = yankable(transaction, user, name, version)?;
            line.yanked = yanked;
            transaction.execute("UPDATE version SET line = ? WHERE id = ?", (line.to_json(), id))?;
            transaction
                .execute("UPDATE crate SET changed = ? WHERE folded = ?", (now.as_second(), fold(name)))?;
            Ok(())
        })
    }

    /// The index file of the crate whose lower-case name this is.
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

    /// The path of a version's file, if there is a version of exactly this name and number.
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

    /// Crates with this text in their name or description, those with this name first; and how many there are. Those of which
    /// every version is yanked are left out, for nobody can begin to depend on them.
    pub(crate) fn search(&self, text: &str, limit: u32) -> Result<(Vec<Found>, u32), StoreError> {
        let (name, words) = (fold(text), caseless(text));
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT folded, name, description FROM crate WHERE EXISTS
             (SELECT 1 FROM version WHERE crate = folded AND NOT json_extract(line, '$.yanked')) ORDER BY folded",
        )?;
        let mut rows = statement.query([])?;
        let mut matches = Vec::new();
        while let Some(row) = rows.next()? {
            let (folded, description) = (row.get::<_, String>(0)?, row.get::<_, Option<String>>(2)?);
            let describes = |description: &String| caseless(description).contains(&words);
            if folded.contains(&name) || description.as_ref().is_some_and(describes) {
                matches.push((folded, row.get::<_, String>(1)?, description));
            }
        }
        matches.sort_by_key(|(folded, ..)| (*folded != name, !folded.contains(&name)));
        let total = u32::try_from(matches.len()).unwrap_or(u32::MAX);
        let mut found = Vec::new();
        for (folded, name, description) in matches.into_iter().take(limit as usize) {
            let max_version = max_version(&reader, &folded)?;
            found.push(Found { name, max_version, description });
        }
        Ok((found, total))
    }

    /// The owner of a crate; `None` if there is no crate of this name or a similar one.
    pub(crate) fn owner(&self, name: &str) -> Result<Option<Owner>, StoreError> {
        owner(&self.connection(), name)
    }

    /// A version's index line, if there is a version of exactly this name and number.
    pub(crate) fn line(&self, name: &str, version: &str) -> Result<Option<Line>, StoreError> {
        Ok(version_line(&self.connection(), name, version)?.map(|(_, line)| line))
    }

    /// A version's index line as it is stored, if there is such a version, spelt exactly so.
    pub(crate) fn stored_line(&self, name: &str, version: &str) -> Result<Option<String>, StoreError> {
        Ok(stored_line(&self.reader(), name, version)?.map(|(_, line)| line))
    }

    /// What searches show of a crate, if there is one of exactly this name.
    pub(crate) fn description(&self, name: &str) -> Result<Option<String>, StoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached("SELECT description FROM crate WHERE name = ?")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?.flatten())
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

/// A name as it is compared. Names that a person could confuse become equal.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// A text as it is searched: in one case, and with each accent in one spelling. SQLite knows the letters of ASCII only.
fn caseless(text: &str) -> String {
    DecomposingNormalizerBorrowed::new_nfkd().normalize(text).to_uppercase()
}

pub(super) fn owner(connection: &Connection, name: &str) -> Result<Option<Owner>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT user.id, user.name FROM crate JOIN user ON user.id = crate.owner WHERE crate.folded = ?",
    )?;
    Ok(statement
        .query_row([fold(name)], |row| Ok(Owner { id: row.get(0)?, name: row.get(1)? }))
        .optional()?)
}

/// The highest version that is not yanked.
fn max_version(connection: &Connection, folded: &str) -> Result<Version, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT version FROM version WHERE crate = ? AND NOT json_extract(line, '$.yanked')",
    )?;
    let versions =
        statement.query_map([folded], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let versions = versions.iter().map(|text| parsed(text)).collect::<Result<Vec<Version>, _>>()?;
    versions
        .into_iter()
        .max()
        .ok_or_else(|| StoreError::Damaged(format!("the crate `{folded}` has no version that is not yanked")))
}

/// The version without its build metadata, if this user may publish it.
fn publishable(
    connection: &Connection,
    user: &User,
    name: &str,
    version: &str,
) -> Result<String, CratesError> {
    owned_by_or_free(connection, name, user)?;
    same_name_or_free(connection, name)?;
    let core = without_build(version)?;
    match version_by_core(connection, name, &core)? {
        Some(there) => Err(CratesError::VersionExists { name: name.to_owned(), version: there }),
        None => Ok(core),
    }
}

fn yankable(
    connection: &Connection,
    user: &User,
    name: &str,
    version: &str,
) -> Result<(i64, Line), CratesError> {
    let (id, line) = version_line(connection, name, version)?
        .ok_or_else(|| CratesError::NotFound(format!("{name} {version}")))?;
    owned_by_or_free(connection, name, user)?;
    Ok((id, line))
}

fn owned_by_or_free(connection: &Connection, name: &str, user: &User) -> Result<(), CratesError> {
    match owner(connection, name)? {
        Some(owner) if owner.name != user.as_str() => {
            Err(Refusal::NotOwner { name: name.to_owned(), owner: owner.name, user: user.to_string() }.into())
        }
        _ => Ok(()),
    }
}

fn same_name_or_free(connection: &Connection, name: &str) -> Result<(), CratesError> {
    let taken: Option<String> = connection
        .prepare_cached("SELECT name FROM crate WHERE folded = ?")?
        .query_row([fold(name)], |row| row.get(0))
        .optional()?;
    match taken {
        Some(taken) if taken != name => Err(CratesError::NameTaken { wanted: name.to_owned(), taken }),
        _ => Ok(()),
    }
}

fn version_by_core(connection: &Connection, name: &str, core: &str) -> Result<Option<String>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT version FROM version WHERE crate = ? AND core = ?")?
        .query_row((fold(name), core), |row| row.get(0))
        .optional()?)
}

pub(super) fn version_line(
    connection: &Connection,
    name: &str,
    version: &str,
) -> Result<Option<(i64, Line)>, StoreError> {
    let Some((id, line)) = stored_line(connection, name, version)? else { return Ok(None) };
    let line = Line::from_json(&line).map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(Some((id, line)))
}

fn stored_line(
    connection: &Connection,
    name: &str,
    version: &str,
) -> Result<Option<(i64, String)>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT version.id, line FROM version JOIN crate ON crate.folded = version.crate
             WHERE crate.name = ? AND version.version = ?",
        )?
        .query_row((name, version), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Build metadata plays no part in SemVer's precedence, so versions that differ only in it count as one.
pub(super) fn without_build(version: &str) -> Result<String, StoreError> {
    let mut version: Version = parsed(version)?;
    version.build = semver::BuildMetadata::EMPTY;
    Ok(version.to_string())
}
