"""The outer end of a client's interceptors: its calls reach the engine."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..attempts import Attempt
from ..common import QueryRejectCondition, WorkflowIDConflictPolicy, WorkflowIDReusePolicy, arg_unset
from ..core import events as ev
from ..core.events import Event
from ..core.payload import Failure, Payload
from ..exceptions import FailureError
from ..follow_ups import cron_wait_s
from ..requests import EngineClosed, NoSuchExecution, NoWorker, StartRequest, WithUpdate
from ..retry_policy import rule_of
from ..search_attributes import attributes_of
from ..service import RPCError, RPCStatusCode
from ._activities import AsyncActivityIDReference
from ._errors import (
    AsyncActivityCancelledError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    translated,
)
from ._execution import (
    WorkflowExecution,
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
    WorkflowExecutionCountAggregationGroup,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHistory,
    WorkflowHistoryEventFilterType,
    description_of,
    execution_of,
)
from ._handle import WorkflowHandle
from ._interceptors import (
    CancelWorkflowInput,
    CompleteAsyncActivityInput,
    CountWorkflowsInput,
    DescribeWorkflowInput,
    FailAsyncActivityInput,
    FetchWorkflowHistoryEventsInput,
    HeartbeatAsyncActivityInput,
    ListWorkflowsInput,
    QueryWorkflowInput,
    ReportCancellationAsyncActivityInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    TerminateWorkflowInput,
    UpdateWithStartStartWorkflowInput,
)
from ._schedules import ScheduleCalls
from ._updates import WorkflowUpdateHandle, WorkflowUpdateStage, patiently

if TYPE_CHECKING:
    from ..ports import ExecutionRecord
    from ._client import Client

_ORDERED_MAX = 10_000
"""Executions that a filter with an order of its own lists, in one page."""
_QUERY_S = 10.0
"""How long a query waits for a worker when its caller does not say."""
_CONFLICT = {
    WorkflowIDConflictPolicy.USE_EXISTING: "use_existing",
    WorkflowIDConflictPolicy.TERMINATE_EXISTING: "terminate_existing",
}


class Calls(ScheduleCalls):
    """What a client's methods do."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._engine = client.engine
        self._values = client.values

    # -- starting ----------------------------------------------------------------------------------------

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        request = self.request_of(input)
        if input.start_signal is not None:
            args = self._values.encode(input.start_signal_args)
            signal = ev.Signaled(input.start_signal, args, input.headers, "client")
            request = replace(request, signal=signal)
        with translated():
            record, _ = await self._engine.start_checked(
                request,
                reuse=int(input.id_reuse_policy),
                on_conflict=_CONFLICT.get(input.id_conflict_policy, "fail"),
            )
        return self._handle(record, input.start_signal is None, input.ret_type)

    def _handle(self, record: ExecutionRecord, known_run: bool, hint: Any) -> WorkflowHandle[Any, Any]:
        return WorkflowHandle(
            self._client,
            record.workflow_id,
            result_run_id=record.run_id,
            first_execution_run_id=record.run_id if known_run else None,
            result_type=hint,
        )

    def request_of(self, input: StartWorkflowInput | UpdateWithStartStartWorkflowInput) -> StartRequest:
        """What the engine is asked to start.

        Raises:
            ValueError: policies that contradict each other, or a cron schedule that is none.
        """
        reuse, conflict = input.id_reuse_policy, input.id_conflict_policy
        if reuse == WorkflowIDReusePolicy.TERMINATE_IF_RUNNING and conflict:
            raise RPCError(
                "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING cannot be used together with a WorkflowIdConflictPolicy",
                RPCStatusCode.INVALID_ARGUMENT,
            )
        delay_s = _positive(input.start_delay, "start_delay") or 0.0
        if input.cron_schedule:
            if delay_s:
                raise ValueError("start_delay and cron_schedule cannot be used together")
            delay_s = cron_wait_s(input.cron_schedule, self._engine.now_us())
        priority = input.priority
        return StartRequest(
            workflow_id=input.id,
            workflow_type=input.workflow,
            task_queue=input.task_queue,
            args=self._encoded(f"workflow {input.workflow}", input.args),
            execution_timeout_s=_positive(input.execution_timeout, "execution_timeout"),
            run_timeout_s=_positive(input.run_timeout, "run_timeout"),
            task_timeout_s=_positive(input.task_timeout, "task_timeout"),
            retry=rule_of(input.retry_policy),
            memo={key: self._values.encode((value,))[0] for key, value in (input.memo or {}).items()},
            headers=input.headers,
            caused_by="client",
            search_attributes=attributes_of(input.search_attributes),
            cron=input.cron_schedule,
            first_delay_s=delay_s,
            priority_key=priority.priority_key or 0,
            fairness_key=priority.fairness_key or "",
            fairness_weight=priority.fairness_weight or 0.0,
            summary=input.static_summary or "",
            details=input.static_details or "",
        )

    def _encoded(self, what: str, args: Sequence[Any]) -> tuple[Payload, ...]:
        try:
            return self._values.encode(args)
        except ValueError as error:
            error.add_note(f"while the arguments of {what} were encoded")
            raise

    # -- messages ------------------------------------------------------------------------------------------

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        args = self._encoded(f"signal {input.signal}", input.args)
        signal = ev.Signaled(input.signal, args, input.headers, "client")
        with translated():
            await self._engine.signal(input.id, input.run_id, signal)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        with translated():
            if input.reject_condition not in (None, QueryRejectCondition.NONE):
                await self._check_status(input)
            args = self._encoded(f"query {input.query}", input.args)
            try:
                payload = await self._answer(input, args)
            except (NoSuchExecution, EngineClosed, RPCError):
                raise
            except Exception as error:
                cause = error.__cause__ or error
                message = cause.message if isinstance(cause, FailureError) else str(cause)
                raise WorkflowQueryFailedError(message) from None
        hint = input.ret_type
        return self._values.decode([payload], None if hint is None else [hint])[0]

    async def _answer(self, input: QueryWorkflowInput, args: tuple[Payload, ...]) -> Payload:
        """Ask until a worker answers, as long as the caller's patience lasts."""
        loop = asyncio.get_running_loop()
        patience_s = _QUERY_S if input.rpc_timeout is None else input.rpc_timeout.total_seconds()
        deadline = loop.time() + patience_s
        while True:
            try:
                return await self._engine.query(input.id, input.run_id, input.query, args, input.headers)
            except NoWorker as error:
                if loop.time() >= deadline:
                    raise RPCError(f"Timeout expired: {error}", RPCStatusCode.DEADLINE_EXCEEDED) from error
                await asyncio.sleep(0.01)

    async def _check_status(self, input: QueryWorkflowInput) -> None:
        record = await self._engine.find(input.id, input.run_id)
        unwanted = record.status != "running" and (
            input.reject_condition == QueryRejectCondition.NOT_OPEN or record.status != "completed"
        )
        if unwanted:
            raise WorkflowQueryRejectedError(WorkflowExecutionStatus[record.status.upper()])

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
        update = ev.UpdateAccepted(
            input.update_id or str(uuid.uuid4()),
            input.update,
            self._encoded(f"update {input.update}", input.args),
            input.headers,
            "client",
        )
        with translated():
            ticket = await self._engine.update(input.id, input.run_id, update)
            stage = (
                ticket.completed if input.wait_for_stage == WorkflowUpdateStage.COMPLETED else ticket.accepted
            )
            await patiently(stage, input.rpc_timeout, self._client)
        return WorkflowUpdateHandle(
            self._client,
            ticket.update_id,
            ticket.workflow_id,
            workflow_run_id=ticket.run_id,
            result_type=input.ret_type,
            ticket=ticket,
        )

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        start, send = input.start_workflow_input, input.update_workflow_input
        try:
            with translated():
                update = ev.UpdateAccepted(
                    send.update_id or str(uuid.uuid4()),
                    send.update,
                    self._encoded(f"update {send.update}", send.args),
                    send.headers,
                    "client",
                )
                attached = WithUpdate(update)
                record, started = await self._start_with(start, attached)
        except BaseException as error:
            input._on_start_error(error)  # noqa: SLF001 - its users give it
            raise
        input._on_start(self._handle(record, True, start.ret_type))  # noqa: SLF001 - as above
        with translated():
            ticket = attached.ticket if started else None
            if ticket is None:
                ticket = await self._engine.update(record.workflow_id, record.run_id, update)
            done = send.wait_for_stage == WorkflowUpdateStage.COMPLETED
            await patiently(ticket.completed if done else ticket.accepted, send.rpc_timeout, self._client)
        return WorkflowUpdateHandle(
            self._client,
            ticket.update_id,
            ticket.workflow_id,
            workflow_run_id=ticket.run_id,
            result_type=send.ret_type,
            ticket=ticket,
        )

    async def _start_with(
        self, start: UpdateWithStartStartWorkflowInput, attached: WithUpdate
    ) -> tuple[ExecutionRecord, bool]:
        had = await self._run_that_had(start.id, attached.update.update_id)
        if had is not None:
            return had, False
        return await self._engine.start_checked(
            replace(self.request_of(start), update=attached),
            reuse=int(start.id_reuse_policy),
            on_conflict=_CONFLICT.get(start.id_conflict_policy, "fail"),
        )

    async def _run_that_had(self, workflow_id: str, update_id: str) -> ExecutionRecord | None:
        """The latest run, when it has had this update already: it is open, or the update has completed."""
        runs = await self._engine.journal.executions(workflow_id=workflow_id, limit=1)
        if not runs:
            return None
        known = (await self._engine.journal.history(runs[0])).state.updates.get(update_id)
        if known is not None and (runs[0].status == "running" or known.completed is not None):
            return runs[0]
        return None

    # -- ending --------------------------------------------------------------------------------------------

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        with translated():
            try:
                await self._engine.cancel(
                    input.id, input.run_id, input.reason, only_chain=input.first_execution_run_id
                )
            except NoSuchExecution:
                await self._engine.find(input.id, input.run_id)  # One that has ended needs no cancelling.

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:
        with translated():
            await self._engine.terminate(
                input.id,
                input.run_id,
                input.reason or "",
                self._values.encode(input.args),
                only_chain=input.first_execution_run_id,
            )

    # -- reading -------------------------------------------------------------------------------------------

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        engine = self._engine
        with translated():
            record = await engine.find(input.id, input.run_id)
            state = (await engine.journal.history(record)).state
            attempts = await engine.journal.attempts(record.key)
        failures = {attempt.activity: attempt.failures for attempt in attempts}
        return description_of(record, state, self._values, failures)

    async def fetch_workflow_history_events(
        self, input: FetchWorkflowHistoryEventsInput
    ) -> AsyncIterator[Event]:
        engine = self._engine
        with translated():
            record = await engine.find(input.id, input.run_id)
            seen = 0
            while True:
                history = await engine.journal.history(record)
                closed = history.state.closing is not None
                if input.event_filter_type == WorkflowHistoryEventFilterType.CLOSE_EVENT:
                    if closed or not input.wait_new_event:
                        yield history.events[-1]
                        return
                else:
                    for event in history.events[seen:]:
                        yield event
                    seen = len(history.events)
                if closed or not input.wait_new_event:
                    return
                await engine.next_commit()

    def list_workflows(self, input: ListWorkflowsInput) -> WorkflowExecutionAsyncIterator:
        return WorkflowExecutionAsyncIterator(
            lambda before, size: self._page(input.query, before, size),
            page_size=input.page_size,
            limit=input.limit,
            history=self._history,
            before=None if input.next_page_token is None else int(input.next_page_token),
        )

    async def _page(
        self, query: str | None, before: int | None, size: int
    ) -> tuple[list[WorkflowExecution], int | None]:
        journal = self._engine.journal
        if query:
            wanted = await self._client.filter_of(query)
            if wanted.sql().order_by:  # In an order of its own there is no key to go on from.
                records = await journal.select(wanted, limit=_ORDERED_MAX)
                size = _ORDERED_MAX + 1
            else:
                records = await journal.select(wanted, before_key=before, limit=size)
        else:
            records = await journal.executions(before_key=before, limit=size)
        found = [
            execution_of(record, (await journal.history(record)).state, self._values) for record in records
        ]
        return found, records[-1].key if len(records) == size else None

    async def _history(self, execution: WorkflowExecution) -> WorkflowHistory:
        handle: WorkflowHandle[Any, Any] = WorkflowHandle(self._client, execution.id, run_id=execution.run_id)
        return await handle.fetch_history()

    async def count_workflows(self, input: CountWorkflowsInput) -> WorkflowExecutionCount:
        wanted = await self._client.filter_of(input.query or "")
        rows = await self._engine.journal.count(wanted)
        groups = [
            WorkflowExecutionCountAggregationGroup(count, list(values)) for values, count in rows if values
        ]
        return WorkflowExecutionCount(sum(count for _, count in rows), groups)

    # -- activities that complete later ------------------------------------------------------------------------

    async def heartbeat_async_activity(self, input: HeartbeatAsyncActivityInput) -> None:
        attempt = await self._attempt(input.id_or_token)
        if attempt.cancel_reason is not None:
            raise AsyncActivityCancelledError
        attempt.beat(self._values.encode(input.details))

    async def complete_async_activity(self, input: CompleteAsyncActivityInput) -> None:
        attempt = await self._attempt(input.id_or_token)
        result = None if input.result is arg_unset else input.result
        await self._report(attempt, self._values.encode([result])[0])

    async def fail_async_activity(self, input: FailAsyncActivityInput) -> None:
        attempt = await self._attempt(input.id_or_token)
        if input.last_heartbeat_details:
            attempt.beat(self._values.encode(input.last_heartbeat_details))
        await self._report(attempt, self._values.failure_of(input.error))

    async def report_cancellation_async_activity(self, input: ReportCancellationAsyncActivityInput) -> None:
        attempt = await self._attempt(input.id_or_token)
        details = self._values.encode(input.details)
        await self._report(attempt, Failure(kind="canceled", message="Cancelled", details=details))

    async def _report(self, attempt: Attempt, outcome: Payload | Failure) -> None:
        committed = self._engine.next_commit()
        attempt.report(outcome)
        await committed

    async def _attempt(self, place: AsyncActivityIDReference | bytes) -> Attempt:
        with translated():
            attempt = await self._engine.find_attempt(place) if isinstance(place, bytes) else None
            if isinstance(place, AsyncActivityIDReference):
                attempt = await self._engine.find_attempt_by_id(
                    place.workflow_id or "", place.run_id, place.activity_id
                )
        if attempt is None:
            raise RPCError("activity not found, or it has ended", RPCStatusCode.NOT_FOUND)
        return attempt


def _positive(duration: timedelta | None, name: str) -> float | None:
    if duration is None:
        return None
    if duration.total_seconds() < 0:
        raise ValueError(f"{name} is {duration}, expected a positive duration")
    return duration.total_seconds() or None
