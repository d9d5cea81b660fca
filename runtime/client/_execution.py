"""Executions as a client sees them: in lists, described, counted, with their histories."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .. import frontend
from ..common import SearchAttributes, TypedSearchAttributes, arg_unset
from ..converter import DataConverter
from ..core.payload import Payload
from ..core.records import dataclass
from ..frontend import ExecutionDetails, ExecutionSummary
from ..ports import PAUSED, Blocked, Pause
from ..search_attributes import typed, untyped
from ..values import ConvertedValues
from ._pages import Pages

if TYPE_CHECKING:
    from ..api.workflow.v1 import WorkflowExecutionInfo
    from ..api.workflowservice.v1 import DescribeWorkflowExecutionResponse
    from ._histories import WorkflowHistory


class WorkflowExecutionStatus(enum.IntEnum):
    """How far an execution has come."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7
    PAUSED = 8


class WorkflowHistoryEventFilterType(enum.IntEnum):
    """Which events a history is fetched with."""

    ALL_EVENT = 1
    CLOSE_EVENT = 2


@dataclass(frozen=True)
class WorkflowPause:
    """Who paused what, when and why.

    `scope` is ``execution``, ``workflow_type``, ``task_queue`` or ``everything``; of the two in the middle `name` says which.
    """

    scope: str
    name: str
    identity: str
    reason: str
    paused_at: datetime

    @classmethod
    def of(cls, pause: Pause) -> WorkflowPause:
        """As a client sees it."""
        return cls(pause.scope, pause.name, pause.identity, pause.reason, instant(pause.since_us))


@dataclass(frozen=True)
class WorkflowExecution:
    """One execution, as a list shows it."""

    close_time: datetime | None
    execution_time: datetime | None
    history_length: int
    id: str
    namespace: str
    parent_id: str | None
    parent_run_id: str | None
    root_id: str | None
    root_run_id: str | None
    run_id: str
    search_attributes: SearchAttributes
    start_time: datetime
    status: WorkflowExecutionStatus | None
    task_queue: str
    typed_search_attributes: TypedSearchAttributes
    workflow_type: str
    blocked: Blocked | None
    """Why the execution waits for its code to be mended; None when it does not."""
    pause: WorkflowPause | None
    """What keeps it from going on; None when it is not paused."""
    _memo: Mapping[str, Payload] = field(repr=False)
    _values: ConvertedValues = field(repr=False, compare=False)

    @property
    def raw_info(self) -> WorkflowExecutionInfo:
        """The same as a message of Temporal's service."""
        from ._messages import info_of  # here: it costs time, and few look

        return info_of(self)

    @property
    def data_converter(self) -> DataConverter:
        """The client's converter, for values of this execution."""
        return self._values.converter

    async def memo(self) -> Mapping[str, Any]:
        """The memo's values, without type hints."""
        return {name: (await self._values.read([value], None))[0] for name, value in self._memo.items()}

    async def memo_value(self, key: str, default: Any = arg_unset, *, type_hint: type | None = None) -> Any:
        """One of the memo's values.

        Raises:
            KeyError: there is none, and no default was given.
        """
        payload = self._memo.get(key)
        if payload is None:
            if default is arg_unset:
                raise KeyError(f"Memo does not have a value for key {key}")
            return default
        return (await self._values.read([payload], None if type_hint is None else [type_hint]))[0]


@dataclass(frozen=True)
class PendingActivity:
    """An activity that has not ended."""

    activity_id: str
    activity_type: str
    attempt: int


@dataclass(frozen=True)
class PendingChildWorkflow:
    """A child that has not closed."""

    workflow_id: str
    run_id: str
    workflow_type: str


@dataclass(frozen=True)
class WorkflowExecutionRun:
    """One run of one execution."""

    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class ConcurrencyStanding:
    """Where an open execution stands in the line of its concurrency key."""

    key: str
    limit: int
    position: int
    """0 when it has begun, 1 when it is the next to begin."""
    running: Sequence[WorkflowExecutionRun]
    """Those that have begun, the oldest first, no more than ten."""


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """One execution, with what it waits for."""

    pending_activities: Sequence[PendingActivity]
    pending_children: Sequence[PendingChildWorkflow]
    next_timer: datetime | None
    cancel_requested: bool
    concurrency: ConcurrencyStanding | None
    """None when it has no concurrency key, or has closed."""
    _summary: str = ""
    _details: str = ""

    @property
    def raw_description(self) -> DescribeWorkflowExecutionResponse:
        """The same as a message of Temporal's service; of pending activities it has what `pending_activities` has."""
        from ._messages import description_of  # as above

        return description_of(self)

    async def static_summary(self) -> str | None:
        """The one line that it was started with."""
        return self._summary or None

    async def static_details(self) -> str | None:
        """The text that it was started with."""
        return self._details or None


def execution_of(summary: ExecutionSummary, values: ConvertedValues) -> WorkflowExecution:
    """An execution as a list shows it."""
    return WorkflowExecution(**_fields(summary, values))


def _fields(summary: ExecutionSummary, values: ConvertedValues) -> dict[str, Any]:
    record = summary.record
    began = instant(record.started_at_us)
    return {
        "close_time": None if record.closed_at_us is None else instant(record.closed_at_us),
        "execution_time": began + timedelta(seconds=summary.first_delay_s),
        "history_length": summary.history_length,
        "id": record.workflow_id,
        "namespace": values.namespace,
        "parent_id": record.parent_workflow_id or None,
        "parent_run_id": record.parent_run_id or None,
        "root_id": record.root_workflow_id or record.workflow_id,
        "root_run_id": record.root_run_id or record.run_id,
        "run_id": record.run_id,
        "search_attributes": untyped(summary.search_attributes),
        "start_time": began,
        "status": WorkflowExecutionStatus[(PAUSED if summary.pause else record.status).upper()],
        "task_queue": record.task_queue,
        "typed_search_attributes": typed(summary.search_attributes),
        "workflow_type": record.workflow_type,
        "blocked": record.blocked,
        "pause": None if summary.pause is None else WorkflowPause.of(summary.pause),
        "_memo": summary.memo,
        "_values": values.for_workflow(record.workflow_id),
    }


def description_of(details: ExecutionDetails, values: ConvertedValues) -> WorkflowExecutionDescription:
    """An execution with what it waits for."""
    due_us = details.next_due_us
    return WorkflowExecutionDescription(
        **_fields(details.summary, values),
        pending_activities=[
            PendingActivity(each.activity_id, each.activity_type, each.attempt)
            for each in details.pending_activities
        ],
        pending_children=[
            PendingChildWorkflow(each.workflow_id, each.run_id, each.workflow_type)
            for each in details.pending_children
        ],
        next_timer=None if due_us is None else instant(due_us),
        cancel_requested=details.cancel_requested,
        concurrency=None if details.concurrency is None else _standing_of(details.concurrency),
        _summary=details.static_summary,
        _details=details.static_details,
    )


def _standing_of(found: frontend.ConcurrencyStanding) -> ConcurrencyStanding:
    running = [WorkflowExecutionRun(record.workflow_id, record.run_id) for record in found.running]
    return ConcurrencyStanding(found.key, found.limit, found.position, running)


def instant(at_us: int) -> datetime:
    """Microseconds since the epoch as a datetime in UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


# -- lists and counts ----------------------------------------------------------------------------------------


class WorkflowExecutionAsyncIterator(Pages[WorkflowExecution]):
    """Executions, a page at a time."""

    def __init__(
        self,
        fetch: Callable[[int | None, int], Awaitable[tuple[list[WorkflowExecution], int | None]]],
        *,
        page_size: int,
        limit: int | None,
        history: Callable[[WorkflowExecution], Awaitable[WorkflowHistory]],
        before: int | None = None,
    ) -> None:
        super().__init__(fetch, page_size=page_size, limit=limit, before=before)
        self._history = history

    async def map_histories(self, **_options: Any) -> AsyncIterator[WorkflowHistory]:
        """The history of each execution that is left."""
        async for execution in self:
            yield await self._history(execution)


@dataclass(frozen=True)
class WorkflowExecutionCountAggregationGroup:
    """How many executions share these values."""

    count: int
    group_values: Sequence[Any]


@dataclass(frozen=True)
class WorkflowExecutionCount:
    """How many executions there are; `groups` when the filter asked for them."""

    count: int
    groups: Sequence[WorkflowExecutionCountAggregationGroup]
