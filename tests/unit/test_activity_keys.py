"""Concurrency keys of activities: so many attempts with one key at a time, over workflows, types, queues and workers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.common import ConcurrencyKey, ConcurrencyPolicy, Priority, RetryPolicy
from overwinter.runtime.exceptions import ActivityError
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker
from tests.unit.gateways import until

SOON = timedelta(seconds=20)


@workflow.defn
class Pump:
    """Runs one activity under a key."""

    @workflow.run
    async def run(self, name: str, key: str, limit: int, options: dict[str, Any]) -> Any:
        return await workflow.execute_activity(
            options.pop("activity", "pump"),
            name,
            task_queue=options.pop("task_queue", None),
            start_to_close_timeout=timedelta(seconds=options.pop("timeout", 20)),
            concurrency=ConcurrencyKey(key, limit),
            priority=Priority(priority_key=options.pop("priority", None)),
            retry_policy=RetryPolicy(maximum_attempts=options.pop("attempts", 1)),
        )


@workflow.defn
class Refusing:
    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.execute_activity(
                "pump",
                start_to_close_timeout=SOON,
                concurrency=ConcurrencyKey("x", 1, ConcurrencyPolicy.REFUSE),
            )
        except ValueError as error:
            return str(error)
        return ""


class Pumps:
    """Activities that run until the test lets them go, and say who runs."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.begun: list[str] = []
        self.release: dict[str, asyncio.Event] = {}

    async def _pump(self, name: str) -> str:
        self.running.append(name)
        self.begun.append(name)
        try:
            await self.release.setdefault(name, asyncio.Event()).wait()
        finally:
            self.running.remove(name)
        return name

    @activity.defn
    async def pump(self, name: str) -> str:
        return await self._pump(name)

    @activity.defn
    async def flush(self, name: str) -> str:
        return await self._pump(name)

    @activity.defn
    async def stubborn(self, name: str) -> str:
        """Does not stop when it is cancelled."""
        pumping = asyncio.ensure_future(self._pump(name))
        while not pumping.done():
            try:
                await asyncio.shield(pumping)
            except asyncio.CancelledError:
                continue
        return name

    @activity.defn
    async def by_hand(self, name: str) -> None:
        """Someone else will say when it has ended."""
        self.begun.append(name)
        activity.raise_complete_async()

    def let_go(self, name: str) -> None:
        self.release.setdefault(name, asyncio.Event()).set()

    @property
    def all(self) -> list[Any]:
        return [self.pump, self.flush, self.stubborn, self.by_hand]


class Farm:
    """An environment with workers on the queues of a test."""

    def __init__(self, client: Client, pumps: Pumps, stack: AsyncExitStack) -> None:
        self.client = client
        self.pumps = pumps
        self.stack = stack

    async def start(self, name: str, key: str = "pump-1", limit: int = 1, **options: Any) -> Any:
        return await self.client.start_workflow(
            Pump.run, args=[name, key, limit, options], id=name, task_queue="farm"
        )

    async def runs(self, *names: str) -> None:
        await until(lambda: self.pumps.running == list(names), what=f"{names}, found {self.pumps.running}")


@pytest.fixture
async def farm() -> Any:
    pumps = Pumps()
    async with AsyncExitStack() as stack:
        environment = await stack.enter_async_context(await WorkflowEnvironment.start_local())
        for activities in ([pumps.pump, pumps.flush], pumps.all):
            await stack.enter_async_context(
                Worker(
                    environment.client, task_queue="farm", workflows=[Pump, Refusing], activities=activities
                )
            )
        yield Farm(environment.client, pumps, stack)
        for name in list(pumps.release):
            pumps.let_go(name)


async def test_attempts_with_a_key_run_one_after_the_other_whatever_their_workflow_and_type(
    farm: Farm,
) -> None:
    first = await farm.start("a")
    second = await farm.start("b", activity="flush")
    third = await farm.start("c")
    await farm.start("other", key="pump-2")
    await farm.runs("a", "other")
    farm.pumps.let_go("a")
    assert await first.result() == "a"
    await farm.runs("other", "b")
    farm.pumps.let_go("b")
    await second.result()
    farm.pumps.let_go("c")
    assert await third.result() == "c"


async def test_as_many_run_as_the_limit_allows_and_the_others_go_by_priority(farm: Farm) -> None:
    for name in ("a", "b"):
        await farm.start(name, limit=2)
    await farm.runs("a", "b")
    for name, priority in (("late", 5), ("soon", 1)):
        await farm.start(name, limit=2, priority=priority)
    farm.pumps.let_go("b")
    await farm.runs("a", "soon")
    farm.pumps.let_go("a")
    await farm.runs("soon", "late")


async def test_a_key_is_held_until_a_function_that_timed_out_has_stopped(farm: Farm) -> None:
    first = await farm.start("a", activity="stubborn", timeout=0.05)
    second = await farm.start("b")
    with pytest.raises(WorkflowFailureError) as failed:
        await first.result()
    assert isinstance(failed.value.cause, ActivityError)
    assert farm.pumps.running == ["a"]
    farm.pumps.let_go("a")
    await farm.runs("b")
    farm.pumps.let_go("b")
    await second.result()


async def test_a_retry_waits_for_its_own_attempt_before_it(farm: Farm) -> None:
    handle = await farm.start("a", activity="stubborn", timeout=0.05, attempts=2)
    await asyncio.sleep(1.3)  # the retry is due after a second
    assert farm.pumps.begun == ["a"]
    farm.pumps.let_go("a")
    assert await handle.result() == "a"
    assert farm.pumps.begun == ["a", "a"]


async def test_a_key_is_held_until_an_activity_that_completes_later_is_complete(farm: Farm) -> None:
    first = await farm.start("a", activity="by_hand")
    await until(lambda: farm.pumps.begun == ["a"], what="it is handed over")
    second = await farm.start("b")
    await asyncio.sleep(0.05)
    assert farm.pumps.begun == ["a"]
    await farm.client.get_async_activity_handle(workflow_id="a", run_id=None, activity_id="1").complete(
        "done"
    )
    assert await first.result() == "done"
    farm.pumps.let_go("b")
    assert await second.result() == "b"


async def test_what_waits_for_a_key_may_be_cancelled_and_is_in_nobodys_way(farm: Farm) -> None:
    first = await farm.start("a")
    cancelled = await farm.start("b")
    third = await farm.start("c")
    await cancelled.cancel()
    with pytest.raises(WorkflowFailureError):
        await cancelled.result()
    farm.pumps.let_go("a")
    await first.result()
    await farm.runs("c")
    farm.pumps.let_go("c")
    await third.result()
    assert farm.pumps.begun == ["a", "c"]


async def test_what_nobody_serves_keeps_its_key_from_nobody(farm: Farm) -> None:
    alone = await farm.start("alone", task_queue="elsewhere")
    first = await farm.start("a")
    await farm.runs("a")
    await farm.stack.enter_async_context(
        Worker(farm.client, task_queue="elsewhere", activities=[farm.pumps.pump])
    )
    await asyncio.sleep(0.05)
    assert farm.pumps.running == ["a"]  # now it counts
    farm.pumps.let_go("a")
    await first.result()
    await farm.runs("alone")
    farm.pumps.let_go("alone")
    assert await alone.result() == "alone"


async def test_the_keys_of_a_worker_that_leaves_are_free(farm: Farm) -> None:
    leaving = Worker(
        farm.client, task_queue="elsewhere", activities=[farm.pumps.pump], max_concurrent_activities=1
    )
    async with leaving:
        await farm.start("cut off", task_queue="elsewhere")
        await farm.runs("cut off")
        waits = await farm.start("waits for a slot", key="pump-2", task_queue="elsewhere")
        await asyncio.sleep(0.02)
    for name, key in (("a", "pump-1"), ("b", "pump-2")):
        await farm.start(name, key=key)
    await farm.runs("a", "b")
    assert (await waits.describe()).status.name == "RUNNING"


async def test_an_activity_can_only_wait(farm: Farm) -> None:
    found = await farm.client.execute_workflow(Refusing.run, id="refusing", task_queue="farm")
    assert "REFUSE, expected WAIT" in found
