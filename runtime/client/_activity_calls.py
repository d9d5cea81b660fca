"""What a client's methods do to activities: those that no workflow asked for, and those that someone else completes."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..activity import ActivityCancellationDetails
from ..common import ActivityIDConflictPolicy, arg_unset
from ..core.commands import ScheduleActivity
from ..core.payload import Failure
from ..core.standalone import NUMBER
from ..frontend import ActivityById, ActivityCancelled
from ..retry_policy import rule_of
from ..search_attributes import attributes_of
from ..values import ConvertedValues
from ._activities import AsyncActivityIDReference
from ._activity_executions import (
    ActivityExecutionAsyncIterator,
    ActivityExecutionCount,
    ActivityExecutionCountAggregationGroup,
    ActivityExecutionDescription,
    activity_description_of,
)
from ._activity_handle import ActivityHandle
from ._activity_inputs import (
    CancelActivityInput,
    CountActivitiesInput,
    DescribeActivityInput,
    ListActivitiesInput,
    PauseActivityInput,
    StartActivityInput,
    TerminateActivityInput,
    UnpauseActivityInput,
    UpdateActivityOptionsInput,
)
from ._activity_options import ActivityExecutionOptions, changes_of, options_as_they_are
from ._encoding import headers_of, stored
from ._errors import AsyncActivityCancelledError, within
from ._interceptors import (
    CompleteAsyncActivityInput,
    FailAsyncActivityInput,
    HeartbeatAsyncActivityInput,
    OutboundInterceptor,
    ReportCancellationAsyncActivityInput,
)

if TYPE_CHECKING:
    from ._client import Client


class ActivityCalls(OutboundInterceptor):
    """What a client's methods do to activities."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._frontend = client.frontend
        self._values = client.values

    # -- without a workflow ------------------------------------------------------------------------------------

    async def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
        if not (input.start_to_close_timeout or input.schedule_to_close_timeout):
            raise ValueError("Activity must have start_to_close_timeout or schedule_to_close_timeout")
        if input.start_delay is not None and input.start_delay < timedelta(0):
            raise ValueError("start_delay must be non-negative")
        activity = await self._activity_of(input)
        use_existing = input.id_conflict_policy == ActivityIDConflictPolicy.USE_EXISTING
        async with within(input.rpc_timeout):
            begun = await self._frontend.start_activity(
                activity,
                attributes_of(input.search_attributes),
                int(input.id_reuse_policy),
                "use_existing" if use_existing else "fail",
            )
        return ActivityHandle(
            self._client, input.id, run_id=begun.record.run_id, result_type=input.result_type
        )

    async def _activity_of(self, input: StartActivityInput) -> ScheduleActivity:
        values = self._values.for_alone(input.id, input.activity_type, input.task_queue)
        priority = input.priority
        return ScheduleActivity(
            id=NUMBER,
            activity_type=input.activity_type,
            task_queue=input.task_queue,
            args=await stored(values, f"activity {input.activity_type}", input.args),
            schedule_to_close_s=_seconds(input.schedule_to_close_timeout),
            schedule_to_start_s=_seconds(input.schedule_to_start_timeout),
            start_to_close_s=_seconds(input.start_to_close_timeout),
            heartbeat_s=_seconds(input.heartbeat_timeout),
            retry=rule_of(input.retry_policy),
            activity_id=input.id,
            headers=await headers_of(self._client, values, input.headers),
            summary=input.summary or "",
            priority_key=priority.priority_key or 0,
            fairness_key=priority.fairness_key or "",
            fairness_weight=priority.fairness_weight or 0.0,
            delay_s=_seconds(input.start_delay) or 0.0,
        )

    async def cancel_activity(self, input: CancelActivityInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.cancel_activity(input.activity_id, input.activity_run_id, input.reason or "")

    async def terminate_activity(self, input: TerminateActivityInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.terminate_activity(
                input.activity_id, input.activity_run_id, input.reason or ""
            )

    async def pause_activity(self, input: PauseActivityInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.pause_activity(
                input.activity_id, input.activity_run_id, self._client.identity, input.reason or ""
            )

    async def unpause_activity(self, input: UnpauseActivityInput) -> None:
        most_s = _seconds(input.jitter) or 0.0
        delay_s = random.uniform(0.0, most_s)
        async with within(input.rpc_timeout):
            await self._frontend.unpause_activity(
                input.activity_id, input.activity_run_id, self._client.identity, input.reason or "", delay_s
            )

    async def update_activity_options(self, input: UpdateActivityOptionsInput) -> ActivityExecutionOptions:
        if input.restore_original and input.updates:
            raise ValueError("restore_original cannot be combined with individual option updates")
        options, names = changes_of(input.updates)
        async with within(input.rpc_timeout):
            found = await self._frontend.update_activity_options(
                input.activity_id, input.activity_run_id, options, names
            )
        return options_as_they_are(found)

    async def describe_activity(self, input: DescribeActivityInput) -> ActivityExecutionDescription:
        async with within(input.rpc_timeout):
            details = await self._frontend.describe_activity(
                input.activity_id,
                input.activity_run_id,
                input.include_input,
                input.include_outcome,
                input.include_heartbeat_details,
                input.include_last_failure,
            )
        command = details.command
        values = self._values.for_alone(command.activity_id, command.activity_type, command.task_queue)
        return activity_description_of(details, values, with_input=input.include_input)

    def list_activities(self, input: ListActivitiesInput) -> ActivityExecutionAsyncIterator:
        return ActivityExecutionAsyncIterator(self._client, input)

    async def count_activities(self, input: CountActivitiesInput) -> ActivityExecutionCount:
        async with within(input.rpc_timeout):
            counted = await self._frontend.count_activities(input.query or "")
        groups = [
            ActivityExecutionCountAggregationGroup(group.count, list(group.values))
            for group in counted
            if group.values
        ]
        return ActivityExecutionCount(sum(group.count for group in counted), groups)

    # -- that someone else completes -----------------------------------------------------------------------------

    async def heartbeat_async_activity(self, input: HeartbeatAsyncActivityInput) -> None:
        details = await self._values_for(input).stored(input.details)
        try:
            async with within(input.rpc_timeout):
                await self._frontend.heartbeat_activity(_place(input.id_or_token), details)
        except ActivityCancelled as error:
            why = ActivityCancellationDetails(cancel_requested=not error.paused, paused=error.paused)
            raise AsyncActivityCancelledError(why) from None

    async def complete_async_activity(self, input: CompleteAsyncActivityInput) -> None:
        result = None if input.result is arg_unset else input.result
        (outcome,) = await self._values_for(input).stored([result])
        async with within(input.rpc_timeout):
            await self._frontend.end_activity(_place(input.id_or_token), outcome, ())

    async def fail_async_activity(self, input: FailAsyncActivityInput) -> None:
        values = self._values_for(input)
        heartbeat = await values.stored(input.last_heartbeat_details)
        failure = await values.stored_failure(input.error)
        async with within(input.rpc_timeout):
            await self._frontend.end_activity(_place(input.id_or_token), failure, heartbeat)

    async def report_cancellation_async_activity(self, input: ReportCancellationAsyncActivityInput) -> None:
        details = await self._values_for(input).stored(input.details)
        failure = Failure(kind="canceled", message="Cancelled", details=details)
        async with within(input.rpc_timeout):
            await self._frontend.end_activity(_place(input.id_or_token), failure, ())

    def _values_for(
        self,
        input: HeartbeatAsyncActivityInput
        | CompleteAsyncActivityInput
        | FailAsyncActivityInput
        | ReportCancellationAsyncActivityInput,
    ) -> ConvertedValues:
        override, place = input.data_converter_override, input.id_or_token
        values = self._values if override is None else ConvertedValues(override, self._values.namespace)
        if isinstance(place, bytes):
            return values
        if not place.workflow_id:
            return values.for_activity_target(place.activity_id, run_id=place.run_id)
        return values.for_target(place.workflow_id, run_id=place.run_id)


def _place(given: AsyncActivityIDReference | bytes) -> ActivityById | bytes:
    if isinstance(given, bytes):
        return given
    return ActivityById(given.workflow_id or "", given.run_id, given.activity_id)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
