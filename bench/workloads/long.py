"""One execution whose history grows to 1,000,000 events: what a step costs at its beginning and at its end."""

from __future__ import annotations

import asyncio
import os
import time

from overwinter import activity
from overwinter.runtime.client import Client
from overwinter.runtime.worker import Worker

from .. import processes
from ..engines.overwinter import as_in_the_gateway
from ..run import Turn
from ..workflows import Marathon

TITLE = "one execution of 500,000 activities, 50 at once: cost of a step as its history grows"
SECONDS = 400
ENGINES = ("overwinter",)
WIDTH = 50
ROUNDS = 10_000
MARKS = (0.02, 0.1, 0.2, 0.9, 1.0)
"""Shares of the whole at which the clocks are read; the first part warms up."""
PATIENCE_S = 350.0


async def measure(turn: Turn) -> None:
    as_in_the_gateway()
    steps = WIDTH * int(turn.scaled(ROUNDS, 100))
    marks = [round(steps * share) for share in MARKS]
    readings: list[tuple[int, float, float]] = []
    done = 0
    arrived = asyncio.Event()

    @activity.defn
    async def nothing(number: int) -> int:
        nonlocal done
        done += 1
        if done == marks[len(readings)]:
            readings.append((done, time.process_time(), time.perf_counter()))
            if done == steps:
                arrived.set()
        return number

    async with (
        Client.open(turn.folder / "journal.db") as client,
        Worker(client, task_queue="bench", workflows=[Marathon], activities=[nothing]),
    ):
        await client.start_workflow(Marathon.run, args=[steps // WIDTH, WIDTH], id="long", task_queue="bench")
        await asyncio.wait_for(arrived.wait(), PATIENCE_S)
        await asyncio.sleep(0.5)
        turn.add("events", client.engine.cache.open_run("long").state.sequence, "")
        turn.add("rss", processes.resident_bytes([os.getpid()]) / 1e6, "MB")
    (_, *first), (_, *tenth), _, (_, *near), (_, *last) = readings
    early = (tenth[0] - first[0]) / (marks[1] - marks[0])
    late = (last[0] - near[0]) / (marks[4] - marks[3])
    turn.add("cpu_per_step_at_first", early * 1e3, "ms")
    turn.add("cpu_per_step_at_last", late * 1e3, "ms")
    turn.add("growth", late / early, "x")
