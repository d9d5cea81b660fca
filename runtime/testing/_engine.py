"""The engine of a test environment: it knows who waits for results, and which workers it has had."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ..activity_slots import ActivitySlots
from ..clock import SystemEntropy
from ..core.events import Closing
from ..core.retry import DELAY_S_MAX
from ..engine import Engine, EngineLimits
from ..ports import Clock, ExecutionRecord, Journal

_LIMITS = EngineLimits(look_ahead_s=10 * DELAY_S_MAX)
"""Every timer is in memory, so that the next one is known without a read."""


class EngineUnderTest(Engine):
    """An engine for one test environment."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        super().__init__(journal, clock, SystemEntropy(), _LIMITS)
        self.waited_for: Callable[[], AbstractAsyncContextManager[None]] = _nothing_while_waiting
        """Entered while someone waits for a result."""

    def attach(self, *args: Any, **options: Any) -> ActivitySlots:
        """See `Engine.attach`. When a function ends time may go on, also when nobody wants its outcome."""
        slots = super().attach(*args, **options)
        start_some = slots.freed

        def freed() -> None:
            start_some()
            self.wake()

        slots.freed = freed
        return slots

    @property
    def awaited(self) -> list[int]:
        """The keys of the executions that someone waits for the end of."""
        return [key for key, waiters in self._results.items() if any(not each.done() for each in waiters)]

    async def closing_event(self, record: ExecutionRecord) -> Closing:
        """See `Engine.closing_event`."""
        async with self.waited_for():
            return await super().closing_event(record)


@asynccontextmanager
async def _nothing_while_waiting() -> AsyncGenerator[None]:
    yield
