"""DBOS Transact on SQLite: embedded, steps run where the workflow runs. Workflows are started in process, without a queue."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from dbos import DBOS, SetWorkflowID

from .port import NAP_S, WAIT_S, Address, no_servers


@DBOS.step()
async def noop(value: dict[str, int]) -> dict[str, int]:
    return value


@DBOS.step()
async def nap(value: dict[str, int]) -> dict[str, int]:
    await asyncio.sleep(NAP_S)
    return value


@DBOS.workflow()
async def ten(number: int) -> int:
    for step in range(10):
        await noop({"number": number, "step": step})
    return number


@DBOS.workflow()
async def one(number: int) -> int:
    await noop({"number": number})
    return number


@DBOS.workflow()
async def fan(width: int) -> int:
    return len(await asyncio.gather(*[noop({"step": step}) for step in range(width)]))


@DBOS.workflow()
async def wait(number: int) -> int:
    await DBOS.sleep_async(WAIT_S)
    return number


@DBOS.workflow()
async def naps(number: int) -> int:
    for step in range(10):
        await nap({"number": number, "step": step})
    return number


PROGRAMS = {"ten": ten, "one": one, "fan": fan, "wait": wait, "naps": naps}


class DbosSession:
    """See `Session`."""

    def __init__(self, store: Path) -> None:
        self.store = store

    async def run(self, program: str, argument: int, workflow_id: str) -> Any:
        with SetWorkflowID(workflow_id):
            handle = await DBOS.start_workflow_async(PROGRAMS[program], argument)
        return await handle.get_result()

    async def start(self, program: str, argument: int, workflow_id: str) -> None:
        with SetWorkflowID(workflow_id):
            await DBOS.start_workflow_async(PROGRAMS[program], argument)

    async def result(self, program: str, workflow_id: str) -> Any:
        handle = await DBOS.retrieve_workflow_async(workflow_id)
        return await handle.get_result()

    async def waiting(self) -> int:
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30) as reader:
            return int(reader.execute("SELECT count(*) FROM operation_outputs").fetchone()[0])


class DbosSqlite:
    """See `Engine`."""

    name = "dbos-sqlite"
    durability = "journal_mode=delete, synchronous=FULL (its default)"
    alternatives: ClassVar[dict[str, dict[str, str]]] = {}
    servers = staticmethod(asynccontextmanager(lambda _folder: no_servers()))

    @asynccontextmanager
    async def open(self, folder: Path, address: Address) -> AsyncIterator[DbosSession]:
        store = folder / "dbos.sqlite"
        DBOS(
            config={"name": "bench", "system_database_url": f"sqlite:///{store}", "log_level": "ERROR"},
        )
        DBOS.launch()
        yield DbosSession(store)
        # Nothing is taken down: what still runs would be waited for, and the process ends next.


ENGINE = DbosSqlite()
