//! The layout of the database, and the steps to it from older layouts.

mod postgres;

use super::sql::{Sql, values};
use super::{StoreError, search, tree};
pub(super) use postgres::{VERSION as POSTGRES_VERSION, grant, judge, note_ready, quoted};

/// The steps from an empty database to the present layout. A step is never changed; new ones are added at the end.
const STEPS: [&str; 9] = [FIRST, ENROLLMENT, WHY_OPEN, GROWTH, MOVED, SHARES, TREE, COSIGNATURES, STAGING];

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

/// Nothing that a request does takes longer the more there is.
const GROWTH: &str = "
    CREATE INDEX key_user ON key (user);
    CREATE INDEX invite_user ON invite (user);
    ALTER TABLE crate ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE counted (
        what   TEXT PRIMARY KEY,
        number INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO counted (what, number)
        VALUES ('spent', (SELECT count(*) FROM spent)), ('open', (SELECT count(*) FROM open_intent));
    CREATE TABLE in_doubt (
        name    TEXT NOT NULL,
        version TEXT NOT NULL,
        cksum   TEXT NOT NULL,
        user    TEXT NOT NULL,
        intent  INTEGER NOT NULL UNIQUE REFERENCES audit,
        PRIMARY KEY (name, version, cksum, user, intent)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO in_doubt (name, version, cksum, user, intent)
        SELECT json_extract(entry, '$.name'), json_extract(entry, '$.vers'), json_extract(entry, '$.cksum'),
            json_extract(entry, '$.user'), seq
        FROM audit
        WHERE json_extract(entry, '$.mutation') = 'publish' AND (
            seq IN (SELECT seq FROM open_intent) OR seq IN (
                SELECT json_extract(entry, '$.intent') FROM audit WHERE json_extract(entry, '$.detail') = 'interrupted'
            )
        );
    CREATE TABLE forgotten (
        of    TEXT PRIMARY KEY,
        until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    DROP INDEX audit_version;
    CREATE TABLE offered (
        id          INTEGER PRIMARY KEY,
        crate       TEXT NOT NULL UNIQUE REFERENCES crate,
        max_version TEXT NOT NULL
    ) STRICT;
    CREATE VIRTUAL TABLE offered_text USING fts5 (
        name, description, content = '', contentless_delete = 1, tokenize = 'trigram remove_diacritics 1'
    );
";

/// Where the store was moved to, or from where it is being copied.
const MOVED: &str = "
    CREATE TABLE log_end (
        is_only     INTEGER PRIMARY KEY CHECK (is_only = 1),
        moved_to    TEXT,
        copied_from TEXT
    ) STRICT;
    INSERT INTO log_end (is_only) VALUES (1);
";

/// How much of what is spent each user has spent. What was spent before is nobody's.
const SHARES: &str = "
    CREATE TABLE spender (
        user INTEGER PRIMARY KEY REFERENCES user,
        owed INTEGER NOT NULL,
        at   INTEGER NOT NULL
    ) STRICT;
";

/// The log's tree, and its signatures.
const TREE: &str = "
    ALTER TABLE log_end ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE log_end ADD COLUMN edge TEXT NOT NULL DEFAULT '';
    ALTER TABLE log_end ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE tile (
        level  INTEGER NOT NULL,
        number INTEGER NOT NULL,
        hash   TEXT NOT NULL,
        PRIMARY KEY (level, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoint (
        size   INTEGER NOT NULL,
        origin TEXT NOT NULL,
        note   TEXT NOT NULL,
        PRIMARY KEY (size, origin)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE signer (
        generation INTEGER PRIMARY KEY,
        public     TEXT NOT NULL
    ) STRICT;
";

/// What witnesses have signed, and the checkpoints of which they were asked.
const COSIGNATURES: &str = "
    CREATE TABLE cosignature (
        origin  TEXT NOT NULL,
        size    INTEGER NOT NULL,
        witness TEXT NOT NULL,
        line    TEXT NOT NULL,
        PRIMARY KEY (origin, size, witness)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE shown (
        origin TEXT NOT NULL,
        size   INTEGER NOT NULL,
        PRIMARY KEY (origin, size)
    ) STRICT, WITHOUT ROWID;
";

/// Who may stage, what is staged, and who has approved it. A key's role is checked by its table, which has to be made anew for
/// another role.
const STAGING: &str = "
    CREATE TABLE key_with_stage (
        id          TEXT PRIMARY KEY,
        public      TEXT NOT NULL UNIQUE,
        user        INTEGER NOT NULL REFERENCES user,
        role        TEXT NOT NULL CHECK (role IN ('read', 'publish', 'both', 'stage')),
        label       TEXT,
        subject     TEXT,
        added       TEXT NOT NULL,
        revoked     TEXT,
        expires     TEXT,
        attestation TEXT,
        crates      TEXT
    ) STRICT;
    INSERT INTO key_with_stage (rowid, id, public, user, role, label, subject, added, revoked, expires, attestation)
        SELECT rowid, id, public, user, role, label, subject, added, revoked, expires, attestation FROM key;
    DROP TABLE key;
    ALTER TABLE key_with_stage RENAME TO key;
    CREATE INDEX key_user ON key (user);
    CREATE TABLE publisher (
        id       INTEGER PRIMARY KEY,
        name     TEXT NOT NULL UNIQUE,
        settings TEXT NOT NULL,
        reads_as INTEGER NOT NULL REFERENCES user,
        added    TEXT NOT NULL,
        removed  TEXT
    ) STRICT;
    CREATE INDEX publisher_reads_as ON publisher (reads_as);
    CREATE TABLE staging_token (
        hash      TEXT PRIMARY KEY,
        publisher INTEGER REFERENCES publisher,
        key       TEXT REFERENCES key,
        identity  TEXT NOT NULL,
        issued    TEXT NOT NULL,
        expires   INTEGER NOT NULL,
        revoked   TEXT,
        CHECK ((publisher IS NULL) != (key IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX staging_token_expires ON staging_token (expires);
    CREATE INDEX staging_token_publisher ON staging_token (publisher);
    CREATE INDEX staging_token_key ON staging_token (key);
    CREATE TABLE staged (
        id       INTEGER PRIMARY KEY,
        name     TEXT NOT NULL,
        folded   TEXT NOT NULL,
        version  TEXT NOT NULL,
        core     TEXT NOT NULL,
        cksum    TEXT NOT NULL,
        size     INTEGER NOT NULL,
        line     TEXT NOT NULL,
        stager   TEXT NOT NULL,
        token    TEXT NOT NULL,
        identity TEXT NOT NULL,
        state    TEXT NOT NULL CHECK (
            state IN ('staged', 'waiting', 'approving', 'published', 'rejected', 'expired', 'overtaken')
        ),
        is_new   INTEGER NOT NULL,
        intent   INTEGER REFERENCES audit,
        staged   TEXT NOT NULL,
        changed  TEXT NOT NULL,
        expires  INTEGER NOT NULL,
        words    TEXT
    ) STRICT;
    CREATE INDEX staged_version ON staged (folded, core);
    CREATE INDEX staged_state ON staged (state, expires);
    CREATE INDEX staged_token ON staged (token);
    CREATE INDEX staged_intent ON staged (intent);
    CREATE TABLE approval (
        staged INTEGER NOT NULL REFERENCES staged,
        user   INTEGER NOT NULL REFERENCES user,
        key    TEXT NOT NULL REFERENCES key,
        token  TEXT NOT NULL,
        time   TEXT NOT NULL,
        seq    INTEGER NOT NULL REFERENCES audit,
        void   TEXT,
        PRIMARY KEY (staged, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX approval_key ON approval (key);
    CREATE TABLE approver (
        folded TEXT NOT NULL,
        user   INTEGER NOT NULL REFERENCES user,
        PRIMARY KEY (folded, user)
    ) STRICT, WITHOUT ROWID;
";

/// The number of steps after which the index of searches is there, and is filled from the crates.
const WITH_SEARCH: usize = 4;
/// The number of steps after which the log has a tree.
const WITH_TREE: usize = 7;

/// Makes the steps that are missing.
pub(super) fn migrate(transaction: &Sql<'_>) -> Result<(), StoreError> {
    if transaction.is_postgres() {
        return postgres::migrate(transaction);
    }
    let found: i64 = transaction.one("PRAGMA user_version", values![], |row| row.get(0))?;
    let done = usize::try_from(found).ok().filter(|done| *done <= STEPS.len());
    let done = done.ok_or(StoreError::Newer { found, known: VERSION })?;
    for step in &STEPS[done..] {
        transaction.batch(step)?;
    }
    if done < WITH_SEARCH {
        search::fill(transaction)?;
    }
    if done < WITH_TREE {
        tree::plant(transaction)?;
    }
    note_version(transaction)
}

/// Writes the present version down, which changes nothing if that was done before.
pub(super) fn note_version(transaction: &Sql<'_>) -> Result<(), StoreError> {
    transaction.batch(&format!("PRAGMA user_version = {VERSION}"))
}

#[cfg(test)]
mod tests {
    use super::super::counts::{Counted, number};
    use rusqlite::Connection;

    use super::super::{DATABASE, Store, files};
    use super::*;

    /// What the second layout held of three crates, one of them yanked as a whole and one damaged, and of three publishes: one
    /// done, one open, one that was interrupted.
    const SECOND: &str = r#"
        PRAGMA user_version = 2;
        INSERT INTO user (id, name) VALUES (1, 'alice');
        INSERT INTO audit (seq, entry, hash) VALUES
            (1, '{"mutation":"publish","name":"tree","vers":"1.9.0","cksum":"aa","user":"alice"}', ''),
            (2, '{"intent":1,"outcome":"done"}', ''),
            (3, '{"mutation":"publish","name":"tree","vers":"2.0.0","cksum":"bb","user":"alice"}', ''),
            (4, '{"mutation":"publish","name":"tree","vers":"3.0.0","cksum":"cc","user":"alice"}', ''),
            (5, '{"intent":4,"outcome":"failed","detail":"interrupted"}', '');
        INSERT INTO open_intent VALUES (3);
        INSERT INTO spent VALUES ('a', 0), ('b', 0);
        INSERT INTO crate (folded, name, owner, description, changed) VALUES
            ('tree', 'tree', 1, 'Many leaves', 0), ('gone', 'gone', 1, 'Leaves too', 0),
            ('torn', 'torn', 1, 'Torn leaves', 0);
        INSERT INTO version (crate, version, core, line) VALUES
            ('tree', '1.10.0', '1.10.0', LINE), ('tree', '1.9.0', '1.9.0', LINE), ('gone', '1.0.0', '1.0.0', YANKED),
            ('torn', '1.0.0', '1.0.0', '{');
    "#;
    const LINE: &str = r#"'{"name":"","vers":"","deps":[],"cksum":"","features":{},"yanked":false,"v":1}'"#;

    #[test]
    fn a_store_of_the_second_layout_gets_what_is_kept_now() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("store");
        files::private_folder(&folder).unwrap();
        let database = Connection::open(folder.join(DATABASE)).unwrap();
        let second = SECOND.replace("LINE", LINE).replace("YANKED", &LINE.replace("false", "true"));
        for sql in [FIRST, ENROLLMENT, &second] {
            database.execute_batch(sql).unwrap();
        }
        drop(database);
        let store = Store::open(&folder).unwrap();
        let (found, total) = store.search("leaves", 10).unwrap();
        let found: Vec<_> =
            found.iter().map(|found| format!("{} {}", found.name, found.max_version)).collect();
        assert_eq!((found, total), (vec!["tree 1.10.0".to_owned()], 1));
        let reader = store.reader().unwrap();
        assert_eq!([Counted::Spent, Counted::Open].map(|what| number(&reader, what).unwrap()), [2, 1]);
        let in_doubt = "SELECT intent FROM in_doubt ORDER BY intent";
        let in_doubt = reader.all(in_doubt, values![], |row| row.get::<i64>(0)).unwrap();
        assert_eq!(in_doubt, [3, 4]);
    }
}
