"""The process that the kill tests kill: an engine that takes orders on stdin and acknowledges them on stdout.

``python crew.py JOURNAL EFFECTS [--lie] [--files]``. With ``--lie`` its journal says that a commit is done before it is written:
the protection switched off, which the checker must find. With ``--files`` all payloads are files beside the journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.converter import DataConverter, ExternalStorage, FileStorageDriver
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.ports import Batch, ExecutionRecord
from overwinter.runtime.service import RPCError
from overwinter.runtime.worker import Worker

STEPS = 4
SIGNALS = 2
_LIE_S = 0.3


@activity.defn
async def leave_a_mark(number: int) -> int:
    """Append the idempotency key to the effects file, durably: what cannot be taken back."""
    await asyncio.sleep(0.005)
    line = f"{activity.info().idempotency_key}\n".encode()
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)
    return number * 10


@workflow.defn
class Round:
    """Activities, timers and signals, so that a kill can hit any of them."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    @workflow.run
    async def run(self, name: str) -> dict[str, Any]:
        results: list[int] = []
        timers = 0
        for number in range(STEPS):
            results.append(
                await workflow.execute_activity(
                    leave_a_mark, number, start_to_close_timeout=timedelta(seconds=10)
                )
            )
            await workflow.sleep(0.01)
            timers += 1
        await workflow.wait_condition(lambda: len(set(self.signals)) >= SIGNALS)
        return {"name": name, "results": results, "timers": timers, "signals": sorted(self.signals)}

    @workflow.signal
    def note(self, number: int) -> None:
        self.signals.append(number)


class LyingJournal:
    """Answers at once and writes later."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self._later: asyncio.Queue[Batch] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        self._later.put_nowait(batch)
        return {}

    async def _write(self) -> None:
        while True:
            batch = await self._later.get()
            await asyncio.sleep(_LIE_S)
            await self._journal.commit(batch)


def converter(folder: Path) -> DataConverter:
    """Every value is a file in a folder of this one."""
    driver = FileStorageDriver(folder / "payloads")
    return DataConverter(external_storage=ExternalStorage(drivers=[driver], payload_size_threshold=0))


async def main() -> None:
    journal: Any = await SqliteJournal.open(Path(sys.argv[1]))
    if "--lie" in sys.argv:
        journal = LyingJournal(journal)
    data = converter(Path(sys.argv[1]).parent) if "--files" in sys.argv else DataConverter()
    async with Engine(journal, SystemClock(), SystemEntropy()) as engine:
        client = Client(engine, data_converter=data)
        async with Worker(client, task_queue="crew", workflows=[Round], activities=[leave_a_mark]):
            say("ready")
            reader = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
            )
            async with asyncio.TaskGroup() as orders:
                while line := await reader.readline():
                    orders.create_task(obey(client, line.decode().split()))


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def obey(client: Client, order: list[str]) -> None:
    match order:
        case ["start", name]:
            await client.start_workflow(Round.run, name, id=name, task_queue="crew")
            say("started", name)
        case ["signal", name, number]:
            try:
                await client.get_workflow_handle(name).signal(Round.note, int(number))
            except RPCError:  # the round has ended, or was lost: its result tells
                return
            say("signaled", name, number)
        case ["result", name]:
            try:
                say("result", name, json.dumps(await client.get_workflow_handle(name).result()))
            except Exception as error:  # noqa: BLE001 - the checker wants to know of any
                say("lost", name, type(error).__name__)
        case _:
            raise ValueError(f"unknown order {order}")


if __name__ == "__main__":
    asyncio.run(main())
