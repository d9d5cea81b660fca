"""What the engine needs from outside, as promises: a journal, a clock, a source of randomness.

The engine declares them; adapters implement them; only the composition root knows both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from .core import commands as cmd
from .core import events as ev
from .core.events import Closing, Event
from .core.payload import Attribute
from .core.records import dataclass, record
from .core.standalone import is_activity
from .core.state import ExecutionState

if TYPE_CHECKING:
    from .visibility import Filter


class Clock(Protocol):
    """The gateway's idea of wall time."""

    def now_us(self) -> int:
        """Microseconds since the epoch. It may jump either way; the engine copes."""
        ...

    def seconds_until(self, at_us: int) -> float:
        """How long to wait on this machine, in seconds, until the clock shows `at_us`; negative when it is past."""
        ...


class Entropy(Protocol):
    """Where identifiers come from."""

    def run_id(self) -> str:
        """A new identifier that no other run has, on any gateway."""
        ...


OPEN = "running"
STATUSES = ("running", "completed", "failed", "canceled", "terminated", "continued_as_new", "timed_out")
"""The statuses of an execution, by their number in a journal. Never reorder."""

PAUSED = "paused"
SHOWN_STATUSES = (*STATUSES, PAUSED)
"""The statuses that lists, filters and counts show, by number: an open execution that is paused has the last."""

_STATUS_OF: Final[dict[type[Closing], str]] = {
    cmd.CompleteWorkflow: "completed",
    cmd.FailWorkflow: "failed",
    cmd.CancelWorkflow: "canceled",
    cmd.ContinueAsNew: "continued_as_new",
    ev.WorkflowTerminated: "terminated",
    ev.WorkflowTimedOut: "timed_out",
    ev.WorkflowWithdrawn: "canceled",
}

HOT = 0
"""`wake_at_us` of an execution that has work to go on with as soon as the process starts."""


@record
class Blocked:
    """Why an execution does not go on until its code, or its history, is mended."""

    cause: str
    where: str
    since_us: int
    attempts: int


PauseKey = tuple[str, str]
"""What is paused: a scope, and a name within it."""


@record(kw_only=True)
class Pause:
    """Why executions do not go on until someone resumes them: what was paused, by whom, and why.

    `scope` is ``execution``, ``workflow_type``, ``task_queue`` or ``everything``; of the two in the middle `name` says which.
    """

    scope: str
    name: str = ""
    identity: str
    reason: str
    since_us: int


@record(kw_only=True)
class ExecutionRecord:
    """One execution as a journal lists it.

    `wake_at_us` is when it has something to do without being asked: `HOT` for at once, None for never.
    """

    key: int
    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    started_at_us: int
    status: str = OPEN
    closed_at_us: int | None = None
    wake_at_us: int | None = HOT
    blocked: Blocked | None = None
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    parent_close_policy: int = 0
    """What happens to it when its parent closes: 1 it is terminated, 2 nothing, 3 it is asked to cancel."""
    root_workflow_id: str = ""
    root_run_id: str = ""
    first_run_id: str = ""
    """The first run of its chain of retries, cron runs and continuations."""
    paused: Pause | None = None
    """Set while it is paused by itself; it may also be paused with its type, its task queue or everything."""
    concurrency_key: str = ""
    concurrency_limit: int = 0
    concurrency_rank: int = 0
    """0 when it has begun; of those that wait for their key, the smaller the sooner, then the older."""

    @property
    def log_details(self) -> dict[str, dict[str, str]]:
        """What log records say of it, for filters."""
        return {
            "temporal_workflow": {
                "run_id": self.run_id,
                "task_queue": self.task_queue,
                "workflow_id": self.workflow_id,
                "workflow_type": self.workflow_type,
            }
        }

    @property
    def is_activity(self) -> bool:
        """Whether it runs a single activity, and no workflow."""
        return is_activity(self.workflow_id)


def status_of(closing: Closing, *, activity: bool) -> str:
    """The status of an execution that closed so; a single activity that ran out of time has not failed."""
    if activity and isinstance(closing, cmd.FailWorkflow) and closing.failure.kind == "timeout":
        return "timed_out"
    return _STATUS_OF[type(closing)]


class EventRecord(NamedTuple):
    """One event as it is stored: its place, its encoded body, and the checksum of the chain up to it.

    A tuple in the order of the journal's columns, so that it is written as it is.
    """

    execution: int
    sequence: int
    activation: int
    at_us: int
    kind: int
    data: bytes
    checksum: int


@record
class ExecutionChange:
    """New values of an execution's record; all of them are written."""

    key: int
    status: str
    closed_at_us: int | None
    wake_at_us: int | None
    blocked: Blocked | None
    concurrency_rank: int
    paused: Pause | None = None


@record
class ConcurrencyLine:
    """The open executions of one concurrency key: how many have begun, the oldest of them, and the first that wait."""

    running: int
    oldest: list[ExecutionRecord]
    waiting: list[ExecutionRecord]


@record
class AttemptRecord:
    """How far the attempts of a pending activity have come; there is none while its first attempt runs silently.

    Of an activity without a workflow it is kept, as it was when the activity ended.
    """

    execution: int
    activity: int
    failures: int
    next_at_us: int
    failure: bytes | None
    heartbeat: bytes | None
    started_at_us: int = 0
    """When the last attempt began that has ended or beaten; 0 when it is not known. So are the next two."""
    ended_at_us: int = 0
    beaten_at_us: int = 0
    beats: int = 0
    """How often its attempts have beaten, as far as it was written."""


@record
class OutgoingMessage:
    """A message that a commit put into the outbox. `id` orders it among all others."""

    id: int
    execution: int
    event_id: str
    topic: str
    body: bytes
    qos: int
    retain: bool
    created_at_us: int
    expires_at_us: int | None


@record
class ParkedMessage:
    """An incoming message that was refused and is kept for a person to read."""

    id: int
    received_at_us: int
    topic: str
    reason: str
    detail: str
    body: bytes


Receipt = tuple[str, bytes] | bytes
"""What a commit records beside an effect, so that a repeat has none: a message's key, with a digest of what it said; or
the id of a client's request."""


@dataclass(slots=True)
class Batch:
    """What one commit makes durable, all of it or nothing.

    Changes are written before starts, so that a run may end and the next of its workflow id begin. A start whose
    workflow id has an open run is left out with its events and messages, and reported; so is one that would begin although
    as many of its concurrency key have begun as its limit allows, or others wait; and so is a start that `continues` one
    that was left out. Otherwise one that continues another takes its place under the key.
    """

    starts: dict[int, ExecutionRecord] = field(default_factory=dict[int, ExecutionRecord])
    """By key, as they are at the end of this batch: a new run has no entry in `changes`."""
    continues: dict[int, int] = field(default_factory=dict[int, int])
    """The key of a start, and that of the run which it continues."""
    events: list[EventRecord] = field(default_factory=list[EventRecord])
    changes: dict[int, ExecutionChange] = field(default_factory=dict[int, ExecutionChange])
    attempts: dict[tuple[int, int], AttemptRecord | None] = field(
        default_factory=dict[tuple[int, int], AttemptRecord | None]
    )
    """By execution and activity; None deletes."""
    outgoing: list[OutgoingMessage] = field(default_factory=list[OutgoingMessage])
    sent: list[int] = field(default_factory=list[int])
    """Outbox ids that were answered and can go."""
    received: list[tuple[int, tuple[str, bytes]]] = field(default_factory=list[tuple[int, tuple[str, bytes]]])
    """Keys of messages whose effect this commit holds, with a digest of what they said; before each, the key of the
    start that is its effect, with which it is left out (0 when no start is)."""
    requests: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    """Ids of requests whose effect this commit holds; before each, the key of the execution that has it (0: none). It is
    left out with the start of that execution."""
    parked: list[ParkedMessage] = field(default_factory=list[ParkedMessage])
    attributes: dict[int, Mapping[str, Attribute]] = field(default_factory=dict[int, Mapping[str, Attribute]])
    """By execution: all search attributes that it has now."""
    schedules: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    """By schedule id: what it is now; None deletes it."""
    adopted: dict[int, int] = field(default_factory=dict[int, int])
    """By the key of a child, the key of the start that is its parent from now on."""
    jobs: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    """By the id of a batch job: what it is now; None deletes it."""
    deleted: list[int] = field(default_factory=list[int])
    """Keys of closed executions that are deleted with their histories; keys are not given out again."""
    pauses: dict[PauseKey, Pause | None] = field(default_factory=dict[PauseKey, "Pause | None"])
    """Of types, task queues and everything; None resumes them."""
    flushed: bool = True
    """Whether it survives power loss when `commit` has returned; otherwise it does after `flush`, or after the next commit
    that does. A process that is killed loses nothing in either case."""

    def receive(self, receipt: Receipt, execution: int, *, begins: bool) -> None:
        """Record a receipt with the effect on this execution, which may be a start."""
        if isinstance(receipt, bytes):
            self.requests.append((execution, receipt))
        else:
            self.received.append((execution if begins else 0, receipt))

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(
            self.starts
            or self.events
            or self.changes
            or self.attempts
            or self.outgoing
            or self.sent
            or self.received
            or self.requests
            or self.parked
            or self.attributes
            or self.schedules
            or self.adopted
            or self.jobs
            or self.deleted
            or self.pauses
        )

    def starts_in_order(self) -> list[ExecutionRecord]:
        """The starts as they are to be written: those that take the place of a run which this batch closes are first."""
        if not self.continues:
            return list(self.starts.values())
        return sorted(
            self.starts.values(), key=lambda start: self.continues.get(start.key, start.key) in self.starts
        )


@record
class Change:
    """One event in the order in which commits made them durable."""

    lsn: int
    execution: ExecutionRecord
    event: Event


@record
class Room:
    """What a journal takes of its disk: `used` and `free` bytes; free ones are used again before it grows."""

    used: int
    free: int


@record
class Disk:
    """The disk of a journal: its file, what of that is free inside, how large it may become, and what its volume has free."""

    file_bytes: int
    reusable_bytes: int
    bytes_max: int | None
    free_bytes: int


@record
class History:
    """A whole history that was checked, and the state that it adds up to."""

    events: list[Event]
    state: ExecutionState
    size: int = 0
    """Bytes of the events' bodies."""


class Journal(Protocol):
    """The only durable state of a gateway: histories, and what must be committed together with them.

    When `commit` returns, its batch survives power loss, unless it says that it need not yet; when it raises, nothing of it was
    written. Power loss never takes a commit away and leaves a later one.
    Histories are verified when they are read.
    """

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        """Make the batch durable; returns, by key of a start that was left out, the open run in its way.

        Raises:
            AppendConflict: an event's sequence is taken; another writer was here. Stop.
            StorageFull: nothing was written; try again when there is room.
            StorageFailed: the device can no longer be trusted; stop this process.
        """
        ...

    async def flush(self) -> None:
        """Let everything that was committed survive power loss; raises as `commit`."""
        ...

    async def history(self, execution: ExecutionRecord) -> History:
        """The whole history, checked.

        Raises:
            HistoryDamaged: a checksum or a record does not fit; the execution must not go on.
        """
        ...

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
        """Executions that fit, the newest first."""
        ...

    async def select(
        self, wanted: Filter, *, before_key: int | None = None, limit: int = 100
    ) -> list[ExecutionRecord]:
        """Executions that fit a filter, the newest first, or in the filter's own order (then `before_key` is None)."""
        ...

    async def count(self, wanted: Filter) -> list[tuple[tuple[object, ...], int]]:
        """How many executions fit, by the values of the filter's groups; one row without groups."""
        ...

    async def closed(self, after_key: int, closed_before_us: int, limit: int) -> list[ExecutionRecord]:
        """Executions with later keys that have closed by then, the oldest starts first."""
        ...

    def disk(self) -> Disk | None:
        """The disk, without waiting for it; None when there is none."""
        ...

    async def room(self) -> Room:
        """How much of its disk the journal uses."""
        ...

    async def attributes(self, executions: Sequence[int]) -> dict[int, dict[str, Attribute]]:
        """The search attributes of these executions."""
        ...

    async def attribute_types(self) -> dict[str, str]:
        """The names of all search attributes in use, with their types."""
        ...

    async def orphans(self) -> list[ExecutionRecord]:
        """Open executions whose parent has closed, and whose policy is not to be left alone."""
        ...

    async def children(self, parent_run_id: str) -> list[ExecutionRecord]:
        """The open executions that this run has started."""
        ...

    async def concurrency_line(self, key: str, limit: int) -> ConcurrencyLine:
        """The open executions of a concurrency key, at most `limit` of either list."""
        ...

    async def concurrency_ahead(self, execution: ExecutionRecord) -> int:
        """How many executions wait for the same concurrency key and come before this one."""
        ...

    async def concurrency_waiting(self) -> list[str]:
        """The concurrency keys for which executions wait."""
        ...

    async def schedules(self) -> dict[str, bytes]:
        """Every schedule, by id."""
        ...

    async def jobs(self) -> dict[str, bytes]:
        """Every batch job, by id."""
        ...

    async def last_lsn(self, execution: int) -> int:
        """Where the last event of an execution is in the order of commits; 0 without any."""
        ...

    async def pauses(self) -> dict[PauseKey, Pause]:
        """The pauses of types, of task queues and of everything."""
        ...

    async def counts(self) -> dict[str, int]:
        """How many executions there are by status, and of the open ones how many are ``blocked`` or ``paused``.

        One that is both is counted as paused.
        """
        ...

    async def history_lengths(self, keys: Sequence[int]) -> dict[int, int]:
        """The last sequence of each execution."""
        ...

    async def hot(self) -> list[ExecutionRecord]:
        """Open executions that must go on at once after a start; those that are paused need not."""
        ...

    async def due(self, after_us: int, until_us: int, limit: int) -> list[tuple[int, ExecutionRecord]]:
        """Open executions that wake after `after_us` and up to `until_us`, the earliest first."""
        ...

    async def attempts(self, execution: int) -> list[AttemptRecord]:
        """How far the pending activities of one execution have come."""
        ...

    async def outbox(self, after_id: int, limit: int) -> list[OutgoingMessage]:
        """Messages that wait to be sent, in order."""
        ...

    async def outbox_count(self) -> int:
        """How many messages wait to be sent."""
        ...

    async def received(self) -> list[tuple[str, bytes]]:
        """The keys that `commit` recorded as received, the oldest first."""
        ...

    async def request(self, request_id: bytes) -> int | None:
        """The key of the execution that has the effect of this request, 0 when it is on none; None when it has none."""
        ...

    async def parked(self, limit: int) -> list[ParkedMessage]:
        """Messages in quarantine, the newest first."""
        ...

    async def parked_counts(self) -> dict[str, int]:
        """How many messages were ever parked, by reason."""
        ...

    async def changes(self, after_lsn: int, limit: int) -> list[Change]:
        """Events in the order of their commits."""
        ...

    async def events_with(self, part: bytes, after_lsn: int, up_to_lsn: int) -> list[tuple[int, bytes]]:
        """Of the events after one position and up to another, those that contain these bytes, with their execution's key."""
        ...

    async def attempts_and_messages_with(self, part: bytes) -> list[tuple[int, bytes]]:
        """What is kept of attempts and of messages to send, where it contains these bytes, with its execution's key."""
        ...

    async def last_ids(self) -> LastIds:
        """The highest numbers that were given out."""
        ...

    async def setting(self, name: str, default: str) -> str:
        """A value that this journal keeps for ever: `default` is stored at the first call."""
        ...

    async def close(self) -> None:
        """Release the files."""
        ...


@record
class LastIds:
    """The highest numbers in a journal; 0 where there is none."""

    execution: int
    outbox: int
    parked: int
    lsn: int
