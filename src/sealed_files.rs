//! Where sealed tokens lie: `$CARGO_HOME/yk-cargo/sealed/`, one file per registry, readable by nobody else.
//!
//! The name is made from the index URL, host first so that a person finds it; 16 hexadecimal digits of the URL's SHA-256
//! make it unique.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::enrollment::{self, Edit, SealedToken};
use crate::folder;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::sealed::{AgeFile, FileError, LONGEST_FILE};
use crate::text::{escape, foreign_word};

/// The folder with the files.
#[must_use]
pub fn directory(cargo_home: &Path) -> PathBuf {
    folder::in_cargo_home(cargo_home).join("sealed")
}

/// The file for an index URL, whether it is there or not.
#[must_use]
pub fn path(cargo_home: &Path, index: &IndexUrl) -> PathBuf {
    let host = if *index == CRATES_IO { "crates.io".to_owned() } else { index.host() };
    let plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    let host: String = host.chars().filter(plain).take(40).collect();
    let hash: String =
        Sha256::digest(index.as_str()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    directory(cargo_home).join(format!("{}-{hash}.age", host.trim_start_matches('.').to_ascii_lowercase()))
}

/// The file of a registry.
///
/// # Errors
/// [`Error::Unusable`] if it is not there or none of ours, [`Error::Folder`] if others may write it.
pub fn load(cargo_home: &Path, token: &SealedToken) -> Result<AgeFile, Error> {
    let unusable = |problem| unusable(cargo_home, token, problem);
    let bytes = folder::read_bytes(&path(cargo_home, &token.index), LONGEST_FILE as u64 + 1)?;
    AgeFile::parse(bytes.ok_or_else(|| unusable(FileError::Missing))?).map_err(unusable)
}

/// Keeps a sealed token: the file first, then the entry, so that what is listed can be opened.
///
/// # Errors
/// [`enrollment::Error`] with the file that cannot be written.
pub fn keep(cargo_home: &Path, token: &SealedToken, sealed: &AgeFile) -> Result<PathBuf, enrollment::Error> {
    let path = path(cargo_home, &token.index);
    let mut edit = Edit::begin(cargo_home)?;
    folder::create(&directory(cargo_home))?;
    folder::replace(&path, sealed.as_bytes())?;
    edit.set_sealed(token)?;
    Ok(path)
}

/// Removes a sealed token: the entry first, then the file.
///
/// # Errors
/// [`enrollment::Error`] with the file that cannot be changed.
pub fn remove(cargo_home: &Path, index: &IndexUrl) -> Result<(), enrollment::Error> {
    let path = path(cargo_home, index);
    Edit::begin(cargo_home)?.remove_sealed(index)?;
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(folder::Error::Io { action: "remove", path, source }.into())
        }
        _ => Ok(()),
    }
}

/// Why a sealed token cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read or trusted.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// It gives no token.
    #[error("the sealed token of `{registry}` cannot be used ({})", file.display())]
    Unusable {
        /// The registry's name, escaped.
        registry: String,
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        problem: FileError,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Unusable { registry, .. } => make_a_new_one(registry),
        }
    }
}

/// The error for a file that gives no token.
#[must_use]
pub fn unusable(cargo_home: &Path, token: &SealedToken, problem: FileError) -> Error {
    let file = path(cargo_home, &token.index);
    Error::Unusable { registry: escape(token.display_name()), file, problem }
}

/// The next step where a sealed token of a registry (its name, escaped) is lost.
#[must_use]
pub fn make_a_new_one(registry: &str) -> String {
    format!(
        "make a new token at the registry and seal it: yk-cargo seal {} --rotate; then revoke the old one",
        foreign_word(registry)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_every_url() {
        let name = |index: &str| {
            path(Path::new("/c"), &index.parse().unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert!(name(CRATES_IO).starts_with("crates.io-"), "{}", name(CRATES_IO));
        assert!(name("sparse+https://R.Example:8080/a/").starts_with("r.example-"));
        let urls = ["sparse+https://r/a/", "sparse+https://r/b/", "https://r/a/", "sparse+https://R/a/"];
        let names: std::collections::BTreeSet<_> = urls.map(name).into();
        assert_eq!(names.len(), urls.len());
        for evil in ["sparse+https://../../x/", "ssh://git@[::1]/..", "file:///../x"] {
            let path = path(Path::new("/c"), &evil.parse().unwrap());
            assert_eq!(path.parent(), Some(Path::new("/c/yk-cargo/sealed")), "{evil}");
            assert!(!name(evil).starts_with('.'), "{evil}");
        }
    }
}
