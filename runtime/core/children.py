"""Child workflows and other executions, as workflow code sees them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .commands import CancelChild, StartChild
from .events import ChildClosed, ChildStartFailed
from .loop import WorkflowTask
from .payload import Failure

if TYPE_CHECKING:
    from .instance import Instance, Values

T = TypeVar("T")

_MESSAGES = {
    "canceled": "Child Workflow execution cancelled",
    "timeout": "Child Workflow execution timed out",
    "terminated": "Child Workflow execution terminated",
}


class ChildWorkflowCancellationType(enum.IntEnum):
    """What cancelling the handle of a child does."""

    ABANDON = 0
    """Ask nothing, and raise at once."""
    TRY_CANCEL = 1
    """Ask the child to end, and raise at once."""
    WAIT_CANCELLATION_COMPLETED = 2
    """Ask the child to end, and wait for how it does."""
    WAIT_CANCELLATION_REQUESTED = 3
    """Ask the child to end, and wait until it has been told, or has ended."""


class PendingChild:
    """A child that workflow code may wait for: first until it has started, then until it closes."""

    def __init__(
        self,
        command: StartChild,
        instance: Instance,
        values: Values,
        *,
        cancellation: ChildWorkflowCancellationType,
        result_type: Any,
    ) -> None:
        self.id = command.id
        self.command = command
        self.values = values
        self.cancellation = cancellation
        self.result_type = result_type
        self.run_id: str | None = None
        self.started: asyncio.Future[None] = instance.loop.create_future()
        self.closed: asyncio.Future[Any] = instance.loop.create_future()
        self._instance = instance
        self._cancel_asked = False

    def start(self, run_id: str) -> None:
        """It exists."""
        self.run_id = run_id
        if not self.started.done():
            self.started.set_result(None)

    def resolve(self, result: object) -> None:
        """It completed."""
        if not self.closed.done():
            self.closed.set_result(result)

    def reject(self, error: BaseException) -> None:
        """It could not start, or ended without a result."""
        if self.closed.done():
            return
        if self.started.done():
            self.closed.set_exception(error)
        else:
            self.started.set_exception(error)
            self.closed.set_result(None)  # Nobody waits for it.

    def reject_start(self, body: ChildStartFailed, error: BaseException) -> None:
        """It could not start."""
        self.run_id = body.run_id or None
        self.reject(error)

    def failure(
        self, cause: Failure, *, message: str = "", run_id: str = "", retry_state: str = ""
    ) -> Failure:
        """The failure that the waiting code gets: that of the child, around its cause."""
        return Failure(
            kind="child_workflow",
            message=message or _MESSAGES.get(cause.kind, "Child Workflow execution failed"),
            cause=cause,
            attributes={
                "namespace": "default",
                "workflow_id": self.command.workflow_id,
                "run_id": run_id or self.run_id or "",
                "workflow_type": self.command.workflow_type,
                "initiated_event_id": self.id,
                "started_event_id": self.id if self.run_id else 0,
                "retry_state": retry_state or "NON_RETRYABLE_FAILURE",
            },
        )

    def closing_failure(self, body: ChildClosed) -> Failure:
        """The failure of a child that has closed without a result."""
        assert body.failure is not None
        return self.failure(body.failure, run_id=body.run_id, retry_state=body.retry_state)

    def ask_cancel(self, error: asyncio.CancelledError | None) -> None:
        """Carry out what this child's cancellation type says, once."""
        if self._cancel_asked or self.closed.done():
            return
        self._cancel_asked = True
        withdrawn = self._instance.withdraw(self.id)
        if not withdrawn and self.cancellation != ChildWorkflowCancellationType.ABANDON:
            reason = (
                error.args[0] if error is not None and error.args and isinstance(error.args[0], str) else ""
            )
            self._instance.give(-self.id, CancelChild(self.id, reason))
        if withdrawn:
            before = "Child Workflow Execution cancelled before scheduled: "
            self._instance.answer_later(lambda: self._give_up(before))
        elif self.cancellation in (
            ChildWorkflowCancellationType.ABANDON,
            ChildWorkflowCancellationType.TRY_CANCEL,
        ):
            self._instance.answer_later(lambda: self._give_up(_MESSAGES["canceled"]))

    def _give_up(self, message: str) -> None:
        self._instance.forget_child(self)
        cause = Failure(kind="canceled", message="Cancelled")
        self.reject(self.values.error_of(self.failure(cause, message=message)))


class ChildHandle(WorkflowTask[T]):
    """An `asyncio.Task` that ends with the child's outcome; cancelling it cancels the child."""

    _pending: PendingChild

    def __init__(self, pending: PendingChild, instance: Instance) -> None:
        self._pending = pending
        self._instance = instance
        super().__init__(
            until_done(pending.closed, pending.ask_cancel),
            loop=instance.loop,
            name=f"child: {pending.command.workflow_type}",
        )

    async def until_started(self) -> None:
        """Wait until the child exists; a cancellation meanwhile cancels the child, and that of the workflow goes on."""
        await until_done(
            self._pending.started,
            self._pending.ask_cancel,
            go_on=lambda: not self._instance.cancel_requested,
        )


def already_started(workflow_id: str, workflow_type: str, run_id: str) -> Failure:
    """The failure of a start whose workflow id is in use, or may not be used again."""
    return Failure(
        kind="already_started",
        message="Workflow execution already started",
        attributes={"workflow_id": workflow_id, "workflow_type": workflow_type, "run_id": run_id},
    )


async def until_done(
    future: asyncio.Future[T],
    ask_cancel: Callable[[asyncio.CancelledError], None],
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> T:
    """Wait for the outcome of something that is not this process's to cancel: a cancellation asks, then waits on."""
    while True:
        try:
            # Shielded: cancelling this task must not cancel the future that the outcome resolves.
            return await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                raise
            ask_cancel(error)
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            if not go_on():
                raise
