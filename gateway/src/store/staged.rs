//! Versions that machines have staged. Each waits until as many people as it takes have approved it, or until somebody rejects
//! it, it expires, or its version is published otherwise.
//!
//! ```text
//!            ┌────────────► rejected, expired, overtaken
//! staged ◄─► waiting ──► approving ──► published
//!    ▲          ▲            │
//!    └──────────┴────────────┘  refused by the registry, or interrupted
//! ```
//!
//! A transition is one UPDATE that names the states it may come from, so of two at once one finds the other's. Whoever approves
//! last brings a version to `approving` in the transaction that spends the token, and what comes of it is written in the transaction
//! that settles the intent.

mod approvals;
mod files;
mod transitions;

use std::fmt;
use std::str::FromStr;

use asymmetric_token::{Checksum, CrateName};
use jiff::Timestamp;
use semver::Version;
use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use super::audit::{self, Kind};
use super::crate_files::Sending;
use super::names::{fold, without_build};
use super::sql::{Row, Sql, values};
use super::{Store, StoreError, crates, parsed, staging_tokens, time};
use crate::audit::Point;
use crate::policy::Refusal;
use crate::publishers::{Stager, StagingTokenHash};
pub use approvals::ApprovalError;
pub(crate) use approvals::{ApprovalRule, Approving, Deciders, Given};
pub(super) use approvals::{
    approvable, begin_approval, concerns, decidable, deciders, is_approver, is_short, may_decide, of,
    part_of, valid,
};
pub(super) use files::release;
pub(super) use transitions::{Settled, is_there, settle};

/// What a version counts beside its file against the limits, in bytes: its row, its line of the index, and who staged it.
const OVERHEAD: i64 = 16 << 10;

/// The states in which a version may yet be published.
const ALIVE: &str = "('staged', 'waiting', 'approving')";

/// The columns from which [`staged`] reads.
const COLUMNS: &str =
    "id, name, version, cksum, size, line, stager, identity, state, is_new, staged, expires, words";

/// A version that was staged.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Its number.
    pub id: i64,
    /// The crate.
    pub name: CrateName,
    /// The version.
    pub version: Version,
    /// The SHA-256 of the crate file.
    pub checksum: Checksum,
    /// The length of the crate file in bytes.
    pub size: u64,
    /// The line of the index that it will have.
    pub(crate) line: String,
    /// The publisher's name, or the id of the key.
    pub stager: String,
    /// What is known of the run that staged it.
    pub identity: Map<String, Value>,
    /// What has become of it.
    pub state: State,
    /// Whether there was no such crate when it was staged.
    pub is_new: bool,
    /// When it was staged.
    pub staged: Timestamp,
    /// Until when it can be approved.
    pub expires: Timestamp,
    /// Why the last approval did not publish it.
    pub words: Option<String>,
}

/// As people name it: `NAME VERSION`.
impl fmt::Display for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// What has become of a staged version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has approved it.
    Staged,
    /// Some have, and more have to.
    Waiting,
    /// Enough have, and it is being published.
    Approving,
    /// It is published.
    Published,
    /// Somebody has rejected it.
    Rejected,
    /// Nobody has decided in time.
    Expired,
    /// The version was published otherwise.
    Overtaken,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Staged,
        Self::Waiting,
        Self::Approving,
        Self::Published,
        Self::Rejected,
        Self::Expired,
        Self::Overtaken,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Waiting => "waiting",
            Self::Approving => "approving",
            Self::Published => "published",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Overtaken => "overtaken",
        }
    }

    /// Whether it may yet be published, and its file is kept.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Staged | Self::Waiting | Self::Approving)
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(())
    }
}

/// A version to be staged. All of it comes from the crate file.
#[derive(Clone, Debug)]
pub(crate) struct Staging {
    pub(crate) name: CrateName,
    pub(crate) version: Version,
    pub(crate) checksum: Checksum,
    pub(crate) size: u64,
    /// Its line of the index.
    pub(crate) line: String,
    /// Whether there is no such crate.
    pub(crate) is_new: bool,
}

/// How much may be staged, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagingLimits {
    /// In bytes, of one publisher or key.
    pub(crate) of_one: u64,
    /// In bytes, of all.
    pub(crate) of_all: u64,
    /// In versions, of one publisher or key.
    pub(crate) versions_of_one: u32,
    /// In versions, of all.
    pub(crate) versions_of_all: u32,
    /// In seconds.
    pub(crate) seconds: i64,
}

/// Why a version is not staged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// The token is not good any more.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The version exists, or the name is too similar to another.
    #[error(transparent)]
    Crates(#[from] crates::CratesError),
    /// The same stager has staged the version with another file.
    #[error(
        "{version} is staged already with other bytes (number {id}, checksum {checksum}); if this file is to take its place, have it \
         rejected first: `yk-cargo stage reject {}@{}`", version.name, version.version
    )]
    OtherBytes {
        /// What is staged.
        version: Box<Staged>,
        /// Its number.
        id: i64,
        /// Its checksum.
        checksum: Checksum,
    },
    /// Another stager has staged the version.
    #[error("{version} is already staged by {} (number {}); choose a higher version, or have that one rejected", version.stager, version.id)]
    OfAnother {
        /// What is staged.
        version: Box<Staged>,
    },
    /// There is no room for it.
    #[error(
        "{} have {used} {unit} staged, and the limit is {most}; have some approved or rejected, or wait until they expire",
        .whose.as_ref().map_or("all publishers together".to_owned(), |stager| format!("the runs of {stager}"))
    )]
    Full {
        /// Of one stager, or of all.
        whose: Option<String>,
        /// With this version.
        used: u64,
        /// Bytes or versions.
        unit: &'static str,
        /// The limit.
        most: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Keeps a version until it is approved. If the same stager has staged the same file before, that one is returned, and this
    /// token is the one that sees it from now on.
    ///
    /// # Errors
    /// [`StageError`]; nothing is kept then.
    pub(crate) fn stage(
        &self,
        by: &Stager,
        staging: &Staging,
        file: NamedTempFile,
        limits: StagingLimits,
    ) -> Result<Staged, StageError> {
        let sent = self.ready(file, &staging.checksum.to_string())?;
        let now = self.now();
        let (staged, sending) = self.write(|transaction| {
            let by = staging_tokens::find(transaction, by.token, now)?.ok_or(Refusal::StagingToken)?;
            by.may_stage(&staging.name, staging.is_new)?;
            let core = crates::unpublished(transaction, staging.name.as_str(), &staging.version.to_string())?;
            if let Some(known) = bound(transaction, &by, staging, &core)? {
                let see = "UPDATE staged SET token = ? WHERE id = ?";
                transaction.run(see, values![&by.token.to_string(), known.id])?;
                return Ok((known, None));
            }
            has_room(transaction, &by.holder.to_string(), staging.size, limits)?;
            let id = insert(transaction, &by, staging, &core, (now, limits.seconds))?;
            let sending = self.keep_staged(transaction, sent, id)?;
            let staged =
                find(transaction, id)?.ok_or_else(|| StoreError::Damaged(format!("the stage {id}")))?;
            note(transaction, now, "staged", &staged, [("stager", Value::from(by.identity))])?;
            Ok::<_, StageError>((staged, sending))
        })?;
        sending.map(Sending::kept);
        Ok(staged)
    }

    /// All that may yet be published, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn all_staged(&self) -> Result<Vec<Staged>, StoreError> {
        alive(&self.reader()?)
    }

    /// The lines of the index of what a token has staged of the crate whose lower-case name this is, each with its version.
    pub(crate) fn staged_lines(
        &self,
        token: StagingTokenHash,
        lower: &str,
    ) -> Result<Vec<(Version, String)>, StoreError> {
        let of_token = format!(
            "SELECT name, version, line FROM staged WHERE token = ? AND folded = ? AND state IN {ALIVE} ORDER BY id"
        );
        let lines = self.reader()?.all(&of_token, values![&token.to_string(), &fold(lower)], |row| {
            let is_same = row.get::<&str>(0)?.to_ascii_lowercase() == lower;
            Ok(if is_same { Some((parsed(row.get(1)?)?, row.get(2)?)) } else { None })
        })?;
        Ok(lines.into_iter().flatten().collect())
    }

    /// Whether a token has staged this version, and it may yet be published.
    pub(crate) fn has_staged(
        &self,
        token: StagingTokenHash,
        name: &str,
        version: &Version,
    ) -> Result<bool, StoreError> {
        let lines = self.staged_lines(token, &name.to_ascii_lowercase())?;
        Ok(lines.iter().any(|(staged, _)| staged == version))
    }
}

/// All that may yet be published, oldest first.
pub(super) fn alive(sql: &Sql<'_>) -> Result<Vec<Staged>, StoreError> {
    sql.all(&format!("SELECT {COLUMNS} FROM staged WHERE state IN {ALIVE} ORDER BY id"), values![], staged)
}

pub(super) fn find(sql: &Sql<'_>, id: i64) -> Result<Option<Staged>, StoreError> {
    sql.optional(&format!("SELECT {COLUMNS} FROM staged WHERE id = ?"), values![id], staged)
}

/// Reads a version from a row of [`COLUMNS`].
fn staged(row: &Row<'_>) -> Result<Staged, StoreError> {
    let id: i64 = row.get(0)?;
    let damaged = || StoreError::Damaged(format!("the stage {id}"));
    Ok(Staged {
        id,
        name: parsed(row.get(1)?)?,
        version: parsed(row.get(2)?)?,
        checksum: parsed(row.get(3)?)?,
        size: u64::try_from(row.get::<i64>(4)?).map_err(|_| damaged())?,
        line: row.get(5)?,
        stager: row.get(6)?,
        identity: serde_json::from_str(row.get(7)?).map_err(|_| damaged())?,
        state: parsed(row.get(8)?)?,
        is_new: row.get(9)?,
        staged: time(row.get(10)?)?,
        expires: Timestamp::from_second(row.get(11)?).map_err(|_| damaged())?,
        words: row.get(12)?,
    })
}

/// Whether a version of a crate of this name was ever published here.
pub(super) fn is_known(sql: &Sql<'_>, name: &str) -> Result<bool, StoreError> {
    Ok(crates::owner(sql, name)?.is_some()
        || sql.exists("SELECT 1 FROM published WHERE name = ? LIMIT 1", values![name])?)
}

/// What keeps a version from being staged anew: the same file of the same stager, which is returned. A version of a crate that
/// does not exist binds nobody but its own stager: whoever could stage a name first would keep it from others.
fn bound(
    transaction: &Sql<'_>,
    by: &Stager,
    staging: &Staging,
    core: &str,
) -> Result<Option<Staged>, StageError> {
    let same = format!(
        "SELECT {COLUMNS} FROM staged WHERE folded = ? AND core = ? AND state IN {ALIVE} ORDER BY id"
    );
    let there = transaction.all(&same, values![&fold(staging.name.as_str()), core], staged)?;
    let stager = by.holder.to_string();
    let (own, of_others): (Vec<_>, Vec<_>) = there.into_iter().partition(|staged| staged.stager == stager);
    match (own.into_iter().next(), of_others.into_iter().next()) {
        (Some(own), _) if is_same(&own, staging) => Ok(Some(own)),
        (Some(own), _) => {
            let (id, checksum) = (own.id, own.checksum);
            Err(StageError::OtherBytes { version: own.into(), id, checksum })
        }
        (None, Some(other)) if !staging.is_new => Err(StageError::OfAnother { version: other.into() }),
        (None, _) => Ok(None),
    }
}

fn is_same(staged: &Staged, staging: &Staging) -> bool {
    staged.checksum == staging.checksum && staged.name == staging.name && staged.version == staging.version
}

fn has_room(transaction: &Sql<'_>, stager: &str, size: u64, limits: StagingLimits) -> Result<(), StageError> {
    let of_one = format!(
        "SELECT CAST(coalesce(sum(size), 0) AS BIGINT), count(*) FROM staged WHERE state IN {ALIVE} AND stager = ?"
    );
    let of_all =
        format!("SELECT CAST(coalesce(sum(size), 0) AS BIGINT), count(*) FROM staged WHERE state IN {ALIVE}");
    let bytes = |(bytes, count): (i64, i64)| {
        let all = bytes.saturating_add((count + 1).saturating_mul(OVERHEAD));
        u64::try_from(all).unwrap_or(u64::MAX).saturating_add(size)
    };
    let versions = |(_, count): (i64, i64)| u64::try_from(count + 1).unwrap_or(u64::MAX);
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let of_one = transaction.one(&of_one, values![stager], pair)?;
    let of_all = transaction.one(&of_all, values![], pair)?;
    let whose = || Some(stager.to_owned());
    for (whose, used, unit, most) in [
        (whose(), bytes(of_one), "bytes", limits.of_one),
        (whose(), versions(of_one), "versions", limits.versions_of_one.into()),
        (None, bytes(of_all), "bytes", limits.of_all),
        (None, versions(of_all), "versions", limits.versions_of_all.into()),
    ] {
        if used > most {
            return Err(StageError::Full { whose, used, unit, most });
        }
    }
    Ok(())
}

fn insert(
    transaction: &Sql<'_>,
    by: &Stager,
    staging: &Staging,
    core: &str,
    (now, seconds): (Timestamp, i64),
) -> Result<i64, StoreError> {
    let size = i64::try_from(staging.size).unwrap_or(i64::MAX);
    transaction.one(
        "INSERT INTO staged (name, folded, version, core, cksum, size, line, stager, token, identity, state, is_new, staged,
             changed, expires)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'staged', ?11, ?12, ?12, ?13) RETURNING id",
        values![
            staging.name.as_str(),
            &fold(staging.name.as_str()),
            &staging.version.to_string(),
            core,
            &staging.checksum.to_string(),
            size,
            &staging.line,
            &by.holder.to_string(),
            &by.token.to_string(),
            &Value::from(by.identity.clone()).to_string(),
            i64::from(staging.is_new),
            &now.to_string(),
            now.as_second().saturating_add(seconds),
        ],
        |row| row.get(0),
    )
}

/// Appends an entry about a staged version.
pub(super) fn note<const N: usize>(
    transaction: &Sql<'_>,
    now: Timestamp,
    action: &str,
    staged: &Staged,
    more: [(&str, Value); N],
) -> Result<Point, StoreError> {
    let fields: [(&str, Value); 5] = [
        ("action", action.into()),
        ("stage", staged.id.into()),
        ("name", staged.name.as_str().into()),
        ("vers", staged.version.to_string().into()),
        ("cksum", staged.checksum.to_string().into()),
    ];
    let fields = fields.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value));
    audit::append(transaction, now, Kind::Stage, Map::from_iter(fields))
}

/// What the version is without its build metadata.
fn core(staged: &Staged) -> Result<String, StoreError> {
    without_build(&staged.version.to_string())
}
