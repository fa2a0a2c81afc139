//! The users' credentials for the registry behind, as the vault has encrypted them.

use jiff::Timestamp;

use super::sql::values;
use super::{Store, StoreError, audit};
use crate::keys::User;

impl Store {
    /// Keeps a user's encrypted credential. It replaces the previous one.
    ///
    /// # Errors
    /// [`StoreError::UserUnknown`], [`StoreError::Database`].
    pub fn set_credential(&self, user: &User, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "INSERT INTO credential (user, sealed) SELECT id, ?2 FROM user WHERE name = ?1
                 ON CONFLICT (user) DO UPDATE SET sealed = excluded.sealed",
                values![user.as_str(), sealed],
            )?;
            if changed == 0 {
                return Err(StoreError::UserUnknown(user.to_string()));
            }
            audit::note(transaction, now, "set-credential", user, &[])
        })
    }

    /// Removes a user's credential, and returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_credential(&self, user: &User, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let removed = transaction.execute(
                "DELETE FROM credential WHERE user = (SELECT id FROM user WHERE name = ?)",
                values![user.as_str()],
            )?;
            if removed > 0 {
                audit::note(transaction, now, "remove-credential", user, &[])?;
            }
            Ok(removed > 0)
        })
    }

    /// A user's encrypted credential.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn credential(&self, user: &User) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = "SELECT sealed FROM credential JOIN user ON user.id = user WHERE name = ?";
        self.reader()?.optional(sealed, values![user.as_str()], |row| row.get(0))
    }
}
