"""Schedules as a client writes them and sees them, with the names of the Temporal SDK."""

from __future__ import annotations

from abc import ABC
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from ..common import ConcurrencyKey, Priority, RetryPolicy, SearchAttributes, TypedSearchAttributes, arg_unset
from ..converter import DataConverter
from ..core.payload import Payload
from ..core.records import dataclass
from ..exceptions import TemporalError
from ..workflow._arguments import arguments
from ..workflow._continuing import workflow_name_of

_NO_ATTRIBUTES: SearchAttributes = {}

# -- when ----------------------------------------------------------------------------------------------


@dataclass
class ScheduleSpec:
    """When a schedule acts: at every time of the calendars, intervals and cron expressions but those of `skip`."""

    calendars: Sequence[ScheduleCalendarSpec] = field(default_factory=list["ScheduleCalendarSpec"])
    """Times by their place in the calendar."""

    intervals: Sequence[ScheduleIntervalSpec] = field(default_factory=list["ScheduleIntervalSpec"])
    """Times at equal distances."""

    cron_expressions: Sequence[str] = field(default_factory=list[str])
    """Times as cron writes them; see `parse_cron`."""

    skip: Sequence[ScheduleCalendarSpec] = field(default_factory=list["ScheduleCalendarSpec"])
    """Times at which nothing happens."""

    start_at: datetime | None = None
    """Nothing happens before."""

    end_at: datetime | None = None
    """Nothing happens after; at this instant it still may."""

    jitter: timedelta | None = None
    """Each action is late by up to this, but never so late that the next one's time has come."""

    time_zone_name: str | None = None
    """The IANA name of the zone whose clocks the calendars mean; None means UTC."""


@dataclass(frozen=True)
class ScheduleRange:
    """Numbers from `start` to `end`, both included, every `step`-th of them."""

    start: int
    """The first number."""

    end: int = 0
    """The last number; a smaller one than `start` means `start`."""

    step: int = 0
    """From one number to the next; 0 means 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", max(self.start, self.end))
        object.__setattr__(self, "step", self.step or 1)


@dataclass
class ScheduleCalendarSpec:
    """Times by their place in the calendar: those that fit every field. A field without ranges fits nothing.

    `day_of_month` and `day_of_week` must both fit.
    """

    second: Sequence[ScheduleRange] = (ScheduleRange(0),)
    """0 to 59."""

    minute: Sequence[ScheduleRange] = (ScheduleRange(0),)
    """0 to 59."""

    hour: Sequence[ScheduleRange] = (ScheduleRange(0),)
    """0 to 23."""

    day_of_month: Sequence[ScheduleRange] = (ScheduleRange(1, 31),)
    """1 to 31."""

    month: Sequence[ScheduleRange] = (ScheduleRange(1, 12),)
    """1 to 12."""

    year: Sequence[ScheduleRange] = ()
    """Unlike the other fields, none at all means every year."""

    day_of_week: Sequence[ScheduleRange] = (ScheduleRange(0, 6),)
    """0 is Sunday, 6 is Saturday."""

    comment: str | None = None
    """What these times are, for people."""


@dataclass
class ScheduleIntervalSpec:
    """The times that lie a multiple of `every`, plus `offset`, after 1970-01-01 00:00 UTC."""

    every: timedelta
    """At least a second; parts of a second do not count."""

    offset: timedelta | None = None
    """Less than `every`."""


# -- what ----------------------------------------------------------------------------------------------


class ScheduleAction(ABC):  # noqa: B024 - as in the SDK, it only says what may stand here
    """What a schedule does when its time has come."""


@dataclass
class ScheduleActionStartWorkflow(ScheduleAction):
    """Start a workflow; its id is `id` with the nominal time behind.

    In a described schedule `args`, the values of `memo` and of `headers` are payloads.

    Raises:
        ValueError: there is no id or no task queue, `arg` and `args` are both given, or it is no workflow.
    """

    workflow: str
    args: Sequence[Any] | Sequence[Payload]
    id: str
    task_queue: str
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | Mapping[str, Payload] | None
    typed_search_attributes: TypedSearchAttributes
    untyped_search_attributes: SearchAttributes
    """Where a name is in both, the typed attribute is used."""
    static_summary: str | Payload | None
    static_details: str | Payload | None
    priority: Priority
    headers: Mapping[str, Payload] | None
    concurrency: ConcurrencyKey | None
    """An action whose key is taken and whose policy is to join or to refuse starts nothing."""

    def __init__(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = [],
        id: str = "",
        task_queue: str = "",
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        retry_policy: RetryPolicy | None = None,
        memo: Mapping[str, Any] | None = None,
        typed_search_attributes: TypedSearchAttributes = TypedSearchAttributes.empty,
        untyped_search_attributes: SearchAttributes = _NO_ATTRIBUTES,
        static_summary: str | Payload | None = None,
        static_details: str | Payload | None = None,
        headers: Mapping[str, Payload] | None = None,
        priority: Priority = Priority.default,
        concurrency: ConcurrencyKey | None = None,
    ) -> None:
        if not id:
            raise ValueError("ID required: write id='...', nominal times are put behind it")
        if not task_queue:
            raise ValueError("Task queue required: write task_queue='...'")
        self.workflow = workflow if isinstance(workflow, str) else workflow_name_of(workflow)
        self.args = arguments(arg, args)
        self.id = id
        self.task_queue = task_queue
        self.execution_timeout = execution_timeout
        self.run_timeout = run_timeout
        self.task_timeout = task_timeout
        self.retry_policy = retry_policy
        self.memo = memo
        self.typed_search_attributes = typed_search_attributes
        self.untyped_search_attributes = untyped_search_attributes
        self.static_summary = static_summary
        self.static_details = static_details
        self.headers = headers
        self.priority = priority
        self.concurrency = concurrency


# -- how -----------------------------------------------------------------------------------------------


class ScheduleOverlapPolicy(IntEnum):
    """What happens when an action's time comes while what an earlier one started still runs."""

    SKIP = 1
    """Nothing is started."""

    BUFFER_ONE = 2
    """It is started afterwards, unless one waits already."""

    BUFFER_ALL = 3
    """It is started afterwards, one after the other."""

    CANCEL_OTHER = 4
    """The running one is asked to stop; the new one is started when it has."""

    TERMINATE_OTHER = 5
    """The running one is ended at once, then the new one is started."""

    ALLOW_ALL = 6
    """It is started beside. None of these sees the last one's result, and none counts as running for the others."""


@dataclass
class ScheduleBackfill:
    """A stretch of time whose actions are to be taken now."""

    start_at: datetime
    """Where it begins; a time that falls exactly here is taken, as Temporal's server does."""
    end_at: datetime
    overlap: ScheduleOverlapPolicy | None = None


@dataclass
class SchedulePolicy:
    """How a schedule behaves."""

    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP
    """For actions that bring no policy of their own."""

    catchup_window: timedelta | None = None
    """Actions missed while nothing ran are made up for when they are not older; None means 365 days, the least is 10 s."""

    pause_on_failure: bool = False
    """Whether a started workflow that fails or times out pauses the schedule."""


@dataclass
class ScheduleState:
    """How a schedule stands."""

    note: str | None = None
    """For people; replaced when a failure pauses the schedule."""

    paused: bool = False
    """Whether times pass without an action."""

    limited_actions: bool = False
    """Whether `remaining_actions` counts down."""

    remaining_actions: int = 0
    """With `limited_actions`, at 0 no further action is taken; triggers and backfills are not counted."""


@dataclass
class Schedule:
    """An action, and when it is taken."""

    action: ScheduleAction
    spec: ScheduleSpec
    policy: SchedulePolicy = field(default_factory=SchedulePolicy)
    state: ScheduleState = field(default_factory=ScheduleState)


# -- as it is described --------------------------------------------------------------------------------


@dataclass
class ScheduleDescription:
    """A schedule with all that is known of it."""

    id: str
    schedule: Schedule
    info: ScheduleInfo
    typed_search_attributes: TypedSearchAttributes
    search_attributes: SearchAttributes
    data_converter: DataConverter
    """What the memo is read with."""
    _memo: Mapping[str, Payload] = field(default_factory=dict[str, Payload], repr=False)

    async def memo(self) -> Mapping[str, Any]:
        """The memo's values, without type hints."""
        return await _decoded(self._memo, self.data_converter)

    async def memo_value(self, key: str, default: Any = arg_unset, *, type_hint: type | None = None) -> Any:
        """One of the memo's values.

        Raises:
            KeyError: there is none, and no default was given.
        """
        return await _decoded_value(self._memo, self.data_converter, key, default, type_hint)


@dataclass
class ScheduleInfo:
    """What a schedule has done and will do."""

    num_actions: int
    """Actions taken."""

    num_actions_missed_catchup_window: int
    """Times that were too long ago when they were noticed."""

    num_actions_skipped_overlap: int
    """Actions not taken because something ran."""

    running_actions: Sequence[ScheduleActionExecution]
    """What runs now, but for what was started by `ScheduleOverlapPolicy.ALLOW_ALL`."""

    recent_actions: Sequence[ScheduleActionResult]
    """The last ten, oldest first."""

    next_action_times: Sequence[datetime]
    """The next ten times."""

    created_at: datetime
    last_updated_at: datetime | None
    """None when it was never updated."""


class ScheduleActionExecution(ABC):  # noqa: B024 - as in the SDK, it only says what may stand here
    """What an action led to."""


@dataclass
class ScheduleActionExecutionStartWorkflow(ScheduleActionExecution):
    """The workflow that was started."""

    workflow_id: str
    first_execution_run_id: str


@dataclass
class ScheduleActionResult:
    """An action that was taken."""

    scheduled_at: datetime
    """When it should have been, with its jitter."""

    started_at: datetime
    """When it was."""

    action: ScheduleActionExecution


@dataclass
class ScheduleUpdateInput:
    """What the function given to an update gets."""

    description: ScheduleDescription


@dataclass
class ScheduleUpdate:
    """What the function given to an update returns."""

    schedule: Schedule
    search_attributes: TypedSearchAttributes | None = None
    """None leaves them as they are, no attributes remove them all."""


# -- as it is listed -----------------------------------------------------------------------------------


@dataclass
class ScheduleListDescription:
    """A schedule, as a list shows it."""

    id: str
    schedule: ScheduleListSchedule | None
    info: ScheduleListInfo | None
    typed_search_attributes: TypedSearchAttributes
    search_attributes: SearchAttributes
    data_converter: DataConverter
    """What the memo is read with."""
    _memo: Mapping[str, Payload] = field(default_factory=dict[str, Payload], repr=False)

    async def memo(self) -> Mapping[str, Any]:
        """The memo's values, without type hints."""
        return await _decoded(self._memo, self.data_converter)

    async def memo_value(self, key: str, default: Any = arg_unset, *, type_hint: type | None = None) -> Any:
        """One of the memo's values.

        Raises:
            KeyError: there is none, and no default was given.
        """
        return await _decoded_value(self._memo, self.data_converter, key, default, type_hint)


@dataclass
class ScheduleListSchedule:
    """What a list shows of a schedule."""

    action: ScheduleListAction
    spec: ScheduleSpec
    state: ScheduleListState


class ScheduleListAction(ABC):  # noqa: B024 - as in the SDK, it only says what may stand here
    """What a list shows of an action."""


@dataclass
class ScheduleListActionStartWorkflow(ScheduleListAction):
    """Which workflow is started."""

    workflow: str


@dataclass
class ScheduleListInfo:
    """What a list shows of past and coming actions."""

    recent_actions: Sequence[ScheduleActionResult]
    """The last five, oldest first."""

    next_action_times: Sequence[datetime]
    """The next five times."""


@dataclass
class ScheduleListState:
    """What a list shows of a schedule's state."""

    note: str | None
    paused: bool


class ScheduleAlreadyRunningError(TemporalError):
    """There is a schedule of this id."""

    def __init__(self) -> None:
        super().__init__("Schedule already running")


# -- memos ---------------------------------------------------------------------------------------------


async def _decoded(memo: Mapping[str, Payload], converter: DataConverter) -> Mapping[str, Any]:
    return {name: (await converter.decode([value]))[0] for name, value in memo.items()}


async def _decoded_value(
    memo: Mapping[str, Payload], converter: DataConverter, key: str, default: Any, hint: type | None
) -> Any:
    payload = memo.get(key)
    if payload is None:
        if default is arg_unset:
            raise KeyError(f"Memo does not have a value for key {key}")
        return default
    return (await converter.decode([payload], None if hint is None else [hint]))[0]
