"""Which event may follow which: the tables that every history must fit.

A history has these kinds of lifetime, each with its own table:

* the **workflow** begins once and closes once; nothing follows its close;
* an **activity** is scheduled by a command, may get other options and be asked to cancel, and ends once;
* a **timer** is started by a command, and either fires or is cancelled;
* a **child** is asked for by a command, is started or not, may be asked to cancel, and closes once;
* an **external** request to another execution is made by a command and resolved once;
* an **update** is accepted and completes once; after a reset it may be admitted before;
* a **pause** begins and ends, any number of times, and ends with the workflow.

Rule 1. An event that is in no table of its lifetime's state is illegal: the journal is damaged, or the engine wrong.
Rule 2. Identifiers are given out in order and never again.
Rule 3. Sequences have no gap, activations never go back, instants never decrease.
"""

from __future__ import annotations

from typing import Final, NoReturn

from . import events
from .commands import (
    CancelActivity,
    CancelChild,
    CancelExternal,
    CancelTimer,
    CancelWorkflow,
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
from .events import Body

ABSENT: Final = "absent"
OPEN: Final = "open"
CANCELING: Final = "canceling"
CLOSED: Final = "closed"

_Table = dict[str, dict[type[Body], str]]

WORKFLOW: Final[_Table] = {
    ABSENT: {events.WorkflowStarted: OPEN},
    OPEN: {
        events.Signaled: OPEN,
        events.CancelRequested: OPEN,
        events.ActivationStarted: OPEN,
        events.WorkflowReset: OPEN,
        PublishMessage: OPEN,
        UpsertSearchAttributes: OPEN,
        UpsertMemo: OPEN,
        RecordPatch: OPEN,
        CompleteWorkflow: CLOSED,
        FailWorkflow: CLOSED,
        CancelWorkflow: CLOSED,
        ContinueAsNew: CLOSED,
        events.WorkflowAdmitted: OPEN,
        events.TimeSkipped: OPEN,
        events.TimeSkippingChanged: OPEN,
        events.WorkflowTerminated: CLOSED,
        events.WorkflowTimedOut: CLOSED,
        events.WorkflowWithdrawn: CLOSED,
    },
    CLOSED: {},
}

ACTIVITY: Final[_Table] = {
    ABSENT: {ScheduleActivity: OPEN},
    OPEN: {
        CancelActivity: CANCELING,
        events.ActivityOptionsUpdated: OPEN,
        events.ActivityCompleted: CLOSED,
        events.ActivityFailed: CLOSED,
    },
    CANCELING: {
        events.ActivityOptionsUpdated: CANCELING,
        events.ActivityCompleted: CLOSED,
        events.ActivityFailed: CLOSED,
    },
    CLOSED: {},
}

TIMER: Final[_Table] = {
    ABSENT: {StartTimer: OPEN},
    OPEN: {CancelTimer: CLOSED, events.TimerFired: CLOSED},
    CLOSED: {},
}

STARTED: Final = "started"

CHILD: Final[_Table] = {
    ABSENT: {StartChild: OPEN},
    OPEN: {
        CancelChild: OPEN,
        events.ChildStarted: STARTED,
        events.ChildStartFailed: CLOSED,
        events.ChildClosed: CLOSED,
    },
    STARTED: {CancelChild: STARTED, events.ChildClosed: CLOSED},
    CLOSED: {},
}

EXTERNAL: Final[_Table] = {
    ABSENT: {SignalExternal: OPEN, SignalWithStart: OPEN, CancelExternal: OPEN},
    OPEN: {events.ExternalResolved: CLOSED},
    CLOSED: {},
}

UPDATE: Final[_Table] = {
    ABSENT: {events.UpdateAccepted: OPEN, events.UpdateAdmitted: ABSENT},
    OPEN: {CompleteUpdate: CLOSED},
    CLOSED: {},
}

PAUSE: Final[_Table] = {
    ABSENT: {events.WorkflowPaused: OPEN},
    OPEN: {events.WorkflowUnpaused: ABSENT},
}

LIFETIMES: Final[dict[str, _Table]] = {
    "workflow": WORKFLOW,
    "activity": ACTIVITY,
    "timer": TIMER,
    "child": CHILD,
    "external": EXTERNAL,
    "update": UPDATE,
    "pause": PAUSE,
}

LIFETIME_OF: Final[dict[type[Body], str]] = {
    body: lifetime for lifetime, table in LIFETIMES.items() for row in table.values() for body in row
}


class IllegalTransition(Exception):
    """A history does not fit the tables; it is not used any further."""


def following(lifetime: str, state: str, body: type[Body], what: str) -> str:
    """The state after `body`; `what` it is that has this state, for the error.

    Raises:
        IllegalTransition: as `refuse`.
    """
    after = LIFETIMES[lifetime][state].get(body)
    if after is None:
        refuse(lifetime, state, body, what)
    return after


def refuse(lifetime: str, state: str, body: type[Body], what: str) -> NoReturn:
    """Say that `body` cannot follow: what was found, and what was expected.

    Raises:
        IllegalTransition: always.
    """
    allowed = ", ".join(sorted(cls.__name__ for cls in LIFETIMES[lifetime][state])) or "nothing"
    raise IllegalTransition(
        f"{what} is {state} and was given {body.__name__}; expected {allowed}: the journal is damaged"
    )
