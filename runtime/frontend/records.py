"""The answers and errors of a frontend, beside the records of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ..core.commands import CompleteUpdate, ScheduleActivity
from ..core.events import Closing, Event
from ..core.payload import Attribute, Failure, Payload
from ..core.records import record
from ..ports import Blocked, ExecutionRecord, Pause
from ..schedules.runner import Kept
from ..updates import UpdateRejected

__all__ = [
    "ActivityById",
    "ActivityCancelled",
    "ActivityDetails",
    "Begun",
    "BegunWithUpdate",
    "ConcurrencyStanding",
    "CountedGroup",
    "EventPage",
    "ExecutionDetails",
    "ExecutionPage",
    "ExecutionSummary",
    "PendingActivity",
    "PendingChild",
    "QueryFailed",
    "QueryRejected",
    "SchedulePage",
    "ScheduleSnapshot",
    "UpdateProgress",
    "UpdateRejected",
]


# -- executions ----------------------------------------------------------------------------------------


@record
class Begun:
    """The run that a start led to; `started` is false when it was open before."""

    record: ExecutionRecord
    started: bool


@record(kw_only=True)
class ExecutionSummary:
    """One execution, as a list needs it."""

    record: ExecutionRecord
    history_length: int
    first_delay_s: float
    search_attributes: Mapping[str, Attribute]
    memo: Mapping[str, Payload]
    pause: Pause | None = None
    """What keeps it from going on: a pause of its own, or of its type, its task queue or everything."""


@record
class PendingActivity:
    """An activity that has not ended."""

    activity_id: str
    activity_type: str
    attempt: int


@record
class PendingChild:
    """A child that has not closed; without a run id it has not started."""

    workflow_id: str
    run_id: str
    workflow_type: str


@record
class ConcurrencyStanding:
    """Where an execution stands in the line of its concurrency key: 0 when it has begun, 1 when it is the next."""

    key: str
    limit: int
    position: int
    running: tuple[ExecutionRecord, ...]
    """Those that have begun, the oldest first, no more than ten."""


@record(kw_only=True)
class ExecutionDetails:
    """One execution, with what it waits for."""

    summary: ExecutionSummary
    pending_activities: tuple[PendingActivity, ...]
    pending_children: tuple[PendingChild, ...]
    next_due_us: int | None
    cancel_requested: bool
    static_summary: str
    static_details: str
    concurrency: ConcurrencyStanding | None


@record
class ExecutionPage:
    """Executions, and the key before which the next page begins; None when there is none."""

    executions: tuple[ExecutionSummary, ...]
    before_key: int | None


@record
class CountedGroup:
    """How many executions have these values of the fields that a filter groups by; one without values has no groups."""

    values: tuple[object, ...]
    count: int


@record
class EventPage:
    """Events of one run; `more` says whether there are others, or will be while it is open.

    `blocked` says why the code cannot go on from the last one.
    """

    run_id: str
    events: tuple[Event, ...]
    more: bool
    blocked: Blocked | None = None


class QueryFailed(Exception):
    """The query's handler raised, there is none, or the code does not fit its history."""


class QueryRejected(Exception):
    """The execution has a status in which the caller wanted no answer."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the execution is {status}")
        self.status = status


# -- updates -------------------------------------------------------------------------------------------


@record
class UpdateProgress:
    """An update that was accepted; its outcome once it has one."""

    update_id: str
    workflow_id: str
    run_id: str
    outcome: CompleteUpdate | None


@record
class BegunWithUpdate:
    """The run that an update-with-start led to, and how its update fared: it was accepted, or rejected."""

    record: ExecutionRecord
    progress: UpdateProgress | None
    rejection: Failure | None


# -- activities ----------------------------------------------------------------------------------------


@record
class ActivityById:
    """An activity by its id within an execution, or without a workflow id alone; of the open run without a run id."""

    workflow_id: str
    run_id: str | None
    activity_id: str


class ActivityCancelled(Exception):
    """The activity was asked to stop, because someone wants it to end, or has paused it."""

    def __init__(self, paused: bool = False) -> None:
        super().__init__()
        self.paused = paused


@record(kw_only=True)
class ActivityDetails:
    """One activity without a workflow. What was not asked for, or is not known, is empty, 0 or None."""

    record: ExecutionRecord
    command: ScheduleActivity
    """What was asked for, with the options that it has now."""
    attempt: int
    """The number of the attempt that runs, is the next, or was the last."""
    state: str = ""
    """Empty when it has closed, else ``scheduled``, ``started``, ``cancel_requested``, ``paused`` or ``pause_requested``."""
    next_attempt_at_us: int | None = None
    backs_off_s: float | None = None
    last_started_at_us: int = 0
    last_ended_at_us: int = 0
    last_beaten_at_us: int = 0
    beats: int = 0
    heartbeat: tuple[Payload, ...] = ()
    last_failure: Failure | None = None
    cancel_reason: str = ""
    search_attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    closing: Closing | None = None


# -- schedules -----------------------------------------------------------------------------------------


@record
class ScheduleSnapshot:
    """A schedule as it was at this instant of the engine's clock."""

    kept: Kept
    now_us: int


@record
class SchedulePage:
    """Schedules by their ids, and the id after which the next page begins; None when there is none."""

    schedules: tuple[ScheduleSnapshot, ...]
    after_id: str | None
