"""Whole workflows: their retries, cron, descriptions, lists and what `info` says."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome, until, until_status


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Crop(StrEnum):
    BEANS = "beans"


@dataclass
class Bed:
    name: str
    level: Level = Level.LOW
    crop: Crop | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Plan:
    beds: list[Bed]
    every: int
    by_name: dict[str, Bed] = field(default_factory=dict)


@activity.defn(name="whole_double")
async def double(plan: Plan) -> Plan:
    return Plan(plan.beds * 2, plan.every * 2, plan.by_name)


@workflow.defn(name="WholeValues")
class Values:
    @workflow.run
    async def run(self, plan: Plan, when: datetime, key: uuid.UUID, pair: tuple[int, str]) -> Any:
        found = await workflow.execute_activity(double, plan, start_to_close_timeout=SHORT)
        return [
            type(plan.beds[0]).__name__,
            plan.beds[0].level is Level.HIGH,
            plan.beds[0].crop is Crop.BEANS,
            type(found).__name__,
            len(found.beds),
            sorted(found.by_name),
            when.isoformat(),
            str(key),
            [type(pair).__name__, *pair],
        ]


@workflow.defn(name="WholeUntyped")
class Untyped:
    @workflow.run
    async def run(self, *values) -> Any:  # no type hints are what is looked at
        return [[type(value).__name__, value] for value in values]


@workflow.defn(name="WholeRetried")
class Retried:
    @workflow.run
    async def run(self, how: str) -> Any:
        attempt = workflow.info().attempt
        if how == "final":
            raise ApplicationError("final", non_retryable=True)
        if attempt < 3 or how == "never":
            raise ApplicationError(f"attempt {attempt}")
        return [attempt, workflow.info().run_id != workflow.info().first_execution_run_id]


@workflow.defn(name="WholeCron")
class Cron:
    @workflow.run
    async def run(self) -> list[Any]:
        last = workflow.get_last_completion_result(list) if workflow.has_last_completion_result() else []
        return [*(last or []), workflow.info().cron_schedule, workflow.info().attempt]


@workflow.defn(name="WholeInfo")
class About:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self, wait: bool) -> Any:
        info = workflow.info()
        if wait:
            await workflow.wait_condition(lambda: self.done)
        return [
            info.workflow_id,
            info.workflow_type,
            info.namespace,
            info.attempt,
            info.cron_schedule,
            info.parent,
            str(info.execution_timeout),
            str(info.run_timeout),
            str(info.task_timeout),
            info.retry_policy,
            info.continued_run_id,
            info.run_id == info.first_execution_run_id,
            info.is_continue_as_new_suggested(),
            workflow.in_workflow(),
            workflow.get_current_details(),
            info.start_time <= workflow.now(),
            workflow.now().tzinfo is not None,
            workflow.uuid4().version,
        ]

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn
class WholeDefaultName:
    @workflow.run
    async def run(self) -> str:
        return workflow.info().workflow_type


async def _retried(client: Client, task_queue: str, how: str, attempts: int) -> Any:
    handle = await client.start_workflow(
        Retried.run,
        how,
        id=f"whole-{how}",
        task_queue=task_queue,
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=attempts),
    )
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    ended = await outcome(handle.result())
    return [ended, (await first.describe()).status.name, await history(first), await history(handle)]


async def case_another_attempt(client: Client, task_queue: str) -> Any:
    return await _retried(client, task_queue, "third", 0)


async def case_no_attempt_left(client: Client, task_queue: str) -> Any:
    return await _retried(client, task_queue, "never", 2)


async def case_a_final_failure(client: Client, task_queue: str) -> Any:
    return await _retried(client, task_queue, "final", 5)


async def case_one_who_does_not_follow_attempts(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Retried.run,
        "third",
        id="whole-not-followed",
        task_queue=task_queue,
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
    )
    kind, *errors = await outcome(handle.result(follow_runs=False))
    return [kind, [error[:2] for error in errors]]


async def case_cron(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Cron.run, id="whole-cron", task_queue=task_queue, cron_schedule="@every 1s"
    )
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    ended = await until_status(first, "CONTINUED_AS_NEW", "COMPLETED", "FAILED")
    seen = [ended, await outcome(first.result(follow_runs=False)), await history(first)]
    await client.get_workflow_handle(handle.id).terminate(reason="enough")
    return seen


async def case_a_delayed_start(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        About.run, False, id="whole-delayed", task_queue=task_queue, start_delay=timedelta(seconds=1)
    )
    before = (await handle.describe()).status.name
    await handle.result()
    described = await handle.describe()
    return [before, described.close_time - described.start_time > timedelta(seconds=0.9)]


async def case_info(client: Client, task_queue: str) -> Any:
    return [
        await client.execute_workflow(About.run, False, id="whole-info", task_queue=task_queue),
        await client.execute_workflow(
            About.run,
            False,
            id="whole-info-2",
            task_queue=task_queue,
            execution_timeout=timedelta(minutes=2),
            task_timeout=timedelta(seconds=7),
        ),
        await client.execute_workflow(WholeDefaultName.run, id="whole-name", task_queue=task_queue),
    ]


async def case_a_description(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(About.run, True, id="whole-describe", task_queue=task_queue)
    await handle.query(About.ready)
    running = await handle.describe()
    await handle.signal(About.finish)
    await handle.result()
    ended = await handle.describe()
    return [
        [running.id, running.workflow_type, running.task_queue, running.status.name, running.close_time],
        [running.parent_id, running.namespace, running.run_id == handle.first_execution_run_id],
        [running.start_time.tzinfo is not None, running.execution_time == running.start_time],
        [ended.status.name, ended.close_time is not None and ended.close_time >= ended.start_time],
    ]


async def case_an_unknown_workflow(client: Client, task_queue: str) -> Any:
    handle = client.get_workflow_handle("whole-nobody")
    return [
        await outcome(handle.describe()),
        await outcome(handle.result()),
        await outcome(handle.signal("finish")),
        await outcome(handle.terminate()),
        await outcome(handle.fetch_history()),
        await outcome(client.get_workflow_handle("whole-nobody", run_id=str(uuid.UUID(int=7))).result()),
    ]


async def case_a_signal_after_the_end(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(About.run, False, id="whole-over", task_queue=task_queue)
    await handle.result()
    return [await outcome(handle.signal(About.finish)), await outcome(handle.result())]


async def case_lists(client: Client, task_queue: str) -> Any:
    query = "WorkflowType = 'WholeInfo' AND WorkflowId = 'whole-listed'"
    handle = await client.start_workflow(About.run, True, id="whole-listed", task_queue=task_queue)

    async def listed() -> list[str]:
        return [found.status.name async for found in client.list_workflows(query)]

    await until(listed, ["RUNNING"])
    await handle.signal(About.finish)
    await handle.result()
    await until(listed, ["COMPLETED"])
    found = [each async for each in client.list_workflows(query)][0]
    other = [each async for each in client.list_workflows("WorkflowId = 'whole-nobody'")]
    return [found.id, found.workflow_type, found.task_queue, found.close_time is not None, other]


async def case_a_list_that_cannot_be_read(client: Client, task_queue: str) -> Any:
    async def listed() -> list[str]:
        return [found.id async for found in client.list_workflows("this is no query")]

    return await outcome(listed())


async def case_values(client: Client, task_queue: str) -> Any:
    bed = Bed("north", Level.HIGH, Crop.BEANS, ["a"])
    return await client.execute_workflow(
        Values.run,
        args=[
            Plan([bed], 2, {"n": bed}),
            datetime(2026, 3, 1, 4, 5, 6, 789, tzinfo=UTC),
            uuid.UUID(int=5),
            (1, "two"),
        ],
        id="whole-values",
        task_queue=task_queue,
    )


async def case_values_without_types(client: Client, task_queue: str) -> Any:
    values = [1, 2.5, "text", None, True, [1, [2]], {"a": {"b": None}}, Bed("south")]
    return await client.execute_workflow(
        "WholeUntyped", args=values, id="whole-untyped", task_queue=task_queue
    )


async def case_a_termination_with_details(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(About.run, True, id="whole-terminated", task_queue=task_queue)
    await handle.query(About.ready)
    await handle.terminate("one", 2, reason="enough")
    return [await outcome(handle.result()), await history(handle)]


WORKFLOWS = [Values, Untyped, Retried, Cron, About, WholeDefaultName]
ACTIVITIES = [double]
