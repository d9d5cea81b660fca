-- Parents, chains of runs, search attributes, schedules.
ALTER TABLE executions ADD COLUMN parent_workflow_id TEXT;
ALTER TABLE executions ADD COLUMN parent_run_id TEXT;
ALTER TABLE executions ADD COLUMN parent_close_policy INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN root_workflow_id TEXT;
ALTER TABLE executions ADD COLUMN root_run_id TEXT;
ALTER TABLE executions ADD COLUMN first_run_id TEXT;

CREATE INDEX executions_run ON executions (run_id);
CREATE INDEX executions_parent ON executions (parent_run_id) WHERE parent_run_id IS NOT NULL;

-- One row for each value; a list of keywords has several.
CREATE TABLE search_attributes (
    execution INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    value     ANY
) STRICT;
CREATE INDEX search_attributes_execution ON search_attributes (execution, name);
CREATE INDEX search_attributes_value ON search_attributes (name, value);

CREATE TABLE schedules (
    id   TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
