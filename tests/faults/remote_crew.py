"""The gateway that the remote kill tests kill: an engine that serves clients of other processes.

``python remote_crew.py JOURNAL SOCKET [--forgetful]``. Its answers leave late, so that a kill often falls between an effect and
its answer. With ``--forgetful`` it does not know a request that it has had: the protection switched off, which the
checker must find.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from overwinter import workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.remote import RemoteService, serve
from overwinter.runtime.worker import Worker

QUEUE = "crew"
_LATE_S = 0.02


@workflow.defn
class Tally:
    """Keeps all that it was told, with repetitions, until it is told to end."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.updates: list[int] = []
        self.ended = False

    @workflow.run
    async def run(self) -> dict[str, list[int]]:
        await workflow.wait_condition(lambda: self.ended)
        return {"signals": self.signals, "updates": self.updates}

    @workflow.signal
    def note(self, number: int) -> None:
        self.signals.append(number)

    @workflow.signal
    def end(self) -> None:
        self.ended = True

    @workflow.update
    def count(self, number: int) -> int:
        self.updates.append(number)
        return number


class ForgetfulJournal(SqliteJournal):
    async def request(self, request_id: bytes) -> int | None:
        return None


async def main() -> None:
    journal_path, socket, *options = sys.argv[1:]
    perform = RemoteService.perform

    async def late(self: RemoteService, *args: Any) -> Any:
        answer = await perform(self, *args)
        await asyncio.sleep(_LATE_S)
        return answer

    RemoteService.perform = late  # type: ignore[method-assign]
    kind = ForgetfulJournal if "--forgetful" in options else SqliteJournal
    journal = await kind.open(Path(journal_path))
    async with Engine(journal, SystemClock(), SystemEntropy()) as engine:
        async with Worker(Client(engine), task_queue=QUEUE, workflows=[Tally]), serve(engine, socket):
            os.write(1, b"ready\n")
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
