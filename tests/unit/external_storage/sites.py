"""Engines with a data converter of the test's choice, started as often as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on


class Site:
    """One journal, and an engine with a worker on it within each `on`."""

    def __init__(
        self,
        data: DataConverter,
        workflows: Sequence[type],
        activities: Sequence[Callable[..., Any]] = (),
        journal: MemoryJournal | None = None,
    ) -> None:
        self.data = data
        self.workflows, self.activities = workflows, activities
        self.gateway = Gateway(journal or MemoryJournal(), SystemClock())

    @asynccontextmanager
    async def on(self, **options: Any) -> AsyncIterator[Client]:
        async with engine_on(self.gateway.journal, self.gateway.clock) as free:
            client = Client(free.engine, data_converter=self.data)
            worker = Worker(
                client, task_queue=QUEUE, workflows=self.workflows, activities=self.activities, **options
            )
            async with worker:
                yield client
            assert client.engine.failure is None
