//! Where sealed tokens lie: `$CARGO_HOME/yk-cargo/sealed/`, one file per registry, readable by nobody else.
//!
//! The name is made from the index URL, host first so that a person finds it; 16 hexadecimal digits of the URL's SHA-256
//! make it unique.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::enrollment::{Edit, SealedToken};
use crate::error::Error;
use crate::folder;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::sealed::{AgeFile, FileError, LONGEST_FILE};
use crate::text::escape;

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
/// [`Error::Sealed`] if it is not there or none of ours, [`Error::Enrollments`] if others may write it.
pub fn load(cargo_home: &Path, token: &SealedToken) -> Result<AgeFile, Error> {
    let path = path(cargo_home, &token.index);
    let unusable =
        |problem| Error::Sealed { registry: escape(token.display_name()), file: path.clone(), problem };
    let bytes =
        folder::read_bytes(&path, LONGEST_FILE as u64 + 1)?.ok_or_else(|| unusable(FileError::Missing))?;
    AgeFile::parse(bytes).map_err(unusable)
}

/// Keeps a sealed token: the file first, then the entry, so that what is listed can be opened.
///
/// # Errors
/// [`Error::Enrollments`] with the file that cannot be written.
pub fn keep(cargo_home: &Path, token: &SealedToken, sealed: &AgeFile) -> Result<PathBuf, Error> {
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
/// [`Error::Enrollments`] with the file that cannot be changed.
pub fn remove(cargo_home: &Path, index: &IndexUrl) -> Result<(), Error> {
    let path = path(cargo_home, index);
    Edit::begin(cargo_home)?.remove_sealed(index)?;
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(folder::Error::Io { action: "remove", path, source }.into())
        }
        _ => Ok(()),
    }
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
