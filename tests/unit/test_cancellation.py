"""Cancellation of workflows, activities and tasks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowFailureError, WorkflowHandle
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import ActivityError, ApplicationError, CancelledError
from overwinter.runtime.workflow import ActivityCancellationType
from tests.unit.gateways import QUEUE, Gateway, event_names, until

seen: list[str] = []
LONG = timedelta(minutes=5)


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


@activity.defn
async def patient(last_words: str) -> str:
    seen.append("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("asked to stop")
        if last_words:
            return last_words
        raise
    return ""


@activity.defn
async def clean_up() -> str:
    seen.append("cleaned")
    return "cleaned"


@activity.defn
async def fails_at_once() -> None:
    raise ApplicationError("at once", non_retryable=True)


def _patient(last_words: str = "", **options: Any) -> Any:
    return workflow.start_activity(patient, last_words, start_to_close_timeout=LONG, **options)


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, how: str) -> str:
        if how == "sleep":
            await workflow.sleep(1000)
        elif how == "activity":
            await _patient()
        elif how == "condition":
            await workflow.wait_condition(lambda: False)
        elif how == "caught":
            try:
                await workflow.sleep(1000)
            except asyncio.CancelledError:
                await workflow.execute_activity(clean_up, start_to_close_timeout=LONG)
                return f"cleaned up: {workflow.cancellation_reason()}"
        elif how == "raised again":
            try:
                await workflow.sleep(1000)
            except asyncio.CancelledError:
                await workflow.execute_activity(clean_up, start_to_close_timeout=LONG)
                raise
        elif how == "shield":
            work = asyncio.ensure_future(workflow.execute_activity(clean_up, start_to_close_timeout=LONG))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                return f"shielded: {await work}"
        return "not cancelled"


async def _cancelled(handle: WorkflowHandle[Any]) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 5)
    assert isinstance(failed.value.cause, CancelledError)
    assert (await handle.describe()).status.name == "CANCELED"


@pytest.mark.parametrize("how", ["sleep", "activity", "condition"])
async def test_a_cancellation_that_nobody_catches_closes_the_workflow_as_canceled(
    gateway: Gateway, how: str
) -> None:
    async with gateway.on([Waits], [patient]) as client:
        handle = await client.start_workflow(Waits.run, how, id="w", task_queue=QUEUE)
        await until(lambda: how != "activity" or seen == ["began"])
        await handle.cancel()
        await _cancelled(handle)


async def test_a_workflow_may_clean_up_and_return_normally(gateway: Gateway) -> None:
    async with gateway.on([Waits], [clean_up]) as client:
        handle = await client.start_workflow(Waits.run, "caught", id="w", task_queue=QUEUE)
        await handle.cancel(reason="it rains")
        assert await handle.result() == "cleaned up: it rains"
        assert (await handle.describe()).status.name == "COMPLETED"


async def test_a_workflow_may_clean_up_and_end_as_canceled(gateway: Gateway) -> None:
    async with gateway.on([Waits], [clean_up]) as client:
        handle = await client.start_workflow(Waits.run, "raised again", id="w", task_queue=QUEUE)
        await handle.cancel()
        await _cancelled(handle)
        assert seen == ["cleaned"]


async def test_a_shielded_activity_survives_the_cancellation(gateway: Gateway) -> None:
    async with gateway.on([Waits]) as client:  # no activities yet: it waits
        handle = await client.start_workflow(Waits.run, "shield", id="w", task_queue=QUEUE)
        await handle.cancel()
    async with gateway.on([Waits], [clean_up]) as client:
        gateway.advance(client, 5)
        assert await asyncio.wait_for(client.get_workflow_handle("w").result(), 5) == "shielded: cleaned"
        assert "ActivityCancelRequested" not in await event_names(client, "w")


async def test_a_cancelled_error_that_nobody_asked_for_is_a_failure(gateway: Gateway) -> None:
    async with gateway.on([CancelsItself]) as client:
        handle = await client.start_workflow(CancelsItself.run, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await handle.describe()).status.name == "FAILED"


@workflow.defn
class CancelsItself:
    @workflow.run
    async def run(self) -> None:
        raise asyncio.CancelledError


@workflow.defn
class CancelsActivity:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, kind: int, last_words: str) -> list[str]:
        handle = _patient(last_words, cancellation_type=ActivityCancellationType(kind))
        await workflow.wait_condition(lambda: self.go)
        handle.cancel()
        try:
            return ["returned", await handle]
        except ActivityError as error:
            return ["raised", type(error.cause).__name__]

    @workflow.signal
    def cancel(self) -> None:
        self.go = True


@pytest.mark.parametrize(
    ("kind", "last_words", "outcome", "asked"),
    [
        (ActivityCancellationType.TRY_CANCEL, "late", ["raised", "CancelledError"], True),
        (ActivityCancellationType.WAIT_CANCELLATION_COMPLETED, "late", ["returned", "late"], True),
        (ActivityCancellationType.WAIT_CANCELLATION_COMPLETED, "", ["raised", "CancelledError"], True),
        (ActivityCancellationType.ABANDON, "", ["raised", "CancelledError"], False),
    ],
)
async def test_an_activity_is_cancelled_as_its_type_says(
    gateway: Gateway, kind: ActivityCancellationType, last_words: str, outcome: list[str], asked: bool
) -> None:
    async with gateway.on([CancelsActivity], [patient]) as client:
        handle = await client.start_workflow(
            CancelsActivity.run, args=[int(kind), last_words], id="w", task_queue=QUEUE
        )
        await until(lambda: seen == ["began"])
        await handle.signal("cancel")
        assert await asyncio.wait_for(handle.result(), 5) == outcome
        assert ("ActivityCancelRequested" in await event_names(client, "w")) is asked


@workflow.defn
class WithdrawsAtOnce:
    @workflow.run
    async def run(self) -> str:
        work = _patient()
        timer = asyncio.ensure_future(workflow.sleep(10))
        await asyncio.sleep(0)
        work.cancel()
        timer.cancel()
        outcomes = await asyncio.gather(work, timer, return_exceptions=True)
        return " ".join(type(outcome).__name__ for outcome in outcomes)


async def test_what_is_cancelled_before_it_was_sent_leaves_no_event(gateway: Gateway) -> None:
    async with gateway.on([WithdrawsAtOnce], [patient]) as client:
        result = await client.execute_workflow(WithdrawsAtOnce.run, id="w", task_queue=QUEUE)
        assert result == "ActivityError CancelledError"
        assert await event_names(client, "w") == ["WorkflowStarted", "WorkflowCompleted"]
        assert seen == []


@workflow.defn
class GatherWithOneFailing:
    @workflow.run
    async def run(self) -> str:
        other = _patient()
        try:
            await asyncio.gather(other, workflow.execute_activity(fails_at_once, start_to_close_timeout=LONG))
        except ActivityError as error:
            assert isinstance(error.cause, ApplicationError)
            other.cancel()
            return f"{error.cause.message}, the other is {'done' if other.done() else 'still running'}"
        return ""


async def test_gather_raises_the_first_failure_and_leaves_the_others_running(gateway: Gateway) -> None:
    async with gateway.on([GatherWithOneFailing], [patient, fails_at_once]) as client:
        result = await client.execute_workflow(GatherWithOneFailing.run, id="w", task_queue=QUEUE)
        assert result == "at once, the other is still running"


@workflow.defn
class TaskGroupWithOneFailing:
    @workflow.run
    async def run(self) -> list[str]:
        handles: list[Any] = []
        try:
            async with asyncio.TaskGroup() as group:
                handles = [group.create_task(self._wait()) for _ in range(3)]
                group.create_task(self._fail())
        except* ActivityError:
            pass
        return ["cancelled" if handle.cancelled() else "?" for handle in handles]

    async def _wait(self) -> None:
        await workflow.sleep(100)

    async def _fail(self) -> None:
        await workflow.execute_activity(fails_at_once, start_to_close_timeout=LONG)


async def test_a_task_group_cancels_the_rest_when_one_fails(gateway: Gateway) -> None:
    async with gateway.on([TaskGroupWithOneFailing], [fails_at_once]) as client:
        result = await client.execute_workflow(TaskGroupWithOneFailing.run, id="w", task_queue=QUEUE)
        assert result == ["cancelled"] * 3
        assert (await event_names(client, "w")).count("TimerCanceled") == 3


@workflow.defn
class TimeoutAroundActivity:
    @workflow.run
    async def run(self) -> str:
        try:
            async with asyncio.timeout(30):
                await workflow.execute_activity(patient, "", start_to_close_timeout=LONG)
        except TimeoutError:
            return "timed out"
        except ActivityError as error:
            return f"activity error: {type(error.cause).__name__}"
        return ""


async def test_asyncio_timeout_cancels_the_activity_inside_it(gateway: Gateway) -> None:
    """The activity's own error leaves the block, as with Temporal: its cause is the cancellation."""
    async with gateway.on([TimeoutAroundActivity], [patient]) as client:
        handle = await client.start_workflow(TimeoutAroundActivity.run, id="w", task_queue=QUEUE)
        await until(lambda: seen == ["began"])
        gateway.advance(client, 30)
        assert await asyncio.wait_for(handle.result(), 5) == "activity error: CancelledError"
        await until(lambda: seen == ["began", "asked to stop"])


async def test_cancelling_while_an_activity_backs_off_ends_it_at_once(gateway: Gateway) -> None:
    async with gateway.on([BacksOff], [fails_slowly]) as client:
        handle = await client.start_workflow(BacksOff.run, id="w", task_queue=QUEUE)
        await until(lambda: seen == ["failed"])
        await asyncio.sleep(0.02)
        await handle.cancel()
        await _cancelled(handle)
        gateway.advance(client, 4000)
        await asyncio.sleep(0.02)
        assert seen == ["failed"]


@activity.defn
async def fails_slowly() -> None:
    seen.append("failed")
    raise RuntimeError("again later")


@workflow.defn
class BacksOff:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            fails_slowly,
            start_to_close_timeout=LONG,
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
        )
