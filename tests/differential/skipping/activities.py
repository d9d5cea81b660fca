"""Activities while time skips: what holds the clock, and what it is skipped to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from ..observe import hours_between, kinds, outcome

HOUR = timedelta(hours=1)
environments: list[WorkflowEnvironment] = []


@activity.defn(name="skipping_slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slow"


@activity.defn(name="skipping_failing")
async def failing(until: int) -> int:
    if activity.info().attempt < until:
        raise ApplicationError(f"attempt {activity.info().attempt}")
    return activity.info().attempt


@activity.defn(name="skipping_silent")
async def silent() -> str:
    """Sleeps by the environment's clock for twice as long as it may be silent."""
    timeout = activity.info().heartbeat_timeout
    assert timeout
    await environments[-1].sleep(timeout * 2)
    return "too late"


@activity.defn(name="skipping_beating")
async def beating(beats: int) -> str:
    timeout = activity.info().heartbeat_timeout
    assert timeout
    for number in range(beats):
        activity.heartbeat(number)
        await asyncio.sleep(0.1)
        await environments[-1].sleep(timeout / 2)
    return "done"


@activity.defn(name="skipping_times")
async def times() -> list[float]:
    info = activity.info()
    now = await environments[-1].get_current_time()
    return [
        hours_between(info.scheduled_time, info.started_time),
        hours_between(info.scheduled_time, info.current_attempt_scheduled_time),
        hours_between(info.started_time, now),
    ]


@activity.defn(name="skipping_later")
async def later() -> str:
    activity.raise_complete_async()


@workflow.defn(name="SkippingActivities")
class Activities:
    @workflow.run
    async def run(self, how: str) -> Any:
        began = workflow.now()
        seen = kinds(await outcome(self.begin(how)))
        return [seen, hours_between(began, workflow.now())]

    def begin(self, how: str) -> Any:
        match how:
            case "retries":
                return workflow.execute_activity(
                    failing,
                    4,
                    start_to_close_timeout=HOUR,
                    retry_policy=RetryPolicy(initial_interval=HOUR, maximum_interval=timedelta(hours=3)),
                )
            case "retries end":
                return workflow.execute_activity(
                    failing,
                    100,
                    start_to_close_timeout=HOUR,
                    retry_policy=RetryPolicy(initial_interval=HOUR, maximum_attempts=3),
                )
            case "retries out of time":
                return workflow.execute_activity(
                    failing,
                    100,
                    schedule_to_close_timeout=timedelta(hours=5),
                    retry_policy=RetryPolicy(initial_interval=HOUR),
                )
            case "holds the clock":
                return self.hold()
            case "heartbeat":
                return workflow.execute_activity(
                    silent,
                    schedule_to_close_timeout=timedelta(hours=9),
                    heartbeat_timeout=HOUR,
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            case "heartbeats":
                return workflow.execute_activity(
                    beating,
                    4,
                    schedule_to_close_timeout=timedelta(hours=9),
                    heartbeat_timeout=HOUR,
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            case "times":
                return self.several_times()
            case "local":
                return workflow.execute_local_activity(
                    failing,
                    3,
                    start_to_close_timeout=HOUR,
                    local_retry_threshold=timedelta(seconds=1),
                    retry_policy=RetryPolicy(initial_interval=HOUR),
                )
        raise AssertionError(how)

    async def hold(self) -> Any:
        """An activity that takes real time, beside a timer that is long over by then were it not for the activity."""
        timer = asyncio.ensure_future(asyncio.sleep(3600))
        running = workflow.start_activity(slow, 0.5, start_to_close_timeout=HOUR)
        await workflow.wait([timer, running], return_when=asyncio.FIRST_COMPLETED)
        first = "timer" if timer.done() else "activity"
        await workflow.wait([timer, running])
        return first

    async def several_times(self) -> Any:
        found = [await workflow.execute_activity(times, start_to_close_timeout=HOUR)]
        await asyncio.sleep(3600)
        found.append(await workflow.execute_activity(times, start_to_close_timeout=HOUR))
        return found


async def _run(env: WorkflowEnvironment, task_queue: str, how: str) -> Any:
    environments.append(env)
    return await env.client.execute_workflow(Activities.run, how, id=f"skipping {how}", task_queue=task_queue)


async def case_retries_are_skipped_to(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _run(env, task_queue, "retries")


async def case_retries_end(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _run(env, task_queue, "retries end")


async def case_retries_run_out_of_time(env: WorkflowEnvironment, task_queue: str) -> Any:
    (raised, error, *_), hours = await _run(env, task_queue, "retries out of time")
    return [raised, error, hours]


async def case_a_running_activity_holds_the_clock(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _run(env, task_queue, "holds the clock")


async def case_a_silent_activity_times_out(env: WorkflowEnvironment, task_queue: str) -> Any:
    # There the clock jumps as far as the activity sleeps before it is noticed.
    seen, _ = await _run(env, task_queue, "heartbeat")
    return seen


async def case_a_beating_activity_does_not(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _run(env, task_queue, "heartbeats")


async def case_activities_know_the_time(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _run(env, task_queue, "times")


async def case_retries_of_local_activities(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await _run(env, task_queue, "local")


@workflow.defn(name="SkippingTimeouts")
class Timeouts:
    @workflow.run
    async def run(self, how: str) -> Any:
        began = workflow.now()
        options: dict[str, Any] = {
            "start to close": {"start_to_close_timeout": timedelta(seconds=2)},
            "schedule to close": {"schedule_to_close_timeout": timedelta(seconds=2)},
            "heartbeat": {"start_to_close_timeout": HOUR, "heartbeat_timeout": timedelta(seconds=2)},
        }[how]
        once = RetryPolicy(maximum_attempts=1)
        seen = await outcome(workflow.execute_activity(slow, 4.0, retry_policy=once, **options))
        return [kinds(seen), hours_between(began, workflow.now())]


async def case_time_limits_of_running_activities_take_real_time(
    env: WorkflowEnvironment, task_queue: str
) -> Any:
    async def one(how: str) -> Any:
        began = monotonic()
        result = await env.client.execute_workflow(
            Timeouts.run, how, id=f"skipping timeout {how}", task_queue=task_queue
        )
        return [result, 1.5 < monotonic() - began < 3.5]

    return [await one("start to close"), await one("schedule to close"), await one("heartbeat")]


@workflow.defn(name="SkippingLater")
class Later:
    @workflow.run
    async def run(self) -> Any:
        began = workflow.now()
        found = await workflow.execute_activity(
            later, activity_id="later", start_to_close_timeout=timedelta(seconds=40)
        )
        return [found, hours_between(began, workflow.now())]


async def case_an_activity_that_completes_later_holds_the_clock(
    env: WorkflowEnvironment, task_queue: str
) -> Any:
    handle = await env.client.start_workflow(Later.run, id="skipping later", task_queue=task_queue)
    result = asyncio.ensure_future(handle.result())
    await asyncio.sleep(1)
    await env.client.get_async_activity_handle(
        workflow_id="skipping later", run_id=None, activity_id="later"
    ).complete("at last")
    return await outcome(result)


WORKFLOWS = [Activities, Timeouts, Later]
ACTIVITIES = [slow, failing, silent, beating, times, later]
