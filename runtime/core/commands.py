"""What a workflow asks for: the closed union of commands.

A command that was committed is part of the history: it is recorded under the name that
`events.event_name` gives it. Fields are only ever added at the end, with a default, so that
older histories still decode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .payload import Failure, Payload
from .retry import RetryRule


def _no_headers() -> Mapping[str, Payload]:
    return {}


@dataclass(frozen=True, slots=True)
class ScheduleActivity:
    """Run an activity at least once, and record how it ended.

    Timeouts are in seconds; None means that there is none.
    """

    id: int
    activity_type: str
    task_queue: str
    args: tuple[Payload, ...]
    schedule_to_close_s: float | None = None
    schedule_to_start_s: float | None = None
    start_to_close_s: float | None = None
    heartbeat_s: float | None = None
    retry: RetryRule | None = None
    activity_id: str = ""
    headers: Mapping[str, Payload] = field(default_factory=_no_headers)
    summary: str = ""


@dataclass(frozen=True, slots=True)
class CancelActivity:
    """Ask the activity `id` to stop; how it ended is still recorded."""

    id: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Fire once, `delay_us` microseconds after the activation that asked, by the wall clock."""

    id: int
    delay_us: int
    summary: str = ""


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """The timer `id` must not fire any more."""

    id: int


@dataclass(frozen=True, slots=True)
class PublishMessage:
    """Send a message: it enters the outbox in the commit that records this command."""

    id: int
    topic: str
    body: bytes
    qos: int = 1
    retain: bool = False
    expires_s: float | None = None


@dataclass(frozen=True, slots=True)
class CompleteWorkflow:
    """The run returned."""

    result: Payload


@dataclass(frozen=True, slots=True)
class FailWorkflow:
    """The run raised a failure."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class CancelWorkflow:
    """The run ended by the cancellation that was asked of it."""

    details: tuple[Payload, ...] = ()


@dataclass(frozen=True, slots=True)
class ContinueAsNew:
    """End this run and start the next one of the same workflow id."""

    workflow_type: str
    task_queue: str
    args: tuple[Payload, ...]
    headers: Mapping[str, Payload] = field(default_factory=_no_headers)


Command = (
    ScheduleActivity
    | CancelActivity
    | StartTimer
    | CancelTimer
    | PublishMessage
    | CompleteWorkflow
    | FailWorkflow
    | CancelWorkflow
    | ContinueAsNew
)

ClosingCommand = CompleteWorkflow | FailWorkflow | CancelWorkflow | ContinueAsNew
CLOSING: tuple[type[ClosingCommand], ...] = (CompleteWorkflow, FailWorkflow, CancelWorkflow, ContinueAsNew)


def identity(command: Command) -> tuple[object, ...]:
    """What must be the same when a history is replayed; values may differ, these may not."""
    match command:
        case ScheduleActivity():
            return ("ScheduleActivity", command.id, command.activity_type)
        case PublishMessage():
            return ("PublishMessage", command.id, command.topic)
        case CancelActivity() | StartTimer() | CancelTimer():
            return (type(command).__name__, command.id)
        case _:
            return (type(command).__name__,)
