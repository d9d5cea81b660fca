"""The inner end of a client's interceptors: values become payloads, and calls go to the frontend of an engine."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..api.common.v1 import TimeSkippingConfig
from ..common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from ..core import events as ev
from ..core.skipping import ClockStart
from ..frontend import (
    QueryFailed,
    QueryRejected,
    UpdateProgress,
    UpdateRejected,
)
from ..requests import StartRequest
from ..retry_policy import rule_of
from ..search_attributes import attributes_of
from ..service import RPCError, RPCStatusCode
from ..time_skipping_messages import skipping_of
from ..values import ConvertedValues
from ._activity_calls import ActivityCalls
from ._encoding import headers_of, stored
from ._errors import (
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    within,
)
from ._execution import (
    WorkflowExecution,
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
    WorkflowExecutionCountAggregationGroup,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    description_of,
    execution_of,
)
from ._handle import WorkflowHandle
from ._histories import WorkflowHistory, WorkflowHistoryEventAsyncIterator
from ._interceptors import (
    CancelWorkflowInput,
    CountWorkflowsInput,
    DescribeWorkflowInput,
    FetchWorkflowHistoryEventsInput,
    ListWorkflowsInput,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    TerminateWorkflowInput,
    UpdateWithStartStartWorkflowInput,
    UpdateWithStartUpdateWorkflowInput,
)
from ._schedules import ScheduleCalls
from ._updates import WorkflowUpdateHandle, WorkflowUpdateStage, patiently
from ._worker_versioning import NoWorkerVersioning

if TYPE_CHECKING:
    from ..ports import ExecutionRecord

_QUERY_S = 10.0
"""How long a query waits for a worker when its caller does not say."""
_CONFLICT = {
    WorkflowIDConflictPolicy.USE_EXISTING: "use_existing",
    WorkflowIDConflictPolicy.TERMINATE_EXISTING: "terminate_existing",
}


class Calls(NoWorkerVersioning, ActivityCalls, ScheduleCalls):
    """What a client's methods do."""

    # -- starting ----------------------------------------------------------------------------------------

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        request = await self.request_of(input)
        if input.start_signal is not None:
            values = self._values.for_receiver(input.id, workflow_type=input.workflow)
            args = await values.stored(input.start_signal_args)
            signal = ev.Signaled(input.start_signal, args, request.headers, "client")
            request = replace(request, signal=signal)
        async with within(input.rpc_timeout):
            begun = await self._frontend.start_workflow(request, *_policies(input))
        handle = self._handle(begun.record, input.start_signal is None, input.ret_type)
        # Every start is eager: its worker is where the engine is.
        eager = input.request_eager_start and input.start_signal is None and begun.started
        setattr(handle, "__temporal_eagerly_started", eager)
        return handle

    def _handle(self, record: ExecutionRecord, known_run: bool, hint: Any) -> WorkflowHandle[Any, Any]:
        return WorkflowHandle(
            self._client,
            record.workflow_id,
            result_run_id=record.run_id,
            first_execution_run_id=record.run_id if known_run else None,
            result_type=hint,
        )

    async def request_of(self, input: StartWorkflowInput | UpdateWithStartStartWorkflowInput) -> StartRequest:
        """What the engine is asked to start.

        Raises:
            ValueError: a delay beside a cron schedule, or a negative duration.
            RPCError: policies that contradict each other.
        """
        reuse, conflict = input.id_reuse_policy, input.id_conflict_policy
        if reuse == WorkflowIDReusePolicy.TERMINATE_IF_RUNNING and conflict:
            raise RPCError(
                "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a WorkflowIdConflictPolicy",
                RPCStatusCode.INVALID_ARGUMENT,
            )
        delay_s = _positive(input.start_delay, "start_delay") or 0.0
        if input.cron_schedule and delay_s:
            raise ValueError("start_delay and cron_schedule cannot be used together")
        priority = input.priority
        values = self._values.for_receiver(input.id, workflow_type=input.workflow)
        return StartRequest(
            workflow_id=input.id,
            workflow_type=input.workflow,
            task_queue=input.task_queue,
            args=await stored(values, f"workflow {input.workflow}", input.args),
            execution_timeout_s=_positive(input.execution_timeout, "execution_timeout"),
            run_timeout_s=_positive(input.run_timeout, "run_timeout"),
            task_timeout_s=_positive(input.task_timeout, "task_timeout"),
            retry=rule_of(input.retry_policy),
            memo={key: (await values.stored((value,)))[0] for key, value in (input.memo or {}).items()},
            headers=await headers_of(self._client, values, input.headers),
            caused_by="client",
            search_attributes=attributes_of(input.search_attributes),
            cron=input.cron_schedule,
            first_delay_s=delay_s,
            priority_key=priority.priority_key or 0,
            fairness_key=priority.fairness_key or "",
            fairness_weight=priority.fairness_weight or 0.0,
            summary=input.static_summary or "",
            details=input.static_details or "",
            clock=_clock_start(input.time_skipping_config),
        ).under(input.concurrency)

    # -- messages ------------------------------------------------------------------------------------------

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        values = self._values.for_receiver(input.id, run_id=input.run_id)
        args = await stored(values, f"signal {input.signal}", input.args)
        headers = await headers_of(self._client, values, input.headers)
        signal = ev.Signaled(input.signal, args, headers, "client")
        async with within(input.rpc_timeout):
            await self._frontend.signal_workflow(input.id, input.run_id, signal)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        values = self._values.for_receiver(input.id, run_id=input.run_id).for_passing()
        args = await stored(values, f"query {input.query}", input.args)
        headers = await headers_of(self._client, values, input.headers)
        condition = None if input.reject_condition is None else int(input.reject_condition)
        patience_s = _QUERY_S if input.rpc_timeout is None else input.rpc_timeout.total_seconds()
        try:
            async with within(input.rpc_timeout):
                payload = await self._frontend.query_workflow(
                    input.id, input.run_id, input.query, args, headers, condition, patience_s
                )
        except QueryRejected as error:
            raise WorkflowQueryRejectedError(WorkflowExecutionStatus[error.status.upper()]) from None
        except QueryFailed as error:
            raise WorkflowQueryFailedError(str(error)) from None
        hint = input.ret_type
        return (await values.read([payload], None if hint is None else [hint]))[0]

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
        values = self._values.for_receiver(input.id, run_id=input.run_id)
        update = await self._update(values, input)
        async with patiently(input.rpc_timeout, values):
            progress = await self._frontend.update_workflow(
                input.id, input.run_id, update, input.first_execution_run_id
            )
            return await self._update_handle(progress, input)

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        start, send = input.start_workflow_input, input.update_workflow_input
        values = self._values.for_receiver(start.id)
        try:
            request, update = await self.request_of(start), await self._update(values, send)
            async with patiently(input.rpc_timeout, values):
                begun = await self._frontend.start_workflow_with_update(request, update, *_policies(start))
        except BaseException as error:
            input._on_start_error(error)  # noqa: SLF001 - its users give it
            raise
        input._on_start(self._handle(begun.record, True, start.ret_type))  # noqa: SLF001 - as above
        async with patiently(input.rpc_timeout, values):
            if begun.rejection is not None:
                raise UpdateRejected(begun.rejection)
            assert begun.progress is not None
            return await self._update_handle(begun.progress, send)

    async def _update_handle(
        self, progress: UpdateProgress, input: StartWorkflowUpdateInput | UpdateWithStartUpdateWorkflowInput
    ) -> WorkflowUpdateHandle[Any]:
        """A handle for an update that has come as far as its sender wants to wait."""
        outcome = progress.outcome
        if outcome is None and input.wait_for_stage == WorkflowUpdateStage.COMPLETED:
            outcome = await self._frontend.update_outcome(
                progress.workflow_id, progress.run_id, progress.update_id
            )
        return WorkflowUpdateHandle(
            self._client,
            progress.update_id,
            progress.workflow_id,
            workflow_run_id=progress.run_id,
            result_type=input.ret_type,
            known_outcome=outcome,
        )

    # -- ending --------------------------------------------------------------------------------------------

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.cancel_workflow(
                input.id, input.run_id, input.reason, input.first_execution_run_id
            )

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:
        details = await self._values.for_receiver(input.id, run_id=input.run_id).stored(input.args)
        async with within(input.rpc_timeout):
            await self._frontend.terminate_workflow(
                input.id, input.run_id, input.reason or "", details, input.first_execution_run_id
            )

    # -- reading -------------------------------------------------------------------------------------------

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        async with within(input.rpc_timeout):
            details = await self._frontend.describe_workflow(input.id, input.run_id)
        return description_of(details, self._values)

    def fetch_workflow_history_events(
        self, input: FetchWorkflowHistoryEventsInput
    ) -> WorkflowHistoryEventAsyncIterator:
        return WorkflowHistoryEventAsyncIterator(self._frontend, input)

    def list_workflows(self, input: ListWorkflowsInput) -> WorkflowExecutionAsyncIterator:
        return WorkflowExecutionAsyncIterator(
            lambda before, size: self._page(input, before, size),
            page_size=input.page_size,
            limit=input.limit,
            history=self._history,
            before=None if input.next_page_token is None else int(input.next_page_token),
        )

    async def _page(
        self, input: ListWorkflowsInput, before: int | None, size: int
    ) -> tuple[list[WorkflowExecution], int | None]:
        async with within(input.rpc_timeout):
            page = await self._frontend.list_workflows(input.query or "", before, size)
        return [execution_of(found, self._values) for found in page.executions], page.before_key

    async def _history(self, execution: WorkflowExecution) -> WorkflowHistory:
        handle: WorkflowHandle[Any, Any] = WorkflowHandle(self._client, execution.id, run_id=execution.run_id)
        return await handle.fetch_history()

    async def count_workflows(self, input: CountWorkflowsInput) -> WorkflowExecutionCount:
        async with within(input.rpc_timeout):
            counted = await self._frontend.count_workflows(input.query or "")
        groups = [
            WorkflowExecutionCountAggregationGroup(group.count, list(group.values))
            for group in counted
            if group.values
        ]
        return WorkflowExecutionCount(sum(group.count for group in counted), groups)

    async def _update(
        self,
        values: ConvertedValues,
        input: StartWorkflowUpdateInput | UpdateWithStartUpdateWorkflowInput,
    ) -> ev.UpdateAccepted:
        args = await stored(values, f"update {input.update}", input.args)
        headers = await headers_of(self._client, values, input.headers)
        return ev.UpdateAccepted(input.update_id or str(uuid.uuid4()), input.update, args, headers, "client")


def _policies(input: StartWorkflowInput | UpdateWithStartStartWorkflowInput) -> tuple[int, str]:
    return int(input.id_reuse_policy), _CONFLICT.get(input.id_conflict_policy, "fail")


def _positive(duration: timedelta | None, name: str) -> float | None:
    if duration is None:
        return None
    if duration.total_seconds() < 0:
        raise ValueError(f"{name} is {duration}, expected a positive duration")
    return duration.total_seconds() or None


def _clock_start(config: TimeSkippingConfig | None) -> ClockStart | None:
    return None if config is None else ClockStart(skipping_of(config))
