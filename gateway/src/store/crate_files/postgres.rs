//! Crate files in a PostgreSQL: in pieces, which are written before anything refers to them, so that nobody else waits while
//! they travel. A piece belongs to a checksum, and whoever sends the same file again sends the same pieces.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::super::gateways::Epoch;
use super::super::sql::{Postgres, Row, Sql, values};
use super::super::{Store, StoreError, files};
use super::{Pieces, Sending};

/// The length of a piece in bytes. The last one of a file is shorter.
const PIECE: u64 = 256 << 10;

const NEXT_PIECE: &str = "INSERT INTO piece (cksum, number, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
/// Somebody who took this gateway for dead may have removed the note with the pieces before.
const NOTED_PIECE: &str =
    "WITH noted AS (INSERT INTO upload (cksum, epoch) VALUES (?1, ?4) ON CONFLICT DO NOTHING)
     INSERT INTO piece (cksum, number, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

/// Writes the pieces of a file, each in a transaction of its own, with a note that this gateway is sending them. Returns how many
/// there are.
pub(super) fn send(
    postgres: &Postgres,
    upload: &mut File,
    sending: &mut Sending,
    epoch: Option<&Epoch>,
) -> Result<i64, StoreError> {
    let checksum = sending.checksum().to_owned();
    let checksum = checksum.as_str();
    let failed = |error: io::Error| files::at(checksum.as_ref())(error);
    upload.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut piece = Vec::new();
    for number in 0.. {
        piece.clear();
        upload.take(PIECE).read_to_end(&mut piece).map_err(failed)?;
        if piece.is_empty() {
            return Ok(number);
        }
        let session = postgres.session()?;
        let sent = match epoch {
            Some(epoch) => {
                session.execute(NOTED_PIECE, values![checksum, number, piece.as_slice(), epoch.as_str()])
            }
            None => session.execute(NEXT_PIECE, values![checksum, number, piece.as_slice()]),
        };
        if let Err(StoreError::Database(error)) = &sent
            && error.leaves_open()
        {
            sending.may_arrive();
        }
        sent?;
    }
    Ok(0)
}

/// The whole of a file that is no longer than a piece.
pub(super) fn only_piece(mut upload: &File, checksum: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error: io::Error| files::at(checksum.as_ref())(error);
    if upload.metadata().map_err(failed)?.len() > PIECE {
        return Ok(None);
    }
    upload.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut piece = Vec::new();
    upload.read_to_end(&mut piece).map_err(failed)?;
    Ok(Some(piece))
}

/// Writes the only piece of a file, in the transaction that comes to refer to it.
pub(in super::super) fn write(transaction: &Sql<'_>, checksum: &str, piece: &[u8]) -> Result<(), StoreError> {
    transaction.run(NEXT_PIECE, values![checksum, 0_i64, piece])
}

/// Notes that a version has the file whose pieces were sent.
///
/// # Errors
/// [`StoreError::PiecesGone`].
pub(in super::super) fn note(
    transaction: &Sql<'_>,
    (name, version): (&str, &str),
    checksum: &str,
    pieces: i64,
) -> Result<(), StoreError> {
    are_there(transaction, checksum, pieces)?;
    refer(transaction, (name, version), checksum, pieces)
}

/// Notes that a version has the file with these pieces.
pub(super) fn refer(
    transaction: &Sql<'_>,
    (name, version): (&str, &str),
    checksum: &str,
    pieces: i64,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO file (name, version, cksum, pieces) VALUES (?, ?, ?, ?)";
    transaction.run(insert, values![name, version, checksum, pieces])
}

/// Looks whether the pieces that were sent of a file are there.
///
/// # Errors
/// [`StoreError::PiecesGone`].
pub(in super::super) fn are_there(
    transaction: &Sql<'_>,
    checksum: &str,
    pieces: i64,
) -> Result<(), StoreError> {
    let there = "SELECT count(*) FROM piece WHERE cksum = ?";
    let there: i64 = transaction.one(there, values![checksum], |row| row.get(0))?;
    if there == pieces { Ok(()) } else { Err(StoreError::PiecesGone) }
}

/// The pieces of a version's file. They are all there.
pub(super) fn pieces(store: &Store, name: &str, version: &str) -> Result<Pieces, StoreError> {
    let path = store.crate_file(name, version);
    let known = "SELECT file.cksum, pieces, CAST(sum(octet_length(bytes)) AS BIGINT) FROM file
                 JOIN piece ON piece.cksum = file.cksum AND number < pieces WHERE name = ? AND version = ?
                 GROUP BY file.cksum, pieces HAVING count(*) = pieces";
    let known = store.reader()?.optional(known, values![name, version], |row| {
        Ok((row.get::<String>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?))
    })?;
    let Some((checksum, count, length)) = known else { return Err(missing(&path)) };
    Ok(Pieces { path, checksum, count, length: u64::try_from(length).unwrap_or_default() })
}

pub(super) fn piece(store: &Store, pieces: &Pieces, number: i64) -> Result<Vec<u8>, StoreError> {
    let piece = "SELECT bytes FROM piece WHERE cksum = ? AND number = ?";
    let read = |row: &Row<'_>| row.get::<Vec<u8>>(0);
    let piece = store.reader()?.optional(piece, values![&pieces.checksum, number], read)?;
    piece.ok_or_else(|| missing(&pieces.path))
}

/// Fetches the file of a version into a new file without a name.
pub(super) fn fetched(store: &Store, name: &str, version: &str) -> Result<File, StoreError> {
    whole(store, &pieces(store, name, version)?)
}

/// Fetches the file with this checksum. There is nothing that says how many pieces it has but they themselves.
pub(in super::super) fn fetched_by_checksum(
    store: &Store,
    path: PathBuf,
    checksum: &str,
) -> Result<File, StoreError> {
    let there =
        "SELECT count(*), CAST(coalesce(sum(octet_length(bytes)), 0) AS BIGINT) FROM piece WHERE cksum = ?";
    let (count, length): (i64, i64) =
        store.reader()?.one(there, values![checksum], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if count == 0 {
        return Err(missing(&path));
    }
    let length = u64::try_from(length).unwrap_or_default();
    whole(store, &Pieces { path, checksum: checksum.to_owned(), count, length })
}

fn whole(store: &Store, pieces: &Pieces) -> Result<File, StoreError> {
    let failed = |error: io::Error| files::at(&pieces.path)(error);
    let mut file = tempfile::tempfile_in(store.folder.join(files::UPLOADS)).map_err(failed)?;
    for number in 0..pieces.count {
        file.write_all(&piece(store, pieces, number)?).map_err(failed)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(file)
}

fn missing(path: &Path) -> StoreError {
    files::at(path)(io::ErrorKind::NotFound.into())
}
