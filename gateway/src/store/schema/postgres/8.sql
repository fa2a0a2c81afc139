-- Who may stage, what is staged, and who has approved it.
ALTER TABLE key DROP CONSTRAINT key_role_check;
ALTER TABLE key
    ADD CONSTRAINT key_role_check CHECK (role IN ('read', 'publish', 'both', 'stage')),
    ADD COLUMN crates TEXT;
CREATE TABLE publisher (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL UNIQUE,
    settings TEXT NOT NULL,
    reads_as BIGINT NOT NULL REFERENCES "user",
    added    TEXT NOT NULL,
    removed  TEXT
);
CREATE INDEX publisher_reads_as ON publisher (reads_as);
CREATE TABLE staging_token (
    hash      TEXT COLLATE "C" PRIMARY KEY,
    publisher BIGINT REFERENCES publisher,
    key       TEXT COLLATE "C" REFERENCES key,
    identity  TEXT NOT NULL,
    issued    TEXT NOT NULL,
    expires   BIGINT NOT NULL,
    revoked   TEXT,
    CHECK ((publisher IS NULL) != (key IS NULL))
);
CREATE INDEX staging_token_expires ON staging_token (expires);
CREATE INDEX staging_token_publisher ON staging_token (publisher);
CREATE INDEX staging_token_key ON staging_token (key);
CREATE TABLE staged (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL,
    folded   TEXT COLLATE "C" NOT NULL,
    version  TEXT COLLATE "C" NOT NULL,
    core     TEXT COLLATE "C" NOT NULL,
    cksum    TEXT COLLATE "C" NOT NULL,
    size     BIGINT NOT NULL,
    line     TEXT NOT NULL,
    stager   TEXT COLLATE "C" NOT NULL,
    token    TEXT COLLATE "C" NOT NULL,
    identity TEXT NOT NULL,
    state    TEXT COLLATE "C" NOT NULL CHECK (
        state IN ('staged', 'waiting', 'approving', 'published', 'rejected', 'expired', 'overtaken')
    ),
    is_new   BIGINT NOT NULL,
    intent   BIGINT REFERENCES audit,
    staged   TEXT NOT NULL,
    changed  TEXT NOT NULL,
    expires  BIGINT NOT NULL,
    words    TEXT
);
CREATE INDEX staged_version ON staged (folded, core);
CREATE INDEX staged_state ON staged (state, expires);
CREATE INDEX staged_token ON staged (token);
CREATE INDEX staged_intent ON staged (intent);
CREATE TABLE approval (
    staged BIGINT NOT NULL REFERENCES staged,
    "user" BIGINT NOT NULL REFERENCES "user",
    key    TEXT COLLATE "C" NOT NULL REFERENCES key,
    token  TEXT NOT NULL,
    time   TEXT NOT NULL,
    seq    BIGINT NOT NULL REFERENCES audit,
    void   TEXT,
    PRIMARY KEY (staged, seq)
);
CREATE INDEX approval_key ON approval (key);
CREATE TABLE approver (
    folded TEXT COLLATE "C" NOT NULL,
    "user" BIGINT NOT NULL REFERENCES "user",
    PRIMARY KEY (folded, "user")
);
