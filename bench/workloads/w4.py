"""W4: 10,000 workflows in a durable wait of an hour; for Overwinter also 100,000 (1,000,000: `python -m bench.curves --only waiting`)."""

from __future__ import annotations

import asyncio
import gc
import os
import time

from .. import processes
from ..engines.port import Session
from ..run import Turn

TITLE = "10,000 workflows that wait for an hour: time until all are durable, memory, disk"
SECONDS = 180
WAITS = 10_000
MANY_WAITS = 100_000
CONCURRENCY = 50
PATIENCE_S = 45.0
"""An engine that has started fewer by then has shown its pace."""
DURABLE_WITHIN_S = 20.0
"""From the last start until the store has all waits; then those count that it has."""


async def measure(turn: Turn) -> None:
    async with turn.session() as session:
        await _start(session, range(100), PATIENCE_S)
        before = _Taken(turn)
        waits, seconds = await _durable(session, range(100, int(turn.scaled(WAITS, 500)) + 100), already=100)
        await asyncio.sleep(turn.scaled(2.0, 0.2))
        few = _report(turn, before, waits, seconds)
        await _idle_cpu(turn)
        if turn.engine_name == "overwinter" and not turn.quick:
            turn.suffix = str(MANY_WAITS)
            more, longer = await _durable(session, range(waits + 100, MANY_WAITS + 100), already=waits + 100)
            await asyncio.sleep(1.0)
            many = _report(turn, before, waits + more, seconds + longer)
            # The write-ahead log is as long with few as with many.
            turn.add("disk_per_further_wait", (many.disk - few.disk) / more, "B")
        os._exit(0)  # nobody waits an hour for what was started


class _Taken:
    """What this turn's processes and files take at an instant."""

    def __init__(self, turn: Turn) -> None:
        gc.collect()
        self.memory = processes.memory_bytes(processes.tree(os.getpid()))
        self.disk = processes.folder_bytes(turn.folder)


def _report(turn: Turn, before: _Taken, waits: int, seconds: float) -> _Taken:
    after = _Taken(turn)
    turn.add("waits", waits, "")
    turn.add("seconds_until_durable", seconds, "s")
    turn.add("extra_memory", (after.memory - before.memory) / 1e6, "MB")
    turn.add("extra_memory_per_wait", (after.memory - before.memory) / waits, "B")
    turn.add("disk_per_wait", (after.disk - before.disk) / waits, "B")
    return after


async def _durable(session: Session, numbers: range, *, already: int) -> tuple[int, float]:
    """How many were started, and the seconds until the store had a wait for each of them."""
    began = time.perf_counter()
    started = await _start(session, numbers, PATIENCE_S if len(numbers) <= WAITS else 1e9)
    until = time.perf_counter() + DURABLE_WITHIN_S
    while await session.waiting() < started + already:
        if time.perf_counter() > until:
            started = await session.waiting() - already
            break
        await asyncio.sleep(0.25)
    return started, time.perf_counter() - began


async def _start(session: Session, numbers: range, patience: float) -> int:
    until = time.perf_counter() + patience
    left = iter(numbers)
    started = 0

    async def lane() -> None:
        nonlocal started
        for number in left:
            await session.start("wait", number, f"wait-{number}")
            started += 1
            if time.perf_counter() > until:
                return

    await asyncio.gather(*[lane() for _ in range(CONCURRENCY)])
    return started


async def _idle_cpu(turn: Turn) -> None:
    seconds = turn.scaled(4.0, 0.2)
    pids = processes.tree(os.getpid())
    cpu = processes.cpu_seconds(pids)
    await asyncio.sleep(seconds)
    turn.add("idle_cpu", (processes.cpu_seconds(pids) - cpu) / seconds, "cores")
