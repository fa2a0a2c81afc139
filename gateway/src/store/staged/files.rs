//! The files of staged versions: in the store's folder each under the number of its version, or in a PostgreSQL in pieces. They are
//! kept as long as the version may be published.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;

use super::super::crate_files::{Sending, Sent};
use super::super::files::{self, STAGED};
use super::super::sql::{Engine, Sql, values};
use super::super::{Store, StoreError, crate_files, gateways};
use super::Staged;

impl Store {
    /// Makes an upload the file of a staged version, in the transaction that makes its row. What was sent before is kept if that is
    /// committed.
    pub(super) fn keep_staged(
        &self,
        transaction: &Sql<'_>,
        upload: Sent,
        id: i64,
    ) -> Result<Option<Sending>, StoreError> {
        match upload {
            Sent::Not(upload) => files::place(upload, &self.staged_file(id)).map(|()| None),
            Sent::Unsent { checksum, piece } => {
                crate_files::write(transaction, &checksum, &piece).map(|()| None)
            }
            Sent::Pieces { pieces, sending } => {
                crate_files::are_there(transaction, sending.checksum(), pieces)?;
                self.end_upload(transaction, sending.checksum())?;
                Ok(Some(sending))
            }
        }
    }

    /// The file of a version that may yet be published. Nobody has looked whether it is the one that was staged.
    ///
    /// # Errors
    /// [`StoreError::File`], also if it is missing; [`StoreError::Database`].
    pub(crate) fn open_staged_file(&self, staged: &Staged) -> Result<File, StoreError> {
        let path = self.staged_file(staged.id);
        match &self.engine {
            Engine::Sqlite(_) => File::open(&path).map_err(files::at(&path)),
            Engine::Postgres(_) => crate_files::fetched_by_checksum(self, path, &staged.checksum.to_string()),
        }
    }

    /// Removes the files of versions that nobody can publish any more. In a PostgreSQL that was done when they ended.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`].
    pub(crate) fn remove_ended(&self) -> Result<(), StoreError> {
        let folder = self.folder.join(STAGED);
        if self.is_shared() || !folder.exists() {
            return Ok(());
        }
        // While nobody else writes: the file of a version is there before its row is committed.
        self.write(|transaction| {
            let alive = "SELECT id FROM staged WHERE state IN ('staged', 'waiting', 'approving')";
            let known = transaction.all(alive, values![], |row| Ok(self.staged_file(row.get(0)?)))?;
            files::keep_only_staged(&folder, &known.into_iter().collect::<HashSet<_>>())
        })
    }

    /// Where a folder has the file of a staged version.
    pub(in super::super) fn staged_file(&self, id: i64) -> PathBuf {
        self.folder.join(STAGED).join(format!("{id}.crate"))
    }
}

/// The file of a version that has ended is kept no longer. In a folder it is removed later: the transaction may fail.
pub(in super::super) fn release(transaction: &Sql<'_>, checksum: &str) -> Result<(), StoreError> {
    if transaction.is_postgres() { gateways::remove_pieces(transaction, checksum) } else { Ok(()) }
}
