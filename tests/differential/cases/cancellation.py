"""Cancelling workflows, activities, timers and tasks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, beat_until_cancelled, history, outcome, until, until_event, until_status, worker


@activity.defn(name="cancellation_echo")
async def echo(value: str) -> str:
    return value


@activity.defn(name="cancellation_beat")
async def beat(how: str) -> str:
    """Ends by its cancellation, or after it as the argument says."""
    try:
        await beat_until_cancelled()
    except asyncio.CancelledError:
        if how == "returns":
            return "returned all the same"
        if how == "fails":
            raise ApplicationError("failed instead", type="Instead", non_retryable=True) from None
        raise
    return "never told"


@workflow.defn(name="CancellationWait")
class Wait:
    @workflow.run
    async def run(self, how: str) -> Any:
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            if how == "swallow":
                return ["swallowed", workflow.cancellation_reason()]
            if how == "fail":
                raise ApplicationError("failed instead", type="Instead") from None
            raise
        finally:
            if how == "clean up":
                await workflow.execute_activity(echo, "clean", start_to_close_timeout=SHORT)

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="CancellationSleep")
class Sleep:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(60)

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="CancellationTwice")
class Twice:
    def __init__(self) -> None:
        self.log: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        for _ in range(2):
            try:
                await workflow.wait_condition(lambda: len(self.log) > 1, timeout=1.5)
            except asyncio.CancelledError:
                self.log.append("cancelled")
            except asyncio.TimeoutError:
                self.log.append("timed out")
        return self.log

    @workflow.query
    def seen(self) -> list[str]:
        return self.log


@workflow.defn(name="CancellationOfActivity")
class OfActivity:
    """Cancels an activity that has begun to beat, by its handle."""

    def __init__(self) -> None:
        self.cancel = False

    @workflow.run
    async def run(self, kind: str, how: str) -> list[Any]:
        handle = workflow.start_activity(
            beat,
            how,
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=SHORT,
            cancellation_type=workflow.ActivityCancellationType[kind],
        )
        await workflow.sleep(0.5)
        handle.cancel()
        return await outcome(handle)


@workflow.defn(name="CancellationShield")
class Shield:
    @workflow.run
    async def run(self) -> list[Any]:
        task = asyncio.create_task(self.slow())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            return ["cancelled outside", await task]
        return ["not cancelled"]

    async def slow(self) -> str:
        await workflow.sleep(0.5)
        return await workflow.execute_activity(echo, "inside", start_to_close_timeout=SHORT)

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="CancellationTasks")
class Tasks:
    @workflow.run
    async def run(self, which: str) -> list[Any]:
        return await getattr(self, which)()

    async def timer(self) -> list[Any]:
        task = asyncio.create_task(workflow.sleep(30))
        await asyncio.sleep(0)
        task.cancel()
        return await outcome(task)

    async def timer_before_it_began(self) -> list[Any]:
        task = asyncio.create_task(workflow.sleep(30))
        task.cancel()
        return await outcome(task)

    async def activity_in_the_same_step(self) -> list[Any]:
        handle = workflow.start_activity(echo, "never", start_to_close_timeout=SHORT)
        handle.cancel()
        return await outcome(handle)

    async def activity_a_step_later(self) -> list[Any]:
        handle = workflow.start_activity(echo, "never", start_to_close_timeout=SHORT)
        await asyncio.sleep(0)
        handle.cancel()
        return await outcome(handle)

    async def timer_after_a_task(self) -> list[Any]:
        task = asyncio.create_task(workflow.sleep(30))
        await workflow.sleep(0.01)
        task.cancel()
        return await outcome(task)

    async def waiting_for_an_activity(self) -> list[Any]:
        handle = workflow.start_activity(
            beat, "", start_to_close_timeout=timedelta(seconds=30), heartbeat_timeout=SHORT
        )
        return await outcome(asyncio.wait_for(handle, 0.5))

    async def uncancelled(self) -> list[Any]:
        async def stubborn() -> str:
            try:
                await workflow.sleep(30)
            except asyncio.CancelledError:
                await workflow.sleep(0.01)
            return "went on"

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        return [task.cancel(), *await outcome(task), task.cancelled()]


async def _wait(client: Client, task_queue: str, id: str, how: str, reason: str = "") -> Any:
    handle = await client.start_workflow(Wait.run, how, id=id, task_queue=task_queue)
    await handle.query(Wait.ready)
    await handle.cancel(reason=reason)
    return await _ended(handle)


async def _ended(handle: WorkflowHandle[Any, Any]) -> Any:
    return [await outcome(handle.result()), await history(handle), (await handle.describe()).status.name]


async def _activity(client: Client, task_queue: str, kind: str, how: str) -> Any:
    name = f"cancellation-{kind}-{how}".lower()
    handle = await client.start_workflow(OfActivity.run, args=[kind, how], id=name, task_queue=task_queue)
    return await _ended(handle)


async def _task(client: Client, task_queue: str, which: str) -> Any:
    return await _ended(
        await client.start_workflow(Tasks.run, which, id=f"cancellation-{which}", task_queue=task_queue)
    )


async def case_a_waiting_workflow(client: Client, task_queue: str) -> Any:
    return await _wait(client, task_queue, "cancellation-wait", "")


async def case_a_sleeping_workflow(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Sleep.run, id="cancellation-sleep", task_queue=task_queue)
    await handle.query(Sleep.ready)
    await handle.cancel()
    return await _ended(handle)


async def case_a_reason_that_the_workflow_reads(client: Client, task_queue: str) -> Any:
    return await _wait(client, task_queue, "cancellation-reason", "swallow", "it rains")


async def case_a_failure_instead(client: Client, task_queue: str) -> Any:
    return await _wait(client, task_queue, "cancellation-fail", "fail")


async def case_cleaning_up_in_finally(client: Client, task_queue: str) -> Any:
    return await _wait(client, task_queue, "cancellation-clean", "clean up")


async def case_before_the_first_task(client: Client, task_queue: str) -> Any:
    queue = "cancellation-late"
    handle = await client.start_workflow(Wait.run, "swallow", id=queue, task_queue=queue)
    await handle.cancel(reason="early")
    async with worker(client, queue, [Wait], [echo]):
        return await _ended(handle)


async def case_twice(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Twice.run, id="cancellation-twice", task_queue=task_queue)
    await handle.query(Twice.seen)
    await handle.cancel()
    await until(lambda: handle.query(Twice.seen), ["cancelled"])
    second = await outcome(handle.cancel())
    return [second, await handle.result(), await history(handle)]


async def case_after_the_end(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Tasks.run, "timer", id="cancellation-over", task_queue=task_queue)
    await handle.result()
    return [await outcome(handle.cancel()), await outcome(handle.terminate())]


async def case_an_unknown_workflow(client: Client, task_queue: str) -> Any:
    return await outcome(client.get_workflow_handle("cancellation-nobody").cancel())


async def case_try_cancel(client: Client, task_queue: str) -> Any:
    return (await _activity(client, task_queue, "TRY_CANCEL", "raises"))[0]


async def case_wait_cancellation_completed(client: Client, task_queue: str) -> Any:
    return await _activity(client, task_queue, "WAIT_CANCELLATION_COMPLETED", "raises")


async def case_wait_for_an_activity_that_returns(client: Client, task_queue: str) -> Any:
    return await _activity(client, task_queue, "WAIT_CANCELLATION_COMPLETED", "returns")


async def case_wait_for_an_activity_that_fails(client: Client, task_queue: str) -> Any:
    return await _activity(client, task_queue, "WAIT_CANCELLATION_COMPLETED", "fails")


async def case_abandon(client: Client, task_queue: str) -> Any:
    return await _activity(client, task_queue, "ABANDON", "raises")


async def case_a_shield(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Shield.run, id="cancellation-shield", task_queue=task_queue)
    await handle.query(Shield.ready)
    await handle.cancel()
    return await _ended(handle)


async def case_a_timer(client: Client, task_queue: str) -> Any:
    return await _task(client, task_queue, "timer")


async def case_a_timer_before_it_began(client: Client, task_queue: str) -> Any:
    return await _task(client, task_queue, "timer_before_it_began")


async def case_a_timer_that_the_history_has(client: Client, task_queue: str) -> Any:
    return await _task(client, task_queue, "timer_after_a_task")


async def case_an_activity_in_the_same_step(client: Client, task_queue: str) -> Any:
    return await _task(client, task_queue, "activity_in_the_same_step")


async def case_an_activity_a_step_later(client: Client, task_queue: str) -> Any:
    return await _task(client, task_queue, "activity_a_step_later")


async def case_waiting_a_while_for_an_activity(client: Client, task_queue: str) -> Any:
    return (await _task(client, task_queue, "waiting_for_an_activity"))[0]


async def case_a_task_that_does_not_heed_it(client: Client, task_queue: str) -> Any:
    return await _task(client, task_queue, "uncancelled")


async def case_a_terminated_workflow(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Wait.run, "swallow", id="cancellation-kill", task_queue=task_queue)
    await handle.query(Wait.ready)
    await handle.terminate(reason="enough")
    await until_status(handle, "TERMINATED")
    await until_event(handle, "WorkflowTerminated")
    return await _ended(handle)


WORKFLOWS = [Wait, Sleep, Twice, OfActivity, Shield, Tasks]
ACTIVITIES = [echo, beat]
