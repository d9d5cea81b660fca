"""W6: from the start of a process to its first result, on an empty store and on one that exists; memory when idle."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from statistics import median

from .. import processes
from ..run import Turn

TITLE = "cold start to the first result; memory when idle"
SECONDS = 90


async def measure(turn: Turn) -> None:
    # As installed: with the bytecode of its modules, which the first start writes.
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    _first_result(_with_folder(turn, "warm"), idle=0.0)
    fresh: list[tuple[float, int]] = []
    existing: list[tuple[float, int]] = []
    for number in range(int(turn.scaled(3, 1))):
        place = _with_folder(turn, str(number))
        for times in (fresh, existing):
            times.append(_first_result(place, idle=turn.scaled(1.5, 0.1)))
    turn.add("first_result_new", median(seconds for seconds, _rss in fresh), "s")
    turn.add("first_result_existing", median(seconds for seconds, _rss in existing), "s")
    turn.add("idle_rss", median(rss for _seconds, rss in existing) / 1e6, "MB")


def _with_folder(turn: Turn, name: str) -> Turn:
    (turn.folder / name).mkdir()
    return replace(turn, folder=turn.folder / name)


def _first_result(turn: Turn, *, idle: float) -> tuple[float, int]:
    """Seconds from exec until the result, servers included; resident bytes of all processes some time later."""
    began = time.perf_counter()
    command = [*turn.command("bench.worker"), "first", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        first = processes.line_of(worker, "FIRST")
        time.sleep(idle)
        resident = processes.resident_bytes(processes.tree(worker.pid))
        processes.kill_tree(worker)
    return first - began, resident
