"""Test environments: a season in milliseconds, many side by side, and histories replayed against changed code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowFailureError, WorkflowHistory
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType
from overwinter.runtime.interceptors import ExecuteWorkflowInput, Interceptor, WorkflowInboundInterceptor
from overwinter.runtime.testing import ActivityEnvironment, WorkflowEnvironment
from overwinter.runtime.worker import Replayer, Worker

QUEUE = "tests"
steps = 2


@activity.defn
async def measure(day: int) -> int:
    return day


@activity.defn
async def never_ends() -> None:
    await asyncio.Event().wait()


@workflow.defn
class Season:
    @workflow.run
    async def run(self, days: int) -> int:
        total = 0
        for day in range(days):
            await workflow.sleep(timedelta(days=1))
            total += await workflow.execute_activity(
                measure, day, start_to_close_timeout=timedelta(minutes=1)
            )
        return total


@workflow.defn
class Stuck:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(never_ends, start_to_close_timeout=timedelta(hours=5))


@workflow.defn
class Short:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_local_activity(
            measure, 1, schedule_to_close_timeout=timedelta(seconds=5)
        )


@activity.defn
async def fail_twice() -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("not yet")
    return activity.info().attempt


@workflow.defn
class Patient:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(
            fail_twice,
            start_to_close_timeout=timedelta(seconds=2),
            retry_policy=RetryPolicy(initial_interval=timedelta(minutes=1)),
        )


@workflow.defn
class Wrong:
    @workflow.run
    async def run(self) -> None:
        assert steps == "many"


@workflow.defn
class Changing:
    """Makes as many steps as this module says: the code that changes under its histories."""

    @workflow.run
    async def run(self) -> int:
        if steps == 3 and not workflow.patched("a third step"):
            return 2
        for number in range(steps):
            await workflow.execute_activity(measure, number, start_to_close_timeout=timedelta(minutes=1))
        return steps


async def test_a_season_of_sleeps_is_tested_in_a_moment() -> None:
    began = time.monotonic()
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Season], activities=[measure]),
    ):
        before = await environment.get_current_time()
        result = await environment.client.execute_workflow(Season.run, 90, id="w", task_queue=QUEUE)
        assert result == sum(range(90))
        assert await environment.get_current_time() - before >= timedelta(days=90)
    assert time.monotonic() - began < 20


async def test_many_environments_have_each_its_own_time() -> None:
    async def season(days: int) -> timedelta:
        async with (
            await WorkflowEnvironment.start_time_skipping() as environment,
            Worker(environment.client, task_queue=QUEUE, workflows=[Season], activities=[measure]),
        ):
            before = await environment.get_current_time()
            await environment.client.execute_workflow(Season.run, days, id="w", task_queue=QUEUE)
            return await environment.get_current_time() - before

    passed = await asyncio.gather(*[season(days) for days in (1, 5, 9)])
    for days, time_passed in zip((1, 5, 9), passed, strict=True):
        assert timedelta(days=days) <= time_passed < timedelta(days=days + 1)


async def test_time_is_skipped_to_the_timeout_of_an_activity() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Stuck], activities=[never_ends]),
    ):
        handle = await environment.client.start_workflow(Stuck.run, id="w", task_queue=QUEUE)
        await environment.sleep(timedelta(hours=6))
        pending = (await handle.describe()).pending_activities
        assert [p.attempt for p in pending] == [2]


async def test_an_activity_may_time_out_any_number_of_times() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Stuck], activities=[never_ends]),
    ):
        handle = await environment.client.start_workflow(Stuck.run, id="w", task_queue=QUEUE)
        await environment.sleep(timedelta(days=30))
        pending = (await handle.describe()).pending_activities
        assert pending[0].attempt > 100


async def test_time_goes_on_after_a_limit_of_what_has_ended_was_skipped_to() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as environment:
        client = environment.client
        async with Worker(client, task_queue="short", workflows=[Short], activities=[measure]):
            assert await client.execute_workflow(Short.run, id="a", task_queue="short") == 1
        async with Worker(client, task_queue=QUEUE, workflows=[Patient], activities=[fail_twice]):
            assert await client.execute_workflow(Patient.run, id="b", task_queue=QUEUE) == 3


async def test_time_stands_still_while_nobody_waits_or_skipping_is_off() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Season], activities=[measure]),
    ):
        handle = await environment.client.start_workflow(Season.run, 1, id="w", task_queue=QUEUE)
        with environment.auto_time_skipping_disabled(), pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle.result(), 0.2)
        assert await handle.result() == 0


async def test_a_failed_assertion_in_workflow_code_fails_the_test_and_does_not_hang_it() -> None:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Wrong]),
    ):
        with pytest.raises(WorkflowFailureError) as failed:
            await environment.client.execute_workflow(Wrong.run, id="w", task_queue=QUEUE)
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == "AssertionError"


def test_an_option_that_nobody_has_is_refused() -> None:
    with pytest.raises(TypeError, match="speed"):
        asyncio.run(WorkflowEnvironment.start_local(speed=2))


def test_an_activity_runs_on_its_own() -> None:
    environment = ActivityEnvironment()
    beats: list[Any] = []
    environment.on_heartbeat = lambda *details: beats.append(details)

    @activity.defn
    def beat() -> str:
        activity.heartbeat(1, "two")
        return activity.info().activity_id

    assert environment.run(beat) == "test"
    assert beats == [(1, "two")]


async def test_a_cancelled_activity_learns_why() -> None:
    environment = ActivityEnvironment()
    reasons: list[Any] = []

    @activity.defn
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            reasons.append(activity.cancellation_details())
            raise

    running = asyncio.ensure_future(environment.run(waits))
    await asyncio.sleep(0.01)
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert reasons[0].cancel_requested


# -- replaying -----------------------------------------------------------------------------------------------


async def _history() -> WorkflowHistory:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Changing], activities=[measure]),
    ):
        handle = await environment.client.start_workflow(Changing.run, id="w", task_queue=QUEUE)
        await handle.result()
        return await handle.fetch_history()


@pytest.fixture
def set_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda number: monkeypatch.setitem(globals(), "steps", number)


async def test_a_history_fits_the_code_that_made_it_also_as_json() -> None:
    history = await _history()
    again = WorkflowHistory.from_json("w", history.to_json())
    assert list(again.events) == list(history.events)
    assert again.run_id == history.run_id
    assert again.to_json_dict() == WorkflowHistory.from_json("w", history.to_json_dict()).to_json_dict()
    assert (await Replayer(workflows=[Changing]).replay_workflow(again)).replay_failure is None


async def test_code_that_asks_for_something_else_is_told_both_sides(set_steps: Callable[[int], None]) -> None:
    history = await _history()
    set_steps(1)
    with pytest.raises(workflow.NondeterminismError, match=r"ActivityScheduled 'measure'.*WorkflowCompleted"):
        await Replayer(workflows=[Changing]).replay_workflow(history)


async def test_many_histories_are_replayed_and_the_misfits_collected(
    set_steps: Callable[[int], None],
) -> None:
    fits, other = await _history(), await _history()
    set_steps(1)
    short = await _history()

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for history in (fits, short, other):
            yield history

    results = await Replayer(workflows=[Changing]).replay_workflows(
        histories(), raise_on_replay_failure=False
    )
    assert set(results.replay_failures) == {fits.run_id, other.run_id}


def test_what_is_no_history_is_refused() -> None:
    for text, words in [
        ("[]", "JSON history not a dictionary"),
        ("{}", "iterable 'events'"),
        ('{"events": [7]}', "Event not a dictionary"),
        ('{"events": [{"eventTime": "noon"}]}', "event 1.eventTime: 'noon' is no instant"),
        ('{"events": ' + "[" * 100_000, "nested too deeply"),
    ]:
        with pytest.raises(ValueError, match=words):
            WorkflowHistory.from_json("w", text)
    nothing = WorkflowHistory.from_json("w", '{"events": []}')
    with pytest.raises(RuntimeError, match="No events"):
        nothing.run_id  # noqa: B018
    assert list(nothing.events) == []


# -- interceptors ----------------------------------------------------------------------------------------------


class _Doubles(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        return 2 * await super().execute_workflow(input)


class _AddsOne(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        return 1 + await super().execute_workflow(input)


class _With(Interceptor):
    def __init__(self, cls: type[WorkflowInboundInterceptor]) -> None:
        self.cls = cls

    def workflow_interceptor_class(self, input: Any) -> type[WorkflowInboundInterceptor]:
        return self.cls


async def test_the_first_interceptor_of_the_list_is_the_outermost() -> None:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(
            environment.client, task_queue=QUEUE, workflows=[Changing], activities=[measure],
            interceptors=[_With(_Doubles), _With(_AddsOne)],
        ),
    ):  # fmt: skip
        assert await environment.client.execute_workflow(Changing.run, id="w", task_queue=QUEUE) == 2 * (
            2 + 1
        )


async def test_timeouts_of_activities_keep_their_types() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Once], activities=[never_ends]),
    ):
        handle = await environment.client.start_workflow(Once.run, id="w", task_queue=QUEUE)
        await environment.sleep(timedelta(minutes=2))
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        error = failed.value.cause
        assert isinstance(error, ActivityError)
        assert isinstance(error.cause, TimeoutError)
        assert error.cause.type == TimeoutType.START_TO_CLOSE


@workflow.defn
class Once:
    @workflow.run
    async def run(self) -> None:
        from overwinter.runtime.common import RetryPolicy

        await workflow.execute_activity(
            never_ends,
            start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


async def test_an_activity_in_a_thread_has_no_client_where_a_test_runs_it_either() -> None:
    """A worker gives it none: it would have to be called on the event loop."""
    async with await WorkflowEnvironment.start_local() as environment:
        activities = ActivityEnvironment(client=environment.client)

        async def asynchronous() -> object:
            return activity.client()

        assert await activities.run(asynchronous) is environment.client
        for run in (
            lambda: activities.run(activity.client),
            lambda: ActivityEnvironment().run(activity.client),
        ):
            with pytest.raises(RuntimeError, match="No client available. The client is only available in"):
                run()
