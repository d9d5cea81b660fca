"""A disk whose syncs take long: nobody is held up but those who wait for it, and many of them share one sync."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.journal import sqlite
from tests.unit.gateways import QUEUE, SqliteGateway

SYNC_S = 0.25
STARTS = 200


@workflow.defn
class Greets:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"hello {name}"

    @workflow.query
    def ready(self) -> bool:
        return True


@pytest.mark.timeout(60)
async def test_a_slow_disk_holds_up_only_who_waits_for_it_and_many_share_a_sync(
    durable: SqliteGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = sqlite._commit
    syncing = False

    def slow(*args: Any, **kwargs: Any) -> Any:
        nonlocal syncing
        syncing = True
        time.sleep(SYNC_S)
        syncing = False
        return commit(*args, **kwargs)

    async with durable.on([Greets]) as client:
        await client.execute_workflow(Greets.run, "before", id="before", task_queue=QUEUE)
        monkeypatch.setattr(sqlite, "_commit", slow)
        commits = client.engine.counters.commits
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += syncing
                await asyncio.sleep(0)

        turning = asyncio.ensure_future(turn())
        starts = [
            client.start_workflow(Greets.run, str(number), id=f"w{number}", task_queue=QUEUE)
            for number in range(STARTS)
        ]
        handles = await asyncio.gather(*starts)
        answers = [await handle.result() for handle in handles]
        turning.cancel()
        assert answers == [f"hello {number}" for number in range(STARTS)]
        assert client.engine.counters.commits - commits <= 12
        assert turns > 100, "the event loop stood still while the disk was slow"
