//! The crates of the built-in registry: index files, downloads, search, owners; who may publish and yank.

use std::collections::HashSet;
use std::path::PathBuf;

use asymmetric_token::Mutation;

use super::names::{fold, without_build};
use super::sql::{Sql, values};
use super::{CrateFile, Store, StoreError};
use crate::index::Line;
use crate::keys::User;
use crate::policy::Refusal;

/// A state of a crate's index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexState {
    /// Another one after each publish, yank and unyank.
    pub(crate) revision: i64,
    /// Unix seconds of the last of them.
    pub(crate) changed: i64,
}

/// A crate's index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// One line for each version, in the order of publishing.
    pub(crate) lines: String,
    pub(crate) state: IndexState,
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
    #[error("{name} {version} is already published; versions are never replaced, so choose a higher version")]
    VersionExists { name: String, version: String },
    /// The name is too similar to another crate's name.
    #[error(
        "the name `{wanted}` is too similar to the crate `{taken}`: case, `-` and `_` make no difference"
    )]
    NameTaken { wanted: String, taken: String },
    /// There is no such crate or version.
    #[error("there is no {0} here")]
    NotFound(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// The state of the index file of the crate whose lower-case name this is.
    pub(crate) fn index_state(&self, lower: &str) -> Result<Option<IndexState>, StoreError> {
        index_state(&self.reader()?, lower)
    }

    /// The same, if it can be told without waiting for anything but the system's memory.
    pub(crate) fn index_state_at_once(&self, lower: &str) -> Result<Option<IndexState>, StoreError> {
        self.engine.idle_reader().map_or(Ok(None), |reader| index_state(&reader, lower))
    }

    /// The index file of the crate whose lower-case name this is.
    pub(crate) fn index_file(&self, lower: &str) -> Result<Option<IndexFile>, StoreError> {
        let reader = self.reader()?;
        // State and lines of one moment.
        let moment = reader.moment()?;
        let Some(state) = index_state(&moment, lower)? else { return Ok(None) };
        let mut lines = String::new();
        moment.each(
            "SELECT line FROM version WHERE crate = ? ORDER BY id",
            values![&fold(lower)],
            |row| {
                lines.push_str(row.get(0)?);
                lines.push('\n');
                Ok::<_, StoreError>(())
            },
        )?;
        Ok(Some(IndexFile { lines, state }))
    }

    /// A version's file, if there is a version of exactly this name and number.
    pub(crate) fn published_file(&self, name: &str, version: &str) -> Result<Option<CrateFile>, StoreError> {
        let known = stored_line(&self.reader()?, name, version)?.is_some();
        known.then(|| self.found_crate_file(name, version)).transpose()
    }

    /// The owner of a crate; `None` if there is no crate of this name or a similar one.
    pub(crate) fn owner(&self, name: &str) -> Result<Option<Owner>, StoreError> {
        owner(&self.reader()?, name)
    }

    /// A version's index line, if there is a version of exactly this name and number.
    pub(crate) fn line(&self, name: &str, version: &str) -> Result<Option<Line>, StoreError> {
        Ok(version_line(&self.reader()?, name, version)?.map(|(_, line)| line))
    }

    /// A version's index line as it is stored, if there is such a version, spelt exactly so.
    pub(crate) fn stored_line(&self, name: &str, version: &str) -> Result<Option<String>, StoreError> {
        Ok(stored_line(&self.reader()?, name, version)?.map(|(_, line)| line))
    }

    /// What searches show of a crate, if there is one of exactly this name.
    pub(crate) fn description(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT description FROM crate WHERE folded = ? AND name = ?";
        let found = self.reader()?.optional(sql, values![&fold(name), name], |row| row.get(0))?;
        Ok(found.flatten())
    }

    /// The files of all versions.
    pub(super) fn crate_files(&self) -> Result<HashSet<PathBuf>, StoreError> {
        let files = self.reader()?.all(
            "SELECT crate.name, version.version FROM version JOIN crate ON crate.folded = version.crate",
            values![],
            |row| Ok(self.crate_file(row.get(0)?, row.get(1)?)),
        )?;
        Ok(files.into_iter().collect())
    }
}

fn index_state(sql: &Sql<'_>, lower: &str) -> Result<Option<IndexState>, StoreError> {
    let state = "SELECT name, revision, changed FROM crate WHERE folded = ?";
    let found = sql.optional(state, values![&fold(lower)], |row| {
        let is_same = row.get::<&str>(0)?.to_ascii_lowercase() == lower;
        Ok(is_same.then_some(IndexState { revision: row.get(1)?, changed: row.get(2)? }))
    })?;
    Ok(found.flatten())
}

pub(super) fn owner(sql: &Sql<'_>, name: &str) -> Result<Option<Owner>, StoreError> {
    sql.optional(
        "SELECT user.id, user.name FROM crate JOIN user ON user.id = crate.owner WHERE crate.folded = ?",
        values![&fold(name)],
        |row| Ok(Owner { id: row.get(0)?, name: row.get(1)? }),
    )
}

/// Whether a user may make a change, as far as the crates are concerned.
pub(super) fn changeable(sql: &Sql<'_>, user: &User, mutation: &Mutation) -> Result<(), CratesError> {
    match mutation {
        Mutation::Publish { name, version, .. } => {
            publishable(sql, user, name.as_str(), &version.to_string()).map(drop)
        }
        Mutation::Yank { name, version } | Mutation::Unyank { name, version } => {
            yankable(sql, user, name.as_str(), &version.to_string()).map(drop)
        }
        Mutation::Owners { name } => owner_of(sql, name.as_str()).map(drop),
    }
}

/// The owner of a crate that is here.
pub(super) fn owner_of(sql: &Sql<'_>, name: &str) -> Result<Owner, CratesError> {
    owner(sql, name)?.ok_or_else(|| CratesError::NotFound(format!("crate `{name}`")))
}

/// The version without its build metadata, if this user may publish it.
pub(super) fn publishable(
    sql: &Sql<'_>,
    user: &User,
    name: &str,
    version: &str,
) -> Result<String, CratesError> {
    owned_by_or_free(sql, name, user)?;
    unpublished(sql, name, version)
}

/// The version without its build metadata, if nobody has published it, nor a crate with a similar name.
pub(super) fn unpublished(sql: &Sql<'_>, name: &str, version: &str) -> Result<String, CratesError> {
    same_name_or_free(sql, name)?;
    let core = without_build(version)?;
    match version_by_core(sql, name, &core)? {
        Some(there) => Err(CratesError::VersionExists { name: name.to_owned(), version: there }),
        None => Ok(core),
    }
}

/// Whether a version is in the built-in registry, or on record as published at the one behind.
pub(super) fn is_published(sql: &Sql<'_>, name: &str, version: &str, core: &str) -> Result<bool, StoreError> {
    Ok(version_by_core(sql, name, core)?.is_some() || is_on_record(sql, name, version)?)
}

/// Whether a publish of this version is on record.
pub(super) fn is_on_record(sql: &Sql<'_>, name: &str, version: &str) -> Result<bool, StoreError> {
    sql.exists("SELECT 1 FROM published WHERE name = ? AND version = ?", values![name, version])
}

pub(super) fn yankable(
    sql: &Sql<'_>,
    user: &User,
    name: &str,
    version: &str,
) -> Result<(i64, Line), CratesError> {
    let (id, line) = version_line(sql, name, version)?
        .ok_or_else(|| CratesError::NotFound(format!("{name} {version}")))?;
    owned_by_or_free(sql, name, user)?;
    Ok((id, line))
}

fn owned_by_or_free(sql: &Sql<'_>, name: &str, user: &User) -> Result<(), CratesError> {
    match owner(sql, name)? {
        Some(owner) if owner.name != user.as_str() => {
            Err(Refusal::NotOwner { name: name.to_owned(), owner: owner.name, user: user.to_string() }.into())
        }
        _ => Ok(()),
    }
}

fn same_name_or_free(sql: &Sql<'_>, name: &str) -> Result<(), CratesError> {
    let taken = "SELECT name FROM crate WHERE folded = ?";
    let taken: Option<String> = sql.optional(taken, values![&fold(name)], |row| row.get(0))?;
    match taken {
        Some(taken) if taken != name => Err(CratesError::NameTaken { wanted: name.to_owned(), taken }),
        _ => Ok(()),
    }
}

fn version_by_core(sql: &Sql<'_>, name: &str, core: &str) -> Result<Option<String>, StoreError> {
    let version = "SELECT version FROM version WHERE crate = ? AND core = ?";
    sql.optional(version, values![&fold(name), core], |row| row.get(0))
}

pub(super) fn version_line(
    sql: &Sql<'_>,
    name: &str,
    version: &str,
) -> Result<Option<(i64, Line)>, StoreError> {
    let Some((id, line)) = stored_line(sql, name, version)? else { return Ok(None) };
    let line = Line::from_json(&line).map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(Some((id, line)))
}

fn stored_line(sql: &Sql<'_>, name: &str, version: &str) -> Result<Option<(i64, String)>, StoreError> {
    // What is no version was never published.
    let Ok(core) = without_build(version) else { return Ok(None) };
    sql.optional(
        "SELECT version.id, line FROM version JOIN crate ON crate.folded = version.crate
         WHERE version.crate = ? AND version.core = ? AND version.version = ? AND crate.name = ?",
        values![&fold(name), &core, version, name],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}
