//! The store's folders and files. They are private, and are on disk before anything refers to them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, FileType, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use semver::Version;
use tempfile::NamedTempFile;

use super::{ServeLock, Store, StoreError};
use crate::private;

/// How long a program may take to run that a server has begun to start.
const STARTING: Duration = Duration::from_millis(500);

/// The folder of crate files, with a folder for each crate.
pub(super) const CRATES: &str = "crates";
/// The folder of uploads under way.
pub(super) const UPLOADS: &str = "tmp";
/// The folder of files that were staged.
pub(super) const STAGED: &str = "staged";

impl Store {
    /// A new file for an upload, in the same file system as its final place. It is removed when dropped.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn upload(&self) -> Result<NamedTempFile, StoreError> {
        let folder = self.folder.join(UPLOADS);
        NamedTempFile::new_in(&folder).map_err(at(&folder))
    }

    /// The path of a version's file.
    #[must_use]
    pub fn crate_file(&self, name: &str, version: &str) -> PathBuf {
        self.folder.join(CRATES).join(name).join(format!("{name}-{version}.crate"))
    }

    /// Moves an upload, which is on disk, to its final place.
    pub(super) fn moved(&self, upload: NamedTempFile, name: &str, version: &str) -> Result<(), StoreError> {
        place(upload, &self.crate_file(name, version))
    }
}

/// Moves an upload, which is on disk, to a place in a folder that may have to be made. Name and folder are on disk when this returns.
pub(super) fn place(upload: NamedTempFile, place: &Path) -> Result<(), StoreError> {
    let folder = place.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        private_folder(folder)?;
        sync_folder(folder.parent().unwrap_or(Path::new(".")))?;
    }
    upload.persist(place).map_err(|error| at(place)(error.error))?;
    sync_folder(folder)
}

/// Makes a private folder. An existing folder is made private if it is empty. If it is open to others and holds
/// something, it is refused, because its contents may be meant for them.
pub(super) fn private_folder(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(metadata) if !private::is_open_to_others(&metadata) => Ok(()),
        Ok(_) if entries(path)?.is_empty() => private::close_folder(path).map_err(at(path)),
        Ok(_) => Err(StoreError::OpenToOthers { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => private::make_folder(path).map_err(at(path)),
        Err(error) => Err(at(path)(error)),
    }
}

/// Makes a private file. An existing file is not even opened: closing it would drop the locks that SQLite has on it in
/// this process, for another store in the same folder (sqlite.org/howtocorrupt.html, 2.2).
pub(super) fn private_file(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    private::file().create(true).truncate(false).open(path).map(drop).map_err(at(path))
}

/// Writes a new private file. It is on disk as a whole, or not there at all.
pub(super) fn write_private(path: &Path, contents: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(at(folder))?;
    file.write_all(contents).and_then(|()| file.as_file().sync_all()).map_err(at(path))?;
    file.persist_noclobber(path).map_err(|error| at(path)(error.error))?;
    sync_folder(folder)
}

/// Takes the lock of the one server. A server that has just ended may have begun to start a program, which has the lock until it runs:
/// that is waited for.
pub(super) fn lock(folder: &Path) -> Result<ServeLock, StoreError> {
    let path = folder.join("serve.lock");
    let file = private::file().create(true).truncate(false).open(&path).map_err(at(&path))?;
    let until = Instant::now() + STARTING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(ServeLock { _file: file }),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(STARTING / 50),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Served { path: folder.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
    }
}

/// Removes every file in the folder of uploads. What no upload left there is left alone.
pub(super) fn empty(folder: &Path) -> Result<(), StoreError> {
    for entry in entries(folder)? {
        if entry.is(FileType::is_file) {
            entry.remove();
        } else {
            entry.is_a_stranger();
        }
    }
    Ok(())
}

/// Removes every crate file that is not known, and checks that every known one exists. Other files and folders that somebody
/// put there are left alone.
pub(super) fn keep_only(crates: &Path, known: &HashSet<PathBuf>) -> Result<(), StoreError> {
    for folder in entries(crates)? {
        // A link could lead to files of others.
        let inside = if folder.is(FileType::is_dir) { entries(&folder.path).ok() } else { None };
        let Some(inside) = inside else {
            folder.is_a_stranger();
            continue;
        };
        for entry in inside.into_iter().filter(|entry| !known.contains(&entry.path)) {
            if entry.is(FileType::is_file) && entry.is_a_crate_of(&folder) {
                entry.remove();
            } else {
                entry.is_a_stranger();
            }
        }
    }
    match known.iter().find(|path| !path.is_file()) {
        Some(path) => Err(StoreError::CrateFileMissing { path: path.clone() }),
        None => Ok(()),
    }
}

/// Removes every file of the folder of what was staged that is not known. What has another name is left alone.
pub(super) fn keep_only_staged(folder: &Path, known: &HashSet<PathBuf>) -> Result<(), StoreError> {
    for entry in entries(folder)?.into_iter().filter(|entry| !known.contains(&entry.path)) {
        let number =
            entry.path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_suffix(".crate"));
        if entry.is(FileType::is_file) && number.is_some_and(|number| number.parse::<i64>().is_ok()) {
            entry.remove();
        }
    }
    Ok(())
}

/// The paths of those of these, and of the store's own folders, that are not in a folder. The innermost comes first.
pub(super) fn missing(folder: &Path, files: &[&str]) -> Vec<PathBuf> {
    let paths = files.iter().chain(&[CRATES, UPLOADS]).map(|name| folder.join(name));
    paths.chain([folder.to_owned()]).filter(|path| !path.exists()).collect()
}

/// Removes what can be removed of these files and empty folders.
pub(super) fn remove(paths: &[PathBuf]) {
    for path in paths {
        // What stays is taken over by whoever makes the store next.
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
    }
}

/// Adds the path to an I/O error.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::File { path, source }
}

/// What is in a folder.
struct Entry {
    path: PathBuf,
    kind: Option<FileType>,
}

impl Entry {
    fn is(&self, kind: fn(&FileType) -> bool) -> bool {
        self.kind.as_ref().is_some_and(kind)
    }

    /// Whether its name is that of a version's file in the folder of this crate.
    fn is_a_crate_of(&self, folder: &Self) -> bool {
        let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(ToOwned::to_owned);
        let (Some(file), Some(name)) = (name(&self.path), name(&folder.path)) else { return false };
        let version = file.strip_prefix(&format!("{name}-")).and_then(|rest| rest.strip_suffix(".crate"));
        version.is_some_and(|version| Version::parse(version).is_ok())
    }

    /// It is nobody's; that it stays hurts nothing.
    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "{} is left over and cannot be removed", self.path.display());
        }
    }

    fn is_a_stranger(&self) {
        tracing::warn!("{} does not belong in the store, and is left alone", self.path.display());
    }
}

fn entries(folder: &Path) -> Result<Vec<Entry>, StoreError> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok(Entry { path: entry.path(), kind: entry.file_type().ok() })
    };
    fs::read_dir(folder).and_then(|list| list.map(entry).collect()).map_err(at(folder))
}

/// Writes a folder to disk. A rename is durable only after that.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    private::sync_folder(folder).map_err(at(folder))
}
