"""W7: what W1 makes the disk do. Runs under strace where it is installed; then its throughput means nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from .. import processes
from ..engines import limit as bare
from ..engines.port import ways
from ..run import Turn, many
from .w1 import CONCURRENCY, STEPS, WARM

TITLE = "fsyncs and bytes written a step, 50 workflows at a time"
SECONDS = 90
CALLS = ("fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs")
LOG = "strace.txt"


def command(plain: list[str], folder: Path) -> list[str]:
    """The turn under strace, if this machine lets us."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode:
        return plain
    # With the filter in the kernel the other system calls run at full speed.
    return [
        strace,
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-ttt",
        "-e",
        f"trace={','.join(CALLS)}",
        "-o",
        str(folder / LOG),
        *plain,
    ]


async def measure(turn: Turn) -> None:
    assert turn.engine is not None
    async with turn.session() as session:
        for suffix, program in ways(turn.engine, "ten"):
            turn.suffix = suffix
            await many(session, program, seconds=0.2, concurrency=WARM, name="warm")
            meter = _Meter(turn)
            ended, _ = await many(
                session, program, seconds=turn.scaled(5.0, 0.5), concurrency=CONCURRENCY, name="run"
            )
            meter.report(ended * STEPS)


async def limit(turn: Turn) -> None:
    meter = _Meter(turn)
    ended, _ = await bare.throughput(
        turn.folder / "limit.db", seconds=turn.scaled(3.0, 0.5), concurrency=CONCURRENCY, steps=STEPS
    )
    meter.report(ended * STEPS)


class _Meter:
    """What this turn's processes make the disk do from now on."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._pids = processes.tree(os.getpid())
        self._began = time.time()
        self._written = processes.written_bytes(self._pids)
        self._kept = processes.folder_bytes(turn.folder)

    def report(self, steps: int) -> None:
        written = processes.written_bytes(self._pids) - self._written
        syncs = self._syncs(time.time())
        if syncs is not None:
            self._turn.add("fsyncs_per_step", syncs / steps, "")
        self._turn.add("written_per_step", written / steps, "B")
        self._turn.add("kept_per_step", (processes.folder_bytes(self._turn.folder) - self._kept) / steps, "B")

    def _syncs(self, until: float) -> int | None:
        log = self._turn.folder / LOG
        if not log.exists():
            return None
        count = 0
        for line in log.read_text().splitlines():
            _pid, at, call = line.split(None, 2)
            if self._began <= float(at) <= until and call.startswith(CALLS):
                count += 1
        return count
