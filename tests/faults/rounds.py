"""Work for an engine in this process, and a check of what has become of it after a fault.

What was told to somebody is noted by whoever calls; an activity tells of its effect before it returns.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.core.events import ActivityCompleted
from overwinter.runtime.engine import Engine
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, served

STEPS = 3


@dataclass(frozen=True)
class Started:
    name: str


@dataclass(frozen=True)
class Signaled:
    name: str


@dataclass(frozen=True)
class Effect:
    """An activity has done what cannot be taken back."""

    key: str


@workflow.defn
class Round:
    """Steps, timers and a signal, so that a cut can hit any of them."""

    def __init__(self) -> None:
        self.signals = 0

    @workflow.run
    async def run(self, name: str) -> list[int]:
        results: list[int] = []
        for number in range(STEPS):
            results.append(
                await workflow.execute_activity(
                    "leave_a_mark", number, start_to_close_timeout=timedelta(seconds=10), result_type=int
                )
            )
            await workflow.sleep(0.001)
        await workflow.wait_condition(lambda: self.signals > 0)
        return results

    @workflow.signal
    def note(self) -> None:
        self.signals += 1


@asynccontextmanager
async def engine_on(journal: SqliteJournal, tell: Callable[[Any], None]) -> AsyncIterator[Client]:
    @activity.defn
    async def leave_a_mark(number: int) -> int:
        tell(Effect(activity.info().idempotency_key))
        return number * 10

    async with Engine(journal, SystemClock(), SystemEntropy()) as engine:
        client = Client(engine)
        async with served(Worker(client, task_queue=QUEUE, workflows=[Round], activities=[leave_a_mark])):
            yield client


async def work(client: Client, names: Sequence[str], tell: Callable[[Any], None]) -> None:
    async def one(name: str) -> None:
        handle = await client.start_workflow(Round.run, name, id=name, task_queue=QUEUE)
        tell(Started(name))
        await handle.signal(Round.note)
        tell(Signaled(name))
        await handle.result()

    await asyncio.gather(*(one(name) for name in names))


def state_of(connection: sqlite3.Connection) -> str:
    """A digest of everything that the journal says."""
    found = hashlib.blake2b(digest_size=16)
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    for (name,) in connection.execute(names).fetchall():
        found.update(name.encode())
        for row in connection.execute(f"SELECT * FROM {name}"):
            found.update(repr(row).encode())
    return found.hexdigest()


def integrity_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


async def recorded_steps(journal: SqliteJournal) -> set[str]:
    found: set[str] = set()
    for record in await journal.executions(limit=1000):
        events = (await journal.history(record)).events
        found |= {f"{record.run_id}:{e.body.id}" for e in events if isinstance(e.body, ActivityCompleted)}
    return found


async def problems_when_it_goes_on(
    folder: Path, started: set[str], signaled: set[str], *, patience_s: float = 10
) -> list[str]:
    """An engine takes the journal on: everything promised ends as it should, and no recorded step runs again."""
    effects: list[str] = []
    found: list[str] = []
    journal = await SqliteJournal.open(folder / "journal.db")
    recorded = await recorded_steps(journal)
    async with engine_on(journal, lambda effect: effects.append(effect.key)) as client:
        for name in sorted(started):
            handle = client.get_workflow_handle(name, result_type=list[int])
            try:
                if name not in signaled and (await handle.describe()).status.name == "RUNNING":
                    await handle.signal(Round.note)
                result = await asyncio.wait_for(handle.result(), patience_s)
                if result != [10 * number for number in range(STEPS)]:
                    found.append(f"{name} ended with {result}")
            except Exception as error:  # noqa: BLE001 - the checker wants to know of any
                found.append(f"{name}: {type(error).__name__}: {error}")
    await journal.close()
    found += [f"{key} ran again" for key in effects if key in recorded]
    found += [f"{key} ran {count} times" for key, count in Counter(effects).items() if count > 1]
    return found
