//! The last place in the log that this gateway has seen. It is kept beside the gateway, because a PostgreSQL that was restored
//! from a backup, or failed over to a standby that was behind, does not know what it has lost: revocations, and tokens that
//! were spent.
//!
//! The file is overwritten after each commit, and is on disk at the latest when a checkpoint is shown. Beside it is the last
//! checkpoint that was shown.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::{StoreError, files};
use crate::audit::Point;
use crate::private;

const FILE: &str = "last-entry";
const CHECKPOINT: &str = "last-checkpoint";

/// What a gateway has seen last: the generation of the log, and its last entry. Displays as `GENERATION:SEQ:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// The generation of the log.
    pub generation: u64,
    /// The entry.
    pub point: Point,
}

impl LastSeen {
    /// Nothing.
    pub(super) const NOTHING: Self = Self { generation: 1, point: Point::START };
}

impl fmt::Display for LastSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.generation, self.point)
    }
}

impl FromStr for LastSeen {
    type Err = NotSeen;

    fn from_str(text: &str) -> Result<Self, NotSeen> {
        let (generation, point) = text.split_once(':').ok_or(NotSeen)?;
        let generation = generation.parse().map_err(|_| NotSeen)?;
        Ok(Self { generation, point: point.parse().map_err(|_| NotSeen)? })
    }
}

/// The text is not what a gateway has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write GENERATION:SEQ:HASH, as in the gateway's message")]
pub struct NotSeen;

/// Without a file it is known as long as this process lives.
#[derive(Debug)]
pub(super) struct Seen(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    last: LastSeen,
    file: Option<(PathBuf, File)>,
}

impl Default for Seen {
    fn default() -> Self {
        Self(Mutex::new(Kept { last: LastSeen::NOTHING, file: None }))
    }
}

impl Seen {
    /// Goes on from what the file in a folder says, and keeps it there. Both are made if they do not exist.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::OpenToOthers`], [`StoreError::State`].
    pub(super) fn keep_in(&self, folder: &Path) -> Result<(), StoreError> {
        files::private_folder(folder)?;
        let path = folder.join(FILE);
        let file = private::file().create(true).truncate(false).open(&path).map_err(files::at(&path))?;
        *self.kept() = Kept { last: in_file(&path)?.unwrap_or(LastSeen::NOTHING), file: Some((path, file)) };
        Ok(())
    }

    pub(super) fn last(&self) -> LastSeen {
        self.kept().last
    }

    /// Notes what was seen, unless something later was.
    pub(super) fn saw(&self, seen: LastSeen) {
        let mut kept = self.kept();
        let order = |seen: LastSeen| (seen.generation, seen.point.seq);
        if order(kept.last) < order(seen) {
            kept.put(seen);
        }
    }

    /// Notes that the log goes on elsewhere, unless somebody else has.
    pub(super) fn goes_on(&self, lost: LastSeen, at: LastSeen) {
        let mut kept = self.kept();
        if kept.last == lost {
            kept.put(at);
        }
    }

    /// Writes the file to disk, and beside it the checkpoint that will be shown.
    pub(super) fn sync(&self, checkpoint: &str) -> Result<(), StoreError> {
        let kept = self.kept();
        let Some((path, file)) = &kept.file else { return Ok(()) };
        file.sync_data().map_err(files::at(path))?;
        let place = path.with_file_name(CHECKPOINT);
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).map_err(files::at(folder))?;
        file.write_all(checkpoint.as_bytes()).map_err(files::at(file.path()))?;
        file.persist(&place).map(drop).map_err(|error| files::at(&place)(error.error))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// What is committed stays so, whether the file can be written or not. Its length is always the same, so a full disk
    /// does not matter.
    fn put(&mut self, seen: LastSeen) {
        self.last = seen;
        if let Some((path, file)) = &self.file
            && let Err(error) = written(file, seen)
        {
            tracing::error!(%error, "{} does not say what this gateway has seen last", path.display());
        }
    }
}

fn written(file: &File, LastSeen { generation, point: Point { seq, hash } }: LastSeen) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom};

    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{generation:010}:{seq:020}:{hash}\n").as_bytes())
}

/// What the gateway with this folder has seen last, if it has seen something.
///
/// # Errors
/// [`StoreError::File`], [`StoreError::State`].
pub(super) fn in_folder(folder: &Path) -> Result<Option<LastSeen>, StoreError> {
    in_file(&folder.join(FILE))
}

/// The last checkpoint that the gateway with this folder has shown, if it has shown one.
///
/// # Errors
/// [`StoreError::File`].
pub(super) fn checkpoint_in_folder(folder: &Path) -> Result<Option<String>, StoreError> {
    let path = folder.join(CHECKPOINT);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::at(&path)(error)),
    }
}

fn in_file(path: &Path) -> Result<Option<LastSeen>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => {
            let last = text.trim_end().parse();
            last.map(Some).map_err(|_| StoreError::State { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::at(path)(error)),
    }
}
