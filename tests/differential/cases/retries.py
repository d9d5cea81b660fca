"""Attempts of activities, and when there are no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome

SOON = timedelta(milliseconds=20)


class SensorError(Exception):
    """An error of the author's own."""


@activity.defn(name="retries_work")
async def work(how: str) -> Any:
    attempt = activity.info().attempt
    if how == "third time":
        if attempt < 3:
            raise ValueError(f"attempt {attempt}")
        return attempt
    if how == "never":
        raise ValueError(f"attempt {attempt}")
    if how == "final":
        raise ApplicationError("final", type="Final", non_retryable=True)
    if how == "by type":
        raise ApplicationError("by type", type="Listed")
    if how == "by class":
        raise SensorError("by class")
    if how == "its own delay":
        if attempt == 1:
            raise ApplicationError("soon again", next_retry_delay=SOON)
        return attempt
    if how == "beats":
        before = list(activity.info().heartbeat_details)
        activity.heartbeat("at", attempt)
        if attempt < 3:
            raise ValueError("again")
        return before
    if how == "details":
        raise ApplicationError("details", 1, "two", {"three": [3.5, None]}, type="Details")
    raise AssertionError(how)


@workflow.defn(name="RetriesWorkflow")
class Retries:
    @workflow.run
    async def run(self, how: str, attempts: int, listed: list[str], first_s: float) -> Any:
        policy = RetryPolicy(
            initial_interval=timedelta(seconds=first_s),
            maximum_attempts=attempts,
            non_retryable_error_types=listed or None,
        )
        return await outcome(
            workflow.execute_activity(work, how, start_to_close_timeout=SHORT, retry_policy=policy)
        )


@workflow.defn(name="RetriesUnknown")
class Unknown:
    @workflow.run
    async def run(self) -> Any:
        kind, *errors = await outcome(
            workflow.execute_activity(
                "retries_no_such",
                start_to_close_timeout=SHORT,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        )
        # The message of the cause lists what this worker has, in its own words.
        return [kind, errors[0], errors[1][2:], len(errors)]


@workflow.defn(name="RetriesLimited")
class Limited:
    """The time for all attempts is over before their number is."""

    @workflow.run
    async def run(self) -> Any:
        return await outcome(
            workflow.execute_activity(
                work,
                "final for its delay",
                schedule_to_close_timeout=timedelta(seconds=1),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=30)),
            )
        )


async def _run(
    client: Client, task_queue: str, how: str, attempts: int = 0, listed: list[str] | None = None
) -> Any:
    handle = await client.start_workflow(
        Retries.run,
        args=[how, attempts, listed or [], 30.0 if how == "its own delay" else 0.02],
        id=f"retries {how} {attempts}",
        task_queue=task_queue,
    )
    return [await outcome(handle.result()), await history(handle)]


async def case_the_third_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "third time")


async def case_too_few_attempts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "third time", 2)


async def case_one_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "never", 1)


async def case_a_final_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "final")


async def case_a_type_that_is_listed(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "by type", 0, ["Other", "Listed"])


async def case_a_class_that_is_listed(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "by class", 0, ["SensorError"])


async def case_a_type_that_is_not_listed(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "by type", 2, ["Other"])


async def case_a_delay_of_the_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "its own delay")


async def case_details_of_the_last_beat(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "beats")


async def case_details_of_a_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "details", 2)


async def case_an_unknown_activity(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(Unknown.run, id="retries-unknown", task_queue=task_queue)


async def case_no_time_for_another_attempt(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(Limited.run, id="retries-limited", task_queue=task_queue)


WORKFLOWS = [Retries, Unknown, Limited]
ACTIVITIES = [work]
