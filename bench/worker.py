"""A worker that a workload kills or starts cold: `python -m bench.worker ENGINE FOLDER ADDRESS begin|finish|first COUNT`.

It says what it has done, and then stays until it is killed. ADDRESS is where the engine's servers are, or `null` to start them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from .engines import adapter
from .engines.port import Session

CONCURRENCY = 50


async def main(engine_name: str, folder: str, address: str, task: str, count: str) -> None:
    """Do the task on the store of this folder."""
    engine, place = adapter(engine_name), Path(folder)
    async with AsyncExitStack() as stack:
        where = json.loads(address)
        if where is None:
            where = await stack.enter_async_context(engine.servers(place))
        session = await stack.enter_async_context(engine.open(place, where))
        await TASKS[task](session, int(count))
        await asyncio.Event().wait()


async def begin(session: Session, count: int) -> None:
    """Start the workflows of W5."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await session.start("naps", number, f"naps-{number}")

    await asyncio.gather(*[lane() for _ in range(CONCURRENCY)])
    print("STARTED", flush=True)


async def finish(session: Session, count: int) -> None:
    """Wait until all of them have returned what they should."""
    found: Iterable[int] = await asyncio.gather(
        *[session.result("naps", f"naps-{number}") for number in range(count)]
    )
    assert list(found) == list(range(count)), "a workflow returned something else than it was started with"
    print("FINISHED", flush=True)
    sys.stdout.close()
    os._exit(0)


async def first(session: Session, count: int) -> None:
    """One workflow of one activity."""
    await session.run("one", count, f"first-{os.getpid()}")
    print("FIRST", flush=True)


TASKS = {"begin": begin, "finish": finish, "first": first}

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
