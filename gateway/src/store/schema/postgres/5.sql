-- How much of what is spent each user has spent, in milliseconds until all of it can be forgotten, at a time in milliseconds since 1970.
-- What gateways spend that know nothing of it is nobody's.
CREATE TABLE spender (
    "user" BIGINT PRIMARY KEY REFERENCES "user",
    owed   BIGINT NOT NULL,
    at     BIGINT NOT NULL
);
