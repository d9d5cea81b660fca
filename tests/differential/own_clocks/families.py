"""Children and other executions, each with a clock of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.workflow import ParentClosePolicy

from ..observe import history, hours_between, until_event, until_status


@workflow.defn(name="FamilyChild")
class Child:
    @workflow.run
    async def run(self, seconds: float) -> list[float]:
        began = workflow.now().timestamp()
        await asyncio.sleep(seconds)
        return [began, workflow.now().timestamp()]


@workflow.defn(name="FamilyParent")
class Parent:
    """An hour, a child's time, an hour."""

    @workflow.run
    async def run(self, child: str, seconds: float) -> list[float]:
        times = [workflow.now().timestamp()]
        await asyncio.sleep(3600)
        times.append(workflow.now().timestamp())
        times += await workflow.execute_child_workflow(Child.run, seconds, id=child)
        times.append(workflow.now().timestamp())
        await asyncio.sleep(3600)
        times.append(workflow.now().timestamp())
        return [round((time - times[0]) / 3600, 1) for time in times]


@workflow.defn(name="FamilyBesides")
class Besides:
    """A child, and a timer beside it."""

    @workflow.run
    async def run(self, child: str) -> list[Any]:
        began = workflow.now()
        running = await workflow.start_child_workflow(Child.run, 7200.0, id=child)
        await asyncio.sleep(3600)
        seen: list[Any] = [hours_between(began, workflow.now()), running.done()]
        await running
        return [*seen, hours_between(began, workflow.now())]


@workflow.defn(name="FamilyAbandoning")
class Abandoning:
    @workflow.run
    async def run(self, child: str) -> None:
        await asyncio.sleep(3600)
        await workflow.start_child_workflow(
            Child.run, 7200.0, id=child, parent_close_policy=ParentClosePolicy.ABANDON
        )


async def case_a_child_has_its_parents_time(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Parent.run, args=["family child 1", 3600.0], id="family 1", task_queue=task_queue
    )
    child = skipper.client.get_workflow_handle("family child 1")
    return [await handle.result(), await history(handle), await history(child)]


async def case_a_child_that_does_not_skip(skipper: TimeSkipper, task_queue: str) -> Any:
    other = TimeSkipper(skipper.client, config=TimeSkippingConfig(disable_propagation=True))
    handle = await other.client.start_workflow(
        Parent.run, args=["family child 2", 2.0], id="family 2", task_queue=task_queue
    )
    child = skipper.client.get_workflow_handle("family child 2")
    seen = [await handle.result(), await history(handle), await history(child)]
    info = await skipper.get_time_skipping_info(child)
    return [*seen, None if info is None else info.effective_config.enabled]


async def case_a_running_child_holds_the_clock(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Besides.run, "family child 3", id="family 3", task_queue=task_queue
    )
    await until_event(handle, "ChildStarted")
    child = skipper.client.get_workflow_handle("family child 3")
    await child.result()
    return [await handle.result(), await history(handle), await history(child)]


async def case_an_abandoned_child(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Abandoning.run, "family child 4", id="family 4", task_queue=task_queue
    )
    began = (await handle.describe()).start_time
    await handle.result()
    child = skipper.client.get_workflow_handle("family child 4")
    await until_status(child, "COMPLETED")
    return [
        hours_between(began, await skipper.get_current_time(child)),
        await history(handle),
        await history(child),
    ]


WORKFLOWS = [Child, Parent, Besides, Abandoning]
ACTIVITIES: list[Any] = []
