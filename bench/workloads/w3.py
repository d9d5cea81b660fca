"""W3: one workflow that starts 1,000 activities at once and waits for all; for Overwinter also 10,000 and 100,000."""

from __future__ import annotations

import time
from statistics import median

from ..engines.port import Session
from ..run import Turn

TITLE = "1,000 no-op activities at once in one workflow"
SECONDS = 120
WIDTH = 1000
WIDER = (10_000, 100_000)
ENOUGH_S = 8.0
"""An engine that took so long is not asked to repeat it."""


async def measure(turn: Turn) -> None:
    async with turn.session() as session:
        await _seconds(session, 100, "warm")
        repeats: list[float] = []
        while not repeats or (len(repeats) < turn.scaled(3, 1) and sum(repeats) < ENOUGH_S):
            repeats.append(await _seconds(session, WIDTH, f"fan-{len(repeats)}"))
        taken = median(repeats)
        turn.add("seconds", taken, "s")
        turn.add("per_activity_of_1000", taken / WIDTH * 1e3, "ms")
        if turn.engine_name == "overwinter" and not turn.quick:
            for width in WIDER:
                taken = await _seconds(session, width, f"fan-{width}")
                turn.add(f"seconds_of_{width}", taken, "s")
                turn.add(f"per_activity_of_{width}", taken / width * 1e3, "ms")


async def _seconds(session: Session, width: int, name: str) -> float:
    began = time.perf_counter()
    done = await session.run("fan", width, name)
    assert done == width, f"{done} of {width} activities came back"
    return time.perf_counter() - began
