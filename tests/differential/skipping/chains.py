"""Children, retries of workflows, cron schedules and continuations while time skips."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from ..observe import hours_between, kinds, outcome, passed_hours


@workflow.defn(name="ChainsChild")
class Child:
    @workflow.run
    async def run(self, depth: int) -> list[float]:
        began = workflow.now()
        await asyncio.sleep(3600)
        below: list[float] = []
        if depth:
            below = await workflow.execute_child_workflow(
                Child.run, depth - 1, id=f"{workflow.info().workflow_id}.{depth}"
            )
        await asyncio.sleep(3600)
        return [hours_between(began, workflow.now()), *below]


@workflow.defn(name="ChainsParent")
class Parent:
    @workflow.run
    async def run(self, how: str) -> Any:
        began = workflow.now()
        name = f"{workflow.info().workflow_id} child"
        match how:
            case "nested":
                seen: Any = await workflow.execute_child_workflow(Child.run, 2, id=name)
            case "side by side":
                seen = await asyncio.gather(
                    asyncio.sleep(3 * 3600, "own timer"),
                    workflow.execute_child_workflow(Child.run, 0, id=f"{name} 1"),
                    workflow.execute_child_workflow(Child.run, 1, id=f"{name} 2"),
                )
            case "timed out":
                child = workflow.execute_child_workflow(
                    Child.run, 9, id=name, execution_timeout=timedelta(minutes=90)
                )
                seen = kinds(await outcome(child))
        return [seen, hours_between(began, workflow.now())]


@workflow.defn(name="ChainsFailing")
class Failing:
    @workflow.run
    async def run(self, succeeds_at: int) -> str:
        await asyncio.sleep(3600)
        if workflow.info().attempt < succeeds_at:
            raise ApplicationError(f"attempt {workflow.info().attempt}")
        return workflow.now().isoformat()


@workflow.defn(name="ChainsAgain")
class Again:
    @workflow.run
    async def run(self, left: int) -> str:
        await asyncio.sleep(3600)
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.now().isoformat()


async def _parent(env: WorkflowEnvironment, task_queue: str, how: str) -> Any:
    async with passed_hours(env) as passed:
        result = await env.client.execute_workflow(Parent.run, how, id=f"chains {how}", task_queue=task_queue)
    return [result, passed]


async def case_nested_children(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _parent(env, task_queue, "nested")


async def case_children_side_by_side(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _parent(env, task_queue, "side by side")


async def case_a_child_times_out(env: WorkflowEnvironment, task_queue: str) -> Any:
    seen, _passed = await _parent(env, task_queue, "timed out")
    return seen


runs: set[str] = set()


@workflow.defn(name="ChainsCron")
class Cron:
    @workflow.run
    async def run(self) -> None:
        runs.add(workflow.info().run_id)
        await asyncio.sleep(60)


async def case_retries_of_workflows(env: WorkflowEnvironment, task_queue: str) -> Any:
    policy = RetryPolicy(initial_interval=timedelta(hours=2), maximum_attempts=4)
    began = await env.get_current_time()
    ended = datetime.fromisoformat(
        await env.client.execute_workflow(
            Failing.run, 3, id="chains retries", task_queue=task_queue, retry_policy=policy
        )
    )
    return hours_between(began, ended)


async def case_retries_that_end(env: WorkflowEnvironment, task_queue: str) -> Any:
    policy = RetryPolicy(initial_interval=timedelta(hours=2), maximum_attempts=2)
    running = env.client.execute_workflow(
        Failing.run, 9, id="chains retries end", task_queue=task_queue, retry_policy=policy
    )
    return await outcome(running)


async def case_continuations(env: WorkflowEnvironment, task_queue: str) -> Any:
    began = await env.get_current_time()
    ended = datetime.fromisoformat(
        await env.client.execute_workflow(Again.run, 3, id="chains again", task_queue=task_queue)
    )
    return hours_between(began, ended)


async def case_cron(env: WorkflowEnvironment, task_queue: str) -> Any:
    await env.client.start_workflow(
        Cron.run, id="chains cron", task_queue=task_queue, cron_schedule="0 * * * *"
    )
    await env.sleep(timedelta(hours=5))
    await env.client.get_workflow_handle("chains cron").terminate()
    return len(runs)


WORKFLOWS = [Child, Parent, Failing, Again, Cron]
ACTIVITIES: list[Any] = []
