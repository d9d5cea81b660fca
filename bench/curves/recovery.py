"""From the restart after kill -9 until all is done, against the number of executions that had an activity under way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.worker import Worker

from .. import processes
from .measure import point, some

EXECUTIONS = (1, 10, 100, 1000, 10_000)
CONCURRENCY = 100
QUEUE = "bench"
holds = False


@activity.defn
async def hold(number: int) -> int:
    """Has no end until the process is another one."""
    while holds:
        await asyncio.sleep(3600)
    return number


@workflow.defn
class Held:
    """One activity."""

    @workflow.run
    async def run(self, number: int) -> int:
        return await workflow.execute_activity(hold, number, start_to_close_timeout=timedelta(hours=2))


async def measure(folder: Path, *, quick: bool) -> None:
    for executions in some(EXECUTIONS, quick):
        place = folder / str(executions)
        place.mkdir()
        command = [sys.executable, "-m", __name__, str(place), str(executions)]
        with subprocess.Popen([*command, "begin"], stdout=subprocess.PIPE, text=True) as worker:
            processes.line_of(worker, "STARTED")
            processes.kill_tree(worker)
        began = time.perf_counter()
        with subprocess.Popen([*command, "finish"], stdout=subprocess.PIPE, text=True) as worker:
            seconds = processes.line_of(worker, "FINISHED") - began
            processes.kill_tree(worker)
        point(executions, seconds=seconds)


async def _work(folder: Path, executions: int, task: str) -> None:
    global holds  # noqa: PLW0603 - the one thing in which the two processes differ
    holds = task == "begin"
    async with (
        Client.open(folder / "journal.db") as client,
        Worker(
            client, task_queue=QUEUE, workflows=[Held], activities=[hold], max_concurrent_activities=20_000
        ),
    ):
        numbers = iter(range(executions))
        await asyncio.gather(*[_lane(client, numbers, task) for _ in range(CONCURRENCY)])
        print("STARTED" if holds else "FINISHED", flush=True)
        await asyncio.Event().wait()


async def _lane(client: Client, numbers: Iterator[int], task: str) -> None:
    for number in numbers:
        if task == "begin":
            await client.start_workflow(Held.run, number, id=f"held-{number}", task_queue=QUEUE)
        else:
            assert await client.get_workflow_handle(f"held-{number}").result() == number


if __name__ == "__main__":
    asyncio.run(_work(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
