"""Attempts of activities: beating, timing out, being cancelled. An attempt's outcome is reported once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .core.commands import ScheduleActivity
from .core.events import WorkflowStarted
from .core.payload import Failure, Payload
from .ports import Receipt

Place = tuple[int, int]


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


SHUTDOWN: Final = "the worker shuts down"
"""Why attempts are cancelled that do not end within the grace of a worker that stops."""


class CompletesLater:
    """What a function says that has handed its work to someone else, who will report how it ended."""


LATER = CompletesLater()
Outcome = Payload | Failure


@dataclass(frozen=True, slots=True)
class Reporter:
    """Someone else who reports how such an attempt ended, and waits until that is durable."""

    settle: Callable[[BaseException | None], None]
    """Called with None once it is, or with why it will not be."""
    receipt: Receipt | None = None


class Reports(Protocol):
    """What an attempt tells the engine."""

    def attempt_ended(
        self,
        request: AttemptRequest,
        outcome: Outcome,
        heartbeat: tuple[Payload, ...],
        reporter: Reporter | None = None,
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
        self.on_shutdown: Callable[[], None] | None = None
        """How code in another process is told that the worker begins to stop."""
        self.on_outcome: Callable[[], None] | None = None
        """Called when the outcome is known, or nobody wants it any more."""
        self._reports = reports
        self._loop: Timeouts = timeouts or asyncio.get_running_loop()
        self._reported = False
        self._last_beat_s = self._loop.time()
        self.beat_interval_s = beat_interval_s
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
        now = self.alive()
        self.heartbeat = details
        wait = self._persisted_at_s + self.beat_interval_s - now
        if wait <= 0:
            self._persist_beat()
        elif self._beat_later is None:
            self._beat_later = self._loop.call_later(wait, self._persist_beat)

    def alive(self) -> float:
        """The heartbeat timeout begins again; returns the time."""
        self._last_beat_s = self._loop.time()
        return self._last_beat_s

    def _persist_beat(self) -> None:
        self._beat_later = None
        if not self._reported:
            self._persisted_at_s = self._loop.time()
            self._reports.attempt_beat(self.request, self.heartbeat)

    def report(self, outcome: Outcome, reporter: Reporter | None = None) -> None:
        """Tell the engine, once."""
        if self._reported:
            return
        self.silence()
        self._reports.attempt_ended(self.request, outcome, self.heartbeat, reporter)

    def silence(self) -> None:
        """Say nothing any more: the outcome is known, or nobody wants it."""
        self._reported = True
        for timeout in self._timeouts:
            timeout.cancel()
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


def not_registered(name: str, known: Sequence[str]) -> Failure:
    """The failure of an attempt that no function answers to; it is retried, since a new version may bring it."""
    return Failure(
        kind="application", message=unknown_activity(name, known), attributes={"type": "NotFoundError"}
    )


def unknown_activity(name: str, known: Sequence[str]) -> str:
    """What is said of an activity that a worker does not have."""
    available = f"available activities: {', '.join(known)}" if known else "no available activities"
    return f"Activity function {name} is not registered on this worker, {available}"
