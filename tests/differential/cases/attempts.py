"""Attempts of activities: what each one knows, how long it may take, and who ends it."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, exceptions, workflow
from temporalio.client import AsyncActivityCancelledError, Client, WorkflowHandle
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, beat_until_cancelled, history, outcome, until, until_event

LONG = timedelta(seconds=60)
SOON = timedelta(milliseconds=20)
ONCE = RetryPolicy(maximum_attempts=1)
TOKENS: dict[str, bytes] = {}


class Leak(Exception):
    """An error of the author's own."""


@activity.defn(name="attempts_facts")
async def facts() -> list[Any]:
    info = activity.info()
    return [
        info.activity_id,
        info.activity_type,
        info.attempt,
        str(info.heartbeat_timeout),
        str(info.schedule_to_close_timeout),
        str(info.start_to_close_timeout),
        info.is_local,
        info.task_queue,
        info.workflow_id,
        info.workflow_type,
        info.workflow_namespace,
        list(info.heartbeat_details),
        info.scheduled_time <= info.started_time,
        info.current_attempt_scheduled_time >= info.scheduled_time,
        info.scheduled_time.tzinfo is not None,
        info.priority.priority_key,
        type(info.task_token).__name__,
        activity.in_activity(),
        activity.is_cancelled(),
        activity.is_worker_shutdown(),
    ]


@activity.defn(name="attempts_second")
async def second_time(how: str) -> Any:
    """Does not come through the first time."""
    info = activity.info()
    if info.attempt > 1:
        return [info.attempt, list(info.heartbeat_details)]
    if how == "beats and hangs":
        activity.heartbeat("one")
        activity.heartbeat("two", 2)
    if "hangs" in how:
        await asyncio.sleep(8)
    if how == "beats and fails":
        activity.heartbeat({"at": [1, None]})
        raise Leak("first")
    if how == "beats nothing and fails":
        activity.heartbeat("something")
        activity.heartbeat()
        raise Leak("first")


@activity.defn(name="attempts_delays")
async def delays() -> int:
    """Says how long to wait once; the policy says it after that."""
    attempt = activity.info().attempt
    if attempt == 1:
        raise ApplicationError("soon", next_retry_delay=SOON)
    if attempt < 4:
        raise ApplicationError("as the policy says")
    return attempt


@activity.defn(name="attempts_long_delay")
async def long_delay() -> None:
    raise ApplicationError("in an hour", next_retry_delay=timedelta(hours=1))


@activity.defn(name="attempts_thread")
def in_a_thread(how: str) -> Any:
    if how == "beats":
        end = time.monotonic() + 10
        try:
            while time.monotonic() < end:
                activity.heartbeat()
                time.sleep(0.05)
        except exceptions.CancelledError as error:
            details = activity.cancellation_details()
            return [type(error).__name__, details.cancel_requested if details else None]
    if how == "shielded":
        with activity.shield_thread_cancel_exception():
            end = time.monotonic() + 10
            while not activity.is_cancelled() and time.monotonic() < end:
                activity.heartbeat()
                time.sleep(0.05)
        return "out of the shield"
    if how == "fails":
        raise Leak("in a thread")
    return threading_facts()


def threading_facts() -> list[Any]:
    return [activity.in_activity(), activity.info().attempt, activity.is_cancelled()]


@activity.defn(name="attempts_unheeded", no_thread_cancel_exception=True)
def unheeded() -> Any:
    end = time.monotonic() + 10
    while not activity.is_cancelled() and time.monotonic() < end:
        activity.heartbeat()
        time.sleep(0.05)
    return "asked, and returned"


@activity.defn(name="attempts_beats")
async def beats(how: str) -> Any:
    try:
        await beat_until_cancelled()
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        if how == "tells":
            return [details.cancel_requested, details.timed_out, details.paused] if details else None
        if how == "fails":
            raise Leak("while it was cancelled") from None
        raise


@activity.defn(name="attempts_later")
async def later(name: str) -> Any:
    """Is ended by someone else."""
    TOKENS[name] = activity.info().task_token
    activity.heartbeat("begun")
    activity.raise_complete_async()


@activity.defn(name="attempts_wrong")
async def wrong_type() -> Any:
    return "no number"


@activity.defn(name="attempts_two")
async def two_arguments(one: int, other: str = "default") -> list[Any]:
    return [one, other]


@activity.defn(name="attempts_fails")
async def fails_by_kind(kind: str) -> None:
    if kind == "timeout":
        raise asyncio.TimeoutError("too slow")
    if kind == "delayed for good":
        raise ApplicationError("no more", non_retryable=True, next_retry_delay=timedelta(hours=1))
    raise Leak("drop " * 3000)


@workflow.defn(name="AttemptsProgram")
class Program:
    @workflow.run
    async def run(self, which: str) -> Any:
        return await getattr(self, which)()

    async def execute(self, function: Any, *args: Any, **options: Any) -> Any:
        given = {"start_to_close_timeout": SHORT, "retry_policy": ONCE, **options}
        return await outcome(workflow.execute_activity(function, args=args, **given))

    async def facts_by_default(self) -> Any:
        return await self.execute(facts)

    async def facts_as_asked(self) -> Any:
        return await self.execute(
            facts,
            activity_id="my-id",
            schedule_to_close_timeout=timedelta(seconds=50),
            start_to_close_timeout=timedelta(seconds=40),
            heartbeat_timeout=timedelta(seconds=30),
            schedule_to_start_timeout=timedelta(seconds=20),
            priority=Priority(priority_key=1),
        )

    async def facts_of_a_longer_start_to_close(self) -> Any:
        return await self.execute(
            facts, schedule_to_close_timeout=timedelta(seconds=20), start_to_close_timeout=LONG
        )

    async def facts_of_schedule_to_close_alone(self) -> Any:
        return await self.execute(facts, schedule_to_close_timeout=LONG, start_to_close_timeout=None)

    async def facts_of_a_local_one(self) -> Any:
        found = await workflow.execute_local_activity(facts, start_to_close_timeout=SHORT)
        return found[:3] + found[6:11] + found[-3:]

    async def again(self, how: str, **options: Any) -> Any:
        policy = RetryPolicy(initial_interval=SOON, maximum_attempts=3)
        return await self.execute(second_time, how, **{"retry_policy": policy, **options})

    async def a_timeout_and_another_attempt(self) -> Any:
        return await self.again("hangs", start_to_close_timeout=timedelta(seconds=1))

    async def a_heartbeat_timeout_and_another_attempt(self) -> Any:
        return await self.again(
            "beats and hangs", start_to_close_timeout=LONG, heartbeat_timeout=timedelta(seconds=1)
        )

    async def details_of_a_failed_attempt(self) -> Any:
        return await self.again("beats and fails", heartbeat_timeout=SHORT)

    async def details_of_the_last_beat_only(self) -> Any:
        return await self.again("beats nothing and fails", heartbeat_timeout=SHORT)

    async def a_delay_for_once(self) -> Any:
        policy = RetryPolicy(initial_interval=SOON, maximum_attempts=5)
        return await self.execute(delays, retry_policy=policy)

    async def a_delay_that_is_too_long(self) -> Any:
        return await self.execute(
            long_delay, retry_policy=None, schedule_to_close_timeout=timedelta(seconds=5)
        )

    async def a_delay_without_attempts(self) -> Any:
        return await self.execute(long_delay)

    async def unserved_is_not_tried_again(self) -> Any:
        return await self.execute(
            facts,
            task_queue="attempts-nobody",
            schedule_to_start_timeout=timedelta(milliseconds=300),
            retry_policy=RetryPolicy(initial_interval=SOON),
        )

    async def arguments_left_out(self) -> Any:
        return [
            await self.execute(two_arguments, 1),
            await self.execute("attempts_two", 1, "given"),
            await self.execute("attempts_two", 1, result_type=list),
        ]

    async def a_result_of_another_type(self) -> Any:
        return await self.execute("attempts_wrong", result_type=str)

    async def errors_of_kinds(self) -> Any:
        kinds = ("timeout", "delayed for good", "long")
        found = [await self.execute(fails_by_kind, kind) for kind in kinds]
        found[-1][-1][1] = [found[-1][-1][1][:9], len(found[-1][-1][1]) > 1000]
        return found

    async def errors_have_facts(self) -> Any:
        try:
            await workflow.execute_activity(
                fails_by_kind, "timeout", activity_id="mine", start_to_close_timeout=SHORT, retry_policy=ONCE
            )
        except exceptions.ActivityError as error:
            cause = error.cause
            assert isinstance(cause, ApplicationError)
            return [
                error.activity_id,
                error.activity_type,
                error.scheduled_event_id > 0,
                error.started_event_id > 0,
                error.message,
                str(error),
                str(cause),
                cause.type,
                cause.category.name,
                cause.next_retry_delay,
                error.cause is error.__cause__,
                error.failure is not None,
            ]

    async def a_local_error_has_facts(self) -> Any:
        try:
            await workflow.execute_local_activity(
                fails_by_kind, "timeout", start_to_close_timeout=SHORT, retry_policy=ONCE
            )
        except exceptions.ActivityError as error:
            return ["activity error", error.message, repr(error.cause)]
        except ApplicationError as error:
            return ["application error", error.message, error.type]

    async def cancelled(self, function: Any, *args: Any) -> Any:
        handle = workflow.start_activity(
            function,
            args=args,
            start_to_close_timeout=LONG,
            heartbeat_timeout=SHORT,
            retry_policy=ONCE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.sleep(1)
        handle.cancel()
        found = await outcome(handle)
        if found[-1][0] == "CancelledError":
            found[-1] = found[-1][:2]  # Temporal does not give the details of the last beat
        return found

    async def cancelled_while_it_beats(self) -> Any:
        return await self.cancelled(beats, "")

    async def cancelled_and_tells(self) -> Any:
        return await self.cancelled(beats, "tells")

    async def cancelled_and_fails(self) -> Any:
        return await self.cancelled(beats, "fails")

    async def cancelled_in_a_thread(self) -> Any:
        return await self.cancelled(in_a_thread, "beats")

    async def cancelled_behind_a_shield(self) -> Any:
        return await self.cancelled(in_a_thread, "shielded")

    async def cancelled_without_an_exception(self) -> Any:
        return await self.cancelled(unheeded)

    async def in_threads(self) -> Any:
        return [await self.execute(in_a_thread, "facts"), await self.execute(in_a_thread, "fails")]

    async def ended_later(self, name: str, **options: Any) -> Any:
        handle = workflow.start_activity(
            later,
            name,
            activity_id=name,
            start_to_close_timeout=LONG,
            retry_policy=ONCE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            **options,
        )
        if name == "cancelled":
            await workflow.sleep(1)
            handle.cancel()
        return await outcome(handle)

    async def completed_by_token(self) -> Any:
        return await self.ended_later("token")

    async def completed_by_id(self) -> Any:
        return await self.ended_later("id")

    async def failed_later(self) -> Any:
        return await self.ended_later("failed")

    async def cancelled_later(self) -> Any:
        return await self.ended_later("cancelled")

    async def out_of_time_later(self) -> Any:
        return await self.ended_later("timeout", heartbeat_timeout=timedelta(seconds=1))

    # -- local ones

    async def local(self, function: Any, *args: Any, **options: Any) -> Any:
        given = {"start_to_close_timeout": SHORT, "retry_policy": ONCE, **options}
        return await outcome(workflow.execute_local_activity(function, args=args, **given))

    async def a_local_timeout(self) -> Any:
        found = await self.local(second_time, "hangs", start_to_close_timeout=timedelta(milliseconds=300))
        found[1].pop()  # there its end counts as cancelled
        return found

    async def a_local_timeout_and_another_attempt(self) -> Any:
        return await self.local(
            second_time,
            "hangs",
            start_to_close_timeout=timedelta(milliseconds=300),
            retry_policy=RetryPolicy(initial_interval=SOON, maximum_attempts=2),
        )

    async def local_attempts_beyond_the_threshold(self) -> Any:
        return await self.local(
            second_time,
            "beats and fails",
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=2),
            local_retry_threshold=timedelta(milliseconds=100),
        )

    async def local_errors_of_kinds(self) -> Any:
        kinds = ("timeout", "delayed for good", "long")
        found = [await self.local(fails_by_kind, kind) for kind in kinds]
        found[-1][-1][1] = [found[-1][-1][1][:9], len(found[-1][-1][1]) > 1000]
        return found

    async def local_ones_side_by_side(self) -> Any:
        return await asyncio.gather(
            *(
                workflow.execute_local_activity(two_arguments, args=[number], start_to_close_timeout=SHORT)
                for number in range(20)
            )
        )

    async def a_delay_for_a_local_one(self) -> Any:
        return await self.local(delays, retry_policy=RetryPolicy(initial_interval=SOON, maximum_attempts=5))


def _id(which: str) -> str:
    return f"attempts-{which}".replace("_", "-")


async def _start(client: Client, task_queue: str, which: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(Program.run, which, id=_id(which), task_queue=task_queue)


async def _run(client: Client, task_queue: str, which: str) -> Any:
    handle = await _start(client, task_queue, which)
    return [await outcome(handle.result()), await history(handle)]


async def _result(client: Client, task_queue: str, which: str) -> Any:
    return await outcome((await _start(client, task_queue, which)).result())


async def case_completed_by_token(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "completed_by_token")
    await until(lambda: _begun("token"))
    ended = client.get_async_activity_handle(task_token=TOKENS["token"])
    await ended.heartbeat("half", 2)
    await ended.complete(["by", "token"])
    found = await outcome(handle.result())
    return [found, await outcome(ended.complete("again")), await outcome(ended.heartbeat())]


async def case_completed_by_id(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "completed_by_id")
    await until(lambda: _begun("id"))
    ended = client.get_async_activity_handle(workflow_id=handle.id, run_id=None, activity_id="id")
    await ended.complete()
    return await outcome(handle.result())


async def case_failed_later(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "failed_later")
    await until(lambda: _begun("failed"))
    ended = client.get_async_activity_handle(task_token=TOKENS["failed"])
    await ended.fail(Leak("by hand"), last_heartbeat_details=[1])
    return await outcome(handle.result())


async def case_cancelled_later(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "cancelled_later")
    await until(lambda: _begun("cancelled"))
    ended = client.get_async_activity_handle(task_token=TOKENS["cancelled"])
    early = await outcome(ended.report_cancellation("too early"))
    await until_event(handle, "TimerFired")
    told: list[str] = []

    async def asked() -> bool:
        try:
            await ended.heartbeat()
        except AsyncActivityCancelledError as error:
            told.append(type(error).__name__)
        return bool(told)

    await until(asked)
    await ended.report_cancellation("detail", 2)
    return [early, told[:1], await outcome(handle.result())]


async def case_out_of_time_later(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "out_of_time_later")


async def case_nobody_to_complete(client: Client, task_queue: str) -> Any:
    by_id = client.get_async_activity_handle(workflow_id="attempts-nobody", run_id=None, activity_id="1")
    return [await outcome(by_id.complete(1)), await outcome(by_id.heartbeat())]


async def _begun(name: str) -> bool:
    return name in TOKENS


async def case_facts_by_default(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_by_default")


async def case_facts_as_asked(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_as_asked")


async def case_facts_of_a_longer_start_to_close(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_of_a_longer_start_to_close")


async def case_facts_of_schedule_to_close_alone(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_of_schedule_to_close_alone")


async def case_facts_of_a_local_one(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_of_a_local_one")


async def case_a_timeout_and_another_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_timeout_and_another_attempt")


async def case_a_heartbeat_timeout_and_another_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_heartbeat_timeout_and_another_attempt")


async def case_details_of_a_failed_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "details_of_a_failed_attempt")


async def case_details_of_the_last_beat_only(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "details_of_the_last_beat_only")


async def case_a_delay_for_once(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_delay_for_once")


async def case_a_delay_that_is_too_long(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_delay_that_is_too_long")


async def case_a_delay_without_attempts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_delay_without_attempts")


async def case_unserved_is_not_tried_again(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "unserved_is_not_tried_again")


async def case_arguments_left_out(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "arguments_left_out")


async def case_a_result_of_another_type(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_result_of_another_type")


async def case_errors_of_kinds(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "errors_of_kinds")


async def case_errors_have_facts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "errors_have_facts")


async def case_a_local_error_has_facts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_local_error_has_facts")


async def case_cancelled_while_it_beats(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "cancelled_while_it_beats")


async def case_cancelled_and_tells(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "cancelled_and_tells")


async def case_cancelled_and_fails(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "cancelled_and_fails")


async def case_cancelled_in_a_thread(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "cancelled_in_a_thread")


async def case_cancelled_behind_a_shield(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "cancelled_behind_a_shield")


async def case_cancelled_without_an_exception(client: Client, task_queue: str) -> Any:
    return await _result(client, task_queue, "cancelled_without_an_exception")


async def case_in_threads(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "in_threads")


async def case_a_local_timeout(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_local_timeout")


async def case_a_local_timeout_and_another_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_local_timeout_and_another_attempt")


async def case_local_attempts_beyond_the_threshold(client: Client, task_queue: str) -> Any:
    # There a timer waits for the next attempt; here it is kept like that of any activity.
    return await _result(client, task_queue, "local_attempts_beyond_the_threshold")


async def case_local_errors_of_kinds(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_errors_of_kinds")


async def case_local_ones_side_by_side(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local_ones_side_by_side")


async def case_a_delay_for_a_local_one(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_delay_for_a_local_one")


WORKFLOWS = [Program]
ACTIVITIES = [
    facts,
    second_time,
    delays,
    long_delay,
    in_a_thread,
    unheeded,
    beats,
    later,
    wrong_type,
    two_arguments,
    fails_by_kind,
]
