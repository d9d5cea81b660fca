"""The four timeouts of an activity, and those of a workflow."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy

from ..observe import SHORT, history, outcome

ONCE = RetryPolicy(maximum_attempts=1)
LITTLE = timedelta(milliseconds=300)
LONG = timedelta(seconds=30)


@activity.defn(name="timeouts_slow")
async def slow(beats: bool) -> None:
    if beats:
        activity.heartbeat("one", 2)
    await asyncio.sleep(3)


@activity.defn(name="timeouts_failing")
async def failing() -> None:
    raise ValueError(f"attempt {activity.info().attempt}")


@workflow.defn(name="TimeoutsActivity")
class Timeouts:
    @workflow.run
    async def run(self, how: str) -> Any:
        return await outcome(self.begin(how))

    def begin(self, how: str) -> Any:
        match how:
            case "start to close":
                return workflow.execute_activity(
                    slow, False, start_to_close_timeout=LITTLE, retry_policy=ONCE
                )
            case "start to close twice" | "start to close three times":
                attempts = 2 if how.endswith("twice") else 3
                return workflow.execute_activity(
                    slow,
                    False,
                    start_to_close_timeout=LITTLE,
                    retry_policy=RetryPolicy(
                        initial_interval=timedelta(milliseconds=20), maximum_attempts=attempts
                    ),
                )
            case "schedule to close":
                return workflow.execute_activity(slow, False, schedule_to_close_timeout=LITTLE)
            case "schedule to close while failing":
                return workflow.execute_activity(
                    failing,
                    schedule_to_close_timeout=timedelta(seconds=1),
                    retry_policy=RetryPolicy(
                        initial_interval=timedelta(milliseconds=300), backoff_coefficient=1.0
                    ),
                )
            case "schedule to start":
                return workflow.execute_activity(
                    slow,
                    False,
                    task_queue="timeouts-nobody",
                    schedule_to_start_timeout=LITTLE,
                    start_to_close_timeout=LONG,
                )
            case "schedule to close unserved":
                return workflow.execute_activity(
                    slow, False, task_queue="timeouts-nobody", schedule_to_close_timeout=LITTLE
                )
            case "heartbeat":
                return workflow.execute_activity(
                    slow,
                    True,
                    start_to_close_timeout=LONG,
                    heartbeat_timeout=timedelta(seconds=1),
                    retry_policy=ONCE,
                )
            case "start to close with details":
                return workflow.execute_activity(
                    slow,
                    True,
                    start_to_close_timeout=timedelta(seconds=1),
                    heartbeat_timeout=LONG,
                    retry_policy=ONCE,
                )
        raise AssertionError(how)


@workflow.defn(name="TimeoutsNone")
class NoTimeout:
    @workflow.run
    async def run(self) -> Any:
        return await outcome(self.begin())

    async def begin(self) -> None:
        await workflow.execute_activity(slow, False)


@workflow.defn(name="TimeoutsForever")
class Forever:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@workflow.defn(name="TimeoutsUncaught")
class Uncaught:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(slow, False, start_to_close_timeout=LITTLE, retry_policy=ONCE)


async def _run(client: Client, task_queue: str, how: str) -> Any:
    handle = await client.start_workflow(Timeouts.run, how, id=f"timeouts {how}", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_start_to_close(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "start to close")


async def case_start_to_close_twice(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "start to close twice")


async def case_start_to_close_three_times(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "start to close three times")


async def case_schedule_to_close(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "schedule to close")


async def case_schedule_to_close_while_it_fails(client: Client, task_queue: str) -> Any:
    (kind, (caught, *errors)), names = await _run(client, task_queue, "schedule to close while failing")
    # Which attempt was the last depends on speed.
    return [kind, caught, [error[:1] + error[2:] for error in errors], names]


async def case_schedule_to_start(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "schedule to start")


async def case_schedule_to_close_unserved(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "schedule to close unserved")


async def case_heartbeat(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "heartbeat")


async def case_start_to_close_with_details(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "start to close with details")


async def case_none_at_all(client: Client, task_queue: str) -> Any:
    found = await client.execute_workflow(NoTimeout.run, id="timeouts-none", task_queue=task_queue)
    return [found[0], found[1][0]]


async def case_a_timeout_that_is_let_go(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Uncaught.run, id="timeouts-uncaught", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_run_timeout(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Forever.run, id="timeouts-run", task_queue=task_queue, run_timeout=timedelta(seconds=1)
    )
    return [await outcome(handle.result()), await history(handle)]


async def case_execution_timeout(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Forever.run, id="timeouts-execution", task_queue=task_queue, execution_timeout=timedelta(seconds=1)
    )
    return [await outcome(handle.result()), await history(handle)]


assert SHORT > timedelta(seconds=3)

WORKFLOWS = [Timeouts, NoTimeout, Forever, Uncaught]
ACTIVITIES = [slow, failing]
