//! Publishers in the database.

use jiff::Timestamp;
use serde_json::Value;

use super::sql::{Row, Sql, values};
use super::{Store, StoreError, audit, parsed, time, users, void};
use crate::keys::User;
use crate::publishers::{Publisher, PublisherName, Settings};

const SELECT: &str =
    "SELECT publisher.name, publisher.settings, user.name, publisher.added, publisher.removed
     FROM publisher JOIN user ON user.id = publisher.reads_as";

impl Store {
    /// Adds a publisher, which reads as an existing user. The name of one that was removed may be given again.
    ///
    /// # Errors
    /// [`StoreError::PublisherKnown`], [`StoreError::UserUnknown`], [`StoreError::UserRemoved`].
    pub fn add_publisher(
        &self,
        name: &PublisherName,
        settings: &Settings,
        reads_as: &User,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let settings = to_text(settings)?;
        self.write(|transaction| {
            users::present(transaction, reads_as)?;
            let added = transaction.execute(
                "INSERT INTO publisher (name, settings, reads_as, added)
                 SELECT ?, ?, user.id, ? FROM user WHERE user.name = ?
                 ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, reads_as = excluded.reads_as,
                     added = excluded.added, removed = NULL
                 WHERE publisher.removed IS NOT NULL",
                values![name.as_str(), &settings, &now.to_string(), reads_as.as_str()],
            )?;
            if added == 0 {
                return Err(StoreError::PublisherKnown(name.to_string()));
            }
            let fields = [("publisher", name.to_string()), ("settings", settings)];
            audit::note(transaction, now, "add-publisher", reads_as, &fields)
        })
    }

    /// All publishers, in the order in which they were first added.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn publishers(&self) -> Result<Vec<Publisher>, StoreError> {
        self.reader()?.all(&format!("{SELECT} ORDER BY publisher.id"), values![], publisher)
    }

    /// Removes a publisher. Its staging tokens are good for nothing from now on, and what it has staged is rejected. Returns how many
    /// versions that were.
    ///
    /// # Errors
    /// [`StoreError::PublisherUnknown`].
    pub fn remove_publisher(&self, name: &PublisherName, now: Timestamp) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let publisher = find(transaction, name)?.filter(|publisher| publisher.removed.is_none());
            let publisher = publisher.ok_or_else(|| StoreError::PublisherUnknown(name.to_string()))?;
            let at = now.to_string();
            transaction
                .execute("UPDATE publisher SET removed = ? WHERE name = ?", values![&at, name.as_str()])?;
            // The name may be given again, and what was issued before is not the new one's.
            transaction.execute(
                "UPDATE staging_token SET revoked = ?
                 WHERE revoked IS NULL AND publisher = (SELECT id FROM publisher WHERE name = ?)",
                values![&at, name.as_str()],
            )?;
            audit::note(
                transaction,
                now,
                "remove-publisher",
                &publisher.reads_as,
                &[("publisher", name.to_string())],
            )?;
            void::of_stager(transaction, name.as_str(), now)
        })
    }
}

pub(super) fn find(sql: &Sql<'_>, name: &PublisherName) -> Result<Option<Publisher>, StoreError> {
    sql.optional(&format!("{SELECT} WHERE publisher.name = ?"), values![name.as_str()], publisher)
}

fn publisher(row: &Row<'_>) -> Result<Publisher, StoreError> {
    Ok(Publisher {
        name: parsed(row.get(0)?)?,
        settings: settings(row.get(1)?)?,
        reads_as: parsed(row.get(2)?)?,
        added: time(row.get(3)?)?,
        removed: row.get::<Option<&str>>(4)?.map(time).transpose()?,
    })
}

/// What the column of settings holds.
pub(super) fn settings(text: &str) -> Result<Settings, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Damaged(format!("the settings of a publisher: {error}")))
}

/// By way of a value, whose names are in order: the log has the same text.
fn to_text(settings: &Settings) -> Result<String, StoreError> {
    let value: Result<Value, _> = serde_json::to_value(settings);
    value.map(|value| value.to_string()).map_err(|error| StoreError::Entry(error.to_string()))
}
