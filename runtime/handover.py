"""What of the things that happened to an execution is handed to its code now, later, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .core import events as ev
from .core.events import Happening, WorkflowStarted
from .live import Incoming, LiveExecution

_ENDS_OF_ACTIVITIES: Final = (ev.ActivityCompleted, ev.ActivityFailed)
_OUTCOMES: Final = frozenset({ev.ActivityCompleted, ev.ActivityFailed, ev.TimerFired})
_DECISIONS: Final = (ev.WorkflowAdmitted, ev.WorkflowWithdrawn)
_OF_CHILDREN: Final = (ev.ChildStarted, ev.ChildStartFailed, ev.ChildClosed)


def only_outcomes(live: LiveExecution, incoming: list[Incoming]) -> bool:
    """Whether nothing came but ends of activities and timers: they need no order, and end no run."""
    for item in incoming:  # a plain loop: it is gone through in every turn
        if type(item.body) not in _OUTCOMES:
            return False
    return not live.held


def waits_to_begin(live: LiveExecution, now_us: int) -> bool:
    """Whether its first activation is delayed, and nothing has come that brings it forward."""
    if live.state.activation and live.state.admitted and not live.uncommitted:
        return False
    start = live.state.start or live.incoming_start
    if start is not None and not _admitted(live, start, live.incoming):
        return True
    if live.uncommitted and start is not None and start.concurrency_key and not start.continued_run_id:
        return True  # The commit says whether its key is free; until then nothing that its code prints may be seen.
    if start is None or not start.first_delay_s or live.state.activation:
        return False
    due_us = live.state.first_due_us
    if live.state.resets or (due_us is not None and due_us <= now_us):
        return False  # A run that a reset has made does not wait for the time of the one before.
    messages = (ev.Signaled, ev.UpdateAccepted)
    came = any(isinstance(item.body, messages) for item in live.incoming + live.held)
    came = came or any(isinstance(body, messages) for body in live.waiting)
    return bool(start.cron) or start.attempt > 1 or not came


def _admitted(live: LiveExecution, start: WorkflowStarted, incoming: list[Incoming]) -> bool:
    """Whether its concurrency key lets it begin, or what comes says so."""
    admitted = start.admitted if live.state.start is None else live.state.admitted
    return admitted or any(isinstance(item.body, ev.WorkflowAdmitted) for item in incoming)


def withdrawn(live: LiveExecution, incoming: list[Incoming]) -> list[Incoming]:
    """A cancellation of an execution that waits for its concurrency key ends it: its code has nothing to clean up."""
    if live.state.start is None or _admitted(live, live.state.start, incoming):
        return incoming
    return [
        replace(item, body=ev.WorkflowWithdrawn(item.body.reason))
        if isinstance(item.body, ev.CancelRequested)
        else item
        for item in incoming
    ]


def first_handover(incoming: list[Incoming]) -> tuple[list[Incoming], list[Incoming]]:
    """The start and its own signal; what came later waits until it is known that this run exists."""
    own = [i for i in incoming if i.settle is None or i.begins or isinstance(i.body, WorkflowStarted)]
    return own, [item for item in incoming if item not in own]


def updates_last(incoming: list[Incoming], held: list[Incoming]) -> list[Incoming]:
    """Updates come behind the signals that are handed over with them, as they do on Temporal's server; first the older ones."""
    updates = [item for item in incoming if isinstance(item.body, ev.UpdateAccepted)]
    if not updates and not held:
        return incoming
    return [item for item in incoming if not isinstance(item.body, ev.UpdateAccepted)] + held + updates


def still_awaited(live: LiveExecution, incoming: list[Incoming]) -> list[Incoming]:
    """Leave out what no longer has a counterpart: the timer was cancelled, the activity has ended."""
    fresh: list[Incoming] = []
    ended: set[int] = set()
    """The activities and timers of `fresh`; both have their ids from one source."""
    state = live.state
    for item in incoming:
        body = item.body
        if isinstance(body, _ENDS_OF_ACTIVITIES):
            if body.id not in state.activities or body.id in ended:
                continue
            ended.add(body.id)
        elif isinstance(body, _DECISIONS):
            if state.admitted:
                continue
        elif isinstance(body, ev.CancelRequested):
            if state.cancel_requested or any(isinstance(before.body, ev.CancelRequested) for before in fresh):
                continue
        elif isinstance(body, ev.TimerFired):
            if body.id not in state.timers or body.id in ended:
                continue
            ended.add(body.id)
        elif not _is_awaited(live, body, fresh):
            continue
        elif isinstance(body, ev.ChildClosed) and _start_is_news(live, body, fresh):
            fresh.append(Incoming(ev.ChildStarted(body.id, body.run_id)))
        fresh.append(item)
    return fresh


def _is_awaited(live: LiveExecution, body: Happening, before: list[Incoming]) -> bool:
    """Whether what children and other executions say still has someone who waits for it, and was not said."""
    if isinstance(body, _OF_CHILDREN):
        child = live.state.children.get(body.id)
        said = [i.body for i in before if isinstance(i.body, type(body)) and i.body.id == body.id]
        closed = [i for i in before if isinstance(i.body, ev.ChildClosed) and i.body.id == body.id]
        if child is None or said or closed:
            return False
        return isinstance(body, ev.ChildClosed) or not child.run_id
    if isinstance(body, ev.ExternalResolved):
        return body.id in live.state.externals and not any(i.body == body for i in before)
    return True


def _start_is_news(live: LiveExecution, closed: ev.ChildClosed, before: list[Incoming]) -> bool:
    """Whether a child was so quick that its parent hears of its end before it has heard of its start."""
    told = any(isinstance(i.body, ev.ChildStarted) and i.body.id == closed.id for i in before)
    return not told and not live.state.children[closed.id].run_id
