"""Those calls of gRPC that have a meaning without a server; a `Client` of the same connection answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..api.common.v1 import Payloads, WorkflowExecution
from ..api.enums.v1 import (
    IndexedValueType,
    ResetReapplyExcludeType,
    ResetReapplyType,
    UpdateWorkflowExecutionLifecycleStage,
)
from ..api.history.v1 import History
from ..api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    AddSearchAttributesResponse,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
    RemoveSearchAttributesRequest,
    RemoveSearchAttributesResponse,
)
from ..api.update.v1 import Outcome, UpdateRef
from ..api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    DeleteWorkflowExecutionRequest,
    DeleteWorkflowExecutionResponse,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetSystemInfoRequest,
    GetSystemInfoResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowExecutionUpdateResponse,
    ResetStickyTaskQueueRequest,
    ResetStickyTaskQueueResponse,
    ResetWorkflowExecutionRequest,
    ResetWorkflowExecutionResponse,
)
from ..core.commands import CompleteUpdate
from ..failure_messages import message_of
from ..frontend.errors import translated
from ..temporal.payloads import of_value
from ..temporal.writing import HistoryWriter
from ..updates import UpdateRejected, UpdateTicket
from ._errors import RPCError, RPCStatusCode

if TYPE_CHECKING:
    from ..client import Client, WorkflowHandle
    from ._client import ServiceClient

Metadata = Mapping[str, str | bytes]
_NO_METADATA: Metadata = MappingProxyType({})
_PAGE = 1000
_Stage = UpdateWorkflowExecutionLifecycleStage
_COMPLETED = _Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
_ACCEPTED = _Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
_ADMITTED = _Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED


class WorkflowCalls:
    """Calls about executions."""

    def __init__(self, connection: ServiceClient) -> None:
        self._connection = connection

    async def get_system_info(
        self,
        req: GetSystemInfoRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> GetSystemInfoResponse:
        """The version of this package."""
        from . import __version__

        del req, retry, metadata, timeout
        return GetSystemInfoResponse(server_version=__version__)

    async def describe_workflow_execution(
        self,
        req: DescribeWorkflowExecutionRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> DescribeWorkflowExecutionResponse:
        """See `WorkflowHandle.describe`."""
        del retry, metadata
        found = await self._handle(req.namespace, req.execution).describe(rpc_timeout=timeout)
        return found.raw_description

    async def get_workflow_execution_history(
        self,
        req: GetWorkflowExecutionHistoryRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> GetWorkflowExecutionHistoryResponse:
        """A page of what `WorkflowHandle.fetch_history_events` gives."""
        from ..client import WorkflowHistoryEventFilterType

        del retry, metadata
        events = self._handle(req.namespace, req.execution).fetch_history_events(
            page_size=req.maximum_page_size or None,
            next_page_token=req.next_page_token or None,
            wait_new_event=req.wait_new_event,
            event_filter_type=WorkflowHistoryEventFilterType(int(req.history_event_filter_type) or 1),
            rpc_timeout=timeout,
        )
        await events.fetch_next_page()
        return GetWorkflowExecutionHistoryResponse(
            history=History(events=events.current_page or ()), next_page_token=events.next_page_token or b""
        )

    async def poll_workflow_execution_update(
        self,
        req: PollWorkflowExecutionUpdateRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> PollWorkflowExecutionUpdateResponse:
        """How far an update has come, now or when it has come as far as is waited for.

        Raises:
            RPCError: there is no such update.
            RuntimeError: the engine is in another process.
        """
        del retry, metadata
        of = req.update_ref.workflow_execution
        with translated():
            ticket = await self._client(req.namespace).engine.updates.find(
                of.workflow_id, of.run_id or None, req.update_ref.update_id
            )
            await _waited_for(ticket, req.wait_policy.lifecycle_stage, timeout)
        response = _progress(ticket)
        response.update_ref.CopyFrom(
            UpdateRef(
                workflow_execution=WorkflowExecution(workflow_id=ticket.workflow_id, run_id=ticket.run_id),
                update_id=ticket.update_id,
            )
        )
        return response

    async def reset_workflow_execution(
        self,
        req: ResetWorkflowExecutionRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> ResetWorkflowExecutionResponse:
        """See `WorkflowHandle.reset`; the event is one of a workflow task, by Temporal's numbers.

        Raises:
            RPCError: it is none, or as `WorkflowHandle.reset`.
        """
        del retry, metadata
        handle = self._handle(req.namespace, req.workflow_execution)
        point = await _task_begun(handle, req.workflow_task_finish_event_id)
        signals, updates = _handed_on(req)
        begun = await handle.reset(
            point,
            reason=req.reason,
            reapply_signals=signals,
            reapply_updates=updates,
            request_id=req.request_id or None,
            rpc_timeout=timeout,
        )
        return ResetWorkflowExecutionResponse(run_id=begun.run_id or "")

    async def list_workflow_executions(
        self,
        req: ListWorkflowExecutionsRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> ListWorkflowExecutionsResponse:
        """A page of what `Client.list_workflows` gives."""
        del retry, metadata
        found = self._client(req.namespace).list_workflows(
            req.query or None,
            page_size=req.page_size or _PAGE,
            next_page_token=req.next_page_token or None,
            rpc_timeout=timeout,
        )
        await found.fetch_next_page()
        return ListWorkflowExecutionsResponse(
            executions=[each.raw_info for each in found.current_page or ()],
            next_page_token=found.next_page_token or b"",
        )

    async def count_workflow_executions(
        self,
        req: CountWorkflowExecutionsRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> CountWorkflowExecutionsResponse:
        """See `Client.count_workflows`."""
        del retry, metadata
        found = await self._client(req.namespace).count_workflows(req.query or None, rpc_timeout=timeout)
        groups = [
            CountWorkflowExecutionsResponse.AggregationGroup(
                count=group.count,
                group_values=[of_value(value) for value in group.group_values],
            )
            for group in found.groups
        ]
        return CountWorkflowExecutionsResponse(count=found.count, groups=groups)

    async def delete_workflow_execution(
        self,
        req: DeleteWorkflowExecutionRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> DeleteWorkflowExecutionResponse:
        """See `WorkflowHandle.delete`."""
        del retry, metadata
        await self._handle(req.namespace, req.workflow_execution).delete(rpc_timeout=timeout)
        return DeleteWorkflowExecutionResponse()

    async def reset_sticky_task_queue(
        self,
        req: ResetStickyTaskQueueRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> ResetStickyTaskQueueResponse:
        """Nothing: no execution is tied to a worker."""
        del req, retry, metadata, timeout
        return ResetStickyTaskQueueResponse()

    def _client(self, namespace: str) -> Client:
        from ..client import Client

        return Client(self._connection, namespace=namespace or "default")

    def _handle(self, namespace: str, of: WorkflowExecution) -> WorkflowHandle[Any, Any]:
        return self._client(namespace).get_workflow_handle(of.workflow_id, run_id=of.run_id or None)


def _handed_on(req: ResetWorkflowExecutionRequest) -> tuple[bool, bool]:
    """Whether the new run is handed the signals, and the updates, that came later."""
    kind, excluded = req.reset_reapply_type, list(req.reset_reapply_exclude_types)
    if kind == ResetReapplyType.RESET_REAPPLY_TYPE_NONE:
        return False, False
    return (
        ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL not in excluded,
        kind != ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL
        and ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE not in excluded,
    )


async def _task_begun(handle: WorkflowHandle[Any, Any], event_id: int) -> int:
    """The record of ours that the workflow task with this event of Temporal's begins with."""
    writer = HistoryWriter()
    last = 0
    for event in writer.write((await handle.fetch_history()).records or ()):
        last = event.event_id
    for numbers, begun in writer.tasks:
        if event_id in numbers:
            return begun
    tasks = ", ".join(f"{numbers[0]} to {numbers[-1]}" for numbers, _ in writer.tasks) or "none"
    raise RPCError(
        f"workflow {handle.id!r} has no workflow task with event {event_id} of {last}, its tasks are: {tasks}",
        RPCStatusCode.INVALID_ARGUMENT,
    )


async def _waited_for(ticket: UpdateTicket, stage: int, timeout: timedelta | None) -> None:
    if stage not in (_ACCEPTED, _COMPLETED):
        return
    future: asyncio.Future[Any] = ticket.completed if stage == _COMPLETED else ticket.accepted
    await asyncio.wait([future], timeout=None if timeout is None else timeout.total_seconds())


def _progress(ticket: UpdateTicket) -> PollWorkflowExecutionUpdateResponse:
    done = ticket.completed
    if not done.done():
        stage = _ACCEPTED if ticket.accepted.done() else _ADMITTED
        return PollWorkflowExecutionUpdateResponse(stage=stage)
    error = done.exception()
    if error is not None and not isinstance(error, UpdateRejected):
        with translated():
            raise error
    outcome = _rejected(error) if error is not None else _ended(done.result())
    return PollWorkflowExecutionUpdateResponse(stage=_COMPLETED, outcome=outcome)


def _rejected(error: UpdateRejected) -> Outcome:
    return Outcome(failure=message_of(error.failure))


def _ended(outcome: CompleteUpdate) -> Outcome:
    if outcome.failure is not None:
        return Outcome(failure=message_of(outcome.failure))
    return Outcome(success=Payloads(payloads=[] if outcome.result is None else [outcome.result]))


# -- search attributes, which need not be made known ----------------------------------------------------------

_added: WeakKeyDictionary[Any, dict[str, IndexedValueType]] = WeakKeyDictionary()
"""By engine. They are only remembered for who asks; any attribute may be used."""
_SYSTEM = {
    "WorkflowId": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "RunId": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "WorkflowType": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "TaskQueue": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "ExecutionStatus": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "StartTime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "CloseTime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "ExecutionTime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
}


def add_search_attributes(engine: Any, attributes: Mapping[str, IndexedValueType]) -> None:
    """From here on they are among those that are listed."""
    _added.setdefault(engine, {}).update(attributes)


class OperatorCalls:
    """Calls about search attributes."""

    def __init__(self, connection: ServiceClient) -> None:
        self._connection = connection

    async def add_search_attributes(
        self,
        req: AddSearchAttributesRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> AddSearchAttributesResponse:
        """Remember them."""
        del retry, metadata, timeout
        add_search_attributes(self._connection.engine, req.search_attributes)
        return AddSearchAttributesResponse()

    async def remove_search_attributes(
        self,
        req: RemoveSearchAttributesRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> RemoveSearchAttributesResponse:
        """Forget them; executions keep their values."""
        del retry, metadata, timeout
        for name in req.search_attributes:
            _added.get(self._connection.engine, {}).pop(name, None)
        return RemoveSearchAttributesResponse()

    async def list_search_attributes(
        self,
        req: ListSearchAttributesRequest,
        retry: bool = False,
        metadata: Metadata = _NO_METADATA,
        timeout: timedelta | None = None,
    ) -> ListSearchAttributesResponse:
        """Those that were added to this engine, and those that every execution has."""
        del req, retry, metadata, timeout
        return ListSearchAttributesResponse(
            custom_attributes=_added.get(self._connection.engine, {}), system_attributes=_SYSTEM
        )
