//! The archive in a crate file: one gzip member around one tar archive of plain files, and nothing besides.

use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use flate2::bufread::GzDecoder;

use crate::error::CrateFileError;
use header::{BLOCK, Header, Kind, Unusual};

mod header;

/// The longest path, in bytes: what Linux opens.
const MAX_PATH: u64 = 4096;
/// How much is read at once, in bytes, packed and unpacked.
const PIECE: usize = 64 << 10;

/// Goes over the plain files of an archive, with their whole paths, and sees that nothing else is in it. What comes after
/// a break is not looked at. More than `limit` bytes are not unpacked.
pub(crate) fn walk(
    packed: &mut (impl Read + Seek),
    limit: u64,
    mut file: impl FnMut(&[u8], &mut dyn Read) -> Result<ControlFlow<()>, CrateFileError>,
) -> Result<(), CrateFileError> {
    packed.seek(SeekFrom::Start(0)).map_err(CrateFileError::Archive)?;
    let mut packed = BufReader::with_capacity(PIECE, packed);
    plain_gzip(packed.fill_buf().map_err(CrateFileError::Archive)?)?;
    let unpacked = Bounded { inner: GzDecoder::new(packed), left: limit };
    let mut archive = Archive(BufReader::with_capacity(PIECE, unpacked));
    let mut long_name = None;
    while let Some(header) = archive.header()? {
        match header.kind {
            Kind::LongName if long_name.is_none() => long_name = Some(archive.long_name(header.size)?),
            Kind::LongName => return Err(spelling(&header.path())),
            Kind::File => {
                let path = match long_name.take() {
                    Some(long_name) if !header.begins(&long_name) => return Err(spelling(&long_name)),
                    Some(long_name) => long_name,
                    None => header.path(),
                };
                let mut content = (&mut archive.0).take(header.size);
                if file(&path, &mut content)?.is_break() {
                    return Ok(());
                }
                io::copy(&mut content, &mut io::sink()).map_err(archive_error)?;
                if content.limit() > 0 {
                    return Err(CrateFileError::Archive(io::ErrorKind::UnexpectedEof.into()));
                }
                archive.padding(header.size, &path)?;
            }
        }
    }
    match long_name {
        Some(long_name) => Err(spelling(&long_name)),
        None => archive.nothing_follows(),
    }
}

/// RFC 1952, 2.3.1: of the fields that a gzip header may have, cargo writes the file's name and no other.
fn plain_gzip(begin: &[u8]) -> Result<(), CrateFileError> {
    const FILE_NAME: u8 = 8;
    match begin {
        [0x1F, 0x8B, 8, flags, ..] if *flags != 0 && *flags != FILE_NAME => Err(CrateFileError::Gzip),
        _ => Ok(()),
    }
}

/// Unpacked, at the beginning of a block.
struct Archive<R>(BufReader<Bounded<GzDecoder<R>>>);

impl<R: io::BufRead> Archive<R> {
    /// The next header; `None` where the archive ends, behind the first of its two blocks of zeros.
    fn header(&mut self) -> Result<Option<Header>, CrateFileError> {
        let mut block = [0; BLOCK];
        if self.0.fill_buf().map_err(archive_error)?.is_empty() {
            return Err(CrateFileError::NoEnd);
        }
        self.0.read_exact(&mut block).map_err(archive_error)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let name: Vec<u8> = block[..100].iter().copied().take_while(|byte| *byte != 0).collect();
        Header::read(&block).map(Some).map_err(|unusual| match unusual {
            Unusual::Form => CrateFileError::Header,
            Unusual::Kind(kind) => CrateFileError::EntryKind { path: escaped(&name), kind },
            Unusual::Spelling => spelling(&name),
        })
    }

    /// GNU tar ends a long name with one NUL; readers differ about what comes after a NUL, so nothing may.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, CrateFileError> {
        if size > MAX_PATH {
            return Err(CrateFileError::TooMuch("a path of more than 4,096 bytes"));
        }
        let mut name = vec![0; size as usize];
        self.0.read_exact(&mut name).map_err(archive_error)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(spelling(&name));
        }
        self.padding(size, &name)?;
        Ok(name)
    }

    /// Contents are filled up with zeros to a whole block.
    fn padding(&mut self, size: u64, path: &[u8]) -> Result<(), CrateFileError> {
        let mut block = [0; BLOCK];
        let padding = &mut block[..(size.next_multiple_of(BLOCK as u64) - size) as usize];
        self.0.read_exact(padding).map_err(archive_error)?;
        if padding.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(spelling(path)) }
    }

    /// After the first block of zeros there are another and perhaps more, then the end of the gzip member, then the end of the
    /// file.
    fn nothing_follows(mut self) -> Result<(), CrateFileError> {
        let mut zeros = 0;
        loop {
            let read = self.0.fill_buf().map_err(archive_error)?;
            if read.is_empty() {
                break;
            }
            if read.iter().any(|byte| *byte != 0) {
                return Err(CrateFileError::TrailingBytes);
            }
            let read = read.len();
            zeros += read;
            self.0.consume(read);
        }
        if zeros < BLOCK || !zeros.is_multiple_of(BLOCK) {
            return Err(CrateFileError::NoEnd);
        }
        let mut packed = self.0.into_inner().inner.into_inner();
        if packed.fill_buf().map_err(CrateFileError::Archive)?.is_empty() {
            Ok(())
        } else {
            Err(CrateFileError::TrailingBytes)
        }
    }
}

fn spelling(path: &[u8]) -> CrateFileError {
    CrateFileError::Spelling(escaped(path))
}

/// A path that is not known to be text, and not longer than it takes to recognise it.
pub(crate) fn escaped(path: &[u8]) -> String {
    let short = String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
    short.chars().flat_map(char::escape_debug).collect()
}

/// Stops a decompression bomb. The end of the allowance is an error, not an end of file.
struct Bounded<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("more than it may unpack to")]
struct OverLimit;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(OverLimit))?;
        Ok(read)
    }
}

pub(crate) fn archive_error(error: io::Error) -> CrateFileError {
    if error.get_ref().is_some_and(|inner| inner.is::<OverLimit>()) {
        return CrateFileError::TooMuch(
            "far more bytes in it than its size allows (512 MiB, or 100 times its size)",
        );
    }
    CrateFileError::Archive(error)
}
