"""The calls that steer executions, as an engine answers them: one, or many as a job."""

from __future__ import annotations

from ..batch_jobs import BatchJob, BatchOperation
from ..batch_runner import BatchPreview
from ..core import events as ev
from ..engine import Engine
from ..pausing import SCOPES
from ..ports import ExecutionRecord, Pause
from ..resets import ResetRequest
from ..service import RPCError, RPCStatusCode
from .errors import translated


class ControlCalls:
    """The part of a frontend that is about how executions go on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def reset_workflow(self, request: ResetRequest) -> ExecutionRecord:
        """See `Frontend`."""
        with translated():
            return await self._engine.resets.reset(request)

    async def delete_workflow(self, workflow_id: str, run_id: str | None) -> None:
        """See `Frontend`."""
        with translated():
            await self._engine.deletions.delete(await self._engine.find(workflow_id, run_id))

    async def preview_batch(self, operation: BatchOperation, query: str) -> BatchPreview:
        """See `Frontend`."""
        with translated():
            return await self._engine.batches.preview(operation, query)

    async def start_batch(
        self,
        job_id: str,
        operation: BatchOperation,
        query: str,
        reason: str,
        identity: str,
        per_second: float | None,
    ) -> BatchJob:
        """See `Frontend`."""
        with translated():
            return await self._engine.batches.start(
                job_id, operation, query, reason=reason, identity=identity, per_second=per_second
            )

    async def describe_batch(self, job_id: str) -> BatchJob:
        """See `Frontend`."""
        with translated():
            return self._engine.batches.get(job_id)

    async def batch_closed(self, job_id: str) -> BatchJob:
        """See `Frontend`."""
        with translated():
            return await self._engine.batches.closed(job_id)

    async def stop_batch(self, job_id: str, identity: str, reason: str) -> BatchJob:
        """See `Frontend`."""
        with translated():
            return await self._engine.batches.stop(job_id, identity, reason)

    async def list_batches(self) -> tuple[BatchJob, ...]:
        """See `Frontend`."""
        return tuple(self._engine.batches.all())

    async def pause_workflow(
        self, workflow_id: str, run_id: str | None, identity: str, reason: str, request_id: str
    ) -> None:
        """See `Frontend`."""
        with translated():
            body = ev.WorkflowPaused(identity, reason, request_id)
            await self._engine.pauses.pause_execution(workflow_id, run_id, body)

    async def unpause_workflow(
        self, workflow_id: str, run_id: str | None, identity: str, reason: str, request_id: str
    ) -> None:
        """See `Frontend`."""
        with translated():
            body = ev.WorkflowUnpaused(identity, reason, request_id)
            await self._engine.pauses.unpause_execution(workflow_id, run_id, body)

    async def pause_workflows(self, scope: str, name: str, identity: str, reason: str) -> None:
        """See `Frontend`."""
        _check_scope(scope, name)
        with translated():
            await self._engine.pauses.pause(scope, name, identity, reason)

    async def unpause_workflows(self, scope: str, name: str) -> None:
        """See `Frontend`."""
        _check_scope(scope, name)
        with translated():
            await self._engine.pauses.unpause(scope, name)

    async def list_pauses(self) -> tuple[Pause, ...]:
        """See `Frontend`."""
        return tuple(self._engine.pauses.all())


def _check_scope(scope: str, name: str) -> None:
    if scope not in SCOPES or (scope == "everything") != (name == ""):
        raise RPCError(
            f"nothing is called {scope!r} {name!r}: name a workflow_type or a task_queue, or say everything",
            RPCStatusCode.INVALID_ARGUMENT,
        )
