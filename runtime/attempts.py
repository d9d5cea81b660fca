"""Attempts of activities: waiting for a slot, running, beating, timing out, being cancelled.

An attempt's outcome is reported once. A function that does not stop when it timed out or was cancelled keeps its
slot until it returns; what it says then is ignored.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from .core.commands import ScheduleActivity
from .core.events import WorkflowStarted
from .core.payload import Failure, Payload

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRequest:
    """One attempt of one activity, with all that its code may ask about itself. Instants are microseconds."""

    execution: int
    workflow: WorkflowStarted
    command: ScheduleActivity
    attempt: int
    scheduled_at_us: int
    attempt_scheduled_at_us: int
    heartbeat: tuple[Payload, ...] = ()

    @property
    def idempotency_key(self) -> str:
        """The same on every attempt, and of no other activity anywhere."""
        return f"{self.workflow.run_id}:{self.command.id}"


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


class CompletesLater:
    """What a function says that has handed its work to someone else, who will report how it ended."""


LATER = CompletesLater()
Outcome = Payload | Failure


class Reports(Protocol):
    """What an attempt tells the engine."""

    def attempt_ended(
        self, request: AttemptRequest, outcome: Outcome, heartbeat: tuple[Payload, ...]
    ) -> None:
        """It ended with a result or a failure; `heartbeat` is the last that it said."""
        ...

    def attempt_beat(self, request: AttemptRequest, heartbeat: tuple[Payload, ...]) -> None:
        """It is alive and wants its next attempt to know this."""
        ...


class Attempt:
    """An attempt that runs. The activity's context holds it to beat and to learn of its cancellation."""

    def __init__(
        self,
        request: AttemptRequest,
        reports: Reports,
        beat_interval_s: float,
        *,
        started_at_us: int,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.request = request
        self.started_at_us = started_at_us
        self.heartbeat = request.heartbeat
        self.cancel_reason: str | None = None
        self.task: asyncio.Task[None] | None = None
        self.on_cancel: Callable[[], None] | None = None
        """How the kind of activity at hand is told to stop; an asynchronous one is its task."""
        self._reports = reports
        self._loop: Timeouts = timeouts or asyncio.get_running_loop()
        self._reported = False
        self._last_beat_s = self._loop.time()
        self._beat_interval_s = beat_interval_s
        self._persisted_at_s = float("-inf")
        self._beat_later: Cancellable | None = None
        self._timeouts: list[Cancellable] = []
        command = request.command
        if command.start_to_close_s is not None:
            self._timeouts.append(
                self._loop.call_later(command.start_to_close_s, self._time_out, "START_TO_CLOSE")
            )
        if command.heartbeat_s is not None:
            self._timeouts.append(self._loop.call_later(command.heartbeat_s, self._check_heartbeat))

    @property
    def reported(self) -> bool:
        """Whether the engine has its outcome already."""
        return self._reported

    def beat(self, details: tuple[Payload, ...]) -> None:
        """Note a heartbeat; the journal gets the last one at most once an interval."""
        if self._reported:
            return
        self._last_beat_s = now = self._loop.time()
        self.heartbeat = details
        wait = self._persisted_at_s + self._beat_interval_s - now
        if wait <= 0:
            self._persist_beat()
        elif self._beat_later is None:
            self._beat_later = self._loop.call_later(wait, self._persist_beat)

    def _persist_beat(self) -> None:
        self._beat_later = None
        if not self._reported:
            self._persisted_at_s = self._loop.time()
            self._reports.attempt_beat(self.request, self.heartbeat)

    def report(self, outcome: Outcome) -> None:
        """Tell the engine, once."""
        if self._reported:
            return
        self.silence()
        self._reports.attempt_ended(self.request, outcome, self.heartbeat)

    def silence(self) -> None:
        """Say nothing any more: the outcome is known, or nobody wants it."""
        self._reported = True
        for timeout in self._timeouts:
            timeout.cancel()
        if self._beat_later is not None:
            self._beat_later.cancel()

    def cancel(self, reason: str) -> None:
        """Ask the function to stop; how it ends is still reported."""
        if self.cancel_reason is None:
            self.cancel_reason = reason
            if self.on_cancel is not None:
                self.on_cancel()

    def _time_out(self, kind: str) -> None:
        what = {"START_TO_CLOSE": "activity StartToClose timeout", "HEARTBEAT": "activity Heartbeat timeout"}[
            kind
        ]
        failure = Failure(
            kind="timeout", message=what, details=self.heartbeat, attributes={"timeout_type": kind}
        )
        self.report(failure)
        self.cancel("timed out")

    def _check_heartbeat(self) -> None:
        limit = self.request.command.heartbeat_s
        assert limit is not None
        left = self._last_beat_s + limit - self._loop.time()
        if left <= 0:
            self._time_out("HEARTBEAT")
        else:
            self._timeouts.append(self._loop.call_later(left, self._check_heartbeat))
            del self._timeouts[:-2]


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


_Place = tuple[int, int]
_USUAL_PRIORITY: Final = 3
"""Of an activity without a priority key; keys go from 1, the first, to 5."""
_RATE_BURST_S: Final = 0.05
"""A rate is kept over this: what a late timer missed is made up for, and nothing older."""


def _place_of(request: AttemptRequest) -> _Place:
    """The activity that this is an attempt of: the key of its execution, and its id there."""
    return (request.execution, request.command.id)


class ActivityQueue:
    """Attempts of one worker: at most `slots` run at a time, and at most `per_second` start in a second.

    The others wait, those of the smallest priority key first.
    """

    def __init__(
        self,
        runner: ActivityRunner,
        reports: Reports,
        *,
        slots: int,
        beat_interval_s: float,
        now_us: Callable[[], int],
        timeouts: Timeouts | None = None,
        per_second: float | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._runner = runner
        self._reports = reports
        self._slots = slots
        self._beat_interval_s = beat_interval_s
        self._now_us = now_us
        self._per_second = per_second
        self._next_start_s = 0.0
        self._paced: asyncio.TimerHandle | None = None
        self._waiting: dict[_Place, AttemptRequest] = {}
        self._order: list[tuple[int, int, _Place]] = []
        """A heap of those that wait: priority, order of the calls. What was withdrawn is passed over."""
        self._number = itertools.count()
        self._cut_off: list[AttemptRequest] = []
        self._running: dict[tuple[int, int], Attempt] = {}
        self._handed_over: dict[tuple[int, int], Attempt] = {}
        """Attempts whose function has returned, and whose outcome someone else will report."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    @property
    def running(self) -> int:
        """How many functions run, those included whose outcome is known already."""
        return len(self._tasks)

    @property
    def load(self) -> float:
        """How many attempts run or wait, for each slot."""
        return (len(self._tasks) + len(self._waiting)) / self._slots

    @property
    def queued(self) -> int:
        """How many attempts wait for a slot."""
        return len(self._waiting)

    def attempt(self, execution: int, activity: int) -> Attempt | None:
        """The attempt of this activity that runs now, or that was handed over and has no outcome yet."""
        handed_over = self._handed_over.get((execution, activity))
        if handed_over is not None and not handed_over.reported:
            return handed_over
        return self._running.get((execution, activity))

    def holds(self, request: AttemptRequest) -> bool:
        """Whether an attempt of this activity runs or waits here already."""
        place = _place_of(request)
        running = self.attempt(*place)
        return place in self._waiting or (running is not None and not running.reported)

    def submit(self, request: AttemptRequest) -> None:
        """Start it as soon as a slot is free and the rate allows; by priority, then in the order of the calls."""
        if self.holds(request):
            return
        self._waiting[_place_of(request)] = request
        rank = request.command.priority_key or _USUAL_PRIORITY
        heapq.heappush(self._order, (rank, next(self._number), _place_of(request)))
        self._start_some()

    def _start_some(self) -> None:
        while self._waiting and not self.closing and len(self._tasks) < self._slots:
            if not self._may_start_now():
                return
            _, _, place = heapq.heappop(self._order)
            request = self._waiting.pop(place, None)
            if request is not None:  # else it was withdrawn
                self._start(request)
        if not self._waiting:
            self._order.clear()

    def _may_start_now(self) -> bool:
        """Whether the rate allows a start; if not, it is tried again when it does."""
        if self._per_second is None:
            return True
        loop = asyncio.get_running_loop()
        wait_s = self._next_start_s - loop.time()
        if wait_s > 0:
            if self._paced is None:
                self._paced = loop.call_later(wait_s, self._go_on)
            return False
        self._next_start_s = max(self._next_start_s, loop.time() - _RATE_BURST_S) + 1 / self._per_second
        return True

    def _go_on(self) -> None:
        self._paced = None
        self._start_some()

    def withdraw(self, execution: int, activity: int) -> bool:
        """Take back an attempt that has not started; False when there is none."""
        return self._waiting.pop((execution, activity), None) is not None

    def forget(self, execution: int, activity: int, reason: str) -> None:
        """Nobody wants the outcome any more: withdraw the attempt, or stop it and hear nothing of it."""
        attempt = self.attempt(execution, activity)
        if attempt is None:
            self.withdraw(execution, activity)
        else:
            attempt.silence()
            attempt.cancel(reason)

    def _start(self, request: AttemptRequest) -> None:
        attempt = Attempt(
            request,
            self._reports,
            self._beat_interval_s,
            started_at_us=self._now_us(),
            timeouts=self._timeouts,
        )
        self._running[_place_of(request)] = attempt
        task = asyncio.get_running_loop().create_task(self._run(attempt))
        attempt.task = task
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self, attempt: Attempt) -> None:
        place = _place_of(attempt.request)
        try:
            outcome = await self._runner.run(attempt)
        except asyncio.CancelledError:
            # The gateway stops: without an outcome the attempt is made again at the next start.
            attempt.silence()
            raise
        finally:
            if self._running.get(place) is attempt:
                del self._running[place]
        if isinstance(outcome, CompletesLater):
            self._handed_over = {p: a for p, a in self._handed_over.items() if not a.reported}
            self._handed_over[place] = attempt
        else:
            attempt.report(outcome)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an attempt ended in a way that no outcome describes", exc_info=error)
        self._start_some()

    def unfinished(self) -> list[AttemptRequest]:
        """What a closed queue did not begin, or cut off without an outcome; whoever serves next makes them again."""
        return [*self._cut_off, *self._waiting.values()]

    async def close(self, grace_s: float) -> None:
        """Start nothing more, let what runs end within the grace, then cancel it without an outcome."""
        self.closing = True
        if self._paced is not None:
            self._paced.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for attempt in [*self._running.values(), *self._handed_over.values()]:
            if not attempt.reported:
                self._cut_off.append(replace(attempt.request, heartbeat=attempt.heartbeat))
            attempt.silence()
            attempt.cancel("the worker shuts down")
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(grace_s, 1.0))


def not_registered(what: str, name: str, known: list[str]) -> Failure:
    """The failure of an attempt that no function answers to; it is retried, since a new version may bring it."""
    listed = ", ".join(known) or "none"
    return Failure(
        kind="application",
        message=f"{what} function {name} is not registered on this worker, available activities: {listed}",
        attributes={"type": "NotFoundError"},
    )
