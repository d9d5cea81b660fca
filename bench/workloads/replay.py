"""A history of 50,000 events is read from the journal, verified and replayed, until its code answers a query."""

from __future__ import annotations

import asyncio
import time

from overwinter.runtime.client import Client
from overwinter.runtime.worker import Worker

from ..run import Turn
from ..workflows import Marathon, nothing

TITLE = "a history of 50,000 events, of activities in sequence: from the journal to the answer of its code"
SECONDS = 400
ENGINES = ("overwinter",)
STEPS = 25_000
QUEUE = "bench"


async def measure(turn: Turn) -> None:
    steps = int(turn.scaled(STEPS, 500))
    await _make(turn, steps)
    async with Client.open(turn.folder / "journal.db") as client, _worker(client):
        began, cpu = time.perf_counter(), time.process_time()
        handle = client.get_workflow_handle("long")
        assert await handle.query(Marathon.done) == steps
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        events = (await handle.describe()).history_length
    turn.add("events", events, "")
    turn.add("seconds_to_resume", seconds, "s")
    turn.add("cpu_to_resume", cpu, "s")
    turn.add("events_per_second", events / seconds, "1/s")


async def _make(turn: Turn, steps: int) -> None:
    async with Client.open(turn.folder / "journal.db") as client, _worker(client):
        handle = await client.start_workflow(Marathon.run, args=[steps, 1], id="long", task_queue=QUEUE)
        while await handle.query(Marathon.done) < steps:
            await asyncio.sleep(0.2)


def _worker(client: Client) -> Worker:
    return Worker(client, task_queue=QUEUE, workflows=[Marathon], activities=[nothing])
