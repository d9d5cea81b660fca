-- Why an execution is paused by itself (JSON: identity, reason, since); NULL when it is not.
ALTER TABLE executions ADD COLUMN paused TEXT;

-- Pauses of every execution of a type, of a task queue, or of everything (its name is empty).
CREATE TABLE pauses (
    scope    TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    identity TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
