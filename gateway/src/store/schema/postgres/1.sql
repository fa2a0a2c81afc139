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
ALTER TABLE piece ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE FUNCTION raise_revision() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN UPDATE revision SET number = number + 1; RETURN NULL; END';
CREATE TRIGGER raise_revision AFTER INSERT OR UPDATE OR DELETE ON "user" EXECUTE FUNCTION raise_revision();
CREATE TRIGGER raise_revision AFTER INSERT OR UPDATE OR DELETE ON key EXECUTE FUNCTION raise_revision();
CREATE TRIGGER raise_revision AFTER INSERT OR UPDATE OR DELETE ON credential EXECUTE FUNCTION raise_revision();
