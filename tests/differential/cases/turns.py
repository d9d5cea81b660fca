"""In which turn of the loop something goes on: beside tasks that step, and beside a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client

from ..observe import SHORT, history, outcome

NOWHERE = "turns-nowhere"
"""A task queue that nobody serves."""


@activity.defn(name="turns_echo")
async def echo(value: str) -> str:
    return value


@workflow.defn(name="TurnsChild")
class Child:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.go)
        return "child"

    @workflow.signal
    def open(self) -> None:
        self.go = True


@workflow.defn(name="TurnsProgram")
class Program:
    """Writes down when something is cancelled or ends, beside a task that steps and one that waits for a condition."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.cancelled = False
        self.hurried = False

    @workflow.run
    async def run(self, which: str) -> Any:
        result = await getattr(self, which)()
        await workflow.sleep(0.01)
        return [self.log, result]

    @workflow.signal
    async def hurry(self) -> None:
        self.hurried = True

    async def walk(self) -> None:
        for number in range(8):
            self.log.append(number)
            await asyncio.sleep(0)

    async def watch(self) -> None:
        await workflow.wait_condition(lambda: self.cancelled)
        self.log.append("condition")

    async def watched(self, awaitable: Awaitable[Any], name: str = "ended") -> Any:
        found = await outcome(awaitable)
        self.log.append(name)
        return found

    async def cancel(self, handle: asyncio.Future[Any], *, later: bool = True) -> Any:
        """Cancel it in an activation later than the one that asked for it, or in the same, beside the others."""
        watched = asyncio.create_task(self.watched(handle))
        watcher = asyncio.create_task(self.watch())
        if later:
            await workflow.sleep(0.05)
        else:
            await asyncio.sleep(0)
        self.cancelled = True
        walker = asyncio.create_task(self.walk())
        handle.cancel()
        await asyncio.gather(watched, watcher, walker)
        return watched.result()

    def unserved(self, kind: str) -> Any:
        return workflow.start_activity(
            echo,
            "a",
            task_queue=NOWHERE,
            schedule_to_close_timeout=timedelta(seconds=60),
            cancellation_type=workflow.ActivityCancellationType[kind],
        )

    async def an_activity_is_cancelled(self) -> Any:
        return await self.cancel(self.unserved("TRY_CANCEL"))

    async def an_activity_is_abandoned(self) -> Any:
        return await self.cancel(self.unserved("ABANDON"))

    async def an_activity_is_cancelled_in_its_activation(self) -> Any:
        return await self.cancel(self.unserved("TRY_CANCEL"), later=False)

    async def an_abandoned_activity_is_cancelled_in_its_activation(self) -> Any:
        return await self.cancel(self.unserved("ABANDON"), later=False)

    async def an_activity_that_is_waited_for_is_cancelled_in_its_activation(self) -> Any:
        return await self.cancel(self.unserved("WAIT_CANCELLATION_COMPLETED"), later=False)

    async def an_activity_is_cancelled_before_a_step(self) -> Any:
        handle = self.unserved("TRY_CANCEL")
        handle.cancel()
        walker = asyncio.create_task(self.walk())
        found = await outcome(handle)
        self.log.append("ended")
        await walker
        return found

    async def two_activities_are_cancelled(self) -> Any:
        handles = [self.unserved("TRY_CANCEL"), self.unserved("ABANDON")]
        tasks = [
            asyncio.create_task(self.watched(handle, name))
            for handle, name in zip(handles, ("cancelled", "abandoned"), strict=True)
        ]
        await workflow.sleep(0.05)
        for handle in reversed(handles):
            handle.cancel()
        await asyncio.gather(*tasks, self.walk())
        return None

    async def an_activity_is_waited_for_in_time(self) -> Any:
        watcher = asyncio.create_task(self.watch())
        walker: list[asyncio.Task[None]] = []

        async def other() -> None:
            await workflow.sleep(0.05)
            walker.append(asyncio.create_task(self.walk()))

        beside = asyncio.create_task(other())
        found = await self.watched(asyncio.wait_for(self.unserved("TRY_CANCEL"), 0.05))
        await beside
        await walker[0]
        self.cancelled = True
        await watcher
        return found

    async def child(self, kind: str) -> Any:
        return await workflow.start_child_workflow(
            Child.run,
            id=f"{workflow.info().workflow_id}-child",
            cancellation_type=workflow.ChildWorkflowCancellationType[kind],
        )

    async def a_child_is_cancelled(self) -> Any:
        return await self.cancel(await self.child("TRY_CANCEL"))

    async def a_child_is_abandoned(self) -> Any:
        return await self.cancel(await self.child("ABANDON"))

    async def a_child_is_cancelled_in_its_activation(self) -> Any:
        start = asyncio.ensure_future(
            workflow.start_child_workflow(Child.run, id=f"{workflow.info().workflow_id}-child")
        )
        return await self.cancel(start, later=False)

    async def a_signal_is_cancelled_in_its_activation(self) -> Any:
        handle = workflow.get_external_workflow_handle("turns-nobody")
        return await self.cancel(asyncio.ensure_future(handle.signal("hurry")), later=False)

    async def a_timer_is_cancelled(self) -> Any:
        return await self.cancel(asyncio.ensure_future(workflow.sleep(60)))

    async def a_timer_is_cancelled_in_its_activation(self) -> Any:
        return await self.cancel(asyncio.ensure_future(workflow.sleep(60)), later=False)

    async def a_condition_without_timeout_is_cancelled(self) -> Any:
        return await self.cancel(asyncio.ensure_future(workflow.wait_condition(lambda: False)))

    async def begins(self, awaitable: Any) -> Any:
        """What is asked for and ends, beside a task that steps when it has ended."""
        result = await self.watched(awaitable)
        self.cancelled = True
        await asyncio.gather(self.walk(), self.watch())
        return result

    async def an_activity_ends(self) -> Any:
        return await self.begins(
            asyncio.gather(
                workflow.execute_activity(echo, "a", start_to_close_timeout=SHORT), asyncio.sleep(0.01)
            )
        )

    async def a_condition_holds_already(self) -> Any:
        self.cancelled = True
        walker = asyncio.create_task(self.walk())
        await workflow.wait_condition(lambda: True)
        self.log.append("first")
        await workflow.wait_condition(lambda: True, timeout=60)
        self.log.append("second")
        await walker
        await self.watch()

    async def conditions_of_two_tasks(self) -> Any:
        turn = 0

        async def player(mine: int) -> None:
            nonlocal turn
            for _ in range(3):
                await workflow.wait_condition(lambda: turn % 2 == mine)
                self.log.append(f"player {mine}")
                turn += 1

        await asyncio.gather(player(0), player(1))

    async def conditions_with_timeouts(self) -> Any:
        async def wait(name: str, timeout: float) -> None:
            await workflow.wait_condition(lambda: self.cancelled, timeout=timeout)
            self.log.append(name)

        tasks = [
            asyncio.create_task(wait(name, timeout)) for name, timeout in (("a", 60), ("b", 30), ("c", 60))
        ]
        await workflow.sleep(0.05)
        self.cancelled = True
        await asyncio.gather(*tasks, self.walk())

    async def conditions_that_time_out_together(self) -> Any:
        async def wait(name: str) -> None:
            try:
                await workflow.wait_condition(lambda: False, timeout=0.1)
            except TimeoutError:
                self.log.append(name)

        await asyncio.gather(*(wait(name) for name in "abc"))

    async def a_condition_without_time(self) -> Any:
        async def wait(name: str, holds: bool, timeout: float) -> None:
            found = await outcome(workflow.wait_condition(lambda: holds, timeout=timeout))
            self.log.append([name, found[0]])

        await asyncio.gather(
            self.walk(), wait("true", True, 0), wait("false", False, 0), wait("less", True, -1)
        )


async def _run(client: Client, task_queue: str, which: str) -> Any:
    handle = await client.start_workflow(Program.run, which, id=f"turns-{which}", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_an_activity_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_is_cancelled")


async def case_an_activity_is_abandoned(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_is_abandoned")


async def case_an_activity_is_cancelled_in_its_activation(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_is_cancelled_in_its_activation")


async def case_an_abandoned_activity_is_cancelled_in_its_activation(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_abandoned_activity_is_cancelled_in_its_activation")


async def case_an_activity_that_is_waited_for_is_cancelled_in_its_activation(
    client: Client, task_queue: str
) -> Any:
    return await _run(client, task_queue, "an_activity_that_is_waited_for_is_cancelled_in_its_activation")


async def case_an_activity_is_cancelled_before_a_step(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_is_cancelled_before_a_step")


async def case_two_activities_are_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "two_activities_are_cancelled")


async def case_an_activity_is_waited_for_in_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_is_waited_for_in_time")


async def case_a_child_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_child_is_cancelled")


async def case_a_child_is_abandoned(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_child_is_abandoned")


async def case_a_child_is_cancelled_in_its_activation(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_child_is_cancelled_in_its_activation")


async def case_a_signal_is_cancelled_in_its_activation(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_signal_is_cancelled_in_its_activation")


async def case_a_timer_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_timer_is_cancelled")


async def case_a_timer_is_cancelled_in_its_activation(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_timer_is_cancelled_in_its_activation")


async def case_a_condition_without_timeout_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_condition_without_timeout_is_cancelled")


async def case_an_activity_ends(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "an_activity_ends"))[0]


async def case_a_condition_holds_already(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_condition_holds_already")


async def case_conditions_of_two_tasks(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "conditions_of_two_tasks")


async def case_conditions_with_timeouts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "conditions_with_timeouts")


async def case_conditions_that_time_out_together(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "conditions_that_time_out_together")


async def case_a_condition_without_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_condition_without_time")


WORKFLOWS = [Program, Child]
ACTIVITIES = [echo]
