"""When executions go on by themselves: their timers, delayed starts and time limits, on the engine's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from .core import events as ev
from .core.retry import delay_us
from .live import Incoming, LiveExecution
from .ports import HOT, Clock, ExecutionRecord, Journal
from .recovery import Wakeups
from .timers import Alarm, Alarms

if TYPE_CHECKING:
    from .engine import Engine

_SKIPPED_SLEEP_S: Final = 5.0
"""The longest sleep between two looks at the clock, so that a clock that was set is noticed."""
_AT_ONCE_MAX: Final = 500
"""Alarms that ring in one go; other work gets its turn between."""


class Timekeeper:
    """The part of an engine that watches the clock."""

    def __init__(self, engine: Engine, journal: Journal, clock: Clock, look_ahead_s: float) -> None:
        self._engine = engine
        self._alarms = Alarms(clock, self._first_alarm_changed)
        self._wakeups = Wakeups(journal, clock, self._alarms, self._wake, look_ahead_s)
        self._look = asyncio.Event()
        self._next_look_s = 0.0
        """When the clock is looked at anyway, in seconds of the event loop."""

    # -- executions ----------------------------------------------------------------------------------------

    def arm(self, live: LiveExecution) -> None:
        """Let an execution go on when its next timer is due."""
        if live.state.clock is not None:
            self._engine.own_clocks.consider(live)
        now_us, first_us = self._engine.now_us(), live.state.first_due_us
        if first_us is not None and live.state.admitted and first_us <= live.clock_us(now_us):
            self._engine.make_ready(live)
        due_us = live.due_us(now_us)
        if due_us is None or due_us == live.armed_us or not live.state.open:
            return
        if live.wake_at_us() == HOT:
            # The journal lists it as one to go on with at once, so `due` will not name it. When the timer is due it may
            # have left memory: its activities have ended by then.
            self._alarms.at(due_us, partial(self._wake, live.record))
            live.armed_us = due_us
        elif self._wakeups.expect(live.record, due_us):
            live.armed_us = due_us

    def _wake(self, record: ExecutionRecord) -> None:
        """An execution that may not be in memory has something to do now."""
        live = self._engine.cache.get(record.key)
        if live is not None:
            self._fire(live)
            return
        self._engine.with_live(record.workflow_id, lambda live: None if live is None else self._fire(live))

    def _fire(self, live: LiveExecution) -> None:
        live.armed_us = None
        now = live.clock_us(self._engine.now_us())
        waiting = {item.body.id for item in live.incoming if isinstance(item.body, ev.TimerFired)}
        due = sorted(
            (timer.due_us, timer.command.id)
            for timer in live.state.timers.values()
            if timer.due_us <= now and timer.command.id not in waiting
        )
        deadline_us = live.state.deadline_us
        if deadline_us is not None and deadline_us <= now:
            self._engine.give(live, Incoming(ev.WorkflowTimedOut(self._timeout_kind(live))))
            return
        if live.state.clock is not None:
            self._engine.own_clocks.reached(live)
        for due_us, timer_id in due:
            self._engine.give(live, Incoming(ev.TimerFired(timer_id, due_us)))
        if not due and not waiting:  # those that wait are armed for again after their activation
            self.arm(live)

    def _timeout_kind(self, live: LiveExecution) -> str:
        start = live.state.started
        if start.run_timeout_s is None:
            return "execution"
        first_us = live.state.chain_started_us or live.record.started_at_us
        both = start.execution_timeout_s is not None
        over_us = first_us + delay_us(start.execution_timeout_s or 0)
        return "execution" if both and over_us <= live.clock_us(self._engine.now_us()) else "run"

    # -- the clock -------------------------------------------------------------------------------------------

    def alarm(self, at_us: int, action: Callable[[], None]) -> Alarm:
        """Do this when the engine's clock shows `at_us`, unless it is cancelled."""
        return self._alarms.at(at_us, action)

    def next_alarm_us(self) -> int | None:
        """When the next alarm of those in memory rings; None when none does."""
        return self._alarms.next_us()

    def ring(self) -> bool:
        """Do what is due; returns whether more of it waits, so that other work gets its turn."""
        return self._alarms.run_due(_AT_ONCE_MAX) == _AT_ONCE_MAX

    async def look_ahead(self) -> None:
        """Know of what the journal says is due soon."""
        await self._wakeups.look_ahead()

    def look_at_clock(self) -> None:
        """The clock was set: see what is due now."""
        self._look.set()

    def _first_alarm_changed(self) -> None:
        wait_s = self._alarms.seconds_to_next() or 0.0
        if asyncio.get_running_loop().time() + wait_s < self._next_look_s:
            self._look.set()

    async def watch(self) -> None:
        """Do what is due when it is, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._look.clear()
            if self.ring():
                await asyncio.sleep(0)
                continue
            await self._wakeups.look_ahead()
            wait_s = self._alarms.seconds_to_next()
            limit_s = _SKIPPED_SLEEP_S if wait_s is None else min(max(wait_s, 0.0), _SKIPPED_SLEEP_S)
            self._next_look_s = loop.time() + limit_s
            timer = loop.call_later(limit_s, self._look.set)
            try:
                await self._look.wait()
            finally:
                timer.cancel()
