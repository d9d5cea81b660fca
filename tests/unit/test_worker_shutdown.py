"""What becomes of activities whose worker stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowFailureError, WorkflowHandle
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import ActivityError, ApplicationError
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, engine_on

ELSEWHERE = "elsewhere"
begun = threading.Event()
reasons: list[activity.ActivityCancellationDetails | None] = []


@activity.defn
async def says_goodbye() -> str:
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        reasons.append(activity.cancellation_details())
    return "goodbye"


@activity.defn
def says_goodbye_in_a_thread() -> str:
    begun.set()
    try:
        while True:
            time.sleep(0.01)
    except BaseException:
        reasons.append(activity.cancellation_details())
    return "goodbye"


@activity.defn
async def falls_over() -> str:
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    raise ApplicationError("the lamp fell over", non_retryable=True)


@activity.defn
async def looks_at_the_shutdown() -> str:
    begun.set()
    await activity.wait_for_worker_shutdown()
    return "in time"


@workflow.defn
class Elsewhere:
    @workflow.run
    async def run(self, name: str) -> str:
        result: str = await workflow.execute_activity(
            name,
            task_queue=ELSEWHERE,
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        return result


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    begun.clear()
    reasons.clear()
    async with (
        engine_on(MemoryJournal(), SystemClock()) as client,
        Worker(client, task_queue=QUEUE, workflows=[Elsewhere]),
    ):
        yield client


async def stopped_while_running(
    client: Client, fn: object, grace: timedelta = timedelta()
) -> WorkflowHandle[Elsewhere, str]:
    """The workflow's handle, after the worker of its activity has stopped."""
    name = fn.__name__  # type: ignore[attr-defined]
    async with Worker(
        client,
        task_queue=ELSEWHERE,
        activities=[fn],
        graceful_shutdown_timeout=grace,  # type: ignore[list-item]
    ):
        handle = await client.start_workflow(Elsewhere.run, name, id=name, task_queue=QUEUE)
        await asyncio.to_thread(begun.wait, 5)
    return handle


@pytest.mark.parametrize("fn", [says_goodbye, says_goodbye_in_a_thread])
async def test_what_a_cancelled_activity_returns_is_its_result_also_when_its_worker_stops(
    client: Client, fn: object
) -> None:
    handle = await stopped_while_running(client, fn)
    assert await asyncio.wait_for(handle.result(), 5) == "goodbye"
    assert reasons == [activity.ActivityCancellationDetails(worker_shutdown=True)]


async def test_an_error_of_its_own_is_its_failure_also_when_its_worker_stops(client: Client) -> None:
    handle = await stopped_while_running(client, falls_over)
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 5)
    assert isinstance(failed.value.cause, ActivityError)
    assert "the lamp fell over" in str(failed.value.cause.cause)


async def test_an_activity_that_looks_out_for_the_shutdown_ends_within_the_grace(client: Client) -> None:
    handle = await stopped_while_running(client, looks_at_the_shutdown, timedelta(seconds=5))
    assert await asyncio.wait_for(handle.result(), 5) == "in time"


def test_a_pool_that_is_smaller_than_the_activities_that_may_run_is_warned_of(client: Client) -> None:
    with ThreadPoolExecutor(2) as executor, pytest.warns(UserWarning, match="max_workers is only 2"):
        Worker(
            client,
            task_queue=ELSEWHERE,
            activities=[says_goodbye],
            activity_executor=executor,
            max_concurrent_activities=3,
        )
