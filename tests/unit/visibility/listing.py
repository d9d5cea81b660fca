"""Executions in tables and in memory, asked the same: every answer here is given by both, and compared."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from overwinter.runtime.ports import OPEN, STATUSES, ExecutionRecord
from overwinter.runtime.visibility import Filter, Listed, parse

SCHEMA = """
CREATE TABLE executions (key INTEGER PRIMARY KEY, workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, type TEXT NOT NULL,
  task_queue TEXT NOT NULL, status INTEGER NOT NULL, started_at INTEGER NOT NULL, closed_at INTEGER,
  parent_workflow_id TEXT, parent_run_id TEXT, root_workflow_id TEXT, root_run_id TEXT, paused TEXT,
  concurrency_key TEXT) STRICT;
CREATE TABLE pauses (scope TEXT NOT NULL, name TEXT NOT NULL) STRICT;
CREATE TABLE search_attributes (execution INTEGER NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, value ANY) STRICT;
"""

TYPES = {
    "Site": "Keyword",
    "Tags": "KeywordList",
    "Note": "Text",
    "Level": "Int",
    "Ratio": "Double",
    "Urgent": "Bool",
    "DueAt": "Datetime",
    "it's; --": "Keyword",
}
SECOND = 1_000_000


def execution(key: int, **fields: Any) -> ExecutionRecord:
    given: dict[str, Any] = {
        "workflow_id": f"order-{key}",
        "run_id": f"run-{key}",
        "workflow_type": "Order",
        "task_queue": "main",
        "started_at_us": key * SECOND,
    }
    return ExecutionRecord(key=key, **(given | fields))


def listed(key: int, /, attributes: Mapping[str, Any] | None = None, **fields: Any) -> Listed:
    """An execution; attributes by name, of the types in `TYPES` unless they are pairs of type and value."""
    typed = {
        name: value if isinstance(value, tuple) else (TYPES[name], value)
        for name, value in (attributes or {}).items()
    }
    record = execution(key, **fields)
    return Listed(record, typed, paused=record.status == OPEN and record.paused is not None)


def tables(records: Sequence[Listed]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    for record in records:
        e = record.execution
        roots = (e.parent_workflow_id, e.parent_run_id, e.root_workflow_id, e.root_run_id)
        row = (e.key, e.workflow_id, e.run_id, e.workflow_type, e.task_queue, STATUSES.index(e.status))
        row += (e.started_at_us, e.closed_at_us, *(one or None for one in roots), e.paused and "")
        row += (e.concurrency_key or None,)
        connection.execute("INSERT INTO executions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
        for name, (kind, value) in record.attributes.items():
            for one in value if isinstance(value, list) else [value]:
                connection.execute("INSERT INTO search_attributes VALUES (?,?,?,?)", (e.key, name, kind, one))
    return connection


def in_sql(wanted: Filter, connection: sqlite3.Connection) -> list[int]:
    sql = wanted.sql()
    query = f"SELECT key FROM executions WHERE {sql.where or '1'} ORDER BY {sql.order_by or 'key DESC'}"
    return [key for (key,) in connection.execute(query, sql.parameters)]


def in_memory(wanted: Filter, records: Sequence[Listed]) -> list[int]:
    return [record.key for record in sorted(filter(wanted.matches, records), key=wanted.sort_key)]


def counted_in_sql(wanted: Filter, connection: sqlite3.Connection) -> dict[tuple[Any, ...], int]:
    sql = wanted.sql()
    query = (
        f"SELECT {sql.group_by}, count(*) FROM executions WHERE {sql.where or '1'} GROUP BY {sql.group_by}"
    )
    return {tuple(row[:-1]): row[-1] for row in connection.execute(query, sql.parameters)}


def counted_in_memory(wanted: Filter, records: Sequence[Listed]) -> dict[tuple[Any, ...], int]:
    return dict(Counter(wanted.group_key(record) for record in records if wanted.matches(record)))


def find(text: str, records: Sequence[Listed], types: Mapping[str, str] = TYPES) -> list[int]:
    """The keys of what a filter finds, in its order."""
    wanted = parse(text, types)
    with closing(tables(records)) as connection:
        found = in_sql(wanted, connection)
    assert in_memory(wanted, records) == found
    return found


def count(text: str, records: Sequence[Listed]) -> dict[tuple[Any, ...], int]:
    """How many a filter finds, by group."""
    wanted = parse(text, TYPES)
    with closing(tables(records)) as connection:
        found = counted_in_sql(wanted, connection)
    assert counted_in_memory(wanted, records) == found
    return found
