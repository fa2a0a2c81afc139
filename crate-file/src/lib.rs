//! Reads a `.crate` file: the archive, the metadata that belongs to it, and the line of the index that cargo resolves by.
//!
//! A publish token signs the checksum of the file. Everything else that cargo goes by follows from the file, and this is the
//! one place where it is worked out: for the gateway before it stores a version, and for anybody who verifies one later.

mod archive;
pub mod characters;
mod error;
mod file;
pub mod index;
pub mod metadata;
pub mod nesting;
mod path;

pub use error::{CrateFileError, MAX_DEPTH, PathError};
pub use file::{
    ALWAYS_UNPACKED, CrateFile, MAX_MANIFEST, MAX_RATIO, MAX_README, MAX_UNPACKED, is_reserved_name,
};
pub use path::{MAX_ENTRIES, MAX_PATHS};
