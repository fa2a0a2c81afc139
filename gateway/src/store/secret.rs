//! Secrets that the gateway makes once for itself. No other program needs them.

use super::sql::values;
use super::{Store, StoreError};

impl Store {
    /// The key for challenges of mutations. If it changes, all challenges that were issued become invalid.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`], [`StoreError::Random`].
    pub fn challenge_key(&self) -> Result<[u8; 32], StoreError> {
        self.secret("challenge key")
    }

    /// The key for challenges of enrollments.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`], [`StoreError::Random`].
    pub fn enrollment_key(&self) -> Result<[u8; 32], StoreError> {
        self.secret("server key")
    }

    fn secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let mut new = [0; 32];
        aws_lc_rs::rand::fill(&mut new).map_err(|_| StoreError::Random)?;
        self.write(|transaction| {
            let insert = "INSERT INTO secret (name, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING";
            transaction.execute(insert, values![name, new.as_slice()])?;
            let bytes: Vec<u8> =
                transaction
                    .one("SELECT bytes FROM secret WHERE name = ?", values![name], |row| row.get(0))?;
            bytes.try_into().map_err(|_| StoreError::Damaged(format!("the {name} has not 32 bytes")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Store;

    #[test]
    fn is_made_once() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = |folder: &tempfile::TempDir| Store::open(folder.path()).unwrap().challenge_key().unwrap();
        assert_eq!(key(&folder), key(&folder));
        assert_ne!(key(&folder), key(&other));
    }
}
