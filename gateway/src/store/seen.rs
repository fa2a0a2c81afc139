//! The last place in the log that this gateway has seen. It is kept beside the gateway, because a PostgreSQL that was restored
//! from a backup, or failed over to a standby that was behind, does not know what it has lost: revocations, and tokens that
//! were spent.
//!
//! The file is overwritten after each commit, and is on disk at the latest when a head is signed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{StoreError, files};
use crate::audit::Point;
use crate::private;

const FILE: &str = "last-entry";

/// Without a file it is known as long as this process lives.
#[derive(Debug)]
pub(super) struct Seen(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    last: Point,
    file: Option<(PathBuf, File)>,
}

impl Default for Seen {
    fn default() -> Self {
        Self(Mutex::new(Kept { last: Point::START, file: None }))
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
        *self.kept() = Kept { last: in_file(&path)?.unwrap_or(Point::START), file: Some((path, file)) };
        Ok(())
    }

    pub(super) fn last(&self) -> Point {
        self.kept().last
    }

    /// Notes what was seen, unless something later was.
    pub(super) fn saw(&self, point: Point) {
        let mut kept = self.kept();
        if kept.last.seq < point.seq {
            kept.put(point);
        }
    }

    /// Notes that the log goes on elsewhere, unless somebody else has.
    pub(super) fn goes_on(&self, lost: Point, at: Point) {
        let mut kept = self.kept();
        if kept.last == lost {
            kept.put(at);
        }
    }

    /// Writes the file to disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        match &self.kept().file {
            Some((path, file)) => file.sync_data().map_err(files::at(path)),
            None => Ok(()),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// What is committed stays so, whether the file can be written or not. Its length is always the same, so a full disk
    /// does not matter.
    fn put(&mut self, point: Point) {
        self.last = point;
        if let Some((path, file)) = &self.file
            && let Err(error) = written(file, point)
        {
            tracing::error!(%error, "{} does not say what this gateway has seen last", path.display());
        }
    }
}

fn written(file: &File, Point { seq, hash }: Point) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};

    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{seq:020}:{hash}\n").as_bytes())
}

/// What the gateway with this folder has seen last, if it has seen something.
///
/// # Errors
/// [`StoreError::File`], [`StoreError::State`].
pub(super) fn in_folder(folder: &Path) -> Result<Option<Point>, StoreError> {
    in_file(&folder.join(FILE))
}

fn in_file(path: &Path) -> Result<Option<Point>, StoreError> {
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
