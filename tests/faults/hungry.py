"""The process that the tests of exhaustion starve: its limits are set low, and its work asks for more.

``python hungry.py JOURNAL memory|files|size``; says what became of each of its workflows.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from datetime import timedelta
from pathlib import Path

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import JournalError, SqliteJournal
from overwinter.runtime.service import RPCError
from overwinter.runtime.worker import Worker

QUEUE = "hungry"
TOO_MANY_BYTES = 1 << 40
held: list[int] = []
"""Files that an activity has opened and keeps."""


@activity.defn
async def takes_all_memory() -> int:
    return len(bytearray(TOO_MANY_BYTES))


@activity.defn
async def takes_all_files() -> int:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))


@activity.defn
async def gives_files_back() -> int:
    count = len(held)
    while held:
        os.close(held.pop())
    return count


@activity.defn
async def takes_nothing(number: int) -> int:
    await asyncio.sleep(0.01)
    return number


@workflow.defn
class Asks:
    @workflow.run
    async def run(self, name: str) -> int:
        return await workflow.execute_activity(
            name,
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=10)),
            result_type=int,
        )


@workflow.defn
class AsksInItsCode:
    @workflow.run
    async def run(self) -> int:
        return len(bytearray(TOO_MANY_BYTES))


@workflow.defn
class Modest:
    @workflow.run
    async def run(self, steps: int) -> int:
        total = 0
        for number in range(steps):
            total += await workflow.execute_activity(
                takes_nothing, number, start_to_close_timeout=timedelta(seconds=20)
            )
        return total


async def main() -> None:
    path, what = Path(sys.argv[1]), sys.argv[2]
    if what == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    elif what == "files":
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    journal = await SqliteJournal.open(path)
    async with Engine(journal, SystemClock(), SystemEntropy()) as engine:
        client = Client(engine)
        async with Worker(
            client,
            task_queue=QUEUE,
            workflows=[Asks, AsksInItsCode, Modest],
            activities=[takes_all_memory, takes_all_files, gives_files_back, takes_nothing],
        ):
            modest = await client.start_workflow(Modest.run, 30, id="modest", task_queue=QUEUE)
            await {"memory": memory, "files": files, "size": size}[what](client, path)
            print("modest", await modest.result())
        assert engine.failure is None
    await journal.close()


async def memory(client: Client, _path: Path) -> None:
    await client.start_workflow(AsksInItsCode.run, id="in its code", task_queue=QUEUE)
    print("activity", await _outcome(client, "takes_all_memory"))
    while not await client.engine.journal.executions(blocked=True):
        await asyncio.sleep(0.01)
    (record,) = await client.engine.journal.executions(blocked=True)
    assert record.blocked is not None
    print("blocked", record.workflow_id, record.blocked.cause)


async def files(client: Client, path: Path) -> None:
    print("activity", await _outcome(client, "takes_all_files"))
    try:
        await SqliteJournal.open_read_only(path)
    except JournalError as error:
        print("second opening", error)
    print("new work", await client.execute_workflow(Modest.run, 3, id="meanwhile", task_queue=QUEUE))
    print("given back", await _outcome(client, "gives_files_back"))
    journal = await SqliteJournal.open_read_only(path)
    print("third opening", len(await journal.executions()))
    await journal.close()


async def size(client: Client, path: Path) -> None:
    """As a quota: a file may grow no further, and later it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    started = 0
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (path.with_name("journal.db-wal").stat().st_size + 200_000, hard)
    )
    while True:
        try:
            await client.start_workflow(Modest.run, 3, id=f"m{started}", task_queue=QUEUE)
        except RPCError as error:
            print("refused", error.status.name, error)
            break
        started += 1
    print("found", len(await client.engine.journal.executions(limit=1000)) > started / 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for number in range(started):
        assert await client.get_workflow_handle(f"m{number}", result_type=int).result() == 3
    print("done", started)


async def _outcome(client: Client, name: str) -> str:
    try:
        return str(await client.execute_workflow(Asks.run, name, id=name, task_queue=QUEUE))
    except WorkflowFailureError as error:
        return repr(error.cause.__cause__)


if __name__ == "__main__":
    asyncio.run(main())
