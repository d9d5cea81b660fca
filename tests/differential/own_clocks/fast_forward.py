"""Fast-forwards: so far and no further, over chains of runs, overtaken, too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.testing._timeskipping import FastForwardConfig

from ..observe import history, hours_between, kinds, outcome, until_event

HOUR = timedelta(hours=1)


@activity.defn(name="forward_slow")
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slow"


@workflow.defn(name="ForwardWaiter")
class Waiter:
    def __init__(self) -> None:
        self.heard: list[float] = []
        self.began = workflow.now()

    @workflow.run
    async def run(self, wanted: int) -> list[float]:
        self.began = workflow.now()
        await workflow.wait_condition(lambda: len(self.heard) >= wanted, timeout=timedelta(hours=10))
        return self.heard

    @workflow.signal
    def proceed(self) -> None:
        self.heard.append(hours_between(self.began, workflow.now()))


@workflow.defn(name="ForwardSleeper")
class Sleeper:
    @workflow.run
    async def run(self, hours: float) -> float:
        began = workflow.now()
        await asyncio.sleep(hours * 3600)
        return hours_between(began, workflow.now())


@workflow.defn(name="ForwardFailing")
class Failing:
    @workflow.run
    async def run(self) -> int:
        await asyncio.sleep(3600)
        if workflow.info().attempt < 2:
            raise ApplicationError("the first attempt fails")
        return workflow.info().attempt


@workflow.defn(name="ForwardAgain")
class Again:
    @workflow.run
    async def run(self, left: int) -> str:
        await asyncio.sleep(3600)
        if left:
            workflow.continue_as_new(left - 1)
        return "done"


@workflow.defn(name="ForwardWorking")
class Working:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(slow, 3.0, start_to_close_timeout=HOUR)


async def _start(skipper: TimeSkipper, workflow: Any, *args: Any, **options: Any) -> Any:
    """A run that does not skip by itself, when it waits for its timer."""
    with skipper.with_time_skipping_disabled():
        handle = await skipper.client.start_workflow(workflow, args=args, **options)
    if (
        workflow != Working.run
        and "cron_schedule" not in options
        and options["task_queue"] != "forward nobody"
    ):
        await until_event(handle, "TimerStarted")
    return handle


async def _forward(skipper: TimeSkipper, handle: Any, hours: float | None) -> Any:
    return await outcome(skipper.fast_forward(handle, None if hours is None else timedelta(hours=hours)))


async def case_so_far_and_again(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(skipper, Waiter.run, 2, id="forward twice", task_queue=task_queue)
    began = await skipper.get_current_time(handle)
    seen: list[Any] = []
    for _ in range(2):
        seen.append(await _forward(skipper, handle, 1))
        await handle.signal(Waiter.proceed)
        seen.append(hours_between(began, await skipper.get_current_time(handle)))
    return [*seen, await handle.result(), await history(handle)]


async def case_so_far_and_then_to_the_end(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(skipper, Sleeper.run, 1.0, id="forward end", task_queue=task_queue)
    began = await skipper.get_current_time(handle)
    seen = [
        await _forward(skipper, handle, 0.5),
        hours_between(began, await skipper.get_current_time(handle)),
    ]
    seen += [await _forward(skipper, handle, None), await handle.result()]
    return [*seen, hours_between(began, await skipper.get_current_time(handle)), await history(handle)]


async def case_what_is_told_of_it(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(skipper, Sleeper.run, 10.0, id="forward info", task_queue=task_queue)
    began = await skipper.get_current_time(handle)
    seen = [await _forward(skipper, handle, 2)]
    info = await skipper.get_time_skipping_info(handle)
    assert info is not None
    now = info.current_time.ToDatetime()
    await handle.terminate()
    return [*seen, info.effective_config.enabled, hours_between(began.replace(tzinfo=None), now)]


async def case_the_end_comes_first(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(skipper, Sleeper.run, 1.0, id="forward beyond", task_queue=task_queue)
    return [await _forward(skipper, handle, 2), await handle.result(), await history(handle)]


async def case_an_execution_that_has_closed(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await skipper.client.start_workflow(Sleeper.run, 1.0, id="forward closed", task_queue=task_queue)
    await handle.result()
    return [kinds(await _forward(skipper, handle, 1)), kinds(await _forward(skipper, handle, None))]


async def case_nobody(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = skipper.client.get_workflow_handle("forward nobody")
    return [
        kinds(await _forward(skipper, handle, 1)),
        kinds(await outcome(skipper.get_time_skipping_info(handle))),
        kinds(await outcome(skipper.get_current_time(handle))),
    ]


async def case_over_retries(skipper: TimeSkipper, task_queue: str) -> Any:
    policy = RetryPolicy(initial_interval=HOUR, backoff_coefficient=1.0, maximum_attempts=2)
    handle = await _start(
        skipper, Failing.run, id="forward retries", task_queue=task_queue, retry_policy=policy
    )
    seen = [await _forward(skipper, handle, 2.5)]
    latest = skipper.client.get_workflow_handle("forward retries")
    await until_event(latest, "TimerStarted")
    seen.append(await history(latest))
    seen.append(await _forward(skipper, latest, None))
    return [*seen, await latest.result(), await history(latest)]


async def case_over_continuations(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(skipper, Again.run, 2, id="forward again", task_queue=task_queue)
    seen = [await _forward(skipper, handle, 2.5)]
    latest = skipper.client.get_workflow_handle("forward again")
    await until_event(latest, "TimerStarted")
    seen.append(await _forward(skipper, latest, None))
    return [*seen, await latest.result(), await history(latest)]


async def case_over_cron(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(
        skipper, Sleeper.run, 1 / 60, id="forward cron", task_queue=task_queue, cron_schedule="@every 1h"
    )
    seen = [await _forward(skipper, handle, 3.5)]
    latest = skipper.client.get_workflow_handle("forward cron")
    first = (
        await skipper.client.get_workflow_handle(handle.id, run_id=handle.result_run_id).describe()
    ).start_time
    last = await latest.describe()
    await latest.terminate()
    assert last.execution_time is not None
    return [
        *seen,
        hours_between(first, last.start_time),
        round((last.execution_time - first).total_seconds() / 60),
    ]


async def case_beyond_the_execution_timeout(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(
        skipper,
        Sleeper.run,
        100.0,
        id="forward timeout",
        task_queue=task_queue,
        execution_timeout=timedelta(minutes=30),
    )
    return [await _forward(skipper, handle, 1), await history(handle)]


async def case_overtaken(skipper: TimeSkipper, task_queue: str) -> Any:
    # Nobody serves the queue, so that the first does not end before the second comes.
    handle = await _start(skipper, Sleeper.run, 100.0, id="forward overtaken", task_queue="forward nobody")
    first = asyncio.ensure_future(_forward(skipper, handle, 2))
    await until_event(handle, "TimeSkippingChanged")
    await asyncio.sleep(0.2)
    second = asyncio.ensure_future(_forward(skipper, handle, 0.5))
    raised, error = await first
    await handle.terminate()
    return [raised, error[0], "does not match" in error[1], await second]


async def case_a_running_activity_is_in_the_way(skipper: TimeSkipper, task_queue: str) -> Any:
    handle = await _start(skipper, Working.run, id="forward working", task_queue=task_queue)
    await until_event(handle, "ActivityScheduled")
    return [
        await outcome(skipper.fast_forward(handle, 1.0)),
        await handle.result(),
        await history(handle),
    ]


async def case_a_signal_comes_after_it(skipper: TimeSkipper, task_queue: str) -> Any:
    """What was reached is where time goes on from, at its usual pace."""
    handle = await _start(skipper, Waiter.run, 1, id="forward signal", task_queue=task_queue)
    seen = [await _forward(skipper, handle, 9)]
    await handle.signal(Waiter.proceed)
    return [*seen, await handle.result()]


async def case_configured_at_the_start(skipper: TimeSkipper, task_queue: str) -> Any:
    config = TimeSkippingConfig(fast_forward_config=FastForwardConfig("mine", timedelta(hours=2)))
    other = TimeSkipper(skipper.client, config=config)
    handle: WorkflowHandle[Any, Any] = await other.client.start_workflow(
        Sleeper.run, 10.0, id="forward configured", task_queue=task_queue
    )
    await until_event(handle, "TimeSkipped")
    seen = await history(handle)
    await handle.terminate()
    return seen


async def case_a_wrong_configuration(skipper: TimeSkipper, task_queue: str) -> Any:
    async def make() -> None:
        TimeSkippingConfig(enabled=False, fast_forward_config=FastForwardConfig("mine", timedelta(hours=2)))

    return await outcome(make())


WORKFLOWS = [Waiter, Sleeper, Failing, Again, Working]
ACTIVITIES = [slow]
