"""W1: workflows of ten activities in sequence that do nothing, 50 at a time."""

from __future__ import annotations

import os
import time

from .. import processes
from ..engines import limit as bare
from ..engines.port import Session, ways
from ..run import Turn, many

TITLE = "ten no-op activities in sequence, 50 workflows at a time"
SECONDS = 90
STEPS = 10
CONCURRENCY = 50
WARM = 10


async def measure(turn: Turn) -> None:
    assert turn.engine is not None
    async with turn.session() as session:
        for suffix, program in ways(turn.engine, "ten"):
            turn.suffix = suffix
            await many(session, program, seconds=turn.scaled(1.0, 0.0), concurrency=WARM, name="warm")
            await _measure(turn, session, program)


async def _measure(turn: Turn, session: Session, program: str) -> None:
    pids = processes.tree(os.getpid())
    cpu, commits = processes.cpu_seconds(pids), _commits(session)
    ended, seconds = await many(
        session, program, seconds=turn.scaled(5.0, 0.5), concurrency=CONCURRENCY, name="run"
    )
    steps = ended * STEPS
    turn.add("steps_per_second", steps / seconds, "1/s")
    turn.add("workflows_per_second", ended / seconds, "1/s")
    turn.add("cpu_per_step", (processes.cpu_seconds(pids) - cpu) / steps * 1e3, "ms")
    if commits is not None:
        turn.add("commits_per_step", ((_commits(session) or 0) - commits) / steps, "")


def _commits(session: Session) -> int | None:
    """What Overwinter itself counts; of the peers we only know what strace sees (W7)."""
    client = getattr(session, "client", None)
    engine = getattr(client, "engine", None)
    return None if engine is None else int(engine.counters.commits)


async def limit(turn: Turn) -> None:
    for concurrency in (CONCURRENCY, 500):
        turn.suffix = "" if concurrency == CONCURRENCY else f"at_{concurrency}"
        cpu = time.process_time()
        ended, seconds = await bare.throughput(
            turn.folder / f"{concurrency}.db",
            seconds=turn.scaled(3.0, 0.5),
            concurrency=concurrency,
            steps=STEPS,
        )
        turn.add("steps_per_second", ended * STEPS / seconds, "1/s")
        turn.add("cpu_per_step", (time.process_time() - cpu) / ended / STEPS * 1e3, "ms")
