//! Whether the database has changed, and whether it can be written.
//!
//! Each read of the index asks whether it has changed, because the reader's key may have. `PRAGMA data_version` would
//! tell, but readers wait for each other's locks in it, which cost an eighth of all reads in front of a registry. It
//! looks at the header of the WAL-index, a file that all connections to the database share and that can be read without
//! SQLite (sqlite.org/walformat.html, 2.1). Two fields in its 48 bytes, the count of transactions and the checksum of
//! the last frame, change with every commit before the commit returns. A header that is read while it is being written
//! equals no other, which does no harm.
//!
//! In a PostgreSQL, triggers count the changes of users, keys and credentials, and one query tells all who ask.

use jiff::Timestamp;

use super::postgres::Present;
use super::sql::{Engine, Moved, Sqlite};
use super::{Store, StoreError, schema};

/// A header of the WAL-index, in bytes.
const HEADER: usize = 48;

/// A state of the store. Whoever caches something from the store reads the revision first, and drops it when the
/// revision is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision([u8; HEADER]);

impl Default for Revision {
    /// A revision that no store has.
    fn default() -> Self {
        Self([0; HEADER])
    }
}

/// A state of everything that changes of crates write, where that is told together with the revision. What was read of crates at this
/// state is so as long as it is the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents([i64; 2]);

impl Store {
    /// The present revision. In a folder, it is another one after every commit by any process, and reading it waits for nobody.
    /// In a PostgreSQL, it is another one after every commit that changes users, keys or credentials, and whenever another server
    /// may tell it; no thread waits for it.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`]; in a PostgreSQL [`StoreError::Moved`], [`StoreError::Incomplete`], and all
    /// of them after [`REVISION`](super::postgres::REVISION) at the latest.
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.present().await?.0)
    }

    /// The same, and in a PostgreSQL the state of what changes of crates write: a folder's store tells that of each crate at once.
    ///
    /// # Errors
    /// As [`revision`](Self::revision).
    pub async fn present(&self) -> Result<(Revision, Option<Contents>), StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok((self.of_file(sqlite)?, None)),
            Engine::Postgres(postgres) => {
                let Present { revision, connection, log, .. } = postgres.present().await?;
                let (connection, contents) =
                    (connection.to_ne_bytes(), Contents([log, connection.cast_signed()]));
                Ok((of_parts([revision.to_ne_bytes(), connection].as_flattened()), Some(contents)))
            }
        }
    }

    /// The generation of the audit log and the size of its newest checkpoint, if others may have signed it than this process. No
    /// thread waits for it.
    ///
    /// # Errors
    /// As [`revision`](Self::revision).
    pub(crate) async fn signed(&self) -> Result<Option<(u64, u64)>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => {
                let Present { generation, signed, .. } = postgres.present().await?;
                Ok(Some((generation.unsigned_abs(), signed.unwrap_or_default().unsigned_abs())))
            }
        }
    }

    /// The time by the store's clock: this computer's, or that of the PostgreSQL, which is the same for all gateways.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.engine {
            Engine::Sqlite(_) => Timestamp::now(),
            Engine::Postgres(postgres) => postgres.now(),
        }
    }

    #[cfg(target_os = "linux")]
    fn of_file(&self, _: &Sqlite) -> Result<Revision, StoreError> {
        use std::os::unix::fs::FileExt as _;

        let path = || self.folder.join(super::WAL_INDEX);
        let mut header = [0; HEADER];
        let read = self.wal_index.opened(path).and_then(|file| file.read_exact_at(&mut header, 0));
        read.map_err(|source| StoreError::File { path: path(), source })?;
        Ok(Revision(header))
    }

    /// On systems other than Linux, a file need not show what was written to its mapping.
    #[cfg(not(target_os = "linux"))]
    fn of_file(&self, sqlite: &Sqlite) -> Result<Revision, StoreError> {
        sqlite.first_reader().one("PRAGMA data_version", &[], |row| {
            row.get(0).map(|number: i64| of_parts(&number.to_ne_bytes()))
        })
    }

    /// Commits a transaction that changes nothing, to find out whether the disk is full or not writable. In a PostgreSQL it
    /// keeps nobody else from writing.
    ///
    /// # Errors
    /// [`StoreError::Database`]; in a PostgreSQL [`StoreError::Newer`], [`StoreError::Moved`], [`StoreError::Incomplete`],
    /// [`StoreError::Restored`].
    pub fn write_nothing(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(schema::note_version),
            Engine::Postgres(postgres) => postgres.transaction(|transaction| {
                schema::judge(transaction)?;
                Moved::read(transaction)?.is_here()?;
                postgres.has_what_was_seen(transaction)?;
                schema::note_ready(transaction)
            }),
        }
    }
}

/// No longer than [`HEADER`].
fn of_parts(parts: &[u8]) -> Revision {
    let mut header = [0; HEADER];
    header[..parts.len()].copy_from_slice(parts);
    Revision(header)
}

/// The WAL-index. It is opened when it is first needed, and never closed: closing it would drop all locks that SQLite
/// has on it in this process (POSIX, `fcntl`; sqlite.org/howtocorrupt.html, 2.2).
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
pub(super) struct WalIndex(std::sync::OnceLock<std::mem::ManuallyDrop<std::fs::File>>);

#[cfg(target_os = "linux")]
impl WalIndex {
    fn opened(&self, path: impl FnOnce() -> std::path::PathBuf) -> std::io::Result<&std::fs::File> {
        if let Some(file) = self.0.get() {
            return Ok(file);
        }
        let file = std::mem::ManuallyDrop::new(std::fs::File::open(path())?);
        Ok(self.0.get_or_init(|| file))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures_util::FutureExt as _;

    use super::{Revision, Store};

    fn revision(store: &Store) -> Revision {
        store.revision().now_or_never().unwrap().unwrap()
    }

    fn writer(store: &Store) -> std::sync::MutexGuard<'_, rusqlite::Connection> {
        store.engine.sqlite().unwrap().writer()
    }

    #[test]
    fn changes_with_every_commit_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
        let first = revision(&ours);
        assert_eq!(revision(&ours), first);
        ours.challenge_key().unwrap();
        let second = revision(&ours);
        assert_ne!(second, first, "written by ourselves");
        assert_eq!(revision(&other), second);
        writer(&other).execute("DELETE FROM secret", ()).unwrap();
        let third = revision(&ours);
        assert_ne!(third, second, "written by another");
        writer(&other).query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
        other.write_nothing().unwrap();
        let fourth = revision(&ours);
        assert!(![first, second, third].contains(&fourth), "the first frame of a new log");
    }

    /// Without the locks that a connection has on both files as long as it is open, another process would take them for left
    /// over: it would empty the WAL-index, or remove the log when it ends.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_store_that_is_opened_or_closed_leaves_others_their_locks() {
        use std::os::unix::fs::MetadataExt as _;

        let folder = tempfile::tempdir().unwrap();
        let ours = std::process::id().to_string();
        let are_locked = || {
            [super::super::DATABASE, super::super::WAL_INDEX].map(|file| {
                let inode = fs::metadata(folder.path().join(file)).unwrap().ino().to_string();
                let locks = fs::read_to_string("/proc/locks").unwrap();
                locks.lines().any(|lock| {
                    let mut words = lock.split_whitespace().skip(1);
                    words.next() == Some("POSIX")
                        && words.nth(2) == Some(&ours)
                        && words.next().is_some_and(|file| file.rsplit(':').next() == Some(&inode))
                })
            })
        };
        let one = Store::open(folder.path()).unwrap();
        revision(&one);
        assert_eq!(are_locked(), [true, true], "open");
        let other = Store::open(folder.path()).unwrap();
        assert_eq!(are_locked(), [true, true], "another is opened");
        drop(one);
        assert_eq!(are_locked(), [true, true], "one is closed");
        revision(&other);
    }
}
