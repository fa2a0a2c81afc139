//! Proofs in a folder, one file for each version. What is in them is as little believed as what a registry answers: whoever can
//! write there, as in the cache of a build service, wins nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use asymmetric_token::CrateName;
use semver::Version;

use super::LONGEST_SAVED;
use crate::folder;
use crate::index_url::folder_name;

/// A folder with proofs: `HOST-HASH/NAME-VERSION.json`, in a folder for each registry ([`folder_name`]).
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// The one that a person names, whether it is there or not.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The one in cargo's home, whether it is there or not.
    #[must_use]
    pub fn in_cargo_home(cargo_home: &Path) -> Self {
        Self { folder: folder::in_cargo_home(cargo_home).join("proofs") }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is kept as the proof of a version, as long as a log proof may be; `None` if nothing is, or it cannot be read.
    #[must_use]
    pub fn read(&self, index: &str, name: &CrateName, version: &Version) -> Option<Vec<u8>> {
        folder::read_foreign_up_to(&self.file(index, name, version), LONGEST_SAVED).ok()
    }

    /// Whether anything is kept as a proof of a registry.
    #[must_use]
    pub fn has_any(&self, index: &str) -> bool {
        let files = fs::read_dir(self.folder.join(folder_name(index))).into_iter().flatten();
        files.flatten().any(|file| file.path().extension().is_some_and(|end| end == "json"))
    }

    /// Keeps the proof of a version. It need not outlast a crash, so nothing waits for the disk.
    ///
    /// # Errors
    /// It cannot be written, or a link is in the place of the folder.
    pub fn write(&self, index: &str, name: &CrateName, version: &Version, proof: &[u8]) -> io::Result<()> {
        folder::keep(&self.folder, &self.file(index, name, version), proof)
    }

    fn file(&self, index: &str, name: &CrateName, version: &Version) -> PathBuf {
        self.folder.join(folder_name(index)).join(file_name(name, version))
    }
}

/// What the file with the proof of a version is called.
#[must_use]
pub fn file_name(name: &CrateName, version: &Version) -> String {
    format!("{name}-{version}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "sparse+https://registry.example/index/";

    #[test]
    fn what_is_kept_is_found_under_its_registry_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(folder.path());
        let (name, version) = ("hello".parse().unwrap(), Version::parse("1.0.0+b").unwrap());
        assert_eq!(kept.read(INDEX, &name, &version), None);
        assert!(!kept.has_any(INDEX));
        kept.write(INDEX, &name, &version, b"one").unwrap();
        kept.write(INDEX, &name, &version, b"two").unwrap();
        assert!(kept.has_any(INDEX) && !kept.has_any("sparse+https://registry.example/"));
        assert_eq!(kept.read(INDEX, &name, &version), Some(b"two".to_vec()));
        assert_eq!(kept.read("sparse+https://registry.example/", &name, &version), None);
        let folders: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert!(folders[0].file_name().to_str().unwrap().starts_with("registry.example-"));
        assert_eq!(fs::read_dir(folders[0].path()).unwrap().count(), 1, "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(&folder.path().join("proofs"));
        let (name, version) = ("hello".parse().unwrap(), Version::new(1, 0, 0));
        let file = kept.file(INDEX, &name, &version);
        fs::create_dir_all(folder.path().join("elsewhere")).unwrap();
        fs::create_dir_all(folder.path().join("proofs")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), file.parent().unwrap()).unwrap();
        kept.write(INDEX, &name, &version, b"one").unwrap_err();
        assert_eq!(fs::read_dir(folder.path().join("elsewhere")).unwrap().count(), 0);
        // Nor where all of it is one, with a slash or without.
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("all")).unwrap();
        for all in ["all", "all/", "all/."] {
            let kept = Kept::at(&folder.path().join(all));
            kept.write(INDEX, &name, &version, b"one").unwrap_err();
            assert!(kept.read(INDEX, &name, &version).is_none(), "{all}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(folder.path());
        let (name, version) = ("hello".parse().unwrap(), Version::new(1, 0, 0));
        kept.write(INDEX, &name, &version, b"one").unwrap();
        let file = kept.file(INDEX, &name, &version);
        fs::File::options().write(true).open(&file).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(kept.read(INDEX, &name, &version), None);
    }
}
