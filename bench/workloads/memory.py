"""How much memory a process takes for executions at rest, beside the bound that it was given."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from overwinter.runtime.client import Client
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.worker import Worker

from ..run import Turn
from ..workflows import Keeper

TITLE = "memory of executions at rest, beside the bound that it was given"
SECONDS = 180
ENGINES = ("overwinter",)

MIB = 1 << 20
BOUNDS = (16, 64, 128)
"""MiB."""
KINDS = {"small": (12_000, 3, 100), "large": (1_500, 10, 10_000)}
"""Executions, signals of each, bytes of each signal."""


async def measure(turn: Turn) -> None:
    """Each bound in a process of its own, with more executions than fit."""
    turn.durability = ""
    for kind, (executions, signals, size) in KINDS.items():
        for bound in BOUNDS:
            number = int(turn.scaled(executions, executions / 20))
            taken, held, estimate = _in_a_process(turn.folder, number, signals, size, bound)
            what = f"{kind}_bound_{bound}"
            turn.add(f"taken_{what}", taken / MIB, "MiB")
            turn.add(f"estimate_{what}", estimate / MIB, "MiB")
            turn.add(f"with_code_{what}", held, "")


def _in_a_process(folder: Path, executions: int, signals: int, size: int, bound: int) -> tuple[int, int, int]:
    command = [sys.executable, "-m", __name__, *map(str, (executions, signals, size, bound))]
    command += ["--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    taken, held, estimate = json.loads(done.stdout)
    return taken, held, estimate


async def _measure(folder: Path, executions: int, signals: int, size: int, bound: int) -> list[int]:
    limits = EngineLimits(cached_executions_max=10**6, cached_bytes_max=bound * MIB)
    async with (
        Client.open(folder / "memory.db", limits=limits) as client,
        Worker(client, task_queue="bench", workflows=[Keeper], max_cached_workflows=10**6),
    ):
        gate = asyncio.Semaphore(50)

        async def one(name: str) -> None:
            async with gate:
                handle = await client.start_workflow(Keeper.run, id=name, task_queue="bench")
                for _ in range(signals):
                    await handle.signal(Keeper.keep, "x" * size)

        # What SQLite and the allocator take once and for all, before the first look.
        await asyncio.gather(*[one(f"warm-{number}") for number in range(200)])
        for number in range(200):
            await client.get_workflow_handle(f"warm-{number}").terminate()
        gc.collect()
        before = _resident()
        for first in range(0, executions, 1000):
            await asyncio.gather(*[one(f"w{number}") for number in range(first, first + 1000)])
        gc.collect()
        cache = client.engine.cache
        return [_resident() - before, cache.loaded, cache.bytes]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.workloads.memory", description=__doc__)
    for name in ("executions", "signals", "size", "bound"):
        parser.add_argument(name, type=int)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        measured = _measure(Path(place), given.executions, given.signals, given.size, given.bound)
        print(json.dumps(asyncio.run(measured)))
