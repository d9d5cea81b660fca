"""Temporal's histories as ours: workflow tasks become activations.

Between the completion of a workflow task and the next event that is not its own stand the code's commands, and among
them what was handed over in between: updates that it accepted, and ends of local activities. An update belongs to what
the task began with; at each end of local activities the task is cut, and another activation begins.

What was read differs from a history of our own by its ids, which are numbers of Temporal's events. Code that is
replayed gives others, and `matching` binds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..api.common.v1 import Payloads
from ..api.history import v1 as api
from ..core import commands as cmd
from ..core import events as ev
from ..core.events import Event
from ..core.payload import Payload
from ..failure_messages import record_of
from .commands import LOCAL_ACTIVITY
from .payloads import text_of
from .records import COMMANDS, READERS, SILENT, Referred


@dataclass(frozen=True, slots=True)
class LocalActivity:
    """A local activity that has ended, and under which id."""

    id: int
    activity_type: str


@dataclass(slots=True)
class Reading:
    """A history that was read."""

    records: list[Event] = field(default_factory=list[Event])
    local_activities: dict[str, list[LocalActivity]] = field(default_factory=dict[str, list[LocalActivity]])
    """By activity id, in the order of their ends; where the code asked for them is not recorded."""
    language_rules: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    """By activation: the flags of the Python SDK that its code ran under."""
    after_cancelled: set[int] = field(default_factory=set[int])
    """Activations that were given nothing but local activities that ended because they were cancelled: code here does
    not wait for that, and may have gone on before."""
    moves_closing_commands: bool = False
    """Whether commands behind the one that closes the run were kept; older versions dropped them."""


@dataclass(slots=True)
class _Task:
    """A workflow task that was completed."""

    started: api.HistoryEvent
    completed: api.HistoryEvent
    given: list[api.HistoryEvent]
    answered: list[api.HistoryEvent] = field(default_factory=list[api.HistoryEvent])


def read(workflow_id: str, events: Sequence[api.HistoryEvent]) -> Reading:
    """The history as our records.

    Raises:
        ValueError: an event has no counterpart here, or does not fit; the message names it.
    """
    return _Reader(workflow_id).read(events)


class _Reader:
    def __init__(self, workflow_id: str) -> None:
        self._referred = Referred(workflow_id)
        self._reading = Reading()
        self._activation = 0
        self._flags: frozenset[int] = frozenset()
        self._local_names: dict[int, str] = {}
        self._backoffs: list[int] = []
        """Timers (in µs) that will come because a local activity is tried again after a while."""
        self._backoff_timers: set[int] = set()

    def read(self, events: Sequence[api.HistoryEvent]) -> Reading:
        self._local_names = _local_names(events)
        for part in _tasks(events):
            if isinstance(part, _Task):
                self._read_task(part)
            else:
                self._read_given([part])
        return self._reading

    def _body(self, event: api.HistoryEvent) -> ev.Body | None:
        which = event.WhichOneof("attributes")
        attributes: Any = getattr(event, which) if which else None
        if attributes.__class__ in SILENT or (not which and event.worker_may_ignore):
            return None
        reader = READERS.get(attributes.__class__)
        name = getattr(event.event_type, "short_name", str(event.event_type))
        if reader is None:
            raise ValueError(f"event {event.event_id}, {name}, has no counterpart here")
        try:
            return _grouped(reader(self._referred, event, attributes), event)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"event {event.event_id}, {name}: {error}") from error

    def _add(self, event: api.HistoryEvent, body: ev.Body, activation: int) -> None:
        at_us = event.event_time.ToMicroseconds()
        self._reading.records.append(Event(event.event_id, activation, at_us, body))

    # -- what was handed over --------------------------------------------------------------------------------

    def _read_given(self, events: Iterable[api.HistoryEvent]) -> bool:
        """Whether there is anything to hand over."""
        found = False
        for event in events:
            body = self._body(event)
            if isinstance(body, ev.TimerFired) and body.id in self._backoff_timers:
                continue
            if body is not None:
                self._add(event, body, 0)
                found = True
        return found

    def _read_task(self, task: _Task) -> None:
        metadata = task.completed.workflow_task_completed_event_attributes.sdk_metadata
        self._flags |= frozenset(metadata.lang_used_flags)
        self._reading.moves_closing_commands |= _MOVES_CLOSING in metadata.core_used_flags
        answered = [event for event in task.answered if not _is_update(event)]
        updates = [event for event in task.answered if _is_update(event)]
        segments = list(_segments(answered))
        given = self._read_given(_with_updates(task.given, updates))
        first = segments[0][1] if segments and not segments[0][0] else []
        if given or first:
            self._begin_activation(task.started)
            self._read_commands(first)
        for ends, commands in segments:
            if ends:
                self._read_local_ends(ends)
                self._read_commands(commands)

    def _begin_activation(self, event: api.HistoryEvent) -> None:
        self._activation += 1
        self._reading.language_rules[self._activation] = self._flags
        self._add(event, ev.ActivationStarted(), self._activation)

    # -- what was answered -------------------------------------------------------------------------------------

    def _read_commands(self, events: Iterable[api.HistoryEvent]) -> None:
        for event in events:
            body = self._body(event)
            if isinstance(body, cmd.StartTimer) and body.delay_us in self._backoffs:
                self._backoffs.remove(body.delay_us)
                self._backoff_timers.add(event.event_id)
            elif isinstance(body, cmd.CancelTimer) and body.id in self._backoff_timers:
                continue
            elif body is not None:
                self._add(event, body, self._activation)

    def _read_local_ends(self, events: Sequence[api.HistoryEvent]) -> None:
        """An activation that is given the ends of local activities, at the instant of the last of them."""
        ends = [(event, _about(event)) for event in events]
        for _, about in ends:
            if about.get("backoff"):
                self._backoffs.append(_microseconds(about["backoff"]))
        ended = [(event, about) for event, about in ends if not about.get("backoff")]
        if not ended:
            return
        self._activation += 1
        self._reading.language_rules[self._activation] = self._flags
        instants = [_microseconds(about["complete_time"]) for _, about in ended if about.get("complete_time")]
        at_us = max(instants, default=ended[0][0].event_time.ToMicroseconds())
        if all(_is_cancelled(event) for event, _ in ended):
            self._reading.after_cancelled.add(self._activation)
        for event, about in ended:
            activity_id = self._local_names[event.event_id]
            known = LocalActivity(event.event_id, str(about["activity_type"]))
            self._reading.local_activities.setdefault(activity_id, []).append(known)
            self._reading.records.append(
                Event(event.event_id, self._activation, at_us, _local_end(event, about))
            )


def _grouped(body: ev.Body | None, event: api.HistoryEvent) -> ev.Body | None:
    """With the groups that code has put it into."""
    groups = {marker.label.id: text_of(marker.label.label) for marker in event.event_group_markers}
    if not groups or not isinstance(body, _IN_GROUPS):
        return body
    return replace(body, groups=groups)


_IN_GROUPS: Final = (
    cmd.ScheduleActivity,
    cmd.StartTimer,
    cmd.StartChild,
    cmd.SignalExternal,
    cmd.SignalWithStart,
    cmd.CancelExternal,
)
_MOVES_CLOSING: Final = 3
"""Core's flag for it."""


def _tasks(events: Sequence[api.HistoryEvent]) -> Iterator[_Task | api.HistoryEvent]:
    """The workflow tasks that were completed, and the events that none was given."""
    given: list[api.HistoryEvent] = []
    started: api.HistoryEvent | None = None
    task: _Task | None = None
    for event in events:
        which = event.WhichOneof("attributes")
        if which == "workflow_task_started_event_attributes":
            started = event
        elif which == "workflow_task_completed_event_attributes" and started is not None:
            if task is not None:
                yield task
            task, given, started = _Task(started, event, given), [], None
        elif task is not None and which in COMMANDS:
            task.answered.append(event)
        else:
            given.append(event)
    if task is not None:
        yield task
    yield from given


def _is_local_end(event: api.HistoryEvent) -> bool:
    marker = event.WhichOneof("attributes") == "marker_recorded_event_attributes"
    return marker and event.marker_recorded_event_attributes.marker_name == LOCAL_ACTIVITY


def _is_update(event: api.HistoryEvent) -> bool:
    return event.HasField("workflow_execution_update_accepted_event_attributes")


def _with_updates(
    given: Sequence[api.HistoryEvent], updates: Sequence[api.HistoryEvent]
) -> list[api.HistoryEvent]:
    """What a task was given, with each update behind the event that it came after."""
    found = list(given)
    for update in updates:
        after = (
            update.workflow_execution_update_accepted_event_attributes.accepted_request_sequencing_event_id
        )
        place = next(
            (i for i, event in enumerate(found) if not _is_update(event) and event.event_id > after),
            len(found),
        )
        found.insert(place, update)
    return found


def _segments(
    events: Sequence[api.HistoryEvent],
) -> Iterator[tuple[list[api.HistoryEvent], list[api.HistoryEvent]]]:
    """Ends of local activities that stand together, each time with the commands behind them."""
    ends: list[api.HistoryEvent] = []
    commands: list[api.HistoryEvent] = []
    for event in events:
        if not _is_local_end(event):
            commands.append(event)
            continue
        if commands or (ends and _turn(ends[-1]) != _turn(event)):
            yield ends, commands
            ends, commands = [], []
        ends.append(event)
    if ends or commands:
        yield ends, commands


def _local_names(events: Sequence[api.HistoryEvent]) -> dict[int, str]:
    """What code calls the local activity that an event is the end of.

    An attempt that follows after a longer while is an activity with a number of its own there, the name of which is
    this number unless the code gives one. Here all attempts are one activity.
    """
    ends = [(event, _about(event)) for event in events if _is_local_end(event)]
    first_of: dict[int, str] = {}
    later: set[int] = set()
    backing_off: list[tuple[Any, int, str]] = []
    for event, about in ends:
        attempt, name = int(about.get("attempt") or 1), str(about["activity_id"])
        before = next((b for b in backing_off if b[:2] == (about["activity_type"], attempt - 1)), None)
        if before is not None:
            backing_off.remove(before)
            later.add(int(about["seq"]))
            name = before[2]
        if about.get("backoff"):
            backing_off.append((about["activity_type"], attempt, name))
        first_of[event.event_id] = name
    return {number: _shifted(name, later) for number, name in first_of.items()}


def _shifted(name: str, later: set[int]) -> str:
    """The number of an activity where further attempts do not count."""
    if not name.isdecimal():
        return name
    return str(int(name) - sum(1 for number in later if number < int(name)))


def _turn(event: api.HistoryEvent) -> Any:
    """Which of a task's steps was given the end of a local activity; None where the SDK was too old to say."""
    return _about(event).get("activation_index")


def _about(event: api.HistoryEvent) -> dict[str, Any]:
    details = event.marker_recorded_event_attributes.details
    try:
        found: dict[str, Any] = json.loads(details.get("data", Payloads()).payloads[0].data)
        missing = {"activity_id", "activity_type"} - found.keys()
        if missing:
            raise KeyError(*missing)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"event {event.event_id}, a local activity's end, cannot be read: {error}"
        ) from error
    return found


def _is_cancelled(event: api.HistoryEvent) -> bool:
    return event.marker_recorded_event_attributes.failure.HasField("canceled_failure_info")


def _local_end(event: api.HistoryEvent, about: dict[str, Any]) -> ev.Body:
    attributes = event.marker_recorded_event_attributes
    attempt = max(int(about.get("attempt") or 0), 1)
    if attributes.HasField("failure"):
        return ev.ActivityFailed(event.event_id, record_of(attributes.failure), attempt=attempt)
    result = attributes.details.get("result", Payloads()).payloads
    return ev.ActivityCompleted(event.event_id, result[0] if result else Payload(), attempt)


def _microseconds(found: dict[str, int]) -> int:
    """Of an instant or a duration, as Temporal's core writes them into markers."""
    return int(found["seconds"]) * 1_000_000 + int(found.get("nanos") or 0) // 1000
