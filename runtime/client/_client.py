"""Clients: starting workflows, talking to them, waiting for them."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..common import (
    ConcurrencyKey,
    HeaderCodecBehavior,
    Priority,
    QueryRejectCondition,
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
    arg_unset,
)
from ..converter import DataConverter
from ..core import commands as cmd
from ..core.events import WorkflowTerminated
from ..engine import Engine
from ..relations import closing_failure
from ..service import ServiceClient
from ..workflow._arguments import arguments
from ..workflow._continuing import workflow_name_of, workflow_result_type
from ..workflow._definition import update_definition
from ._activity_starts import ActivityStarts
from ._calls import Calls
from ._connection import Metadata
from ._control import Control
from ._errors import WorkflowContinuedAsNewError, WorkflowFailureError
from ._execution import WorkflowExecutionAsyncIterator, WorkflowExecutionCount
from ._handle import WorkflowHandle
from ._interceptors import (
    NO_METADATA,
    CountWorkflowsInput,
    CreateScheduleInput,
    Interceptor,
    ListSchedulesInput,
    ListWorkflowsInput,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    UpdateWithStartStartWorkflowInput,
    UpdateWithStartUpdateWorkflowInput,
)
from ._plugin import Plugin
from ._schedules import ScheduleAsyncIterator, ScheduleHandle
from ._updates import WorkflowUpdateHandle, WorkflowUpdateStage
from ._worker_versioning import WorkerVersioning

if TYPE_CHECKING:
    from ..remote import RemoteEngine
    from ..schedules import Schedule, ScheduleBackfill

S = TypeVar("S")
R = TypeVar("R")


class Client(ActivityStarts, Control, WorkerVersioning):
    """Starts workflows in an engine, and talks to them."""

    def __init__(
        self,
        service_client: ServiceClient | Engine | RemoteEngine,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        plugins: Sequence[Plugin] = (),
        interceptors: Sequence[Interceptor] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> None:
        super().__init__(
            service_client,
            namespace=namespace,
            data_converter=data_converter,
            plugins=plugins,
            interceptors=interceptors,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            header_codec_behavior=header_codec_behavior,
        )
        calls: OutboundInterceptor = Calls(self)
        for interceptor in reversed(list(self._config.get("interceptors", ()))):
            calls = interceptor.intercept_client(calls)
        self.calls = calls
        """Where the methods of this client and its handles go."""

    async def start_workflow(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str,
        result_type: type | None = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        retry_policy: RetryPolicy | None = None,
        cron_schedule: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: Any = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        start_delay: timedelta | None = None,
        start_signal: str | None = None,
        start_signal_args: Sequence[Any] = (),
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
        request_eager_start: bool = False,
        priority: Priority = Priority.default,
        versioning_override: Any = None,
        stack_level: int = 2,
        concurrency: ConcurrencyKey | None = None,
    ) -> WorkflowHandle[Any, Any]:
        """Begin a workflow; when this returns, it survives power loss.

        With `start_signal` an open run of the id gets the signal, and a new one is begun only when there is none.

        Raises:
            WorkflowAlreadyStartedError: the id is in use, or was and may not be used again.
            ConcurrencyKeyTakenError: as many of its concurrency key run as may, and its policy is to refuse.
            PayloadLimitError: an argument is larger than may be stored.
            RPCError: the journal is full, or the engine stops; nothing was accepted.
        """
        del stack_level
        name, hint = _target(workflow, result_type)
        return await self.calls.start_workflow(
            StartWorkflowInput(
                workflow=name,
                args=arguments(arg, args),
                id=id,
                task_queue=task_queue,
                execution_timeout=execution_timeout,
                run_timeout=run_timeout,
                task_timeout=task_timeout,
                id_reuse_policy=id_reuse_policy,
                id_conflict_policy=id_conflict_policy,
                retry_policy=retry_policy,
                cron_schedule=cron_schedule,
                memo=memo,
                search_attributes=search_attributes,
                start_delay=start_delay,
                headers={},
                start_signal=start_signal,
                start_signal_args=start_signal_args,
                static_summary=static_summary,
                static_details=static_details,
                ret_type=hint,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                request_eager_start=request_eager_start,
                priority=priority,
                versioning_override=versioning_override,
                concurrency=concurrency,
            )
        )

    async def execute_workflow(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        **options: Any,
    ) -> Any:
        """Begin a workflow and wait for its result; see `start_workflow` and `WorkflowHandle.result`."""
        return await (await self.start_workflow(workflow, arg, args=args, **options)).result()

    execute_workflow.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p for p in inspect.signature(start_workflow).parameters.values() if p.name != "stack_level"],
        return_annotation=Any,
    )

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: type | None = None,
    ) -> WorkflowHandle[Any, Any]:
        """A handle for an execution, of the latest run without a run id; whether there is one shows when it is used."""
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self,
        workflow: Callable[..., Any],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[Any, Any]:
        """As `get_workflow_handle`, with the result type of this workflow."""
        return self.get_workflow_handle(
            workflow_id,
            run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=workflow_result_type(workflow),
        )

    async def execute_update_with_start_workflow(
        self,
        update: str | Callable[..., Any],
        arg: Any = arg_unset,
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Send an update, starting the workflow if need be, and wait for what its handler returns."""
        handle = await self.start_update_with_start_workflow(
            update,
            arg,
            start_workflow_operation=start_workflow_operation,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
            args=args,
            id=id,
            result_type=result_type,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )
        return await handle.result(rpc_timeout=rpc_timeout)

    async def start_update_with_start_workflow(
        self,
        update: str | Callable[..., Any],
        arg: Any = arg_unset,
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update, starting the workflow in the same step if none of its id is open.

        Raises:
            WorkflowUpdateFailedError: it was rejected; the workflow has started all the same.
            WorkflowAlreadyStartedError: the id is in use, and the conflict policy says to fail.
        """
        if wait_for_stage == WorkflowUpdateStage.ADMITTED:
            raise ValueError("ADMITTED wait stage not supported: wait for ACCEPTED or COMPLETED")
        operation = start_workflow_operation
        operation.use()
        name, hint = update_definition(update)
        return await self.calls.start_update_with_start_workflow(
            StartWorkflowUpdateWithStartInput(
                start_workflow_input=operation.input,
                update_workflow_input=UpdateWithStartUpdateWorkflowInput(
                    update_id=id,
                    update=name,
                    args=arguments(arg, args),
                    wait_for_stage=wait_for_stage,
                    headers={},
                    ret_type=result_type or hint,
                ),
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                _on_start=operation.started,
                _on_start_error=operation.failed,
            )
        )

    def list_workflows(
        self,
        query: str | None = None,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowExecutionAsyncIterator:
        """Executions that fit a filter, the newest first unless it says otherwise.

        Raises (when it is iterated):
            RPCError: the filter is none; the message says where and what to write.
        """
        return self.calls.list_workflows(
            ListWorkflowsInput(
                query=query,
                page_size=page_size,
                next_page_token=next_page_token,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                limit=limit,
            )
        )

    async def count_workflows(
        self,
        query: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowExecutionCount:
        """How many executions fit a filter, by groups where it has ``GROUP BY``."""
        return await self.calls.count_workflows(
            CountWorkflowsInput(query=query, rpc_metadata=rpc_metadata, rpc_timeout=rpc_timeout)
        )

    async def create_schedule(
        self,
        id: str,
        schedule: Schedule,
        *,
        trigger_immediately: bool = False,
        backfill: Sequence[ScheduleBackfill] = (),
        memo: Mapping[str, Any] | None = None,
        search_attributes: Any = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ScheduleHandle:
        """Start workflows at the times of a schedule from now on; when this returns, it survives power loss.

        Raises:
            ScheduleAlreadyRunningError: there is a schedule of this id.
            ValueError: `limited_actions` and `remaining_actions` contradict each other.
            RPCError: the spec does not say when, and how to write it; or the journal is full.
        """
        return await self.calls.create_schedule(
            CreateScheduleInput(
                id=id,
                schedule=schedule,
                trigger_immediately=trigger_immediately,
                backfill=backfill,
                memo=memo,
                search_attributes=search_attributes,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    def get_schedule_handle(self, id: str) -> ScheduleHandle:
        """A handle for a schedule; whether there is one shows when it is used."""
        return ScheduleHandle(self, id)

    async def list_schedules(
        self,
        query: str | None = None,
        *,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> ScheduleAsyncIterator:
        """Schedules by their ids; `query` is a filter of ScheduleId, TemporalSchedulePaused and search attributes.

        Raises (when it is iterated):
            RPCError: the filter is none; the message says where and what to write.
        """
        return self.calls.list_schedules(
            ListSchedulesInput(
                page_size=page_size,
                next_page_token=next_page_token,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
                query=query,
            )
        )

    # -- used by handles and calls ---------------------------------------------------------------------------

    async def result_of(self, workflow_id: str, run_id: str | None, hint: Any, follow_runs: bool) -> Any:
        """What an execution comes to; see `WorkflowHandle.result`."""
        values = self.values.for_workflow(workflow_id)
        run_id = run_id or (await self.frontend.find_workflow(workflow_id, None)).run_id
        while True:
            closing = await self.frontend.workflow_closed(workflow_id, run_id)
            # A run that was reset was terminated, also for who waits for it.
            new_run_id = (
                "" if isinstance(closing, WorkflowTerminated) else str(getattr(closing, "new_run_id", ""))
            )
            if new_run_id and follow_runs:
                run_id = new_run_id
                continue
            if new_run_id:
                raise WorkflowContinuedAsNewError(new_run_id)
            if isinstance(closing, cmd.CompleteWorkflow):
                return (await values.read([closing.result], None if hint is None else [hint]))[0]
            failure, _ = closing_failure(closing)
            raise WorkflowFailureError(cause=await values.read_error(failure))


class WithStartWorkflowOperation(Generic[S, R]):
    """How to start the workflow of an update-with-start; for one use.

    Raises:
        ValueError: no conflict policy was given, both `arg` and `args`.
    """

    def __init__(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str,
        id_conflict_policy: WorkflowIDConflictPolicy,
        result_type: type | None = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        retry_policy: RetryPolicy | None = None,
        cron_schedule: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: Any = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        start_delay: timedelta | None = None,
        priority: Priority = Priority.default,
        versioning_override: Any = None,
        stack_level: int = 2,
        concurrency: ConcurrencyKey | None = None,
    ) -> None:
        del stack_level
        name, hint = _target(workflow, result_type)
        if id_conflict_policy == WorkflowIDConflictPolicy.UNSPECIFIED:
            raise ValueError("WorkflowIDConflictPolicy is required")
        self.input = UpdateWithStartStartWorkflowInput(
            workflow=name,
            args=arguments(arg, args),
            id=id,
            task_queue=task_queue,
            execution_timeout=execution_timeout,
            run_timeout=run_timeout,
            task_timeout=task_timeout,
            id_reuse_policy=id_reuse_policy,
            id_conflict_policy=id_conflict_policy,
            retry_policy=retry_policy,
            cron_schedule=cron_schedule,
            memo=memo,
            search_attributes=search_attributes,
            start_delay=start_delay,
            headers={},
            static_summary=static_summary,
            static_details=static_details,
            ret_type=hint,
            rpc_metadata=NO_METADATA,
            rpc_timeout=None,
            priority=priority,
            versioning_override=versioning_override,
            concurrency=concurrency,
        )
        self._handle: asyncio.Future[WorkflowHandle[S, R]] = asyncio.get_running_loop().create_future()
        self._handle.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._used = False

    async def workflow_handle(self) -> WorkflowHandle[S, R]:
        """Wait for the handle of the workflow; raises why there is none."""
        return await asyncio.shield(self._handle)

    def use(self) -> None:
        """The operation is used up.

        Raises:
            RuntimeError: it was before.
        """
        if self._used:
            raise RuntimeError("WithStartWorkflowOperation cannot be reused")
        self._used = True

    def started(self, handle: WorkflowHandle[S, R]) -> None:
        """There is a workflow."""
        if not self._handle.done():
            self._handle.set_result(handle)

    def failed(self, error: BaseException) -> None:
        """There is none."""
        if not self._handle.done():
            self._handle.set_exception(error)


def _target(workflow: Any, result_type: type | None) -> tuple[str, Any]:
    if isinstance(workflow, str):
        return workflow, result_type
    return workflow_name_of(workflow), result_type or workflow_result_type(workflow)


def new_workflow_id(name: str) -> str:
    """An id for a workflow that was given none."""
    return f"{name}-{uuid.uuid4()}"
