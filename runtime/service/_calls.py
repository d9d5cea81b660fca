"""Those calls of gRPC that have a meaning without a server; a `Client` of the same connection answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..api.common.v1 import Payloads, WorkflowExecution
from ..api.enums.v1 import IndexedValueType, UpdateWorkflowExecutionLifecycleStage
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
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetSystemInfoRequest,
    GetSystemInfoResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowExecutionUpdateResponse,
    ResetStickyTaskQueueRequest,
    ResetStickyTaskQueueResponse,
)
from ..core.commands import CompleteUpdate
from ..failure_messages import message_of
from ..frontend.errors import translated
from ..updates import UpdateRejected, UpdateTicket

if TYPE_CHECKING:
    from ..client import Client, WorkflowHandle
    from ._client import ServiceClient

Metadata = Mapping[str, str | bytes]
_NO_METADATA: Metadata = MappingProxyType({})
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
