-- What witnesses have signed, and the checkpoints of which they were asked.
CREATE TABLE cosignature (
    origin  TEXT COLLATE "C" NOT NULL,
    size    BIGINT NOT NULL,
    witness TEXT COLLATE "C" NOT NULL,
    line    TEXT NOT NULL,
    PRIMARY KEY (origin, size, witness)
);
CREATE TABLE shown (
    origin TEXT COLLATE "C" NOT NULL,
    size   BIGINT NOT NULL,
    PRIMARY KEY (origin, size)
);
