//! The layout of a PostgreSQL, which is the present one of SQLite. What is kept there in a file beside the database is in a
//! table here.
//!
//! Text is compared byte by byte, as SQLite does it and as ranges of names need it: all that is compared has the collation
//! "C", whatever the database has.

use super::super::StoreError;
use super::super::sql::{Sql, values};

/// The version of the layout.
pub(in super::super) const VERSION: i64 = 1;
/// The oldest version that a program may know to write this layout.
const SERVES: i64 = 1;

const LAYOUT: &str = r#"
    CREATE TABLE log_end (
        is_only BOOLEAN PRIMARY KEY DEFAULT true CHECK (is_only),
        layout  BIGINT NOT NULL,
        serves  BIGINT NOT NULL
    );
    CREATE TABLE revision (
        is_only BOOLEAN PRIMARY KEY DEFAULT true CHECK (is_only),
        number  BIGINT NOT NULL
    );
    INSERT INTO revision (number) VALUES (1);
    CREATE TABLE "user" (
        id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name    TEXT COLLATE "C" NOT NULL UNIQUE,
        removed TEXT
    );
    CREATE TABLE key (
        id          TEXT COLLATE "C" PRIMARY KEY,
        rowid       BIGINT GENERATED ALWAYS AS IDENTITY,
        public      TEXT COLLATE "C" NOT NULL UNIQUE,
        "user"      BIGINT NOT NULL REFERENCES "user",
        role        TEXT NOT NULL CHECK (role IN ('read', 'publish', 'both')),
        label       TEXT,
        subject     TEXT,
        added       TEXT NOT NULL,
        expires     TEXT,
        revoked     TEXT,
        attestation TEXT
    );
    CREATE INDEX key_user ON key ("user");
    CREATE TABLE invite (
        hash    TEXT COLLATE "C" PRIMARY KEY,
        "user"  BIGINT NOT NULL REFERENCES "user",
        issued  TEXT NOT NULL,
        expires TEXT NOT NULL,
        used    TEXT
    );
    CREATE INDEX invite_user ON invite ("user");
    CREATE TABLE credential (
        "user" BIGINT PRIMARY KEY REFERENCES "user",
        sealed BYTEA NOT NULL
    );
    CREATE TABLE secret (
        name  TEXT COLLATE "C" PRIMARY KEY,
        bytes BYTEA NOT NULL
    );
    CREATE TABLE audit (
        seq   BIGINT PRIMARY KEY,
        entry TEXT NOT NULL,
        hash  TEXT NOT NULL
    );
    CREATE TABLE head (
        seq  BIGINT PRIMARY KEY REFERENCES audit,
        line TEXT NOT NULL
    );
    CREATE TABLE open_intent (
        seq BIGINT PRIMARY KEY REFERENCES audit
    );
    CREATE TABLE open_reason (
        seq BIGINT PRIMARY KEY REFERENCES open_intent ON DELETE CASCADE,
        why TEXT COLLATE "C" NOT NULL
    );
    CREATE TABLE published (
        name    TEXT COLLATE "C" NOT NULL,
        version TEXT COLLATE "C" NOT NULL,
        intent  BIGINT NOT NULL UNIQUE REFERENCES audit,
        outcome BIGINT NOT NULL REFERENCES audit,
        PRIMARY KEY (name, version, intent)
    );
    CREATE TABLE in_doubt (
        name    TEXT COLLATE "C" NOT NULL,
        version TEXT COLLATE "C" NOT NULL,
        cksum   TEXT COLLATE "C" NOT NULL,
        "user"  TEXT COLLATE "C" NOT NULL,
        intent  BIGINT NOT NULL UNIQUE REFERENCES audit,
        PRIMARY KEY (name, version, cksum, "user", intent)
    );
    CREATE TABLE spent (
        single_use_key TEXT COLLATE "C" PRIMARY KEY,
        kept_until     BIGINT NOT NULL
    );
    CREATE INDEX spent_kept_until ON spent (kept_until);
    CREATE TABLE forgotten (
        of    TEXT COLLATE "C" PRIMARY KEY,
        until BIGINT NOT NULL
    );
    CREATE TABLE counted (
        what   TEXT COLLATE "C" PRIMARY KEY,
        number BIGINT NOT NULL
    );
    CREATE TABLE crate (
        folded      TEXT COLLATE "C" PRIMARY KEY,
        name        TEXT COLLATE "C" NOT NULL,
        owner       BIGINT NOT NULL REFERENCES "user",
        description TEXT,
        changed     BIGINT NOT NULL,
        revision    BIGINT NOT NULL DEFAULT 0
    );
    CREATE TABLE version (
        id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        crate   TEXT COLLATE "C" NOT NULL REFERENCES crate,
        version TEXT COLLATE "C" NOT NULL,
        core    TEXT COLLATE "C" NOT NULL,
        line    TEXT NOT NULL,
        UNIQUE (crate, core)
    );
    CREATE TABLE offered (
        id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        crate       TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES crate,
        max_version TEXT NOT NULL,
        description TEXT COLLATE "C"
    );
    CREATE TABLE file (
        name    TEXT COLLATE "C" NOT NULL,
        version TEXT COLLATE "C" NOT NULL,
        cksum   TEXT COLLATE "C" NOT NULL,
        pieces  BIGINT NOT NULL,
        PRIMARY KEY (name, version)
    );
    CREATE TABLE piece (
        cksum  TEXT COLLATE "C" NOT NULL,
        number BIGINT NOT NULL,
        bytes  BYTEA NOT NULL,
        PRIMARY KEY (cksum, number)
    );
    CREATE TABLE attempt (
        id TEXT COLLATE "C" PRIMARY KEY,
        at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX attempt_at ON attempt (at);
    CREATE TABLE ready (
        is_only BOOLEAN PRIMARY KEY DEFAULT true CHECK (is_only),
        at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
    );
    INSERT INTO ready DEFAULT VALUES;
    ALTER TABLE piece ALTER COLUMN bytes SET STORAGE EXTERNAL;
    CREATE FUNCTION raise_revision() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN UPDATE revision SET number = number + 1; RETURN NULL; END';
    CREATE TRIGGER raise_revision AFTER INSERT OR UPDATE OR DELETE ON "user" EXECUTE FUNCTION raise_revision();
    CREATE TRIGGER raise_revision AFTER INSERT OR UPDATE OR DELETE ON key EXECUTE FUNCTION raise_revision();
    CREATE TRIGGER raise_revision AFTER INSERT OR UPDATE OR DELETE ON credential EXECUTE FUNCTION raise_revision();
"#;

/// Which gateways serve the store, and what of an open change, a crate's turn and an upload is whose. A heartbeat counts for
/// fifteen seconds.
const GATEWAYS: &str = r#"
    CREATE TABLE gateway (
        epoch     TEXT COLLATE "C" PRIMARY KEY,
        name      TEXT NOT NULL,
        settings  TEXT NOT NULL,
        started   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
        heartbeat TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
    );
    CREATE VIEW living AS
        SELECT * FROM gateway WHERE heartbeat > clock_timestamp() - INTERVAL '15 s';
    ALTER TABLE open_intent
        ADD COLUMN epoch TEXT COLLATE "C",
        ADD COLUMN begun TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp();
    CREATE TABLE turn (
        crate  TEXT COLLATE "C" PRIMARY KEY,
        intent BIGINT NOT NULL REFERENCES open_intent ON DELETE CASCADE
    );
    CREATE INDEX turn_intent ON turn (intent);
    CREATE TABLE upload (
        cksum TEXT COLLATE "C",
        epoch TEXT COLLATE "C",
        PRIMARY KEY (cksum, epoch)
    );
    CREATE INDEX file_cksum ON file (cksum);
"#;

/// Searches ask by it for texts that are somewhere within names and descriptions. Without it they read all of them.
const TRIGRAMS: &str = "
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX offered_crate ON offered USING gin (crate gin_trgm_ops);
    CREATE INDEX offered_description ON offered USING gin (description gin_trgm_ops);
";

/// Looks whether there is a layout that this program knows.
pub(in super::super) fn judge(sql: &Sql<'_>) -> Result<(), StoreError> {
    if !is_made(sql)? {
        return Err(StoreError::NotMade);
    }
    let found = "SELECT layout, serves FROM log_end";
    let (found, serves): (i64, i64) = sql.one(found, values![], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if serves > VERSION { Err(StoreError::Newer { found, known: VERSION }) } else { Ok(()) }
}

/// Makes the layout in an empty database, and looks whether this program knows the one that is there.
pub(super) fn migrate(transaction: &Sql<'_>) -> Result<(), StoreError> {
    // Of two that come at once, one waits here for the other.
    transaction.batch("SELECT pg_advisory_xact_lock(2037080935)")?;
    if is_made(transaction)? { judge(transaction) } else { make(transaction) }
}

fn is_made(sql: &Sql<'_>) -> Result<bool, StoreError> {
    sql.one("SELECT to_regclass('log_end') IS NOT NULL", values![], |row| row.get(0))
}

/// Writes a row that says nothing but when it was written.
pub(in super::super) fn note_ready(transaction: &Sql<'_>) -> Result<(), StoreError> {
    transaction.execute("UPDATE ready SET at = clock_timestamp()", values![]).map(drop)
}

fn make(transaction: &Sql<'_>) -> Result<(), StoreError> {
    transaction.batch(LAYOUT)?;
    transaction.batch(GATEWAYS)?;
    let trigrams = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'";
    if transaction.one(trigrams, values![], |row| row.get::<i64>(0))? > 0 {
        transaction.batch(TRIGRAMS)?;
    }
    let note = "INSERT INTO log_end (layout, serves) VALUES (?, ?)";
    transaction.execute(note, values![VERSION, SERVES]).map(drop)
}
