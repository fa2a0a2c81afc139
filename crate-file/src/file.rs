//! A `.crate` file: one gzip member around one tar archive of plain files below `NAME-VERSION/`.
//!
//! What cargo writes is a small part of what tar can hold. Only that part is accepted, so that every reader of the same
//! bytes sees the same files: `ustar` or GNU headers, regular files and GNU long names. Directories, links, devices and
//! pax headers are refused, as are two paths that differ in case only, and bytes after the archive.

use std::collections::HashSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use flate2::bufread::GzDecoder;
use tar::{Archive, EntryType};

/// The most entries a crate may have. The largest known has 2,436.
pub const MAX_ENTRIES: usize = 65_536;
/// The most bytes a crate may unpack to. The largest known has 115 MB.
pub const MAX_UNPACKED: u64 = 512 << 20;
/// How many times larger a crate may be unpacked than packed. The highest known ratio is 21. Crates of up to
/// [`ALWAYS_UNPACKED`] bytes are accepted at any ratio.
pub const MAX_RATIO: u64 = 100;
/// See [`MAX_RATIO`].
pub const ALWAYS_UNPACKED: u64 = 1 << 20;
/// The longest Cargo.toml, in bytes.
pub const MAX_MANIFEST: u64 = 1 << 20;
/// The longest readme, in bytes. It has to fit into a publish request's JSON.
pub const MAX_README: u64 = 2 << 20;

const MANIFEST: &str = "Cargo.toml";
const MAX_PATH: u64 = 4096;
/// How much of a crate file is read at once, in bytes.
const FROM_DISK: usize = 64 << 10;

/// A crate file whose entries were all checked.
#[derive(Debug)]
pub struct CrateFile<R> {
    packed: R,
    limit: u64,
    root: String,
    manifest: String,
}

/// Why a file is not accepted as a crate.
#[derive(Debug, thiserror::Error)]
pub enum CrateFileError {
    /// It is not a gzipped tar archive, or it is damaged.
    #[error("the crate file is not a gzipped tar archive: {0}")]
    Archive(io::Error),
    /// A header is neither `ustar` nor GNU.
    #[error("the crate file has a tar header that is neither `ustar` nor GNU")]
    Header,
    /// Something follows the archive.
    #[error("the crate file has bytes after its archive")]
    TrailingBytes,
    /// An entry is not a plain file.
    #[error("`{path}` in the crate file is a {kind}; only plain files are accepted")]
    EntryKind {
        /// The entry's path.
        path: String,
        /// What kind of entry it is.
        kind: &'static str,
    },
    /// A path could lead out of the crate's folder.
    #[error("the crate file has the path `{path}`; every path must lie below `{root}`")]
    Path {
        /// The path, escaped.
        path: String,
        /// `NAME-VERSION/`.
        root: String,
    },
    /// A path occurs twice, perhaps in another case.
    #[error("the crate file has `{0}` twice (case makes no difference)")]
    PathTwice(String),
    /// There is no manifest.
    #[error("the crate file has no `{0}Cargo.toml`")]
    NoManifest(String),
    /// There is a `cargo.toml`, which some file systems take for `Cargo.toml`.
    #[error("the crate file has `{0}`, which must be spelt `Cargo.toml`")]
    ManifestCase(String),
    /// It has more of something than is read.
    #[error("the crate file has {0}")]
    TooMuch(&'static str),
    /// A file that has to be a text is not one.
    #[error("`{0}` in the crate file is not UTF-8")]
    NotUtf8(String),
}

impl<R: Read + Seek> CrateFile<R> {
    /// Checks all entries of a crate file of this length in bytes. `name` and `version` are the signed ones, byte for
    /// byte.
    ///
    /// # Errors
    /// [`CrateFileError`]; each variant is one rule.
    pub fn open(mut packed: R, length: u64, name: &str, version: &str) -> Result<Self, CrateFileError> {
        let limit = MAX_UNPACKED.min((length.saturating_mul(MAX_RATIO)).max(ALWAYS_UNPACKED));
        let root = format!("{name}-{version}/");
        let manifest = look_through(&mut packed, limit, &root)?;
        Ok(Self { packed, limit, root, manifest })
    }

    /// The text of Cargo.toml.
    #[must_use]
    pub fn manifest(&self) -> &str {
        &self.manifest
    }

    /// The text of a file, by its path below the root; `None` if it is not there.
    ///
    /// # Errors
    /// [`CrateFileError::NotUtf8`], [`CrateFileError::TooMuch`].
    pub fn text(&mut self, path: &str) -> Result<Option<String>, CrateFileError> {
        let wanted = format!("{}{path}", self.root);
        let mut found = None;
        walk(&mut self.packed, self.limit, |name, content| {
            if name == wanted.as_bytes() {
                found = Some(read_text(content, &wanted, MAX_README, "a readme of more than 2 MiB")?);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}

/// Checks every entry, and returns the manifest.
fn look_through(packed: &mut (impl Read + Seek), limit: u64, root: &str) -> Result<String, CrateFileError> {
    let mut seen = HashSet::new();
    let mut manifest = None;
    walk(packed, limit, |raw, content| {
        let path = checked_path(raw, root)?;
        if !seen.insert(path.to_ascii_lowercase()) {
            return Err(CrateFileError::PathTwice(path.to_owned()));
        }
        if seen.len() > MAX_ENTRIES {
            return Err(CrateFileError::TooMuch("more than 65,536 files"));
        }
        match &path[root.len()..] {
            MANIFEST => {
                manifest = Some(read_text(content, path, MAX_MANIFEST, "a Cargo.toml of more than 1 MiB")?);
            }
            other if other.eq_ignore_ascii_case(MANIFEST) => {
                return Err(CrateFileError::ManifestCase(path.to_owned()));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    manifest.ok_or_else(|| CrateFileError::NoManifest(root.to_owned()))
}

/// Visits the plain files of an archive with their whole paths, and refuses any other entry. After a break, the rest is
/// not looked at.
fn walk(
    packed: &mut (impl Read + Seek),
    limit: u64,
    mut file: impl FnMut(&[u8], &mut dyn Read) -> Result<ControlFlow<()>, CrateFileError>,
) -> Result<(), CrateFileError> {
    packed.seek(SeekFrom::Start(0)).map_err(CrateFileError::Archive)?;
    let mut unpacked =
        Bounded { inner: GzDecoder::new(BufReader::with_capacity(FROM_DISK, packed)), left: limit };
    let mut archive = Archive::new(&mut unpacked);
    let mut long_name = None;
    for entry in archive.entries().map_err(archive_error)?.raw(true) {
        let mut entry = entry.map_err(archive_error)?;
        let header = entry.header();
        if header.as_ustar().is_none() && header.as_gnu().is_none() {
            return Err(CrateFileError::Header);
        }
        match header.entry_type() {
            EntryType::GNULongName if long_name.is_none() => long_name = Some(read_long_name(&mut entry)?),
            EntryType::Regular => {
                let path = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
                if file(&path, &mut entry)?.is_break() {
                    return Ok(());
                }
            }
            other => {
                let path = long_name.unwrap_or_else(|| header.path_bytes().into_owned());
                return Err(CrateFileError::EntryKind { path: escaped(&path), kind: kind_name(other) });
            }
        }
    }
    if long_name.is_some() {
        return Err(CrateFileError::TrailingBytes);
    }
    nothing_follows(unpacked)
}

/// The end of an archive may be followed by zeros that fill a block. Then the gzip member has to end, and the file with
/// it.
fn nothing_follows<R: Read>(mut unpacked: Bounded<GzDecoder<BufReader<R>>>) -> Result<(), CrateFileError> {
    let mut block = [0; 8192];
    loop {
        let read = unpacked.read(&mut block).map_err(archive_error)?;
        if read == 0 {
            break;
        }
        if block[..read].iter().any(|byte| *byte != 0) {
            return Err(CrateFileError::TrailingBytes);
        }
    }
    let mut packed = unpacked.inner.into_inner();
    match packed.read(&mut block).map_err(CrateFileError::Archive)? {
        0 => Ok(()),
        _ => Err(CrateFileError::TrailingBytes),
    }
}

fn checked_path<'a>(raw: &'a [u8], root: &str) -> Result<&'a str, CrateFileError> {
    let refused = || CrateFileError::Path { path: escaped(raw), root: root.to_owned() };
    let path = std::str::from_utf8(raw).map_err(|_| refused())?;
    let inner = path.strip_prefix(root).ok_or_else(refused)?;
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\')
    };
    if inner.split('/').all(plain) { Ok(path) } else { Err(refused()) }
}

/// GNU tar ends a long name with one NUL. Readers disagree about bytes after a NUL, so there may be none.
fn read_long_name(entry: &mut impl Read) -> Result<Vec<u8>, CrateFileError> {
    let mut name = Vec::new();
    entry.take(MAX_PATH + 1).read_to_end(&mut name).map_err(archive_error)?;
    if name.len() as u64 > MAX_PATH {
        return Err(CrateFileError::TooMuch("a path of more than 4,096 bytes"));
    }
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn read_text(
    content: &mut dyn Read,
    path: &str,
    limit: u64,
    too_much: &'static str,
) -> Result<String, CrateFileError> {
    let mut bytes = Vec::new();
    content.take(limit + 1).read_to_end(&mut bytes).map_err(archive_error)?;
    if bytes.len() as u64 > limit {
        return Err(CrateFileError::TooMuch(too_much));
    }
    String::from_utf8(bytes).map_err(|_| CrateFileError::NotUtf8(path.to_owned()))
}

/// Stops a decompression bomb: reading more than is allowed is an error.
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

fn archive_error(error: io::Error) -> CrateFileError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        if inner.is::<OverLimit>() {
            return CrateFileError::TooMuch(
                "far more bytes in it than its size allows (512 MiB, or 100 times its size)",
            );
        }
        cause = match inner.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => inner.source(),
        };
    }
    CrateFileError::Archive(error)
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Directory => "directory",
        EntryType::Symlink => "symbolic link",
        EntryType::Link | EntryType::GNULongLink => "link",
        EntryType::Char | EntryType::Block | EntryType::Fifo => "device",
        EntryType::XHeader | EntryType::XGlobalHeader => "pax header",
        EntryType::GNUSparse => "sparse file",
        _ => "special entry",
    }
}

fn escaped(path: &[u8]) -> String {
    path.iter().take(200).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

/// Whether Windows takes a name for a device. A crate of that name could not be unpacked there.
#[must_use]
pub fn is_reserved_name(name: &str) -> bool {
    const RESERVED: [&str; 22] = [
        "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2",
        "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}
