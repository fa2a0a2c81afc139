//! The layout of the database, and the steps to it from older layouts.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// The steps from an empty database to the present layout. A step is never changed; new ones are added at the end.
const STEPS: [&str; 3] = [FIRST, ENROLLMENT, WHY_OPEN];

/// The version of the layout: the number of steps that were made.
pub(super) const VERSION: i64 = STEPS.len() as i64;

const FIRST: &str = "
    CREATE TABLE user (
        id   INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE key (
        id      TEXT PRIMARY KEY,
        public  TEXT NOT NULL UNIQUE,
        user    INTEGER NOT NULL REFERENCES user,
        role    TEXT NOT NULL CHECK (role IN ('read', 'publish', 'both')),
        label   TEXT,
        subject TEXT,
        added   TEXT NOT NULL,
        revoked TEXT
    ) STRICT;
    CREATE TABLE audit (
        seq   INTEGER PRIMARY KEY,
        entry TEXT NOT NULL,
        hash  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_version ON audit (json_extract(entry, '$.name'), json_extract(entry, '$.vers'));
    CREATE TABLE open_intent (
        seq INTEGER PRIMARY KEY REFERENCES audit
    ) STRICT;
    CREATE TABLE published (
        name    TEXT NOT NULL,
        version TEXT NOT NULL,
        intent  INTEGER NOT NULL UNIQUE REFERENCES audit,
        outcome INTEGER NOT NULL REFERENCES audit,
        PRIMARY KEY (name, version, intent)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE crate (
        folded      TEXT PRIMARY KEY,
        name        TEXT NOT NULL,
        owner       INTEGER NOT NULL REFERENCES user,
        description TEXT,
        changed     INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE version (
        id       INTEGER PRIMARY KEY,
        crate    TEXT NOT NULL REFERENCES crate,
        version  TEXT NOT NULL,
        core     TEXT NOT NULL,
        line     TEXT NOT NULL,
        UNIQUE (crate, core)
    ) STRICT;
    CREATE TABLE credential (
        user   INTEGER PRIMARY KEY REFERENCES user,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE TABLE spent (
        single_use_key TEXT PRIMARY KEY,
        kept_until     INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX spent_kept_until ON spent (kept_until);
    CREATE TABLE secret (
        name  TEXT PRIMARY KEY,
        bytes BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

const ENROLLMENT: &str = "
    ALTER TABLE user ADD COLUMN removed TEXT;
    ALTER TABLE key ADD COLUMN expires TEXT;
    ALTER TABLE key ADD COLUMN attestation TEXT;
    CREATE TABLE invite (
        hash    TEXT PRIMARY KEY,
        user    INTEGER NOT NULL REFERENCES user,
        issued  TEXT NOT NULL,
        expires TEXT NOT NULL,
        used    TEXT
    ) STRICT;
";

const WHY_OPEN: &str = "
    CREATE TABLE IF NOT EXISTS open_reason (
        seq INTEGER PRIMARY KEY REFERENCES open_intent ON DELETE CASCADE,
        why TEXT NOT NULL
    ) STRICT;
";

/// Makes the steps that are missing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found).ok().filter(|done| *done <= STEPS.len());
    for step in &STEPS[done.ok_or(StoreError::Newer { found })?..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}
