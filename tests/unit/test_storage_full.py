"""A full disk refuses new work, loses nothing that was accepted, and ends by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.journal import MemoryJournal, StorageFailed, StorageFull
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.unit.gateways import QUEUE, Gateway, engine_on, event_names, until

runs: list[str] = []
gates: dict[str, asyncio.Event] = {}


@activity.defn
async def gated(name: str) -> str:
    runs.append(name)
    await gates.setdefault(name, asyncio.Event()).wait()
    return name


@workflow.defn
class Gated:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        return await asyncio.gather(
            *[
                workflow.execute_activity(gated, name, start_to_close_timeout=timedelta(seconds=60))
                for name in names
            ]
        )

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)

    @workflow.query
    def values(self) -> list[str]:
        return self.got


@pytest.fixture(autouse=True)
def _forget() -> None:
    runs.clear()
    gates.clear()


def _full(gateway: Gateway) -> None:
    assert isinstance(gateway.journal, MemoryJournal)
    gateway.journal.fail_next = StorageFull("no room")


async def test_a_start_is_refused_when_there_is_no_room(gateway: Gateway) -> None:
    async with gateway.on([Gated], [gated]) as client:
        _full(gateway)
        with pytest.raises(RPCError) as refused:
            await client.start_workflow(Gated.run, ["a"], id="w", task_queue=QUEUE)
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        assert runs == []
        gates["a"] = asyncio.Event()
        gates["a"].set()
        assert await client.execute_workflow(Gated.run, ["a"], id="w", task_queue=QUEUE) == ["a"]


async def test_a_signal_that_was_refused_has_no_effect_and_the_next_one_has(gateway: Gateway) -> None:
    async with gateway.on([Gated], [gated]) as client:
        handle = await client.start_workflow(Gated.run, ["a"], id="w", task_queue=QUEUE)
        await until(lambda: runs == ["a"])
        _full(gateway)
        with pytest.raises(RPCError, match="no room"):
            await handle.signal(Gated.put, "refused")
        await handle.signal(Gated.put, "accepted")
        assert await handle.query(Gated.values) == ["accepted"]
        gates["a"].set()
        assert await asyncio.wait_for(handle.result(), 5) == ["a"]


async def test_a_result_survives_a_full_disk_and_its_activity_runs_once(gateway: Gateway) -> None:
    async with gateway.on([Gated], [gated]) as client:
        handle = await client.start_workflow(Gated.run, ["a"], id="w", task_queue=QUEUE)
        await until(lambda: runs == ["a"])
        _full(gateway)
        gates["a"].set()
        assert await asyncio.wait_for(handle.result(), 5) == ["a"]
        assert runs == ["a"]
        assert client.engine.counters.commit_failures == 1


async def test_an_activity_that_runs_while_the_disk_is_full_is_not_begun_a_second_time(
    gateway: Gateway,
) -> None:
    async with gateway.on([Gated], [gated]) as client:
        handle = await client.start_workflow(Gated.run, ["a", "b", "c"], id="w", task_queue=QUEUE)
        await until(lambda: len(runs) == 3)
        _full(gateway)
        gates["a"].set()
        await until(lambda: client.engine.counters.commit_failures == 1)
        gates["b"].set()  # ends while the engine waits for room
        await asyncio.sleep(0.02)
        await asyncio.sleep(1.2)
        gates["c"].set()
        assert await asyncio.wait_for(handle.result(), 5) == ["a", "b", "c"]
        assert sorted(runs) == ["a", "b", "c"]


async def test_everyone_who_waits_is_answered_when_there_is_no_room(gateway: Gateway) -> None:
    async with gateway.on([Gated], [gated]) as client:
        handle = await client.start_workflow(Gated.run, ["a"], id="w", task_queue=QUEUE)
        _full(gateway)
        answers = await asyncio.wait_for(
            asyncio.gather(*[handle.signal(Gated.put, str(n)) for n in range(20)], return_exceptions=True), 10
        )
        assert all(isinstance(answer, RPCError) for answer in answers)
        assert "Signaled" not in await event_names(client, "w")


async def test_a_device_that_failed_stops_the_engine_and_tells_everyone(gateway: Gateway) -> None:
    assert isinstance(gateway.journal, MemoryJournal)
    async with engine_on(gateway.journal, gateway.clock) as client:
        gateway.journal.fail_next = StorageFailed("fsync failed")
        with pytest.raises(RPCError) as stopped:
            await client.start_workflow("Gated", ["a"], id="w", task_queue=QUEUE)
        assert stopped.value.status == RPCStatusCode.UNAVAILABLE
        assert isinstance(client.engine.failure, StorageFailed)
        with pytest.raises(RPCError, match="fsync failed"):
            await client.start_workflow("Gated", ["a"], id="w", task_queue=QUEUE)
