-- Concurrency keys. rank: 0 has begun, more waits; the smaller the sooner, then the older.
ALTER TABLE executions ADD COLUMN concurrency_key TEXT;
ALTER TABLE executions ADD COLUMN concurrency_limit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN concurrency_rank INTEGER NOT NULL DEFAULT 0;

CREATE INDEX executions_concurrency ON executions (concurrency_key, concurrency_rank, key)
    WHERE status = 0 AND concurrency_key IS NOT NULL;
