-- The log's tree, and its signatures. What it takes to append is in the row that every writing transaction waits for.
ALTER TABLE log_end
    ADD COLUMN size       BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN edge       TEXT NOT NULL DEFAULT '',
    ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
CREATE TABLE tile (
    level  BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hash   TEXT NOT NULL,
    PRIMARY KEY (level, number)
);
CREATE TABLE checkpoint (
    size   BIGINT NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    note   TEXT NOT NULL,
    PRIMARY KEY (size, origin)
);
CREATE TABLE signer (
    generation BIGINT PRIMARY KEY,
    public     TEXT NOT NULL
);
