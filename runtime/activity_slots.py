"""The activities that one worker runs: so many at a time, local ones counted apart.

A function that does not stop when it timed out or was cancelled keeps its slot until it returns; what it says then is
ignored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from .attempts import (
    SHUTDOWN,
    ActivityRunner,
    Attempt,
    AttemptRequest,
    CompletesLater,
    Deadlines,
    Outcome,
    Place,
    Reports,
    Timeouts,
)
from .core.payload import Failure
from .pace import Pace

_log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0
"""How long a cancelled function may take to return, when its worker stops."""
_LAST_S: Final = 1.0


class ActivitySlots:
    """At most `slots` attempts and `local_slots` local ones run at a time; at most `per_second` of the former start."""

    def __init__(
        self,
        runner: ActivityRunner,
        reports: Reports,
        *,
        slots: int,
        local_slots: int,
        beat_interval_s: float,
        now_us: Callable[[], int],
        timeouts: Timeouts | None = None,
        per_second: float | None = None,
    ) -> None:
        self.pace = Pace(per_second)
        self.closing = False
        self.freed: Callable[[], None] = lambda: None
        """Called whenever a slot has become free."""
        self.over: Callable[[AttemptRequest], None] = lambda _request: None
        """Called when a function has returned and its outcome is known."""
        self._runner = runner
        self._reports = reports
        self._slots = {False: slots, True: local_slots}
        self._used = {False: 0, True: 0}
        self._beat_interval_s = beat_interval_s
        self._now_us = now_us
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(timeouts or self._loop)
        self._running: dict[Place, Attempt] = {}
        self._handed_over: dict[Place, Attempt] = {}
        """Attempts whose function has returned, and whose outcome someone else will report."""
        self._cut_off: list[AttemptRequest] = []
        self._tasks: dict[asyncio.Task[None], Attempt] = {}

    def renewed(self, reports: Reports) -> ActivitySlots:
        """Slots like these, all of them free, whose attempts tell someone else."""
        return ActivitySlots(
            self._runner,
            reports,
            slots=self._slots[False],
            local_slots=self._slots[True],
            beat_interval_s=self._beat_interval_s,
            now_us=self._now_us,
            timeouts=self._timeouts,
            per_second=self.pace.per_second,
        )

    @property
    def running(self) -> int:
        """How many functions run, those included whose outcome is known already."""
        return len(self._tasks)

    @property
    def pending(self) -> int:
        """How many functions run, or have handed their work to someone who has not said how it ended."""
        return len(self._tasks) + sum(not attempt.reported for attempt in self._handed_over.values())

    def load(self, *, local: bool) -> float:
        """How much of the slots is in use."""
        return self._used[local] / self._slots[local]

    def has_room(self, *, local: bool) -> bool:
        """Whether one more may run."""
        return not self.closing and self._used[local] < self._slots[local]

    def attempt(self, place: Place) -> Attempt | None:
        """The attempt of this activity that runs now, or that was handed over and has no outcome yet."""
        handed_over = self._handed_over.get(place)
        if handed_over is not None and not handed_over.reported:
            return handed_over
        return self._running.get(place)

    def start(self, request: AttemptRequest) -> None:
        """Run it; there is room."""
        attempt = Attempt(
            request,
            self._reports,
            self._beat_interval_s,
            started_at_us=self._now_us() + request.skipped_us,
            deadlines=self._deadlines,
        )
        place, local = request.place, request.command.local
        self._running[place] = attempt
        self._used[local] += 1
        if not local and self.pace.per_second is not None:
            self.pace.took_one()
        attempt.task = self._loop.create_task(self._run(attempt, place))
        self._tasks[attempt.task] = attempt

    async def _run(self, attempt: Attempt, place: Place) -> None:
        try:
            try:
                outcome = await self._runner.run(attempt)
            finally:
                if self._running.get(place) is attempt:
                    del self._running[place]
            self._take(outcome, attempt, place)
        except asyncio.CancelledError:
            # The gateway stops: without an outcome the attempt is made again at the next start.
            attempt.silence()
            raise
        except Exception:
            _log.exception("an attempt ended in a way that no outcome describes")
        finally:
            self._ended(attempt)

    def _take(self, outcome: Outcome | CompletesLater, attempt: Attempt, place: Place) -> None:
        if isinstance(outcome, CompletesLater):
            self._handed_over = {p: a for p, a in self._handed_over.items() if not a.reported}
            self._handed_over[place] = attempt
        elif (
            attempt.cancel_reason == SHUTDOWN and isinstance(outcome, Failure) and outcome.kind == "canceled"
        ):
            self._cut(attempt)
        else:
            attempt.report(outcome)

    def _ended(self, attempt: Attempt) -> None:
        assert attempt.task is not None
        if self._tasks.pop(attempt.task, None) is None:
            return
        self._used[attempt.request.command.local] -= 1
        if attempt.reported:
            self.over(attempt.request)
        else:  # someone else will report it
            attempt.on_outcome = partial(self.over, attempt.request)
        self.freed()

    def _cut(self, attempt: Attempt) -> None:
        """Without an outcome it will be made again."""
        self._cut_off.append(replace(attempt.request, heartbeat=attempt.heartbeat))
        attempt.silence()

    def unfinished(self) -> list[AttemptRequest]:
        """What was cut off without an outcome; whoever serves next makes it again."""
        return self._cut_off

    async def close(self, grace_s: float, patience_s: float = _PATIENCE_S) -> None:
        """Start nothing more, let what runs end within the grace, then cancel it.

        A function that has a result nevertheless, or an error of its own, has ended like any other. One that has not stopped when
        the patience ends too is left behind.
        """
        self.closing = True
        for attempt in self._running.values():
            if attempt.on_shutdown is not None:
                attempt.on_shutdown()
        await self._ended_within(grace_s)
        attempts = [a for a in (*self._running.values(), *self._handed_over.values()) if not a.reported]
        for attempt in attempts:
            attempt.cancel(SHUTDOWN)
        await self._ended_within(patience_s)
        if self._running:
            types = sorted({attempt.request.command.activity_type for attempt in self._running.values()})
            _log.warning(
                "activities do not stop when they are cancelled, and are left behind: %s", ", ".join(types)
            )
        for attempt in attempts:
            if not attempt.reported:
                self._cut(attempt)
        left = list(self._tasks.values())
        for task in list(self._tasks):
            task.cancel()
        await self._ended_within(_LAST_S)
        for attempt in left:
            if attempt.task is not None and attempt.task.done():
                self._ended(attempt)  # One that was cancelled before its first step never came to say so.

    async def _ended_within(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
