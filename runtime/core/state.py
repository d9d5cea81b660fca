"""An execution as its history tells it, without running its code.

The engine asks it what is pending (which activities to run, which timers to wait for) and it refuses
an event that cannot follow, both before an append and after a read.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import codec
from .commands import CancelActivity, CancelTimer, ScheduleActivity, StartTimer
from .events import (
    CLOSING,
    COMMANDS,
    ActivationStarted,
    ActivityCompleted,
    ActivityFailed,
    Body,
    CancelRequested,
    Closing,
    Event,
    TimerFired,
    WorkflowStarted,
)
from .retry import DELAY_S_MAX
from .transitions import ABSENT, CANCELING, CLOSED, LIFETIME_OF, OPEN, IllegalTransition, following


@dataclass(slots=True)
class PendingActivity:
    """An activity that was scheduled and has not ended."""

    command: ScheduleActivity
    scheduled_at_us: int
    state: str = OPEN

    @property
    def cancel_requested(self) -> bool:
        """Whether the workflow has asked it to stop."""
        return self.state == CANCELING


@dataclass(slots=True)
class PendingTimer:
    """A timer that was started and has neither fired nor been cancelled."""

    command: StartTimer
    due_us: int


class ExecutionState:
    """What one history adds up to."""

    __slots__ = (
        "activation",
        "activities",
        "at_us",
        "cancel_requested",
        "checksum",
        "closing",
        "deadline_us",
        "id_max",
        "sequence",
        "start",
        "timers",
        "unconsumed",
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
        self.unconsumed = 0
        self.cancel_requested = False
        self.closing: Closing | None = None
        self.deadline_us: int | None = None
        """When the run has taken as long as its timeouts allow."""

    @property
    def started(self) -> WorkflowStarted:
        """The first event; a history always has one once anything was applied."""
        assert self.start is not None, "an execution without its first event was asked for it"
        return self.start

    @property
    def open(self) -> bool:
        """Whether the execution has begun and not closed."""
        return self.start is not None and self.closing is None

    def next_due_us(self) -> int | None:
        """When the next timer or the workflow's own timeout is due, or None when there is neither."""
        next_timer = min((timer.due_us for timer in self.timers.values()), default=None)
        if self.deadline_us is None or next_timer is None:
            return next_timer if self.deadline_us is None else self.deadline_us
        return min(next_timer, self.deadline_us)

    def apply(self, event: Event) -> None:
        """Take one event into account.

        Raises:
            IllegalTransition: it cannot follow what is there; nothing was changed.
        """
        self._check_place(event)
        body = event.body
        match LIFETIME_OF[type(body)]:
            case "workflow":
                self._apply_workflow(event)
            case "activity":
                self._apply_activity(event)
            case _:
                self._apply_timer(event)
        self.sequence = event.sequence
        self.at_us = event.at_us
        self.activation = max(self.activation, event.activation)
        if event.activation == 0 and not isinstance(body, CLOSING):
            self.unconsumed += 1

    def _check_place(self, event: Event) -> None:
        if event.sequence != self.sequence + 1:
            raise IllegalTransition(
                f"event {event.sequence} was found after event {self.sequence}: the history has a gap"
            )
        if event.at_us < self.at_us:
            raise IllegalTransition(
                f"event {event.sequence} is older than the one before: instants never decrease"
            )
        if event.activation and event.activation < self.activation:
            raise IllegalTransition(
                f"event {event.sequence} belongs to activation {event.activation}, after activation {self.activation}"
            )
        if event.activation == 0 and isinstance(event.body, COMMANDS):
            raise IllegalTransition(f"event {event.sequence} is a command without an activation")

    def _workflow_state(self) -> str:
        if self.start is None:
            return ABSENT
        return OPEN if self.closing is None else CLOSED

    def _require_open(self, body: Body) -> None:
        if not self.open:
            raise IllegalTransition(
                f"{type(body).__name__} was found in a workflow that is {self._workflow_state()}"
            )

    def _apply_workflow(self, event: Event) -> None:
        body = event.body
        following("workflow", self._workflow_state(), type(body), "the workflow")
        if isinstance(body, WorkflowStarted):
            self.start = body
            limits = [s for s in (body.run_timeout_s, body.execution_timeout_s) if s is not None]
            limit_s = min(limits, default=None)
            if limit_s is not None:
                self.deadline_us = event.at_us + round(min(limit_s, DELAY_S_MAX) * 1_000_000)
        elif isinstance(body, CancelRequested):
            self.cancel_requested = True
        elif isinstance(body, ActivationStarted):
            self.unconsumed = 0
        elif isinstance(body, CLOSING):
            self.closing = body

    def _apply_activity(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, ScheduleActivity | CancelActivity | ActivityCompleted | ActivityFailed)
        self._require_open(body)
        if isinstance(body, ScheduleActivity):
            self._new_id(body.id)
            self.activities[body.id] = PendingActivity(body, event.at_us)
            return
        pending = self.activities.get(body.id)
        state = CLOSED if pending is None else pending.state
        state = following("activity", state, type(body), f"activity {body.id}")
        if state == CLOSED:
            del self.activities[body.id]
        elif pending is not None:
            pending.state = state

    def _apply_timer(self, event: Event) -> None:
        body = event.body
        assert isinstance(body, StartTimer | CancelTimer | TimerFired)
        self._require_open(body)
        if isinstance(body, StartTimer):
            self._new_id(body.id)
            self.timers[body.id] = PendingTimer(body, event.at_us + body.delay_us)
            return
        following("timer", OPEN if body.id in self.timers else CLOSED, type(body), f"timer {body.id}")
        del self.timers[body.id]

    def _new_id(self, new: int) -> None:
        if new <= self.id_max:
            raise IllegalTransition(f"id {new} was given out again, after id {self.id_max}")
        self.id_max = new
