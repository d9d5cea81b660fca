"""What stands between a client's methods and the engine: classes to extend. The first of a list is the outermost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..api.common.v1 import TimeSkippingConfig
from ..common import (
    ConcurrencyKey,
    Priority,
    QueryRejectCondition,
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from ..converter import DataConverter
from ..core.payload import Payload
from ..core.records import dataclass

if TYPE_CHECKING:
    from ..schedules import Schedule, ScheduleBackfill, ScheduleDescription, ScheduleOverlapPolicy
    from ._activities import AsyncActivityIDReference
    from ._activity_executions import (
        ActivityExecutionAsyncIterator,
        ActivityExecutionCount,
        ActivityExecutionDescription,
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
    from ._activity_options import ActivityExecutionOptions
    from ._execution import (
        WorkflowExecutionAsyncIterator,
        WorkflowExecutionCount,
        WorkflowExecutionDescription,
        WorkflowHistoryEventFilterType,
    )
    from ._handle import WorkflowHandle
    from ._schedules import ScheduleAsyncIterator, ScheduleHandle, Updater
    from ._updates import WorkflowUpdateHandle, WorkflowUpdateStage
    from ._worker_versioning import (
        BuildIdOp,
        TaskReachabilityType,
        WorkerBuildIdVersionSets,
        WorkerTaskReachability,
    )

Headers = Mapping[str, Payload]
Metadata = Mapping[str, str | bytes]
NO_METADATA: Metadata = MappingProxyType({})
"""For a server, which there is none: accepted and not used."""


class Interceptor:
    """Extend this to stand around the calls of a client."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """The interceptor of a client's calls, in front of `next`."""
        return next


@dataclass
class StartWorkflowInput:
    """A workflow that a client starts."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: Any
    start_delay: timedelta | None
    headers: Headers
    start_signal: str | None
    start_signal_args: Sequence[Any]
    static_summary: str | None
    static_details: str | None
    ret_type: type | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    request_eager_start: bool
    priority: Priority
    versioning_override: Any = None
    time_skipping_config: TimeSkippingConfig | None = None
    concurrency: ConcurrencyKey | None = None


@dataclass
class CancelWorkflowInput:
    """A workflow that a client asks to end."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    reason: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class DescribeWorkflowInput:
    """A workflow that a client asks about."""

    id: str
    run_id: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class FetchWorkflowHistoryEventsInput:
    """A history that a client reads."""

    id: str
    run_id: str | None
    page_size: int | None
    next_page_token: bytes | None
    wait_new_event: bool
    event_filter_type: WorkflowHistoryEventFilterType
    skip_archival: bool
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class ListWorkflowsInput:
    """Executions that a client lists."""

    query: str | None
    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    limit: int | None


@dataclass
class CountWorkflowsInput:
    """Executions that a client counts."""

    query: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class QueryWorkflowInput:
    """A query that a client asks."""

    id: str
    run_id: str | None
    query: str
    args: Sequence[Any]
    reject_condition: QueryRejectCondition | None
    headers: Headers
    ret_type: type | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class SignalWorkflowInput:
    """A signal that a client sends."""

    id: str
    run_id: str | None
    signal: str
    args: Sequence[Any]
    headers: Headers
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class TerminateWorkflowInput:
    """A workflow that a client ends."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    args: Sequence[Any]
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class StartWorkflowUpdateInput:
    """An update that a client sends."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    update_id: str | None
    update: str
    args: Sequence[Any]
    wait_for_stage: WorkflowUpdateStage
    headers: Headers
    ret_type: type | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class UpdateWithStartUpdateWorkflowInput:
    """The update of an update-with-start."""

    update_id: str | None
    update: str
    args: Sequence[Any]
    wait_for_stage: WorkflowUpdateStage
    headers: Headers
    ret_type: type | None


@dataclass
class UpdateWithStartStartWorkflowInput:
    """The start of an update-with-start."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: Any
    start_delay: timedelta | None
    headers: Headers
    static_summary: str | None
    static_details: str | None
    ret_type: type | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    priority: Priority
    versioning_override: Any = None
    time_skipping_config: TimeSkippingConfig | None = None
    concurrency: ConcurrencyKey | None = None


@dataclass
class StartWorkflowUpdateWithStartInput:
    """An update-with-start."""

    start_workflow_input: UpdateWithStartStartWorkflowInput
    update_workflow_input: UpdateWithStartUpdateWorkflowInput
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    _on_start: Any
    _on_start_error: Any


@dataclass
class HeartbeatAsyncActivityInput:
    """A heartbeat for an activity that completes later."""

    id_or_token: AsyncActivityIDReference | bytes
    details: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass
class CompleteAsyncActivityInput:
    """The result of an activity that completes later. `result` may be unset."""

    id_or_token: AsyncActivityIDReference | bytes
    result: Any
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass
class FailAsyncActivityInput:
    """The failure of an activity that completes later."""

    id_or_token: AsyncActivityIDReference | bytes
    error: Exception
    last_heartbeat_details: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass
class ReportCancellationAsyncActivityInput:
    """The cancellation of an activity that completes later."""

    id_or_token: AsyncActivityIDReference | bytes
    details: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass
class CreateScheduleInput:
    """A schedule that a client creates."""

    id: str
    schedule: Schedule
    trigger_immediately: bool
    backfill: Sequence[ScheduleBackfill]
    memo: Mapping[str, Any] | None
    search_attributes: Any
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class ListSchedulesInput:
    """Schedules that a client lists."""

    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    query: str | None = None


@dataclass
class BackfillScheduleInput:
    """Stretches of time whose actions a client wants taken."""

    id: str
    backfills: Sequence[ScheduleBackfill]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class DeleteScheduleInput:
    """A schedule that a client deletes."""

    id: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class DescribeScheduleInput:
    """A schedule that a client asks about."""

    id: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class PauseScheduleInput:
    """A schedule that a client pauses."""

    id: str
    note: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class TriggerScheduleInput:
    """A schedule whose action a client wants taken now."""

    id: str
    overlap: ScheduleOverlapPolicy | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class UnpauseScheduleInput:
    """A paused schedule that a client lets go on."""

    id: str
    note: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class UpdateScheduleInput:
    """A schedule that a client changes."""

    id: str
    updater: Updater
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class UpdateWorkerBuildIdCompatibilityInput:
    """A change of build ids."""

    task_queue: str
    operation: BuildIdOp
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class GetWorkerBuildIdCompatibilityInput:
    """A question for build ids."""

    task_queue: str
    max_sets: int | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class GetWorkerTaskReachabilityInput:
    """A question for where build ids are needed."""

    build_ids: Sequence[str]
    task_queues: Sequence[str]
    reachability: TaskReachabilityType | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


class OutboundInterceptor:
    """Stands behind a client's methods. Each default hands the call on."""

    def __init__(self, next: OutboundInterceptor) -> None:
        self.next = next

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        """Start a workflow."""
        return await self.next.start_workflow(input)

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        """Ask a workflow to end."""
        await self.next.cancel_workflow(input)

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        """Describe a workflow."""
        return await self.next.describe_workflow(input)

    def fetch_workflow_history_events(self, input: FetchWorkflowHistoryEventsInput) -> Any:
        """Read a history."""
        return self.next.fetch_workflow_history_events(input)

    def list_workflows(self, input: ListWorkflowsInput) -> WorkflowExecutionAsyncIterator:
        """List executions."""
        return self.next.list_workflows(input)

    async def count_workflows(self, input: CountWorkflowsInput) -> WorkflowExecutionCount:
        """Count executions."""
        return await self.next.count_workflows(input)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        """Ask a query."""
        return await self.next.query_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        """Send a signal."""
        await self.next.signal_workflow(input)

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:
        """End a workflow."""
        await self.next.terminate_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
        """Send an update."""
        return await self.next.start_workflow_update(input)

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update, and start the workflow if need be."""
        return await self.next.start_update_with_start_workflow(input)

    async def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
        """Start an activity."""
        return await self.next.start_activity(input)

    async def cancel_activity(self, input: CancelActivityInput) -> None:
        """Ask an activity to stop."""
        await self.next.cancel_activity(input)

    async def terminate_activity(self, input: TerminateActivityInput) -> None:
        """End an activity."""
        await self.next.terminate_activity(input)

    async def pause_activity(self, input: PauseActivityInput) -> None:
        """Hold an activity."""
        await self.next.pause_activity(input)

    async def unpause_activity(self, input: UnpauseActivityInput) -> None:
        """Let an activity go on."""
        await self.next.unpause_activity(input)

    async def update_activity_options(self, input: UpdateActivityOptionsInput) -> ActivityExecutionOptions:
        """Change options of an activity."""
        return await self.next.update_activity_options(input)

    async def describe_activity(self, input: DescribeActivityInput) -> ActivityExecutionDescription:
        """Describe an activity."""
        return await self.next.describe_activity(input)

    def list_activities(self, input: ListActivitiesInput) -> ActivityExecutionAsyncIterator:
        """List activities."""
        return self.next.list_activities(input)

    async def count_activities(self, input: CountActivitiesInput) -> ActivityExecutionCount:
        """Count activities."""
        return await self.next.count_activities(input)

    async def heartbeat_async_activity(self, input: HeartbeatAsyncActivityInput) -> None:
        """Say that an activity is alive."""
        await self.next.heartbeat_async_activity(input)

    async def complete_async_activity(self, input: CompleteAsyncActivityInput) -> None:
        """Complete an activity."""
        await self.next.complete_async_activity(input)

    async def fail_async_activity(self, input: FailAsyncActivityInput) -> None:
        """Fail an activity."""
        await self.next.fail_async_activity(input)

    async def report_cancellation_async_activity(self, input: ReportCancellationAsyncActivityInput) -> None:
        """Say that an activity has stopped because it was asked to."""
        await self.next.report_cancellation_async_activity(input)

    async def create_schedule(self, input: CreateScheduleInput) -> ScheduleHandle:
        """Create a schedule."""
        return await self.next.create_schedule(input)

    def list_schedules(self, input: ListSchedulesInput) -> ScheduleAsyncIterator:
        """List schedules."""
        return self.next.list_schedules(input)

    async def backfill_schedule(self, input: BackfillScheduleInput) -> None:
        """Take a schedule's actions of the past."""
        await self.next.backfill_schedule(input)

    async def delete_schedule(self, input: DeleteScheduleInput) -> None:
        """Delete a schedule."""
        await self.next.delete_schedule(input)

    async def describe_schedule(self, input: DescribeScheduleInput) -> ScheduleDescription:
        """Describe a schedule."""
        return await self.next.describe_schedule(input)

    async def pause_schedule(self, input: PauseScheduleInput) -> None:
        """Pause a schedule."""
        await self.next.pause_schedule(input)

    async def trigger_schedule(self, input: TriggerScheduleInput) -> None:
        """Take a schedule's action now."""
        await self.next.trigger_schedule(input)

    async def unpause_schedule(self, input: UnpauseScheduleInput) -> None:
        """Let a schedule go on."""
        await self.next.unpause_schedule(input)

    async def update_schedule(self, input: UpdateScheduleInput) -> None:
        """Change a schedule."""
        await self.next.update_schedule(input)

    async def update_worker_build_id_compatibility(
        self, input: UpdateWorkerBuildIdCompatibilityInput
    ) -> None:
        """Change the build ids of a task queue."""
        await self.next.update_worker_build_id_compatibility(input)

    async def get_worker_build_id_compatibility(
        self, input: GetWorkerBuildIdCompatibilityInput
    ) -> WorkerBuildIdVersionSets:
        """Ask for the build ids of a task queue."""
        return await self.next.get_worker_build_id_compatibility(input)

    async def get_worker_task_reachability(
        self, input: GetWorkerTaskReachabilityInput
    ) -> WorkerTaskReachability:
        """Ask where build ids are needed."""
        return await self.next.get_worker_task_reachability(input)
