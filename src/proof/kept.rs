//! Proofs in a folder, one file for each version. What is in them is as little believed as what a registry answers: whoever can
//! write there, as in the cache of a build service, wins nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use asymmetric_token::CrateName;
use semver::Version;
use sha2::{Digest as _, Sha256};

use super::LONGEST;
use crate::folder;
use crate::index_url::host;

/// A folder with proofs: `HOST-HASH/NAME-VERSION.json`, with the first 16 hexadecimal digits of the index URL's SHA-256.
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

    /// What is kept as the proof of a version, up to a mebibyte; `None` if nothing is, or it cannot be read.
    #[must_use]
    pub fn read(&self, index: &str, name: &CrateName, version: &Version) -> Option<Vec<u8>> {
        folder::read_foreign_up_to(&self.file(index, name, version), LONGEST).ok()
    }

    /// Keeps the proof of a version. It need not outlast a crash, so nothing waits for the disk.
    ///
    /// # Errors
    /// It cannot be written, or a link is in the place of the folder.
    pub fn write(&self, index: &str, name: &CrateName, version: &Version, proof: &[u8]) -> io::Result<()> {
        let file = self.file(index, name, version);
        let folder = file.parent().expect("it is in a folder");
        folder::create_recursively(folder)?;
        // A project may have brought either folder along.
        if is_link(&self.folder)? || is_link(folder)? {
            return Err(io::Error::other("it is a link"));
        }
        let new = folder.join(format!(".{name}-{version}.{}.new", std::process::id()));
        let _ = fs::remove_file(&new);
        let written = fs::OpenOptions::new().write(true).create_new(true).open(&new);
        let written = written.and_then(|mut file| io::Write::write_all(&mut file, proof));
        written.and_then(|()| fs::rename(&new, &file)).inspect_err(|_| _ = fs::remove_file(&new))
    }

    fn file(&self, index: &str, name: &CrateName, version: &Version) -> PathBuf {
        let plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
        let host = host(index.strip_prefix("sparse+").unwrap_or(index));
        let host: String = host.chars().filter(plain).take(40).collect();
        let hash: String = Sha256::digest(index).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = format!("{}-{hash}", host.trim_start_matches('.'));
        self.folder.join(folder).join(format!("{name}-{version}.json"))
    }
}

/// Whether a link is in the place of a folder. With a slash behind its name it would be followed.
fn is_link(folder: &Path) -> io::Result<bool> {
    let name = folder.components().collect::<PathBuf>();
    Ok(fs::symlink_metadata(name)?.is_symlink())
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
        kept.write(INDEX, &name, &version, b"one").unwrap();
        kept.write(INDEX, &name, &version, b"two").unwrap();
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
