//! The files of versions, wherever the store keeps them: in its folder, or in a PostgreSQL.

mod postgres;

use std::fs::File;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::sql::{Engine, Sql};
use super::{Store, StoreError, files, gateways};

impl Store {
    /// The file of a version, to be sent.
    ///
    /// # Errors
    /// [`StoreError::File`], also if it is missing; [`StoreError::Database`].
    pub(super) fn found_crate_file(&self, name: &str, version: &str) -> Result<CrateFile, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => self.open_crate_file(name, version).map(CrateFile::InFolder),
            Engine::Postgres(_) => postgres::pieces(self, name, version).map(CrateFile::InPieces),
        }
    }

    /// A piece of a file, by its number from 0. A connection is in use only as long as it is read.
    ///
    /// # Errors
    /// [`StoreError::File`] if it is missing; [`StoreError::Database`].
    pub(crate) fn piece(&self, pieces: &Pieces, number: i64) -> Result<Vec<u8>, StoreError> {
        postgres::piece(self, pieces, number)
    }

    /// The file of a version, to be read as a whole.
    ///
    /// # Errors
    /// [`StoreError::File`], also if it is missing; [`StoreError::Database`].
    pub(crate) fn open_crate_file(&self, name: &str, version: &str) -> Result<File, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => {
                let path = self.crate_file(name, version);
                File::open(&path).map_err(files::at(&path))
            }
            Engine::Postgres(_) => postgres::fetched(self, name, version),
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
                postgres::keep(transaction, (name, version), &checksum, pieces)?;
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

/// A version's file.
pub(crate) enum CrateFile {
    InFolder(File),
    InPieces(Pieces),
}

/// A version's file in a PostgreSQL.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// Where it should be, if it were in a folder.
    path: PathBuf,
    checksum: String,
    /// How many there are: at least one.
    pub(crate) count: i64,
    /// Of the whole, in bytes.
    pub(crate) length: u64,
}

/// An upload that was checked.
pub(super) enum Sent {
    /// It is where it was received, and is moved.
    Not(NamedTempFile),
    /// It is in the database, and nothing refers to it yet.
    Pieces { checksum: String, pieces: i64 },
}
