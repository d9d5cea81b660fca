"""How far a cancellation reaches: tasks within tasks, cleaning up, handlers, what has not begun, what nobody serves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, exceptions, workflow
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateStage
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, beat_until_cancelled, history, outcome, until, until_event, worker

LONG = timedelta(seconds=60)
NOWHERE = "scopes-nowhere"
"""A task queue that nobody serves."""


@activity.defn(name="scopes_echo")
async def echo(value: str) -> str:
    return value


@activity.defn(name="scopes_beat")
async def beat(name: str) -> str:
    await beat_until_cancelled()
    return name


@activity.defn(name="scopes_late")
async def late(how: str) -> str:
    await asyncio.sleep(1.5)
    if how == "fails":
        await fail()
    return how


@activity.defn(name="scopes_fail")
async def fail() -> None:
    raise ApplicationError("not now", type="NotNow")


@activity.defn(name="scopes_cancels_itself")
async def cancels_itself() -> None:
    raise asyncio.CancelledError("by itself")


def without_details(seen: list[Any]) -> list[Any]:
    """Temporal's server has a word of its own for what had not begun."""
    return [*seen[:-1], seen[-1][:2]]


@workflow.defn(name="ScopesChild")
class Child:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, how: str) -> Any:
        try:
            if how == "ends soon":
                await workflow.sleep(1.5)
                return "ended"
            await workflow.wait_condition(lambda: self.go)
        except asyncio.CancelledError:
            if how == "tells":
                return ["cancelled", workflow.cancellation_reason()]
            raise
        return "gone on"

    @workflow.signal
    def open(self) -> None:
        self.go = True


@workflow.defn(name="ScopesProgram")
class Program:
    """Runs one of its methods; `ready` says that it waits where it is to be cancelled."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.ready = False
        self.go = False

    @workflow.run
    async def run(self, which: str) -> Any:
        return [self.log, await getattr(self, which)()]

    @workflow.query
    def is_ready(self) -> bool:
        return self.ready

    @workflow.query
    def seen(self) -> list[Any]:
        return self.log

    @workflow.signal
    def open(self) -> None:
        self.go = True

    @workflow.update
    async def held(self, name: str) -> str:
        self.log.append(f"{name} begins")
        try:
            await workflow.wait_condition(lambda: self.go)
        except asyncio.CancelledError:
            self.log.append(f"{name} cancelled")
            raise
        self.log.append(f"{name} ends")
        return name

    @workflow.signal
    async def holding(self, name: str) -> None:
        await self.held(name)

    @workflow.update
    async def cancels(self) -> None:
        raise asyncio.CancelledError("from the handler")

    @workflow.update
    async def cancels_in_an_activity(self) -> None:
        handle = workflow.start_activity(echo, "never", start_to_close_timeout=SHORT)
        handle.cancel()
        await handle

    async def step(self, name: str, seconds: float = 60) -> str:
        try:
            await workflow.sleep(seconds)
        except asyncio.CancelledError:
            self.log.append(f"{name} cancelled")
            raise
        self.log.append(f"{name} ends")
        return name

    def is_here(self) -> bool:
        self.ready = True
        return False

    # -- the whole workflow is cancelled

    async def in_a_condition_with_a_timeout(self) -> Any:
        return await outcome(workflow.wait_condition(self.is_here, timeout=60))

    async def in_wait_for(self) -> Any:
        return await outcome(asyncio.wait_for(workflow.wait_condition(self.is_here), 60))

    async def in_a_timeout(self) -> Any:
        async def block() -> None:
            async with asyncio.timeout(60):
                await workflow.wait_condition(self.is_here)

        return await outcome(block())

    async def in_a_gather(self) -> Any:
        self.ready = True
        return await outcome(asyncio.gather(self.step("a"), self.step("b")))

    async def in_a_group(self) -> Any:
        self.ready = True
        async with asyncio.TaskGroup() as group:
            group.create_task(
                self.step("a")
            )  # Of several, Temporal's SDK cancels first the one that memory has first.

    async def in_a_wait(self) -> Any:
        self.ready = True
        tasks = [asyncio.create_task(self.step(name, 4)) for name in "ab"]
        found = [await outcome(workflow.wait(tasks))]
        return [*found, await asyncio.gather(*tasks)]

    async def beside_a_task(self) -> Any:
        task = asyncio.create_task(self.step("beside", 4))
        self.ready = True
        try:
            await workflow.sleep(60)
        except asyncio.CancelledError:
            return await task

    async def with_a_task_left_behind(self) -> Any:
        asyncio.create_task(self.step("left"))
        self.ready = True
        await workflow.sleep(60)

    async def at_a_queue(self) -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue()
        self.ready = True
        return await outcome(queue.get())

    async def while_cleaning_up(self) -> Any:
        try:
            await workflow.wait_condition(self.is_here)
        finally:
            self.log.append("cleaning")
            try:
                await workflow.wait_condition(lambda: self.go)
            except asyncio.CancelledError:
                self.log.append("again")

    async def cleaning_up_behind_a_shield(self) -> Any:
        async def clean() -> str:
            await workflow.sleep(0.5)
            return await workflow.execute_activity(echo, "clean", start_to_close_timeout=SHORT)

        try:
            await workflow.wait_condition(self.is_here)
        except asyncio.CancelledError:
            self.log.append(await asyncio.shield(asyncio.create_task(clean())))
            raise

    async def swallowed_before_an_activity_is_cancelled(self) -> Any:
        try:
            await workflow.wait_condition(self.is_here)
        except asyncio.CancelledError:
            self.log.append("swallowed")
        handle = workflow.start_activity(echo, "never", start_to_close_timeout=SHORT)
        handle.cancel()
        await handle

    async def turned_into_its_own_error(self) -> Any:
        try:
            await workflow.wait_condition(self.is_here)
        except asyncio.CancelledError as error:
            raise exceptions.CancelledError("in other words", "detail") from error

    async def as_the_cause_of_a_failure(self) -> Any:
        try:
            await workflow.wait_condition(self.is_here)
        except asyncio.CancelledError as error:
            raise ApplicationError("gave up", type="GaveUp") from error

    async def in_an_activity(self) -> Any:
        self.ready = True
        return await workflow.execute_activity(
            beat, "a", start_to_close_timeout=LONG, heartbeat_timeout=SHORT
        )

    async def in_an_activity_that_is_waited_for(self) -> Any:
        self.ready = True
        return await workflow.execute_activity(
            beat,
            "a",
            start_to_close_timeout=LONG,
            heartbeat_timeout=SHORT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def in_an_abandoned_activity(self) -> Any:
        self.ready = True
        return await workflow.execute_activity(
            echo,
            "a",
            task_queue=NOWHERE,
            start_to_close_timeout=LONG,
            cancellation_type=workflow.ActivityCancellationType.ABANDON,
        )

    async def in_a_shielded_activity(self) -> Any:
        handle = workflow.start_activity(
            echo, "a", task_queue=NOWHERE, schedule_to_close_timeout=timedelta(seconds=2)
        )
        self.ready = True
        try:
            await asyncio.shield(handle)
        except asyncio.CancelledError:
            self.log.append("cancelled")
        return await outcome(handle)

    async def in_several_activities(self) -> Any:
        self.ready = True
        activities = (
            workflow.execute_activity(echo, str(n), task_queue=NOWHERE, start_to_close_timeout=LONG)
            for n in range(3)
        )
        return await outcome(asyncio.gather(*activities, return_exceptions=True))

    async def in_a_child(self, how: str = "", kind: str = "WAIT_CANCELLATION_COMPLETED") -> Any:
        handle = await workflow.start_child_workflow(
            Child.run,
            how,
            id=f"{workflow.info().workflow_id}-child",
            cancellation_type=workflow.ChildWorkflowCancellationType[kind],
        )
        self.ready = True
        return await handle

    async def in_a_child_that_tells(self) -> Any:
        return await self.in_a_child("tells")

    async def in_a_child_not_waited_for(self) -> Any:
        return await self.in_a_child("", "TRY_CANCEL")

    async def in_an_abandoned_child(self) -> Any:
        return await self.in_a_child("", "ABANDON")

    async def in_a_child_that_is_only_asked(self) -> Any:
        return await self.in_a_child("", "WAIT_CANCELLATION_REQUESTED")

    async def a_handler_goes_on(self) -> Any:
        self.ready = True
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            self.log.append("cancelled")
        await workflow.wait_condition(workflow.all_handlers_finished)

    # -- parts of it are cancelled

    async def unserved(self, kind: str) -> Any:
        handle = workflow.start_activity(
            echo,
            "a",
            task_queue=NOWHERE,
            start_to_close_timeout=LONG,
            cancellation_type=workflow.ActivityCancellationType[kind],
        )
        await workflow.sleep(0.05)
        handle.cancel()
        return without_details(await outcome(handle))

    async def an_unserved_activity_by_trying(self) -> Any:
        return await self.unserved("TRY_CANCEL")

    async def an_unserved_activity_by_waiting(self) -> Any:
        return await self.unserved("WAIT_CANCELLATION_COMPLETED")

    async def an_unserved_activity_by_abandoning(self) -> Any:
        return await self.unserved("ABANDON")

    async def between_attempts(self) -> Any:
        handle = workflow.start_activity(
            fail,
            start_to_close_timeout=SHORT,
            retry_policy=RetryPolicy(initial_interval=LONG),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.sleep(1)
        handle.cancel()
        return without_details(await outcome(handle))

    async def an_activity_twice(self) -> Any:
        handle = workflow.start_activity(echo, "a", task_queue=NOWHERE, start_to_close_timeout=LONG)
        await workflow.sleep(0.05)
        found: list[Any] = [handle.cancel(), handle.cancel()]
        return [*found, await outcome(handle), handle.cancel(), handle.cancelled(), handle.done()]

    async def an_activity_that_has_ended(self) -> Any:
        handle = workflow.start_activity(echo, "a", start_to_close_timeout=SHORT)
        await workflow.wait_condition(handle.done)
        return [handle.cancel(), await handle]

    async def an_activity_with_a_message(self) -> Any:
        handle = workflow.start_activity(echo, "a", task_queue=NOWHERE, start_to_close_timeout=LONG)
        await workflow.sleep(0.05)
        handle.cancel("not needed")
        return await outcome(handle)

    async def an_activity_that_cancels_itself(self) -> Any:
        return await outcome(
            workflow.execute_activity(
                cancels_itself, start_to_close_timeout=SHORT, retry_policy=RetryPolicy(maximum_attempts=1)
            )
        )

    async def a_task_that_waits_for_an_activity(self) -> Any:
        async def work() -> str:
            try:
                return await workflow.execute_activity(
                    echo, "a", task_queue=NOWHERE, start_to_close_timeout=LONG
                )
            except exceptions.ActivityError:
                return "let go"

        task = asyncio.create_task(work())
        await workflow.sleep(0.05)
        task.cancel()
        return [await outcome(task), task.cancelled()]

    async def a_group_with_an_activity(self) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                handle = workflow.start_activity(echo, "a", task_queue=NOWHERE, start_to_close_timeout=LONG)
                group.create_task(asyncio.wait_for(handle, 60))
                await workflow.sleep(0.05)
                raise ValueError("enough")
        except ExceptionGroup as error:
            return [type(each).__name__ for each in error.exceptions]

    async def a_child_before_it_was_sent(self) -> Any:
        task = asyncio.create_task(workflow.start_child_workflow(Child.run, "", id="scopes-never"))
        await asyncio.sleep(0)
        task.cancel()
        return await outcome(task)

    async def a_child_twice(self) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "", id="scopes-twice-child")
        found: list[Any] = [handle.cancel(), handle.cancel()]
        return [*found, await outcome(handle)]

    async def a_child_that_has_ended(self) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "", id="scopes-ended-child")
        await handle.signal(Child.open)
        found = await handle
        return [found, handle.cancel()]

    async def timers_of_one_step(self) -> Any:
        tasks = [asyncio.create_task(self.step(name)) for name in "abc"]
        await workflow.sleep(0.05)
        for task in reversed(tasks):
            task.cancel()
        return [type(found).__name__ for found in await asyncio.gather(*tasks, return_exceptions=True)]

    async def a_timer_that_fires_just_then(self) -> Any:
        task = asyncio.create_task(self.step("timer", 1.5))
        await workflow.wait_condition(lambda: self.go)
        task.cancel()
        return await outcome(task)

    async def ends_just_then(self, kind: str, how: str = "returns") -> Any:
        handle = workflow.start_activity(
            late,
            how,
            task_queue="scopes",
            start_to_close_timeout=LONG,
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=workflow.ActivityCancellationType[kind],
        )
        await workflow.wait_condition(lambda: self.go)
        handle.cancel()
        return await outcome(handle)

    async def an_activity_that_ends_just_then(self) -> Any:
        return await self.ends_just_then("TRY_CANCEL")

    async def an_activity_waited_for_that_ends_just_then(self) -> Any:
        return await self.ends_just_then("WAIT_CANCELLATION_COMPLETED")

    async def an_abandoned_activity_that_ends_just_then(self) -> Any:
        return await self.ends_just_then("ABANDON")

    async def an_activity_that_fails_just_then(self) -> Any:
        return await self.ends_just_then("TRY_CANCEL", "fails")

    async def a_child_that_ends_just_then(self, kind: str = "WAIT_CANCELLATION_COMPLETED") -> Any:
        handle = await workflow.start_child_workflow(
            Child.run,
            "ends soon",
            id=f"{workflow.info().workflow_id}-child",
            task_queue="scopes",
            cancellation_type=workflow.ChildWorkflowCancellationType[kind],
        )
        await workflow.wait_condition(lambda: self.go)
        handle.cancel()
        return await outcome(handle)

    async def a_child_not_waited_for_that_ends_just_then(self) -> Any:
        return await self.a_child_that_ends_just_then("TRY_CANCEL")

    async def a_condition_that_times_out_just_then(self) -> Any:
        return [await outcome(workflow.wait_condition(lambda: self.go, timeout=1.5)), self.go]

    async def a_condition_that_holds_just_then(self) -> Any:
        self.log.append(await outcome(workflow.wait_condition(lambda: self.go, timeout=60)))
        self.log.append(await outcome(workflow.sleep(0.01)))
        return await outcome(workflow.sleep(0.01))

    async def a_condition_that_is_out_of_time_just_then(self) -> Any:
        self.log.append(await outcome(workflow.wait_condition(lambda: self.go, timeout=1.5)))
        self.log.append(await outcome(workflow.sleep(0.01)))
        return await outcome(workflow.sleep(0.01))

    async def a_sleep_that_ends_just_then(self) -> Any:
        self.log.append(await outcome(workflow.sleep(1.5)))
        self.log.append(await outcome(workflow.sleep(0.01)))
        return await outcome(workflow.sleep(0.01))

    async def a_condition_in_wait_for_that_times_out_just_then(self) -> Any:
        return [await outcome(asyncio.wait_for(workflow.wait_condition(lambda: self.go), 1.5)), self.go]

    async def without_a_request(self) -> Any:
        raise asyncio.CancelledError("nobody asked")

    async def an_activity_error_without_a_request(self) -> Any:
        handle = workflow.start_activity(echo, "a", task_queue=NOWHERE, start_to_close_timeout=LONG)
        await workflow.sleep(0.05)
        handle.cancel()
        await handle


async def _start(client: Client, task_queue: str, which: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(Program.run, which, id=f"scopes-{which}", task_queue=task_queue)


async def _ended(handle: WorkflowHandle[Any, Any], *, events: bool = True) -> Any:
    seen = [await outcome(handle.result()), (await handle.describe()).status.name]
    return [*seen, await history(handle)] if events else seen


async def _run(client: Client, task_queue: str, which: str) -> Any:
    return await _ended(await _start(client, task_queue, which))


async def _cancel(client: Client, task_queue: str, which: str, *, events: bool = True) -> Any:
    handle = await _start(client, task_queue, which)
    await until(lambda: handle.query(Program.is_ready))
    await handle.cancel()
    return await _ended(handle, events=events)


async def _child(client: Client, task_queue: str, which: str) -> Any:
    handle = await _start(client, task_queue, which)
    child = client.get_workflow_handle(f"{handle.id}-child")
    await until(lambda: handle.query(Program.is_ready))
    await handle.cancel(reason="no more")
    seen = await _ended(handle)
    if "not_waited" in which:  # whether it is cancelled or terminated first
        return seen
    return [seen, await outcome(child.result())]


async def case_twice_while_cleaning_up(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "while_cleaning_up")
    await until(lambda: handle.query(Program.is_ready))
    await handle.cancel(reason="first")
    await until(lambda: handle.query(Program.seen), ["cleaning"])
    await handle.cancel(reason="second")
    await handle.signal(Program.open)
    return await _ended(handle)


async def case_a_handler_goes_on(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "a_handler_goes_on")
    await until(lambda: handle.query(Program.is_ready))
    update = await handle.start_update(
        Program.held, "update", wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="scopes-held"
    )
    await handle.signal(Program.holding, "signal")
    await until(lambda: handle.query(Program.seen), ["update begins", "signal begins"])
    await handle.cancel()
    await until(lambda: handle.query(Program.seen), ["update begins", "signal begins", "cancelled"])
    await handle.signal(Program.open)
    return [await outcome(update.result()), await _ended(handle)]


async def case_updates_that_are_cancelled(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Program.run, "a_handler_goes_on", id="scopes-updates", task_queue=task_queue
    )
    found = [
        await outcome(handle.execute_update(Program.cancels, id="scopes-cancels")),
        await outcome(handle.execute_update(Program.cancels_in_an_activity, id="scopes-cancels-2")),
    ]
    await handle.cancel()
    return [found, await _ended(handle)]


async def _in_one_activation(client: Client, which: str, begun: str, ended: str) -> Any:
    """The signal that cancels and the end of what it cancels come together: nobody serves the workflow meanwhile."""
    queue = f"scopes-{which}"
    handle = await client.start_workflow(Program.run, which, id=queue, task_queue=queue)
    async with worker(client, queue, [Program]):
        await until_event(handle, begun)
    await until_event(handle, ended)
    await handle.signal(Program.open)
    async with worker(client, queue, [Program]):
        return await _ended(handle)


async def case_a_timer_that_fires_just_then(client: Client, task_queue: str) -> Any:
    return await _in_one_activation(client, "a_timer_that_fires_just_then", "TimerStarted", "TimerFired")


async def _cancelled_in_one_activation(client: Client, which: str, *, opened: bool) -> Any:
    """The request comes together with what makes the workflow go on."""
    queue = f"scopes-{which}"
    handle = await client.start_workflow(Program.run, which, id=queue, task_queue=queue)
    async with worker(client, queue, [Program]):
        await until_event(handle, "TimerStarted")
    if opened:
        await handle.signal(Program.open)
    else:
        await until_event(handle, "TimerFired")
    await handle.cancel()
    async with worker(client, queue, [Program]):
        return await _ended(handle)


async def case_a_condition_that_holds_just_then(client: Client, task_queue: str) -> Any:
    which = "a_condition_that_holds_just_then"
    return await _cancelled_in_one_activation(client, which, opened=True)


async def case_a_condition_that_is_out_of_time_just_then(client: Client, task_queue: str) -> Any:
    which = "a_condition_that_is_out_of_time_just_then"
    return await _cancelled_in_one_activation(client, which, opened=False)


async def case_a_sleep_that_ends_just_then(client: Client, task_queue: str) -> Any:
    return await _cancelled_in_one_activation(client, "a_sleep_that_ends_just_then", opened=False)


async def case_an_activity_that_ends_just_then(client: Client, task_queue: str) -> Any:
    which = "an_activity_that_ends_just_then"
    return await _in_one_activation(client, which, "ActivityScheduled", "ActivityCompleted")


async def case_an_activity_waited_for_that_ends_just_then(client: Client, task_queue: str) -> Any:
    which = "an_activity_waited_for_that_ends_just_then"
    return await _in_one_activation(client, which, "ActivityScheduled", "ActivityCompleted")


async def case_an_abandoned_activity_that_ends_just_then(client: Client, task_queue: str) -> Any:
    which = "an_abandoned_activity_that_ends_just_then"
    return await _in_one_activation(client, which, "ActivityScheduled", "ActivityCompleted")


async def case_an_activity_that_fails_just_then(client: Client, task_queue: str) -> Any:
    which = "an_activity_that_fails_just_then"
    return await _in_one_activation(client, which, "ActivityScheduled", "ActivityFailed")


async def case_a_child_that_ends_just_then(client: Client, task_queue: str) -> Any:
    return await _in_one_activation(client, "a_child_that_ends_just_then", "ChildStarted", "ChildCompleted")


async def case_a_child_not_waited_for_that_ends_just_then(client: Client, task_queue: str) -> Any:
    which = "a_child_not_waited_for_that_ends_just_then"
    return await _in_one_activation(client, which, "ChildStarted", "ChildCompleted")


async def case_a_condition_that_times_out_just_then(client: Client, task_queue: str) -> Any:
    which = "a_condition_that_times_out_just_then"
    return await _in_one_activation(client, which, "TimerStarted", "TimerFired")


async def case_a_condition_in_wait_for_that_times_out_just_then(client: Client, task_queue: str) -> Any:
    which = "a_condition_in_wait_for_that_times_out_just_then"
    return await _in_one_activation(client, which, "TimerStarted", "TimerFired")


async def case_in_a_condition_with_a_timeout(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_a_condition_with_a_timeout")


async def case_in_wait_for(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_wait_for")


async def case_in_a_timeout(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_a_timeout")


async def case_in_a_gather(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_a_gather")


async def case_in_a_group(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_a_group")


async def case_in_a_wait(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_a_wait")


async def case_beside_a_task(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "beside_a_task")


async def case_with_a_task_left_behind(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "with_a_task_left_behind")


async def case_at_a_queue(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "at_a_queue")


async def case_cleaning_up_behind_a_shield(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "cleaning_up_behind_a_shield")


async def case_swallowed_before_an_activity_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "swallowed_before_an_activity_is_cancelled")


async def case_turned_into_its_own_error(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "turned_into_its_own_error")


async def case_as_the_cause_of_a_failure(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "as_the_cause_of_a_failure")


async def case_in_an_activity(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_an_activity", events=False)


async def case_in_an_activity_that_is_waited_for(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_an_activity_that_is_waited_for")


async def case_in_an_abandoned_activity(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_an_abandoned_activity")


async def case_in_a_shielded_activity(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_a_shielded_activity")


async def case_in_several_activities(client: Client, task_queue: str) -> Any:
    return await _cancel(client, task_queue, "in_several_activities")


async def case_in_a_child(client: Client, task_queue: str) -> Any:
    return await _child(client, task_queue, "in_a_child")


async def case_in_a_child_that_tells(client: Client, task_queue: str) -> Any:
    return await _child(client, task_queue, "in_a_child_that_tells")


async def case_in_a_child_not_waited_for(client: Client, task_queue: str) -> Any:
    return await _child(client, task_queue, "in_a_child_not_waited_for")


async def case_in_an_abandoned_child(client: Client, task_queue: str) -> Any:
    return await _child(client, task_queue, "in_an_abandoned_child")


async def case_in_a_child_that_is_only_asked(client: Client, task_queue: str) -> Any:
    return await _child(client, task_queue, "in_a_child_that_is_only_asked")


async def case_an_unserved_activity_by_trying(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_unserved_activity_by_trying")


async def case_an_unserved_activity_by_waiting(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_unserved_activity_by_waiting")


async def case_an_unserved_activity_by_abandoning(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_unserved_activity_by_abandoning")


async def case_between_attempts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "between_attempts")


async def case_an_activity_twice(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_twice")


async def case_an_activity_that_has_ended(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_that_has_ended")


async def case_an_activity_with_a_message(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_with_a_message")


async def case_an_activity_that_cancels_itself(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_that_cancels_itself")


async def case_a_task_that_waits_for_an_activity(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_task_that_waits_for_an_activity")


async def case_a_group_with_an_activity(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_with_an_activity")


async def case_a_child_before_it_was_sent(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_child_before_it_was_sent")


async def case_a_child_twice(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_child_twice")


async def case_a_child_that_has_ended(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "a_child_that_has_ended"))[:2]


async def case_timers_of_one_step(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "timers_of_one_step")


async def case_without_a_request(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "without_a_request")


async def case_an_activity_error_without_a_request(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_activity_error_without_a_request")


WORKFLOWS = [Program, Child]
ACTIVITIES = [echo, beat, late, fail, cancels_itself]
