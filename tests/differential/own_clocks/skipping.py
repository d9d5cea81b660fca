"""A clock for each workflow: what it skips to, and what holds it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from ..observe import history, hours_between, kinds, outcome, until_event

HOUR = timedelta(hours=1)


@activity.defn(name="own_slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slow"


@activity.defn(name="own_failing")
async def failing(until: int) -> int:
    if activity.info().attempt < until:
        raise ApplicationError(f"attempt {activity.info().attempt}")
    return activity.info().attempt


@activity.defn(name="own_times")
async def times(began: float) -> list[float]:
    """Hours since the workflow began: on its clock, of the schedule and of the start."""
    info = activity.info()
    return [
        round((at.timestamp() - began) / 3600, 1)
        for at in (info.scheduled_time, info.current_attempt_scheduled_time, info.started_time)
    ]


@workflow.defn(name="OwnSleeper")
class Sleeper:
    def __init__(self) -> None:
        self.wanted = 0

    @workflow.run
    async def run(self, hours: list[float]) -> list[float]:
        began, at = workflow.now(), []
        for each in hours:
            await asyncio.sleep(each * 3600)
            at.append(hours_between(began, workflow.now()))
        return at

    @workflow.signal
    def proceed(self) -> None:
        self.wanted += 1


@workflow.defn(name="OwnWaiter")
class Waiter:
    def __init__(self) -> None:
        self.heard = 0

    @workflow.run
    async def run(self, wanted: int, timeout_hours: float | None) -> list[Any]:
        began = workflow.now()
        timeout = None if timeout_hours is None else timedelta(hours=timeout_hours)
        try:
            await workflow.wait_condition(lambda: self.heard >= wanted, timeout=timeout)
        except asyncio.TimeoutError:
            return ["timeout", hours_between(began, workflow.now())]
        return ["heard", hours_between(began, workflow.now())]

    @workflow.signal
    def proceed(self) -> None:
        self.heard += 1


@workflow.defn(name="OwnActivities")
class Activities:
    @workflow.run
    async def run(self, how: str) -> Any:
        began = workflow.now()
        return [kinds(await outcome(self.begin(how))), hours_between(began, workflow.now())]

    async def begin(self, how: str) -> Any:
        match how:
            case "retries":
                return await workflow.execute_activity(
                    failing, 4, start_to_close_timeout=HOUR, retry_policy=RetryPolicy(initial_interval=HOUR)
                )
            case "out of time":
                return await workflow.execute_activity(
                    failing,
                    100,
                    schedule_to_close_timeout=timedelta(hours=5),
                    retry_policy=RetryPolicy(initial_interval=HOUR),
                )
            case "holds":
                timer = asyncio.ensure_future(asyncio.sleep(3600))
                running = workflow.start_activity(slow, 0.5, start_to_close_timeout=HOUR)
                await workflow.wait([timer, running], return_when=asyncio.FIRST_COMPLETED)
                first = "timer" if timer.done() else "activity"
                await workflow.wait([timer, running])
                return first
            case "times":
                began = workflow.now().timestamp()
                found = [await workflow.execute_activity(times, began, start_to_close_timeout=HOUR)]
                await asyncio.sleep(3600)
                return [
                    *found,
                    await workflow.execute_activity(times, began, start_to_close_timeout=HOUR),
                ]
            case "local":
                return await workflow.execute_local_activity(
                    failing,
                    3,
                    start_to_close_timeout=HOUR,
                    local_retry_threshold=timedelta(seconds=1),
                    retry_policy=RetryPolicy(initial_interval=HOUR),
                )
        raise AssertionError(how)


async def _activities(skipper: TimeSkipper, task_queue: str, how: str) -> Any:
    handle = await skipper.client.start_workflow(Activities.run, how, id=f"own {how}", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_a_whole_run_is_skipped(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Sleeper.run, [1.0, 24.0], id="own whole", task_queue=task_queue
    )
    result = await handle.result()
    info = await skipper.get_time_skipping_info(handle)
    assert info is not None
    return [
        result,
        await history(handle),
        info.effective_config.enabled,
        info.effective_config.disable_propagation,
        info.HasField("fast_forward_info"),
    ]


async def case_a_condition_times_out(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Waiter.run, args=[1, 48.0], id="own condition", task_queue=task_queue
    )
    return [await handle.result(), await history(handle)]


async def case_nothing_is_skipped_to_a_signal(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Waiter.run, args=[1, None], id="own signal", task_queue=task_queue
    )
    await asyncio.sleep(0.3)
    await handle.signal(Waiter.proceed)
    return [await handle.result(), await history(handle)]


async def case_a_run_without_skipping(skipper: TimeSkipper, task_queue: str) -> Any:
    with skipper.with_time_skipping_disabled():
        handle = await skipper.client.start_workflow(
            Sleeper.run, [1.0], id="own disabled", task_queue=task_queue
        )
    await until_event(handle, "TimerStarted")
    await asyncio.sleep(0.3)
    seen = [await history(handle), await skipper.get_time_skipping_info(handle)]
    await handle.terminate()
    return seen


async def case_workflows_have_clocks_of_their_own(skipper: TimeSkipper, task_queue: str) -> Any:
    started = [
        await skipper.client.start_workflow(
            Sleeper.run, [float(hours)], id=f"own clock {hours}", task_queue=task_queue
        )
        for hours in (1, 50)
    ]
    for handle in started:
        await handle.result()
    first, second = [await skipper.get_current_time(handle) for handle in started]
    return hours_between(first, second)


async def case_retries_are_skipped_to(skipper: TimeSkipper, task_queue: str) -> Any:
    return await _activities(skipper, task_queue, "retries")


async def case_retries_run_out_of_time(skipper: TimeSkipper, task_queue: str) -> Any:
    return await _activities(skipper, task_queue, "out of time")


async def case_a_running_activity_holds_the_clock(skipper: TimeSkipper, task_queue: str) -> Any:
    return await _activities(skipper, task_queue, "holds")


async def case_activities_know_the_time(skipper: TimeSkipper, task_queue: str) -> Any:
    return await _activities(skipper, task_queue, "times")


async def case_retries_of_local_activities(skipper: TimeSkipper, task_queue: str) -> Any:
    # There each attempt is a marker, and each wait a timer of the workflow.
    result, _history = await _activities(skipper, task_queue, "local")
    return result


async def case_a_delayed_start_is_skipped_to(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Sleeper.run, [1.0], id="own delayed", task_queue=task_queue, start_delay=timedelta(hours=5)
    )
    began = (await handle.describe()).start_time
    return [
        await handle.result(),
        await history(handle),
        hours_between(began, await skipper.get_current_time(handle)),
    ]


async def case_timeouts_of_workflows_are_skipped_to(skipper: TimeSkipper, task_queue: str) -> Any:
    seen = []
    for name in ("execution_timeout", "run_timeout"):
        options: dict[str, Any] = {name: timedelta(hours=3)}
        handle = await skipper.client.start_workflow(
            Waiter.run, args=[1, None], id=f"own {name}", task_queue=task_queue, **options
        )
        seen.append([await outcome(handle.result()), await history(handle)])
    return seen


async def case_so_many_skips_and_no_more(skipper: TimeSkipper, task_queue: str) -> Any:
    other = TimeSkipper(skipper.client, config=TimeSkippingConfig(max_session_skip_count=2))
    handle = await other.client.start_workflow(
        Sleeper.run, [1.0, 1.0, 1.0], id="own two skips", task_queue=task_queue
    )
    await until_event(handle, "TimerStarted", 3)
    await asyncio.sleep(0.2)
    info = await other.get_time_skipping_info(handle)
    assert info is not None
    seen = [await history(handle), info.effective_config.enabled]
    await handle.terminate()
    return seen


async def case_times_of_the_execution(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(
        Sleeper.run, [5.0], id="own execution", task_queue=task_queue
    )
    await handle.result()
    description = await handle.describe()
    assert description.close_time is not None
    assert description.execution_time is not None
    return [
        hours_between(description.start_time, description.close_time),
        hours_between(description.start_time, description.execution_time),
    ]


WORKFLOWS = [Sleeper, Waiter, Activities]
ACTIVITIES = [slow, failing, times]
