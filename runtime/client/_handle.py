"""One execution, to talk to and to wait for."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..common import QueryRejectCondition, arg_unset
from ..resets import ResetPoint, ResetRequest
from ..workflow._arguments import arguments
from ..workflow._definition import query_definition, signal_name, update_definition
from ._errors import RPCTimeoutOrCancelledError, within
from ._execution import WorkflowExecutionDescription, WorkflowHistoryEventFilterType
from ._histories import WorkflowHistory, WorkflowHistoryEventAsyncIterator, history_of
from ._interceptors import (
    NO_METADATA,
    CancelWorkflowInput,
    DescribeWorkflowInput,
    FetchWorkflowHistoryEventsInput,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartWorkflowUpdateInput,
    TerminateWorkflowInput,
)
from ._updates import WorkflowUpdateHandle, WorkflowUpdateStage

if TYPE_CHECKING:
    from ._client import Client

S = TypeVar("S")
R = TypeVar("R")
Metadata = Mapping[str, str | bytes]


class WorkflowHandle(Generic[S, R]):
    """One execution, to talk to and to wait for."""

    def __init__(
        self,
        client: Client,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
        start_workflow_response: Any = None,
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type
        self._start_workflow_response = start_workflow_response

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that this handle talks to; None for whichever is open."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run whose result `result` waits for."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The first run of the chain, when this handle began it."""
        return self._first_execution_run_id

    async def result(
        self,
        *,
        follow_runs: bool = True,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> R:
        """Wait until the workflow has ended; `follow_runs` goes on through the runs that follow it.

        Raises:
            WorkflowFailureError: it ended without a result; the cause says how.
            WorkflowContinuedAsNewError: it continued as new, and `follow_runs` is false.
            RPCTimeoutOrCancelledError: it took longer than `rpc_timeout`.
            RPCError: there is no such execution, or the engine stops.
        """
        del rpc_metadata
        timer = asyncio.timeout(None if rpc_timeout is None else rpc_timeout.total_seconds())
        try:
            async with timer:
                result = await self._client.result_of(
                    self._id, self._result_run_id, self._result_type, follow_runs
                )
        except TimeoutError:
            if timer.expired():
                raise RPCTimeoutOrCancelledError("Timeout waiting for the result") from None
            raise
        return cast("R", result)

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Send a signal; when this returns, it survives power loss.

        Raises:
            RPCError: no open execution, a full journal, or an engine that stops.
        """
        await self._client.calls.signal_workflow(
            SignalWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                signal=signal_name(signal),
                args=arguments(arg, args),
                headers={},
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        result_type: type | None = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Ask a query; a closed execution answers too.

        Raises:
            WorkflowQueryFailedError: there is no handler, or it raised.
            WorkflowQueryRejectedError: the status is one that `reject_condition` names.
            RPCError: there is no such execution.
        """
        name, hint = query_definition(query)
        return await self._client.calls.query_workflow(
            QueryWorkflowInput(
                id=self._id,
                run_id=self._run_id or self._result_run_id,
                query=name,
                args=arguments(arg, args),
                reject_condition=reject_condition or self._client.default_workflow_query_reject_condition,
                headers={},
                ret_type=result_type or hint,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def execute_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = arg_unset,
        *,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Send an update and wait for what its handler returns; raises what `WorkflowUpdateHandle.result` does."""
        handle = await self._send(
            update, arg, args, id, WorkflowUpdateStage.COMPLETED, result_type, rpc_metadata, rpc_timeout
        )
        return await handle.result(rpc_timeout=rpc_timeout)

    async def start_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = arg_unset,
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update; returns when it has come as far as `wait_for_stage`.

        Raises:
            WorkflowUpdateFailedError: it was rejected.
            ValueError: the stage is ADMITTED, which nothing can be waited for.
        """
        return await self._send(update, arg, args, id, wait_for_stage, result_type, rpc_metadata, rpc_timeout)

    async def _send(
        self,
        update: str | Callable[..., Any],
        arg: Any,
        args: Sequence[Any],
        id: str | None,
        stage: WorkflowUpdateStage,
        result_type: type | None,
        rpc_metadata: Metadata,
        rpc_timeout: timedelta | None,
    ) -> WorkflowUpdateHandle[Any]:
        if stage == WorkflowUpdateStage.ADMITTED:
            raise ValueError("ADMITTED wait stage not supported: wait for ACCEPTED or COMPLETED")
        name, hint = update_definition(update)
        return await self._client.calls.start_workflow_update(
            StartWorkflowUpdateInput(
                id=self._id,
                run_id=self._run_id,
                first_execution_run_id=self._first_execution_run_id,
                update_id=id,
                update=name,
                args=arguments(arg, args),
                wait_for_stage=stage,
                headers={},
                ret_type=result_type or hint,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    def get_update_handle(
        self, id: str, *, workflow_run_id: str | None = None, result_type: type | None = None
    ) -> WorkflowUpdateHandle[Any]:
        """A handle for an update that was sent before; whether there is one shows when it is used."""
        return WorkflowUpdateHandle(
            self._client,
            id,
            self._id,
            workflow_run_id=workflow_run_id or self._run_id,
            result_type=result_type,
        )

    def get_update_handle_for(
        self, update: Callable[..., Any], id: str, *, workflow_run_id: str | None = None
    ) -> WorkflowUpdateHandle[Any]:
        """As `get_update_handle`, with the result type of this update."""
        return self.get_update_handle(
            id, workflow_run_id=workflow_run_id, result_type=update_definition(update)[1]
        )

    async def cancel(
        self, *, reason: str = "", rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """Ask the workflow to end by itself.

        Raises:
            RPCError: no open execution, a full journal, or an engine that stops.
        """
        await self._client.calls.cancel_workflow(
            CancelWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                first_execution_run_id=self._first_execution_run_id,
                reason=reason,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def terminate(
        self,
        *args: Any,
        reason: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """End the workflow without asking its code; `args` are details for a reader.

        Raises:
            RPCError: no open execution, a full journal, or an engine that stops.
        """
        await self._client.calls.terminate_workflow(
            TerminateWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                first_execution_run_id=self._first_execution_run_id,
                args=args,
                reason=reason,
                rpc_metadata=rpc_metadata,
                rpc_timeout=rpc_timeout,
            )
        )

    async def reset(
        self,
        to: ResetPoint | int,
        *,
        reason: str = "",
        reapply_signals: bool = True,
        reapply_updates: bool = True,
        request_id: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowHandle[S, R]:
        """Begin a new run from a point of this one's history, an event's number or a `ResetPoint`; returns its handle.

        An open run of the workflow id ends as terminated. Signals and updates that came after the point are handed to the
        new run, unless they are excluded. Activities that were done before the point are not done again, one that was under
        way is attempted again under the key that it had. The same `request_id` again gives the same run.

        Raises:
            RPCError: there is no such run or point, a full journal, or an engine that stops.
        """
        del rpc_metadata
        request = ResetRequest(
            workflow_id=self._id,
            run_id=self._run_id,
            point=ResetPoint.at_event(to) if isinstance(to, int) else to,
            reason=reason,
            identity=self._client.identity,
            request_id=str(uuid.uuid4()) if request_id is None else request_id,
            signals=reapply_signals,
            updates=reapply_updates,
        )
        async with within(rpc_timeout):
            record = await self._client.frontend.reset_workflow(request)
        return WorkflowHandle(
            self._client,
            self._id,
            run_id=record.run_id,
            result_run_id=record.run_id,
            first_execution_run_id=record.first_run_id,
            result_type=self._result_type,
        )

    async def delete(
        self, *, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """The run, which has closed, is gone with its history; without a run id the latest one.

        Raises:
            RPCError: it is open, it is still to be replicated, or there is none.
        """
        del rpc_metadata
        async with within(rpc_timeout):
            await self._client.frontend.delete_workflow(self._id, self._run_id)

    async def pause(
        self, *, reason: str = "", rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """Hold the workflow: none of its code runs, and no attempt of its activities begins, until `unpause`.

        What happens to it is recorded; attempts that run end as they will; queries are answered, updates refused.

        Raises:
            RPCError: it is paused already, no open execution, a full journal, or an engine that stops.
        """
        del rpc_metadata
        async with within(rpc_timeout):
            await self._client.frontend.pause_workflow(
                self._id, self._run_id, self._client.identity, reason, str(uuid.uuid4())
            )

    async def unpause(
        self, *, reason: str = "", rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """Let the workflow go on with what has come meanwhile.

        Raises:
            RPCError: it is not paused by itself, no open execution, a full journal, or an engine that stops.
        """
        del rpc_metadata
        async with within(rpc_timeout):
            await self._client.frontend.unpause_workflow(
                self._id, self._run_id, self._client.identity, reason, str(uuid.uuid4())
            )

    async def describe(
        self, *, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> WorkflowExecutionDescription:
        """What the execution is and waits for.

        Raises:
            RPCError: there is no such execution.
        """
        return await self._client.calls.describe_workflow(
            DescribeWorkflowInput(
                id=self._id, run_id=self._run_id, rpc_metadata=rpc_metadata, rpc_timeout=rpc_timeout
            )
        )

    def fetch_history_events(
        self,
        *,
        page_size: int | None = None,
        next_page_token: bytes | None = None,
        wait_new_event: bool = False,
        event_filter_type: WorkflowHistoryEventFilterType = WorkflowHistoryEventFilterType.ALL_EVENT,
        skip_archival: bool = False,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowHistoryEventAsyncIterator:
        """The events of the run, in Temporal's form; with `wait_new_event` also those to come, until it closes."""
        return cast(
            "WorkflowHistoryEventAsyncIterator",
            self._client.calls.fetch_workflow_history_events(
                FetchWorkflowHistoryEventsInput(
                    id=self._id,
                    run_id=self._run_id,
                    page_size=page_size,
                    next_page_token=next_page_token,
                    wait_new_event=wait_new_event,
                    event_filter_type=event_filter_type,
                    skip_archival=skip_archival,
                    rpc_metadata=rpc_metadata,
                    rpc_timeout=rpc_timeout,
                )
            ),
        )

    async def fetch_history(
        self,
        *,
        event_filter_type: WorkflowHistoryEventFilterType = WorkflowHistoryEventFilterType.ALL_EVENT,
        skip_archival: bool = False,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowHistory:
        """The whole history.

        Raises:
            RPCError: there is no such execution.
        """
        events = self.fetch_history_events(
            event_filter_type=event_filter_type,
            skip_archival=skip_archival,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )
        return await history_of(self._id, events)
