//! Files and folders that no other user of this computer can read. On systems other than Unix, the permissions of the
//! folder above have to see to that.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

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

/// Writes a private file in the place of an earlier one. It is on disk as a whole when this returns, whatever happens then; after an
/// error it is the old one or the new one.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(contents).and_then(|()| file.as_file().sync_all())?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Writes a folder to disk. A rename is durable only after that.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(()); // a folder cannot be opened for this there
    }
    File::open(folder).and_then(|folder| folder.sync_all())
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

/// Why a file with a secret is not used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum SecretError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Other users could read it.
    #[error("{} is open to other users of this computer", .0.display())]
    OpenToOthers(PathBuf),
}

impl SecretError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(NOT_PERMITTED.to_owned())
            }
            Self::File { .. } => None,
            Self::OpenToOthers(path) => Some(format!("run `chmod 600 {}`", path.display())),
        }
    }
}

/// Reads a secret of at most so many bytes that nobody else can read.
///
/// # Errors
/// [`SecretError`].
pub(crate) fn read_secret(path: &Path, most: u64) -> Result<Zeroizing<String>, SecretError> {
    let at = |source| SecretError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(at)?;
    if !is_systemd_credential(path) && is_open_to_others(&file.metadata().map_err(at)?) {
        return Err(SecretError::OpenToOthers(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(most).read_to_string(&mut text).map_err(at)?;
    Ok(text)
}

/// Whether the file is in the folder of credentials that systemd makes for a service. Since systemd 254 the file has an
/// ACL there, which looks like a group's right to read (systemd issue 29435).
fn is_systemd_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder))
}

/// Whether other users have any right to it.
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    let rights = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    #[cfg(not(unix))]
    let (rights, _) = (0, metadata);
    rights & 0o077 != 0
}
