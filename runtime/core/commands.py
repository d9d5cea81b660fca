"""What a workflow asks for: the closed union of commands.

A command that was committed is part of the history: it is recorded under the name that
`events.event_name` gives it. Fields are only ever added at the end, with a default, so that
older histories still decode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from .payload import Attribute, Failure, Payload
from .records import record
from .retry import RetryRule


def _no_headers() -> Mapping[str, Payload]:
    return {}


@record
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
    local: bool = False
    """Runs in the worker that runs the workflow; it has no task queue and no heartbeat."""
    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """Groups that a reader finds it in: their ids, with a label or an empty text."""
    concurrency_key: str = ""
    """Of the attempts with this key so many run at a time."""
    concurrency_limit: int = 0
    durability: int = 0
    """When its outcome is safe from a power cut, in the numbers of `WorkflowStarted`; 0 as its workflow."""
    delay_s: float = 0.0
    """The first attempt is so much later, and the timeouts count from then."""


@record
class CancelActivity:
    """Ask the activity `id` to stop; how it ended is still recorded."""

    id: int


@record
class StartTimer:
    """Fire once, `delay_us` microseconds after the activation that asked, by the wall clock."""

    id: int
    delay_us: int
    summary: str = ""
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    number: int = 0
    """Which of the run's timers it is, from 1, with those that were withdrawn; Temporal's name of it."""


@record
class CancelTimer:
    """The timer `id` must not fire any more."""

    id: int


@record
class PublishMessage:
    """Send a message: it enters the outbox in the commit that records this command."""

    id: int
    topic: str
    body: bytes
    qos: int = 1
    retain: bool = False
    expires_s: float | None = None


@record
class StartChild:
    """Start another workflow whose end this one hears of."""

    id: int
    workflow_id: str
    workflow_type: str
    task_queue: str
    args: tuple[Payload, ...]
    execution_timeout_s: float | None = None
    run_timeout_s: float | None = None
    task_timeout_s: float | None = None
    retry: RetryRule | None = None
    parent_close_policy: int = 1
    id_reuse_policy: int = 1
    cron: str = ""
    memo: Mapping[str, Payload] = field(default_factory=_no_headers)
    search_attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    headers: Mapping[str, Payload] = field(default_factory=_no_headers)
    summary: str = ""
    details: str = ""
    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    concurrency_key: str = ""
    concurrency_limit: int = 0
    concurrency_policy: int = 0


@record
class CancelChild:
    """Ask the child `id` to end by itself."""

    id: int
    reason: str = ""


@record
class SignalExternal:
    """Send a signal to another execution; the outcome is recorded."""

    id: int
    workflow_id: str
    run_id: str
    name: str
    args: tuple[Payload, ...]
    headers: Mapping[str, Payload] = field(default_factory=_no_headers)
    child: bool = False
    groups: Mapping[str, str] = field(default_factory=dict[str, str])


@record
class SignalWithStart:
    """Send a signal to the open run of a workflow id, or start a workflow with it; the outcome is recorded."""

    id: int
    workflow_id: str
    workflow_type: str
    task_queue: str
    args: tuple[Payload, ...]
    name: str
    signal_args: tuple[Payload, ...]
    execution_timeout_s: float | None = None
    run_timeout_s: float | None = None
    task_timeout_s: float | None = None
    first_delay_s: float = 0.0
    retry: RetryRule | None = None
    id_reuse_policy: int = 1
    terminate_existing: bool = False
    cron: str = ""
    memo: Mapping[str, Payload] = field(default_factory=_no_headers)
    search_attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    summary: str = ""
    details: str = ""
    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0
    groups: Mapping[str, str] = field(default_factory=dict[str, str])


@record
class CancelExternal:
    """Ask another execution to end by itself; the outcome is recorded."""

    id: int
    workflow_id: str
    run_id: str = ""
    reason: str = ""
    groups: Mapping[str, str] = field(default_factory=dict[str, str])


@record
class UpsertSearchAttributes:
    """From here on the execution is found by these."""

    attributes: Mapping[str, Attribute]


@record
class UpsertMemo:
    """From here on the memo has these; a ``binary/null`` value removes its key."""

    memo: Mapping[str, Payload]


@record
class RecordPatch:
    """The code has taken the new side of a change; replays take it again."""

    patch_id: str
    deprecated: bool = False


@record
class CompleteUpdate:
    """The handler of an accepted update has ended: with `result`, or with `failure`."""

    update_id: str
    result: Payload | None = None
    failure: Failure | None = None


@record
class CompleteWorkflow:
    """The run returned. `new_run_id` is the run that a cron schedule begins next."""

    result: Payload
    new_run_id: str = ""


@record
class FailWorkflow:
    """The run raised a failure. `new_run_id` is the run that tries again, by retry policy or cron schedule."""

    failure: Failure
    new_run_id: str = ""
    retry_state: str = ""


@record
class CancelWorkflow:
    """The run ended by the cancellation that was asked of it."""

    details: tuple[Payload, ...] = ()


@record
class ContinueAsNew:
    """End this run and start the next one of the same workflow id."""

    workflow_type: str
    task_queue: str
    args: tuple[Payload, ...]
    headers: Mapping[str, Payload] = field(default_factory=_no_headers)
    new_run_id: str = ""
    run_timeout_s: float | None = None
    task_timeout_s: float | None = None
    retry: RetryRule | None = None
    memo: Mapping[str, Payload] = field(default_factory=_no_headers)
    search_attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    backoff_s: float = 0.0


Command = (
    ScheduleActivity
    | CancelActivity
    | StartTimer
    | CancelTimer
    | PublishMessage
    | StartChild
    | CancelChild
    | SignalExternal
    | SignalWithStart
    | CancelExternal
    | UpsertSearchAttributes
    | UpsertMemo
    | RecordPatch
    | CompleteUpdate
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
        case StartChild():
            return ("StartChild", command.id, command.workflow_id, command.workflow_type)
        case SignalExternal() | SignalWithStart() | CancelExternal():
            return (type(command).__name__, command.id, command.workflow_id)
        case CancelActivity() | StartTimer() | CancelTimer() | CancelChild():
            return (type(command).__name__, command.id)
        case CompleteUpdate():
            return ("CompleteUpdate", command.update_id)
        case _:
            return (type(command).__name__,)
