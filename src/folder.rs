//! Files in a folder of the person's own: who may write them, the lock that writers hold, replacing one as a whole.
//!
//! Whoever can write these files can have another key asked for, or another program run, so a file or folder that somebody else
//! could have written is not read. On a file system that keeps no permissions (FAT, a Windows drive in WSL) that cannot be
//! told, and would be no protection: cargo's own configuration lies beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::text::shell_word;

/// More than any file of ours has, in bytes: forty thousand enrolled keys.
const LONGEST_TEXT: u64 = 64 << 20;

/// How long another writer is waited for; it holds the lock while it writes.
const LOCK_LIMIT: Duration = Duration::from_secs(30);
/// How long it is waited for without a word.
const LOCK_SILENCE: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The folder of this program in cargo's home.
#[must_use]
pub fn in_cargo_home(cargo_home: &Path) -> PathBuf {
    cargo_home.join("yk-cargo")
}

/// The text, or `None` if there is no file.
///
/// # Errors
/// [`Error`].
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    let Some(bytes) = read_bytes(path, LONGEST_TEXT + 1)? else { return Ok(None) };
    if bytes.len() as u64 > LONGEST_TEXT {
        return Err(Error::TooLong { path: path.to_owned() });
    }
    let io = |error| Error::Io { action: "read", path: path.to_owned(), source: io::Error::other(error) };
    String::from_utf8(bytes).map(Some).map_err(io)
}

/// The text of a file that is not this program's own: anybody may write it, and it may be a device such as `/dev/null`.
///
/// # Errors
/// It cannot be read, or one would read it for ever.
pub fn read_foreign(path: &Path) -> io::Result<String> {
    String::from_utf8(read_foreign_up_to(path, LONGEST_TEXT)?).map_err(io::Error::other)
}

/// The same, for any bytes, but no more than `longest`.
///
/// # Errors
/// As [`read_foreign`].
pub fn read_foreign_up_to(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let file = without_waiting().read(true).open(path)?;
    if is_pipe(&file.metadata()?) {
        return Err(io::Error::other("it is a pipe and not a file"));
    }
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::other(format!("it has more than {} MB", longest >> 20)));
    }
    Ok(bytes)
}

/// Opens a file that a person has named, and nothing without an end.
///
/// # Errors
/// It cannot be opened, or is not a regular file.
pub fn open_foreign(path: &Path) -> io::Result<File> {
    let file = without_waiting().read(true).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

#[cfg(unix)]
fn is_pipe(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    false
}

/// The first bytes, as many as `limit`; `None` if there is no file.
///
/// # Errors
/// [`Error`].
pub fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let file = match without_waiting().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(not_opened("read", path, fs::metadata(path), error)),
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(Error::NoFile { path: path.to_owned() });
    }
    if let Some(directory) = path.parent() {
        only_we_may_write(directory, &fs::metadata(directory).map_err(io)?)?;
    }
    only_we_may_write(path, &metadata)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Why a file could not be opened. Sockets, and for writing pipes, folders and links too, are refused by open(2) with words that
/// say something else.
fn not_opened(
    action: &'static str,
    path: &Path,
    found: io::Result<fs::Metadata>,
    source: io::Error,
) -> Error {
    match found {
        Ok(found) if !found.is_file() => Error::NoFile { path: path.to_owned() },
        _ => Error::Io { action, path: path.to_owned(), source },
    }
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

/// Keeps what need not outlast a crash, so that nothing waits for the disk: a file somewhere in the folder `root`, which may be a
/// project's.
///
/// # Errors
/// It cannot be written, or a link is in the place of one of the two folders.
pub fn keep(root: &Path, file: &Path, contents: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(io::Error::other("it is no file in a folder"));
    };
    create_recursively(folder)?;
    if is_link(root)? || is_link(folder)? {
        return Err(io::Error::other("it is a symbolic link"));
    }
    let new = folder.join(format!(".{}.{}.new", name.display(), std::process::id()));
    let _ = fs::remove_file(&new);
    let written = OpenOptions::new().write(true).create_new(true).open(&new);
    let written = written.and_then(|mut file| file.write_all(contents));
    written.and_then(|()| fs::rename(&new, file)).inspect_err(|_| _ = fs::remove_file(&new))
}

/// Whether a link is in the place of a folder. With a slash behind its name it would be followed.
fn is_link(folder: &Path) -> io::Result<bool> {
    let name = folder.components().collect::<PathBuf>();
    Ok(fs::symlink_metadata(name)?.is_symlink())
}

/// Writes a file that is not this program's own, whole or not at all. What is there already is left alone unless it is to be
/// `replaced`, or says the same.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`]; it cannot be written.
pub fn write_new(path: &Path, contents: &[u8], replaced: bool) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    if !replaced && fs::symlink_metadata(path).is_ok() {
        let same = read_foreign_up_to(path, contents.len() as u64).is_ok_and(|found| found == contents);
        return if same { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) };
    }
    let mut temporary = std::ffi::OsString::from(format!(".{}.", std::process::id()));
    temporary.push(name);
    let temporary = path.with_file_name(temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    // A link is made only where nothing is, whoever came in between; not every file system has them.
    let moved = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !replaced => Err(error),
        Err(_) => fs::rename(&temporary, path),
    });
    let _ = fs::remove_file(&temporary);
    moved
}

/// Makes the folder if it is missing, for its owner alone.
///
/// # Errors
/// [`Error::Io`], [`Error::Unsafe`] if it is there and others may write it.
pub fn create(directory: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { action: "make", path: directory.to_owned(), source };
    create_private_directory(directory).map_err(io)?;
    only_we_may_write(directory, &fs::metadata(directory).map_err(io)?)
}

/// Makes a folder and those above it, each that is missing for its owner alone.
///
/// # Errors
/// One cannot be made.
pub fn create_recursively(directory: &Path) -> io::Result<()> {
    create_private_directory(directory)
}

/// The lock that writers of a file hold; released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// What stands for the lock where files cannot be locked.
    stand_in: Option<PathBuf>,
}

impl Lock {
    /// Takes the lock for writing to `path`, and makes its folder if it is missing. `waiting` is called once if another
    /// process has held it for a second.
    ///
    /// Where the file system has no locks (NFS, some containers) a file that only one process can create stands for it.
    ///
    /// # Errors
    /// [`Error::Locked`] after half a minute, [`Error::Unsafe`], [`Error::Io`].
    pub fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, Error> {
        let mut waiting = Some(waiting);
        let started = Instant::now();
        if let Some(directory) = path.parent() {
            create(directory)?;
        }
        let path = path.with_extension("lock");
        loop {
            match Self::try_take(&path)? {
                Some(lock) => return Ok(lock),
                None if started.elapsed() >= LOCK_LIMIT => return Err(Error::Locked { path }),
                None if started.elapsed() >= LOCK_SILENCE => waiting.take().into_iter().for_each(|say| say()),
                None => {}
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    fn try_take(path: &Path) -> Result<Option<Self>, Error> {
        let io = |source| Error::Io { action: "lock", path: path.to_owned(), source };
        let mut options = private();
        let file = not_through_a_link(&mut options).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| not_opened("lock", path, fs::symlink_metadata(path), error))?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::NoFile { path: path.to_owned() });
        }
        only_we_may_write(path, &metadata)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file, stand_in: None })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) if has_no_locks(&error) => {
                let stand_in = path.with_extension("locked");
                match private().write(true).create_new(true).open(&stand_in) {
                    Ok(_) => Ok(Some(Self { _file: file, stand_in: Some(stand_in) })),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
                    Err(error) => Err(io(error)),
                }
            }
            Err(fs::TryLockError::Error(error)) => Err(io(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(stand_in) = &self.stand_in {
            let _ = fs::remove_file(stand_in);
        }
    }
}

/// Whether flock(2) failed because the file system has no locks, such as NFS without a lock daemon, 9p and FUSE.
#[cfg(unix)]
fn has_no_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOLCK];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(not(unix))]
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
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

/// A FIFO in the place of a file opens at once, to be told from one.
#[cfg(unix)]
fn without_waiting() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options
}

#[cfg(not(unix))]
fn without_waiting() -> OpenOptions {
    OpenOptions::new()
}

/// What a planted link leads to is not created, nor written.
#[cfg(unix)]
fn not_through_a_link(options: &mut OpenOptions) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

#[cfg(not(unix))]
fn not_through_a_link(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn create_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn create_private_directory(directory: &Path) -> io::Result<()> {
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
    let problem = who_else_may_write(path, metadata, keeps_no_permissions);
    problem.map_or(Ok(()), |problem| Err(Error::Unsafe { path: path.to_owned(), problem }))
}

/// Permissions that everything in a folder has count for nothing; whose it is always counts.
#[cfg(unix)]
fn who_else_may_write(
    path: &Path,
    metadata: &fs::Metadata,
    keeps_no_permissions: impl FnOnce(&Path) -> bool,
) -> Option<Others> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Some(if rustix::process::geteuid().is_root() { Others::NotRoot } else { Others::Own });
    }
    let folder = if metadata.is_dir() { Some(path) } else { path.parent() };
    let may_write = metadata.mode() & OTHERS_MAY_WRITE != 0;
    (may_write && !folder.is_some_and(keeps_no_permissions)).then_some(Others::MayWrite)
}

#[cfg(not(unix))]
fn only_we_may_write(_: &Path, _: &fs::Metadata) -> Result<(), Error> {
    Ok(())
}

#[cfg(unix)]
const OTHERS_MAY_WRITE: u32 = 0o022;

/// Whether a file made for its owner alone is open to others all the same.
#[cfg(unix)]
fn keeps_no_permissions(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let probe = folder.join(format!(".permissions-{}", std::process::id()));
    let made = private().write(true).create_new(true).open(&probe).and_then(|file| file.metadata());
    let _ = fs::remove_file(&probe);
    made.is_ok_and(|metadata| metadata.mode() & OTHERS_MAY_WRITE != 0)
}

/// The command that gives it another name.
fn moving_away(path: &Path) -> String {
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    let program = if cfg!(windows) { "move" } else { "mv" };
    format!("{program} {} {}", shell_word(path), shell_word(Path::new(&old)))
}

/// Who else could have written a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// It belongs to another user.
    Own,
    /// It belongs to another user, and this program runs as root.
    NotRoot,
    /// Its permissions allow it to the group or to everybody.
    MayWrite,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, `lock`, `make` or `remove`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process is writing, and does not come to an end.
    #[error("another yk-cargo has held {} for {} seconds", path.display(), LOCK_LIMIT.as_secs())]
    Locked { path: PathBuf },
    /// A folder, a pipe, a device, or for a lock a link, is in the place of the file.
    #[error("{} is not a regular file", path.display())]
    NoFile { path: PathBuf },
    /// It is longer than anything that this program writes.
    #[error("{} has more than {} MB", path.display(), LONGEST_TEXT >> 20)]
    TooLong { path: PathBuf },
    /// Group or others may write the file or its folder, or it belongs to somebody else.
    #[error("{} {}: somebody else could have written it", path.display(), match problem {
        Others::Own | Others::NotRoot => "belongs to another user",
        Others::MayWrite => "may be written by others",
    })]
    Unsafe { path: PathBuf, problem: Others },
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
                "free some space on that disk, then run the command again: it continues where this one stopped".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "it is on a read-only file system: change it at its source".into()
            }
            // Not for want of a permission, which is another error.
            Self::Io { source, path, .. } if is_protected(source) => {
                format!(
                    "look whether it is protected from changes: lsattr {0}; with an `i`: sudo chattr -i {0}",
                    shell_word(path)
                )
            }
            // A file or a link to nowhere is where the folder is to be.
            Self::Io { source, path, .. }
                if matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) =>
            {
                let found = path.ancestors().find_map(|at| Some((at, fs::symlink_metadata(at).ok()?.file_type())));
                match found {
                    // A device is the system's, and a pipe or a socket somebody's who uses it.
                    Some((there, kind)) if !kind.is_file() && !kind.is_dir() && !kind.is_symlink() => {
                        format!("{} is not a folder: set CARGO_HOME to one", shell_word(there))
                    }
                    found => {
                        let there = found.map_or(path.as_path(), |(there, _)| there);
                        format!("move what is there away: {}", moving_away(there))
                    }
                }
            }
            Self::Io { .. } => "check that the file and its folder belong to you".into(),
            Self::Locked { path } => format!(
                "stop the other one; if there is none: {} {}",
                if cfg!(windows) { "del" } else { "rm -f" },
                shell_word(&path.with_extension("locked"))
            ),
            Self::NoFile { path } | Self::TooLong { path } => {
                format!("move it away: {}", moving_away(path))
            }
            // As root, chown would take it away from the person it belongs to.
            Self::Unsafe { problem: Others::NotRoot, .. } => {
                "run this as the user it belongs to (sudo -u USER), or with a CARGO_HOME of root's own".into()
            }
            Self::Unsafe { path, problem: Others::Own } => {
                format!("check it; if it is yours: sudo chown \"$(id -u)\" {}", shell_word(path))
            }
            Self::Unsafe { path, problem: Others::MayWrite } => {
                format!("check it, then: chmod go-w {}", shell_word(path))
            }
        }
    }
}

/// Whether Linux keeps a file from everybody, as `chattr` has it.
#[cfg(target_os = "linux")]
fn is_protected(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error())
}

#[cfg(not(target_os = "linux"))]
fn is_protected(_error: &io::Error) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("yk-cargo/enrollments.toml");
        (folder, file)
    }

    #[test]
    fn permissions_count_where_they_are_kept() {
        let (_folder, file) = file();
        let folder = file.parent().unwrap();
        create(folder).unwrap();
        replace(&file, "version = 1").unwrap();
        assert!(!keeps_no_permissions(folder));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "the probe is gone");
        for path in [folder, &file] {
            let judged = |keeps_none: bool| {
                who_else_may_write(path, &fs::metadata(path).unwrap(), |asked| {
                    assert_eq!(asked, folder);
                    keeps_none
                })
            };
            assert_eq!(judged(false), None);
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            assert_eq!((judged(false), judged(true)), (Some(Others::MayWrite), None));
            fs::set_permissions(path, before).unwrap();
        }
    }

    /// Whatever the file system keeps, a file of another user's is not read.
    #[test]
    fn whose_it_is_counts_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let (path, others) = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1), None).unwrap();
            (folder.path(), Others::NotRoot)
        } else {
            (Path::new("/"), Others::Own)
        };
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(who_else_may_write(path, &metadata, |_| true), Some(others));
    }

    #[test]
    fn what_is_no_file_is_told_from_one() {
        let (_folder, file) = file();
        create(file.parent().unwrap()).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &file, fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert!(matches!(read(&file), Err(Error::NoFile { .. })));
        fs::rename(&file, file.with_extension("lock")).unwrap();
        assert!(matches!(Lock::take(&file, || ()), Err(Error::NoFile { .. })));
        fs::create_dir(&file).unwrap();
        assert!(matches!(read(&file), Err(Error::NoFile { .. })));
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let (_folder, file) = file();
        create(file.parent().unwrap()).unwrap();
        private().write(true).create_new(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read(&file), Err(Error::TooLong { .. })));
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let (folder, file) = file();
        create(file.parent().unwrap()).unwrap();
        let planted = folder.path().join("planted");
        std::os::unix::fs::symlink(&planted, file.with_extension("lock")).unwrap();
        assert!(matches!(Lock::take(&file, || ()), Err(Error::NoFile { .. })));
        assert!(!planted.exists());
    }

    #[test]
    fn nothing_is_written_into_a_folder_that_is_open_to_others() {
        let (_folder, file) = file();
        let directory = file.parent().unwrap();
        create(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Lock::take(&file, || ()), Err(Error::Unsafe { problem: Others::MayWrite, .. })));
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }

    #[test]
    fn a_writer_waits_for_the_one_before_it_and_says_so() {
        let (_folder, file) = file();
        let first = Lock::take(&file, || ()).unwrap();
        let (said, hears) = std::sync::mpsc::channel();
        let second = {
            let file = file.clone();
            std::thread::spawn(move || Lock::take(&file, move || said.send(()).unwrap()).map(drop))
        };
        hears.recv().unwrap();
        drop(first);
        second.join().unwrap().unwrap();
    }
}
