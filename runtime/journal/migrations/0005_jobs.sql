-- Batch jobs: what is done to which executions, and how far it has come (JSON).
CREATE TABLE jobs (
    id   TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
