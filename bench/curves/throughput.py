"""Steps a second against the number of workflows of ten steps at a time."""

from __future__ import annotations

import time
from pathlib import Path

from ..engines.overwinter import ENGINE
from ..run import many
from .measure import point, some

CONCURRENCY = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
STEPS = 10


async def measure(folder: Path, *, quick: bool) -> None:
    for concurrency in some(CONCURRENCY, quick):
        place = folder / str(concurrency)
        place.mkdir()
        async with ENGINE.open(place, {}) as session:
            await many(session, "ten", seconds=0.2, concurrency=min(concurrency, 10), name="warm")
            cpu = time.process_time()
            ended, seconds = await many(
                session, "ten", seconds=0.3 if quick else 4.0, concurrency=concurrency, name="run"
            )
            steps = ended * STEPS
            point(
                concurrency,
                steps_per_second=steps / seconds,
                cpu_ms_per_step=(time.process_time() - cpu) / steps * 1e3,
            )
