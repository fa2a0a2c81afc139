//! Proofs of publishes whose end is not known yet: cargo asks for a token before it uploads, and the registry may refuse.
//!
//! Each is a file of its own, so that one of a publish that was repeated with another file takes no other's place. Which of them
//! becomes the proof of a version is for the index to say: that of the file which it has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use asymmetric_token::CrateName;
use semver::Version;
use sha2::{Digest as _, Sha256};

use super::{LONGEST, Proof};
use crate::folder::{self, Lock};
use crate::ui::Ui;

/// More than anybody has under way. What is beyond it is not read.
const MOST: usize = 4096;

/// The folder with them, `$CARGO_HOME/yk-cargo/pending-proofs`, which nobody else can read.
#[derive(Clone, Debug)]
pub struct Pending {
    folder: PathBuf,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct PendingProof {
    /// What is in it.
    pub proof: Proof,
    /// As it is saved.
    pub bytes: Vec<u8>,
    /// Where it is.
    pub file: PathBuf,
}

impl Pending {
    /// The one in cargo's home, whether it is there or not.
    #[must_use]
    pub fn in_cargo_home(cargo_home: &Path) -> Self {
        Self { folder: folder::in_cargo_home(cargo_home).join("pending-proofs") }
    }

    /// Makes the folder if it is missing: whether that is possible is better known before a card is asked.
    ///
    /// # Errors
    /// [`folder::Error`].
    pub fn make(&self) -> Result<(), folder::Error> {
        folder::create(&self.folder)
    }

    /// Adds a proof, lastingly; one of the same file makes place for it.
    ///
    /// # Errors
    /// [`folder::Error`].
    pub fn add(&self, proof: &Proof, bytes: &[u8]) -> Result<(), folder::Error> {
        self.make()?;
        let _lock = self.lock()?;
        folder::replace(&self.file(proof), bytes)
    }

    /// All of them, by name and version. A file that is no proof is passed over.
    ///
    /// # Errors
    /// [`folder::Error`].
    pub fn all(&self) -> Result<Vec<PendingProof>, folder::Error> {
        let io = |source| folder::Error::Io { action: "read", path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io)?,
        };
        let mut found = Vec::new();
        for entry in entries.take(MOST) {
            let file = entry.map_err(io)?.path();
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let Some(bytes) = folder::read_bytes(&file, LONGEST)? else { continue };
            if let Ok(proof) = Proof::parse(&bytes) {
                found.push(PendingProof { proof, bytes, file });
            }
        }
        found.sort_by_cached_key(|pending| {
            let Proof { index, name, version, .. } = &pending.proof;
            (name.to_string(), version.clone(), index.clone())
        });
        Ok(found)
    }

    /// Those of one version.
    ///
    /// # Errors
    /// [`folder::Error`].
    pub fn of(
        &self,
        index: &str,
        name: &CrateName,
        version: &Version,
    ) -> Result<Vec<PendingProof>, folder::Error> {
        let mut found = self.all()?;
        found.retain(|pending| pending.proof.is_about(index, name, version));
        Ok(found)
    }

    /// Removes proofs that are settled.
    ///
    /// # Errors
    /// [`folder::Error`].
    pub fn remove(&self, settled: &[PendingProof]) -> Result<(), folder::Error> {
        let _lock = self.lock()?;
        for PendingProof { file, .. } in settled {
            match fs::remove_file(file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(folder::Error::Io { action: "remove", path: file.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<Lock, folder::Error> {
        Lock::take(&self.folder.join("proofs"), || {
            Ui::silent().note("waiting for another yk-cargo, which is writing a proof");
        })
    }

    fn file(&self, proof: &Proof) -> PathBuf {
        let Proof { index, name, version, checksum, .. } = proof;
        let hash = Sha256::digest(format!("{index}\n{name}\n{version}\n{checksum}"));
        let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{hash}.json"))
    }
}
