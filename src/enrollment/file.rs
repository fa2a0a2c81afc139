//! Reading and replacing a file of the person's: permissions, lock, rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::Error;

/// The text, or `None` if there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = read_bytes(path, u64::MAX)? else { return Ok(None) };
    let io = |error| Error::Io { action: "read", path: path.to_owned(), source: io::Error::other(error) };
    String::from_utf8(bytes).map(Some).map_err(io)
}

/// The first bytes, as many as `limit`; `None` if there is no file.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
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
pub(crate) fn replace(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Error> {
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
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
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

#[cfg(unix)]
pub(crate) fn create_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
pub(crate) fn create_private_directory(directory: &Path) -> io::Result<()> {
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
