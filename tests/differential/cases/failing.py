"""How exceptions become failures, and which of them are bugs that keep a workflow running."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError

from ..observe import SHORT, history, outcome, status, until_event

ONCE = RetryPolicy(maximum_attempts=1)


class PumpError(Exception):
    """An error of the author's own."""


class PressureError(PumpError):
    def __init__(self, bar: float) -> None:
        super().__init__(f"pressure {bar}", bar)


class ExpectedError(ApplicationError):
    """A kind of application error."""


def _raise(how: str) -> None:
    match how:
        case "own":
            raise PumpError("stuck")
        case "own with arguments":
            raise PressureError(3.5)
        case "empty":
            raise PumpError
        case "key":
            raise KeyError("missing")
        case "unicode":
            raise ValueError("grün \u2713\nsecond line")
        case "subclass":
            raise ExpectedError("expected")
        case "named subclass":
            raise ExpectedError("expected", 1, type="Named", non_retryable=True)
        case "untyped":
            raise ApplicationError("untyped")
        case "benign":
            raise ApplicationError("benign", category=ApplicationErrorCategory.BENIGN)
        case "details":
            raise ApplicationError("details", None, [1, {"a": True}], "x", 2.5)
        case "cause":
            try:
                _raise("own")
            except PumpError as error:
                raise ValueError("because of it") from error
        case "three causes":
            try:
                _raise("cause")
            except ValueError as error:
                raise ApplicationError("the last", 3, type="Last") from error
        case "context":
            try:
                _raise("own")
            except PumpError:
                raise ValueError("while handling it")  # noqa: B904 - the context is what is looked at
        case "cause that is none":
            try:
                _raise("own")
            except PumpError:
                raise ValueError("hidden") from None
        case "cancelled error":
            raise CancelledError("by itself", "detail")
        case "asyncio cancelled":
            raise asyncio.CancelledError("by asyncio")
        case "timeout":
            raise asyncio.TimeoutError("too slow")
        case "group":
            raise ExceptionGroup("several", [PumpError("one"), ValueError("two")])
        case _:
            raise AssertionError(how)


KINDS = [
    "own",
    "own with arguments",
    "empty",
    "key",
    "unicode",
    "subclass",
    "named subclass",
    "untyped",
    "benign",
    "details",
    "cause",
    "three causes",
    "context",
    "cause that is none",
    "timeout",
    "group",
]


@activity.defn(name="failing_work")
async def work(how: str) -> None:
    _raise(how)


@activity.defn(name="failing_thread")
def thread(how: str) -> None:
    _raise(how)


@workflow.defn(name="FailingActivities")
class Activities:
    """What a workflow sees of an activity's exception."""

    @workflow.run
    async def run(self, name: str, how: str) -> Any:
        return await outcome(
            workflow.execute_activity(name, how, start_to_close_timeout=SHORT, retry_policy=ONCE)
        )


@workflow.defn(name="FailingWorkflow", failure_exception_types=[Exception])
class Fails:
    """Any exception ends it."""

    @workflow.run
    async def run(self, how: str) -> None:
        _raise(how)


@workflow.defn(name="FailingListed", failure_exception_types=[PumpError])
class Listed:
    @workflow.run
    async def run(self, how: str) -> None:
        _raise(how)


@workflow.defn(name="FailingBug")
class Bug:
    """A ValueError is a bug: the execution goes on waiting."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(0.01)
        raise ValueError("a bug")


@workflow.defn(name="FailingInSignal")
class InSignal:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    async def fail(self, how: str) -> None:
        _raise(how)


@workflow.defn(name="FailingTask")
class InTask:
    """A task that nobody waits for fails: the workflow does not notice."""

    @workflow.run
    async def run(self) -> str:
        task = asyncio.create_task(self.fail())
        await workflow.sleep(0.05)
        return f"{task.done()} {task.exception()!r}"

    async def fail(self) -> None:
        raise ApplicationError("unnoticed")


@workflow.defn(name="FailingUncaught")
class Uncaught:
    @workflow.run
    async def run(self, wrap: bool) -> None:
        try:
            await workflow.execute_activity(
                work, "three causes", start_to_close_timeout=SHORT, retry_policy=ONCE
            )
        except Exception as error:
            if wrap:
                raise ApplicationError("wrapped", type="Wrapped") from error
            raise


async def _activities(client: Client, task_queue: str, name: str) -> Any:
    return {
        how: await client.execute_workflow(
            Activities.run, args=[name, how], id=f"failing {name} {how}", task_queue=task_queue
        )
        for how in KINDS
    }


async def case_in_an_activity(client: Client, task_queue: str) -> Any:
    return await _activities(client, task_queue, "failing_work")


async def case_in_an_activity_in_a_thread(client: Client, task_queue: str) -> Any:
    return await _activities(client, task_queue, "failing_thread")


async def case_in_a_workflow(client: Client, task_queue: str) -> Any:
    return {
        how: await outcome(
            client.execute_workflow(Fails.run, how, id=f"failing workflow {how}", task_queue=task_queue)
        )
        for how in KINDS
    }


async def case_an_activity_that_calls_itself_cancelled(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(
        Activities.run,
        args=["failing_work", "asyncio cancelled"],
        id="failing-asyncio-cancelled",
        task_queue=task_queue,
    )


async def case_a_workflow_that_calls_itself_cancelled(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Fails.run, "cancelled error", id="failing-cancelled", task_queue=task_queue
    )
    return [await outcome(handle.result()), await history(handle), await status(handle)]


async def case_kinds_that_a_workflow_lists(client: Client, task_queue: str) -> Any:
    seen = [
        await outcome(
            client.execute_workflow(Listed.run, how, id=f"failing listed {how}", task_queue=task_queue)
        )
        for how in ("own", "own with arguments", "untyped")
    ]
    handle = await client.start_workflow(Listed.run, "key", id="failing listed key", task_queue=task_queue)
    await asyncio.sleep(0.5)
    return [*seen, await status(handle)]


async def case_a_bug_keeps_a_workflow_running(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Bug.run, id="failing-bug", task_queue=task_queue, task_timeout=timedelta(seconds=1)
    )
    await until_event(handle, "TimerFired")
    await asyncio.sleep(0.3)
    seen = [await status(handle), await history(handle)]
    await handle.terminate(reason="beyond repair")
    return [seen, await outcome(handle.result())]


async def case_a_failure_in_a_signal_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(InSignal.run, id="failing-signal", task_queue=task_queue)
    await handle.signal(InSignal.fail, "details")
    return [await outcome(handle.result()), await history(handle)]


async def case_a_bug_in_a_signal_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(InSignal.run, id="failing-signal-bug", task_queue=task_queue)
    await handle.signal(InSignal.fail, "own")
    await asyncio.sleep(0.5)
    return [await status(handle), await history(handle)]


async def case_a_task_that_nobody_waits_for(client: Client, task_queue: str) -> Any:
    return await outcome(client.execute_workflow(InTask.run, id="failing-unnoticed", task_queue=task_queue))


async def case_an_activity_error_that_is_let_go(client: Client, task_queue: str) -> Any:
    return [
        await outcome(
            client.execute_workflow(Uncaught.run, wrap, id=f"failing-let-{wrap}", task_queue=task_queue)
        )
        for wrap in (False, True)
    ]


WORKFLOWS = [Activities, Fails, Listed, Bug, InSignal, InTask, Uncaught]
ACTIVITIES = [work, thread]
