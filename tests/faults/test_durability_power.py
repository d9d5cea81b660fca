"""Power cuts under the durability classes: nothing that somebody was told of is lost under any of them; of what nobody was told,
`NOW` and `GROUPED` lose nothing that was committed, and `LAZY` the last commits before the cut, no older than its window.

The method is that of `test_power_cut`: the operations of a real run, and the states that a disk may hold after each.
``OVERWINTER_CUTS`` says how many cuts, ``OVERWINTER_SEED`` the seed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock, SystemEntropy
from overwinter.runtime.common import Durability
from overwinter.runtime.core.commands import CompleteWorkflow
from overwinter.runtime.core.events import Event, WorkflowStarted
from overwinter.runtime.core.events import Signaled as SignaledEvent
from overwinter.runtime.durability import Answer, Flushing
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.journal import JournalError, SqliteJournal, sqlite
from overwinter.runtime.worker import Worker
from tests.faults.disk import Disk, Operation, SyncFile, Told
from tests.faults.recorded_files import Recorder, put, scratch
from tests.faults.test_power_cut import CUTS, SEED, Signaled, Started, state_of
from tests.unit.gateways import QUEUE, served

WINDOW_S = 0.03
NAMES = 6
SAMPLES = 6


@dataclass(frozen=True)
class Ended:
    name: str


@dataclass(frozen=True)
class Committed:
    """A commit has returned, with this state of the journal."""

    state: str
    at_s: float


@activity.defn
async def sample(number: int) -> int:
    await asyncio.sleep(0.001)
    return number * 10


class _Steps:
    def __init__(self) -> None:
        self.signals = 0

    async def steps(self) -> list[int]:
        results: list[int] = []
        for number in range(SAMPLES):
            results.append(
                await workflow.execute_activity(sample, number, start_to_close_timeout=timedelta(seconds=10))
            )
        await workflow.wait_condition(lambda: self.signals > 0)
        return results


@workflow.defn(durability=Durability.LAZY)
class Lazy(_Steps):
    @workflow.run
    async def run(self) -> list[int]:
        return await self.steps()

    @workflow.signal
    def note(self) -> None:
        self.signals += 1


@workflow.defn
class Grouped(_Steps):
    @workflow.run
    async def run(self) -> list[int]:
        return await self.steps()

    @workflow.signal
    def note(self) -> None:
        self.signals += 1


@workflow.defn(durability=Durability.NOW)
class Now(_Steps):
    @workflow.run
    async def run(self) -> list[int]:
        return await self.steps()

    @workflow.signal
    def note(self) -> None:
        self.signals += 1


async def work(client: Client, kind: Any, recorder: Recorder) -> None:
    async def one(name: str) -> None:
        handle = await client.start_workflow(kind.run, id=name, task_queue=QUEUE)
        recorder.note(Told(Started(name)))
        await handle.signal("note")
        recorder.note(Told(Signaled(name)))
        assert await handle.result() == [10 * number for number in range(SAMPLES)]
        recorder.note(Told(Ended(name)))

    await asyncio.gather(*(one(f"{kind.__name__}-{number}") for number in range(NAMES)))


async def recorded(folder: Path, kind: Any) -> list[Operation]:
    """The operations of a run of this workflow, with what was committed and told between them."""
    put(folder, {})
    recorder = Recorder(folder, {})

    def committed(connection: Any) -> Committed:
        return Committed(state_of(connection), time.monotonic())

    limits = EngineLimits(lazy_window_s=WINDOW_S)
    with recorder.connected(committed):
        journal = await SqliteJournal.open(folder / "journal.db")
        await journal._write(lambda _connection: None)  # so that the empty journal is noted
        async with Engine(journal, SystemClock(), SystemEntropy(), limits) as engine:
            client = Client(engine)
            worker = Worker(client, task_queue=QUEUE, workflows=[Lazy, Grouped, Now], activities=[sample])
            async with served(worker):
                await work(client, kind, recorder)
        await journal.close()
    return recorder.operations


@dataclass
class Findings:
    cuts: int = 0
    commits_lost: int = 0
    oldest_s: float = 0.0
    """How long before the cut the oldest commit was made that is gone."""
    problems: list[str] = field(default_factory=list)


async def cut_power(folder: Path, kind: Any, cuts: int, *, lies: bool = False) -> Findings:
    operations = await recorded(folder, kind)
    chance, found = random.Random(SEED), Findings()
    begun = next(n for n, o in enumerate(operations) if isinstance(o, Told))
    disk, done = Disk({}, chance, lies=lies), 0
    for place in sorted(chance.randint(begun + 1, len(operations)) for _ in range(cuts)):
        for operation in operations[done:place]:
            disk.apply(operation)
        done = place
        put(folder, disk.after_power_cut())
        found.cuts += 1
        where = f"OVERWINTER_SEED={SEED}, cut at {place} of {len(operations)}"
        found.problems += [f"{where}: {each}" for each in await _problems(folder, operations, place, found)]
    return found


async def _problems(folder: Path, operations: list[Operation], cut: int, found: Findings) -> list[str]:
    try:
        state, histories = await _read(folder)
    except JournalError as error:
        return [str(error)]
    problems = _loss(operations, cut, state, found)
    for operation in operations[:cut]:
        told = operation.what if isinstance(operation, Told) else None
        if not isinstance(told, Started | Signaled | Ended):
            continue
        events = {type(event.body) for event in histories.get(told.name, [])}
        expected = {Started: WorkflowStarted, Signaled: SignaledEvent, Ended: CompleteWorkflow}[type(told)]
        if expected not in events:
            problems.append(f"{told}, and its history has no {expected.__name__}")
    return problems


async def _read(folder: Path) -> tuple[str, dict[str, list[Event]]]:
    """The state of the journal, and the histories in it by workflow id."""
    journal = await SqliteJournal.open(folder / "journal.db")
    try:
        state = await journal._write(state_of)
        records = await journal.executions(limit=1000)
        return state, {each.workflow_id: (await journal.history(each)).events for each in records}
    finally:
        await journal.close()


def _loss(operations: list[Operation], cut: int, state: str, found: Findings) -> list[str]:
    """What is lost is the end of what was committed, and was committed after the last sync."""
    commits = [
        (n, o.what) for n, o in enumerate(operations) if isinstance(o, Told) and isinstance(o.what, Committed)
    ]
    made = [what for n, what in commits if n < cut]
    after = [what for n, what in commits if n >= cut][:1]
    fitting = [number for number, what in enumerate([*made, *after]) if what.state == state]
    if not fitting:
        return ["the journal is in a state that no commit has made"]
    lost = made[fitting[-1] + 1 :]
    if not lost:
        return []
    found.commits_lost += len(lost)
    found.oldest_s = max(found.oldest_s, made[-1].at_s - lost[0].at_s)
    first_lost = next(n for n, what in commits if what is lost[0])
    if any(isinstance(operation, SyncFile) for operation in operations[first_lost:cut]):
        return [f"{len(lost)} commits are gone although a sync came after them"]
    return []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setitem(sqlite._PRAGMAS, "wal_autocheckpoint", "40")  # So that cuts hit checkpoints, too.
    made = scratch(tmp_path)
    yield made
    if made != tmp_path:
        shutil.rmtree(made)


@pytest.mark.timeout(60 + CUTS // 10)
@pytest.mark.parametrize("kind", [Now, Grouped])
async def test_now_and_grouped_lose_no_commit(folder: Path, kind: Any) -> None:
    found = await cut_power(folder, kind, CUTS // 4)
    print(f"{found.cuts} cuts, {found.commits_lost} commits lost")
    assert found.problems == []
    assert found.commits_lost == 0


@pytest.mark.timeout(60 + CUTS // 10)
async def test_lazy_loses_the_last_commits_only_and_nothing_that_somebody_was_told_of(folder: Path) -> None:
    found = await cut_power(folder, Lazy, CUTS // 2)
    print(f"{found.cuts} cuts, {found.commits_lost} commits lost, the oldest {found.oldest_s:.3f} s before")
    assert found.problems == []
    assert found.commits_lost, "this harness does not see what lazy may lose"
    # The window, and whatever a busy machine adds to it.
    assert found.oldest_s < WINDOW_S + 10


async def test_this_harness_sees_the_loss_when_answers_do_not_wait_for_the_flush(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(_flushing: Flushing, settle: Answer) -> None:
        settle(None)

    monkeypatch.setattr(Flushing, "answer", at_once)
    found = await cut_power(folder, Lazy, 100)
    print(f"{len(found.problems)} of {found.cuts} cuts: {found.problems[:2]}")
    assert found.problems


async def test_this_harness_sees_the_loss_when_the_disk_lies(folder: Path) -> None:
    found = await cut_power(folder, Now, 100, lies=True)
    print(f"{len(found.problems)} of {found.cuts} cuts: {found.problems[:2]}")
    assert found.problems
