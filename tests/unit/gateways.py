"""An engine on a journal and a clock of the test's choice, and gateways that end and start again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock, SystemEntropy
from overwinter.runtime.core import codec
from overwinter.runtime.core.events import event_name
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.journal import MemoryJournal, SqliteJournal, StorageFailed
from overwinter.runtime.ports import Batch, Clock, ExecutionRecord, Journal
from overwinter.runtime.remote import RemoteEngine, serve
from overwinter.runtime.requests import EngineClosed
from overwinter.runtime.service import RPCError
from overwinter.runtime.worker import Worker

QUEUE = "tests"


@asynccontextmanager
async def engine_on(
    journal: Journal, clock: Clock, limits: EngineLimits | None = None, socket: Path | None = None
) -> AsyncIterator[Client]:
    """A client of an engine that ends with this block; with a socket, one that reaches the engine through it only."""
    async with Engine(journal, clock, SystemEntropy(), limits) as engine:
        if socket is None:
            yield Client(engine)
            return
        async with serve(engine, socket):
            client = ClientThroughSocket(engine, RemoteEngine(socket))
            yield client
            await client.close()


class ClientThroughSocket(Client):
    """A remote client whose test may look at the engine, and run workers on it, since both are in one process."""

    def __init__(self, behind: Engine, engine: RemoteEngine, **options: Any) -> None:
        super().__init__(engine, **options)
        self._behind = behind

    @property
    def engine(self) -> Engine:
        return self._behind


@asynccontextmanager
async def served(worker: Worker) -> AsyncIterator[None]:
    """The worker serves within this block.

    Raises:
        AssertionError: the engine has failed meanwhile.
    """
    failed = worker.client.engine.failed
    try:
        async with worker:
            yield
    except RuntimeError:
        assert not failed.is_set(), "the engine has failed"
        raise
    assert not failed.is_set(), "the engine has failed"


class Gateway:
    """One journal and one clock, with an engine on them as often as the test starts one."""

    def __init__(self, journal: Journal, clock: Clock | None = None, socket: Path | None = None) -> None:
        self.socket = socket
        self.journal = journal
        self.clock = clock or ManualClock()

    @asynccontextmanager
    async def on(
        self,
        workflows: Sequence[type] = (),
        activities: Sequence[Callable[..., Any]] = (),
        *,
        limits: EngineLimits | None = None,
        grace: timedelta = timedelta(),
    ) -> AsyncIterator[Client]:
        """An engine with a worker; leaving the block is a shutdown, after which it can be entered again."""
        async with engine_on(self.journal, self.clock, limits, self.socket) as client:
            worker = Worker(
                client,
                task_queue=QUEUE,
                workflows=workflows,
                activities=activities,
                graceful_shutdown_timeout=grace,
            )
            async with served(worker):
                yield client

    def advance(self, client: Client, seconds: float) -> None:
        """Move the clock of this test, and let the engine see it."""
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(seconds)
        client.engine.look_at_clock()


class SqliteGateway(Gateway):
    """A gateway whose journal is closed with the engine and read from the disk again."""

    def __init__(self, path: Path, clock: Clock | None = None, socket: Path | None = None) -> None:
        super().__init__(MemoryJournal(), clock, socket)
        self.path = path

    @asynccontextmanager
    async def on(
        self,
        workflows: Sequence[type] = (),
        activities: Sequence[Callable[..., Any]] = (),
        *,
        limits: EngineLimits | None = None,
        grace: timedelta = timedelta(),
    ) -> AsyncIterator[Client]:
        """As `Gateway.on`, and the file is closed after it."""
        self.journal = await SqliteJournal.open(self.path)
        try:
            async with super().on(workflows, activities, limits=limits, grace=grace) as client:
                yield client
        finally:
            await self.journal.close()


class GatedJournal(MemoryJournal):
    """While it is held, its commits wait until the test lets them go, one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.waiting = False
        self._permits = asyncio.Semaphore(0)

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        if self.held:
            self.waiting = True
            await self._permits.acquire()
            self.waiting = False
        return await super().commit(batch)

    def let(self, commits: int = 1) -> None:
        for _ in range(commits):
            self._permits.release()


class FailingJournal(MemoryJournal):
    """Fails after the commit that holds an event of this kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.armed, self.broken = kind, False, False

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        if self.broken:
            raise StorageFailed("the device is gone")
        refused = await super().commit(batch)
        kinds = {codec.KINDS[event.kind].__name__ for event in batch.events}
        self.broken = self.armed and self.kind in kinds
        return refused


class BreaksAfter(MemoryJournal):
    """The power goes right after the commit of this number, unless the journal is `whole`."""

    def __init__(self, commits: int) -> None:
        super().__init__()
        self.left, self.whole = commits, False

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        if not self.left and not self.whole:
            raise StorageFailed("the power is gone")
        self.left -= 1
        return await super().commit(batch)


@asynccontextmanager
async def failing(
    gateway: Gateway,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]] = (),
    *,
    limits: EngineLimits | None = None,
) -> AsyncIterator[Client]:
    """A gateway that may stop by itself, in the middle of what is asked of it."""
    try:
        async with gateway.on(workflows, activities, limits=limits) as client:
            yield client
    except (AssertionError, RPCError, EngineClosed, TimeoutError):
        pass


async def until(holds: Callable[[], bool | Awaitable[bool]], *, what: str = "", seconds: float = 10) -> None:
    """Wait for something that happens soon, or fail saying what did not."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = holds()
                if (await found) if isinstance(found, Awaitable) else found:
                    return
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"it did not happen within {seconds} s: {what or holds}")


async def event_names(client: Client, workflow_id: str) -> list[str]:
    """The names of the events of the latest run, as a reader sees them."""
    return [
        event_name(event.body)
        for event in (await client.get_workflow_handle(workflow_id).fetch_history()).records
    ]
