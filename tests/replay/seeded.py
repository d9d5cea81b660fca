"""Records or replays histories in a process of its own: ``python seeded.py record|replay FOLDER``, with a hash seed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowHistory
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.worker import Replayer, Worker

FIELDS = ("north", "south", "east", "west", "hill", "lake", "wood", "yard")


@activity.defn
async def water(field: str) -> str:
    return field


def one_for(field: str) -> Callable[[], Awaitable[str]]:
    @activity.defn(name=f"water_{field}")
    async def water_it() -> str:
        return field

    return water_it


@workflow.defn
class InOrder:
    """Asks for things in an order that is the same in every process, whatever asyncio keeps in sets."""

    @workflow.run
    async def run(self) -> list[str]:
        tasks = {
            asyncio.create_task(
                workflow.execute_activity(water, field, start_to_close_timeout=timedelta(seconds=9))
            )
            for field in FIELDS
        }
        found: list[str] = []
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            found += [task.result() for task in done]
        return sorted(found)


@workflow.defn
class BySet:
    """Asks for things in the order of a set of texts, which is another one in each process."""

    @workflow.run
    async def run(self) -> None:
        for field in set(FIELDS):
            await workflow.execute_activity(f"water_{field}", start_to_close_timeout=timedelta(seconds=9))


async def record(folder: Path) -> None:
    async with Engine(MemoryJournal(), SystemClock(), SystemEntropy()) as engine:
        client = Client(engine)
        activities = [water, *map(one_for, FIELDS)]
        async with Worker(client, task_queue="q", workflows=[InOrder, BySet], activities=activities):
            for kind in (InOrder, BySet):
                handle = await client.start_workflow(kind.run, id=kind.__name__, task_queue="q")
                await handle.result()
                (folder / f"{kind.__name__}.json").write_text((await handle.fetch_history()).to_json())


async def replay(folder: Path) -> None:
    replayer = Replayer(workflows=[InOrder, BySet])
    for kind in (InOrder, BySet):
        history = WorkflowHistory.from_json(kind.__name__, (folder / f"{kind.__name__}.json").read_text())
        result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        print(kind.__name__, "fits" if result.replay_failure is None else "differs")


if __name__ == "__main__":
    asyncio.run({"record": record, "replay": replay}[sys.argv[1]](Path(sys.argv[2])))
