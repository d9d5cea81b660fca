"""The gateway of the soak: an engine that serves clients of other processes. ``python soak_crew.py JOURNAL SOCKET EFFECTS``."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from datetime import timedelta
from pathlib import Path

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.remote import serve
from overwinter.runtime.worker import Worker

QUEUE = "soak"
STEPS = 3
PADDING = "x" * 500


@activity.defn
async def leave_a_mark(number: int, padding: str) -> str:
    """One line for each time that it ran. It is not synced: a kill of the process takes nothing from it."""
    info = activity.info()
    with open(sys.argv[3], "ab", buffering=0) as effects:
        effects.write(f"{info.workflow_id} {info.idempotency_key}\n".encode())
    await asyncio.sleep(0)
    return padding[:number]


@workflow.defn
class Work:
    @workflow.run
    async def run(self, padding: str) -> int:
        total = 0
        for number in range(STEPS):
            total += len(
                await workflow.execute_activity(
                    leave_a_mark, args=[number, padding], start_to_close_timeout=timedelta(seconds=60)
                )
            )
            await workflow.sleep(0.001)
        return total


async def main() -> None:
    gc.set_threshold(50_000, 20, 50)
    journal = await SqliteJournal.open(Path(sys.argv[1]))
    limits = EngineLimits(cached_executions_max=500)
    async with Engine(journal, SystemClock(), SystemEntropy(), limits) as engine:
        worker = Worker(Client(engine), task_queue=QUEUE, workflows=[Work], activities=[leave_a_mark])
        async with worker, serve(engine, sys.argv[2]):
            os.write(1, b"ready\n")
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
