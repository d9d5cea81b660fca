"""The journal in memory, for tests: the same promises but durability."""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..core import codec
from ..core.events import Event
from ..core.payload import Attribute
from ..pausing import pause_of
from ..ports import (
    OPEN,
    PAUSED,
    STATUSES,
    AttemptRecord,
    Batch,
    Change,
    ConcurrencyLine,
    Disk,
    EventRecord,
    ExecutionRecord,
    History,
    LastIds,
    OutgoingMessage,
    ParkedMessage,
    Pause,
    PauseKey,
    Room,
)
from . import store
from .errors import AppendConflict
from .store import RECEIVED_MAX, REQUESTS_MAX, verified

if TYPE_CHECKING:
    from ..visibility import Filter

T = TypeVar("T")


class MemoryJournal:
    """A `Journal` that is gone with its process.

    `fail_next` makes the next commit raise that error and write nothing: the way to show what follows.
    """

    def __init__(self, *, parked_max: int = 1000) -> None:
        self.fail_next: Exception | None = None
        self.commits = 0
        self.flushed = True
        """Whether a real journal would lose nothing if the power went now."""
        self._parked_max = parked_max
        self._executions: dict[int, ExecutionRecord] = {}
        self._open: dict[str, int] = {}
        self._keyed: dict[str, set[int]] = {}
        """The open executions of each concurrency key."""
        self._events: list[EventRecord | None] = []
        """By LSN; None where an execution was deleted."""
        self._last_key = 0
        self._histories: dict[int, list[EventRecord]] = {}
        self._attempts: dict[tuple[int, int], AttemptRecord] = {}
        self._outbox: dict[int, OutgoingMessage] = {}
        self._outbox_id = 0
        self._received: dict[str, bytes] = {}
        self._requests: dict[bytes, int] = {}
        self._parked: dict[int, ParkedMessage] = {}
        self._parked_counts: dict[str, int] = {}
        self._settings: dict[str, str] = {}
        self._attributes: dict[int, Mapping[str, Attribute]] = {}
        self._schedules: dict[str, bytes] = {}
        self._pauses: dict[PauseKey, Pause] = {}
        self._jobs: dict[str, bytes] = {}

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        """See `Journal.commit`."""
        error, self.fail_next = self.fail_next, None
        if error is not None:
            raise error
        self._check_places(batch.events)
        self.commits += 1
        self.flushed = batch.flushed
        self._write_changes(batch)
        refused = self._write_starts(batch)
        for event in batch.events:
            if event.execution not in refused:
                self._events.append(event)
                self._histories[event.execution].append(event)
        self._write_messages(batch, refused)
        self._attributes.update({k: v for k, v in batch.attributes.items() if k not in refused})
        for name, data in batch.schedules.items():
            if data is None:
                self._schedules.pop(name, None)
            else:
                self._schedules[name] = data
        for job_id, job in batch.jobs.items():
            if job is None:
                self._jobs.pop(job_id, None)
            else:
                self._jobs[job_id] = job
        if batch.deleted:
            self._delete(set(batch.deleted))
        for child, by in batch.adopted.items():
            if by not in refused:
                self._executions[child] = dataclasses.replace(
                    self._executions[child], parent_run_id=batch.starts[by].run_id
                )
        for key, pause in batch.pauses.items():
            if pause is None:
                self._pauses.pop(key, None)
            else:
                self._pauses[key] = pause
        return refused

    async def flush(self) -> None:
        """See `Journal.flush`."""
        self.flushed = True

    def _delete(self, keys: set[int]) -> None:
        self._last_key = max(self._last_key, *self._executions)
        for key in keys:
            self._executions.pop(key, None)
            self._histories.pop(key, None)
            self._attributes.pop(key, None)
        self._attempts = {place: found for place, found in self._attempts.items() if place[0] not in keys}
        self._events = [None if e is None or e.execution in keys else e for e in self._events]

    def _write_starts(self, batch: Batch) -> dict[int, ExecutionRecord]:
        refused: dict[int, ExecutionRecord] = {}
        for start in batch.starts_in_order():
            follows = batch.continues.get(start.key)
            if follows in refused:
                refused[start.key] = refused[follows]
            elif start.workflow_id in self._open:
                refused[start.key] = self._executions[self._open[start.workflow_id]]
            elif follows is None and (others := self._in_the_way(start)):
                refused[start.key] = others[0]
            else:
                self._executions[start.key] = start
                self._histories[start.key] = []
                if start.status == OPEN:
                    self._open[start.workflow_id] = start.key
                    if start.concurrency_key:
                        self._keyed.setdefault(start.concurrency_key, set()).add(start.key)
        return refused

    def _in_the_way(self, start: ExecutionRecord) -> list[ExecutionRecord]:
        if not start.concurrency_key or start.concurrency_rank:
            return []
        line = self._line(start.concurrency_key)
        begun = [record for record in line if record.concurrency_rank == 0]
        return line if len(begun) >= start.concurrency_limit or len(line) > len(begun) else []

    def _line(self, key: str) -> list[ExecutionRecord]:
        found = [self._executions[number] for number in self._keyed.get(key, ())]
        return sorted(found, key=lambda record: (record.concurrency_rank, record.key))

    def _check_places(self, events: Sequence[EventRecord]) -> None:
        expected: dict[int, int] = {}
        for event in events:
            last = expected.get(event.execution, len(self._histories.get(event.execution, ())))
            if event.sequence != last + 1:
                raise AppendConflict(
                    f"execution {event.execution} is at sequence {last}, event {event.sequence} does not follow"
                )
            expected[event.execution] = event.sequence

    def _write_changes(self, batch: Batch) -> None:
        for change in batch.changes.values():
            execution = dataclasses.replace(
                self._executions[change.key],
                status=change.status,
                closed_at_us=change.closed_at_us,
                wake_at_us=change.wake_at_us,
                blocked=change.blocked,
                paused=change.paused,
                concurrency_rank=change.concurrency_rank,
            )
            self._executions[change.key] = execution
            if change.status != OPEN and self._open.get(execution.workflow_id) == change.key:
                del self._open[execution.workflow_id]
                self._keyed.get(execution.concurrency_key, set()).discard(change.key)
        for place, record in batch.attempts.items():
            if record is None:
                self._attempts.pop(place, None)
            else:
                self._attempts[place] = record

    def _write_messages(self, batch: Batch, refused: dict[int, ExecutionRecord]) -> None:
        for message in batch.outgoing:
            if message.execution not in refused:
                self._outbox[message.id] = message
                self._outbox_id = max(self._outbox_id, message.id)
        for number in batch.sent:
            self._outbox.pop(number, None)
        for start, (key, digest) in batch.received:
            if start in refused:
                continue
            self._received.pop(key, None)
            self._received[key] = digest
        while len(self._received) > RECEIVED_MAX:
            del self._received[next(iter(self._received))]
        for execution, request_id in batch.requests:
            if execution not in refused:
                self._requests[request_id] = execution
        while len(self._requests) > REQUESTS_MAX:
            del self._requests[next(iter(self._requests))]
        for parked in batch.parked:
            self._parked[parked.id] = parked
            self._parked_counts[parked.reason] = self._parked_counts.get(parked.reason, 0) + 1
        while len(self._parked) > self._parked_max:
            del self._parked[next(iter(self._parked))]

    # -- reading -------------------------------------------------------------------------------------

    async def history(self, execution: ExecutionRecord) -> History:
        """See `Journal.history`."""
        rows = [
            (e.sequence, e.activation, e.at_us, e.kind, e.data, e.checksum)
            for e in self._histories.get(execution.key, ())
        ]
        return verified(execution, rows)

    async def executions(
        self,
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
        fitting = [
            execution
            for key, execution in sorted(self._executions.items(), reverse=True)
            if (workflow_id is None or execution.workflow_id == workflow_id)
            and (run_id is None or execution.run_id == run_id)
            and (status is None or execution.status == status)
            and (blocked is None or (execution.blocked is not None) == blocked)
            and (paused is None or (pause_of(execution, self._pauses) is not None) == paused)
            and (workflow_type is None or execution.workflow_type == workflow_type)
            and (before_key is None or key < before_key)
        ]
        return fitting[:limit]

    async def select(
        self, wanted: Filter, *, before_key: int | None = None, limit: int = 100
    ) -> list[ExecutionRecord]:
        """See `Journal.select`."""
        return [record for record in self._fitting(wanted) if before_key is None or record.key < before_key][
            :limit
        ]

    async def count(self, wanted: Filter) -> list[tuple[tuple[object, ...], int]]:
        """See `Journal.count`."""
        return self._in_sqlite(lambda connection: store.count(connection, wanted))

    async def closed(self, after_key: int, closed_before_us: int, limit: int) -> list[ExecutionRecord]:
        """See `Journal.closed`."""
        fitting = [
            execution
            for key, execution in sorted(self._executions.items())
            if key > after_key
            and execution.closed_at_us is not None
            and execution.closed_at_us <= closed_before_us
        ]
        return fitting[:limit]

    def disk(self) -> Disk | None:
        """See `Journal.disk`: there is none."""
        return None

    async def room(self) -> Room:
        """See `Journal.room`; what the events say, and nothing else, is counted."""
        return Room(sum(len(event.data) for event in self._events if event is not None), 0)

    def _fitting(self, wanted: Filter) -> list[ExecutionRecord]:
        return self._in_sqlite(lambda connection: store.select(connection, wanted, limit=1_000_000_000))

    def _in_sqlite(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Filters are for people and tests, and rare: what they read is put into tables for them."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            store.migrate(connection)
            batch = Batch(
                starts=dict(self._executions), attributes=dict(self._attributes), pauses=dict(self._pauses)
            )
            batch.continues = dict.fromkeys(self._executions, 0)  # none of them is to be refused
            store.write(connection, batch, parked_max=1)
            return read(connection)
        finally:
            connection.close()

    async def attributes(self, executions: Sequence[int]) -> dict[int, dict[str, Attribute]]:
        """See `Journal.attributes`."""
        return {key: dict(self._attributes[key]) for key in executions if self._attributes.get(key)}

    async def attribute_types(self) -> dict[str, str]:
        """See `Journal.attribute_types`."""
        return {name: kind for found in self._attributes.values() for name, (kind, _) in found.items()}

    async def orphans(self) -> list[ExecutionRecord]:
        """See `Journal.orphans`."""
        closed = {record.run_id for record in self._executions.values() if record.status != OPEN}
        return [
            record
            for record in self._executions.values()
            if record.status == OPEN
            and record.parent_run_id in closed
            and record.parent_close_policy in (1, 3)
        ]

    async def children(self, parent_run_id: str) -> list[ExecutionRecord]:
        """See `Journal.children`."""
        return [
            record
            for record in self._executions.values()
            if record.status == OPEN and record.parent_run_id == parent_run_id
        ]

    async def concurrency_line(self, key: str, limit: int) -> ConcurrencyLine:
        """See `Journal.concurrency_line`."""
        line = self._line(key)
        begun = [record for record in line if record.concurrency_rank == 0]
        return ConcurrencyLine(len(begun), begun[:limit], line[len(begun) :][:limit])

    async def concurrency_ahead(self, execution: ExecutionRecord) -> int:
        """See `Journal.concurrency_ahead`."""
        place = (execution.concurrency_rank, execution.key)
        line = self._line(execution.concurrency_key)
        return sum(
            record.concurrency_rank > 0 and (record.concurrency_rank, record.key) < place for record in line
        )

    async def concurrency_waiting(self) -> list[str]:
        """See `Journal.concurrency_waiting`."""
        return [
            key
            for key, numbers in self._keyed.items()
            if any(self._executions[number].concurrency_rank for number in numbers)
        ]

    async def schedules(self) -> dict[str, bytes]:
        """See `Journal.schedules`."""
        return dict(sorted(self._schedules.items()))

    async def jobs(self) -> dict[str, bytes]:
        """See `Journal.jobs`."""
        return dict(sorted(self._jobs.items()))

    async def last_lsn(self, execution: int) -> int:
        """See `Journal.last_lsn`."""
        of_it = (lsn for lsn, e in enumerate(self._events, 1) if e is not None and e.execution == execution)
        return max(of_it, default=0)

    async def pauses(self) -> dict[PauseKey, Pause]:
        """See `Journal.pauses`."""
        return dict(self._pauses)

    async def counts(self) -> dict[str, int]:
        """See `Journal.counts`."""
        counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
        counts["blocked"] = counts[PAUSED] = 0
        for execution in self._executions.values():
            counts[execution.status] += 1
            if pause_of(execution, self._pauses) is not None:
                counts[PAUSED] += 1
            elif execution.status == OPEN and execution.blocked is not None:
                counts["blocked"] += 1
        return counts

    async def history_lengths(self, keys: Sequence[int]) -> dict[int, int]:
        """See `Journal.history_lengths`."""
        return {key: len(self._histories.get(key, ())) for key in keys}

    async def hot(self) -> list[ExecutionRecord]:
        """See `Journal.hot`."""
        return [
            e
            for _, e in sorted(self._executions.items())
            if e.status == OPEN and e.wake_at_us == 0 and pause_of(e, self._pauses) is None
        ]

    async def due(self, after_us: int, until_us: int, limit: int) -> list[tuple[int, ExecutionRecord]]:
        """See `Journal.due`."""
        found = [
            (e.wake_at_us, e)
            for e in self._executions.values()
            if e.status == OPEN and e.wake_at_us is not None and after_us < e.wake_at_us <= until_us
        ]
        return sorted(found, key=lambda pair: pair[0])[:limit]

    async def attempts(self, execution: int) -> list[AttemptRecord]:
        """See `Journal.attempts`."""
        return [record for (key, _), record in sorted(self._attempts.items()) if key == execution]

    async def outbox(self, after_id: int, limit: int) -> list[OutgoingMessage]:
        """See `Journal.outbox`."""
        return [message for number, message in sorted(self._outbox.items()) if number > after_id][:limit]

    async def outbox_count(self) -> int:
        """See `Journal.outbox_count`."""
        return len(self._outbox)

    async def received(self) -> list[tuple[str, bytes]]:
        """See `Journal.received`."""
        return list(self._received.items())

    async def request(self, request_id: bytes) -> int | None:
        """See `Journal.request`."""
        return self._requests.get(request_id)

    async def parked(self, limit: int) -> list[ParkedMessage]:
        """See `Journal.parked`."""
        return [message for _, message in sorted(self._parked.items(), reverse=True)][:limit]

    async def parked_counts(self) -> dict[str, int]:
        """See `Journal.parked_counts`."""
        return dict(self._parked_counts)

    async def changes(self, after_lsn: int, limit: int) -> list[Change]:
        """See `Journal.changes`."""
        later = ((lsn, e) for lsn, e in enumerate(self._events[after_lsn:], after_lsn + 1) if e is not None)
        return [
            Change(
                lsn,
                self._executions[e.execution],
                Event(e.sequence, e.activation, e.at_us, codec.decode_body(e.kind, e.data)),
            )
            for lsn, e in itertools.islice(later, limit)
        ]

    async def events_with(self, part: bytes, after_lsn: int, up_to_lsn: int) -> list[tuple[int, bytes]]:
        """See `Journal.events_with`."""
        events = (e for e in self._events[after_lsn:up_to_lsn] if e is not None)
        return [(e.execution, e.data) for e in events if part in e.data]

    async def attempts_and_messages_with(self, part: bytes) -> list[tuple[int, bytes]]:
        """See `Journal.attempts_and_messages_with`."""
        attempts = [(a.execution, data) for a in self._attempts.values() for data in (a.failure, a.heartbeat)]
        kept = [*attempts, *((message.execution, message.body) for message in self._outbox.values())]
        return [(execution, data) for execution, data in kept if data is not None and part in data]

    async def last_ids(self) -> LastIds:
        """See `Journal.last_ids`."""
        return LastIds(
            max([self._last_key, *self._executions]),
            self._outbox_id,
            max(self._parked, default=0),
            len(self._events),
        )

    async def setting(self, name: str, default: str) -> str:
        """See `Journal.setting`."""
        return self._settings.setdefault(name, default)

    async def close(self) -> None:
        """See `Journal.close`."""
