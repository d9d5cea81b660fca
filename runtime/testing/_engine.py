"""The engine of a test environment: it can be killed and started again, and knows who waits for what."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ..clock import SystemEntropy
from ..core.events import Closing
from ..core.retry import DELAY_S_MAX
from ..engine import Engine, EngineLimits
from ..ports import Clock, ExecutionRecord, Journal
from ..task_queues import ServingWorker
from ._standstill import Standstill

_LIMITS = EngineLimits(look_ahead_s=10 * DELAY_S_MAX)
"""Every timer is in memory, so that the next one is known without a read."""


class EngineUnderTest(Engine):
    """An engine for one test environment."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        super().__init__(journal, clock, SystemEntropy(), _LIMITS)
        self.waited_for: Callable[[], AbstractAsyncContextManager[None]] = _nothing_while_waiting
        """Entered while someone waits for a result."""
        self.served: list[ServingWorker] = []
        """Every worker that there was, the last one at the end."""
        self._serving: dict[ServingWorker, str] = {}
        self._awaited: dict[int, ExecutionRecord] = {}
        self.standstill = Standstill(self)
        self.when_idle = self.standstill.look

    async def __aexit__(self, *exc: object) -> None:
        """See `Engine`."""
        self.standstill.look_away()
        await super().__aexit__(*exc)

    def _serve(self, task_queue: str, worker: ServingWorker) -> None:
        super()._serve(task_queue, worker)
        self._serving[worker] = task_queue
        if worker not in self.served:
            self.served.append(worker)
        start_some = worker.activities.freed

        def freed() -> None:
            start_some()
            self.wake()  # Time may go on when a function has ended, also when nobody wants its outcome.

        worker.activities.freed = freed

    def detach(self, task_queue: str, worker: ServingWorker) -> None:
        """See `Engine.detach`."""
        super().detach(task_queue, worker)
        del self._serving[worker]

    async def restart(self, reopened: Callable[[], Awaitable[Journal]]) -> None:
        """All that was in memory is gone, and goes on from the journal; the workers serve again.

        Who waits for a result goes on waiting; all others who wait are told that the engine stopped.
        """
        results, self._results = self._results, {}
        serving, self._serving = self._serving, {}
        await self.__aexit__()
        self.journal = await reopened()
        self._begin_anew()
        self._results = results
        await self.__aenter__()
        for worker, task_queue in serving.items():
            worker.activities = worker.activities.renewed(self.activities)
            self._serve(task_queue, worker)
        await self._tell_of_ends()

    async def _tell_of_ends(self) -> None:
        """Tell those who wait for an end that was recorded just before a restart."""
        for key in self.awaited:
            closing = (await self.journal.history(self._awaited[key])).state.closing
            if closing is not None:
                for waiter in self._results.pop(key, []):  # It may have heard meanwhile.
                    if not waiter.done():
                        waiter.set_result(closing)

    @property
    def awaited(self) -> list[int]:
        """The keys of the executions that someone waits for the end of."""
        return [key for key, waiters in self._results.items() if any(not each.done() for each in waiters)]

    async def closing_event(self, record: ExecutionRecord) -> Closing:
        """See `Engine.closing_event`."""
        self._awaited[record.key] = record
        async with self.waited_for():
            self.wake()
            return await super().closing_event(record)


@asynccontextmanager
async def _nothing_while_waiting() -> AsyncGenerator[None]:
    yield
