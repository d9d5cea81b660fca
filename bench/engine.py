"""Workflows a second, steps a second, and how long one step takes."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

from overwinter.runtime.client import Client
from overwinter.runtime.worker import Worker

from .results import Results, percentile
from .workflows import OneStep, Sequence, nothing

STEPS = 10

# As the gateway sets it; see overwinter.edge.gateway.
gc.set_threshold(50_000, 20, 50)
FULL = "WAL, synchronous=FULL"


async def throughput(results: Results, folder: Path, *, workflows: int, concurrency: int) -> None:
    """W1: workflows of ten activities each, so many at a time."""
    async with (
        Client.open(folder / "w1.db") as client,
        Worker(
            client,
            task_queue="bench",
            workflows=[Sequence],
            activities=[nothing],
            max_concurrent_activities=1000,
        ),
    ):
        gate = asyncio.Semaphore(concurrency)

        async def one(name: str) -> None:
            async with gate:
                await client.execute_workflow(Sequence.run, STEPS, id=name, task_queue="bench")

        await asyncio.gather(*[one(f"warm-{number}") for number in range(100)])
        commits = client.engine.counters.commits
        cpu = time.process_time()
        began = time.perf_counter()
        await asyncio.gather(*[one(f"run-{number}") for number in range(workflows)])
        seconds = time.perf_counter() - began
        steps = workflows * STEPS
        results.add("W1", "overwinter", "workflows_per_second", workflows / seconds, "1/s", FULL)
        results.add("W1", "overwinter", "steps_per_second", steps / seconds, "1/s", FULL)
        results.add("W1", "overwinter", "cpu_per_step", (time.process_time() - cpu) / steps * 1e3, "ms", FULL)
        results.add(
            "W1",
            "overwinter",
            "commits_per_step",
            (client.engine.counters.commits - commits) / steps,
            "",
            FULL,
        )


async def latency(results: Results, folder: Path, *, workflows: int) -> None:
    """W2: one workflow of one activity at a time, from its start to its result."""
    async with (
        Client.open(folder / "w2.db") as client,
        Worker(client, task_queue="bench", workflows=[OneStep], activities=[nothing]),
    ):
        times: list[float] = []
        for number in range(workflows + 50):
            began = time.perf_counter()
            await client.execute_workflow(
                OneStep.run, {"moisture": 0.2}, id=f"run-{number}", task_queue="bench"
            )
            if number >= 50:
                times.append(time.perf_counter() - began)
    results.add("W2", "overwinter", "start_to_result_p50", percentile(times, 0.50) * 1e3, "ms", FULL)
    results.add("W2", "overwinter", "start_to_result_p99", percentile(times, 0.99) * 1e3, "ms", FULL)
