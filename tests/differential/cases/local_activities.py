"""Activities that run beside the workflow, without a queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, beat_until_cancelled, history, outcome

SOON = timedelta(milliseconds=20)


@activity.defn(name="local_work")
async def work(how: str) -> Any:
    info = activity.info()
    match how:
        case "quick":
            return ["quick", info.is_local, info.attempt, info.activity_type]
        case "third time" if info.attempt < 3:
            raise ValueError(f"attempt {info.attempt}")
        case "third time":
            return info.attempt
        case "never":
            raise ValueError(f"attempt {info.attempt}")
        case "final":
            raise ApplicationError("final", 1, type="Final", non_retryable=True)
        case "slow":
            await asyncio.sleep(2)
        case "cancelled":
            await beat_until_cancelled()
    return None


@activity.defn(name="local_plain")
def plain(number: int) -> int:
    return number * 2


@workflow.defn(name="LocalActivities")
class Local:
    @workflow.run
    async def run(self, how: str) -> Any:
        return await getattr(self, how)()

    async def quick(self) -> Any:
        return await workflow.execute_local_activity(work, "quick", start_to_close_timeout=SHORT)

    async def by_name(self) -> Any:
        return await workflow.execute_local_activity("local_work", "quick", start_to_close_timeout=SHORT)

    async def in_a_thread(self) -> Any:
        return await workflow.execute_local_activity(plain, 4, start_to_close_timeout=SHORT)

    async def third_time(self) -> Any:
        policy = RetryPolicy(initial_interval=SOON)
        return await workflow.execute_local_activity(
            work, "third time", start_to_close_timeout=SHORT, retry_policy=policy
        )

    async def too_often(self) -> Any:
        policy = RetryPolicy(initial_interval=SOON, maximum_attempts=2)
        return await outcome(
            workflow.execute_local_activity(work, "never", start_to_close_timeout=SHORT, retry_policy=policy)
        )

    async def final(self) -> Any:
        return await outcome(workflow.execute_local_activity(work, "final", start_to_close_timeout=SHORT))

    async def listed(self) -> Any:
        policy = RetryPolicy(initial_interval=SOON, non_retryable_error_types=["ValueError"])
        return await outcome(
            workflow.execute_local_activity(work, "never", start_to_close_timeout=SHORT, retry_policy=policy)
        )

    async def in_a_row(self) -> Any:
        return [
            await workflow.execute_local_activity(plain, number, start_to_close_timeout=SHORT)
            for number in range(3)
        ]

    async def beside_a_real_one(self) -> Any:
        local = await workflow.execute_local_activity(plain, 1, start_to_close_timeout=SHORT)
        await workflow.sleep(0.01)
        real = await workflow.execute_activity(plain, local, start_to_close_timeout=SHORT)
        return await workflow.execute_local_activity(plain, real, start_to_close_timeout=SHORT)

    async def no_timeout(self) -> Any:
        async def begin() -> None:
            await workflow.execute_local_activity(plain, 1)

        return (await outcome(begin()))[1][0]

    async def cancelled_in_its_step(self) -> Any:
        handle = workflow.start_local_activity(plain, 1, start_to_close_timeout=SHORT)
        await asyncio.sleep(0)
        handle.cancel()
        return await outcome(handle)


async def _run(client: Client, task_queue: str, how: str) -> Any:
    handle = await client.start_workflow(Local.run, how, id=f"local-{how}", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_a_result(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "quick")


async def case_by_name(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "by_name")


async def case_in_a_thread(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "in_a_thread")


async def case_the_third_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "third_time")


async def case_too_few_attempts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "too_often")


async def case_a_final_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "final")


async def case_a_type_that_is_listed(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "listed")


async def case_several_in_a_row(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "in_a_row")


async def case_beside_a_real_one(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "beside_a_real_one")


async def case_no_timeout(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "no_timeout")


async def case_cancelled_in_its_step(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "cancelled_in_its_step"))[0]


WORKFLOWS = [Local]
ACTIVITIES = [work, plain]
