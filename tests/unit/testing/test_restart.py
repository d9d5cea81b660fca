"""Environments whose engine is killed within a test, and goes on from its journal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowUpdateStage
from overwinter.runtime.journal import MemoryJournal, SqliteJournal
from overwinter.runtime.service import RPCError
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker
from tests.unit.gateways import until

QUEUE = "tests"
MINUTE = timedelta(minutes=1)
begun: list[str] = []


@activity.defn
async def step(name: str) -> str:
    begun.append(name)
    return name


@activity.defn
async def endless(name: str) -> None:
    begun.append(name)
    await asyncio.Event().wait()


@workflow.defn
class Steps:
    """A step, a wait for a signal, another step after a day."""

    def __init__(self) -> None:
        self.allowed = False

    @workflow.run
    async def run(self) -> list[str]:
        first = await workflow.execute_activity(step, "first", start_to_close_timeout=MINUTE)
        await workflow.wait_condition(lambda: self.allowed)
        await workflow.sleep(timedelta(days=1))
        return [first, await workflow.execute_activity(step, "second", start_to_close_timeout=MINUTE)]

    @workflow.signal
    def allow(self) -> None:
        self.allowed = True

    @workflow.query
    def is_allowed(self) -> bool:
        return self.allowed

    @workflow.update
    async def rest(self) -> str:
        await workflow.sleep(MINUTE)
        return "rested"


@workflow.defn
class Endless:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(endless, "endless", start_to_close_timeout=timedelta(days=9))


def worker_of(client: Client) -> Worker:
    return Worker(client, task_queue=QUEUE, workflows=[Steps, Endless], activities=[step, endless])


@pytest.fixture(autouse=True)
def _nothing_begun() -> None:
    begun.clear()


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "journal.db" if request.param == "file" else None


async def test_a_workflow_goes_on_after_a_restart_and_does_nothing_twice(journal: Path | None) -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping(journal=journal) as environment,
        worker_of(environment.client),
    ):
        assert isinstance(environment.client.engine.journal, SqliteJournal if journal else MemoryJournal)
        handle = await environment.client.start_workflow(Steps.run, id="w", task_queue=QUEUE)
        await until(lambda: begun == ["first"])
        await environment.restart()
        await handle.signal(Steps.allow)
        await environment.restart()
        assert await handle.query(Steps.is_allowed)
        assert await handle.result() == ["first", "second"]
        await environment.restart()
        assert await handle.result() == ["first", "second"]
    assert begun == ["first", "second"]


async def test_who_waits_for_a_result_goes_on_waiting(journal: Path | None) -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping(journal=journal) as environment,
        worker_of(environment.client),
    ):
        handle = await environment.client.start_workflow(Steps.run, id="w", task_queue=QUEUE)
        result = asyncio.ensure_future(handle.result())
        await until(lambda: begun == ["first"])
        for _ in range(3):
            await environment.restart()
        await handle.signal(Steps.allow)
        assert await result == ["first", "second"]


async def test_an_activity_that_was_running_is_attempted_again() -> None:
    async with await WorkflowEnvironment.start_local() as environment, worker_of(environment.client):
        handle = await environment.client.start_workflow(Endless.run, id="w", task_queue=QUEUE)
        await until(lambda: begun == ["endless"])
        await environment.restart()
        await until(lambda: begun == ["endless", "endless"])
        await handle.terminate()


async def test_an_update_that_waited_hears_that_the_engine_stopped_and_can_be_asked_for_again() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as environment, worker_of(environment.client):
        handle = await environment.client.start_workflow(Steps.run, id="w", task_queue=QUEUE)
        update = await handle.start_update(Steps.rest, wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="u")
        waiting = asyncio.ensure_future(update.result())
        await asyncio.sleep(0.01)
        await environment.restart()
        with pytest.raises(RPCError, match="the engine stopped"):
            await waiting
        await environment.sleep(MINUTE)
        assert await handle.get_update_handle("u").result() == "rested"


async def test_a_clock_that_skips_goes_on_from_where_it_was(journal: Path | None) -> None:
    async with await WorkflowEnvironment.start_time_skipping(journal=journal) as environment:
        await environment.sleep(timedelta(days=5))
        before = await environment.get_current_time()
        await environment.restart()
        assert timedelta() <= await environment.get_current_time() - before < MINUTE


async def test_own_clocks_survive_a_restart(tmp_path: Path) -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2(
            dev_server_database_filename=str(tmp_path / "journal.db")
        ) as environment,
        worker_of(environment.client),
    ):
        handle = await environment.client.start_workflow(Steps.run, id="w", task_queue=QUEUE)
        await handle.signal(Steps.allow)
        await environment.restart()
        assert await handle.result() == ["first", "second"]


async def test_a_worker_that_has_ended_does_not_come_back() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        async with worker_of(environment.client):
            await environment.restart()
            assert environment.client.engine.task_queues == [QUEUE]
        await environment.restart()
        assert environment.client.engine.task_queues == []


async def test_a_restart_under_load_loses_nothing(journal: Path | None) -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping(journal=journal) as environment,
        worker_of(environment.client),
    ):

        async def one(number: int) -> Any:
            handle = await environment.client.start_workflow(Steps.run, id=f"w{number}", task_queue=QUEUE)
            return handle

        handles = await asyncio.gather(*[one(number) for number in range(20)])
        results = [asyncio.ensure_future(handle.result()) for handle in handles]
        for number in range(5):
            await asyncio.sleep(0.003 * number)
            await environment.restart()
        for handle in handles:
            await handle.signal(Steps.allow)
        await asyncio.sleep(0.002)
        await environment.restart()
        assert await asyncio.gather(*results) == [["first", "second"]] * 20


async def test_an_engine_of_someone_else_is_not_restarted() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        other = WorkflowEnvironment.from_client(environment.client)
        with pytest.raises(RuntimeError, match="start_local"):
            await other.restart()
        await other.shutdown()
        assert environment.client.engine.failure is None
