"""`wait_condition`: order of waking, timeouts, errors."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from ..observe import history, outcome


@workflow.defn(name="ConditionsOrder")
class Order:
    """Several conditions come true in one step."""

    @workflow.run
    async def run(self) -> list[str]:
        log: list[str] = []
        state = {"value": 0}

        async def wait(name: str, least: int, then: int = 0) -> None:
            log.append(f"{name} waits")
            await workflow.wait_condition(lambda: state["value"] >= least)
            log.append(f"{name} wakes at {state['value']}")
            state["value"] += then

        tasks = [
            asyncio.create_task(wait("late", 5)),
            asyncio.create_task(wait("first", 1, then=2)),
            asyncio.create_task(wait("second", 1, then=2)),
            asyncio.create_task(wait("third", 3)),
        ]
        await asyncio.sleep(0)
        log.append("main")
        state["value"] = 1
        await asyncio.gather(*tasks)
        return log


@workflow.defn(name="ConditionsTrue")
class AlreadyTrue:
    @workflow.run
    async def run(self) -> list[str]:
        log: list[str] = []

        async def other() -> None:
            log.append("other")

        task = asyncio.create_task(other())
        await workflow.wait_condition(lambda: True)
        log.append("main")
        await task
        return log


@workflow.defn(name="ConditionsTimeout")
class WithTimeout:
    def __init__(self) -> None:
        self.ready = False

    @workflow.run
    async def run(self, seconds: float) -> list[Any]:
        found = await outcome(workflow.wait_condition(lambda: self.ready, timeout=timedelta(seconds=seconds)))
        return [found, self.ready]

    @workflow.signal
    def go(self) -> None:
        self.ready = True


@workflow.defn(name="ConditionsFailing")
class Failing:
    """A condition that raises."""

    @workflow.run
    async def run(self) -> list[Any]:
        def check() -> bool:
            raise ApplicationError("broken condition", type="Broken")

        return await outcome(workflow.wait_condition(check))


@workflow.defn(name="ConditionsLost")
class Lost:
    """A condition that is true for a moment only, between two steps of another task."""

    @workflow.run
    async def run(self) -> list[str]:
        log: list[str] = []
        state = {"on": False}

        async def wait() -> None:
            try:
                await workflow.wait_condition(lambda: state["on"], timeout=0.3)
                log.append("seen")
            except asyncio.TimeoutError:
                log.append("not seen")

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        state["on"] = True
        await asyncio.sleep(0)
        state["on"] = False
        await task
        return log


@workflow.defn(name="ConditionsBetween")
class Between:
    """A waiting task and a future: which is first when both are ready."""

    @workflow.run
    async def run(self) -> list[str]:
        log: list[str] = []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state = {"on": False}

        async def by_condition() -> None:
            await workflow.wait_condition(lambda: state["on"])
            log.append("condition")

        async def by_future() -> None:
            await future
            log.append("future")
            await asyncio.sleep(0)
            log.append("future again")

        tasks = [asyncio.create_task(by_condition()), asyncio.create_task(by_future())]
        await workflow.sleep(0.01)
        state["on"] = True
        future.set_result(None)
        await asyncio.gather(*tasks)
        return log


async def case_the_order_of_waking(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(Order.run, id="conditions-order", task_queue=task_queue)


async def case_a_condition_that_is_true_already(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(AlreadyTrue.run, id="conditions-true", task_queue=task_queue)


async def case_a_condition_that_times_out(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(WithTimeout.run, 0.1, id="conditions-timeout", task_queue=task_queue)
    return [await handle.result(), await history(handle)]


async def case_a_condition_that_is_met_in_time(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(WithTimeout.run, 30.0, id="conditions-met", task_queue=task_queue)
    await handle.signal(WithTimeout.go)
    return await handle.result()


async def case_a_condition_without_time(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(WithTimeout.run, 0.0, id="conditions-zero", task_queue=task_queue)
    return [await handle.result(), await history(handle)]


async def case_a_condition_that_raises(client: Client, task_queue: str) -> Any:
    return await outcome(client.execute_workflow(Failing.run, id="conditions-raises", task_queue=task_queue))


async def case_a_condition_that_was_true_for_a_moment(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(Lost.run, id="conditions-lost", task_queue=task_queue)


async def case_a_condition_beside_a_future(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(Between.run, id="conditions-between", task_queue=task_queue)


WORKFLOWS = [Order, AlreadyTrue, WithTimeout, Failing, Lost, Between]
ACTIVITIES: list[Any] = []
