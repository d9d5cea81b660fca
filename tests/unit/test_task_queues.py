"""Several workers of one task queue, the order in which waiting activities start, and their rate."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.common import Priority
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker
from tests.unit.gateways import engine_on, until

SOON = timedelta(seconds=20)


@activity.defn
async def read(field: str) -> str:
    return f"{field} by {activity.info().task_queue}"


@workflow.defn
class Read:
    @workflow.run
    async def run(self, field: str) -> str:
        return await workflow.execute_activity(read, field, start_to_close_timeout=SOON)


@workflow.defn
class Wait:
    """Waits until it is told to go on."""

    def __init__(self) -> None:
        self.told = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.told)
        return "told"

    @workflow.signal
    def tell(self) -> None:
        self.told = True


async def test_one_worker_has_the_workflows_and_another_the_activities() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with Worker(client, task_queue="farm", workflows=[Read]):
            handle = await client.start_workflow(Read.run, "north", id="read", task_queue="farm")
            await asyncio.sleep(0.05)  # Nobody has the activity yet: it waits, and does not fail.
            async with Worker(client, task_queue="farm", activities=[read]):
                assert await handle.result() == "north by farm"


async def test_workers_of_one_queue_have_different_workflows_and_leave_one_another_alone() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with Worker(client, task_queue="farm", workflows=[Wait]):
            handle = await client.start_workflow(Wait.run, id="wait", task_queue="farm")
            async with Worker(client, task_queue="farm", workflows=[Read], activities=[read]):
                assert (
                    await client.execute_workflow(Read.run, "east", id="read", task_queue="farm")
                    == "east by farm"
                )
            await handle.signal(Wait.tell)
            assert await handle.result() == "told"


async def test_what_a_leaving_worker_had_goes_to_the_other() -> None:
    seen: list[str] = []

    def at(name: str, forever: bool) -> Worker:
        @activity.defn(name="read")
        async def read_here(field: str) -> str:
            seen.append(name)
            if forever:
                await asyncio.sleep(60)
            return f"{field} by {name}"

        return Worker(client, task_queue="farm", workflows=[Read], activities=[read_here])

    async with await WorkflowEnvironment.start_local() as environment:
        client: Client = environment.client
        async with at("old", forever=True):
            handle = await client.start_workflow(Read.run, "north", id="read", task_queue="farm")
            await until(lambda: seen == ["old"], what="the first attempt")
            new = at("new", forever=False)
            await new.__aenter__()
        try:
            assert await handle.result() == "north by new"
        finally:
            await new.__aexit__()


@workflow.defn
class InOrder:
    """Asks for six activities at once, the most urgent last."""

    @workflow.run
    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in (0, 5, 4, 3, 2, 1):
                group.create_task(
                    workflow.execute_activity(
                        "note",
                        number,
                        start_to_close_timeout=SOON,
                        priority=Priority(priority_key=number or None),
                    )
                )


async def test_waiting_activities_start_by_priority() -> None:
    started: list[int] = []

    @activity.defn
    async def note(number: int) -> None:
        started.append(number)

    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with Worker(
            client, task_queue="farm", workflows=[InOrder], activities=[note], max_concurrent_activities=1
        ):
            await client.execute_workflow(InOrder.run, id="order", task_queue="farm")
    first, *rest = started
    assert first == 0  # it found the slot free; a task without a key counts as 3
    assert rest == [1, 2, 3, 4, 5]


@workflow.defn
class Many:
    @workflow.run
    async def run(self, count: int) -> None:
        await asyncio.gather(
            *(workflow.execute_activity(read, "x", start_to_close_timeout=SOON) for _ in range(count))
        )


@pytest.mark.parametrize("queues", [1, 2])
async def test_a_rate_is_kept_and_reached(queues: int) -> None:
    async with engine_on(MemoryJournal(), SystemClock()) as client:
        workers = [
            Worker(
                client, task_queue="farm", workflows=[Many], activities=[read], max_activities_per_second=50
            )
            for _ in range(queues)
        ]
        for worker in workers:
            await worker.__aenter__()
        began = time.monotonic()
        await client.execute_workflow(Many.run, 40 * queues, id="many", task_queue="farm")
        took_s = time.monotonic() - began
        for worker in workers:
            await worker.__aexit__()
    # 40 a worker at 50 a second; a burst of 50 ms is allowed, a slow machine too.
    assert took_s >= 40 / 50 - 0.1
