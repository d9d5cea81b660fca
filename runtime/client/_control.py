"""What a client asks of many executions at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..workflow._continuing import workflow_name_of
from ._execution import WorkflowPause

if TYPE_CHECKING:
    from ..frontend import Frontend


class Control:
    """The part of a client that steers executions without naming each."""

    frontend: Frontend
    identity: str

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
