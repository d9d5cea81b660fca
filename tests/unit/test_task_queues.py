"""Several workers of one task queue, the order in which waiting activities start, and their rate."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

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
class ForTenants:
    """Asks for activities of several fairness keys, all of one key after the other."""

    @workflow.run
    async def run(self, weights: dict[str, float], each: int) -> None:
        async with asyncio.TaskGroup() as group:
            for key, weight in weights.items():
                for _ in range(each):
                    group.create_task(
                        workflow.execute_activity(
                            "note",
                            key,
                            start_to_close_timeout=SOON,
                            priority=Priority(fairness_key=key, fairness_weight=weight),
                        )
                    )


async def test_waiting_activities_start_in_proportion_to_the_weights_of_their_keys() -> None:
    started: list[str] = []

    @activity.defn
    async def note(key: str) -> None:
        started.append(key)

    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with Worker(
            client, task_queue="farm", workflows=[ForTenants], activities=[note], max_concurrent_activities=1
        ):
            weights = {"first come": 1.0, "light": 0.5, "heavy": 3.0}
            await client.execute_workflow(ForTenants.run, args=[weights, 60], id="tenants", task_queue="farm")
    assert len(started) == 180
    shares = Counter(started[:90])
    assert shares["heavy"] == pytest.approx(60, abs=2)
    assert shares["first come"] == pytest.approx(20, abs=2)
    assert shares["light"] == pytest.approx(10, abs=2)


@workflow.defn
class Heir:
    @workflow.run
    async def run(self, child: bool) -> list[tuple[int | None, str | None, float | None]]:
        found = [await workflow.execute_activity("priority", start_to_close_timeout=SOON)]
        found += [
            await workflow.execute_activity(
                "priority", start_to_close_timeout=SOON, priority=Priority(fairness_key="own")
            )
        ]
        if child:
            found += await workflow.execute_child_workflow(Heir.run, False, priority=Priority(priority_key=4))
        return found


async def test_activities_and_children_inherit_what_their_priority_leaves_open() -> None:
    @activity.defn
    async def priority() -> tuple[int | None, str | None, float | None]:
        found = activity.info().priority
        return found.priority_key, found.fairness_key, found.fairness_weight

    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with Worker(client, task_queue="farm", workflows=[Heir], activities=[priority]):
            found = await client.execute_workflow(
                Heir.run, True, id="heir", task_queue="farm", priority=Priority(2, "farm", 7.0)
            )
    assert [tuple(one) for one in found] == [
        (2, "farm", 7.0),
        (2, "own", 7.0),
        (4, "farm", 7.0),
        (4, "own", 7.0),
    ]


@workflow.defn
class Both:
    @workflow.run
    async def run(self) -> None:
        names = ["slow", "slow", "quick", "quick"]
        await asyncio.gather(
            *(workflow.execute_activity(n, str(i), start_to_close_timeout=SOON) for i, n in enumerate(names))
        )


async def test_a_worker_without_a_type_does_not_hold_up_the_others() -> None:
    """One worker has no slot left for what only it knows; another goes on with the rest of the queue."""
    release = asyncio.Event()
    started: list[str] = []

    @activity.defn
    async def slow(name: str) -> None:
        started.append(f"slow {name}")
        await release.wait()

    @activity.defn
    async def quick(name: str) -> None:
        started.append(f"quick {name}")

    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with (
            Worker(
                client, task_queue="farm", workflows=[Both], activities=[slow], max_concurrent_activities=1
            ),
            Worker(client, task_queue="farm", activities=[quick], max_concurrent_activities=1),
        ):
            handle = await client.start_workflow(Both.run, id="both", task_queue="farm")
            await until(lambda: "quick 3" in started, what="the quick ones")
            assert "slow 1" not in started
            release.set()
            await handle.result()


@workflow.defn
class Local:
    @workflow.run
    async def run(self) -> str:
        held = workflow.start_activity("hold", start_to_close_timeout=SOON)
        found: str = await workflow.execute_local_activity(read, "north", start_to_close_timeout=SOON)
        await workflow.execute_local_activity("go_on", start_to_close_timeout=SOON)
        await held
        return found


async def test_local_activities_have_slots_of_their_own() -> None:
    release = asyncio.Event()

    @activity.defn
    async def hold() -> None:
        await release.wait()

    @activity.defn
    async def go_on() -> None:
        release.set()

    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
        async with Worker(
            client,
            task_queue="farm",
            workflows=[Local],
            activities=[read, hold, go_on],
            max_concurrent_activities=1,
            max_concurrent_local_activities=1,
        ):
            assert await client.execute_workflow(Local.run, id="local", task_queue="farm") == "north by farm"


@workflow.defn
class Many:
    @workflow.run
    async def run(self, count: int) -> None:
        await asyncio.gather(
            *(workflow.execute_activity(read, "x", start_to_close_timeout=SOON) for _ in range(count))
        )


@pytest.mark.parametrize(("workers", "shared"), [(1, False), (2, False), (2, True)])
async def test_a_rate_is_kept_and_reached(workers: int, shared: bool) -> None:
    option = "max_task_queue_activities_per_second" if shared else "max_activities_per_second"
    async with engine_on(MemoryJournal(), SystemClock()) as client, AsyncExitStack() as stack:
        rates: list[float] = [50.0, 500.0] if shared else [50.0] * workers  # of several, the lowest holds
        for rate in rates:
            options: dict[str, Any] = {option: rate}
            await stack.enter_async_context(
                Worker(client, task_queue="farm", workflows=[Many], activities=[read], **options)
            )
        count = 40 if shared else 40 * workers
        began = time.monotonic()
        await client.execute_workflow(Many.run, count, id="many", task_queue="farm")
        took_s = time.monotonic() - began
    # 40 a worker, or 40 in all, at 50 a second; a burst of 50 ms is allowed, a slow machine too.
    assert took_s >= 40 / 50 - 0.1
    assert took_s < 5
