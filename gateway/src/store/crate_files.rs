//! The files of versions, wherever the store keeps them: in its folder, or in a PostgreSQL.

mod leftovers;
mod postgres;

use std::fs::File;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::sql::{Engine, Sql};
use super::{Store, StoreError, files};
pub(super) use leftovers::{Leftovers, Sending};
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
            return Ok(Sent::Unsent { checksum: checksum.to_owned(), piece });
        }
        self.sent(upload, checksum)
    }

    /// Brings an upload to disk, or to where the database is: that takes time that others need not wait for.
    pub(super) fn sent(&self, mut upload: NamedTempFile, checksum: &str) -> Result<Sent, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => {
                upload.as_file().sync_all().map_err(files::at(upload.path()))?;
                Ok(Sent::Not(upload))
            }
            Engine::Postgres(postgres) => {
                let mut sending = self.sending(checksum);
                let epoch = self.epoch();
                let pieces = postgres::send(postgres, upload.as_file_mut(), &mut sending, epoch.as_ref())?;
                Ok(Sent::Pieces { pieces, sending })
            }
        }
    }

    /// Makes an upload the file of a version, in the transaction that makes the version. What was sent before is kept if that is
    /// committed.
    pub(super) fn keep(
        &self,
        transaction: &Sql<'_>,
        upload: Sent,
        name: &str,
        version: &str,
    ) -> Result<Option<Sending>, StoreError> {
        match upload {
            Sent::Not(upload) => self.moved(upload, name, version).map(|()| None),
            Sent::Unsent { checksum, piece } => {
                postgres::write(transaction, &checksum, &piece)?;
                postgres::refer(transaction, (name, version), &checksum, 1).map(|()| None)
            }
            Sent::Pieces { pieces, sending } => {
                note(transaction, (name, version), sending.checksum(), pieces)?;
                self.end_upload(transaction, sending.checksum())?;
                Ok(Some(sending))
            }
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
    /// It is on disk where it was received, and is moved.
    Not(NamedTempFile),
    /// Its only piece is still to be sent.
    Unsent { checksum: String, piece: Vec<u8> },
    /// It is in the database, and nothing refers to it yet.
    Pieces { pieces: i64, sending: Sending },
}
