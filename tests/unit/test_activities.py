"""Activities: attempts, retries, timeouts, heartbeats, threads."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    TimeoutError,
    TimeoutType,
)
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, event_names, until

seen: list[Any] = []
stop = threading.Event()
LONG = timedelta(minutes=5)
ONCE = RetryPolicy(maximum_attempts=1)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=3)


@dataclass
class Reading:
    field: str
    moisture: float


@pytest.fixture(autouse=True)
def _forget() -> Any:
    seen.clear()
    stop.clear()
    yield
    stop.set()


@pytest.fixture
def real(socket: Path | None) -> Gateway:
    """In memory, on the machine's clock."""
    return Gateway(MemoryJournal(), SystemClock(), socket)


# One workflow runs any activity with any options, so that a test is its activity and its options.
options: dict[str, Any] = {}


@workflow.defn
class Call:
    @workflow.run
    async def run(self, name: str, args: list[Any]) -> Any:
        return await workflow.execute_activity(name, args=args, **options)


@workflow.defn
class CallParallel:
    @workflow.run
    async def run(self, count: int) -> list[int]:
        return await asyncio.gather(
            *[workflow.execute_activity(square, n, start_to_close_timeout=LONG) for n in range(count)]
        )


async def call(client: Client, fn: Any, *args: Any, **given: Any) -> Any:
    name = fn if isinstance(fn, str) else fn.__name__
    options.clear()
    options.update(given)
    return await asyncio.wait_for(
        client.execute_workflow(Call.run, args=[name, list(args)], id="w", task_queue=QUEUE), 12
    )


async def failure(client: Client, fn: Any, *args: Any, **given: Any) -> ActivityError:
    with pytest.raises(WorkflowFailureError) as failed:
        await call(client, fn, *args, **given)
    assert isinstance(failed.value.cause, ActivityError)
    return failed.value.cause


@activity.defn
async def square(n: int) -> int:
    await asyncio.sleep(0.001 * (5 - n % 5))
    return n * n


@activity.defn
async def fails(error_type: str, delay_s: float, non_retryable: bool) -> None:
    seen.append(activity.info().attempt)
    raise ApplicationError(
        "no",
        "detail",
        type=error_type,
        non_retryable=non_retryable,
        next_retry_delay=timedelta(seconds=delay_s) if delay_s else None,
    )


@activity.defn
async def fails_until_third() -> list[Any]:
    info = activity.info()
    seen.append((info.attempt, info.idempotency_key))
    if info.attempt < 3:
        raise OSError("the sensor does not answer")
    return [info.attempt, info.workflow_type, info.activity_type, info.task_queue]


@activity.defn
async def hangs() -> None:
    seen.append(activity.info().attempt)
    await asyncio.Event().wait()


@activity.defn
async def beats_then_hangs() -> list[Any]:
    info = activity.info()
    seen.append((info.attempt, list(info.heartbeat_details)))
    if info.attempt == 2:
        return list(info.heartbeat_details)
    activity.heartbeat("a", 1)
    activity.heartbeat("b", 2)
    await asyncio.Event().wait()
    return []


@activity.defn
async def beats_on() -> str:
    for _ in range(12):
        activity.heartbeat()
        await asyncio.sleep(0.03)
    return "alive"


@activity.defn
async def swallows() -> str:
    while not stop.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            seen.append("swallowed")
    return "late"


@activity.defn
async def exits() -> None:
    seen.append(activity.info().attempt)
    raise SystemExit(1)


@activity.defn
async def read_field(reading: Reading) -> Reading:
    seen.append(type(reading))
    return Reading(reading.field, reading.moisture * 2)


@activity.defn
def in_thread(n: int) -> list[Any]:
    activity.heartbeat("from the thread")
    return [n, threading.current_thread() is not threading.main_thread(), activity.info().attempt]


@activity.defn
def thread_beats_then_hangs() -> list[Any]:
    if activity.info().attempt == 2:
        return list(activity.info().heartbeat_details)
    activity.heartbeat("before")
    while not stop.is_set():
        time.sleep(0.01)
    return []


@activity.defn
async def beats_from_a_thread_of_its_own() -> list[Any]:
    if activity.info().attempt == 2:
        return list(activity.info().heartbeat_details)
    for number in range(3):
        await asyncio.to_thread(activity.heartbeat, number)
    raise ApplicationError("once more")


@activity.defn
def thread_waits_for_cancel() -> None:
    seen.append("began")
    try:
        while not stop.is_set():
            time.sleep(0.005)
    except CancelledError:
        seen.append("cancelled in the thread")
        raise


@activity.defn
def thread_shielded() -> None:
    try:
        with activity.shield_thread_cancel_exception():
            seen.append("began")
            activity.wait_for_cancelled_sync(5)
            time.sleep(0.05)
            seen.append("shield held")
        time.sleep(5)
    except CancelledError:
        seen.append("after the shield")
        raise


@activity.defn(no_thread_cancel_exception=True)
def thread_polls() -> str:
    seen.append("began")
    activity.wait_for_cancelled_sync(5)
    return f"polled {activity.is_cancelled()}"


@activity.defn
async def too_large() -> str:
    seen.append(1)
    return "x" * 50_000_000


async def test_a_result_is_decoded_by_the_hint_of_the_activity(gateway: Gateway) -> None:
    async with gateway.on([ReadsField], [read_field]) as client:
        result = await client.execute_workflow(
            ReadsField.run, Reading("north", 0.2), id="w", task_queue=QUEUE
        )
        assert result == Reading("north", 0.8)
        assert seen == [Reading, Reading]


@workflow.defn
class ReadsField:
    @workflow.run
    async def run(self, reading: Reading) -> Reading:
        first = await workflow.execute_activity(read_field, reading, start_to_close_timeout=LONG)
        assert type(first) is Reading
        by_name = await workflow.execute_activity(
            "read_field", first, start_to_close_timeout=LONG, result_type=Reading
        )
        assert type(by_name) is Reading
        return by_name


async def test_activities_run_in_parallel_and_results_keep_their_places(gateway: Gateway) -> None:
    async with gateway.on([CallParallel], [square]) as client:
        result = await client.execute_workflow(CallParallel.run, 30, id="w", task_queue=QUEUE)
        assert result == [n * n for n in range(30)]


async def test_attempts_follow_with_backoff_and_the_same_key(gateway: Gateway) -> None:
    """By the gateway's clock: 1 s after the first failure, 2 s after the second, never sooner."""
    async with gateway.on([Call], [fails_until_third]) as client:
        result = asyncio.ensure_future(call(client, fails_until_third, start_to_close_timeout=LONG))
        await until(lambda: len(seen) == 1)
        for wait, count in ((1, 2), (2, 3)):
            await asyncio.sleep(0.02)
            gateway.advance(client, wait - 0.001)
            await asyncio.sleep(0.02)
            assert len(seen) == count - 1
            gateway.advance(client, 0.001)
            await until(lambda count=count: len(seen) == count)
        assert await result == [3, "Call", "fails_until_third", QUEUE]
        run_id = client.get_workflow_handle("w")
        assert {key for _, key in seen} == {f"{(await run_id.describe()).run_id}:1"}


async def test_an_error_ends_the_attempts_when_there_are_enough(real: Gateway) -> None:
    async with real.on([Call], [fails]) as client:
        error = await failure(
            client, fails, "Broken", 0, False, start_to_close_timeout=LONG, retry_policy=QUICK
        )
        assert isinstance(error.cause, ApplicationError)
        assert (error.cause.type, error.cause.details, error.activity_type) == (
            "Broken",
            ("detail",),
            "fails",
        )
        assert error.retry_state is not None
        assert error.retry_state.name == "MAXIMUM_ATTEMPTS_REACHED"
        assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("error_type", "non_retryable"), [("Fatal", False), ("Other", True)], ids=["by policy", "by the error"]
)
async def test_an_error_that_is_not_to_be_retried_is_not(
    real: Gateway, error_type: str, non_retryable: bool
) -> None:
    policy = RetryPolicy(initial_interval=timedelta(milliseconds=1), non_retryable_error_types=["Fatal"])
    async with real.on([Call], [fails]) as client:
        error = await failure(
            client, fails, error_type, 0, non_retryable, start_to_close_timeout=LONG, retry_policy=policy
        )
        assert error.retry_state is not None
        assert error.retry_state.name == "NON_RETRYABLE_FAILURE"
        assert seen == [1]


async def test_an_error_may_say_when_the_next_attempt_is_due(gateway: Gateway) -> None:
    async with gateway.on([Call], [fails]) as client:
        policy = RetryPolicy(maximum_attempts=2)
        result = asyncio.ensure_future(
            failure(client, fails, "Busy", 3600.0, False, start_to_close_timeout=LONG, retry_policy=policy)
        )
        await until(lambda: seen == [1])
        await asyncio.sleep(0.02)
        gateway.advance(client, 3599)
        await asyncio.sleep(0.02)
        assert seen == [1]
        gateway.advance(client, 1)
        await result
        assert seen == [1, 2]


def _timeout_of(error: ActivityError) -> TimeoutError:
    assert isinstance(error.cause, TimeoutError)
    return error.cause


async def test_start_to_close_bounds_each_attempt_and_is_retried(real: Gateway) -> None:
    async with real.on([Call], [hangs]) as client:
        error = await failure(
            client, hangs, start_to_close_timeout=timedelta(milliseconds=20), retry_policy=QUICK
        )
        assert _timeout_of(error).type == TimeoutType.START_TO_CLOSE
        assert seen == [1, 2, 3]


async def test_schedule_to_close_bounds_all_attempts(gateway: Gateway) -> None:
    async with gateway.on([Call], [fails]) as client:
        result = asyncio.ensure_future(
            failure(client, fails, "Down", 0, False, schedule_to_close_timeout=timedelta(seconds=10))
        )
        for wait, count in ((0, 1), (1, 2), (2, 3), (4, 4)):
            await asyncio.sleep(0.02)
            gateway.advance(client, wait)
            await until(lambda count=count: len(seen) == count)
        # The next attempt would be due 15 s after the schedule: it is not made.
        error = await result
        assert seen == [1, 2, 3, 4]
        assert error.retry_state is not None
        assert error.retry_state.name == "TIMEOUT"


async def test_schedule_to_close_ends_an_attempt_that_hangs(gateway: Gateway) -> None:
    async with gateway.on([Call], [hangs]) as client:
        result = asyncio.ensure_future(
            failure(client, hangs, schedule_to_close_timeout=timedelta(seconds=10))
        )
        await until(lambda: seen == [1])
        gateway.advance(client, 10)
        assert _timeout_of(await result).type == TimeoutType.SCHEDULE_TO_CLOSE


async def test_schedule_to_close_ends_a_later_attempt_after_a_restart(durable: SqliteGateway) -> None:
    async with durable.on([Call], [hangs]) as client:
        options.clear()
        options.update(
            schedule_to_close_timeout=timedelta(seconds=100),
            start_to_close_timeout=timedelta(milliseconds=20),
        )
        await client.start_workflow(Call.run, args=["hangs", []], id="w", task_queue=QUEUE)
        await until(lambda: seen == [1])
        await until(lambda: _failed_attempts(durable))
    options["start_to_close_timeout"] = timedelta(seconds=60)
    async with durable.on([Call], [hangs]) as client:
        durable.advance(client, 101)
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(client.get_workflow_handle("w").result(), 5)
        assert isinstance(failed.value.cause, ActivityError)
        assert _timeout_of(failed.value.cause).type == TimeoutType.SCHEDULE_TO_CLOSE


async def _failed_attempts(gateway: Gateway) -> bool:
    return any(attempt.failures for attempt in await gateway.journal.attempts(1))


async def test_schedule_to_start_bounds_the_wait_for_a_worker_and_is_not_retried(gateway: Gateway) -> None:
    async with gateway.on([Call], [hangs]) as client:
        result = asyncio.ensure_future(
            failure(
                client,
                "nobody",
                task_queue="nobody",
                schedule_to_start_timeout=timedelta(seconds=10),
                schedule_to_close_timeout=LONG,
            )
        )
        await asyncio.sleep(0.05)
        gateway.advance(client, 10)
        assert _timeout_of(await result).type == TimeoutType.SCHEDULE_TO_START


async def test_silence_ends_an_attempt_and_the_next_one_has_the_last_details(real: Gateway) -> None:
    async with real.on([Call], [beats_then_hangs]) as client:
        result = await call(
            client,
            beats_then_hangs,
            start_to_close_timeout=LONG,
            heartbeat_timeout=timedelta(milliseconds=50),
            retry_policy=QUICK,
        )
        assert result == ["b", 2]
        assert seen == [(1, []), (2, ["b", 2])]


async def test_a_heartbeat_timeout_says_so_with_the_last_details(real: Gateway) -> None:
    async with real.on([Call], [beats_then_hangs]) as client:
        error = await failure(
            client,
            beats_then_hangs,
            start_to_close_timeout=LONG,
            heartbeat_timeout=timedelta(milliseconds=50),
            retry_policy=ONCE,
        )
        assert _timeout_of(error).type == TimeoutType.HEARTBEAT
        assert list(_timeout_of(error).last_heartbeat_details) == ["b", 2]


async def test_an_activity_that_beats_outlives_its_heartbeat_timeout(real: Gateway) -> None:
    async with real.on([Call], [beats_on]) as client:
        assert (
            await call(
                client,
                beats_on,
                start_to_close_timeout=LONG,
                heartbeat_timeout=timedelta(milliseconds=200),
                retry_policy=ONCE,
            )
            == "alive"
        )


async def test_one_of_the_two_closing_timeouts_is_required(gateway: Gateway) -> None:
    async with gateway.on([WithoutTimeout], []) as client:
        handle = await client.start_workflow(WithoutTimeout.run, id="w", task_queue=QUEUE)
        assert await asyncio.wait_for(handle.result(), 5) == (
            "Activity must have start_to_close_timeout or schedule_to_close_timeout: square has neither"
        )


@workflow.defn
class WithoutTimeout:
    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.execute_activity(square, 1)
        except ValueError as error:
            return str(error)
        return ""


async def test_a_synchronous_activity_runs_in_a_thread(real: Gateway) -> None:
    async with real.on([Call], [in_thread]) as client:
        assert await call(client, in_thread, 4, start_to_close_timeout=LONG) == [4, True, 1]


async def test_heartbeats_from_a_thread_reach_the_next_attempt(real: Gateway) -> None:
    async with real.on([Call], [thread_beats_then_hangs]) as client:
        result = await call(
            client,
            thread_beats_then_hangs,
            start_to_close_timeout=LONG,
            heartbeat_timeout=timedelta(milliseconds=60),
            retry_policy=QUICK,
        )
        assert result == ["before"]


async def test_an_asynchronous_activity_beats_from_the_threads_that_it_makes(real: Gateway) -> None:
    async with real.on([Call], [beats_from_a_thread_of_its_own]) as client:
        result = await call(
            client, beats_from_a_thread_of_its_own, start_to_close_timeout=LONG, retry_policy=QUICK
        )
        assert result == [2]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ValueError("dry"), "WARNING"),
        (ApplicationError("as usual", category=ApplicationErrorCategory.BENIGN), "DEBUG"),
    ],
)
async def test_a_failing_attempt_is_logged_and_a_benign_one_only_for_who_looks_closely(
    real: Gateway, caplog: pytest.LogCaptureFixture, error: Exception, level: str
) -> None:
    @activity.defn
    async def fails() -> None:
        raise error

    caplog.set_level("DEBUG", "overwinter.activity")
    async with real.on([Call], [fails]) as client:
        with pytest.raises(WorkflowFailureError):
            await call(client, fails, start_to_close_timeout=LONG, retry_policy=ONCE)
    (record,) = [r for r in caplog.records if r.getMessage().startswith("Completing activity as failed")]
    assert record.levelname == level
    assert record.exc_info
    assert record.exc_info[1] is error
    assert vars(record)["temporal_activity"]["activity_type"] == "fails"


@workflow.defn
class CancelAfter:
    @workflow.run
    async def run(self, name: str) -> str:
        handle = workflow.start_activity(
            name,
            start_to_close_timeout=LONG,
            retry_policy=ONCE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: self.cancel)
        handle.cancel()
        try:
            return f"returned {await handle}"
        except ActivityError as error:
            return type(error.cause).__name__

    def __init__(self) -> None:
        self.cancel = False

    @workflow.signal
    def go(self) -> None:
        self.cancel = True


async def _cancelled(client: Client, fn: Any) -> str:
    handle = await client.start_workflow(CancelAfter.run, fn.__name__, id="w", task_queue=QUEUE)
    await until(lambda: seen == ["began"])
    await handle.signal(CancelAfter.go)
    return await asyncio.wait_for(handle.result(), 10)


async def test_a_cancellation_is_raised_into_the_thread(real: Gateway) -> None:
    async with real.on([CancelAfter], [thread_waits_for_cancel]) as client:
        assert await _cancelled(client, thread_waits_for_cancel) == "CancelledError"
        assert seen == ["began", "cancelled in the thread"]


async def test_a_shield_keeps_the_cancellation_out_until_it_ends(real: Gateway) -> None:
    async with real.on([CancelAfter], [thread_shielded]) as client:
        assert await _cancelled(client, thread_shielded) == "CancelledError"
        assert seen == ["began", "shield held", "after the shield"]


async def test_a_thread_that_wants_no_exception_is_only_told(real: Gateway) -> None:
    async with real.on([CancelAfter], [thread_polls]) as client:
        assert await _cancelled(client, thread_polls) == "returned polled True"


async def test_an_unknown_activity_is_tried_again_until_a_worker_brings_it(real: Gateway) -> None:
    options.clear()
    options.update(
        start_to_close_timeout=LONG, retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50))
    )
    async with real.on([Call], [hangs]) as client:
        handle = await client.start_workflow(Call.run, args=["square", [3]], id="w", task_queue=QUEUE)
        await until(lambda: _failed_attempts(real))
    async with real.on([Call], [square]) as client:
        assert await asyncio.wait_for(client.get_workflow_handle("w").result(), 5) == 9
        assert "ActivityFailed" not in await event_names(client, handle.id)


async def test_an_activity_that_swallows_its_cancellation_does_not_hold_up_the_next_attempt(
    real: Gateway,
) -> None:
    async with real.on([Call], [swallows]) as client:
        error = await failure(
            client, swallows, start_to_close_timeout=timedelta(milliseconds=30), retry_policy=QUICK
        )
        assert _timeout_of(error).type == TimeoutType.START_TO_CLOSE
        assert seen.count("swallowed") == 3
        stop.set()


async def test_an_activity_that_exits_only_fails(real: Gateway) -> None:
    async with real.on([Call], [exits, square]) as client:
        error = await failure(client, exits, start_to_close_timeout=LONG, retry_policy=QUICK)
        assert isinstance(error.cause, ApplicationError)
        assert error.cause.type == "SystemExit"
        assert seen == [1, 2, 3]
        assert await call(client, square, 3, start_to_close_timeout=LONG) == 9


async def test_a_result_over_the_limit_fails_once_and_names_the_activity(real: Gateway) -> None:
    async with real.on([Call], [too_large]) as client:
        error = await failure(client, too_large, start_to_close_timeout=LONG)
        assert "the result of activity too_large cannot be stored" in str(error.cause)
        assert seen == [1]


async def test_slots_bound_how_many_activities_run(gateway: Gateway) -> None:
    most = [0]
    from tests.unit.gateways import engine_on

    async with engine_on(gateway.journal, gateway.clock) as client:
        async with Worker(
            client,
            task_queue=QUEUE,
            workflows=[CallParallel],
            activities=[square],
            max_concurrent_activities=3,
        ):
            result = asyncio.ensure_future(
                client.execute_workflow(CallParallel.run, 20, id="w", task_queue=QUEUE)
            )
            while not result.done():
                most[0] = max(most[0], client.engine.activities_running())
                await asyncio.sleep(0)
            assert await result == [n * n for n in range(20)]
    assert most == [3]
