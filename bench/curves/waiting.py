"""Memory and disk against the number of executions that wait for an hour, and how soon a restart with them has a first result."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .. import processes
from ..engines.overwinter import ENGINE
from ..engines.port import Session
from .measure import point, some

WAITS = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
CONCURRENCY = 50


async def measure(folder: Path, *, quick: bool) -> None:
    reached = 0
    for waits in some(WAITS, quick):
        rss = subprocess.run(
            [sys.executable, "-m", __name__, str(folder), str(reached), str(waits)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        reached = waits
        disk = processes.folder_bytes(folder)
        seconds, after = _restart(folder)
        point(
            waits,
            rss_mb=float(rss) / 1e6,
            disk_mb=disk / 1e6,
            restart_rss_mb=after / 1e6,
            restart_to_first_result_s=seconds,
        )


async def _more(folder: Path, begin: int, end: int) -> None:
    """A process that starts the executions that are missing, says how much memory it has then, and is killed."""
    async with ENGINE.open(folder, {}) as session:
        numbers = iter(range(begin, end))
        await asyncio.gather(*[_lane(session, numbers) for _ in range(CONCURRENCY)])
        await asyncio.sleep(0.5)
        print(processes.resident_bytes([os.getpid()]), flush=True)
        os._exit(0)


async def _lane(session: Session, numbers: Iterator[int]) -> None:
    for number in numbers:
        await session.start("wait", number, f"wait-{number}")


def _restart(folder: Path) -> tuple[float, int]:
    command = [sys.executable, "-m", "bench.worker", "overwinter", str(folder), json.dumps({}), "first", "1"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        first = processes.line_of(worker, "FIRST")
        time.sleep(0.3)
        resident = processes.resident_bytes([worker.pid])
        processes.kill_tree(worker)
    return first - began, resident


if __name__ == "__main__":
    asyncio.run(_more(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
