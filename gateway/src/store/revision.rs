//! Whether anything was written since, and whether anything can be.

use super::{SCHEMA_VERSION, Store, StoreError};

impl Store {
    /// A number that is another one after every commit, by whichever process (SQLite, `PRAGMA data_version`). Numbers of
    /// two openings of a store cannot be compared. It takes microseconds and waits for nobody.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn revision(&self) -> Result<i64, StoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached("PRAGMA data_version")?;
        Ok(statement.query_row((), |row| row.get(0))?)
    }

    /// Commits a transaction that changes nothing, so that a disk that is full or not writable shows.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn write_nothing(&self) -> Result<(), StoreError> {
        Ok(self.connection().pragma_update(None, "user_version", SCHEMA_VERSION)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Store;

    #[test]
    fn changes_with_every_commit_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
        let first = ours.revision().unwrap();
        assert_eq!(ours.revision().unwrap(), first);
        ours.challenge_key().unwrap();
        let second = ours.revision().unwrap();
        assert_ne!(second, first, "written by ourselves");
        other.connection().execute("DELETE FROM secret", ()).unwrap();
        assert_ne!(ours.revision().unwrap(), second, "written by another");
    }
}
