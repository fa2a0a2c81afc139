//! Sockets and the files beside them: where they are, and who may use them.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::settings::{MAX_SOCKET_PATH, StartError};

/// The path that the settings name, or one in a new folder that no other user can enter.
pub(super) fn place_socket(wanted: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>), StartError> {
    let checked = |path: PathBuf| match path.as_os_str().len() {
        length if length > MAX_SOCKET_PATH => Err(StartError::SocketPath { length }),
        _ => Ok(path),
    };
    if let Some(path) = wanted {
        return Ok((checked(path.to_owned())?, None));
    }
    let folder = new_folder()?;
    match checked(folder.join("pcscd.comm")) {
        Ok(socket) => Ok((socket, Some(folder))),
        Err(error) => {
            let _ = fs::remove_dir(&folder);
            Err(error)
        }
    }
}

/// Makes an empty folder among the temporary files.
pub(crate) fn new_folder() -> Result<PathBuf, StartError> {
    let folder = std::env::temp_dir().join(format!("mock-card-{:08x}", random_number()));
    DirBuilder::new().mode(0o700).create(&folder).map_err(|error| StartError::file(&folder, error))?;
    Ok(folder)
}

/// Listens on a socket that only this user can connect to. A socket that nobody listens on is replaced; anything else that has
/// this name is left alone.
pub(crate) fn listen(socket: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if socket.symlink_metadata().is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "this is not a socket, so it is not replaced",
        ));
    }
    let (listener, unfinished) = bind_beside(socket)?;
    let named = fs::set_permissions(&unfinished, Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&unfinished, socket));
    named.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    Ok(listener)
}

/// Binds a socket in the same folder. Its name is no longer than the real one, because a path must not be too long.
fn bind_beside(socket: &Path) -> io::Result<(UnixListener, PathBuf)> {
    const ATTEMPTS: u32 = 100;
    let length = socket.file_name().map_or(0, OsStr::len).clamp(1, 8);
    let mut result = Err(io::ErrorKind::InvalidInput.into());
    for _ in 0..ATTEMPTS {
        let unfinished = socket.with_file_name(&format!("{:08x}", random_number())[..length]);
        result = UnixListener::bind(&unfinished).map(|listener| (listener, unfinished));
        // A short name may be taken.
        if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
    }
    result
}

/// Removes a socket. Anything else that has its name now is left alone.
pub(crate) fn remove_socket(socket: &Path) {
    if socket.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        let _ = fs::remove_file(socket);
    }
}

pub(super) fn random_number() -> u32 {
    getrandom::u32().expect("the operating system has randomness")
}
