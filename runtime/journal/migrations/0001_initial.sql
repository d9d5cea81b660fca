-- Executions: one row a run. wake_at: when it has something to do by itself (0: at once, NULL: never).
CREATE TABLE executions (
    key         INTEGER PRIMARY KEY,
    workflow_id TEXT    NOT NULL,
    run_id      TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    task_queue  TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    closed_at   INTEGER,
    wake_at     INTEGER,
    blocked     TEXT
) STRICT;

-- A workflow id has at most one open run.
CREATE UNIQUE INDEX executions_open ON executions (workflow_id) WHERE status = 0;
CREATE INDEX executions_workflow ON executions (workflow_id, key);
-- After a start: what must go on at once, and what wakes next.
CREATE INDEX executions_wake ON executions (wake_at) WHERE status = 0 AND wake_at IS NOT NULL;
-- Lists by status; almost all closed executions have completed, so those are found by key.
CREATE INDEX executions_status ON executions (status, key) WHERE status <> 1;

-- Events, in the order of their commits. checksum chains each to the event before it in its execution.
CREATE TABLE events (
    lsn        INTEGER PRIMARY KEY AUTOINCREMENT,
    execution  INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    activation INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    data       BLOB    NOT NULL,
    checksum   INTEGER NOT NULL
) STRICT;

-- Two writers cannot both append at the same sequence.
CREATE UNIQUE INDEX events_history ON events (execution, sequence);

-- Attempts of pending activities that have failed or have beaten; gone when the activity ends.
CREATE TABLE attempts (
    execution INTEGER NOT NULL,
    activity  INTEGER NOT NULL,
    failures  INTEGER NOT NULL,
    next_at   INTEGER NOT NULL,
    failure   BLOB,
    heartbeat BLOB,
    PRIMARY KEY (execution, activity)
) STRICT, WITHOUT ROWID;

-- Messages to send, until they are answered.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY,
    execution  INTEGER NOT NULL,
    event_id   TEXT    NOT NULL,
    topic      TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    qos        INTEGER NOT NULL,
    retain     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

-- Messages whose effect is committed, so that a redelivery has none. A bounded window, the oldest go.
CREATE TABLE received (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key    TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL
) STRICT;

-- Messages that were refused. A bounded window; the counts go on.
CREATE TABLE parked (
    id          INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    topic       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    body        BLOB    NOT NULL
) STRICT;
CREATE TABLE parked_counts (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What this journal keeps for ever.
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
