-- When the last attempt began, ended and beat, and how often all have beaten; 0 where it is not known.
ALTER TABLE attempts ADD COLUMN started_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN beaten_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;

-- Activities without a workflow, for lists of them alone.
CREATE INDEX executions_activities ON executions (key)
WHERE workflow_id >= 'overwinter-activity:' AND workflow_id < 'overwinter-activity;';
