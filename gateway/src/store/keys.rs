//! Keys in the database.

use asymmetric_token::KeyId;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::audit::{self, Kind};
use super::sql::{Row, Sql, values};
use super::{Store, StoreError, parsed, time, users, void};
use crate::keys::{Key, NewKey, Role};
use crate::publishers::CratePatterns;

/// How many characters of a key id are enough to name the key. A typing error must not revoke another one.
const SHORTEST_PREFIX: usize = 8;

const SELECT: &str = "SELECT key.public, user.name, key.role, key.label, key.subject, key.added, key.expires,
     key.revoked FROM key JOIN user ON user.id = key.user";

impl Store {
    /// Registers a key, and its user if there is no such user. If the user has the key already, it gets this role,
    /// label, subject and expiry.
    ///
    /// # Errors
    /// [`StoreError::KeyKnown`] if the key is another user's, or was revoked; [`StoreError::UserRemoved`].
    pub fn add_key(&self, new: NewKey, now: Timestamp) -> Result<Key, StoreError> {
        self.add_key_for(new, &CratePatterns::default(), now)
    }

    /// The same for a machine's key, with the role `stage`: it may stage these crates. Other keys have none.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key); [`StoreError::StageKey`] if the key is known with another role.
    pub fn add_key_for(
        &self,
        new: NewKey,
        crates: &CratePatterns,
        now: Timestamp,
    ) -> Result<Key, StoreError> {
        self.write(|transaction| {
            users::make_if_new(transaction, &new.user)?;
            insert_for(transaction, new, crates, now)
        })
    }

    /// The crates that a machine's key may stage; none for other keys.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn crates_of_key(&self, id: KeyId) -> Result<CratePatterns, StoreError> {
        let found = "SELECT crates FROM key WHERE id = ?";
        let found = self.reader()?.optional(found, values![&id.to_string()], |row| crates(row.get(0)?))?;
        Ok(found.unwrap_or_default())
    }

    /// The key with this id, also if it was revoked.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        find(&self.reader()?, id)
    }

    /// All keys, in the order in which they were registered.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn keys(&self) -> Result<Vec<Key>, StoreError> {
        self.reader()?.all(&format!("{SELECT} ORDER BY key.rowid"), values![], key)
    }

    /// Revokes for ever the one key whose id begins like this (at least 8 characters; `k3.pid.` may be left out). From
    /// now on nothing that it signs is accepted, not even an upload that is under way. What it has staged is rejected.
    ///
    /// # Errors
    /// [`StoreError::KeyPrefix`], [`StoreError::KeyNotFound`], [`StoreError::KeyAmbiguous`], [`StoreError::KeyRevoked`].
    pub fn revoke_key(&self, prefix: &str, now: Timestamp) -> Result<Key, StoreError> {
        let wanted = prefix.strip_prefix("k3.pid.").unwrap_or(prefix);
        if wanted.len() < SHORTEST_PREFIX {
            return Err(StoreError::KeyPrefix(prefix.to_owned()));
        }
        let mut fitting = self.keys()?.into_iter().filter(|key| {
            key.id().to_string().strip_prefix("k3.pid.").is_some_and(|id| id.starts_with(wanted))
        });
        let mut key = fitting.next().ok_or_else(|| StoreError::KeyNotFound(prefix.to_owned()))?;
        if fitting.next().is_some() {
            return Err(StoreError::KeyAmbiguous(prefix.to_owned()));
        }
        let id = key.id().to_string();
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE key SET revoked = ? WHERE id = ? AND revoked IS NULL",
                values![&now.to_string(), &id],
            )?;
            if changed == 0 {
                return Err(StoreError::KeyRevoked(id));
            }
            let fields = [("action", "revoke"), ("key", &id), ("user", key.user.as_str())];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.into()));
            audit::append(transaction, now, Kind::Key, Map::from_iter(fields))?;
            void::of_key(transaction, &id, now)?;
            void::of_stager(transaction, &id, now)?;
            key.revoked = Some(now);
            Ok(key)
        })
    }
}

/// Writes a key of an existing user. A key cannot move to another user, and a revoked key stays revoked.
pub(super) fn insert(transaction: &Sql<'_>, new: NewKey, now: Timestamp) -> Result<Key, StoreError> {
    insert_for(transaction, new, &CratePatterns::default(), now)
}

fn insert_for(
    transaction: &Sql<'_>,
    new: NewKey,
    crates: &CratePatterns,
    now: Timestamp,
) -> Result<Key, StoreError> {
    let id = new.public.id();
    let known = find(transaction, id)?;
    if let Some(known) = &known
        && (known.user != new.user || known.revoked.is_some())
    {
        return Err(StoreError::KeyKnown {
            id: id.to_string(),
            user: known.user.to_string(),
            revoked: known.revoked.is_some(),
        });
    }
    // What lies on a build machine must not become what a person signs with, nor what it signed before a person's word.
    if let Some(known) = &known
        && known.role != new.role
        && [known.role, new.role].contains(&Role::Stage)
    {
        return Err(StoreError::StageKey { id: id.to_string(), role: known.role });
    }
    let crates = (new.role == Role::Stage).then(|| serde_json::json!(crates).to_string());
    let action = if known.is_some() { "change" } else { "add" };
    let added = known.map_or(now, |known| known.added);
    transaction.execute(
        "INSERT INTO key (id, public, user, role, label, subject, added, expires, crates)
         SELECT ?, ?, user.id, ?, ?, ?, ?, ?, ? FROM user WHERE user.name = ?
         ON CONFLICT (id) DO UPDATE SET role = excluded.role, label = excluded.label, subject = excluded.subject,
             expires = excluded.expires, crates = excluded.crates",
        values![
            &id.to_string(),
            &new.public.to_string(),
            new.role.as_str(),
            new.label.as_deref(),
            new.subject.as_deref(),
            &added.to_string(),
            new.expires.map(|at| at.to_string()).as_deref(),
            crates.as_deref(),
            new.user.as_str(),
        ],
    )?;
    audit::append(transaction, now, Kind::Key, entry(action, &new, crates))?;
    let NewKey { public, user, role, label, subject, expires } = new;
    Ok(Key { public, user, role, label, subject, added, expires, revoked: None })
}

/// What the audit log says of a key.
fn entry(action: &str, new: &NewKey, crates: Option<String>) -> Map<String, Value> {
    let fields: [(&str, Value); 9] = [
        ("action", action.into()),
        ("key", new.public.id().to_string().into()),
        ("public", new.public.to_string().into()),
        ("user", new.user.as_str().into()),
        ("role", new.role.as_str().into()),
        ("label", new.label.as_deref().into()),
        ("subject", new.subject.as_deref().into()),
        ("expires", new.expires.map(|at| at.to_string()).into()),
        ("crates", crates.into()),
    ];
    Map::from_iter(fields.map(|(name, value)| (name.to_owned(), value)))
}

pub(super) fn find(sql: &Sql<'_>, id: KeyId) -> Result<Option<Key>, StoreError> {
    sql.optional(&format!("{SELECT} WHERE key.id = ?"), values![&id.to_string()], key)
}

/// What the column of crates holds.
pub(super) fn crates(text: Option<&str>) -> Result<CratePatterns, StoreError> {
    let crates = text.map(serde_json::from_str).transpose();
    let crates = crates.map_err(|_| StoreError::Damaged("the crates of a key".to_owned()))?;
    Ok(crates.unwrap_or_default())
}

/// Reads a key from a row.
fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    Ok(Key {
        public: parsed(row.get(0)?)?,
        user: parsed(row.get(1)?)?,
        role: parsed(row.get(2)?)?,
        label: row.get(3)?,
        subject: row.get(4)?,
        added: time(row.get(5)?)?,
        expires: row.get::<Option<&str>>(6)?.map(time).transpose()?,
        revoked: row.get::<Option<&str>>(7)?.map(time).transpose()?,
    })
}
