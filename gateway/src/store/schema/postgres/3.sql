-- Which gateways serve the store, and what of an open change, a crate's turn and an upload is whose. A heartbeat counts for
-- fifteen seconds.
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
