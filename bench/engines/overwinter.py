"""Overwinter: client, engine and worker in one process, as an application that embeds it has them."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.worker import Worker

from .port import NAP_S, WAIT_S, Address, no_servers

TASK_QUEUE = "bench"
LIMIT = timedelta(seconds=60)


@activity.defn
async def noop(value: dict[str, int]) -> dict[str, int]:
    """Costs nothing: what is measured is the engine."""
    return value


@activity.defn
async def nap(value: dict[str, int]) -> dict[str, int]:
    """Work that takes its time."""
    await asyncio.sleep(NAP_S)
    return value


@workflow.defn(name="ten")
class Ten:
    """Ten activities in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for step in range(10):
            await workflow.execute_activity(
                noop, {"number": number, "step": step}, start_to_close_timeout=LIMIT
            )
        return number


@workflow.defn(name="one")
class One:
    """One activity."""

    @workflow.run
    async def run(self, number: int) -> int:
        await workflow.execute_activity(noop, {"number": number}, start_to_close_timeout=LIMIT)
        return number


@workflow.defn(name="fan")
class Fan:
    """So many activities at once."""

    @workflow.run
    async def run(self, width: int) -> int:
        steps = [
            workflow.execute_activity(noop, {"step": step}, start_to_close_timeout=LIMIT)
            for step in range(width)
        ]
        return len(await asyncio.gather(*steps))


@workflow.defn(name="wait")
class Wait:
    """A wait of an hour."""

    @workflow.run
    async def run(self, number: int) -> int:
        await asyncio.sleep(WAIT_S)
        return number


@workflow.defn(name="naps")
class Naps:
    """Ten activities in sequence that take their time."""

    @workflow.run
    async def run(self, number: int) -> int:
        for step in range(10):
            await workflow.execute_activity(
                nap, {"number": number, "step": step}, start_to_close_timeout=LIMIT
            )
        return number


def as_in_the_gateway() -> None:
    """The process collects garbage as often as a gateway does; see overwinter.edge.gateway."""
    gc.set_threshold(50_000, 20, 50)


class OverwinterSession:
    """See `Session`."""

    def __init__(self, client: Client, journal: Path) -> None:
        self.client = client
        self.journal = journal

    async def run(self, program: str, argument: int, workflow_id: str) -> Any:
        return await self.client.execute_workflow(program, argument, id=workflow_id, task_queue=TASK_QUEUE)

    async def start(self, program: str, argument: int, workflow_id: str) -> None:
        await self.client.start_workflow(program, argument, id=workflow_id, task_queue=TASK_QUEUE)

    async def result(self, program: str, workflow_id: str) -> Any:
        return await self.client.get_workflow_handle(workflow_id).result()

    async def waiting(self) -> int:
        with sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True) as reader:
            found = reader.execute("SELECT count(*) FROM executions WHERE status = 0 AND wake_at > 0")
            return int(found.fetchone()[0])


class Overwinter:
    """See `Engine`."""

    name = "overwinter"
    durability = "WAL, synchronous=FULL"
    alternatives: ClassVar[dict[str, dict[str, str]]] = {}
    servers = staticmethod(asynccontextmanager(lambda _folder: no_servers()))

    @asynccontextmanager
    async def open(self, folder: Path, address: Address) -> AsyncIterator[OverwinterSession]:
        as_in_the_gateway()
        journal = folder / "journal.db"
        async with (
            Client.open(journal) as client,
            Worker(
                client,
                task_queue=TASK_QUEUE,
                workflows=[Ten, One, Fan, Wait, Naps],
                activities=[noop, nap],
                max_concurrent_activities=1000,
            ),
        ):
            yield OverwinterSession(client, journal)


ENGINE = Overwinter()
