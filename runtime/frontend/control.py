"""The calls that steer executions, as an engine answers them: one, or many as a job."""

from __future__ import annotations

from dataclasses import replace

from ..batch_jobs import BatchJob, BatchOperation
from ..batch_runner import BatchPreview
from ..core import events as ev
from ..pausing import SCOPES
from ..ports import ExecutionRecord, Pause
from ..requests import Once, receipt
from ..resets import ResetRequest
from ..service import RPCError, RPCStatusCode
from .calls import EngineCalls
from .errors import translated


class ControlCalls(EngineCalls):
    """The part of a frontend that is about how executions go on."""

    async def reset_workflow(self, request: ResetRequest, once: Once | None = None) -> ExecutionRecord:
        """See `Frontend`."""
        if once is not None and not request.request_id:
            request = replace(request, request_id=once.id.hex())  # By which a reset tells a repeat itself.
        with translated():
            return await self._to_the_end(self._engine.resets.reset(request))

    async def delete_workflow(self, workflow_id: str, run_id: str | None, once: Once | None = None) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                record = await self._engine.find(workflow_id, run_id)
                await self._engine.deletions.delete(record, received=receipt(once))

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
        once: Once | None = None,
    ) -> BatchJob:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is not None:
                return self._engine.batches.get(job_id)
            return await self._to_the_end(
                self._engine.batches.start(
                    job_id,
                    operation,
                    query,
                    reason=reason,
                    identity=identity,
                    per_second=per_second,
                    received=receipt(once),
                )
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
        self,
        workflow_id: str,
        run_id: str | None,
        identity: str,
        reason: str,
        request_id: str,
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                body = ev.WorkflowPaused(identity, reason, request_id)
                await self._engine.pauses.pause_execution(workflow_id, run_id, body, receipt(once))

    async def unpause_workflow(
        self,
        workflow_id: str,
        run_id: str | None,
        identity: str,
        reason: str,
        request_id: str,
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        with translated():
            if await self._effect(once) is None:
                body = ev.WorkflowUnpaused(identity, reason, request_id)
                await self._engine.pauses.unpause_execution(workflow_id, run_id, body, receipt(once))

    async def pause_workflows(
        self, scope: str, name: str, identity: str, reason: str, once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        _check_scope(scope, name)
        with translated():
            if await self._effect(once) is None:
                await self._engine.pauses.pause(scope, name, identity, reason, receipt(once))

    async def unpause_workflows(self, scope: str, name: str, once: Once | None = None) -> None:
        """See `Frontend`."""
        _check_scope(scope, name)
        with translated():
            if await self._effect(once) is None:
                await self._engine.pauses.unpause(scope, name, receipt(once))

    async def list_pauses(self) -> tuple[Pause, ...]:
        """See `Frontend`."""
        return tuple(self._engine.pauses.all())


def _check_scope(scope: str, name: str) -> None:
    if scope not in SCOPES or (scope == "everything") != (name == ""):
        raise RPCError(
            f"nothing is called {scope!r} {name!r}: name a workflow_type or a task_queue, or say everything",
            RPCStatusCode.INVALID_ARGUMENT,
        )
