"""W2: one workflow of one activity at a time, from its start to its result."""

from __future__ import annotations

import time

from ..engines import limit as bare
from ..engines.port import ways
from ..results import percentile
from ..run import Turn

TITLE = "one no-op activity, one workflow at a time: start to result"
SECONDS = 60
WARM = 20


async def measure(turn: Turn) -> None:
    assert turn.engine is not None
    async with turn.session() as session:
        for suffix, program in ways(turn.engine, "one"):
            turn.suffix = suffix
            times: list[float] = []
            first = time.perf_counter()
            while len(times) < WARM + 20 or time.perf_counter() - first < turn.scaled(5.0, 0.5):
                began = time.perf_counter()
                await session.run(program, len(times), f"{program}-{len(times)}")
                times.append(time.perf_counter() - began)
            _report(turn, times[WARM:])


async def limit(turn: Turn) -> None:
    _report(turn, (await bare.latency(turn.folder / "one.db", seconds=turn.scaled(3.0, 0.5)))[WARM:])


def _report(turn: Turn, times: list[float]) -> None:
    turn.add("start_to_result_p50", percentile(times, 0.50) * 1e3, "ms")
    turn.add("start_to_result_p99", percentile(times, 0.99) * 1e3, "ms")
