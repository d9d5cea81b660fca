"""Where a history may be taken up anew, and what of it a run has that was reset to such a point.

Code is replayed by activations, so a run begins anew with one: it has everything before that activation, and what was
handed over in it, but not what the code asked for in answer. That is asked of the code again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .commands import ScheduleActivity
from .events import CLOSING, COMMANDS, PAUSES, ActivationStarted, ActivityFailed, Body, Event, UpdateAccepted
from .records import record

AFTER_THE_LAST = 1 << 62
"""Stands for the activation that has not come yet."""


class NoSuchPoint(ValueError):
    """The history has no such place to begin anew at; the message says what there is."""


@record
class Kept:
    """An event of a history as the new run has it."""

    activation: int
    at_us: int
    body: Body


def activation_of(history: Sequence[Event], sequence: int) -> int:
    """The activation that an event belongs to: in which it was handed over, or asked for.

    Raises:
        NoSuchPoint: there is no such event.
    """
    if not 1 <= sequence <= len(history):
        raise NoSuchPoint(f"there is no event {sequence}: expected one from 1 to {len(history)}")
    event = history[sequence - 1]
    if event.activation:
        return event.activation
    later = (e.activation for e in history[sequence:] if isinstance(e.body, ActivationStarted))
    return next(later, AFTER_THE_LAST)


def last_activation(history: Sequence[Event]) -> int:
    """The last activation; the first where there was none."""
    return max([1, *(event.activation for event in history)])


def activation_that_scheduled(
    history: Sequence[Event], activity: str | None, failing: Collection[int]
) -> int:
    """The activation that asked for the first activity that has failed, or is failing.

    `activity` is a type or an id, None for any. `failing` has the ids of pending activities whose attempts have failed.

    Raises:
        NoSuchPoint: none has.
    """
    failed = {event.body.id for event in history if isinstance(event.body, ActivityFailed)} | set(failing)
    for event in history:
        body = event.body
        if (
            isinstance(body, ScheduleActivity)
            and body.id in failed
            and activity in (None, body.activity_type, body.activity_id)
        ):
            return event.activation
    which = "no activity" if activity is None else f"no activity {activity!r}"
    raise NoSuchPoint(f"{which} of this run has failed: name an event instead")


def cut(history: Sequence[Event], activation: int) -> tuple[list[Kept], list[Event]]:
    """What a run has that begins this activation anew, and what came later.

    A pause is not kept: whoever resets wants it to run. An update that was accepted in the activation came later: its
    validator is part of what is done anew.
    """
    end = _end_of_inputs(history, activation)
    kept: list[Kept] = []
    later: list[Event] = []
    for event in history[:end]:
        body, again = event.body, event.activation == activation
        if isinstance(body, CLOSING + PAUSES) or (again and isinstance(body, ActivationStarted)):
            continue
        if again and isinstance(body, UpdateAccepted):
            later.append(event)
        else:
            kept.append(Kept(0 if again else event.activation, event.at_us, body))
    return kept, [*later, *history[end:]]


def _end_of_inputs(history: Sequence[Event], activation: int) -> int:
    """How many events there are before the first command of the activation, or of later ones."""
    for index, event in enumerate(history):
        if event.activation > activation:
            return index
        if event.activation == activation and isinstance(event.body, COMMANDS):
            return index
    return len(history)
