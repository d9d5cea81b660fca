"""What stands between a worker's engine and the code of workflows and activities: classes to extend.

Each default hands the call on to `next`. The first interceptor of a worker's list is the outermost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from .common import (
    ConcurrencyKey,
    Priority,
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from .core.payload import Payload
from .core.records import dataclass
from .nexus import NexusOperationHandle, NexusOperationInboundInterceptor, StartNexusOperationInput

if TYPE_CHECKING:
    from .activity import Info as ActivityInfo
    from .workflow import (
        ActivityCancellationType,
        ActivityHandle,
        ChildWorkflowCancellationType,
        ChildWorkflowHandle,
        ExternalWorkflowHandle,
        ParentClosePolicy,
    )
    from .workflow import Info as WorkflowInfo

Headers = Mapping[str, Payload]


class Interceptor:
    """Extend this to stand around the activities and workflows of a worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """The interceptor of one activity attempt, in front of `next`."""
        return next

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class whose object stands around each execution; None for none."""
        del input
        return None

    def intercept_nexus_operation(
        self, next: NexusOperationInboundInterceptor
    ) -> NexusOperationInboundInterceptor:
        """Never called; see `nexus`."""
        return next


@dataclass(frozen=True)
class WorkflowInterceptorClassInput:
    """What `Interceptor.workflow_interceptor_class` may change."""

    unsafe_extern_functions: MutableMapping[str, Callable[..., Any]]
    """Functions that workflow code gets by name from `workflow.extern_functions`."""


@dataclass
class ExecuteActivityInput:
    """An attempt of an activity."""

    fn: Callable[..., Any]
    args: Sequence[Any]
    executor: Executor | None
    headers: Headers


class ActivityInboundInterceptor:
    """Stands in front of an activity's function."""

    def __init__(self, next: ActivityInboundInterceptor) -> None:
        self.next = next

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        """Called before the attempt, with what its code will call; wrap it to stand there too."""
        self.next.init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """Run the attempt."""
        return await self.next.execute_activity(input)


class ActivityOutboundInterceptor:
    """Stands behind what an activity's code calls."""

    def __init__(self, next: ActivityOutboundInterceptor) -> None:
        self.next = next

    def info(self) -> ActivityInfo:
        """What the attempt is."""
        return self.next.info()

    def heartbeat(self, *details: Any) -> None:
        """Say that the attempt is alive."""
        self.next.heartbeat(*details)


@dataclass
class ContinueAsNewInput:
    """A run that ends by beginning the next."""

    workflow: str | None
    args: Sequence[Any]
    task_queue: str | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    backoff_start_interval: timedelta | None
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | None
    search_attributes: Any
    headers: Headers
    versioning_intent: Any
    initial_versioning_behavior: Any
    event_groups: Sequence[Any] | None = None
    arg_types: list[type] | None = None


@dataclass
class ExecuteWorkflowInput:
    """A run that begins. `run_fn` is not bound."""

    type: type
    run_fn: Callable[..., Awaitable[Any]]
    args: Sequence[Any]
    headers: Headers


@dataclass
class HandleSignalInput:
    """A signal for its handler."""

    signal: str
    args: Sequence[Any]
    headers: Headers


@dataclass
class HandleQueryInput:
    """A query for its handler."""

    id: str
    query: str
    args: Sequence[Any]
    headers: Headers


@dataclass
class HandleUpdateInput:
    """An update for its validator and its handler."""

    id: str
    update: str
    args: Sequence[Any]
    headers: Headers


@dataclass
class SignalChildWorkflowInput:
    """A signal for a child."""

    signal: str
    args: Sequence[Any]
    child_workflow_id: str
    headers: Headers
    event_groups: Sequence[Any] | None = None


@dataclass
class SignalExternalWorkflowInput:
    """A signal for another execution."""

    signal: str
    args: Sequence[Any]
    namespace: str
    workflow_id: str
    workflow_run_id: str | None
    headers: Headers
    event_groups: Sequence[Any] | None = None


@dataclass
class StartActivityInput:
    """An activity that workflow code asks for."""

    activity: str
    args: Sequence[Any]
    activity_id: str | None
    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    headers: Headers
    disable_eager_execution: bool
    versioning_intent: Any
    summary: str | None
    event_groups: Sequence[Any] | None = field(default=None, kw_only=True)
    priority: Priority
    arg_types: list[type] | None
    ret_type: type | None
    concurrency: ConcurrencyKey | None = None
    durability: int = 0
    """The class that the activity was defined with; 0 for that of the workflow."""


@dataclass
class StartChildWorkflowInput:
    """A child that workflow code asks for."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str | None
    cancellation_type: ChildWorkflowCancellationType
    parent_close_policy: ParentClosePolicy
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: Any
    headers: Headers
    versioning_intent: Any
    static_summary: str | None
    static_details: str | None
    versioning_override: Any = field(default=None, kw_only=True)
    event_groups: Sequence[Any] | None = field(default=None, kw_only=True)
    priority: Priority
    arg_types: list[type] | None
    ret_type: type | None
    concurrency: ConcurrencyKey | None = None


@dataclass
class StartLocalActivityInput:
    """A local activity that workflow code asks for."""

    activity: str
    args: Sequence[Any]
    activity_id: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    local_retry_threshold: timedelta | None
    cancellation_type: ActivityCancellationType
    headers: Headers
    summary: str | None
    event_groups: Sequence[Any] | None = None
    arg_types: list[type] | None = None
    ret_type: type | None = None
    durability: int = 0
    """As in `StartActivityInput`."""


@dataclass
class SignalWithStartWorkflowInput:
    """A signal for an execution that is started when there is none."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str
    signal: str
    signal_args: Sequence[Any]
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy | None
    retry_policy: RetryPolicy | None
    cron_schedule: str | None
    memo: Mapping[str, Any] | None
    search_attributes: Any
    priority: Priority | None
    versioning_override: Any
    start_delay: timedelta | None
    static_summary: str | None
    static_details: str | None


class WorkflowInboundInterceptor:
    """Stands in front of a workflow's functions."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:
        self.next = next

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Called before the workflow's object is made, with what its code will call; wrap it to stand there too."""
        self.next.init(outbound)

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        """Run the workflow."""
        return await self.next.execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        """Call the handler of a signal."""
        await self.next.handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        """Call the handler of a query."""
        return await self.next.handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        """Call the validator of an update."""
        self.next.handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        """Call the handler of an update."""
        return await self.next.handle_update_handler(input)


class WorkflowOutboundInterceptor:
    """Stands behind what workflow code calls."""

    def __init__(self, next: WorkflowOutboundInterceptor) -> None:
        self.next = next

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        """End this run and begin the next."""
        self.next.continue_as_new(input)

    def info(self) -> WorkflowInfo:
        """What the execution is."""
        return self.next.info()

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        """Signal a child."""
        await self.next.signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        """Signal another execution."""
        await self.next.signal_external_workflow(input)

    async def start_signal_with_start_workflow(
        self, request: SignalWithStartWorkflowInput
    ) -> ExternalWorkflowHandle[Any]:
        """Signal another execution, and start it when there is none."""
        return await self.next.start_signal_with_start_workflow(request)

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
        """Schedule an activity."""
        return self.next.start_activity(input)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> ChildWorkflowHandle[Any, Any]:
        """Start a child, and wait until it has started."""
        return await self.next.start_child_workflow(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:
        """Run a local activity."""
        return self.next.start_local_activity(input)

    async def start_nexus_operation(self, input: StartNexusOperationInput) -> NexusOperationHandle[Any]:
        """Never called; see `nexus`."""
        return await self.next.start_nexus_operation(input)

    async def start_system_nexus_operation(
        self, input: StartNexusOperationInput
    ) -> NexusOperationHandle[Any]:
        """Never called; see `nexus`."""
        return await self.next.start_system_nexus_operation(input)
