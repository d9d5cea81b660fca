"""Concurrency keys when the power goes: right before or right after any commit, on either journal.

After every commit the journal is asked who has begun and not ended; that is never more than the key allows, however often
the process has been started again. The checker is shown a journal that does not check, and must see it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock, SystemEntropy
from overwinter.runtime.common import ConcurrencyKey, ConcurrencyPolicy
from overwinter.runtime.engine import Engine
from overwinter.runtime.exceptions import ConcurrencyKeyTakenError, WorkflowAlreadyStartedError
from overwinter.runtime.journal import MemoryJournal, SqliteJournal, StorageFailed, store
from overwinter.runtime.ports import OPEN, Batch, ExecutionRecord, Journal
from overwinter.runtime.service import RPCError
from overwinter.runtime.worker import Worker
from tests.unit.gateways import served

LIMITS = {"field": 1, "pumps": 2}


@workflow.defn
class Irrigate:
    """Two steps, a continuation when it is told so, and an end by cancellation that takes another step."""

    @workflow.run
    async def run(self, key: str, again: bool) -> None:
        try:
            await self.step(key)
            await workflow.sleep(0.001)
        except asyncio.CancelledError:
            await self.step(key)
            raise
        if again:
            workflow.continue_as_new(args=[key, False])
        await self.step(key)

    async def step(self, key: str) -> None:
        await workflow.execute_activity(water, key, start_to_close_timeout=timedelta(seconds=10))


@activity.defn
async def water(key: str) -> None:
    """Takes a moment, so that two at a time would meet."""
    del key
    await asyncio.sleep(0)


class Checked:
    """A journal that fails around its commit of one number, and notes every excess that a commit has made durable."""

    def __init__(self, journal: Journal, cut_at: int | None, *, before: bool) -> None:
        self._journal = journal
        self._cut_at = cut_at
        self._before = before
        self.commits = 0
        self.excess: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        self.commits += 1
        cut = self._cut_at is not None and self.commits >= self._cut_at
        if cut and (self._before or self.commits > self._cut_at):
            raise StorageFailed("the power is gone")
        refused = await self._journal.commit(batch)
        await self._check()
        if cut:
            raise StorageFailed("the power is gone")
        return refused

    async def _check(self) -> None:
        running: Counter[str] = Counter()
        for record in await self._journal.executions(status=OPEN, limit=1000):
            state = (await self._journal.history(record)).state
            assert (record.concurrency_rank == 0) == state.admitted
            assert state.admitted or state.activation == 0
            running[record.concurrency_key] += state.admitted
        self.excess += [f"{key}: {count}" for key, count in running.items() if count > LIMITS[key]]


@asynccontextmanager
async def life(journal: Checked) -> AsyncIterator[Client]:
    """One life of a gateway on this journal, whose clock runs as fast as there is nothing to do."""
    clock = ManualClock()
    async with Engine(journal, clock, SystemEntropy()) as engine:  # type: ignore[arg-type] - it is one by delegation
        client = Client(engine)
        async with served(Worker(client, task_queue="farm", workflows=[Irrigate], activities=[water])):

            async def tick() -> None:
                while True:
                    await asyncio.sleep(0.001)
                    clock.advance(0.01)
                    engine.look_at_clock()

            ticking = asyncio.ensure_future(tick())
            try:
                yield client
            finally:
                ticking.cancel()


def orders(seed: int) -> list[tuple[str, ConcurrencyKey, bool]]:
    draw = random.Random(seed)
    found: list[tuple[str, ConcurrencyKey, bool]] = []
    for number in range(10):
        key = draw.choice(list(LIMITS))
        policy = draw.choice([ConcurrencyPolicy.WAIT] * 5 + list(ConcurrencyPolicy))
        found.append((f"{key}-{number}", ConcurrencyKey(key, LIMITS[key], policy), draw.random() < 0.3))
    return found


async def place(client: Client, seed: int) -> None:
    """Place all orders; one that was placed before the power went is known by its id."""

    async def one(name: str, key: ConcurrencyKey, again: bool) -> None:
        with suppress(ConcurrencyKeyTakenError, WorkflowAlreadyStartedError):
            await client.start_workflow(
                Irrigate.run, args=[key.key, again], id=name, task_queue="farm", concurrency=key
            )

    found = orders(seed)
    for together in (found[:4], found[4:5], found[5:]):
        await asyncio.gather(*(one(*order) for order in together))


async def all_ended(client: Client) -> None:
    async with asyncio.timeout(10):
        while await client.engine.journal.executions(status=OPEN, limit=1):
            await asyncio.sleep(0.002)


async def lives(journal: Journal, seed: int, cut_at: int, *, before: bool) -> tuple[list[str], bool]:
    """What was in excess over two lives, the first ended by the power; and whether the power went at all."""
    first = Checked(journal, cut_at, before=before)
    went = False
    try:
        async with life(first) as client:
            await place(client, seed)
            await all_ended(client)
    except (RPCError, AssertionError):
        went = True
    second = Checked(journal, None, before=False)
    async with life(second) as client:
        await all_ended(client)  # without a word from outside: nothing waits for ever
        await place(client, seed)
        await all_ended(client)
    return first.excess + second.excess, went


@pytest.fixture(params=["memory", "sqlite"])
async def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def over_all_cuts(kind: str, tmp_path: Path, seed: int, *, before: bool, step: int) -> list[str]:
    found: list[str] = []
    for cut_at in range(1, 1000, step):
        journal: Journal = MemoryJournal()
        if kind == "sqlite":
            journal = await SqliteJournal.open(tmp_path / f"{cut_at}.db")
        excess, went = await lives(journal, seed, cut_at, before=before)
        await journal.close()
        found += [f"cut {'before' if before else 'after'} commit {cut_at}: {each}" for each in excess]
        if not went:
            return found
    raise AssertionError("the orders were never all carried out")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
async def test_a_key_is_never_in_excess_and_nothing_waits_for_ever_wherever_the_power_goes(
    kind: str, before: bool, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    step = 1 if kind == "memory" else 5
    assert await over_all_cuts(kind, tmp_path, seed, before=before, step=step) == []


@pytest.mark.timeout(120)
async def test_the_check_sees_a_journal_that_lets_everybody_begin(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_in_the_way", lambda _connection, _start: [])
    monkeypatch.setattr(MemoryJournal, "_in_the_way", lambda _self, _start: [])
    journal: Journal = MemoryJournal() if kind == "memory" else await SqliteJournal.open(tmp_path / "j.db")
    excess, _ = await lives(journal, 7, 10_000, before=False)
    await journal.close()
    assert excess
