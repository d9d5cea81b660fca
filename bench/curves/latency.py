"""Time from start to result of workflows of one step, against how many are started in a second (at random instants)."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from ..engines.overwinter import ENGINE
from ..engines.port import Session
from ..results import percentile
from .measure import point, some

PER_SECOND = (10, 30, 100, 300, 1000, 1500, 2000, 3000, 4000)
SEED = 7
PATIENCE_S = 2.0
"""When half of the workflows take so long, the engine is saturated: a higher load would only show a longer queue."""


async def measure(folder: Path, *, quick: bool) -> None:
    async with ENGINE.open(folder, {}) as session:
        await _latencies(session, 50, 20, "warm")
        for per_second in some(PER_SECOND, quick):
            seconds = 0.5 if quick else max(4.0, 200 / per_second)
            times = await _latencies(session, per_second, int(per_second * seconds), str(per_second))
            p50 = percentile(times, 0.50)
            point(per_second, p50_ms=p50 * 1e3, p99_ms=percentile(times, 0.99) * 1e3)
            if p50 > PATIENCE_S:
                return


async def _latencies(session: Session, per_second: float, count: int, name: str) -> list[float]:
    """From the instant at which each should have begun, so that an engine that is late is not let off."""
    rng = random.Random(SEED)
    times: list[float] = []

    async def one(number: int, due: float) -> None:
        await session.run("one", number, f"{name}-{number}")
        times.append(time.perf_counter() - due)

    due = time.perf_counter()
    running: list[asyncio.Task[None]] = []
    for number in range(count):
        due += rng.expovariate(per_second)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*running)
    return times
