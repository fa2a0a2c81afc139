//! A `.crate` file: one gzip member around one tar archive of plain files below `NAME-VERSION/`.
//!
//! What cargo writes is a small part of what tar can hold. Only that part is accepted, so that no reader of the same
//! bytes sees other files than this one did: `ustar` or GNU headers, spelt as cargo or tar spells them; regular files and GNU
//! long names; no directories, links, devices, pax headers; no path that is another one, or the same as another, on some
//! system; nothing after the archive.

use std::io::{Read, Seek};
use std::ops::ControlFlow;

use crate::archive::{archive_error, walk};
use crate::error::CrateFileError;
use crate::path::{self, Seen};

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

/// The longest name of a file, in bytes, that the usual file systems take.
const MAX_NAME: usize = 255;
const MANIFEST: &str = "Cargo.toml";

/// A crate file whose entries were all checked.
#[derive(Debug)]
pub struct CrateFile<R> {
    packed: R,
    limit: u64,
    root: String,
    manifest: String,
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
        let own_name = root.len() - 1 + ".crate".len();
        if own_name > MAX_NAME {
            return Err(CrateFileError::NameTooLong(own_name));
        }
        let manifest = look_through(&mut packed, limit, &root)?;
        Ok(Self { packed, limit, root, manifest })
    }

    /// The text of Cargo.toml.
    #[must_use]
    pub fn manifest(&self) -> &str {
        &self.manifest
    }

    /// Goes through all files: the path of each below the root, and what is in it.
    ///
    /// # Errors
    /// [`CrateFileError`]; [`CrateFileError::Archive`] with an error of `look`.
    pub fn each(
        &mut self,
        mut look: impl FnMut(&str, &mut dyn Read) -> std::io::Result<()>,
    ) -> Result<(), CrateFileError> {
        let root = &self.root;
        walk(&mut self.packed, self.limit, |name, content| {
            let path = path::checked(name, root)?;
            look(&path[root.len()..], content).map_err(archive_error)?;
            Ok(ControlFlow::Continue(()))
        })
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
    let mut seen = Seen::default();
    let mut manifest = None;
    walk(packed, limit, |raw, content| {
        let path = path::checked(raw, root)?;
        seen.add(path)?;
        match &path[root.len()..] {
            MANIFEST => {
                manifest = Some(read_text(content, path, MAX_MANIFEST, "a Cargo.toml of more than 1 MiB")?);
            }
            other if path::folded(other) == path::folded(MANIFEST) => {
                return Err(CrateFileError::ManifestCase(path.to_owned()));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    manifest.ok_or_else(|| CrateFileError::NoManifest(root.to_owned()))
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

/// Names that Windows takes for devices; a crate with such a name could not be unpacked there.
#[must_use]
pub fn is_reserved_name(name: &str) -> bool {
    const RESERVED: [&str; 22] = [
        "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2",
        "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}
