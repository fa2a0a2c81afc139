//! Secrets that the gateway makes once for itself. No other program needs them. In a PostgreSQL, whose copies and backups are in
//! other hands, each is sealed with the key file.

use std::path::PathBuf;
use std::sync::OnceLock;

use zeroize::Zeroizing;

use super::sql::{Sql, values};
use super::{Store, StoreError};
use crate::keys::User;
use crate::vault::Vault;

/// The names of those that sign challenges: of mutations, and of enrollments.
pub(super) const CHALLENGE_KEYS: [&str; 2] = ["challenge key", "server key"];

/// What secrets in a PostgreSQL are sealed with. The file is read when it is needed first: who lists users needs none.
#[derive(Debug, Default)]
pub(super) struct Seal {
    key_file: Option<PathBuf>,
    opened: OnceLock<Vault>,
}

impl Seal {
    pub(super) fn with(key_file: Option<PathBuf>) -> Self {
        Self { key_file, opened: OnceLock::new() }
    }

    fn vault(&self) -> Result<&Vault, StoreError> {
        if let Some(vault) = self.opened.get() {
            return Ok(vault);
        }
        let vault = Vault::open(self.key_file.as_deref().ok_or(StoreError::NoKeyFile)?)?;
        Ok(self.opened.get_or_init(|| vault))
    }
}

impl Store {
    /// The key for challenges of mutations. If it changes, all challenges that were issued become invalid.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`], [`StoreError::Random`]; [`StoreError::NoKeyFile`],
    /// [`StoreError::KeyFile`].
    pub fn challenge_key(&self) -> Result<[u8; 32], StoreError> {
        self.random_secret(CHALLENGE_KEYS[0])
    }

    /// The key for challenges of enrollments.
    ///
    /// # Errors
    /// As [`challenge_key`](Self::challenge_key).
    pub fn enrollment_key(&self) -> Result<[u8; 32], StoreError> {
        self.random_secret(CHALLENGE_KEYS[1])
    }

    /// What tells the key file from others, if this store has one: all gateways of a store need the same.
    ///
    /// # Errors
    /// [`StoreError::NoKeyFile`], [`StoreError::KeyFile`].
    pub fn key_file_fingerprint(&self) -> Result<Option<&str>, StoreError> {
        self.seal.as_ref().map(|seal| Ok(seal.vault()?.fingerprint())).transpose()
    }

    /// Whether the key file opens the secrets that are there.
    pub(super) fn has_open_secrets(&self) -> Result<(), StoreError> {
        self.key_file_fingerprint()?;
        CHALLENGE_KEYS.iter().try_for_each(|name| self.secret(name).map(drop))
    }

    fn random_secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let secret = match self.secret(name)? {
            Some(secret) => secret,
            None => {
                let mut new = Zeroizing::new([0; 32]);
                aws_lc_rs::rand::fill(&mut *new).map_err(|_| StoreError::Random)?;
                self.keep_secret(name, &*new)?
            }
        };
        let secret = secret.as_slice().try_into();
        secret.map_err(|_| StoreError::Damaged(format!("the {name} has not 32 bytes")))
    }

    /// The secret of this name, if there is one.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let bytes = "SELECT bytes FROM secret WHERE name = ?";
        let bytes = self.reader()?.optional(bytes, values![name], |row| row.get::<Vec<u8>>(0))?;
        bytes.map(|bytes| self.unsealed(name, Zeroizing::new(bytes))).transpose()
    }

    /// Keeps a new secret, and returns the one that counts: of two that come at once it is the first.
    pub(super) fn keep_secret(&self, name: &str, new: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.write(|transaction| self.insert_secret(transaction, name, new))?;
        self.secret(name)?.ok_or_else(|| StoreError::Damaged(format!("the {name} is gone")))
    }

    /// Keeps a secret, unless there is one of this name.
    pub(super) fn insert_secret(
        &self,
        transaction: &Sql<'_>,
        name: &str,
        clear: &[u8],
    ) -> Result<(), StoreError> {
        let kept = self.sealed(name, clear)?;
        let insert = "INSERT INTO secret (name, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING";
        transaction.execute(insert, values![name, kept.as_slice()]).map(drop)
    }

    /// A credential of another store's as it is kept here. Both have the same key file.
    pub(super) fn sealed_again(
        &self,
        other: &Self,
        user: &User,
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        let Some(seal) = self.seal.as_ref().or(other.seal.as_ref()) else { return Ok(sealed) };
        Ok(seal.vault()?.reseal(user, &sealed)?)
    }

    /// A secret as it is kept here.
    fn sealed(&self, name: &str, clear: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Ok(Zeroizing::new(match &self.seal {
            Some(seal) => seal.vault()?.seal_secret(name, clear)?,
            None => clear.to_owned(),
        }))
    }

    fn unsealed(&self, name: &str, kept: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        match &self.seal {
            Some(seal) => Ok(seal.vault()?.unseal_secret(name, &kept)?),
            None => Ok(kept),
        }
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
