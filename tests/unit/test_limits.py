"""What is too much is refused with the name of the limit and of what was asked; what was accepted goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from overwinter import workflow
from overwinter.runtime.client import Client
from overwinter.runtime.common import WorkflowIDConflictPolicy
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.journal import LimitReached, MemoryJournal, SqliteJournal, StorageFull
from overwinter.runtime.limits import IntakeLimits
from overwinter.runtime.ports import Disk
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.unit.gateways import QUEUE, Gateway, until


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.got: list[int] = []

    @workflow.run
    async def run(self, wanted: int) -> int:
        await workflow.wait_condition(lambda: len(self.got) >= wanted)
        return len(self.got)

    @workflow.signal
    def put(self, number: int) -> None:
        self.got.append(number)

    @workflow.update
    def add(self, number: int) -> int:
        self.got.append(number)
        return len(self.got)


@workflow.defn
class HasChildren:
    @workflow.run
    async def run(self, children: int) -> int:
        return len(
            await asyncio.gather(
                *[workflow.execute_child_workflow(Waits.run, 0, id=f"child-{n}") for n in range(children)]
            )
        )


WORKFLOWS = [Waits, HasChildren]


def within(**given: int) -> EngineLimits:
    return EngineLimits(intake=IntakeLimits(**given))


async def start(client: Client, id: str, wanted: int = 1) -> None:
    await client.start_workflow(Waits.run, wanted, id=id, task_queue=QUEUE)


async def test_more_executions_than_may_be_open_are_refused_until_some_have_ended(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, limits=within(open_executions_max=2)) as client:
        await start(client, "a")
        await start(client, "b")
        with pytest.raises(
            RPCError, match=r"workflow 'c' was not started: 2 executions .*open_executions_max"
        ) as error:
            await start(client, "c")
        assert error.value.status is RPCStatusCode.RESOURCE_EXHAUSTED
        # Nothing new is asked for here.
        await client.start_workflow(
            Waits.run, 1, id="a", task_queue=QUEUE, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
        )
        await client.get_workflow_handle("a").signal(Waits.put, 1)
        assert await client.get_workflow_handle("a").result() == 1
        await start(client, "c")
        assert client.engine.intake.refused == {"open_executions_max": 1}


async def test_what_is_open_is_counted_again_after_a_restart(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await start(client, "a")
        await client.execute_workflow(Waits.run, 0, id="closed", task_queue=QUEUE)
        assert client.engine.intake.open_executions == 1
    async with gateway.on(WORKFLOWS, limits=within(open_executions_max=1)) as client:
        assert client.engine.intake.open_executions == 1
        with pytest.raises(RPCError, match="open_executions_max"):
            await start(client, "b")
        await client.get_workflow_handle("a").terminate()
        await start(client, "b")
        assert client.engine.intake.open_executions == 1


async def test_children_are_started_beyond_the_limit(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, limits=within(open_executions_max=1)) as client:
        assert await client.execute_workflow(HasChildren.run, 5, id="parent", task_queue=QUEUE) == 5
        assert client.engine.intake.open_executions == 0


async def test_signals_and_updates_that_pile_up_are_refused_and_a_cancellation_is_not(
    gateway: Gateway,
) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await start(client, "w", wanted=4)
    # Nobody runs its code: what comes is kept.
    async with gateway.on([HasChildren], limits=within(unhandled_max=3)) as client:
        handle = client.get_workflow_handle("w")
        for number in range(3):
            await handle.signal(Waits.put, number)
        with pytest.raises(
            RPCError, match=r"signal 'put' was not handed to workflow 'w': 3 messages .*unhandled_max"
        ):
            await handle.signal(Waits.put, 4)
        with pytest.raises(RPCError, match=r"update 'add' was not handed to workflow 'w'.*unhandled_max"):
            await handle.execute_update(Waits.add, 4)
        await handle.cancel()
    async with gateway.on(WORKFLOWS, limits=within(unhandled_max=3)) as client:
        live = None

        def handled() -> bool:
            nonlocal live
            live = client.engine.cache.open_run("w")
            return live is None or not live.waiting

        await until(handled)


async def test_a_history_that_is_long_enough_takes_no_more_messages(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, limits=within(history_events_max=4)) as client:
        await start(client, "w", wanted=100)
        handle = client.get_workflow_handle("w")
        for number in range(3):
            await handle.signal(Waits.put, number)
        with pytest.raises(RPCError, match=r"its history has 4 events.*history_events_max"):
            await handle.signal(Waits.put, 4)
        await handle.terminate()


async def test_a_volume_with_little_room_takes_nothing_new_and_what_was_accepted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overwinter.runtime import limits as limits_module

    monkeypatch.setattr(limits_module, "_LOOK_S", 0.0)
    free = 10_000_000
    monkeypatch.setattr(MemoryJournal, "disk", lambda _journal: Disk(1000, 0, None, free))
    async with Gateway(MemoryJournal()).on(WORKFLOWS, limits=within(disk_free_bytes_min=1_000_000)) as client:
        await start(client, "w")
        free = 999_999
        with pytest.raises(
            RPCError, match=r"workflow 'x' was not started: .*999999 bytes free.*disk_free_bytes_min"
        ):
            await start(client, "x")
        with pytest.raises(RPCError, match=r"signal 'put'.*disk_free_bytes_min"):
            await client.get_workflow_handle("w").signal(Waits.put, 1)
        await client.get_workflow_handle("w").cancel()
        await until(lambda: client.engine.cache.open_run("w") is None)
        free = 1_000_000
        await start(client, "x")


async def test_a_journal_near_its_largest_size_takes_nothing_new_and_does_not_grow_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db", bytes_max=400_000)
    gateway = Gateway(journal)
    from overwinter.runtime import limits as limits_module

    monkeypatch.setattr(limits_module, "_LOOK_S", 0.0)
    try:
        async with gateway.on(WORKFLOWS, limits=within(disk_free_bytes_min=0)) as client:
            for number in range(200):
                try:
                    await client.start_workflow(Waits.run, 1, id="x" * 800 + str(number), task_queue=QUEUE)
                except RPCError as error:
                    assert error.status is RPCStatusCode.RESOURCE_EXHAUSTED
                    break
                await journal._write(journal._upkeep.checkpoint)
            else:
                pytest.fail("it was never full")
            assert "journal_bytes_max" in client.engine.intake.refused
            assert (tmp_path / "journal.db").stat().st_size <= 400_000
    finally:
        await journal.close()


def test_the_refusal_is_one_for_want_of_room_so_that_a_broker_keeps_its_message() -> None:
    refusal = LimitReached("unhandled_max", "signal 'x' was not handed over")
    assert isinstance(refusal, StorageFull)
    assert str(refusal) == (
        "signal 'x' was not handed over (unhandled_max). Ask again later, or raise the limit"
    )
