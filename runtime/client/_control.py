"""What a client asks of many executions at once."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from ..workflow._continuing import workflow_name_of
from ._batches import (
    BatchOperation,
    BatchOperationDescription,
    BatchOperationHandle,
    BatchOperationPreview,
)
from ._connection import Connected
from ._execution import WorkflowPause


class Control(Connected):
    """The part of a client that steers executions without naming each."""

    async def pause_workflows(
        self,
        *,
        workflow_type: str | Callable[..., Awaitable[Any]] | None = None,
        task_queue: str | None = None,
        everything: bool = False,
        reason: str = "",
    ) -> None:
        """Hold every workflow of a type, of a task queue, or all of them, until `unpause_workflows`; also new ones.

        Their code does not run and their activities begin no attempt. What happens to them is recorded; attempts that run
        end as they will. When this returns, it holds over restarts.

        Raises:
            ValueError: not exactly one of the three was given.
            RPCError: a full journal, or an engine that stops.
        """
        scope, name = _scope(workflow_type, task_queue, everything)
        await self.frontend.pause_workflows(scope, name, self.identity, reason)

    async def unpause_workflows(
        self,
        *,
        workflow_type: str | Callable[..., Awaitable[Any]] | None = None,
        task_queue: str | None = None,
        everything: bool = False,
    ) -> None:
        """Let go on what `pause_workflows` with the same argument held, and nothing else holds.

        Raises:
            ValueError: not exactly one of the three was given.
            RPCError: there is no such pause, a full journal, or an engine that stops.
        """
        await self.frontend.unpause_workflows(*_scope(workflow_type, task_queue, everything))

    async def list_pauses(self) -> list[WorkflowPause]:
        """The pauses of types, task queues and everything, the oldest first."""
        return [WorkflowPause.of(pause) for pause in await self.frontend.list_pauses()]

    # -- batch operations ------------------------------------------------------------------------------

    async def preview_batch_operation(
        self, operation: BatchOperation, *, query: str
    ) -> BatchOperationPreview:
        """How many executions the operation would be carried out on now, and the newest of them. Nothing is done.

        Raises:
            RPCError: the query is no filter, or an empty one.
        """
        found = await self.frontend.preview_batch(await operation.asked(self.values), query)
        return BatchOperationPreview(found.count, [(each.workflow_id, each.run_id) for each in found.sample])

    async def start_batch_operation(
        self,
        operation: BatchOperation,
        *,
        query: str,
        reason: str = "",
        job_id: str | None = None,
        max_operations_per_second: float | None = None,
    ) -> BatchOperationHandle:
        """Carry out an operation on every execution that fits the query now, as a job that survives restarts.

        Executions that an operation is not for are left out: a signal, a cancellation, a termination and a pause are for
        open ones, a deletion for closed ones. Each is done once, also over crashes.

        Raises:
            ValueError: a rate that is not above zero.
            RPCError: the query is no filter, or an empty one; there is a job of this id; too many are under way.
        """
        if max_operations_per_second is not None and not max_operations_per_second > 0:
            raise ValueError(
                f"max_operations_per_second is {max_operations_per_second}, expected more than 0"
            )
        job = await self.frontend.start_batch(
            job_id or str(uuid.uuid4()),
            await operation.asked(self.values),
            query,
            reason,
            self.identity,
            max_operations_per_second,
        )
        return self.get_batch_operation_handle(job.id)

    def get_batch_operation_handle(self, id: str) -> BatchOperationHandle:
        """A handle for a job that was started before; whether there is one shows when it is used."""
        return BatchOperationHandle(self.frontend, self.identity, id)

    async def list_batch_operations(self) -> list[BatchOperationDescription]:
        """The jobs that are under way, and the last ones that have ended, the newest first."""
        return [BatchOperationDescription.of(job) for job in await self.frontend.list_batches()]


def _scope(
    workflow_type: str | Callable[..., Awaitable[Any]] | None, task_queue: str | None, everything: bool
) -> tuple[str, str]:
    if [workflow_type is not None, task_queue is not None, everything].count(True) != 1:
        raise ValueError("expected exactly one of workflow_type=, task_queue= and everything=True")
    if workflow_type is not None:
        return "workflow_type", workflow_type if isinstance(workflow_type, str) else workflow_name_of(
            workflow_type
        )
    return ("everything", "") if task_queue is None else ("task_queue", task_queue)
