"""Activities that no workflow asked for, as a client sees them: in lists, described, counted."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..common import Priority, RetryPolicy, TypedSearchAttributes
from ..converter import DataConverter
from ..core.commands import CancelWorkflow, CompleteWorkflow
from ..core.events import Closing, WorkflowTerminated
from ..core.payload import Failure, Payload
from ..core.standalone import unprefixed
from ..frontend import ActivityDetails, ExecutionSummary
from ..ports import PAUSED, ExecutionRecord
from ..relations import closing_failure
from ..retry_policy import policy_in_effect, priority_of
from ..search_attributes import typed
from ..values import ConvertedValues
from ._errors import within
from ._execution import instant
from ._pages import Pages

if TYPE_CHECKING:
    from ._activity_inputs import ListActivitiesInput
    from ._client import Client


class ActivityExecutionStatus(enum.IntEnum):
    """How far an activity has come."""

    UNSPECIFIED = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    TIMED_OUT = 6
    PAUSED = 7


class PendingActivityState(enum.IntEnum):
    """What an activity does that has not closed."""

    UNSPECIFIED = 0
    SCHEDULED = 1
    STARTED = 2
    CANCEL_REQUESTED = 3
    PAUSED = 4
    PAUSE_REQUESTED = 5
    """It is paused, and an attempt that ran before still runs."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivityExecution:
    """One activity, as a list shows it."""

    activity_id: str
    activity_run_id: str | None
    activity_type: str
    close_time: datetime | None
    execution_duration: timedelta | None
    """From the start until it closed; None while it is open."""
    execution_time: datetime | None
    """When its first attempt was due."""
    namespace: str
    schedule_time: datetime
    status: ActivityExecutionStatus
    task_queue: str
    typed_search_attributes: TypedSearchAttributes


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivityExecutionDescription(ActivityExecution):
    """One activity, with its options and how its attempts fare. A timeout of zero is none."""

    attempt: int
    """The number of the attempt that runs, is the next, or was the last."""
    canceled_reason: str | None
    current_retry_interval: timedelta | None
    """How long it waits between two attempts, while it does."""
    expiration_time: datetime | None
    """When its schedule-to-close timeout has passed."""
    heartbeat_timeout: timedelta | None
    last_attempt_complete_time: datetime | None
    last_deployment_version: None
    """There are no deployments."""
    last_heartbeat_time: datetime | None
    last_started_time: datetime | None
    last_worker_identity: str | None
    """There is one process."""
    next_attempt_schedule_time: datetime | None
    priority: Priority
    retry_policy: RetryPolicy | None
    run_state: PendingActivityState | None
    """None when it has closed."""
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    start_delay: timedelta | None
    total_heartbeat_count: int
    """Heartbeats of all attempts, as far as they were recorded."""
    _values: ConvertedValues = field(repr=False)
    _input: Sequence[Payload] | None = field(default=None, repr=False)
    _heartbeat: Sequence[Payload] = field(default=(), repr=False)
    _last_failure: Failure | None = field(default=None, repr=False)
    _closing: Closing | None = field(default=None, repr=False)

    @property
    def data_converter(self) -> DataConverter:
        """The client's converter, for values of this activity."""
        return self._values.converter

    def has_heartbeat_details(self) -> bool:
        """Whether `heartbeat_details` has any: it has beaten, and they were asked for."""
        return bool(self._heartbeat)

    async def heartbeat_details(self, type_hints: list[type] | None = None) -> list[Any] | None:
        """What its last heartbeat said; None when there is nothing."""
        return await self._values.read(self._heartbeat, type_hints) if self._heartbeat else None

    def has_last_failure(self) -> bool:
        """Whether `last_failure` has one: an attempt has failed, and it was asked for."""
        return self._last_failure is not None

    async def last_failure(self) -> BaseException | None:
        """How the last attempt failed that did, also when others followed."""
        return None if self._last_failure is None else await self._values.read_error(self._last_failure)

    def has_input(self) -> bool:
        """Whether `input` is there: it has any, and it was asked for."""
        return self._input is not None

    async def input(self, type_hints: list[type] | None = None) -> list[Any] | None:
        """The arguments; None when there are none, or they were not asked for."""
        return None if self._input is None else await self._values.read(self._input, type_hints)

    def has_result(self) -> bool:
        """Whether `result` is there: it has completed, and the outcome was asked for."""
        return isinstance(self._closing, CompleteWorkflow)

    async def result(self, type_hint: type | None = None) -> Any | None:
        """What it returned; None when there is no result."""
        if not isinstance(self._closing, CompleteWorkflow):
            return None
        hints = None if type_hint is None else [type_hint]
        return (await self._values.read([self._closing.result], hints))[0]

    def has_outcome_failure(self) -> bool:
        """Whether `outcome_failure` is there: it has ended without a result, and the outcome was asked for."""
        return self._closing is not None and not self.has_result()

    async def outcome_failure(self) -> BaseException | None:
        """How it ended without a result; None when it has not."""
        if self._closing is None or isinstance(self._closing, CompleteWorkflow):
            return None
        return await self._values.read_error(ending_of(self._closing))


def ending_of(closing: Closing) -> Failure:
    """How an activity ended that has no result."""
    match closing:
        case CancelWorkflow():
            return Failure(kind="canceled", message="Activity canceled", details=closing.details)
        case WorkflowTerminated():
            return Failure(kind="terminated", message=closing.reason or "Terminated")
        case _:
            return closing_failure(closing)[0]


def activity_of(summary: ExecutionSummary, namespace: str) -> ActivityExecution:
    """An activity as a list shows it."""
    record = summary.record
    status = PAUSED if summary.pause else record.status
    return ActivityExecution(
        **_fields(record, status, summary.first_delay_s),
        namespace=namespace,
        task_queue=record.task_queue,
        typed_search_attributes=typed(summary.search_attributes),
    )


def _fields(record: ExecutionRecord, status: str, delay_s: float) -> dict[str, Any]:
    began = instant(record.started_at_us)
    closed = None if record.closed_at_us is None else instant(record.closed_at_us)
    return {
        "activity_id": unprefixed(record.workflow_id),
        "activity_run_id": record.run_id,
        "activity_type": unprefixed(record.workflow_type),
        "close_time": closed,
        "execution_duration": None if closed is None else closed - began,
        "execution_time": began + timedelta(seconds=delay_s),
        "schedule_time": began,
        "status": ActivityExecutionStatus[status.upper()],
    }


def activity_description_of(
    details: ActivityDetails, values: ConvertedValues, *, with_input: bool
) -> ActivityExecutionDescription:
    """An activity with its options and attempts."""
    record, command = details.record, details.command
    fields = _fields(record, PAUSED if details.state == PAUSED else record.status, command.delay_s)
    whole_s = command.schedule_to_close_s
    backs_off_s, delay_s = details.backs_off_s, command.delay_s
    return ActivityExecutionDescription(
        **fields,
        namespace=values.namespace,
        task_queue=command.task_queue,
        typed_search_attributes=typed(details.search_attributes),
        attempt=details.attempt,
        canceled_reason=details.cancel_reason or None,
        current_retry_interval=None if backs_off_s is None else timedelta(seconds=backs_off_s),
        expiration_time=fields["execution_time"] + timedelta(seconds=whole_s) if whole_s else None,
        heartbeat_timeout=timedelta(seconds=command.heartbeat_s or 0),
        last_attempt_complete_time=_known(details.last_ended_at_us),
        last_deployment_version=None,
        last_heartbeat_time=_known(details.last_beaten_at_us),
        last_started_time=_known(details.last_started_at_us),
        last_worker_identity=None,
        next_attempt_schedule_time=_known(details.next_attempt_at_us),
        priority=priority_of(command.priority_key, command.fairness_key, command.fairness_weight),
        retry_policy=policy_in_effect(command.retry),
        run_state=PendingActivityState[details.state.upper()] if details.state else None,
        schedule_to_close_timeout=timedelta(seconds=whole_s or 0),
        schedule_to_start_timeout=timedelta(seconds=command.schedule_to_start_s or 0),
        start_to_close_timeout=timedelta(seconds=command.start_to_close_s or 0),
        start_delay=timedelta(seconds=delay_s) if delay_s else None,
        total_heartbeat_count=details.beats,
        _values=values,
        _input=command.args or None if with_input else None,
        _heartbeat=details.heartbeat,
        _last_failure=details.last_failure,
        _closing=details.closing,
    )


def _known(at_us: int | None) -> datetime | None:
    return instant(at_us) if at_us else None


# -- lists and counts ----------------------------------------------------------------------------------------


class ActivityExecutionAsyncIterator(Pages[ActivityExecution]):
    """Activities, a page at a time."""

    def __init__(self, client: Client, input: ListActivitiesInput) -> None:
        token = input.next_page_token
        super().__init__(
            self._fetched,
            page_size=input.page_size,
            limit=input.limit,
            before=None if token is None else int(token),
        )
        self._frontend = client.frontend
        self._namespace = client.namespace
        self._input = input

    async def _fetched(self, before: int | None, size: int) -> tuple[list[ActivityExecution], int | None]:
        async with within(self._input.rpc_timeout):
            page = await self._frontend.list_activities(self._input.query or "", before, size)
        return [activity_of(found, self._namespace) for found in page.executions], page.before_key


@dataclass(frozen=True)
class ActivityExecutionCountAggregationGroup:
    """How many activities share these values."""

    count: int
    group_values: Sequence[Any]


@dataclass(frozen=True)
class ActivityExecutionCount:
    """How many activities there are; `groups` when the filter asked for them."""

    count: int
    groups: Sequence[ActivityExecutionCountAggregationGroup]
