"""A process with a workflow whose code ends it, and others: ``python fragile.py FOLDER``.

The first life starts them; each waits for the others, and then for what is blocked.
"""

from __future__ import annotations

import asyncio
import faulthandler
import resource
import sys
from datetime import timedelta
from pathlib import Path

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.crash_watch import CrashWatch
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.worker import Worker

QUEUE = "fragile"
WELL = ("w1", "w2", "w3")


@activity.defn
async def step(number: int) -> int:
    await asyncio.sleep(0.02)
    return number


@workflow.defn
class Deadly:
    """After a first step its code crashes the process, as a bug in a library in C does."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(step, 0, start_to_close_timeout=timedelta(seconds=10))
        faulthandler._sigsegv()


@workflow.defn
class Well:
    @workflow.run
    async def run(self) -> int:
        total = 0
        for number in range(20):
            total += await workflow.execute_activity(
                step, number, start_to_close_timeout=timedelta(seconds=10)
            )
        return total


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(sys.argv[1])
    is_first = not (folder / "journal.db").exists()
    journal = await SqliteJournal.open(folder / "journal.db")
    engine = Engine(journal, SystemClock(), SystemEntropy())
    engine.crash_watch = CrashWatch(folder / "running.json")
    engine.crash_watch.begin()
    async with engine:
        client = Client(engine)
        async with Worker(client, task_queue=QUEUE, workflows=[Deadly, Well], activities=[step]):
            if is_first:
                for name in WELL:
                    await client.start_workflow(Well.run, id=name, task_queue=QUEUE)
                await client.start_workflow(Deadly.run, id="deadly", task_queue=QUEUE)
            for name in WELL:
                print(name, await client.get_workflow_handle(name).result(), flush=True)
            while not (blocked := await journal.executions(blocked=True)):
                await asyncio.sleep(0.01)
            print("blocked", blocked[0].workflow_id, blocked[0].blocked, flush=True)
            await client.get_workflow_handle("deadly").terminate()
    engine.crash_watch.end()
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main())
