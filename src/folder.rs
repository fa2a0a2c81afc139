//! Files in a folder of the person's own: who may write them, the lock that writers hold, replacing one as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The folder of this program in cargo's home.
#[must_use]
pub fn in_cargo_home(cargo_home: &Path) -> PathBuf {
    cargo_home.join("yk-cargo")
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, `lock`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Group or others may write the file or its folder, or it belongs to somebody else.
    #[error("{} {problem}: somebody else could have written it", path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Io { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
                ) =>
            {
                "make room on that disk, then run the command again: it goes on where this one stopped".into()
            }
            Self::Io { .. } => "check that the file and its folder belong to you".into(),
            Self::Unsafe { path, .. } => {
                format!("look into it, then: chown $(id -u) '{0}' && chmod go-w '{0}'", path.display())
            }
        }
    }
}

/// The text, or `None` if there is no file.
///
/// # Errors
/// [`Error`].
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = read_bytes(path, u64::MAX)? else { return Ok(None) };
    let io = |error| Error::Io { action: "read", path: path.to_owned(), source: io::Error::other(error) };
    String::from_utf8(bytes).map(Some).map_err(io)
}

/// The first bytes, as many as `limit`; `None` if there is no file.
///
/// # Errors
/// [`Error`].
pub fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if let Some(directory) = path.parent() {
        only_we_may_write(directory, &fs::metadata(directory).map_err(io)?)?;
    }
    only_we_may_write(path, &file.metadata().map_err(io)?)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Replaces the contents so that at every moment either the old or the new ones are there, whole.
///
/// # Errors
/// [`Error::Io`].
pub fn replace(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Error> {
    let io = |source| Error::Io { action: "write", path: path.to_owned(), source };
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".new");
    // Left by a process that was killed; made anew, it cannot have kept other permissions.
    let _ = fs::remove_file(&temporary);
    let mut file = private().write(true).create_new(true).open(&temporary).map_err(io)?;
    let written = file.write_all(contents.as_ref()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(io(error));
    }
    sync_directory(path).map_err(io)
}

/// The lock that writers hold; released when dropped.
///
/// # Errors
/// [`Error::Io`].
pub fn lock(path: &Path) -> Result<File, Error> {
    let io = |source| Error::Io { action: "lock", path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        create_private_directory(directory).map_err(io)?;
    }
    let file =
        private().write(true).create(true).truncate(false).open(path.with_extension("lock")).map_err(io)?;
    file.lock().map_err(io)?;
    Ok(file)
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

/// Makes a folder and those above it, for its owner alone.
///
/// # Errors
/// It cannot be made.
#[cfg(unix)]
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Makes a folder and those above it.
///
/// # Errors
/// It cannot be made.
#[cfg(not(unix))]
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// A rename is lasting once the folder is.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn only_we_may_write(path: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    let problem = |problem| Err(Error::Unsafe { path: path.to_owned(), problem });
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return problem("belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return problem("may be written by others");
    }
    Ok(())
}

#[cfg(not(unix))]
fn only_we_may_write(_: &Path, _: &fs::Metadata) -> Result<(), Error> {
    Ok(())
}
