"""The journal's statements, on any SQLite connection, without waiting: the part that the shells share."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ..core import codec
from ..core.events import Event
from ..core.payload import Attribute
from ..core.state import ExecutionState
from ..core.transitions import IllegalTransition
from ..ports import (
    OPEN,
    PAUSED,
    STATUSES,
    AttemptRecord,
    Batch,
    Blocked,
    Change,
    ConcurrencyLine,
    EventRecord,
    ExecutionRecord,
    History,
    LastIds,
    OutgoingMessage,
    ParkedMessage,
    Pause,
    PauseKey,
)
from ..visibility.fields import IS_PAUSED
from .errors import HistoryDamaged, JournalDamaged, JournalTooNew, JournalUnusable

if TYPE_CHECKING:
    from ..visibility import Filter

_LAST_KEY: Final = "last_deleted_key"
RECEIVED_MAX: Final = 20_000
"""How many received keys are remembered: the window in which a redelivery is recognised."""
REQUESTS_MAX: Final = 50_000
"""How many requests are remembered. One that is sent again is so at once, when its connection is there again."""

# -- schema ------------------------------------------------------------------------------------------


def migrations() -> list[tuple[int, str]]:
    """The numbered migrations, in order."""
    folder = Path(__file__).with_name("migrations")
    return sorted((int(file.name[:4]), file.read_text("utf-8")) for file in folder.glob("*.sql"))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to this version, each migration in a transaction of its own.

    Raises:
        JournalTooNew: the file was written by a newer version.
        JournalUnusable: the file is a database, but none of ours.
    """
    have = schema_version(connection)
    steps = migrations()
    newest = steps[-1][0]
    if have > newest:
        raise JournalTooNew(f"the journal has schema {have}, this version knows schema {newest}")
    if have == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise JournalUnusable("the file is an SQLite database with tables of something else, and no journal")
    for number, script in steps:
        if number > have:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last migration that this file has seen; 0 for a new file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


# -- writing -----------------------------------------------------------------------------------------

_START: Final = """
INSERT INTO executions (key, workflow_id, run_id, type, task_queue, status, started_at, closed_at, wake_at, blocked,
  parent_workflow_id, parent_run_id, parent_close_policy, root_workflow_id, root_run_id, first_run_id, paused,
  concurrency_key, concurrency_limit, concurrency_rank)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_EVENT: Final = """
INSERT INTO events (execution, sequence, activation, at, kind, data, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)"""
_CHANGE: Final = """
UPDATE executions SET status = ?, closed_at = ?, wake_at = ?, blocked = ?, paused = ?, concurrency_rank = ? WHERE key = ?"""
_ATTEMPT: Final = """
INSERT OR REPLACE INTO attempts (execution, activity, failures, next_at, failure, heartbeat, started_at, ended_at, beaten_at, beats)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ATTEMPTS: Final = """
SELECT execution, activity, failures, next_at, failure, heartbeat, started_at, ended_at, beaten_at, beats FROM attempts
WHERE execution = ?"""
_ATTEMPT_OVER: Final = "DELETE FROM attempts WHERE execution = ? AND activity = ?"
_OUTGOING: Final = """
INSERT INTO outbox (id, execution, event_id, topic, body, qos, retain, created_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SENT: Final = "DELETE FROM outbox WHERE id = ?"
_RECEIVED: Final = "INSERT OR REPLACE INTO received (key, digest) VALUES (?, ?)"
_RECEIVED_PRUNE: Final = "DELETE FROM received WHERE number <= (SELECT max(number) FROM received) - ?"
_REQUEST: Final = "INSERT OR REPLACE INTO requests (execution, id) VALUES (?, ?)"
_REQUESTS_PRUNE: Final = "DELETE FROM requests WHERE number <= (SELECT max(number) FROM requests) - ?"
_PARKED: Final = "INSERT INTO parked (id, received_at, topic, reason, detail, body) VALUES (?, ?, ?, ?, ?, ?)"
_PARKED_COUNT: Final = """
INSERT INTO parked_counts (reason, count) VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET count = count + 1"""
_PARKED_PRUNE: Final = "DELETE FROM parked WHERE id <= (SELECT max(id) FROM parked) - ?"


def write(connection: sqlite3.Connection, batch: Batch, parked_max: int) -> dict[int, ExecutionRecord]:
    """Write a batch inside the caller's transaction; returns the starts that were left out (see `Journal.commit`)."""
    if batch.changes:
        rows = [
            (
                STATUSES.index(c.status),
                c.closed_at_us,
                c.wake_at_us,
                _blocked_text(c.blocked),
                _pause_text(c.paused),
                c.concurrency_rank,
                c.key,
            )
            for c in batch.changes.values()
        ]
        connection.executemany(_CHANGE, rows)
    refused = _write_starts(connection, batch) if batch.starts else {}
    events: Iterable[EventRecord] = batch.events
    outgoing: Iterable[OutgoingMessage] = batch.outgoing
    if refused:
        events = [event for event in events if event.execution not in refused]
        outgoing = [message for message in outgoing if message.execution not in refused]
    if batch.events:
        connection.executemany(_EVENT, events)
    if batch.attempts:
        _write_attempts(connection, batch.attempts)
    if batch.outgoing:
        connection.executemany(_OUTGOING, [_outgoing_row(message) for message in outgoing])
    if batch.sent:
        connection.executemany(_SENT, [(number,) for number in batch.sent])
    _write_receipts(connection, batch, refused)
    if batch.parked:
        rows_parked = [(p.id, p.received_at_us, p.topic, p.reason, p.detail, p.body) for p in batch.parked]
        connection.executemany(_PARKED, rows_parked)
        connection.executemany(_PARKED_COUNT, [(parked.reason,) for parked in batch.parked])
        connection.execute(_PARKED_PRUNE, (parked_max,))
    _write_what_is_rare(connection, batch, refused)
    return refused


def mark_flush(connection: sqlite3.Connection) -> None:
    """A commit of its own that changes one row: it syncs the log, and with it all commits before."""
    connection.execute(
        "INSERT INTO settings (name, value) VALUES ('flushes', '1') "
        "ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
    )


def _write_what_is_rare(connection: sqlite3.Connection, batch: Batch, refused: Container[int]) -> None:
    for execution, attributes in batch.attributes.items():
        if execution not in refused:
            _write_attributes(connection, execution, attributes)
    for schedule_id, data in batch.schedules.items():
        _write_named(connection, "schedules", schedule_id, data)
    if batch.adopted:
        parents = [(batch.starts[by].run_id, key) for key, by in batch.adopted.items() if by not in refused]
        connection.executemany("UPDATE executions SET parent_run_id = ? WHERE key = ?", parents)
    for job_id, data in batch.jobs.items():
        _write_named(connection, "jobs", job_id, data)
    if batch.deleted:
        _delete(connection, batch.deleted)
    if batch.pauses:
        _write_pauses(connection, batch.pauses)


def _write_receipts(
    connection: sqlite3.Connection, batch: Batch, refused: Mapping[int, ExecutionRecord]
) -> None:
    if batch.received:
        connection.executemany(_RECEIVED, [key for start, key in batch.received if start not in refused])
        connection.execute(_RECEIVED_PRUNE, (RECEIVED_MAX,))
    if batch.requests:
        connection.executemany(_REQUEST, [each for each in batch.requests if each[0] not in refused])
        connection.execute(_REQUESTS_PRUNE, (REQUESTS_MAX,))


def _write_starts(connection: sqlite3.Connection, batch: Batch) -> dict[int, ExecutionRecord]:
    refused: dict[int, ExecutionRecord] = {}
    for start in batch.starts_in_order():
        follows = batch.continues.get(start.key)
        if follows in refused:
            refused[start.key] = refused[follows]
            continue
        # A run that also closed in this batch does not meet the index of open runs. The key comes after the id.
        keyed = bool(start.concurrency_key)
        others = [] if start.status == OPEN and not keyed else _open_runs(connection, start.workflow_id)
        if keyed and follows is None and start.concurrency_rank == 0 and not others:
            others = _in_the_way(connection, start)
        if others or connection.execute(_START, _start_row(start)).rowcount == 0:
            refused[start.key] = (others or _open_runs(connection, start.workflow_id))[0]
    return refused


def _open_runs(connection: sqlite3.Connection, workflow_id: str) -> list[ExecutionRecord]:
    return find_executions(connection, workflow_id=workflow_id, status=OPEN, limit=1)


def _in_the_way(connection: sqlite3.Connection, start: ExecutionRecord) -> list[ExecutionRecord]:
    """The executions because of which a start has to wait for its concurrency key; empty when it need not."""
    query = (
        f"SELECT {_EXECUTION_COLUMNS} FROM executions WHERE status = 0 AND concurrency_key = ? "  # noqa: S608 - constant text
        "ORDER BY concurrency_rank, key LIMIT ?"
    )
    rows = connection.execute(query, (start.concurrency_key, start.concurrency_limit))
    first = [_execution(row) for row in rows]
    full = len(first) == start.concurrency_limit
    return first if full or (first and first[-1].concurrency_rank) else []


def _start_row(start: ExecutionRecord) -> tuple[object, ...]:
    return (
        start.key,
        start.workflow_id,
        start.run_id,
        start.workflow_type,
        start.task_queue,
        STATUSES.index(start.status),
        start.started_at_us,
        start.closed_at_us,
        start.wake_at_us,
        _blocked_text(start.blocked),
        start.parent_workflow_id or None,
        start.parent_run_id or None,
        start.parent_close_policy,
        start.root_workflow_id or None,
        start.root_run_id or None,
        start.first_run_id or None,
        _pause_text(start.paused),
        start.concurrency_key or None,
        start.concurrency_limit,
        start.concurrency_rank,
    )


def _write_attributes(
    connection: sqlite3.Connection, execution: int, attributes: Mapping[str, Attribute]
) -> None:
    connection.execute("DELETE FROM search_attributes WHERE execution = ?", (execution,))
    connection.executemany(
        "INSERT INTO search_attributes (execution, name, type, value) VALUES (?, ?, ?, ?)",
        [
            (execution, name, kind, one)
            for name, (kind, value) in attributes.items()
            for one in (cast("list[object]", value) if isinstance(value, list | tuple) else [value])
        ],
    )


def _write_named(connection: sqlite3.Connection, table: str, name: str, data: bytes | None) -> None:
    # The names of tables are constants of `write`.
    if data is None:
        connection.execute(f"DELETE FROM {table} WHERE id = ?", (name,))  # noqa: S608 - as above
    else:
        connection.execute(f"INSERT OR REPLACE INTO {table} (id, data) VALUES (?, ?)", (name, data))  # noqa: S608 - as above


def _delete(connection: sqlite3.Connection, keys: Sequence[int]) -> None:
    # A key is in the outbox, and in what others have replicated: the highest is remembered, so that none comes again.
    connection.execute(
        "INSERT INTO settings (name, value) SELECT ?, max(key) FROM executions WHERE true "
        "ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))",
        (_LAST_KEY,),
    )
    for table, column in (
        ("events", "execution"),
        ("attempts", "execution"),
        ("search_attributes", "execution"),
        ("executions", "key"),
    ):
        query = f"DELETE FROM {table} WHERE {column} = ?"  # noqa: S608 - constants above
        connection.executemany(query, [(key,) for key in keys])


def _write_pauses(connection: sqlite3.Connection, pauses: Mapping[PauseKey, Pause | None]) -> None:
    for key, pause in pauses.items():
        if pause is None:
            connection.execute("DELETE FROM pauses WHERE scope = ? AND name = ?", key)
        else:
            connection.execute(
                "INSERT OR REPLACE INTO pauses (scope, name, identity, reason, since) VALUES (?, ?, ?, ?, ?)",
                (*key, pause.identity, pause.reason, pause.since_us),
            )


def _write_attempts(
    connection: sqlite3.Connection, attempts: dict[tuple[int, int], AttemptRecord | None]
) -> None:
    for (execution, activity), record in attempts.items():
        if record is None:
            connection.execute(_ATTEMPT_OVER, (execution, activity))
        else:
            connection.execute(_ATTEMPT, (execution, activity, *astuple(record)[2:]))


def _outgoing_row(message: OutgoingMessage) -> tuple[object, ...]:
    return (
        message.id,
        message.execution,
        message.event_id,
        message.topic,
        message.body,
        message.qos,
        int(message.retain),
        message.created_at_us,
        message.expires_at_us,
    )


def _blocked_text(blocked: Blocked | None) -> str | None:
    if blocked is None:
        return None
    return json.dumps([blocked.cause, blocked.where, blocked.since_us, blocked.attempts])


def _pause_text(pause: Pause | None) -> str | None:
    return None if pause is None else json.dumps([pause.identity, pause.reason, pause.since_us])


# -- reading -----------------------------------------------------------------------------------------

_EXECUTION_COLUMNS: Final = (
    "key, workflow_id, run_id, type, task_queue, started_at, status, closed_at, wake_at, blocked, "
    "parent_workflow_id, parent_run_id, parent_close_policy, root_workflow_id, root_run_id, first_run_id, paused, "
    "concurrency_key, concurrency_limit, concurrency_rank"
)


def _execution(row: Sequence[Any]) -> ExecutionRecord:
    """What a row of the list says.

    Raises:
        JournalDamaged: it cannot have been written as it is.
    """
    try:
        if not (all(isinstance(text, str) for text in row[1:5]) and isinstance(row[5], int)):
            raise TypeError("its columns are of other types")
        return _record(row)
    except (TypeError, ValueError, IndexError) as exc:
        raise JournalDamaged(f"row {row[0]} of the journal's list of executions is damaged: {exc}") from exc


def _record(row: Sequence[Any]) -> ExecutionRecord:
    return ExecutionRecord(
        key=row[0],
        workflow_id=row[1],
        run_id=row[2],
        workflow_type=row[3],
        task_queue=row[4],
        started_at_us=row[5],
        status=STATUSES[int(row[6])],
        closed_at_us=row[7],
        wake_at_us=row[8],
        blocked=None if row[9] is None else _blocked(row[9]),
        parent_workflow_id=row[10] or "",
        parent_run_id=row[11] or "",
        parent_close_policy=row[12],
        root_workflow_id=row[13] or "",
        root_run_id=row[14] or "",
        first_run_id=row[15] or "",
        paused=None if row[16] is None else _pause(row[16]),
        concurrency_key=row[17] or "",
        concurrency_limit=row[18],
        concurrency_rank=row[19],
    )


def _blocked(text: str) -> Blocked:
    cause, where, since_us, attempts = json.loads(text)
    return Blocked(cause, where, since_us, attempts)


def _pause(text: str) -> Pause:
    identity, reason, since_us = json.loads(text)
    return Pause(scope="execution", identity=identity, reason=reason, since_us=since_us)


def find_executions(
    connection: sqlite3.Connection,
    *,
    workflow_id: str | None = None,
    run_id: str | None = None,
    status: str | None = None,
    blocked: bool | None = None,
    paused: bool | None = None,
    workflow_type: str | None = None,
    before_key: int | None = None,
    limit: int = 100,
) -> list[ExecutionRecord]:
    """See `Journal.executions`."""
    tests: list[str] = []
    values: list[object] = []
    for column, value in (
        ("workflow_id = ?", workflow_id),
        ("run_id = ?", run_id),
        ("status = ?", None if status is None else STATUSES.index(status)),
        ("type = ?", workflow_type),
        ("key < ?", before_key),
    ):
        if value is not None:
            tests.append(column)
            values.append(value)
    if blocked is not None:
        tests.append("blocked IS NOT NULL" if blocked else "blocked IS NULL")
    if paused is not None:
        tests.append(IS_PAUSED if paused else f"NOT {IS_PAUSED}")
    where = f"WHERE {' AND '.join(tests)}" if tests else ""
    # Only the constant tests above enter the text; every value is bound.
    query = f"SELECT {_EXECUTION_COLUMNS} FROM executions {where} ORDER BY key DESC LIMIT ?"  # noqa: S608
    return [_execution(row) for row in connection.execute(query, (*values, limit))]


def select(
    connection: sqlite3.Connection, wanted: Filter, *, before_key: int | None = None, limit: int = 100
) -> list[ExecutionRecord]:
    """See `Journal.select`."""
    compiled = wanted.sql()
    where = compiled.where or "1"
    values = [*compiled.parameters]
    if before_key is not None:
        where = f"({where}) AND key < ?"
        values.append(before_key)
    # A compiled filter holds names of ours and bound values only.
    query = f"SELECT {_EXECUTION_COLUMNS} FROM executions WHERE {where} ORDER BY {compiled.order_by or 'key DESC'} LIMIT ?"  # noqa: S608
    return [_execution(row) for row in connection.execute(query, (*values, limit))]


def count(connection: sqlite3.Connection, wanted: Filter) -> list[tuple[tuple[object, ...], int]]:
    """See `Journal.count`."""
    compiled = wanted.sql()
    groups = compiled.group_by
    # As above.
    query = f"SELECT {groups + ', ' if groups else ''}count(*) FROM executions WHERE {compiled.where or '1'}"  # noqa: S608
    rows = connection.execute(query + (f" GROUP BY {groups}" if groups else ""), tuple(compiled.parameters))
    return [(tuple(row[:-1]), row[-1]) for row in rows]


def read_closed(
    connection: sqlite3.Connection, after_key: int, closed_before_us: int, limit: int
) -> list[ExecutionRecord]:
    """See `Journal.closed`."""
    query = (
        f"SELECT {_EXECUTION_COLUMNS} FROM executions WHERE status <> 0 AND key > ? AND closed_at <= ? "  # noqa: S608 - constant text
        "ORDER BY key LIMIT ?"
    )
    return [_execution(row) for row in connection.execute(query, (after_key, closed_before_us, limit))]


def read_attributes(
    connection: sqlite3.Connection, executions: Sequence[int]
) -> dict[int, dict[str, Attribute]]:
    """See `Journal.attributes`."""
    found: dict[int, dict[str, Attribute]] = {}
    query = "SELECT name, type, value FROM search_attributes WHERE execution = ? ORDER BY rowid"
    for key in executions:
        for name, kind, value in connection.execute(query, (key,)):
            before = found.setdefault(key, {}).get(name)
            several = [*(cast("list[object]", before[1]) if before else []), value]
            found[key][name] = (kind, several if kind == "KeywordList" else value)
    return found


def read_attribute_types(connection: sqlite3.Connection) -> dict[str, str]:
    """See `Journal.attribute_types`."""
    return dict(connection.execute("SELECT DISTINCT name, type FROM search_attributes"))


def read_orphans(connection: sqlite3.Connection) -> list[ExecutionRecord]:
    """See `Journal.orphans`."""
    query = (
        f"SELECT {_EXECUTION_COLUMNS} FROM executions AS child WHERE status = 0 AND parent_run_id IS NOT NULL "  # noqa: S608 - constant text
        "AND parent_close_policy IN (1, 3) AND EXISTS (SELECT 1 FROM executions AS parent "
        "WHERE parent.run_id = child.parent_run_id AND parent.status <> 0)"
    )
    return [_execution(row) for row in connection.execute(query)]


def read_children(connection: sqlite3.Connection, parent_run_id: str) -> list[ExecutionRecord]:
    """See `Journal.children`."""
    query = f"SELECT {_EXECUTION_COLUMNS} FROM executions WHERE status = 0 AND parent_run_id = ?"  # noqa: S608 - constant text
    return [_execution(row) for row in connection.execute(query, (parent_run_id,))]


def read_concurrency_line(connection: sqlite3.Connection, key: str, limit: int) -> ConcurrencyLine:
    """See `Journal.concurrency_line`."""
    of_key = "FROM executions WHERE status = 0 AND concurrency_key = ? AND concurrency_rank"
    running = connection.execute(f"SELECT count(*) {of_key} = 0", (key,)).fetchone()[0]
    oldest = f"SELECT {_EXECUTION_COLUMNS} {of_key} = 0 ORDER BY key LIMIT ?"
    waiting = f"SELECT {_EXECUTION_COLUMNS} {of_key} > 0 ORDER BY concurrency_rank, key LIMIT ?"
    return ConcurrencyLine(
        running,
        [_execution(row) for row in connection.execute(oldest, (key, limit))],
        [_execution(row) for row in connection.execute(waiting, (key, limit))],
    )


def read_concurrency_ahead(connection: sqlite3.Connection, execution: ExecutionRecord) -> int:
    """See `Journal.concurrency_ahead`."""
    query = """
SELECT count(*) FROM executions WHERE status = 0 AND concurrency_key = ? AND concurrency_rank > 0
AND (concurrency_rank, key) < (?, ?)"""
    place = (execution.concurrency_key, execution.concurrency_rank, execution.key)
    count: int = connection.execute(query, place).fetchone()[0]
    return count


def read_concurrency_waiting(connection: sqlite3.Connection) -> list[str]:
    """See `Journal.concurrency_waiting`."""
    query = """
SELECT DISTINCT concurrency_key FROM executions
WHERE status = 0 AND concurrency_key IS NOT NULL AND concurrency_rank > 0"""
    return [row[0] for row in connection.execute(query)]


def read_schedules(connection: sqlite3.Connection) -> dict[str, bytes]:
    """See `Journal.schedules`."""
    return dict(connection.execute("SELECT id, data FROM schedules ORDER BY id"))


def read_jobs(connection: sqlite3.Connection) -> dict[str, bytes]:
    """See `Journal.jobs`."""
    return dict(connection.execute("SELECT id, data FROM jobs ORDER BY id"))


def read_last_lsn(connection: sqlite3.Connection, execution: int) -> int:
    """See `Journal.last_lsn`."""
    query = "SELECT coalesce(max(lsn), 0) FROM events WHERE execution = ?"
    lsn: int = connection.execute(query, (execution,)).fetchone()[0]
    return lsn


def read_pauses(connection: sqlite3.Connection) -> dict[PauseKey, Pause]:
    """See `Journal.pauses`."""
    rows = connection.execute(
        "SELECT scope, name, identity, reason, since FROM pauses ORDER BY since, scope, name"
    )
    return {
        (scope, name): Pause(scope=scope, name=name, identity=identity, reason=reason, since_us=since_us)
        for scope, name, identity, reason, since_us in rows
    }


def read_history(connection: sqlite3.Connection, execution: ExecutionRecord) -> History:
    """See `Journal.history`."""
    rows = connection.execute(
        "SELECT sequence, activation, at, kind, data, checksum FROM events WHERE execution = ? ORDER BY sequence",
        (execution.key,),
    ).fetchall()
    return verified(execution, rows)


def verified(execution: ExecutionRecord, rows: Iterable[Sequence[Any]]) -> History:
    """The history of stored rows, after checking the chain and the tables of transitions.

    Raises:
        HistoryDamaged: they do not fit; the message gives the place and both values.
    """
    state = ExecutionState(execution.run_id)
    events: list[Event] = []
    size = 0
    for sequence, activation, at_us, kind, data, stored in rows:
        try:
            checksum = codec.chain_next(state.checksum, sequence, activation, at_us, kind, data)
        except (struct.error, TypeError) as exc:
            raise HistoryDamaged(
                f"event {sequence} of {execution.workflow_id} (run {execution.run_id}) has columns of other types: {exc}"
            ) from exc
        if checksum != stored:
            raise HistoryDamaged(
                f"event {sequence} of {execution.workflow_id} (run {execution.run_id}) has checksum {stored!r}, "
                f"its bytes give {checksum!r}"
            )
        try:
            event = Event(sequence, activation, at_us, codec.decode_body(kind, data))
            state.apply(event)
        except (codec.EventUnreadable, IllegalTransition) as exc:
            raise HistoryDamaged(
                f"event {sequence} of {execution.workflow_id} (run {execution.run_id}): {exc}"
            ) from exc
        state.checksum = checksum
        events.append(event)
        size += len(data)
    if not events:
        raise HistoryDamaged(
            f"{execution.workflow_id} (run {execution.run_id}) has no events, at least one was expected"
        )
    return History(events, state, size)


def read_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """See `Journal.counts`."""
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for status, number in connection.execute("SELECT status, count(*) FROM executions GROUP BY status"):
        counts[STATUSES[status]] = number
    query = (
        f"SELECT count(*) FILTER (WHERE NOT {IS_PAUSED} AND blocked IS NOT NULL), count(*) FILTER (WHERE {IS_PAUSED}) "  # noqa: S608 - constant text
        "FROM executions WHERE status = 0"
    )
    counts["blocked"], counts[PAUSED] = connection.execute(query).fetchone()
    return counts


def read_history_lengths(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, int]:
    """See `Journal.history_lengths`."""
    query = "SELECT max(sequence) FROM events WHERE execution = ?"
    return {key: connection.execute(query, (key,)).fetchone()[0] or 0 for key in keys}


def read_hot(connection: sqlite3.Connection) -> list[ExecutionRecord]:
    """See `Journal.hot`."""
    query = (
        f"SELECT {_EXECUTION_COLUMNS} FROM executions WHERE status = 0 AND wake_at = 0 AND NOT {IS_PAUSED} "  # noqa: S608 - constant text
        "ORDER BY key"
    )
    return [_execution(row) for row in connection.execute(query)]


def read_due(
    connection: sqlite3.Connection, after_us: int, until_us: int, limit: int
) -> list[tuple[int, ExecutionRecord]]:
    """See `Journal.due`."""
    query = (
        f"SELECT {_EXECUTION_COLUMNS} FROM executions WHERE status = 0 AND wake_at > ? AND wake_at <= ? "  # noqa: S608 - constant text
        "ORDER BY wake_at LIMIT ?"
    )
    found = [_execution(row) for row in connection.execute(query, (after_us, until_us, limit))]
    return [(execution.wake_at_us or 0, execution) for execution in found]


def read_attempts(connection: sqlite3.Connection, execution: int) -> list[AttemptRecord]:
    """See `Journal.attempts`."""
    return [AttemptRecord(*row) for row in connection.execute(_ATTEMPTS, (execution,))]


def read_outbox(connection: sqlite3.Connection, after_id: int, limit: int) -> list[OutgoingMessage]:
    """See `Journal.outbox`."""
    query = """
SELECT id, execution, event_id, topic, body, qos, retain, created_at, expires_at FROM outbox
WHERE id > ? ORDER BY id LIMIT ?"""
    return [
        OutgoingMessage(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]), row[7], row[8])
        for row in connection.execute(query, (after_id, limit))
    ]


def read_outbox_count(connection: sqlite3.Connection) -> int:
    """See `Journal.outbox_count`."""
    count: int = connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
    return count


def read_received(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
    """See `Journal.received`."""
    return list(connection.execute("SELECT key, digest FROM received ORDER BY number"))


def read_request(connection: sqlite3.Connection, request_id: bytes) -> int | None:
    """See `Journal.request`."""
    row = connection.execute("SELECT execution FROM requests WHERE id = ?", (request_id,)).fetchone()
    return None if row is None else row[0]


def read_parked(connection: sqlite3.Connection, limit: int) -> list[ParkedMessage]:
    """See `Journal.parked`."""
    query = "SELECT id, received_at, topic, reason, detail, body FROM parked ORDER BY id DESC LIMIT ?"
    return [ParkedMessage(*row) for row in connection.execute(query, (limit,))]


def read_parked_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """See `Journal.parked_counts`."""
    return dict(connection.execute("SELECT reason, count FROM parked_counts"))


def read_changes(connection: sqlite3.Connection, after_lsn: int, limit: int) -> list[Change]:
    """See `Journal.changes`."""
    columns = ", ".join(f"executions.{name.strip()}" for name in _EXECUTION_COLUMNS.split(","))
    query = (
        f"SELECT lsn, sequence, activation, at, kind, data, {columns} FROM events "  # noqa: S608 - constant text
        "JOIN executions ON executions.key = events.execution WHERE lsn > ? ORDER BY lsn LIMIT ?"
    )
    return [
        Change(row[0], _execution(row[6:]), Event(row[1], row[2], row[3], codec.decode_body(row[4], row[5])))
        for row in connection.execute(query, (after_lsn, limit))
    ]


def read_events_with(
    connection: sqlite3.Connection, part: bytes, after_lsn: int, up_to_lsn: int
) -> list[tuple[int, bytes]]:
    """See `Journal.events_with`."""
    query = "SELECT execution, data FROM events WHERE lsn > ? AND lsn <= ? AND instr(data, ?) > 0"
    return list(connection.execute(query, (after_lsn, up_to_lsn, part)))


def read_attempts_and_messages_with(connection: sqlite3.Connection, part: bytes) -> list[tuple[int, bytes]]:
    """See `Journal.attempts_and_messages_with`."""
    query = """
SELECT execution, failure FROM attempts WHERE instr(failure, ?1) > 0
UNION ALL SELECT execution, heartbeat FROM attempts WHERE instr(heartbeat, ?1) > 0
UNION ALL SELECT execution, body FROM outbox WHERE instr(body, ?1) > 0"""
    return list(connection.execute(query, (part,)))


def read_last_ids(connection: sqlite3.Connection) -> LastIds:
    """See `Journal.last_ids`."""
    query = """
SELECT max(coalesce((SELECT max(key) FROM executions), 0),
           coalesce((SELECT CAST(value AS INTEGER) FROM settings WHERE name = ?), 0)),
       coalesce((SELECT max(id) FROM outbox), 0),
       coalesce((SELECT max(id) FROM parked), 0),
       coalesce((SELECT max(lsn) FROM events), 0)"""
    return LastIds(*connection.execute(query, (_LAST_KEY,)).fetchone())


def read_setting(connection: sqlite3.Connection, name: str, default: str) -> str:
    """See `Journal.setting`."""
    connection.execute("INSERT OR IGNORE INTO settings (name, value) VALUES (?, ?)", (name, default))
    value: str = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()[0]
    return value
