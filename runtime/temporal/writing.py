"""Our histories as Temporal's: activations become workflow tasks, and what refers to an event does so by its number.

An activation is written as Temporal would have seen it: what was handed over, then the workflow task (scheduled,
started, completed), then what the code asked for. Three kinds of event stand elsewhere than in our history:

* An accepted update is an answer of the code there, so it follows the completion of the workflow task.
* A local activity is a marker where it ends, and nothing where it begins. An activation that was given nothing
  but ends of local activities goes on in the workflow task before it, as it does in Temporal's SDK.
* The start of an activity is written with its end: our history has the number of its last attempt only.

Events are written as they come and never taken back, so that the beginning of a history gives the beginning of what
the whole gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from ..api.enums.v1 import EventType, WorkflowTaskFailedCause
from ..api.failure.v1 import ApplicationFailureInfo, Failure
from ..api.history import v1 as api
from ..api.message import Message, fields_of
from ..api.sdk.v1 import EventGroupMarker, UserMetadata, WorkflowTaskCompletedMetadata
from ..api.time import Timestamp
from ..core import commands as cmd
from ..core import events as ev
from ..core.events import Event
from ..ports import Blocked
from .commands import COMMANDS, local_activity_ended
from .failures import SOURCE
from .happenings import HAPPENINGS, TASK_TIMEOUT_S, duration, queue
from .numbering import Numbering
from .payloads import text

_CORE_FLAGS: Final = (1, 3)
"""Rules of Temporal's core that our commands follow: types and ids are compared, and the closing command is last."""
_LANGUAGE_FLAGS: Final = (1,)
"""Rules of its Python SDK: a cancellation that meets the end of an activity is raised."""
_SUGGESTED_LENGTH: Final = 4096

_FIELD_OF: Final = {
    field.kind: (
        field.name,
        EventType.Value(f"EVENT_TYPE_{field.name.removesuffix('_event_attributes').upper()}"),
    )
    for field in fields_of(api.HistoryEvent).values()
    if field.oneof
}
"""Where a history event keeps these attributes, and what its type is then."""


class HistoryWriter:
    """Writes the history of one run, as far as it is given."""

    def __init__(self) -> None:
        self._run = Numbering()
        self._held: list[Event] = []
        """What is written behind the completion of the next workflow task."""
        self._scheduled = 0
        """The number of a workflow task that has not started."""
        self.tasks: list[tuple[range, int]] = []
        """The numbers of each workflow task's events, and the sequence of the record that it begins with."""

    def write(self, events: Iterable[Event]) -> Iterator[api.HistoryEvent]:
        """The events that follow those of earlier calls.

        Raises:
            ValueError: the history does not begin with its start.
        """
        events = list(events)
        bodies = [event.body for event in events]
        self._run.reset_runs += [body.base_run_id for body in bodies if isinstance(body, ev.WorkflowReset)]
        for activation, grouped in groupby(events, lambda event: event.activation):
            group = list(grouped)
            yield from self._activation(group) if activation else self._unhandled(group)

    def _unhandled(self, group: Sequence[Event]) -> Iterator[api.HistoryEvent]:
        """Events that were recorded while the code could not take them."""
        for event in group:
            yield from self._happened(event)
            start = event.body if isinstance(event.body, ev.WorkflowStarted) else None
            waits = start is not None and (start.first_delay_s or not start.admitted)
            if not (self._scheduled or waits or isinstance(event.body, (*ev.FOR_NO_CODE, *ev.CLOSING))):
                yield self._schedule(event.at_us)

    def _activation(self, group: Sequence[Event]) -> Iterator[api.HistoryEvent]:
        given = [event for event in group if not isinstance(event.body, ev.COMMANDS)]
        goes_on = not self._scheduled and not self._held and self._run.task_completed
        if not (goes_on and given and all(self._is_local(event.body) for event in given)):
            for event in given:
                yield from self._happened(event)
            yield from self._task(group[0], given)
        else:
            self._held += given
        held, self._held = self._held, []
        commands = [event for event in group if isinstance(event.body, ev.COMMANDS)]
        for index, command in enumerate(commands):
            yield from self._answered(held, index)
            for attributes in COMMANDS[type(command.body)](self._run, command.body):
                yield self._event(command.at_us, attributes, command.body)
        yield from self._answered(held, len(commands))

    def _answered(self, held: list[Event], index: int) -> Iterator[api.HistoryEvent]:
        """Those of the held events that stand before the command of this index, or are the last."""
        while held and getattr(held[0].body, "behind", 0) <= index:
            yield from self._happened(held.pop(0), held=True)

    def write_blocked(self, blocked: Blocked | None) -> Iterator[api.HistoryEvent]:
        """What Temporal would have written of code that cannot go on; only behind the last event that there is."""
        if blocked is None:
            return
        if not self._scheduled:
            yield self._schedule(blocked.since_us)
        started = self._run.next_event
        name, _, message = blocked.cause.partition(": ")
        cause = "NonDeterministicError" if name == "HistoryDiverged" else "WorkflowWorkerUnhandledFailure"
        yield self._event(
            blocked.since_us, api.WorkflowTaskStartedEventAttributes(scheduled_event_id=self._scheduled)
        )
        yield self._event(
            blocked.since_us,
            api.WorkflowTaskFailedEventAttributes(
                scheduled_event_id=self._scheduled,
                started_event_id=started,
                cause=WorkflowTaskFailedCause.of(cause),
                failure=Failure(
                    message=message,
                    source=SOURCE,
                    stack_trace=blocked.where,
                    application_failure_info=ApplicationFailureInfo(type=name),
                ),
            ),
        )

    def _is_local(self, body: ev.Body) -> bool:
        """Whether it is the end of a local activity."""
        if not isinstance(body, ev.ActivityCompleted | ev.ActivityFailed):
            return False
        return self._run.activities[body.id].command.local

    def _happened(self, event: Event, *, held: bool = False) -> Iterator[api.HistoryEvent]:
        body = event.body
        if not held and (isinstance(body, ev.UpdateAccepted) or self._is_local(body)):
            if isinstance(body, ev.UpdateAccepted):
                self._run.updates_after[body.update_id] = self._run.next_event - 1
            self._held.append(event)
        elif isinstance(body, ev.ActivityCompleted | ev.ActivityFailed) and self._is_local(body):
            command, marker = local_activity_ended(self._run, body, event.at_us)
            yield self._event(event.at_us, marker, command)
        else:
            for attributes in HAPPENINGS[type(body)](self._run, body, event.at_us):
                yield self._event(event.at_us, attributes, body)

    # -- workflow tasks --------------------------------------------------------------------------------------

    def _schedule(self, at_us: int) -> api.HistoryEvent:
        self._scheduled = self._run.next_event
        attributes = api.WorkflowTaskScheduledEventAttributes(
            task_queue=queue(self._run.started.task_queue),
            start_to_close_timeout=duration(self._run.started.task_timeout_s or TASK_TIMEOUT_S),
            attempt=1,
        )
        return self._event(at_us, attributes)

    def _task(self, event: Event, given: Sequence[Event]) -> Iterator[api.HistoryEvent]:
        if not self._scheduled:
            yield self._schedule(event.at_us)
        length = given[-1].sequence if given else event.sequence
        started = self._run.next_event
        yield self._event(
            event.at_us,
            api.WorkflowTaskStartedEventAttributes(
                scheduled_event_id=self._scheduled, suggest_continue_as_new=length >= _SUGGESTED_LENGTH
            ),
        )
        first = not self._run.task_completed
        self._run.task_completed = self._run.next_event
        self.tasks.append((range(self._scheduled, self._run.next_event + 1), event.sequence))
        yield self._event(
            event.at_us,
            api.WorkflowTaskCompletedEventAttributes(
                scheduled_event_id=self._scheduled,
                started_event_id=started,
                sdk_metadata=WorkflowTaskCompletedMetadata(
                    core_used_flags=_CORE_FLAGS if first else (),
                    lang_used_flags=_LANGUAGE_FLAGS if first else (),
                    sdk_name="overwinter" if first else "",
                ),
            ),
        )
        self._scheduled = 0

    def _event(self, at_us: int, attributes: Message, body: Any = None) -> api.HistoryEvent:
        name, event_type = _FIELD_OF[type(attributes)]
        written = api.HistoryEvent(
            event_id=self._run.next_event,
            event_time=Timestamp.of_us(at_us),
            event_type=event_type,
            user_metadata=_metadata(body),
            event_group_markers=_groups(body),
            **{name: attributes},
        )
        self._run.next_event += 1
        return written


def _groups(body: Any) -> list[EventGroupMarker]:
    groups: Mapping[str, str] = getattr(body, "groups", {})
    return [EventGroupMarker(label={"id": name, "label": text(label)}) for name, label in groups.items()]


def _metadata(body: Any) -> UserMetadata | None:
    if not isinstance(body, ev.WorkflowStarted | cmd.ScheduleActivity | cmd.StartTimer | cmd.StartChild):
        return None
    summary, details = text(body.summary), text(getattr(body, "details", ""))
    return UserMetadata(summary=summary, details=details) if summary or details else None
