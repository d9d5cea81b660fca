"""A test that waits for what will never come finds in the log what waits where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.testing import WorkflowEnvironment, _standstill
from overwinter.runtime.worker import Worker
from tests.unit.gateways import until

QUEUE = "tests"
STARTS = (
    WorkflowEnvironment.start_local,
    WorkflowEnvironment.start_time_skipping,
    WorkflowEnvironment.start_time_skipping_v2,
)
Start = Callable[[], Coroutine[Any, Any, WorkflowEnvironment]]


@activity.defn
async def goes_on() -> None:
    await asyncio.Event().wait()


@workflow.defn
class Waiting:
    def __init__(self) -> None:
        self.told = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.told)
        return "told"

    @workflow.signal
    def tell(self) -> None:
        self.told = True

    @workflow.update
    async def until_told(self) -> str:
        await workflow.wait_condition(lambda: self.told)
        return "told"


@workflow.defn
class Wrong:
    @workflow.run
    async def run(self) -> str:
        raise ValueError("a bug")


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow(Waiting.run, id="the child")


@workflow.defn
class Busy:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(goes_on, start_to_close_timeout=timedelta(hours=1))


@workflow.defn
class Later:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(3600)


@pytest.fixture(params=STARTS, ids=lambda start: start.__name__)
def start(request: pytest.FixtureRequest) -> Start:
    found: Start = request.param
    return found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_standstill, "_AFTER_S", 0.05)


def worker_of(client: Client) -> Worker:
    return Worker(
        client, task_queue=QUEUE, workflows=[Waiting, Wrong, Parent, Busy, Later], activities=[goes_on]
    )


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == _standstill.__name__]


async def test_what_waits_is_told_with_its_line_and_the_test_goes_on(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with await start() as environment, worker_of(environment.client):
        handle = await environment.client.start_workflow(Waiting.run, id="w", task_queue=QUEUE)
        result = asyncio.ensure_future(handle.result())
        await until(lambda: bool(told(caplog)))
        head, who, where = told(caplog)[0].splitlines()
        assert head == "nothing has happened for 0.05 s, and nothing is to come:"
        assert who == "  workflow 'w' (Waiting) waits for a signal"
        assert where.startswith(f"    at {__file__}:")
        assert where.endswith(" in run: await workflow.wait_condition(lambda: self.told)")
        await handle.signal(Waiting.tell)
        assert await result == "told"
    assert len(told(caplog)) == 1


async def test_the_child_that_its_parent_waits_for_is_told_too(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with await start() as environment, worker_of(environment.client):
        handle = await environment.client.start_workflow(Parent.run, id="w", task_queue=QUEUE)
        result = asyncio.ensure_future(handle.result())
        await until(lambda: any("'the child' (Waiting) waits for a signal" in each for each in told(caplog)))
        assert any("'w' (Parent) waits for child the child" in each for each in told(caplog))
        await environment.client.get_workflow_handle("the child").signal(Waiting.tell)
        assert await result == "told"


async def test_an_update_that_does_not_end_is_told(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async with await start() as environment, worker_of(environment.client):
        handle = await environment.client.start_workflow(Waiting.run, id="w", task_queue=QUEUE)
        update = asyncio.ensure_future(handle.execute_update(Waiting.until_told))
        await until(lambda: any(" in until_told: " in each for each in told(caplog)))
        await handle.signal(Waiting.tell)
        assert await update == "told"


async def test_code_with_a_bug_and_code_without_a_worker_are_told(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with await start() as environment:
        lost = await environment.client.start_workflow(Waiting.run, id="w", task_queue=QUEUE)
        waits = [asyncio.ensure_future(lost.result())]
        expected = "waits for a worker of task queue 'tests' that has Waiting"
        await until(lambda: any(expected in each for each in told(caplog)))
        async with worker_of(environment.client):
            wrong = await environment.client.start_workflow(Wrong.run, id="x", task_queue=QUEUE)
            waits.append(asyncio.ensure_future(wrong.result()))
            expected = "'x' (Wrong) waits for its code to be mended: ValueError: a bug"
            await until(lambda: any(expected in each for each in told(caplog)))
        for wait in waits:
            wait.cancel()


@pytest.mark.parametrize("going", [Busy, Later])
async def test_nothing_is_said_while_something_goes_on_or_is_to_come(
    going: type, caplog: pytest.LogCaptureFixture
) -> None:
    async with await WorkflowEnvironment.start_local() as environment, worker_of(environment.client):
        handle = await environment.client.start_workflow(going.run, id="w", task_queue=QUEUE)  # type: ignore[attr-defined]
        result = asyncio.ensure_future(handle.result())
        await asyncio.sleep(0.3)
        assert told(caplog) == []
        result.cancel()


async def test_nothing_is_said_where_nobody_waits(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async with await start() as environment, worker_of(environment.client):
        await environment.client.start_workflow(Waiting.run, id="w", task_queue=QUEUE)
        await asyncio.sleep(0.3)
    assert told(caplog) == []
