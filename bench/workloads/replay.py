"""A history of 50,000 events is read from the journal, verified and replayed, until its code answers a query."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from overwinter.runtime.client import Client
from overwinter.runtime.worker import Worker

from ..engines.overwinter import as_in_the_gateway
from ..run import Turn
from ..workflows import Marathon, nothing

TITLE = "a history of 50,000 events, of activities in sequence: from the journal to the answer of its code"
SECONDS = 400
ENGINES = ("overwinter",)
STEPS = 25_000
QUEUE = "bench"


async def measure(turn: Turn) -> None:
    as_in_the_gateway()
    steps = int(turn.scaled(STEPS, 500))
    await make(turn.folder, steps)
    events, seconds, cpu = await resume(turn.folder, steps)
    turn.add("events", events, "")
    turn.add("seconds_to_resume", seconds, "s")
    turn.add("cpu_to_resume", cpu, "s")
    turn.add("events_per_second", events / seconds, "1/s")


async def make(folder: Path, steps: int) -> None:
    """A journal with one execution of so many activities in sequence."""
    async with Client.open(folder / "journal.db") as client, _worker(client):
        handle = await client.start_workflow(Marathon.run, args=[steps, 1], id="long", task_queue=QUEUE)
        while await handle.query(Marathon.done) < steps:
            await asyncio.sleep(0.1)


async def resume(folder: Path, steps: int) -> tuple[int, float, float]:
    """The events of its history, and the seconds and processor seconds until its code has answered a query."""
    async with Client.open(folder / "journal.db") as client, _worker(client):
        handle = client.get_workflow_handle("long")
        began, cpu = time.perf_counter(), time.process_time()
        assert await handle.query(Marathon.done) == steps
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return (await handle.describe()).history_length, seconds, cpu


def _worker(client: Client) -> Worker:
    return Worker(client, task_queue=QUEUE, workflows=[Marathon], activities=[nothing])
