//! The whole log, followed from its first entry.

use transparency_log::{SignedCheckpoint, TreeHead, Verifier};

use super::checkpoints::{self, key};
use super::log_end::End;
use super::sql::values;
use super::{Store, StoreError};
use crate::audit::{Broken, Follower, Hash, Noted, Point};

/// Why the log is not verified.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It was changed.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of a log that holds.
#[derive(Clone, Debug)]
pub struct VerifiedLog {
    /// The place of its last entry.
    pub end: Point,
    /// How many checkpoints are stored.
    pub checkpoints: usize,
    /// How many entries the newest one is of, and the key that has signed it.
    pub newest: Option<(u64, Verifier)>,
}

impl Store {
    /// Follows the whole log, computes its tree anew, and compares that with what is noted of it, with every checkpoint, and with
    /// those that were kept elsewhere.
    ///
    /// # Errors
    /// [`AuditError::Broken`] with the first thing that does not hold; [`AuditError::Store`].
    pub fn verify_audit(&self, kept: &[TreeHead]) -> Result<VerifiedLog, AuditError> {
        let reader = self.reader()?;
        let moment = reader.moment()?;
        let keys = key::verifiers(&moment)?;
        let checkpoints = checkpoints::all(&moment)?;
        let mut heads = kept.to_vec();
        for checkpoint in &checkpoints {
            heads.push(checkpoint.head(&keys)?);
        }
        let mut noted = Noted { edge: End::read(&moment)?.tree, heads, ..Noted::default() };
        moment.each("SELECT level, number, hash FROM tile", values![], |row| {
            let number = |column| row.get::<i64>(column).map(i64::unsigned_abs);
            // What is not a hash is not the one that is wanted.
            let hash = row.get::<&str>(2)?.parse().unwrap_or(Hash::EMPTY);
            noted.tiles.insert((u8::try_from(number(0)?).unwrap_or(u8::MAX), number(1)?), hash);
            Ok::<_, StoreError>(())
        })?;
        let mut log = Follower::new(noted);
        moment.each("SELECT seq, entry, hash FROM audit ORDER BY seq", values![], |row| {
            let noted = std::str::from_utf8(row.raw_text(2)).ok().and_then(|hash| hash.parse().ok());
            let seq = u64::try_from(row.get::<i64>(0)?).unwrap_or_default();
            log.follow(seq, row.raw_text(1), noted)?;
            Ok::<_, AuditError>(())
        })?;
        let newest = checkpoints.last().map(|newest| newest.verified(&keys)).transpose()?;
        Ok(VerifiedLog { end: log.end()?, checkpoints: checkpoints.len(), newest })
    }

    /// Reads a checkpoint that was kept elsewhere. It counts only if one of the log's keys has signed it.
    ///
    /// # Errors
    /// [`StoreError::OtherCheckpoint`], [`StoreError::Database`].
    pub fn kept_checkpoint(&self, note: &str) -> Result<TreeHead, StoreError> {
        let other = |error: transparency_log::Error| StoreError::OtherCheckpoint(error.to_string());
        let signed: SignedCheckpoint = note.parse().map_err(other)?;
        Ok(key::verified(&signed, &key::verifiers(&self.reader()?)?).map_err(other)?.0)
    }
}
