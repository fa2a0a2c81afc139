//! Files and folders, with sentences for what goes wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Failure, Outcome};

/// An empty folder; what was there is gone.
pub(super) fn fresh(path: &Path) -> Outcome<PathBuf> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot("remove", path, &error)),
        _ => {}
    }
    fs::create_dir_all(path).map_err(|error| cannot("make", path, &error))?;
    Ok(path.to_owned())
}

/// Writes a file, and the folders above it.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Outcome {
    let folders = path.parent().map_or(Ok(()), fs::create_dir_all);
    folders.and_then(|()| fs::write(path, content)).map_err(|error| cannot("write", path, &error))
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|error| cannot("read", path, &error))
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Outcome<Vec<String>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| cannot("list", folder, &error))?;
    let mut names: Vec<_> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

pub(super) fn cannot(act: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {act} {}: {error}", path.display()))
}
