"""Attempts of activities: beating, timing out, being cancelled. An attempt's outcome is reported once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .core.commands import ScheduleActivity
from .core.events import WorkflowStarted
from .core.payload import Failure, Payload
from .core.records import dataclass, record
from .ports import Receipt

Place = tuple[int, int]


@record(kw_only=True)
class AttemptRequest:
    """One attempt of one activity, with all that its code may ask about itself. Instants are microseconds."""

    execution: int
    workflow: WorkflowStarted
    command: ScheduleActivity
    attempt: int
    scheduled_at_us: int
    attempt_scheduled_at_us: int
    heartbeat: tuple[Payload, ...] = ()
    key_run_id: str
    """The run in which the activity was recorded: its own, or one that its own was made of by a reset."""
    skipped_us: int = 0
    """How far the execution's own clock is ahead."""

    @property
    def place(self) -> Place:
        """The activity that this is an attempt of: the key of its execution, and its id there."""
        return (self.execution, self.command.id)

    @property
    def idempotency_key(self) -> str:
        """The same on every attempt, and of no other activity anywhere."""
        return f"{self.key_run_id}:{self.command.id}"


class Timeouts(Protocol):
    """The time that attempts take: this machine's, or in a test that of the engine's clock."""

    def time(self) -> float:
        """Seconds; only differences have a meaning."""
        ...

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Cancellable:
        """Call this so many seconds from now, unless it is cancelled."""
        ...


class Cancellable(Protocol):
    """Something to come that can be called off."""

    def cancel(self) -> None:
        """It will not be done."""
        ...


PAUSED: Final = "the activity is paused"
"""Why attempts are cancelled whose activity was paused, when they beat."""
SHUTDOWN: Final = "the worker shuts down"
"""Why attempts are cancelled that do not end within the grace of a worker that stops."""


class CompletesLater:
    """What a function says that has handed its work to someone else, who will report how it ended."""


LATER = CompletesLater()
Outcome = Payload | Failure


@record
class Reporter:
    """Someone else who reports how such an attempt ended, and waits until that is durable."""

    settle: Callable[[BaseException | None], None]
    """Called with None once it is, or with why it will not be."""
    receipt: Receipt | None = None


class Reports(Protocol):
    """What an attempt tells the engine."""

    def attempt_ended(self, attempt: Attempt, outcome: Outcome, reporter: Reporter | None = None) -> None:
        """It ended with a result or a failure."""
        ...

    def attempt_beat(self, attempt: Attempt) -> None:
        """It is alive and wants its next attempt to know what it said last."""
        ...


class Deadlines:
    """When attempts have taken too long. There is one timer for each length that is in use, however many attempts run."""

    def __init__(self, clock: Timeouts) -> None:
        self.clock = clock
        self._lines: dict[float, _Line] = {}

    def add(self, attempt: Attempt, limit_s: float, now_s: float) -> None:
        """It times out so many seconds from now, unless it is removed before."""
        line = self._lines.get(limit_s)
        if line is None:
            timer = self.clock.call_later(limit_s, self._look, limit_s)
            line = self._lines[limit_s] = _Line({}, timer)
        line.due[attempt] = now_s + limit_s

    def remove(self, attempt: Attempt, limit_s: float) -> None:
        """It has ended."""
        line = self._lines.get(limit_s)
        if line is not None and line.due.pop(attempt, None) is not None and not line.due:
            line.timer.cancel()
            del self._lines[limit_s]

    def _look(self, limit_s: float) -> None:
        line, now_s = self._lines.pop(limit_s), self.clock.time()
        while line.due:
            attempt, due_s = next(
                iter(line.due.items())
            )  # All of a line take the same time: the first began first.
            if due_s > now_s:
                line.timer = self.clock.call_later(due_s - now_s, self._look, limit_s)
                self._lines[limit_s] = line
                return
            del line.due[attempt]
            attempt.time_out("START_TO_CLOSE")


@dataclass(slots=True)
class _Line:
    due: dict[Attempt, float]
    timer: Cancellable


_NEVER_S: Final = float("-inf")


class Attempt:
    """An attempt that runs. The activity's context holds it to beat and to learn of its cancellation."""

    def __init__(
        self,
        request: AttemptRequest,
        reports: Reports,
        beat_interval_s: float,
        *,
        started_at_us: int,
        deadlines: Deadlines,
    ) -> None:
        self.request = request
        self.started_at_us = started_at_us
        self.heartbeat = request.heartbeat
        self.beaten_at_us = 0
        self.unwritten_beats = 0
        """How often it has beaten since the journal was told."""
        self.pausing = False
        """Whether its activity is paused, so that it is cancelled when it beats."""
        self.cancel_reason: str | None = None
        self.task: asyncio.Task[None] | None = None
        self.on_cancel: Callable[[], None] | None = None
        """How the kind of activity at hand is told to stop; an asynchronous one is its task."""
        self.on_shutdown: Callable[[], None] | None = None
        """How code in another process is told that the worker begins to stop."""
        self.on_outcome: Callable[[], None] | None = None
        """Called when the outcome is known, or nobody wants it any more."""
        self._reports = reports
        self.reported = False
        """Whether the engine has its outcome already."""
        self._deadlines = deadlines
        self._clock = deadlines.clock
        self._started_s = self._last_beat_s = deadlines.clock.time()
        self.beat_interval_s = beat_interval_s
        self._persisted_at_s = _NEVER_S
        self._beat_later: Cancellable | None = None
        self._silence_later: Cancellable | None = None
        self._limit_s: float | None = None
        """In the line of which length it waits among the deadlines."""
        self._heartbeat_s: float | None = None
        self._take_limits(request.command, 0.0)

    def limit(self, command: ScheduleActivity) -> None:
        """It may take as long as these options say, from its start and from one heartbeat to the next."""
        if self._limit_s is not None:
            self._deadlines.remove(self, self._limit_s)
            self._limit_s = None
        if self._silence_later is not None:
            self._silence_later.cancel()
        self._take_limits(command, self._clock.time() - self._started_s)

    def _take_limits(self, command: ScheduleActivity, passed_s: float) -> None:
        limit_s, whole_s = command.start_to_close_s, command.schedule_to_close_s
        if limit_s is not None and (whole_s is None or limit_s < whole_s):  # or the whole time is over first
            self._limit_s = max(limit_s - passed_s, 0.0)
            self._deadlines.add(self, self._limit_s, self._started_s + passed_s)
        self._heartbeat_s = command.heartbeat_s
        if self._heartbeat_s is not None:
            self._check_heartbeat()

    def beat(self, details: tuple[Payload, ...]) -> None:
        """Note a heartbeat; the journal gets the last one at most once an interval."""
        if self.reported:
            return
        now = self.alive()
        self.heartbeat = details
        self.beaten_at_us = self.started_at_us + round((now - self._started_s) * 1_000_000)
        self.unwritten_beats += 1
        wait = self._persisted_at_s + self.beat_interval_s - now
        if wait <= 0:
            self._persist_beat()
        elif self._beat_later is None:
            self._beat_later = self._clock.call_later(wait, self._persist_beat)
        if self.pausing:
            self.cancel(PAUSED)

    def alive(self) -> float:
        """The heartbeat timeout begins again; returns the time."""
        self._last_beat_s = self._clock.time()
        return self._last_beat_s

    def _persist_beat(self) -> None:
        self._beat_later = None
        if not self.reported:
            self._persisted_at_s = self._clock.time()
            self._reports.attempt_beat(self)

    def report(self, outcome: Outcome, reporter: Reporter | None = None) -> None:
        """Tell the engine, once."""
        if self.reported:
            return
        self.silence()
        self._reports.attempt_ended(self, outcome, reporter)

    def silence(self) -> None:
        """Say nothing any more: the outcome is known, or nobody wants it."""
        self.reported = True
        if self._limit_s is not None:
            self._deadlines.remove(self, self._limit_s)
        if self._silence_later is not None:
            self._silence_later.cancel()
        if self._beat_later is not None:
            self._beat_later.cancel()
        if self.on_outcome is not None:
            on_outcome, self.on_outcome = self.on_outcome, None
            on_outcome()

    def cancel(self, reason: str) -> None:
        """Ask the function to stop; how it ends is still reported."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            if self.on_cancel is not None:
                self.on_cancel()

    def time_out(self, kind: str) -> None:
        """It has taken too long: that is its outcome, and the function is asked to stop."""
        what = {"START_TO_CLOSE": "activity StartToClose timeout", "HEARTBEAT": "activity Heartbeat timeout"}[
            kind
        ]
        if self.request.command.local:
            what = "Activity timed out"
        failure = Failure(
            kind="timeout", message=what, details=self.heartbeat, attributes={"timeout_type": kind}
        )
        self.report(failure)
        self.cancel("timed out")

    def _check_heartbeat(self) -> None:
        assert self._heartbeat_s is not None
        left = self._last_beat_s + self._heartbeat_s - self._clock.time()
        if left <= 0:
            self.time_out("HEARTBEAT")
        else:
            self._silence_later = self._clock.call_later(left, self._check_heartbeat)


class ActivityRunner(Protocol):
    """Runs the functions of one worker: what `worker.Worker` gives the engine."""

    def knows(self, activity_type: str) -> bool:
        """Whether there is a function for this type."""
        ...

    def known(self) -> list[str]:
        """The types that there are functions for."""
        ...

    async def run(self, attempt: Attempt) -> Outcome | CompletesLater:
        """Run the function; its exceptions come back as failures."""
        ...


def not_registered(name: str, known: Sequence[str]) -> Failure:
    """The failure of an attempt that no function answers to; it is retried, since a new version may bring it."""
    return Failure(
        kind="application", message=unknown_activity(name, known), attributes={"type": "NotFoundError"}
    )


def unknown_activity(name: str, known: Sequence[str]) -> str:
    """What is said of an activity that a worker does not have."""
    available = f"available activities: {', '.join(known)}" if known else "no available activities"
    return f"Activity function {name} is not registered on this worker, {available}"
