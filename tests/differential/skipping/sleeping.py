"""Time that skips: while a result is awaited, and by `env.sleep`."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from temporalio import workflow
from temporalio.testing import WorkflowEnvironment

from ..observe import hours_between, outcome, passed_hours


@workflow.defn(name="SleepingSleeper")
class Sleeper:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = False

    @workflow.run
    async def run(self, sleeps: list[float]) -> list[float]:
        began, at = workflow.now(), []
        for hours in sleeps:
            await asyncio.sleep(hours * 3600)
            at.append(hours_between(began, workflow.now()))
        return at

    @workflow.query
    def time(self) -> float:
        return workflow.now().timestamp()

    @workflow.signal
    async def note(self, text: str) -> None:
        self.notes.append(text)


@workflow.defn(name="SleepingWaiter")
class Waiter:
    """Waits for signals, or until a timeout has passed."""

    def __init__(self) -> None:
        self.heard: list[list[Any]] = []
        self.began = workflow.now()

    @workflow.run
    async def run(self, wanted: int, timeout_hours: float) -> list[Any]:
        self.began = workflow.now()
        try:
            await workflow.wait_condition(
                lambda: len(self.heard) >= wanted, timeout=timedelta(hours=timeout_hours)
            )
        except asyncio.TimeoutError:
            self.heard.append(["timeout", hours_between(self.began, workflow.now())])
        return self.heard

    @workflow.signal
    def say(self, text: str) -> None:
        self.heard.append([text, hours_between(self.began, workflow.now())])

    @workflow.update
    async def ask(self, text: str) -> float:
        await workflow.sleep(timedelta(hours=2))
        return hours_between(self.began, workflow.now())


@workflow.defn(name="SleepingRacer")
class Racer:
    """Several timers at once."""

    @workflow.run
    async def run(self) -> list[Any]:
        began, seen = workflow.now(), []

        async def after(hours: float, name: str) -> None:
            await asyncio.sleep(hours * 3600)
            seen.append([name, hours_between(began, workflow.now())])

        async def cancelled() -> None:
            try:
                async with asyncio.timeout(5 * 3600):
                    await after(50, "never")
            except TimeoutError:
                seen.append(["gave up", hours_between(began, workflow.now())])

        await asyncio.gather(after(3, "c"), after(1, "a"), after(2, "b"), cancelled(), after(1.5, "between"))
        return seen


async def case_a_result_skips_to_the_end(env: WorkflowEnvironment, task_queue: str) -> Any:
    async with passed_hours(env) as passed:
        result = await env.client.execute_workflow(
            Sleeper.run, [1.0, 24.0, 100.0], id="sleeping result", task_queue=task_queue
        )
    return [result, passed]


async def case_sleep_passes_time(env: WorkflowEnvironment, task_queue: str) -> Any:
    handle = await env.client.start_workflow(Sleeper.run, [10.0], id="sleeping manual", task_queue=task_queue)

    async def workflow_hours(since: float) -> float:
        # A query sees the time of the last task that was none of a query.
        await handle.signal(Sleeper.note, "look")
        return round((await handle.query(Sleeper.time) - since) / 3600, 1)

    await handle.signal(Sleeper.note, "begin")
    began = await handle.query(Sleeper.time)
    seen = [await workflow_hours(began)]
    await env.sleep(3600)
    seen.append(await workflow_hours(began))
    await env.sleep(timedelta(hours=2.5))
    seen.append(await workflow_hours(began))
    return [seen, (await handle.describe()).status.name, await handle.result()]


async def case_time_stands_still_while_nobody_waits(env: WorkflowEnvironment, task_queue: str) -> Any:
    handle = await env.client.start_workflow(Sleeper.run, [1.0], id="sleeping still", task_queue=task_queue)
    async with passed_hours(env) as passed:
        await asyncio.sleep(0.5)
    status = (await handle.describe()).status.name
    await handle.terminate()
    return [passed, status]


async def case_skipping_is_switched_off(env: WorkflowEnvironment, task_queue: str) -> Any:
    began = monotonic()
    with env.auto_time_skipping_disabled():
        async with passed_hours(env) as passed:
            result = await env.client.execute_workflow(
                Sleeper.run, [1 / 3600], id="sleeping off", task_queue=task_queue
            )
    return [result, passed, monotonic() - began > 0.9]


async def case_sleep_skips_although_switched_off(env: WorkflowEnvironment, task_queue: str) -> Any:
    with env.auto_time_skipping_disabled():
        async with passed_hours(env) as passed:
            handle = await env.client.start_workflow(
                Sleeper.run, [1.0], id="sleeping off sleep", task_queue=task_queue
            )
            await env.sleep(2 * 3600)
    return [passed, await handle.result()]


async def case_messages_between_sleeps(env: WorkflowEnvironment, task_queue: str) -> Any:
    handle = await env.client.start_workflow(
        Waiter.run, args=[3, 100.0], id="sleeping messages", task_queue=task_queue
    )
    await handle.signal(Waiter.say, "first")
    await env.sleep(3600)
    await handle.signal(Waiter.say, "second")
    await env.sleep(timedelta(days=1))
    await handle.signal(Waiter.say, "third")
    return await handle.result()


async def case_a_condition_times_out(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await env.client.execute_workflow(
        Waiter.run, args=[1, 48.0], id="sleeping condition", task_queue=task_queue
    )


async def case_timers_fire_in_their_order(env: WorkflowEnvironment, task_queue: str) -> Any:
    return await env.client.execute_workflow(Racer.run, id="sleeping racer", task_queue=task_queue)


async def case_a_delayed_start_is_skipped_to(env: WorkflowEnvironment, task_queue: str) -> Any:
    async with passed_hours(env) as passed:
        result = await env.client.execute_workflow(
            Sleeper.run, [1.0], id="sleeping delayed", task_queue=task_queue, start_delay=timedelta(hours=5)
        )
    return [result, passed]


async def case_timeouts_of_workflows_are_skipped_to(env: WorkflowEnvironment, task_queue: str) -> Any:
    seen = []
    for name in ("execution_timeout", "run_timeout"):
        options: dict[str, Any] = {name: timedelta(hours=3)}
        running = env.client.execute_workflow(
            Sleeper.run, [10.0], id=f"sleeping {name}", task_queue=task_queue, **options
        )
        seen.append(await outcome(running))
    return seen


async def case_two_workflows_share_the_clock(env: WorkflowEnvironment, task_queue: str) -> Any:
    first = await env.client.start_workflow(Sleeper.run, [3.0], id="sleeping one", task_queue=task_queue)
    second = await env.client.start_workflow(
        Sleeper.run, [2.0, 1.0], id="sleeping two", task_queue=task_queue
    )
    async with passed_hours(env) as passed:
        results = [await first.result()]
    results.append(await second.result())
    return [results, passed]


async def case_the_clock_never_goes_back(env: WorkflowEnvironment, task_queue: str) -> Any:
    times: list[datetime] = []
    for number in range(3):
        times.append(await env.get_current_time())
        await env.client.execute_workflow(
            Sleeper.run, [1.0], id=f"sleeping forward {number}", task_queue=task_queue
        )
    times.append(await env.get_current_time())
    return [hours_between(times[0], at) for at in times]


async def case_time_is_known_to_be_skipped(env: WorkflowEnvironment, task_queue: str) -> Any:
    return [env.supports_time_skipping, env.supports_time_skipping_v1, env.supports_time_skipping_v2]


async def case_what_belongs_to_one_clock_each_is_refused(env: WorkflowEnvironment, task_queue: str) -> Any:
    handle = env.client.get_workflow_handle("sleeping nobody")
    with env.with_time_skipping_disabled():
        return [
            await outcome(env.fast_forward(handle, 3600)),
            await outcome(env.get_time_skipping_info(handle)),
        ]


WORKFLOWS = [Sleeper, Waiter, Racer]
ACTIVITIES: list[Any] = []
