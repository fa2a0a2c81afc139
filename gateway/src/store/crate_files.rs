//! The files of versions, wherever the store keeps them: in its folder, or in a PostgreSQL.

mod postgres;

use std::fs::File;

use tempfile::NamedTempFile;

use super::sql::{Engine, Sql};
use super::{Store, StoreError, files, gateways};
pub(super) use postgres::note;

impl Store {
    /// Opens the file of a version.
    ///
    /// # Errors
    /// [`StoreError::File`], also if it is missing; [`StoreError::Database`].
    pub(crate) fn open_crate_file(&self, name: &str, version: &str) -> Result<File, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => {
                let path = self.crate_file(name, version);
                File::open(&path).map_err(files::at(&path))
            }
            Engine::Postgres(postgres) => postgres::fetched(self, postgres, name, version),
        }
    }

    /// Brings an upload to where the database is, if that takes time that others need not wait for.
    pub(super) fn sent(&self, mut upload: NamedTempFile, checksum: &str) -> Result<Sent, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Sent::Not(upload)),
            Engine::Postgres(postgres) => {
                let pieces = postgres::send(postgres, upload.as_file_mut(), checksum, self.epoch().as_ref())?;
                Ok(Sent::Pieces { checksum: checksum.to_owned(), pieces })
            }
        }
    }

    /// Makes an upload the file of a version, in the transaction that makes the version.
    pub(super) fn keep(
        &self,
        transaction: &Sql<'_>,
        upload: Sent,
        name: &str,
        version: &str,
    ) -> Result<(), StoreError> {
        match upload {
            Sent::Not(upload) => self.moved(upload, name, version),
            Sent::Pieces { checksum, pieces } => {
                note(transaction, (name, version), &checksum, pieces)?;
                self.end_upload(transaction, &checksum)
            }
        }
    }

    /// Removes what was sent in vain, unless it is another version's file too.
    pub(super) fn give_up(&self, checksum: &str) {
        let given_up = match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(_) => self.write(|transaction| self.end_upload(transaction, checksum)),
        };
        if let Err(error) = given_up {
            tracing::warn!(%error, "an upload in vain is removed when this gateway has ended");
        }
    }

    fn end_upload(&self, transaction: &Sql<'_>, checksum: &str) -> Result<(), StoreError> {
        match self.epoch() {
            Some(epoch) => gateways::end_upload(transaction, checksum, &epoch),
            None => Ok(()),
        }
    }
}

/// An upload that was checked.
pub(super) enum Sent {
    /// It is where it was received, and is moved.
    Not(NamedTempFile),
    /// It is in the database, and nothing refers to it yet.
    Pieces { checksum: String, pieces: i64 },
}
