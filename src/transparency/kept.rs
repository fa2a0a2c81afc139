//! What is kept of a log between two runs: the newest checkpoint, tiles, and the evidence against it.
//!
//! In cargo's home, for each registry: `yk-cargo/log/HOST-HASH/{checkpoint, tiles/LEVEL-INDEX, evidence-HASH}`. A checkpoint can also lie
//! in a folder with saved proofs, as `HOST-HASH/checkpoint`, so that a job of a build service has one. From the second generation on
//! `checkpoint` and `tiles` end in `.2`, `.3` and so on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use transparency_log::note::MAX_NOTE_BYTES;
use transparency_log::{Hash, Tile};

use super::checkpoint::Checkpoint;
use super::refused::Refused;
use crate::folder::{self, Lock};
use crate::index_url::folder_name;
use crate::trust::Log;
use crate::ui::Ui;

/// The most tiles that are kept of one log, in files of up to 8 KiB. With more they are all fetched anew.
const MOST_TILES: usize = 8_192;

/// The folder of one log.
#[derive(Debug)]
pub struct Kept {
    /// The folder that a person has named, or that in cargo's home.
    root: PathBuf,
    folder: PathBuf,
    log: Log,
    is_own: bool,
    has_room: OnceLock<()>,
}

impl Kept {
    /// The one in cargo's home, whether it is there or not.
    #[must_use]
    pub fn in_cargo_home(cargo_home: &Path, log: &Log) -> Self {
        Self::at(&folder::in_cargo_home(cargo_home).join("log"), log, true)
    }

    /// The one beside a registry's saved proofs, whether it is there or not: for a checkpoint only.
    #[must_use]
    pub fn beside_proofs(proofs: &Path, log: &Log) -> Self {
        Self::at(proofs, log, false)
    }

    fn at(root: &Path, log: &Log, is_own: bool) -> Self {
        let folder = root.join(folder_name(&log.index));
        Self { root: root.to_owned(), folder, log: log.clone(), is_own, has_room: OnceLock::new() }
    }

    /// The newest checkpoint, if one was kept. What is no checkpoint of this log is not passed over: it would have been compared with.
    ///
    /// # Errors
    /// [`Refused::Kept`], [`Refused::OtherKeyKept`].
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, Refused> {
        let file = self.checkpoint_file();
        let refused = |why: String| Refused::Kept { file: file.clone(), why };
        let note = if self.is_own {
            folder::read_bytes(&file, MAX_NOTE_BYTES as u64 + 1)
                .map_err(|error| refused(error.to_string()))?
        } else {
            match folder::read_foreign_up_to(&file, MAX_NOTE_BYTES as u64) {
                Ok(note) => Some(note),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(refused(error.to_string())),
            }
        };
        let read = |note: Vec<u8>| {
            Checkpoint::kept(&note, &self.log).map_err(|error| match error {
                Refused::Checkpoint(transparency_log::Error::NotSigned) => {
                    Refused::OtherKeyKept { file: file.clone() }
                }
                error => refused(error.to_string()),
            })
        };
        note.map(read).transpose()
    }

    /// Waits until no other run keeps a checkpoint, here or beside proofs, and has the others wait. It is for the folder in cargo's home.
    ///
    /// # Errors
    /// The lock cannot be had.
    pub fn lock(&self) -> io::Result<Lock> {
        folder::create_recursively(&self.folder)?;
        let waiting = || Ui::silent().note("waiting for another yk-cargo, which is keeping a checkpoint");
        Lock::take(&self.checkpoint_file(), waiting).map_err(io::Error::other)
    }

    /// Keeps a checkpoint in the place of the one that is kept. Whoever calls this holds the [lock](Self::lock), and has seen that it
    /// continues that one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let (file, note) = (self.checkpoint_file(), checkpoint.signed.to_string());
        if self.is_own {
            folder::replace(&file, note).map_err(io::Error::other)
        } else {
            folder::keep(&self.root, &file, note.as_bytes())
        }
    }

    /// The hashes of a tile, if as many were kept. Nothing is verified.
    pub(super) fn tile(&self, tile: &Tile) -> Option<Vec<Hash>> {
        let bytes = folder::read_foreign_up_to(&self.tile_file(tile), 256 * Hash::BYTES as u64).ok()?;
        // A wider tile begins with the hashes of a narrower one.
        tile.parse_hashes(bytes.get(..tile.width() * Hash::BYTES)?).ok()
    }

    /// Keeps the hashes of a tile. It is no error if that fails: it is fetched again.
    pub(super) fn keep_tile(&self, tile: &Tile, hashes: &[Hash]) {
        let tiles = self.folder.join(self.named("tiles"));
        self.has_room.get_or_init(|| {
            if fs::read_dir(&tiles).is_ok_and(|files| files.count() > MOST_TILES) {
                let _ = fs::remove_dir_all(&tiles);
            }
        });
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let _ = folder::keep(&self.root, &self.tile_file(tile), &bytes);
    }

    /// Keeps the evidence against the log. What was kept is never overwritten; the same again is one file.
    pub(super) fn keep_evidence(&self, evidence: &str) -> Result<PathBuf, String> {
        let hash: String =
            Sha256::digest(evidence).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let file = self.folder.join(format!("evidence-{hash}"));
        if !file.exists() {
            folder::create_recursively(&self.folder).map_err(|error| error.to_string())?;
            folder::replace(&file, evidence).map_err(|error| error.to_string())?;
        }
        Ok(file)
    }

    fn checkpoint_file(&self) -> PathBuf {
        self.folder.join(self.named("checkpoint"))
    }

    fn tile_file(&self, tile: &Tile) -> PathBuf {
        self.folder.join(self.named("tiles")).join(format!("{}-{}", tile.level(), tile.index()))
    }

    fn named(&self, what: &str) -> String {
        match self.log.generation {
            1 => what.to_owned(),
            generation => format!("{what}.{generation}"),
        }
    }
}
