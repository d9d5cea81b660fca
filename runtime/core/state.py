"""An execution as its history tells it, without running its code.

The engine asks it what is pending (which activities to run, which timers to wait for) and it refuses
an event that cannot follow, both before an append and after a read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NoReturn, cast

from . import codec
from .commands import (
    CancelChild,
    CancelExternal,
    CompleteUpdate,
    RecordPatch,
    ScheduleActivity,
    SignalExternal,
    SignalWithStart,
    StartChild,
    StartTimer,
    UpsertMemo,
    UpsertSearchAttributes,
)
from .events import (
    CLOSING,
    COMMANDS,
    FOR_NO_CODE,
    ActivationStarted,
    ActivityOptionsUpdated,
    Body,
    CancelRequested,
    ChildClosed,
    ChildStarted,
    ChildStartFailed,
    Closing,
    Event,
    ExternalResolved,
    TimeSkipped,
    TimeSkippingChanged,
    UpdateAccepted,
    UpdateAdmitted,
    WorkflowAdmitted,
    WorkflowPaused,
    WorkflowReset,
    WorkflowStarted,
    WorkflowUnpaused,
    WorkflowWithdrawn,
)
from .payload import ENCODING, Attribute, Payload
from .records import dataclass
from .retry import delay_us
from .skipping import OwnClock
from .standalone import is_activity
from .transitions import (
    ABSENT,
    ACTIVITY,
    CANCELING,
    CLOSED,
    LIFETIME_OF,
    OPEN,
    IllegalTransition,
    following,
    refuse,
)


def _merge(into: dict[str, Any], new: Mapping[str, Any], removed: Sequence[str]) -> None:
    into.update(new)
    for name in removed:
        del into[name]


@dataclass(slots=True)
class PendingActivity:
    """An activity that was scheduled and has not ended."""

    command: ScheduleActivity
    scheduled_at_us: int
    state: str = OPEN
    held_until_us: int = 0
    """The end of the last pause of its execution, before which no attempt began."""

    @property
    def first_at_us(self) -> int:
        """When its first attempt is due, from which its timeouts count."""
        delay_s = self.command.delay_s
        return self.scheduled_at_us + delay_us(delay_s) if delay_s else self.scheduled_at_us

    @property
    def due_us(self) -> int:
        """Before when no attempt begins."""
        if not (self.command.delay_s or self.held_until_us):
            return self.scheduled_at_us
        return max(self.first_at_us, self.held_until_us)

    @property
    def cancel_requested(self) -> bool:
        """Whether the workflow has asked it to stop."""
        return self.state == CANCELING


def with_options(command: ScheduleActivity, options: ActivityOptionsUpdated) -> ScheduleActivity:
    """The same activity with other options."""
    return replace(
        command,
        task_queue=options.task_queue,
        schedule_to_close_s=options.schedule_to_close_s,
        schedule_to_start_s=options.schedule_to_start_s,
        start_to_close_s=options.start_to_close_s,
        heartbeat_s=options.heartbeat_s,
        retry=options.retry,
        priority_key=options.priority_key,
        fairness_key=options.fairness_key,
        fairness_weight=options.fairness_weight,
        delay_s=options.delay_s,
    )


@dataclass(slots=True)
class PendingTimer:
    """A timer that was started and has neither fired nor been cancelled."""

    command: StartTimer
    due_us: int


@dataclass(slots=True)
class PendingChild:
    """A child that was asked for and has not closed."""

    command: StartChild
    state: str = OPEN
    run_id: str = ""
    """Of its first run; empty while it has not started."""
    cancel_reason: str | None = None


@dataclass(slots=True)
class KnownUpdate:
    """An update that was accepted, and how its handler ended once it has."""

    accepted: UpdateAccepted
    completed: CompleteUpdate | None = None


def chain_due_us(start: WorkflowStarted, at_us: int) -> int | None:
    """When the execution timeout of a run that began at `at_us` ends; it counts over all runs of the chain."""
    if start.execution_timeout_s is None:
        return None
    first_us = start.chain_started_us or at_us + delay_us(start.first_delay_s)
    return first_us + delay_us(start.execution_timeout_s)


class ExecutionState:
    """What one history adds up to."""

    __slots__ = (
        "activation",
        "activities",
        "admitted",
        "at_us",
        "cancel_reason",
        "cancel_requested",
        "chain_due_us",
        "checksum",
        "children",
        "clock",
        "closing",
        "deadline_us",
        "externals",
        "first_due_us",
        "id_max",
        "memo",
        "patches",
        "paused_by",
        "recorded_by",
        "resets",
        "search_attributes",
        "sequence",
        "skipped_us",
        "start",
        "timers",
        "unconsumed",
        "updates",
        "updates_admitted",
    )

    def __init__(self, run_id: str) -> None:
        self.start: WorkflowStarted | None = None
        self.sequence = 0
        self.activation = 0
        self.at_us = 0
        self.checksum = codec.chain_start(run_id)
        self.id_max = 0
        self.activities: dict[int, PendingActivity] = {}
        self.timers: dict[int, PendingTimer] = {}
        self.children: dict[int, PendingChild] = {}
        self.externals: dict[int, SignalExternal | SignalWithStart | CancelExternal] = {}
        self.updates: dict[str, KnownUpdate] = {}
        self.updates_admitted: dict[str, UpdateAdmitted] = {}
        """Updates that wait for their validator to decide again after a reset."""
        self.resets: list[Event] = []
        """The resets by which this run was made, each of the run before; none for most."""
        self.recorded_by: dict[int, str] = {}
        """By id, the run in which commands were recorded that a reset found pending."""
        self.patches: set[str] = set()
        self.search_attributes: dict[str, Attribute] = {}
        self.memo: dict[str, Payload] = {}
        self.cancel_reason: str | None = None
        self.first_due_us: int | None = None
        """When a delayed start goes on; None when it has, or is not delayed."""
        self.unconsumed = 0
        self.paused_by: Event | None = None
        """The event that paused it; None when it is not paused by itself."""
        self.cancel_requested = False
        self.closing: Closing | None = None
        self.chain_due_us: int | None = None
        """When the execution timeout ends, which counts over all runs of the chain."""
        self.deadline_us: int | None = None
        """When the run has taken as long as its timeouts allow."""
        self.skipped_us = 0
        """How far its own clock is ahead of the engine's."""
        self.clock: OwnClock | None = None
        """How its own clock skips; None when it was never set."""
        self.admitted = True
        """Whether its code may run; False while it waits for its concurrency key."""

    @property
    def started(self) -> WorkflowStarted:
        """The first event; a history always has one once anything was applied."""
        assert self.start is not None, "an execution without its first event was asked for it"
        return self.start

    @property
    def open(self) -> bool:
        """Whether the execution has begun and not closed."""
        return self.start is not None and self.closing is None

    @property
    def timed(self) -> bool:
        """Whether anything of it may be due at some instant: a timer, its own timeout, its delayed start, its clock."""
        return (
            bool(self.timers)
            or self.deadline_us is not None
            or self.first_due_us is not None
            or self.clock is not None
        )

    def next_due_us(self, now_us: int | None = None) -> int | None:
        """When the next timer, the workflow's own timeout or its delayed start is due by its own clock; None when nothing is.

        Given the time by that clock, a start whose time has come is left out: it waits for a worker, not for a time.
        """
        if not self.timed:
            return None
        due = [timer.due_us for timer in self.timers.values()]
        if self.clock is not None and self.clock.forward_due_us is not None:
            due.append(self.clock.forward_due_us)
        if self.deadline_us is not None:
            due.append(self.deadline_us)
        first_us = self.first_due_us if self.admitted else None
        if first_us is not None and (now_us is None or first_us > now_us):
            due.append(first_us)
        return min(due, default=None)

    def apply(self, event: Event) -> None:
        """Take one event into account.

        Raises:
            IllegalTransition: it cannot follow what is there; nothing was changed.
        """
        sequence, activation, at_us, body = event
        if (
            sequence != self.sequence + 1
            or at_us < self.at_us
            or (activation < self.activation if activation else isinstance(body, COMMANDS))
        ):
            self._refuse_place(event)
        _APPLY[type(body)](self, event)
        self.sequence = sequence
        self.at_us = at_us
        if activation:
            self.activation = activation
        elif not isinstance(body, FOR_NO_CODE):
            self.unconsumed += 1

    def _refuse_place(self, event: Event) -> NoReturn:
        if event.sequence != self.sequence + 1:
            raise IllegalTransition(
                f"event {event.sequence} was found after event {self.sequence}: the history has a gap"
            )
        if event.at_us < self.at_us:
            raise IllegalTransition(
                f"event {event.sequence} is older than the one before: instants never decrease"
            )
        if event.activation:
            raise IllegalTransition(
                f"event {event.sequence} belongs to activation {event.activation}, after activation {self.activation}"
            )
        raise IllegalTransition(f"event {event.sequence} is a command without an activation")

    def _workflow_state(self) -> str:
        if self.start is None:
            return ABSENT
        return OPEN if self.closing is None else CLOSED

    def _require_open(self, body: Body) -> None:
        if self.closing is not None or self.start is None:
            raise IllegalTransition(
                f"{type(body).__name__} was found in a workflow that is {self._workflow_state()}"
            )

    def _apply_workflow(self, event: Event) -> None:
        body = event.body
        following("workflow", self._workflow_state(), type(body), "the workflow")
        if self.admitted and isinstance(body, WorkflowAdmitted | WorkflowWithdrawn):
            raise IllegalTransition(f"{type(body).__name__} was found in a workflow that did not wait")
        if isinstance(body, WorkflowStarted):
            self.start = body
            self._begin(body, event.at_us)
        elif isinstance(body, WorkflowAdmitted):
            self.admitted = True
            self._count_run_from(max(event.at_us, self.first_due_us or 0))
        elif isinstance(body, CancelRequested):
            self.cancel_requested = True
            self.cancel_reason = body.reason
        elif isinstance(body, UpsertSearchAttributes):
            _merge(
                self.search_attributes,
                body.attributes,
                [k for k, v in body.attributes.items() if v[1] is None],
            )
        elif isinstance(body, UpsertMemo):
            _merge(
                self.memo,
                body.memo,
                [k for k, v in body.memo.items() if v.metadata.get(ENCODING) == b"binary/null"],
            )
        elif isinstance(body, RecordPatch):
            self.patches.add(body.patch_id)
        elif isinstance(body, ActivationStarted):
            self.unconsumed = 0
            self.first_due_us = None
            self.updates_admitted = {}
        elif isinstance(body, WorkflowReset):
            self._reset(event, body)
        elif isinstance(body, CLOSING):
            self.closing = body

    def _begin(self, start: WorkflowStarted, at_us: int) -> None:
        self.search_attributes = dict(start.search_attributes)
        self.memo = dict(start.memo)
        self.admitted = start.admitted
        if start.clock is not None:
            self.skipped_us = start.clock.skipped_us
            self.clock = OwnClock.begin(start.clock, at_us)
        first_us = at_us + delay_us(start.first_delay_s)
        if start.first_delay_s:
            self.first_due_us = first_us
        self.chain_due_us = self.deadline_us = chain_due_us(start, at_us)
        if self.admitted:
            self._count_run_from(first_us)

    def _count_run_from(self, first_us: int) -> None:
        """The run timeout counts from here; what waits for its key is not running."""
        limit_s = self.started.run_timeout_s
        if limit_s is not None:
            due_us = first_us + delay_us(limit_s)
            self.deadline_us = due_us if self.deadline_us is None else min(self.deadline_us, due_us)

    def _reset(self, event: Event, body: WorkflowReset) -> None:
        self.resets.append(event)
        self.first_due_us = None
        limit_s = self.started.execution_timeout_s
        self.chain_due_us = None if limit_s is None else event.at_us + delay_us(limit_s)
        self.deadline_us = self.chain_due_us
        if self.admitted:
            self._count_run_from(event.at_us)
        for pending in self.activities.values():
            pending.scheduled_at_us = event.at_us
        for number in (*self.activities, *self.children, *self.externals):
            self.recorded_by.setdefault(number, body.base_run_id)

    def run_that_asked(self, number: int) -> str:
        """The run in which a pending command was recorded: this one, or one that this was made of by a reset."""
        return (self.recorded_by.get(number) if self.recorded_by else None) or self.started.run_id

    @property
    def chain_started_us(self) -> int:
        """What the execution timeout counts from; 0 in a first run that was not reset."""
        return self.resets[-1].at_us if self.resets else self.started.chain_started_us

    @property
    def base_run_ids(self) -> list[str]:
        """The runs that this one was made of by resets, the first one first."""
        return [event.body.base_run_id for event in self.resets if isinstance(event.body, WorkflowReset)]

    def _skip_time(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, TimeSkipped)
        self._require_open(body)
        if self.clock is None or body.to_us < event.at_us:
            raise IllegalTransition(
                f"TimeSkipped to {body.to_us} was found at {event.at_us}, expected a clock that skips, and a later instant"
            )
        self.skipped_us += body.to_us - event.at_us
        self.clock.skipped(forward_reached=body.forward_reached)

    def _change_skipping(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, TimeSkippingChanged)
        self._require_open(body)
        self.clock = OwnClock.set(body.skipping, event.at_us)

    def _apply_child(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, StartChild | CancelChild | ChildStarted | ChildStartFailed | ChildClosed)
        self._require_open(body)
        if isinstance(body, StartChild):
            self._new_id(body.id)
            self.children[body.id] = PendingChild(body)
            return
        pending = self.children.get(body.id)
        state = following(
            "child", CLOSED if pending is None else pending.state, type(body), f"child {body.id}"
        )
        assert pending is not None, "the table has no way on from CLOSED"
        if state == CLOSED:
            del self.children[body.id]
            return
        pending.state = state
        if isinstance(body, ChildStarted):
            pending.run_id = body.run_id
        elif isinstance(body, CancelChild):
            pending.cancel_reason = body.reason

    def _apply_external(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, SignalExternal | SignalWithStart | CancelExternal | ExternalResolved)
        self._require_open(body)
        if not isinstance(body, ExternalResolved):
            self._new_id(body.id)
            self.externals[body.id] = body
            return
        following("external", OPEN if body.id in self.externals else CLOSED, type(body), f"request {body.id}")
        del self.externals[body.id]

    def _apply_pause(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, WorkflowPaused | WorkflowUnpaused)
        self._require_open(body)
        following("pause", ABSENT if self.paused_by is None else OPEN, type(body), "the pause")
        self.paused_by = event if isinstance(body, WorkflowPaused) else None
        if isinstance(body, WorkflowUnpaused) and is_activity(self.started.workflow_id):
            for pending in self.activities.values():
                pending.held_until_us = event.at_us + delay_us(body.delay_s)

    def _apply_update(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, UpdateAdmitted | UpdateAccepted | CompleteUpdate)
        self._require_open(body)
        known = self.updates.get(body.update_id)
        state = ABSENT if known is None else OPEN if known.completed is None else CLOSED
        following("update", state, type(body), f"update {body.update_id}")
        if isinstance(body, UpdateAdmitted):
            self.updates_admitted[body.update_id] = body
        elif isinstance(body, UpdateAccepted):
            self.updates[body.update_id] = KnownUpdate(body)
        else:
            assert known is not None, "the table lets nothing else follow ABSENT"
            known.completed = body

    def _schedule_activity(self, event: Event) -> None:
        body: Any = event.body
        self._require_open(body)
        self._new_id(body.id)
        self.activities[body.id] = PendingActivity(body, event.at_us)

    def _change_activity(self, event: Event) -> None:
        body: Any = event.body
        self._require_open(body)
        pending = self.activities.get(body.id)
        after = None if pending is None else ACTIVITY[pending.state].get(type(event.body))
        if pending is None or after is None:
            state = CLOSED if pending is None else pending.state
            refuse("activity", state, type(event.body), f"activity {body.id}")
        if after == CLOSED:
            del self.activities[body.id]
            return
        pending.state = after
        if isinstance(body, ActivityOptionsUpdated):
            pending.command = with_options(pending.command, body)

    def _start_timer(self, event: Event) -> None:
        body: Any = event.body
        self._require_open(body)
        self._new_id(body.id)
        self.timers[body.id] = PendingTimer(body, event.at_us + body.delay_us)

    def _end_timer(self, event: Event) -> None:
        body: Any = event.body
        self._require_open(body)
        if self.timers.pop(body.id, None) is None:
            refuse("timer", CLOSED, cast("type[Body]", type(body)), f"timer {body.id}")

    def _new_id(self, new: int) -> None:
        if new <= self.id_max:
            raise IllegalTransition(f"id {new} was given out again, after id {self.id_max}")
        self.id_max = new

    BY_LIFETIME: ClassVar[dict[str, Callable[[ExecutionState, Event], None]]] = {
        "workflow": _apply_workflow,
        "activity": _change_activity,
        "timer": _end_timer,
        "child": _apply_child,
        "external": _apply_external,
        "pause": _apply_pause,
        "update": _apply_update,
    }
    BY_BODY: ClassVar[dict[type[Body], Callable[[ExecutionState, Event], None]]] = {
        ScheduleActivity: _schedule_activity,
        StartTimer: _start_timer,
        TimeSkipped: _skip_time,
        TimeSkippingChanged: _change_skipping,
    }


_APPLY = {
    body: ExecutionState.BY_BODY.get(body) or ExecutionState.BY_LIFETIME[lifetime]
    for body, lifetime in LIFETIME_OF.items()
}
