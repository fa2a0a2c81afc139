//! Credentials for the registry behind, as the vault has sealed them.

use rusqlite::OptionalExtension as _;

use super::{Store, StoreError};
use crate::keys::User;

impl Store {
    /// Keeps a user's sealed credential in the place of the one before.
    ///
    /// # Errors
    /// [`StoreError::UserNotFound`], [`StoreError::Database`].
    pub fn set_credential(&self, user: &User, sealed: &[u8]) -> Result<(), StoreError> {
        let changed = self.connection().execute(
            "INSERT INTO credential (user, sealed) SELECT id, ?2 FROM user WHERE name = ?1
             ON CONFLICT (user) DO UPDATE SET sealed = excluded.sealed",
            (user.as_str(), sealed),
        )?;
        if changed == 0 { Err(StoreError::UserNotFound(user.to_string())) } else { Ok(()) }
    }

    /// Forgets a user's credential; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_credential(&self, user: &User) -> Result<bool, StoreError> {
        let removed = self.connection().execute(
            "DELETE FROM credential WHERE user = (SELECT id FROM user WHERE name = ?)",
            [user.as_str()],
        )?;
        Ok(removed > 0)
    }

    /// A user's sealed credential.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn credential(&self, user: &User) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .connection()
            .prepare_cached("SELECT sealed FROM credential JOIN user ON user.id = user WHERE name = ?")?
            .query_row([user.as_str()], |row| row.get(0))
            .optional()?)
    }
}
