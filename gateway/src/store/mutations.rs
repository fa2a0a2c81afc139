//! Changes that a token paid for. Each is one transaction: the key is still good, the token is used up, the change
//! is made, and what was signed by whom goes on record. Either all of it holds after a crash or nothing.

use asymmetric_token::{Checksum, KeyId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use semver::Version;
use tempfile::NamedTempFile;

use super::crates::{Owner, fold, owner};
use super::{Store, StoreError, keys, parsed, time};
use crate::index::Line;
use crate::policy::{self, Refusal};

/// A verified mutation token and what it is spent on. Not printable: it is not used up yet.
#[derive(Clone)]
pub struct Signed {
    /// The token as it came.
    pub token: String,
    /// The key that made it.
    pub key: KeyId,
    /// `publish`, `yank`, `unyank` or `owners`.
    pub kind: &'static str,
    /// See [`policy::single_use_key`](crate::policy::single_use_key).
    pub single_use_key: String,
    /// Until when a replay must be recognised by the single-use key.
    pub kept_until: Timestamp,
    /// The server's time.
    pub now: Timestamp,
}

/// A version about to be published.
#[derive(Debug)]
pub struct Publication {
    /// Its index line, built from the crate file.
    pub line: Line,
    /// For search.
    pub description: Option<String>,
    /// The crate file.
    pub file: NamedTempFile,
}

/// What is on record of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was accepted, by the server's clock.
    pub time: Timestamp,
    /// `publish`, `yank`, `unyank` or `owners`.
    pub kind: String,
    /// The crate.
    pub name: String,
    /// The version, for all but `owners`.
    pub version: Option<String>,
    /// The checksum, for `publish`.
    pub checksum: Option<Checksum>,
    /// The key that signed.
    pub key: KeyId,
    /// Whose key it was.
    pub user: String,
    /// The token: proof for whoever has the public key. It is spent.
    pub token: String,
    /// What came of it.
    pub outcome: String,
}

/// Why a mutation is not made.
#[derive(Debug, thiserror::Error)]
pub enum MutationError {
    /// The token or its user may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Versions are for ever; build metadata does not make another.
    #[error("{name} {version} is published already; versions are never replaced, so raise the version")]
    VersionExists {
        /// The crate.
        name: String,
        /// The version that is there.
        version: String,
    },
    /// Too like another crate's name.
    #[error("the name `{wanted}` is too like the crate `{taken}` here: case, `-` and `_` make no difference")]
    NameTaken {
        /// The new name.
        wanted: String,
        /// The crate that is there.
        taken: String,
    },
    /// There is no such crate or version.
    #[error("there is no {0} here")]
    NotFound(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for MutationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Whether a mutation token was used; asked before an upload is read. The answer that counts is given by the
    /// transaction that uses it.
    pub(crate) fn is_spent(&self, single_use_key: &str) -> Result<bool, StoreError> {
        is_spent(&self.connection(), single_use_key)
    }

    /// Publishes a version. Whoever publishes a crate first owns it.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::RevokedKey`], [`Refusal::NotOwner`], [`MutationError::NameTaken`],
    /// [`MutationError::VersionExists`]; in all these the token stays unused.
    pub fn publish(&self, signed: &Signed, publication: Publication) -> Result<(), MutationError> {
        let Publication { line, description, file } = publication;
        let (name, version) = (line.name.clone(), line.vers.clone());
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let user = spend(&transaction, signed)?;
        owned_by_or_free(&transaction, &name, &user)?;
        same_name_or_free(&transaction, &name)?;
        let core = without_build(&version)?;
        if let Some(there) = version_by_core(&transaction, &name, &core)? {
            return Err(MutationError::VersionExists { name, version: there });
        }
        let mutation = record(
            &transaction,
            signed,
            &user,
            &On { name: &name, version: Some(&version), checksum: Some(&line.cksum) },
            "published",
        )?;
        transaction.execute(
            "INSERT INTO crate (folded, name, owner, description, changed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (folded) DO UPDATE SET description = ?4, changed = ?5",
            (fold(&name), &name, user.id, &description, signed.now.as_second()),
        )?;
        transaction.execute(
            "INSERT INTO version (crate, version, core, line, mutation) VALUES (?, ?, ?, ?, ?)",
            (fold(&name), &version, core, line.to_json(), mutation),
        )?;
        self.keep(file, &name, &version)?;
        Ok(transaction.commit()?)
    }

    /// Yanks or unyanks a version; by its owner, and again is no error.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::RevokedKey`], [`Refusal::NotOwner`], [`MutationError::NotFound`].
    pub fn set_yanked(
        &self,
        signed: &Signed,
        name: &str,
        version: &str,
        yanked: bool,
    ) -> Result<(), MutationError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let user = spend(&transaction, signed)?;
        let (id, line) = version_line(&transaction, name, version)?
            .ok_or_else(|| MutationError::NotFound(format!("{name} {version}")))?;
        owned_by_or_free(&transaction, name, &user)?;
        let mut line = Line::from_json(&line).map_err(|error| StoreError::Damaged(error.to_string()))?;
        line.yanked = yanked;
        transaction.execute("UPDATE version SET line = ? WHERE id = ?", (line.to_json(), id))?;
        transaction
            .execute("UPDATE crate SET changed = ? WHERE folded = ?", (signed.now.as_second(), fold(name)))?;
        let outcome = if yanked { "yanked" } else { "unyanked" };
        record(&transaction, signed, &user, &On { name, version: Some(version), checksum: None }, outcome)?;
        Ok(transaction.commit()?)
    }

    /// Lists the owners of a crate, for an owners token: a mutation token, used up by this.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::RevokedKey`], [`MutationError::NotFound`].
    pub(crate) fn list_owners(&self, signed: &Signed, name: &str) -> Result<Owner, MutationError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let user = spend(&transaction, signed)?;
        let owner =
            owner(&transaction, name)?.ok_or_else(|| MutationError::NotFound(format!("crate `{name}`")))?;
        record(&transaction, signed, &user, &On { name, version: None, checksum: None }, "listed")?;
        transaction.commit()?;
        Ok(owner)
    }

    /// What is on record of the publishes, oldest first; all, or those of one version.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn published(&self, version: Option<(&str, &str)>) -> Result<Vec<Record>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT time, kind, mutation.name, version, cksum, key, user.name, token, outcome
             FROM mutation JOIN user ON user.id = mutation.user
             WHERE kind = 'publish' AND (?1 IS NULL OR (mutation.name = ?1 AND version = ?2)) ORDER BY seq",
        )?;
        let mut rows = statement.query((version.map(|v| v.0), version.map(|v| v.1)))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let checksum: Option<String> = row.get(4)?;
            records.push(Record {
                time: time(&row.get::<_, String>(0)?)?,
                kind: row.get(1)?,
                name: row.get(2)?,
                version: row.get(3)?,
                checksum: checksum.as_deref().map(parsed).transpose()?,
                key: parsed(&row.get::<_, String>(5)?)?,
                user: row.get(6)?,
                token: row.get(7)?,
                outcome: row.get(8)?,
            });
        }
        Ok(records)
    }
}

/// What a mutation is about.
struct On<'a> {
    name: &'a str,
    version: Option<&'a str>,
    checksum: Option<&'a str>,
}

/// Uses a token up and says whose key it is from. The key is looked at again: it may have been revoked while an
/// upload was on its way.
fn spend(transaction: &Transaction<'_>, signed: &Signed) -> Result<Owner, MutationError> {
    let key =
        keys::find(transaction, signed.key)?.ok_or_else(|| Refusal::UnknownKey(signed.key.to_string()))?;
    policy::is_good(&key, signed.now)?;
    if is_spent(transaction, &signed.single_use_key)? {
        return Err(Refusal::Replayed(signed.kind).into());
    }
    transaction.execute("DELETE FROM spent WHERE kept_until < ?", [signed.now.as_second()])?;
    transaction.execute(
        "INSERT INTO spent (single_use_key, kept_until) VALUES (?, ?)",
        (&signed.single_use_key, signed.kept_until.as_second() + 1),
    )?;
    let name = key.user.to_string();
    let id = transaction.query_row("SELECT id FROM user WHERE name = ?", [&name], |row| row.get(0))?;
    Ok(Owner { id, name })
}

fn is_spent(connection: &Connection, single_use_key: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM spent WHERE single_use_key = ?")?.exists([single_use_key])?)
}

fn owned_by_or_free(connection: &Connection, name: &str, user: &Owner) -> Result<(), MutationError> {
    match owner(connection, name)? {
        Some(owner) if owner != *user => {
            Err(Refusal::NotOwner { name: name.to_owned(), owner: owner.name, user: user.name.clone() }
                .into())
        }
        _ => Ok(()),
    }
}

fn same_name_or_free(connection: &Connection, name: &str) -> Result<(), MutationError> {
    let taken: Option<String> = connection
        .prepare_cached("SELECT name FROM crate WHERE folded = ?")?
        .query_row([fold(name)], |row| row.get(0))
        .optional()?;
    match taken {
        Some(taken) if taken != name => Err(MutationError::NameTaken { wanted: name.to_owned(), taken }),
        _ => Ok(()),
    }
}

fn version_by_core(connection: &Connection, name: &str, core: &str) -> Result<Option<String>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT version FROM version WHERE crate = ? AND core = ?")?
        .query_row((fold(name), core), |row| row.get(0))
        .optional()?)
}

fn version_line(
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

fn record(
    transaction: &Transaction<'_>,
    signed: &Signed,
    user: &Owner,
    on: &On<'_>,
    outcome: &str,
) -> Result<i64, StoreError> {
    transaction.execute(
        "INSERT INTO mutation (time, kind, name, version, cksum, key, user, token, outcome)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            signed.now.to_string(),
            signed.kind,
            on.name,
            on.version,
            on.checksum,
            signed.key.to_string(),
            user.id,
            &signed.token,
            outcome,
        ),
    )?;
    Ok(transaction.last_insert_rowid())
}

/// SemVer: build metadata has no part in precedence, so two versions that differ in it alone are one.
fn without_build(version: &str) -> Result<String, StoreError> {
    let mut version: Version = parsed(version)?;
    version.build = semver::BuildMetadata::EMPTY;
    Ok(version.to_string())
}
