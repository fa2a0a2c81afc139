//! Users. A name belongs to one person for good, so a removed user stays on record.

use jiff::Timestamp;

use super::sql::{Sql, values};
use super::{Store, StoreError, audit, parsed, time, void};
use crate::keys::User;

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub user: User,
    /// How many keys are not revoked.
    pub keys: u64,
    /// When the user was removed, if they were.
    pub removed: Option<Timestamp>,
    /// Until when an invite of theirs is good that was not used.
    pub invited: Option<Timestamp>,
}

impl Store {
    /// Registers a user. A removed user comes back only if `again` is set, and without keys.
    ///
    /// # Errors
    /// [`StoreError::UserKnown`], [`StoreError::UserRemoved`].
    pub fn add_user(&self, user: &User, again: bool, now: Timestamp) -> Result<(), StoreError> {
        self.write(|transaction| {
            match find(transaction, user)? {
                None => make_if_new(transaction, user)?,
                Some(Some(_)) if again => {
                    transaction
                        .execute("UPDATE user SET removed = NULL WHERE name = ?", values![user.as_str()])?;
                }
                Some(Some(at)) => return Err(StoreError::UserRemoved { user: user.to_string(), at }),
                Some(None) => return Err(StoreError::UserKnown(user.to_string())),
            }
            audit::note(transaction, now, "add-user", user, &[])
        })
    }

    /// Whether there is such a user, who was not removed.
    ///
    /// # Errors
    /// [`StoreError::UserUnknown`], [`StoreError::UserRemoved`].
    pub fn has_user(&self, user: &User) -> Result<(), StoreError> {
        present(&self.reader()?, user)
    }

    /// All users, including removed ones, in the order of their registration.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn users(&self) -> Result<Vec<Person>, StoreError> {
        self.reader()?.all(
            "SELECT name, removed, (SELECT count(*) FROM key WHERE key.user = user.id AND revoked IS NULL),
             (SELECT max(expires) FROM invite WHERE invite.user = user.id AND used IS NULL)
             FROM user ORDER BY id",
            values![],
            |row| {
                Ok(Person {
                    user: parsed(row.get(0)?)?,
                    keys: u64::try_from(row.get::<i64>(2)?).unwrap_or(0),
                    removed: row.get::<Option<&str>>(1)?.map(time).transpose()?,
                    invited: row.get::<Option<&str>>(3)?.map(time).transpose()?,
                })
            },
        )
    }

    /// Removes a user. All their keys are revoked and their invites become void at once. The name stays on record, with
    /// what was published under it. What their machines have staged is rejected. Returns how many keys were revoked.
    ///
    /// # Errors
    /// [`StoreError::UserUnknown`], [`StoreError::UserRemoved`].
    pub fn remove_user(&self, user: &User, now: Timestamp) -> Result<u64, StoreError> {
        self.write(|transaction| {
            present(transaction, user)?;
            let (name, at) = (user.as_str(), now.to_string());
            transaction.execute("UPDATE user SET removed = ? WHERE name = ?", values![&at, name])?;
            let revoked = transaction.execute(
                "UPDATE key SET revoked = ? WHERE revoked IS NULL AND user = (SELECT id FROM user WHERE name = ?)",
                values![&at, name],
            )?;
            void_invites(transaction, user)?;
            void::of_user(transaction, user, now)?;
            audit::note(transaction, now, "remove-user", user, &[("revoked", revoked.to_string())])?;
            // Their machines, and the publishers that read as them, may stage no more.
            let stagers = "SELECT DISTINCT stager FROM staged JOIN user ON user.name = ? WHERE state IN ('staged', 'waiting') AND (
                 EXISTS (SELECT 1 FROM key WHERE key.id = stager AND key.user = user.id)
                 OR EXISTS (SELECT 1 FROM publisher WHERE publisher.name = stager AND reads_as = user.id))";
            for stager in transaction.all(stagers, values![name], |row| row.get::<String>(0))? {
                void::of_stager(transaction, &stager, now)?;
            }
            Ok(revoked)
        })
    }
}

/// Registers a user if there is none of this name. A removed user is refused.
pub(super) fn make_if_new(transaction: &Sql<'_>, user: &User) -> Result<(), StoreError> {
    transaction
        .execute("INSERT INTO user (name) VALUES (?) ON CONFLICT DO NOTHING", values![user.as_str()])?;
    present(transaction, user)
}

pub(super) fn present(sql: &Sql<'_>, user: &User) -> Result<(), StoreError> {
    match find(sql, user)? {
        None => Err(StoreError::UserUnknown(user.to_string())),
        Some(Some(at)) => Err(StoreError::UserRemoved { user: user.to_string(), at }),
        Some(None) => Ok(()),
    }
}

/// When a user was removed, if they were; `None` if there was never such a user.
fn find(sql: &Sql<'_>, user: &User) -> Result<Option<Option<Timestamp>>, StoreError> {
    sql.optional("SELECT removed FROM user WHERE name = ?", values![user.as_str()], |row| {
        row.get::<Option<&str>>(0)?.map(time).transpose()
    })
}

pub(super) fn void_invites(transaction: &Sql<'_>, user: &User) -> Result<(), StoreError> {
    let void = "DELETE FROM invite WHERE used IS NULL AND user = (SELECT id FROM user WHERE name = ?)";
    transaction.execute(void, values![user.as_str()]).map(drop)
}
