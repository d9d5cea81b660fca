"""What a history has to hold so that the other engine can replay it: `test_histories` takes those of every file across."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityCancellationType

from ..observe import SHORT, beat_until_cancelled, history, outcome

SOON = timedelta(milliseconds=20)


@activity.defn(name="histories_work")
async def work(how: str) -> Any:
    match how:
        case "slow":
            await asyncio.sleep(0.15)
        case "second time" if activity.info().attempt == 1:
            raise ApplicationError("not yet", type="NotYet")
        case "cancelled":
            await beat_until_cancelled()
    return [how, activity.info().activity_id]


@workflow.defn(name="HistoriesChild")
class Child:
    @workflow.run
    async def run(self, name: str) -> str:
        return name


@workflow.defn(name="Histories")
class Histories:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.done = False

    @workflow.run
    async def run(self, how: str) -> Any:
        return await getattr(self, how)()

    # -- local activities ------------------------------------------------------------------------------

    async def _local_then_sleep(self, name: str, steps: int) -> str:
        await workflow.execute_local_activity(work, name, start_to_close_timeout=SHORT)
        for _ in range(steps):
            await asyncio.sleep(0)
        await workflow.sleep(SOON)
        self.log.append(name)
        return name

    async def two_local_at_once(self) -> Any:
        await asyncio.gather(self._local_then_sleep("a", 3), self._local_then_sleep("b", 0))
        return sorted(self.log)

    async def local_beside_a_timer(self) -> Any:
        slow = workflow.start_local_activity(work, "slow", start_to_close_timeout=SHORT)
        await workflow.sleep(SOON)
        self.log.append("timer")
        found = await slow
        await workflow.sleep(SOON)
        return [self.log, found]

    async def local_beside_a_real_one(self) -> Any:
        real = workflow.start_activity(work, "quick", start_to_close_timeout=SHORT)
        slow = workflow.start_local_activity(work, "slow", start_to_close_timeout=SHORT)
        return [
            await real,
            await slow,
            await workflow.execute_local_activity(work, "x", start_to_close_timeout=SHORT),
        ]

    async def local_after_a_while(self) -> Any:
        # There each further attempt takes a number of its own, and with it another id.
        found = await workflow.execute_local_activity(
            work,
            "second time",
            start_to_close_timeout=SHORT,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=60)),
            local_retry_threshold=timedelta(milliseconds=10),
        )
        again = await workflow.execute_local_activity(work, "again", start_to_close_timeout=SHORT)
        return [found[0], again[0]]

    async def _cancelled(self, how: ActivityCancellationType) -> Any:
        handle = workflow.start_local_activity(
            work, "cancelled", start_to_close_timeout=SHORT, cancellation_type=how
        )
        await workflow.sleep(SOON)
        handle.cancel()
        found = await outcome(handle)
        await workflow.sleep(SOON)
        return found[:2]

    async def local_try_cancel(self) -> Any:
        return await self._cancelled(ActivityCancellationType.TRY_CANCEL)

    async def local_wait_cancelled(self) -> Any:
        return await self._cancelled(ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)

    # -- what is withdrawn in the step that asked for it -------------------------------------------------

    async def withdrawn_timers(self) -> Any:
        for _ in range(2):
            await workflow.wait_condition(lambda: True, timeout=5)
        await workflow.sleep(SOON)
        await asyncio.wait_for(asyncio.sleep(0), 5)
        await workflow.sleep(SOON)
        return "done"

    async def withdrawn_activity(self) -> Any:
        handle = workflow.start_activity(work, "never", start_to_close_timeout=SHORT)
        handle.cancel()
        found = await outcome(handle)
        rest = await workflow.execute_activity(work, "quick", start_to_close_timeout=SHORT)
        return [found[:2], rest]

    # -- random numbers ------------------------------------------------------------------------------------

    async def random_ids(self) -> Any:
        first = workflow.uuid4()
        handle = await workflow.start_child_workflow(Child.run, "named by chance")
        if workflow.random().random() < 2:
            await workflow.sleep(SOON)
        return [await handle, handle.id != str(first), uuid.UUID(handle.id).version]

    # -- many messages -------------------------------------------------------------------------------------

    async def messages(self) -> Any:
        await workflow.wait_condition(lambda: self.done and workflow.all_handlers_finished())
        return sorted(self.log)

    @workflow.signal
    async def note(self, name: str) -> None:
        await workflow.execute_activity(work, name, start_to_close_timeout=SHORT)
        self.log.append(name)

    @workflow.update
    async def ask(self, name: str) -> str:
        await workflow.sleep(SOON)
        await workflow.execute_activity(work, name, start_to_close_timeout=SHORT)
        await workflow.execute_local_activity(work, name, start_to_close_timeout=SHORT)
        self.log.append(name)
        return name

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    async def many_steps(self) -> Any:
        for number in range(5):
            await workflow.sleep(0.001)
            self.log += await workflow.execute_activity(work, str(number), start_to_close_timeout=SHORT)
        return self.log


WORKFLOWS = [Histories, Child]
ACTIVITIES = [work]


async def _run(client: Client, task_queue: str, how: str) -> Any:
    return await outcome(
        client.execute_workflow(Histories.run, how, id=f"histories-{how}", task_queue=task_queue)
    )


async def case_two_local_activities_at_once(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "two_local_at_once")


async def case_a_local_activity_beside_a_timer(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_beside_a_timer")


async def case_a_local_activity_beside_a_real_one(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_beside_a_real_one")


async def case_a_local_activity_tried_again_after_a_while(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_after_a_while")


async def case_a_local_activity_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_try_cancel")


async def case_a_local_activity_is_cancelled_and_waited_for(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_wait_cancelled")


async def case_timers_that_were_withdrawn_count(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "withdrawn_timers")


async def case_an_activity_that_was_withdrawn_counts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "withdrawn_activity")


async def case_random_ids(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "random_ids")


async def case_many_messages_at_once(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Histories.run, "messages", id="histories-messages", task_queue=task_queue
    )
    calls = [handle.execute_update(Histories.ask, f"update {n}") for n in range(4)]
    calls += [handle.signal(Histories.note, f"signal {n}") for n in range(4)]
    await asyncio.gather(*calls)
    await handle.signal(Histories.finish)
    names = await history(handle)
    return [await handle.result(), names.count("UpdateAccepted"), names.count("Signaled") >= 4]


async def case_many_steps(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "many_steps")
