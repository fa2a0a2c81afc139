//! Why a file is not a crate.

use std::io;

/// The most folders that a file may be in. The most known are 9.
pub const MAX_DEPTH: usize = 64;

/// Why a file is not a crate.
#[derive(Debug, thiserror::Error)]
pub enum CrateFileError {
    /// Not gzip, or not tar in it, or damaged.
    #[error("the crate file is not a gzipped tar archive: {0}")]
    Archive(io::Error),
    /// Neither `ustar` nor GNU.
    #[error("the crate file has a tar header that is neither `ustar` nor GNU")]
    Header,
    /// Something after the archive.
    #[error("the crate file has bytes after its archive")]
    TrailingBytes,
    /// A directory, link, device, pax header …
    #[error("`{path}` in the crate file is a {kind}; only plain files are accepted")]
    EntryKind {
        /// Its path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A header, or what fills up the space before the next one, is not as cargo and tar write it.
    #[error(
        "the header of `{0}` in the crate file is not written as cargo writes it, and readers differ about it; package the \
         crate with cargo"
    )]
    Spelling(String),
    /// Fields in the gzip header that cargo does not write.
    #[error("the crate file has a gzip header with more than a file's name in it")]
    Gzip,
    /// Two blocks of zeros are missing.
    #[error("the archive in the crate file has no end: two blocks of zeros")]
    NoEnd,
    /// A path that could lead out of the folder, or that another system reads as another path.
    #[error("the crate file has the path `{path}`: {reason}")]
    Path {
        /// The path, escaped.
        path: String,
        /// Why it is not taken.
        reason: PathError,
    },
    /// One path twice, perhaps in another case.
    #[error(
        "the crate file has `{0}` twice (case makes no difference, nor does how an accent is written, or what is not seen)"
    )]
    PathTwice(String),
    /// One path is a file, and others are in it.
    #[error("the crate file has `{0}`, and by its other paths that is a file and a folder")]
    FileAndFolder(String),
    /// No manifest.
    #[error("the crate file has no `{0}Cargo.toml`")]
    NoManifest(String),
    /// `cargo.toml`, which some file systems take for `Cargo.toml`.
    #[error("the crate file has `{0}`, which must be spelt `Cargo.toml`")]
    ManifestCase(String),
    /// More than it is worth reading.
    #[error("the crate file has {0}")]
    TooMuch(&'static str),
    /// No file can have the name `NAME-VERSION.crate`.
    #[error(
        "the crate's name and version are too long: `NAME-VERSION.crate` has {0} bytes, and no file has a name of more than 255"
    )]
    NameTooLong(usize),
    /// A text that is none.
    #[error("`{0}` in the crate file is not UTF-8")]
    NotUtf8(String),
}

/// Why a path is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Bytes that are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Elsewhere, or by way of elsewhere.
    #[error("every path must lie below `{0}`")]
    Elsewhere(String),
    /// A character with which Windows does something else.
    #[error("no file on Windows can have `{0}` in its name")]
    Windows(char),
    /// A character that is not seen.
    #[error("it has the character U+{:04X}, which hides or reorders what is shown", u32::from(*.0))]
    Hidden(char),
    /// What Windows leaves out.
    #[error("`{0}` ends in a dot or a blank, which Windows leaves out")]
    End(String),
    /// A name that is another file's short name on Windows.
    #[error("`{0}` has the form of a short name, by which Windows could mean another file")]
    ShortName(String),
    /// In more folders than any file is.
    #[error("it leads through more than {MAX_DEPTH} folders")]
    TooDeep,
}
