"""Executions whose own clocks skip: whenever nothing is under way, to what comes next.

Under way is whatever somebody does: code that is to run, attempts of activities, children, requests to other executions.
What is only waited for is not: timers, the next attempt of an activity, a delayed start, the execution's own timeout. A
signal is not waited for: if nothing else is, nothing is skipped.

A skip is an event in the history, so that it survives what the execution survives.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from .core import events as ev
from .core.skipping import OwnClock, TimeSkipping
from .live import LiveExecution
from .requests import ForwardOvertaken

if TYPE_CHECKING:
    from .engine import Engine

_QUIET_TURNS_MAX: Final = 10


async def until_quiet() -> None:
    """Let whatever has something to do in this event loop do it, for some turns of the loop at most."""
    waiting = getattr(asyncio.get_running_loop(), "_ready", None)  # not every kind of loop shows it
    for _ in range(_QUIET_TURNS_MAX):
        await asyncio.sleep(0)
        if waiting is not None and not waiting:
            return


class OwnClocks:
    """The part of an engine that lets executions' own clocks skip."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._forwards: dict[tuple[str, str], asyncio.Future[bool]] = {}
        """Those that someone waits for, by workflow id and their own."""

    # -- skipping --------------------------------------------------------------------------------------------

    def consider(self, live: LiveExecution) -> None:
        """Something of an execution was recorded: skip to what comes next, unless something is under way."""
        if live.state.clock is not None and live.state.clock.skipping.enabled:
            self._engine.spawn(self._skip_when_quiet(live))

    async def _skip_when_quiet(self, live: LiveExecution) -> None:
        await until_quiet()
        if self._may_skip(live):
            self._skip(live)

    def _may_skip(self, live: LiveExecution) -> bool:
        state, engine = live.state, self._engine
        if engine.cache.get(live.record.key) is not live or not (state.open and live.recorded):
            return False
        if state.clock is None or not state.clock.skipping.enabled or not state.admitted:
            return False
        if live.blocked is not None or engine.pauses.of(live.record) is not None:
            return False
        if state.unconsumed and state.first_due_us is None:
            return False  # Its code is to run.
        return not (state.children or state.externals) and self._only_backs_off(live)

    def _only_backs_off(self, live: LiveExecution) -> bool:
        now_us = live.clock_us(self._engine.now_us())
        return all(
            (attempt := live.attempts.get(activity)) is not None and attempt.next_at_us > now_us
            for activity in live.state.activities
        )

    def _skip(self, live: LiveExecution) -> None:
        state = live.state
        assert state.clock is not None
        at_us = live.instant_us(self._engine.now_us())
        targets = [timer.due_us for timer in state.timers.values()]
        targets += [live.attempts[activity].next_at_us for activity in state.activities]
        if state.first_due_us is not None:
            targets.append(state.first_due_us)
        elif state.deadline_us is not None:
            targets.append(state.deadline_us)
        to_us = min(targets, default=None)
        until_us = state.clock.forward_due_us
        reached = until_us is not None and (to_us is None or until_us <= to_us)
        to_us = until_us if reached else to_us
        if to_us is not None and (reached or to_us > at_us):
            self._record_skip(live, at_us, max(to_us, at_us), reached)

    def _record_skip(self, live: LiveExecution, at_us: int, to_us: int, reached: bool) -> None:
        engine = self._engine
        engine.touch(live, [])
        live.accept(engine.batch, at_us, [ev.TimeSkipped(to_us, reached, engine.now_us())])
        engine.record_change(live)
        engine.after_commit(partial(self._skipped, live))
        engine.wake()

    def _skipped(self, live: LiveExecution) -> None:
        clock = live.state.clock
        if clock is not None and clock.forward_reached:
            self._answer(live, clock, True)
        elif clock is not None and not clock.skipping.enabled:
            self._answer(live, clock, False)
        self._engine.activities.look_again(live)
        self._engine.timekeeper.arm(live)

    def reached(self, live: LiveExecution) -> None:
        """Time has passed by itself as far as a fast-forward was to go."""
        clock = live.state.clock
        at_us = live.instant_us(self._engine.now_us())
        if clock is not None and clock.forward_due_us is not None and clock.forward_due_us <= at_us:
            self._record_skip(live, at_us, at_us, True)

    # -- requests --------------------------------------------------------------------------------------------

    def change(self, workflow_id: str, run_id: str | None, skipping: TimeSkipping) -> asyncio.Future[None]:
        """Say how an open execution's clock skips from here on; raises as `Engine.signal` does."""
        return self._engine.tell(workflow_id, run_id, ev.TimeSkippingChanged(skipping))

    async def fast_forward(self, workflow_id: str, run_id: str | None, skipping: TimeSkipping) -> bool:
        """Let a clock skip so far; whether it has come there before its chain of runs came to an end.

        Raises:
            NoSuchExecution, StorageFull: nothing has changed.
            ForwardOvertaken: another was asked for before this one had come to its end.
        """
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        place = (workflow_id, skipping.forward_id)
        self._forwards[place] = waiter
        try:
            await self.change(workflow_id, run_id, skipping)
            return await waiter
        finally:
            del self._forwards[place]

    def record(self, live: LiveExecution) -> None:
        """Record what was asked of an execution's clock, before it is handed anything else."""
        requests = [item for item in live.incoming if isinstance(item.body, ev.TimeSkippingChanged)]
        if not requests:
            return
        engine = self._engine
        live.incoming = [item for item in live.incoming if item not in requests]
        engine.touch(live, requests)
        for item in requests:
            before = live.state.clock
            live.accept(engine.batch, live.instant_us(engine.now_us()), [item.body])
            if before is not None and before.forward_due_us is not None:
                engine.after_commit(partial(self._overtaken, live, before.skipping.forward_id))
        engine.record_change(live)
        engine.after_commit(partial(engine.timekeeper.arm, live))

    def _overtaken(self, live: LiveExecution, forward_id: str) -> None:
        waiter = self._forwards.get((live.record.workflow_id, forward_id))
        if waiter is not None and not waiter.done():
            waiter.set_exception(ForwardOvertaken(forward_id))

    def _answer(self, live: LiveExecution, clock: OwnClock, reached: bool) -> None:
        waiter = self._forwards.get((live.record.workflow_id, clock.skipping.forward_id))
        if waiter is not None and not waiter.done():
            waiter.set_result(reached)

    def abandon(self, error: BaseException) -> None:
        """The engine stops."""
        for waiter in self._forwards.values():
            if not waiter.done():
                waiter.set_exception(error)

    def closed(self, live: LiveExecution, new_run_id: str) -> None:
        """An execution has closed: without a run that follows, no fast-forward of it comes to its end."""
        if live.state.clock is not None and not new_run_id:
            self._answer(live, live.state.clock, live.state.clock.forward_reached)
