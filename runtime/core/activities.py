"""Activities as workflow code sees them: a task that ends with the activity's outcome."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .commands import CancelActivity, ScheduleActivity
from .loop import WorkflowFuture, WorkflowTask
from .payload import Failure

if TYPE_CHECKING:
    from .instance import Instance, Values
    from .loop import WorkflowLoop

T = TypeVar("T")

_MESSAGES = {"canceled": "Activity cancelled", "timeout": "Activity task timed out"}
_LOCAL_MESSAGES = {"canceled": "Local Activity cancelled", "timeout": "Local Activity timed out"}


class ActivityCancellationType(enum.IntEnum):
    """What cancelling the handle of an activity does."""

    TRY_CANCEL = 0
    """Ask the activity to stop, and raise at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """Ask the activity to stop, and wait for how it ends; it may still return a result."""
    ABANDON = 2
    """Ask nothing, and raise at once."""


class PendingActivity:
    """An activity that workflow code may wait for."""

    __slots__ = (
        "_cancel_asked",
        "_error",
        "_loop",
        "_result",
        "_tell",
        "cancellation",
        "command",
        "done",
        "id",
        "result_type",
        "values",
    )

    def __init__(
        self,
        command: ScheduleActivity,
        loop: WorkflowLoop,
        values: Values,
        *,
        cancellation: ActivityCancellationType,
        result_type: Any,
    ) -> None:
        self.id = command.id
        self.command = command
        self.values = values
        self.cancellation = cancellation
        self.result_type = result_type
        self.done = False
        self._loop = loop
        self._result: object = None
        self._error: BaseException | None = None
        self._tell: Callable[[], None] | None = None
        self._cancel_asked = False

    def resolve(self, result: object) -> None:
        """The activity returned."""
        if not self.done:
            self._result = result
            self._end()

    def reject(self, error: BaseException) -> None:
        """The activity ended without a result."""
        if not self.done:
            self._error = error
            self._end()

    def _end(self) -> None:
        self.done = True
        if self._tell is not None:
            # One turn of the loop later, as `asyncio.shield` would: histories rely on the order of wake-ups.
            self._loop.call_plainly(self._tell)

    def tells(self, who: Callable[[], None]) -> None:
        """Call this one turn of the loop after the activity has ended."""
        self._tell = who

    def waiter(self) -> asyncio.Future[None]:
        """A future that is done soon after the activity has ended; cancelling it does nothing to the activity."""
        waiter = self._loop.create_future()
        self.tells(lambda: _wake(waiter))
        return waiter

    def outcome(self) -> Any:
        """What the activity returned; raises what it ended with instead."""
        if self._error is not None:
            raise self._error
        return self._result

    def failure(self, cause: Failure, retry_state: str) -> Failure:
        """The failure that the waiting code gets: that of the activity, around its cause."""
        if self.command.local and cause.kind == "application":
            return cause
        message = _MESSAGES.get(cause.kind, "Activity task failed")
        if self.command.local:
            message = _LOCAL_MESSAGES.get(cause.kind, message)
        return Failure(
            kind="activity",
            message=message,
            cause=cause,
            attributes={
                "activity_id": self.command.activity_id,
                "activity_type": self.command.activity_type,
                "scheduled_event_id": self.id,
                "started_event_id": self.id,
                "identity": "",
                "retry_state": retry_state,
            },
        )

    def ask_cancel(self, instance: Instance) -> None:
        """Carry out what this activity's cancellation type says, once."""
        if self._cancel_asked or self.done:
            return
        self._cancel_asked = True
        withdrawn = instance.withdraw(self.id)
        if not withdrawn and self.cancellation != ActivityCancellationType.ABANDON:
            instance.give(-self.id, CancelActivity(self.id))
        if withdrawn or self.cancellation != ActivityCancellationType.WAIT_CANCELLATION_COMPLETED:
            instance.answer_later(lambda: self._give_up(instance))

    def _give_up(self, instance: Instance) -> None:
        instance.forget_activity(self)
        cause = Failure(kind="canceled", message="Activity cancelled" if self.command.local else "Cancelled")
        self.reject(self.values.error_of(self.failure(cause, "CANCEL_REQUESTED")))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class ActivityHandle(WorkflowTask[T]):
    """An `asyncio.Task` that ends with the activity's outcome; cancelling it cancels the activity."""

    _pending: PendingActivity
    _instance: Instance

    def __init__(self, pending: PendingActivity, instance: Instance) -> None:
        self._pending = pending
        self._instance = instance
        self._begun = False
        super().__init__(self._outcome(), loop=instance.loop)

    async def _outcome(self) -> T:
        self._begun = True
        pending = self._pending
        while not pending.done:
            try:
                await pending.waiter()
            except asyncio.CancelledError:
                if pending.done and self._instance.raises_late_cancellation:
                    raise  # To wait again would return its result, and lose the cancellation.
                pending.ask_cancel(self._instance)
                self.uncancel()
        result: T = pending.outcome()
        return result

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask the activity to stop, as its cancellation type says."""
        self._instance.require_writable("cancel activity handle")
        if not self._begun and not self.done():
            # The coroutine never runs, so it cannot notice.
            self._pending.ask_cancel(self._instance)
        return super().cancel(msg)


class ActivityOutcome(WorkflowFuture[T]):
    """An activity's outcome for code that waits for it at once, and needs no task.

    It is there in the very turn of the loop in which the task of an `ActivityHandle` would have it, and reacts to a
    cancellation in the same turns, at less than half of the cost.
    """

    def __init__(self, pending: PendingActivity, instance: Instance) -> None:
        super().__init__(loop=instance.loop)
        self._pending = pending
        self._instance = instance
        self._begun = False
        self._interrupted = False
        """Whether a cancellation is to be acted upon in a turn to come."""
        self._settles = False
        """Whether it will be done in a turn to come."""
        self._message: Any = None
        pending.tells(self._ended)
        instance.loop.call_plainly(self._begin)

    def _begin(self) -> None:
        self._begun = True
        if self._interrupted:
            super().cancel(self._message)

    def _ended(self) -> None:
        if not self._interrupted and not self._settles:
            self._settles = True
            self._instance.loop.call_plainly(self._settle)

    def _settle(self) -> None:
        if self._interrupted and self._instance.raises_late_cancellation:
            super().cancel(self._message)
        elif not self.done():
            try:
                self.set_result(self._pending.outcome())
            except BaseException as error:
                self.set_exception(error)

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask the activity to stop, as its cancellation type says."""
        self._instance.require_writable("cancel an activity")
        if self.done():
            return False
        if not self._begun:
            self._pending.ask_cancel(self._instance)
        elif not self._interrupted and not self._settles:
            self._instance.loop.call_plainly(self._interrupt)
        self._interrupted, self._message = True, msg
        return True

    def _interrupt(self) -> None:
        if (
            self._pending.done
        ):  # It ended since: to wait again would return its result, and lose the cancellation.
            self._settle()
            return
        self._interrupted = False
        self._pending.ask_cancel(self._instance)
