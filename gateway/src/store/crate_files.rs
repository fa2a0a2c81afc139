//! The files of versions, wherever the store keeps them: in its folder, or in a PostgreSQL.

mod postgres;

use std::fs::File;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::sql::{Engine, Sql};
use super::{Store, StoreError, files, gateways};
pub(super) use postgres::{are_there, fetched_by_checksum, note, write};

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

    /// An upload that is to be kept soon: sent, or so small that it can be written with what refers to it.
    pub(super) fn ready(&self, upload: NamedTempFile, checksum: &str) -> Result<Sent, StoreError> {
        if let Engine::Postgres(_) = &self.engine
            && let Some(piece) = postgres::only_piece(upload.as_file(), checksum)?
        {
            return Ok(Sent::Pieces { checksum: checksum.to_owned(), pieces: 1, unsent: Some(piece) });
        }
        self.sent(upload, checksum)
    }

    /// Brings an upload to where the database is, if that takes time that others need not wait for.
    pub(super) fn sent(&self, mut upload: NamedTempFile, checksum: &str) -> Result<Sent, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Sent::Not(upload)),
            Engine::Postgres(postgres) => {
                let pieces = postgres::send(postgres, upload.as_file_mut(), checksum, self.epoch().as_ref())?;
                Ok(Sent::Pieces { checksum: checksum.to_owned(), pieces, unsent: None })
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
            Sent::Pieces { checksum, pieces, unsent: Some(piece) } => {
                postgres::write(transaction, &checksum, &piece)?;
                postgres::refer(transaction, (name, version), &checksum, pieces)
            }
            Sent::Pieces { checksum, pieces, unsent: None } => {
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
            tracing::warn!(%error, "the leftovers of an upload will be removed when this gateway has stopped");
        }
    }

    pub(super) fn end_upload(&self, transaction: &Sql<'_>, checksum: &str) -> Result<(), StoreError> {
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
    /// It is in the database, and nothing refers to it yet; or it is the one piece that is still to be sent.
    Pieces { checksum: String, pieces: i64, unsent: Option<Vec<u8>> },
}

impl Sent {
    /// Whether there is something in the database that is removed if nothing comes to refer to it.
    pub(super) fn may_be_left(&self) -> bool {
        matches!(self, Self::Pieces { unsent: None, .. })
    }
}
