"""Signals, updates, timers and ends of activities that come together, and messages at the end of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle, WorkflowUpdateStage
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome, until, until_event, until_status, worker


@activity.defn(name="messages_echo")
async def echo(value: str) -> str:
    return value


@activity.defn(name="messages_late")
async def late(value: str) -> str:
    await asyncio.sleep(1)
    return value


@workflow.defn(name="MessagesLog")
class Log:
    """Writes down whatever comes, in its order; the argument says what is begun first."""

    @workflow.init
    def __init__(self, how: str) -> None:
        self.log: list[Any] = [f"init {how}"]
        self.level = 0
        self.done = False
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, how: str) -> Any:
        self.log.append("run")
        # Temporal's replay takes a task that asked for nothing and the next one as one activation.
        begun = asyncio.create_task(workflow.sleep(600))
        await getattr(self, how)()
        begun.cancel()
        self.log.append("end")
        return self.log

    async def waits(self) -> None:
        await workflow.wait_condition(lambda: self.done)

    async def much(self) -> None:
        async def timer(name: str, seconds: float) -> None:
            await workflow.sleep(seconds)
            self.log.append(f"timer {name}")

        async def work(name: str) -> None:
            self.log.append(
                await workflow.execute_activity(
                    late, f"activity {name}", task_queue="messages", start_to_close_timeout=SHORT
                )
            )

        async def condition() -> None:
            await workflow.wait_condition(lambda: self.level > 0)
            self.log.append(f"condition at {self.level}")

        begun = (timer("a", 1), work("a"), timer("b", 1), work("b"), condition())
        tasks = [asyncio.create_task(each) for each in begun]
        await workflow.wait(tasks)
        await self.waits()

    async def sets_handlers(self) -> None:
        def handler(value: str) -> None:
            self.log.append(f"named {value}")

        async def other(name: str, args: Sequence[RawValue]) -> None:
            self.log.append(f"other {name} begins")
            await asyncio.sleep(0)
            value = workflow.payload_converter().from_payload(args[0].payload, str)
            self.log.append(f"other {name} {value}")

        await workflow.sleep(0.01)
        workflow.set_signal_handler("named", handler)
        self.log.append("named is set")
        await asyncio.sleep(0)
        workflow.set_dynamic_signal_handler(other)
        self.log.append("others are set")
        await asyncio.sleep(0)
        workflow.set_signal_handler("named", None)
        await self.waits()

    async def locks(self) -> None:
        await self.waits()

    @workflow.signal
    async def locked(self, name: str) -> None:
        async with self.lock:
            self.log.append(f"{name} has the lock")
            await workflow.execute_activity(echo, name, task_queue="messages", start_to_close_timeout=SHORT)
            self.log.append(f"{name} gives it back")

    @workflow.signal
    def note(self, name: str) -> None:
        self.level += 1
        self.log.append(f"note {name}")

    @workflow.signal
    async def steps(self, name: str) -> None:
        for number in range(2):
            self.log.append(f"{name} {number}")
            await asyncio.sleep(0)

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.update
    async def raise_level(self, to: int) -> int:
        self.log.append(f"level {to}")
        self.level = to
        await asyncio.sleep(0)
        self.log.append(f"level {to} again")
        return self.level

    @raise_level.validator
    def check(self, to: int) -> None:
        if to <= self.level:
            raise ApplicationError(f"{to} after {self.level}", type="TooLow")

    @workflow.update
    async def answered_in_a_task(self) -> list[Any]:
        async def who() -> list[Any]:
            await asyncio.sleep(0)
            info = workflow.current_update_info()
            return [info.id, info.name] if info else []

        return await asyncio.gather(who(), who())

    @workflow.update
    def finishes(self) -> str:
        self.done = True
        return "finished"

    @workflow.update
    async def fails_later(self) -> None:
        await workflow.sleep(0.01)
        raise ApplicationError("later", type="Later")

    @workflow.query
    def seen(self) -> list[Any]:
        return self.log


@workflow.defn(name="MessagesEnds")
class Ends:
    """Ends in one of many ways, while a handler may still wait."""

    def __init__(self) -> None:
        self.how = ""
        self.opened = False

    @workflow.run
    async def run(self, first: bool) -> Any:
        if not first:
            return ["second run", await outcome(self.next())]
        await workflow.wait_condition(lambda: bool(self.how))
        if self.how == "return":
            return "returned"
        if self.how == "fail":
            raise ApplicationError("failed", type="Failed", non_retryable=True)
        if self.how == "cancel":
            await workflow.wait_condition(lambda: False)
        if self.how == "in a task":
            await asyncio.create_task(self.again())
        if self.how == "in a gather":
            await asyncio.gather(workflow.sleep(60), self.again())
        if self.how == "in a handler of errors":
            try:
                await self.again()
            except Exception:
                return "caught"
            finally:
                workflow.upsert_memo({"left": True})
        if self.how == "beside a timer":
            asyncio.create_task(workflow.sleep(60))
            workflow.start_activity(
                echo, "never", task_queue="messages-nowhere", schedule_to_close_timeout=timedelta(seconds=60)
            )
            await workflow.sleep(0.01)
        await self.again()

    async def again(self) -> None:
        workflow.continue_as_new(False)

    async def next(self) -> Any:
        if not self.opened:
            await workflow.wait_condition(lambda: self.opened, timeout=0.5)
        return workflow.memo()

    @workflow.signal
    def end(self, how: str) -> None:
        self.how = how

    @workflow.signal
    def open(self) -> None:
        self.opened = True

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def never(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def held(self) -> str:
        await workflow.wait_condition(lambda: self.opened)
        return "opened"

    @workflow.update
    def end_and_answer(self, how: str) -> str:
        self.how = how
        return f"ends: {how}"

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="MessagesBoth")
class Both:
    """The run method and a handler end the run in one activation."""

    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.go)
        return "by the run method"

    @workflow.query
    def ready(self) -> bool:
        return True

    @workflow.signal
    async def fail(self) -> None:
        self.go = True
        raise ApplicationError("by the handler")

    @workflow.signal
    async def fail_later(self) -> None:
        self.go = True
        for _ in range(20):
            await asyncio.sleep(0)
        raise ApplicationError("by the handler")

    @workflow.signal
    async def begin_later(self) -> None:
        self.go = True
        for _ in range(20):
            await asyncio.sleep(0)
        workflow.upsert_memo({"late": True})
        await workflow.sleep(60)

    @workflow.signal
    async def fail_after_a_condition(self) -> None:
        self.go = True
        await workflow.wait_condition(lambda: self.go)
        raise ApplicationError("by the handler")


@workflow.defn(name="MessagesRefreshed")
class Refreshed:
    """A condition that time alone makes true; a refused update is no occasion to try it."""

    def __init__(self) -> None:
        self.until = 0.0
        self.woken: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        self.until = workflow.time() + 0.5
        await workflow.wait_condition(lambda: workflow.time() > self.until)
        return self.woken

    @workflow.update
    def refused(self) -> None:
        raise AssertionError("never called")

    @refused.validator
    def refuse(self) -> None:
        raise ValueError("refused")

    @workflow.query
    def ready(self) -> bool:
        return self.until > 0

    @workflow.signal
    def wake(self) -> None:
        self.woken.append("by the signal")


async def _together(
    client: Client, how: str, name: str, ended: str, count: int, send: Any
) -> tuple[WorkflowHandle[Any, Any], Any]:
    """Begin, then send while nobody serves the workflow, until its history has this; then let it go on."""
    queue = f"messages-{name}"
    handle = await client.start_workflow(Log.run, how, id=queue, task_queue=queue)
    async with worker(client, queue, [Log]):
        await until(lambda: handle.query(Log.seen), [f"init {how}", "run"])
    await send(handle)
    if ended:
        await until_event(handle, ended, count)
    return handle, worker(client, queue, [Log])


async def _signals(handle: WorkflowHandle[Any, Any], *signals: tuple[str, str]) -> None:
    for name, value in signals:
        await handle.signal(name, value)


async def case_signals_timers_and_activities_together(client: Client, task_queue: str) -> Any:
    async def send(handle: WorkflowHandle[Any, Any]) -> None:
        await until_event(handle, "TimerFired", 2)
        await until_event(handle, "ActivityCompleted", 2)
        await _signals(handle, ("steps", "x"), ("note", "y"), ("steps", "z"))

    handle, serving = await _together(client, "much", "much", "", 0, send)
    async with serving:
        await until(lambda: _has(handle, "condition at 1"))
        await handle.signal(Log.finish)
        log = await handle.result()
        return [log[:7], sorted(log[7:])]


async def _has(handle: WorkflowHandle[Any, Any], entry: str) -> bool:
    return entry in await handle.query(Log.seen)


async def case_timers_in_the_order_of_their_firing(client: Client, task_queue: str) -> Any:
    async def send(handle: WorkflowHandle[Any, Any]) -> None:
        await until_event(handle, "TimerFired", 2)

    handle, serving = await _together(client, "much", "timers", "ActivityCompleted", 2, send)
    async with serving:
        await until(lambda: _has(handle, "timer b"))
        await handle.signal(Log.note, "late")
        await handle.signal(Log.finish)
        log = await handle.result()
        return [entry for entry in log if not str(entry).startswith("activity")]


async def case_updates_together(client: Client, task_queue: str) -> Any:
    """Each is checked after the one before it has made its first step."""
    updates: list[asyncio.Task[Any]] = []

    async def send(handle: WorkflowHandle[Any, Any]) -> None:
        for number, to in enumerate((2, 1, 3)):
            updates.append(
                asyncio.create_task(
                    outcome(handle.execute_update(Log.raise_level, to, id=f"messages-together-{number}"))
                )
            )
            await asyncio.sleep(0.3)

    handle, serving = await _together(client, "waits", "updates", "", 0, send)
    async with serving:
        found = await asyncio.gather(*updates)
        await handle.signal(Log.finish)
        return [found, await handle.result()]


async def case_updates_and_signals_together(client: Client, task_queue: str) -> Any:
    updates: list[asyncio.Task[Any]] = []

    async def send(handle: WorkflowHandle[Any, Any]) -> None:
        await handle.signal(Log.steps, "first")
        updates.append(
            asyncio.create_task(
                outcome(handle.execute_update(Log.raise_level, 5, id="messages-mixed-update"))
            )
        )
        await asyncio.sleep(0.3)
        await handle.signal(Log.steps, "second")

    handle, serving = await _together(client, "waits", "mixed", "Signaled", 2, send)
    async with serving:
        found = await asyncio.gather(*updates)
        await handle.signal(Log.finish)
        return [found, await handle.result()]


async def case_an_update_before_the_first_task_with_signals(client: Client, task_queue: str) -> Any:
    queue = "messages-first"
    handle = await client.start_workflow(Log.run, "waits", id=queue, task_queue=queue)
    await handle.signal(Log.steps, "first")
    update = asyncio.create_task(
        outcome(handle.execute_update(Log.raise_level, 5, id="messages-first-update"))
    )
    await asyncio.sleep(0.3)
    await handle.signal(Log.steps, "second")
    async with worker(client, queue, [Log]):
        found = await update
        await handle.signal(Log.finish)
        return [found, await handle.result()]


async def case_an_update_that_ends_the_run_before_its_first_task(client: Client, task_queue: str) -> Any:
    queue = "messages-early-end"
    handle = await client.start_workflow(Log.run, "waits", id=queue, task_queue=queue)
    update = asyncio.create_task(outcome(handle.execute_update(Log.finishes, id="messages-early-update")))
    await asyncio.sleep(0.3)
    async with worker(client, queue, [Log]):
        return [await update, await handle.result(), await history(handle)]


async def case_handlers_set_for_waiting_signals(client: Client, task_queue: str) -> Any:
    queue = "messages-handlers"
    handle = await client.start_workflow(
        Log.run,
        "sets_handlers",
        id=queue,
        task_queue=queue,
        start_signal="other",
        start_signal_args=["0"],
    )
    await _signals(handle, ("named", "1"), ("third", "2"), ("named", "3"))
    async with worker(client, queue, [Log]):
        await until(lambda: _has(handle, "other third 2"))
        await _signals(handle, ("named", "after"))
        await handle.signal(Log.finish)
        return await handle.result()


async def case_handlers_share_a_lock(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Log.run, "locks", id="messages-locks", task_queue=task_queue)
    await handle.query(Log.seen)
    await _signals(handle, ("locked", "a"), ("locked", "b"), ("locked", "c"))
    await until(lambda: _has(handle, "c gives it back"))
    await handle.signal(Log.finish)
    return await handle.result()


async def case_the_update_in_tasks_of_its_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Log.run, "waits", id="messages-info", task_queue=task_queue)
    found = await handle.execute_update(Log.answered_in_a_task, id="messages-info-update")
    await handle.signal(Log.finish)
    return [found, await handle.result()]


async def case_an_update_that_fails_later(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Log.run, "waits", id="messages-later", task_queue=task_queue)
    await handle.query(Log.seen)
    update = await handle.start_update(
        Log.fails_later, wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="messages-later-update"
    )
    again = handle.get_update_handle("messages-later-update")
    found = [await outcome(update.result()), await outcome(again.result()), update.id, update.workflow_id]
    await handle.signal(Log.finish)
    return [found, await handle.result(), await history(handle)]


async def case_an_update_with_the_start_and_a_signal(client: Client, task_queue: str) -> Any:
    operation = WithStartWorkflowOperation(
        Log.run,
        "waits",
        id="messages-with",
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    found = await client.execute_update_with_start_workflow(
        Log.raise_level, 4, id="messages-with-update", start_workflow_operation=operation
    )
    handle = await operation.workflow_handle()
    again = await outcome(
        client.execute_update_with_start_workflow(
            Log.raise_level, 9, id="messages-with-2", start_workflow_operation=operation
        )
    )
    await handle.signal(Log.finish)
    return [found, again, await handle.result()]


async def case_a_refused_update_wakes_nobody(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Refreshed.run, id="messages-refreshed", task_queue=task_queue)
    await until(lambda: handle.query(Refreshed.ready))
    await asyncio.sleep(1)
    refused = await outcome(handle.execute_update(Refreshed.refused, id="messages-refused"))
    await asyncio.sleep(0.5)
    before = (await handle.describe()).status.name
    await handle.signal(Refreshed.wake)
    return [refused, before, await handle.result(), await history(handle)]


# -- ends


async def _end(client: Client, task_queue: str, how: str, *, hold: bool = False, signal: str = "") -> Any:
    id = f"messages-end-{how}-{'held' if hold else ''}-{signal}".replace(" ", "-")
    handle = await client.start_workflow(Ends.run, True, id=id, task_queue=task_queue)
    first = client.get_workflow_handle(id, run_id=handle.first_execution_run_id)
    await handle.query(Ends.ready)
    updates = []
    if hold:
        updates.append(
            await handle.start_update(
                Ends.held, wait_for_stage=WorkflowUpdateStage.ACCEPTED, id=f"{id}-update"
            )
        )
        await handle.signal(Ends.never)
    if signal:
        await handle.signal(signal)
    await handle.signal(Ends.end, how)
    if how == "cancel":
        await handle.cancel()
    ended = await outcome(handle.result())
    found = [await outcome(update.result()) for update in updates]
    return [ended, found, await history(first), (await first.describe()).status.name]


async def case_returning_while_handlers_wait(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "return", hold=True)


async def case_failing_while_handlers_wait(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "fail", hold=True)


async def case_cancelled_while_handlers_wait(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "cancel", hold=True)


async def case_continuing_while_handlers_wait(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "continue", hold=True)


async def case_continuing_from_a_task(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "in a task")


async def case_continuing_from_a_gather(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "in a gather")


async def case_continuing_is_no_exception_to_catch(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "in a handler of errors")


async def case_continuing_beside_what_has_begun(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "beside a timer")


async def case_a_signal_nobody_handles_is_not_carried_over(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "continue", signal="unknown")


async def case_a_signal_is_not_handled_twice(client: Client, task_queue: str) -> Any:
    return await _end(client, task_queue, "continue", signal="open")


async def case_an_update_that_continues_the_run(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Ends.run, True, id="messages-answer", task_queue=task_queue)
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    answer = await outcome(handle.execute_update(Ends.end_and_answer, "continue", id="messages-answer-1"))
    await until_status(first, "CONTINUED_AS_NEW")
    old = await outcome(first.execute_update(Ends.held, id="messages-answer-2"))
    await handle.signal(Ends.open)
    return [answer, old[:2], await outcome(handle.result()), await history(first)]


async def case_the_same_update_in_the_next_run(client: Client, task_queue: str) -> Any:
    """The id of an update tells a repeat within a run only."""
    handle = await client.start_workflow(Ends.run, True, id="messages-repeat", task_queue=task_queue)
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    one = await handle.execute_update(Ends.end_and_answer, "continue", id="messages-repeat-update")
    await until_status(first, "CONTINUED_AS_NEW")
    two = await outcome(handle.execute_update(Ends.end_and_answer, "no matter", id="messages-repeat-update"))
    return [one, two, await outcome(handle.result())]


async def _both(client: Client, task_queue: str, signal: Any) -> Any:
    id = f"messages-both-{signal.__name__}"
    handle = await client.start_workflow(Both.run, id=id, task_queue=task_queue)
    await handle.query(Both.ready)
    await handle.signal(signal)
    return [await outcome(handle.result()), (await handle.describe()).status.name]


async def case_a_handler_fails_before_the_run_returns(client: Client, task_queue: str) -> Any:
    return await _both(client, task_queue, Both.fail)


async def case_a_handler_fails_after_the_run_returned(client: Client, task_queue: str) -> Any:
    return await _both(client, task_queue, Both.fail_later)


async def case_a_handler_fails_with_the_run_returning(client: Client, task_queue: str) -> Any:
    return await _both(client, task_queue, Both.fail_after_a_condition)


async def case_what_is_begun_after_the_end(client: Client, task_queue: str) -> Any:
    found = await _both(client, task_queue, Both.begin_later)
    return [found, await history(client.get_workflow_handle("messages-both-begin_later"))]


WORKFLOWS = [Log, Ends, Both, Refreshed]
ACTIVITIES = [echo, late]
