"""Activities that no workflow asked for: each is an execution of its own, which runs this one activity.

It has a history, a run id, a record in lists and a status like any other execution, and so it survives what they survive.
What is special is that no code of a worker drives it: the activity is scheduled when the execution begins, and how it ends
is how the execution ends. Its ids and types have a prefix that no workflow may have, so that both kinds may use the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from .commands import (
    CancelActivity,
    CancelWorkflow,
    ClosingCommand,
    Command,
    CompleteWorkflow,
    FailWorkflow,
    ScheduleActivity,
)
from .events import (
    ActivityCompleted,
    ActivityFailed,
    CancelRequested,
    Happening,
    UpdateAccepted,
    WorkflowStarted,
)
from .instance import RejectedUpdate, RunningHandler
from .payload import Failure, Payload

PREFIX: Final = "overwinter-activity:"
NUMBER: Final = 1
"""The id of the activity's command in its history."""


def is_activity(workflow_id: str) -> bool:
    """Whether the execution with this workflow id runs a single activity."""
    return workflow_id.startswith(PREFIX)


def prefixed(name: str) -> str:
    """An activity's id as a workflow id, or its type as a workflow type."""
    return PREFIX + name


def unprefixed(name: str) -> str:
    """The id or type that `prefixed` was given."""
    return name.removeprefix(PREFIX)


def with_limits(command: ScheduleActivity) -> ScheduleActivity:
    """The same with the time limits that follow from the others: nothing in it may take longer than the whole.

    Raises:
        ValueError: it has neither of the two timeouts that an activity must have.
    """
    whole_s, attempt_s = command.schedule_to_close_s or None, command.start_to_close_s or None
    if whole_s is None and attempt_s is None:
        raise ValueError(
            "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. "
            f"ActivityId={command.activity_id} ActivityType={command.activity_type}"
        )
    attempt_s = _within(attempt_s or whole_s, whole_s)
    return replace(
        command,
        schedule_to_close_s=whole_s,
        schedule_to_start_s=_within(command.schedule_to_start_s or whole_s, whole_s),
        start_to_close_s=attempt_s,
        heartbeat_s=_within(command.heartbeat_s or None, attempt_s),
    )


def _within(limit_s: float | None, other_s: float | None) -> float | None:
    return limit_s if limit_s is None or other_s is None else min(limit_s, other_s)


class ActivityCode:
    """What drives such an execution: a `code.Code`. It begins with the command that is given, and ends as the activity does.

    Without a command it can only be rebuilt, from a history that has one.
    """

    def __init__(self, start: WorkflowStarted, command: ScheduleActivity | None = None) -> None:
        self.closed = False
        self.replaying = False
        self.history_length = 0
        self.history_bytes: Callable[[], int] = int
        self.rejected: list[RejectedUpdate] = []
        self.unfinished: list[RunningHandler] = []
        self.accepted_behind: dict[str, int] = {}
        self.dropped_signals: list[tuple[str, Exception]] = []
        self._command = command or ScheduleActivity(NUMBER, unprefixed(start.workflow_type), "", ())
        self._cancelling = False

    def begin_replay(self, patches: set[str]) -> None:
        """See `code.Code`."""
        self.replaying = True

    def activate(self, at_us: int, inputs: Sequence[Happening]) -> list[Command]:
        """See `code.Code`."""
        commands: list[Command] = []
        self.rejected = []
        for body in inputs:
            match body:
                case WorkflowStarted():
                    commands.append(self._command)
                case CancelRequested() if not self._cancelling:
                    self._cancelling = True
                    commands.append(CancelActivity(NUMBER))
                case ActivityCompleted():
                    return self._closing(CompleteWorkflow(body.result))
                case ActivityFailed():
                    return self._closing(self._ending(body))
                case UpdateAccepted():
                    self.rejected.append(RejectedUpdate(body.update_id, _NO_UPDATES))
                case _:
                    pass  # Nobody has a use for a signal; what else comes is for the engine.
        return commands

    def _closing(self, command: ClosingCommand) -> list[Command]:
        self.closed = True
        return [command]  # An activity that has ended is not asked to stop any more.

    def _ending(self, body: ActivityFailed) -> ClosingCommand:
        failure = body.failure
        if failure.kind == "canceled":
            return CancelWorkflow(failure.details)
        return FailWorkflow(failure, retry_state=body.retry_state)

    def query(
        self, name: str, args: Sequence[Payload], headers: Mapping[str, Payload] | None = None
    ) -> Payload:
        """See `code.Code`."""
        raise LookupError(f"an activity answers no queries, and so not {name!r}")

    def asked(self, number: int) -> Command | None:
        """See `code.Code`."""
        return None

    def evict(self) -> None:
        """See `code.Code`."""


_NO_UPDATES: Final = Failure(kind="application", message="an activity takes no updates")
