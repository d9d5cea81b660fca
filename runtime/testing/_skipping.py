"""Time that skips what nobody waits for: one clock for all that happens in an environment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from time import time_ns  # by name, as in `clock`
from typing import Any

from ..attempts import Cancellable
from ..engine import Engine
from ..own_clocks import until_quiet
from ._engine import EngineUnderTest


class SkippingClock:
    """Real time, plus what was skipped."""

    def __init__(self) -> None:
        self.skipped_us = 0

    def now_us(self) -> int:
        """See `Clock.now_us`."""
        return time_ns() // 1000 + self.skipped_us

    def seconds_until(self, at_us: int) -> float:
        """See `Clock.seconds_until`."""
        return (at_us - self.now_us()) / 1_000_000

    def skip_to(self, at_us: int) -> None:
        """It is this late now."""
        self.skipped_us += max(0, at_us - self.now_us())


class ClockTimeouts:
    """The timeouts of attempts by the engine's clock, so that they are skipped to as timers are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def time(self) -> float:
        """See `attempts.Timeouts`."""
        return self._engine.now_us() / 1_000_000

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Cancellable:
        """See `attempts.Timeouts`."""
        due_us = self._engine.now_us() + round(delay * 1_000_000)
        return self._engine.alarm(due_us, lambda: callback(*args))


class Skipper:
    """Moves the clock to the next alarm of its engine whenever someone waits and nothing else goes on."""

    def __init__(self, engine: EngineUnderTest, clock: SkippingClock) -> None:
        self._engine = engine
        self._clock = clock
        self._wanted = 0
        """How many wait for results, and let time skip for them."""
        self._asleep = 0
        """How many sleep: time skips for these also while activities run, which may be the sleepers."""
        self._held = 0
        engine.timeouts = ClockTimeouts(engine)
        engine.waited_for = self._while_wanted
        engine.when_idle = self._skip

    @contextmanager
    def held(self) -> Generator[None]:
        """Within this block awaiting a result skips no time."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass at once."""
        arrived = asyncio.Event()
        self._engine.alarm(self._clock.now_us() + round(seconds * 1_000_000), arrived.set)
        self._asleep += 1
        self._engine.wake()
        try:
            await arrived.wait()
        finally:
            self._asleep -= 1

    @asynccontextmanager
    async def _while_wanted(self) -> AsyncGenerator[None]:
        wanted = 0 if self._held else 1
        self._wanted += wanted
        try:
            yield
        finally:
            self._wanted -= wanted

    @property
    def _may_skip(self) -> bool:
        engine = self._engine
        if engine.busy:
            return False
        return bool(self._asleep or (self._wanted and not engine.working and engine.awaited))

    async def _skip(self) -> None:
        await self._engine.standstill.look()
        if not await self._is_quiet():
            return
        due_us = self._engine.timekeeper.next_alarm_us()
        if due_us is not None:
            self._clock.skip_to(due_us)
            self._engine.timekeeper.ring()
            self._engine.wake()  # It may have been for nothing, as for an attempt that has ended: then on to the next.

    async def _is_quiet(self) -> bool:
        """Whether nothing that goes on in this event loop may still reach the engine before the next alarm."""
        if self._may_skip:
            await until_quiet()
        return self._may_skip
