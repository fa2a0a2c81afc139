//! Crate files in a PostgreSQL: in pieces, which are written before anything refers to them, so that nobody else waits while
//! they travel. A piece belongs to a checksum, and whoever sends the same file again sends the same pieces.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use super::super::gateways::Epoch;
use super::super::sql::{Postgres, Row, Sql, values};
use super::super::{Store, StoreError, files};

/// The length of a piece in bytes. The last one of a file is shorter.
const PIECE: u64 = 256 << 10;

const NEXT_PIECE: &str = "INSERT INTO piece (cksum, number, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
const FIRST_PIECE: &str =
    "WITH noted AS (INSERT INTO upload (cksum, epoch) VALUES (?1, ?4) ON CONFLICT DO NOTHING)
     INSERT INTO piece (cksum, number, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

/// Writes the pieces of a file, each in a transaction of its own, and with the first that this gateway is sending them.
/// Returns how many there are.
pub(super) fn send(
    postgres: &Postgres,
    upload: &mut File,
    checksum: &str,
    epoch: Option<&Epoch>,
) -> Result<i64, StoreError> {
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
        match epoch.filter(|_| number == 0) {
            Some(epoch) => {
                session.execute(FIRST_PIECE, values![checksum, number, piece.as_slice(), epoch.as_str()])?
            }
            None => session.execute(NEXT_PIECE, values![checksum, number, piece.as_slice()])?,
        };
    }
    Ok(0)
}

/// Notes that a version has the file whose pieces were sent.
pub(in super::super) fn note(
    transaction: &Sql<'_>,
    (name, version): (&str, &str),
    checksum: &str,
    pieces: i64,
) -> Result<(), StoreError> {
    let there = "SELECT count(*) FROM piece WHERE cksum = ?";
    if transaction.one(there, values![checksum], |row| row.get::<i64>(0))? != pieces {
        return Err(StoreError::Damaged(format!("pieces of the upload {checksum} were removed")));
    }
    let insert = "INSERT INTO file (name, version, cksum, pieces) VALUES (?, ?, ?, ?)";
    transaction.execute(insert, values![name, version, checksum, pieces]).map(drop)
}

/// Fetches the file of a version into a new file without a name. A connection is taken for each piece anew.
pub(super) fn fetched(
    store: &Store,
    postgres: &Postgres,
    name: &str,
    version: &str,
) -> Result<File, StoreError> {
    let path = store.crate_file(name, version);
    let missing = || files::at(&path)(io::ErrorKind::NotFound.into());
    let known = "SELECT cksum, pieces FROM file WHERE name = ? AND version = ?";
    let known = postgres
        .session()?
        .optional(known, values![name, version], |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?)))?;
    let (checksum, pieces) = known.ok_or_else(missing)?;
    let mut file = tempfile::tempfile_in(store.folder.join(files::UPLOADS)).map_err(files::at(&path))?;
    for number in 0..pieces {
        let piece = "SELECT bytes FROM piece WHERE cksum = ? AND number = ?";
        let read = |row: &Row<'_>| row.get::<Vec<u8>>(0);
        let piece = postgres.session()?.optional(piece, values![&checksum, number], read)?;
        file.write_all(&piece.ok_or_else(missing)?).map_err(files::at(&path))?;
    }
    file.seek(SeekFrom::Start(0)).map_err(files::at(&path))?;
    Ok(file)
}
