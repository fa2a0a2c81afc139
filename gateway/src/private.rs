//! Files and folders that no other user of this computer can read. On systems other than Unix, the permissions of the
//! folder above have to see to that.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Options to open a file for reading and writing. If the file is created, it is private.
pub(crate) fn file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes a new private file, unless there is one; returns whether it was made. It is on disk as a whole or not there at all.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn make_file(path: &Path, contents: &[u8]) -> io::Result<bool> {
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(contents).and_then(|()| file.as_file().sync_all())?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(refused.error),
    }
}

/// What to do where the system says that it is not permitted.
pub(crate) const NOT_PERMITTED: &str =
    "permission denied: use sudo, or run the command as the user whom the gateway runs as";

/// Makes a folder, and those above it.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Makes an existing folder private.
///
/// # Errors
/// If its permissions cannot be changed.
pub(crate) fn close_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    #[cfg(not(unix))]
    fs::metadata(path)?;
    Ok(())
}

/// Whether other users have any right to it.
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    let rights = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    #[cfg(not(unix))]
    let (rights, _) = (0, metadata);
    rights & 0o077 != 0
}
