"""What one run's commands and messages are called in Temporal's form: by the number of the event that made them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.commands import CancelExternal, ScheduleActivity, SignalExternal, SignalWithStart, StartChild
from ..core.events import WorkflowStarted


@dataclass(slots=True)
class Activity:
    """An activity that has not ended."""

    command: ScheduleActivity
    number: int
    """Which of the run's activities it is, from 1."""
    scheduled: int = 0
    cancel_requested: int = 0


@dataclass(slots=True)
class Child:
    """A child that has not closed."""

    command: StartChild
    initiated: int
    started: int = 0


@dataclass(slots=True)
class External:
    """A request to another execution that has no outcome."""

    command: SignalExternal | SignalWithStart | CancelExternal
    initiated: int


@dataclass(slots=True)
class Numbering:
    """The state of writing one run's history; numbers without a comment are those of Temporal's events."""

    next_event: int = 1
    start: WorkflowStarted | None = None
    task_completed: int = 0
    activity_count: int = 0
    timer_count: int = 0
    activities: dict[int, Activity] = field(default_factory=dict[int, Activity])
    """By our id, as those that follow."""
    timers: dict[int, tuple[int, str]] = field(default_factory=dict[int, tuple[int, str]])
    """The timer's event, and Temporal's id of it."""
    children: dict[int, Child] = field(default_factory=dict[int, Child])
    externals: dict[int, External] = field(default_factory=dict[int, External])
    reset_runs: list[str] = field(default_factory=list[str])
    """Runs that resets have made, and that others were made from."""
    updates: dict[str, int] = field(default_factory=dict[str, int])
    """Of their acceptance."""
    updates_after: dict[str, int] = field(default_factory=dict[str, int])
    """The last event before an update was handed over: it takes its turn behind the signals up to there."""

    @property
    def started(self) -> WorkflowStarted:
        """The first event.

        Raises:
            ValueError: the history does not begin with it.
        """
        if self.start is None:
            raise ValueError("no history: it does not begin with WorkflowStarted")
        return self.start
