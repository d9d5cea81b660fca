"""What has happened to an execution: the records that make up its history.

An event is either something that reached the execution from outside (it began, an activity ended, a timer
fired, a signal came) or a command that it gave. Both carry the number of the *activation* they belong to:
the events that were handed to the workflow's code together, and what it asked for in answer. An event that
was recorded before it could be handed over (the code was blocked by a bug, or no worker was there) carries
activation 0, and a later `ActivationStarted` says when everything that had piled up was handed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from .commands import (
    CancelActivity,
    CancelChild,
    CancelExternal,
    CancelTimer,
    CancelWorkflow,
    Command,
    CompleteUpdate,
    CompleteWorkflow,
    ContinueAsNew,
    FailWorkflow,
    PublishMessage,
    RecordPatch,
    ScheduleActivity,
    SignalExternal,
    SignalWithStart,
    StartChild,
    StartTimer,
    UpsertMemo,
    UpsertSearchAttributes,
)
from .payload import Attribute, Failure, Payload
from .records import record
from .retry import RetryRule
from .skipping import ClockStart, TimeSkipping


def _nothing() -> Mapping[str, Payload]:
    return {}


@record
class WorkflowStarted:
    """The execution exists. Everything that its first activation may read is here."""

    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    args: tuple[Payload, ...]
    random_seed: int
    """0: what follows from the run id (`seed`); other numbers are in older histories."""
    first_run_id: str = ""
    continued_run_id: str = ""
    attempt: int = 1
    execution_timeout_s: float | None = None
    run_timeout_s: float | None = None
    task_timeout_s: float | None = None
    retry: RetryRule | None = None
    memo: Mapping[str, Payload] = field(default_factory=_nothing)
    headers: Mapping[str, Payload] = field(default_factory=_nothing)
    caused_by: str = ""
    """Where the start came from, for a reader: a client, or the topic of a message."""
    search_attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    parent_command_id: int = 0
    parent_close_policy: int = 0
    root_workflow_id: str = ""
    root_run_id: str = ""
    cron: str = ""
    first_delay_s: float = 0.0
    """The first activation is so much later than the start; a signal brings it forward."""
    last_result: Payload | None = None
    last_failure: Failure | None = None
    chain_started_us: int = 0
    """When the first run of the chain began; the execution timeout counts from there. 0 for the first run."""
    original_run_id: str = ""
    """The first run, where resets have made this one: its random numbers go on until the point of the reset."""
    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0
    summary: str = ""
    details: str = ""
    schedule_id: str = ""
    concurrency_key: str = ""
    """Of the executions with this key so many run at a time as each one's limit says."""
    concurrency_limit: int = 0
    concurrency_policy: int = 0
    """What was asked for when the limit is reached: 1 wait, 2 join, 3 replace, 4 refuse."""
    admitted: bool = True
    """Whether it runs from the start; otherwise `WorkflowAdmitted` says from when."""
    clock: ClockStart | None = None
    """Its own clock, where that skips or is ahead."""
    durability: int = 0
    """When what it does is safe from a power cut: 1 at once, 2 (and 0) with others, 3 a moment after it has gone on."""


@record
class ActivityCompleted:
    """An activity returned; its result is part of history from here on."""

    id: int
    result: Payload
    attempt: int = 1


@record
class ActivityFailed:
    """An activity ended without a result and will not be tried again."""

    id: int
    failure: Failure
    retry_state: str = ""
    attempt: int = 1


@record
class ActivityOptionsUpdated:
    """Someone changed the options of an activity; attempts that begin from here on have these, each as it is now."""

    id: int
    task_queue: str
    schedule_to_close_s: float | None = None
    schedule_to_start_s: float | None = None
    start_to_close_s: float | None = None
    heartbeat_s: float | None = None
    retry: RetryRule | None = None
    priority_key: int = 0
    fairness_key: str = ""
    fairness_weight: float = 0.0
    delay_s: float = 0.0


@record
class TimerFired:
    """The timer's instant had come; `due_us` is when that was, `Event.at_us` when it was noticed."""

    id: int
    due_us: int = 0


@record
class Signaled:
    """A signal was accepted."""

    name: str
    args: tuple[Payload, ...]
    headers: Mapping[str, Payload] = field(default_factory=_nothing)
    caused_by: str = ""


@record
class UpdateAccepted:
    """An update passed its validator; its handler runs. A rejected one is in no history."""

    update_id: str
    name: str
    args: tuple[Payload, ...]
    headers: Mapping[str, Payload] = field(default_factory=_nothing)
    caused_by: str = ""
    behind: int = 0
    """How many commands of its activation the code had given before it was accepted."""


@record
class ChildStarted:
    """The child exists."""

    id: int
    run_id: str


@record
class ChildStartFailed:
    """There is no child; `cause` says why. What is in its way has `run_id`, and is `workflow_id` if that is another."""

    id: int
    cause: str
    run_id: str = ""
    workflow_id: str = ""


@record
class ChildClosed:
    """The last run of the child has ended: with a result, or with the failure that its parent gets."""

    id: int
    run_id: str
    result: Payload | None = None
    failure: Failure | None = None
    retry_state: str = ""


@record
class ExternalResolved:
    """What was asked of another execution is in its history, or `failure` says why not."""

    id: int
    failure: Failure | None = None
    run_id: str = ""
    """The run that has it, where whoever asked did not know."""


@record
class UpdateAdmitted:
    """The run that was reset had accepted this update: its validator decides again, and an `UpdateAccepted` follows."""

    update_id: str
    name: str
    args: tuple[Payload, ...]
    headers: Mapping[str, Payload] = field(default_factory=_nothing)
    caused_by: str = ""


@record
class WorkflowReset:
    """All before this is a copy of the history of `base_run_id`, which was cut before its event `base_event`.

    From here on random numbers are others, and the timeouts of the workflow and of pending activities count anew.
    """

    seed: int
    base_run_id: str = ""
    base_event: int = 0
    reason: str = ""
    identity: str = ""
    request_id: str = ""


@record
class CancelRequested:
    """Someone asked the workflow to end by itself."""

    reason: str = ""


@record
class WorkflowPaused:
    """Someone wants none of the workflow's code to run, and no attempt of its activities to begin, until it goes on."""

    identity: str = ""
    reason: str = ""
    request_id: str = ""


@record
class WorkflowUnpaused:
    """The workflow goes on with whatever has come meanwhile. Attempts of its activities wait `delay_s` longer."""

    identity: str = ""
    reason: str = ""
    request_id: str = ""
    delay_s: float = 0.0


@record
class TimeSkipped:
    """The execution's own clock shows `to_us` from here on: there was nothing to do before."""

    to_us: int
    forward_reached: bool = False
    """A fast-forward has come to its end."""
    wall_us: int = 0
    """What the engine's clock shows."""


@record
class TimeSkippingChanged:
    """Someone said how the execution's own clock skips from here on."""

    skipping: TimeSkipping


@record
class ActivationStarted:
    """Every earlier event of activation 0 is handed over in the activation that this event belongs to."""


@record
class WorkflowAdmitted:
    """The execution has waited for its concurrency key, and runs from here on."""


@record
class WorkflowWithdrawn:
    """The execution was cancelled while it waited for its concurrency key: its code has never run."""

    reason: str = ""


@record
class WorkflowTerminated:
    """Someone ended the execution without asking its code. `new_run_id` is the run that it was reset to."""

    reason: str = ""
    details: tuple[Payload, ...] = ()
    new_run_id: str = ""


@record
class WorkflowTimedOut:
    """The execution or run timeout passed. `new_run_id` is the run that follows, as in `FailWorkflow`."""

    timeout: str = "run"
    new_run_id: str = ""
    retry_state: str = "TIMEOUT"


Happening = (
    WorkflowStarted
    | ActivityCompleted
    | ActivityFailed
    | ActivityOptionsUpdated
    | TimerFired
    | Signaled
    | UpdateAccepted
    | ChildStarted
    | ChildStartFailed
    | ChildClosed
    | ExternalResolved
    | UpdateAdmitted
    | WorkflowReset
    | CancelRequested
    | WorkflowPaused
    | WorkflowUnpaused
    | TimeSkipped
    | TimeSkippingChanged
    | ActivationStarted
    | WorkflowTerminated
    | WorkflowTimedOut
    | WorkflowAdmitted
    | WorkflowWithdrawn
)

Body = Happening | Command

Closing = (
    CompleteWorkflow
    | FailWorkflow
    | CancelWorkflow
    | ContinueAsNew
    | WorkflowTerminated
    | WorkflowTimedOut
    | WorkflowWithdrawn
)
CLOSING: tuple[type[Closing], ...] = (
    CompleteWorkflow,
    FailWorkflow,
    CancelWorkflow,
    ContinueAsNew,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowWithdrawn,
)

COMMANDS: tuple[type[Command], ...] = (
    ScheduleActivity,
    CancelActivity,
    StartTimer,
    CancelTimer,
    PublishMessage,
    StartChild,
    CancelChild,
    SignalExternal,
    SignalWithStart,
    CancelExternal,
    UpsertSearchAttributes,
    UpsertMemo,
    RecordPatch,
    CompleteUpdate,
    CompleteWorkflow,
    FailWorkflow,
    CancelWorkflow,
    ContinueAsNew,
)


HAPPENINGS: tuple[type[Happening], ...] = (
    WorkflowStarted,
    ActivityCompleted,
    ActivityFailed,
    ActivityOptionsUpdated,
    TimerFired,
    Signaled,
    UpdateAccepted,
    ChildStarted,
    ChildStartFailed,
    ChildClosed,
    ExternalResolved,
    UpdateAdmitted,
    WorkflowReset,
    CancelRequested,
    WorkflowPaused,
    WorkflowUnpaused,
    TimeSkipped,
    TimeSkippingChanged,
    ActivationStarted,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowAdmitted,
    WorkflowWithdrawn,
)

PAUSES: tuple[type[Happening], ...] = (WorkflowPaused, WorkflowUnpaused)
NOTES: tuple[type[Happening], ...] = (*PAUSES, ActivityOptionsUpdated, TimeSkipped, TimeSkippingChanged)
"""What is recorded for the engine and for readers; the workflow's code is never given it."""

FOR_NO_CODE: tuple[type[Happening], ...] = (*NOTES, WorkflowTerminated, WorkflowTimedOut)
"""What never waits to be handed over."""


class Event(NamedTuple):
    """One entry of a history."""

    sequence: int
    activation: int
    at_us: int
    body: Body


_COMMAND_EVENT_NAMES: dict[type[Command], str] = {
    ScheduleActivity: "ActivityScheduled",
    CancelActivity: "ActivityCancelRequested",
    StartTimer: "TimerStarted",
    CancelTimer: "TimerCanceled",
    PublishMessage: "MessagePublished",
    StartChild: "ChildScheduled",
    CancelChild: "ChildCancelRequested",
    SignalExternal: "ExternalSignalSent",
    SignalWithStart: "SignalWithStartSent",
    CancelExternal: "ExternalCancelSent",
    UpsertSearchAttributes: "SearchAttributesUpserted",
    UpsertMemo: "MemoUpserted",
    RecordPatch: "PatchRecorded",
    CompleteUpdate: "UpdateCompleted",
    CompleteWorkflow: "WorkflowCompleted",
    FailWorkflow: "WorkflowFailed",
    CancelWorkflow: "WorkflowCanceled",
    ContinueAsNew: "WorkflowContinuedAsNew",
}


def event_name(body: Body) -> str:
    """The name under which a reader finds this event."""
    if isinstance(body, COMMANDS):
        return _COMMAND_EVENT_NAMES[type(body)]
    if isinstance(body, ActivityFailed):
        return {"timeout": "ActivityTimedOut", "canceled": "ActivityCanceled"}.get(
            body.failure.kind, "ActivityFailed"
        )
    if isinstance(body, WorkflowWithdrawn):
        return "WorkflowCanceled"
    if isinstance(body, ChildClosed) and body.failure is not None:
        return {"timeout": "ChildTimedOut", "canceled": "ChildCanceled", "terminated": "ChildTerminated"}.get(
            body.failure.kind, "ChildFailed"
        )
    return "ChildCompleted" if isinstance(body, ChildClosed) else type(body).__name__
