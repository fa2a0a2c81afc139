-- What came of a COMMIT without an answer is told by the row that its transaction has left.
CREATE TABLE attempt (
    id TEXT COLLATE "C" PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX attempt_at ON attempt (at);
-- The row that is written to find out whether one can be.
CREATE TABLE ready (
    is_only BOOLEAN PRIMARY KEY DEFAULT true CHECK (is_only),
    at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO ready DEFAULT VALUES;
