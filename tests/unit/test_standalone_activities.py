"""Activities that a client starts without a workflow: what Temporal's differential cases do not show."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import (
    ActivityExecutionStatus,
    ActivityFailureError,
    ActivityHandle,
    ActivityOptionsKeys,
    BatchOperationTermination,
    Client,
    DescribeActivityInput,
    Interceptor,
    OutboundInterceptor,
    PendingActivityState,
    StartActivityInput,
    WorkflowUpdateFailedError,
)
from overwinter.runtime.common import ActivityIDConflictPolicy, RetryPolicy
from overwinter.runtime.converter import DataConverter, PayloadCodec
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.exceptions import (
    ActivityAlreadyStartedError,
    ActivityError,
    ApplicationError,
    CancelledError,
    TerminatedError,
    TimeoutError,
)
from overwinter.runtime.interceptors import ActivityInboundInterceptor, ExecuteActivityInput
from overwinter.runtime.interceptors import Interceptor as WorkerInterceptor
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.service import RPCError, RPCStatusCode
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, engine_on, served, until

seen: list[Any] = []
gate = asyncio.Event()
LONG: dict[str, Any] = {"task_queue": QUEUE, "start_to_close_timeout": timedelta(hours=9)}
NOBODY: dict[str, Any] = LONG | {"task_queue": "nobody"}


@pytest.fixture(autouse=True)
def _forget() -> Any:
    global gate
    seen.clear()
    gate = asyncio.Event()
    yield


@activity.defn
async def double(n: int) -> int:
    seen.append(n)
    return 2 * n


@activity.defn
async def waits(name: str) -> str:
    info = activity.info()
    seen.append((info.attempt, list(info.heartbeat_details)))
    activity.heartbeat(f"{name} {info.attempt}")
    await gate.wait()
    return name


@activity.defn
async def fails() -> int:
    seen.append(activity.info().attempt)
    raise ApplicationError(f"attempt {activity.info().attempt}")


@activity.defn
async def by_hand() -> str:
    seen.append(activity.info().task_token)
    activity.raise_complete_async()


@workflow.defn
class Asks:
    @workflow.run
    async def run(self) -> str:
        await workflow.execute_activity(waits, "w", start_to_close_timeout=timedelta(hours=1))
        return "done"


@workflow.defn
class CancelsIt:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> list[Any]:
        handle = workflow.start_activity(waits, "w", start_to_close_timeout=timedelta(hours=1))
        await workflow.wait_condition(lambda: self.go)
        handle.cancel()
        try:
            await handle
        except ActivityError as error:
            assert isinstance(error.cause, CancelledError)
            return list(error.cause.details)
        return ["it ended"]

    @workflow.signal
    def cancel(self) -> None:
        self.go = True


ACTIVITIES = [double, waits, fails, by_hand]


async def state(handle: ActivityHandle[Any]) -> str:
    found = (await handle.describe()).run_state
    return "" if found is None else found.name


async def began(handle: ActivityHandle[Any], attempt: int = 1) -> None:
    async def running() -> bool:
        found = await handle.describe()
        return found.run_state == PendingActivityState.STARTED and found.attempt == attempt

    await until(running, what=f"attempt {attempt} of {handle.id} runs")


async def failure_of(handle: ActivityHandle[Any]) -> BaseException:
    with pytest.raises(ActivityFailureError) as failed:
        await handle.result()
    return failed.value.cause


# -- over restarts ---------------------------------------------------------------------------------------------


async def test_one_that_runs_when_its_gateway_ends_is_attempted_again(durable: SqliteGateway) -> None:
    async with durable.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(waits, "pump", id="a", **LONG)
        await until(lambda: len(seen) == 1)
        await client.engine.flushed()
    async with durable.on(activities=ACTIVITIES) as client:
        await until(lambda: len(seen) == 2)
        gate.set()
        assert await client.get_activity_handle("a", run_id=handle.run_id).result() == "pump"
    assert seen == [(1, []), (1, ["pump 1"])]
    async with durable.on(activities=ACTIVITIES) as client:  # It has ended for good.
        found = await client.get_activity_handle("a").describe(include_outcome=True)
        assert (found.status, found.attempt) == (ActivityExecutionStatus.COMPLETED, 1)
        assert await found.result() == "pump"
        assert await client.get_activity_handle("a").result() == "pump"
    assert len(seen) == 2


async def test_a_back_off_goes_on_after_a_restart(durable: SqliteGateway) -> None:
    policy = RetryPolicy(initial_interval=timedelta(minutes=10), maximum_attempts=2)
    async with durable.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(fails, id="a", retry_policy=policy, **LONG)
        await until(lambda: seen == [1])

        async def backs_off() -> bool:
            return (await handle.describe()).next_attempt_schedule_time is not None

        await until(backs_off)
    async with durable.on(activities=ACTIVITIES) as client:
        handle = client.get_activity_handle("a")
        found = await handle.describe(include_last_failure=True)
        assert (found.attempt, found.run_state) == (2, PendingActivityState.SCHEDULED)
        assert found.current_retry_interval == timedelta(minutes=10)
        assert str(await found.last_failure()) == "attempt 1"
        assert seen == [1]
        durable.advance(client, 600)
        assert str(await failure_of(handle)) == "attempt 2"
        assert (await handle.describe()).status == ActivityExecutionStatus.FAILED


async def test_a_delay_a_pause_and_changed_options_hold_over_restarts(durable: SqliteGateway) -> None:
    async with durable.on(activities=ACTIVITIES) as client:
        await client.start_activity(double, 1, id="delayed", start_delay=timedelta(hours=1), **LONG)
        paused = await client.start_activity(double, 2, id="paused", **NOBODY)
        await paused.pause(reason="maintenance")
        await paused.update_options(
            [
                ActivityOptionsKeys.task_queue.value_set(QUEUE),
                ActivityOptionsKeys.heartbeat_timeout.value_set(timedelta(seconds=7)),
            ]
        )
    async with durable.on(activities=ACTIVITIES) as client:
        paused, delayed = client.get_activity_handle("paused"), client.get_activity_handle("delayed")
        found = await paused.describe()
        assert (found.status, found.run_state) == (
            ActivityExecutionStatus.PAUSED,
            PendingActivityState.PAUSED,
        )
        assert (found.task_queue, found.heartbeat_timeout) == (QUEUE, timedelta(seconds=7))
        assert await state(delayed) == "SCHEDULED"
        assert seen == []
        durable.advance(client, 3600)
        assert await delayed.result() == 2
        await paused.unpause()
        assert await paused.result() == 4


async def test_a_cancellation_that_was_asked_for_holds_over_a_restart(durable: SqliteGateway) -> None:
    async with durable.on(activities=ACTIVITIES) as client:
        await client.start_activity(by_hand, id="a", **LONG)
        await until(lambda: len(seen) == 1)
        await client.get_activity_handle("a").cancel(reason="too late")
        assert await state(client.get_activity_handle("a")) == "CANCEL_REQUESTED"
    async with durable.on(activities=ACTIVITIES) as client:
        cause = await failure_of(client.get_activity_handle("a"))
        assert isinstance(cause, CancelledError)
        assert cause.details == ("too late",)
    assert len(seen) == 1


async def test_a_timeout_that_passed_while_the_gateway_was_off_ends_it(durable: SqliteGateway) -> None:
    async with durable.on(activities=ACTIVITIES) as client:
        await client.start_activity(
            double, 1, id="a", task_queue="nobody", schedule_to_close_timeout=timedelta(minutes=1)
        )
        durable.advance(client, 90)
    async with durable.on(activities=ACTIVITIES) as client:
        handle = client.get_activity_handle("a")
        assert isinstance(await failure_of(handle), TimeoutError)
        assert (await handle.describe()).status == ActivityExecutionStatus.TIMED_OUT


# -- beside workflows ------------------------------------------------------------------------------------------


async def test_an_activity_and_a_workflow_may_have_the_same_id(gateway: Gateway) -> None:
    async with gateway.on([Asks], ACTIVITIES) as client:
        flow = await client.start_workflow(Asks.run, id="same", task_queue=QUEUE)
        assert await client.execute_activity(double, 4, id="same", **LONG) == 8
        assert [run.id async for run in client.list_workflows()] == ["same"]
        assert [each.activity_id async for each in client.list_activities("")] == ["same"]
        assert (await client.count_workflows()).count == (await client.count_activities()).count == 1
        gate.set()
        assert await flow.result() == "done"


async def test_what_is_done_to_all_workflows_is_not_done_to_activities(gateway: Gateway) -> None:
    async with gateway.on([Asks], ACTIVITIES) as client:
        flow = await client.start_workflow(Asks.run, id="w", task_queue=QUEUE)
        handle = await client.start_activity(waits, "a", id="a", **LONG)
        job = await client.start_batch_operation(
            BatchOperationTermination(), query="ExecutionStatus = 'Running'"
        )
        assert (await job.result()).total_operation_count == 1
        assert (await flow.describe()).status.name == "TERMINATED"  # type: ignore[union-attr]
        gate.set()
        assert await handle.result() == "a"


async def test_a_pause_of_its_task_queue_holds_it(gateway: Gateway) -> None:
    async with gateway.on([Asks], ACTIVITIES) as client:
        await client.pause_workflows(task_queue=QUEUE)
        handle = await client.start_activity(double, 1, id="a", **LONG)
        assert await state(handle) == "PAUSED"
        assert seen == []
        await client.unpause_workflows(task_queue=QUEUE)
        assert await handle.result() == 2


async def test_no_workflow_may_have_an_id_that_looks_like_an_activitys(gateway: Gateway) -> None:
    async with gateway.on([Asks], ACTIVITIES) as client:
        for name, id in ((Asks.run, "overwinter-activity:a"), ("overwinter-activity:Asks", "w")):
            with pytest.raises(ValueError, match="for activities"):
                await client.start_workflow(name, id=id, task_queue=QUEUE)
        assert (await client.count_workflows()).count == 0


async def test_signals_queries_and_updates_find_nothing_in_an_activity(gateway: Gateway) -> None:
    async with gateway.on([Asks], ACTIVITIES) as client:
        handle = await client.start_activity(waits, "a", id="a", **LONG)
        inner = client.get_workflow_handle("overwinter-activity:a")
        await inner.signal("put", 1)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await inner.execute_update("put", 1)
        assert "takes no updates" in str(refused.value.cause)
        gate.set()
        assert await handle.result() == "a"


async def test_a_cancelled_activity_of_a_workflow_has_no_heartbeat_in_its_details(gateway: Gateway) -> None:
    async with gateway.on([CancelsIt], ACTIVITIES) as client:
        handle = await client.start_workflow(CancelsIt.run, id="w", task_queue=QUEUE)
        await until(lambda: len(seen) == 1)
        await handle.signal(CancelsIt.cancel)
        assert await handle.result() == []


# -- attempts --------------------------------------------------------------------------------------------------


async def test_a_running_attempt_gets_new_limits(gateway: Gateway) -> None:
    async with gateway.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(
            waits, "a", id="a", retry_policy=RetryPolicy(maximum_attempts=1), **LONG
        )
        await began(handle)
        await handle.update_options(
            [ActivityOptionsKeys.start_to_close_timeout.value_set(timedelta(milliseconds=1))]
        )
        cause = await failure_of(handle)
        assert isinstance(cause, TimeoutError)
        assert cause.message == "activity StartToClose timeout"


async def test_a_changed_task_queue_moves_what_waits(gateway: Gateway) -> None:
    async with gateway.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(double, 3, id="a", **NOBODY)
        assert client.engine.activities_waiting() == 1
        await handle.update_options([ActivityOptionsKeys.task_queue.value_set(QUEUE)])
        assert await handle.result() == 6
        assert client.engine.activities_waiting() == 0


async def test_a_shorter_timeout_is_counted_from_the_start(gateway: Gateway) -> None:
    async with gateway.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(double, 3, id="a", **NOBODY)
        gateway.advance(client, 100)
        await handle.update_options(
            [ActivityOptionsKeys.schedule_to_close_timeout.value_set(timedelta(seconds=200))]
        )
        gateway.advance(client, 99)
        assert await state(handle) == "SCHEDULED"
        gateway.advance(client, 2)
        assert isinstance(await failure_of(handle), TimeoutError)


async def test_an_attempt_that_is_terminated_changes_nothing_any_more(gateway: Gateway) -> None:
    async with gateway.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(waits, "a", id="a", **LONG)
        await began(handle)
        await handle.terminate(reason="broken pump")
        cause = await failure_of(handle)
        assert isinstance(cause, TerminatedError)
        assert cause.message == "broken pump"
        assert await client.execute_activity(double, 1, id="a", **LONG) == 2
        first = client.get_activity_handle("a", run_id=handle.run_id)
        found = await first.describe()
        assert (found.status, found.attempt) == (ActivityExecutionStatus.TERMINATED, 1)
        assert found.last_started_time is not None
        latest = await client.get_activity_handle("a").describe()
        assert latest.status == ActivityExecutionStatus.COMPLETED


async def test_jitter_delays_what_goes_on_by_no_more_than_it_says(gateway: Gateway) -> None:
    async with gateway.on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(double, 3, id="a", **LONG | {"start_delay": timedelta(hours=1)})
        await handle.pause()
        gateway.advance(client, 3600)
        await handle.unpause(jitter=timedelta(minutes=1))
        gateway.advance(client, 60)
        assert await handle.result() == 6


async def test_of_two_starts_at_the_same_time_one_begins(gateway: Gateway) -> None:
    async with gateway.on(activities=ACTIVITIES) as client:
        answers = await asyncio.gather(
            *[client.start_activity(waits, "a", id="a", **LONG) for _ in range(5)], return_exceptions=True
        )
        refused = [each for each in answers if isinstance(each, ActivityAlreadyStartedError)]
        assert len(refused) == 4
        existing = await client.start_activity(
            waits, "a", id="a", id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING, **LONG
        )
        assert {each.run_id for each in refused} == {existing.run_id}
        gate.set()
        assert await existing.result() == "a"
        assert (await client.count_activities()).count == 1


async def test_a_full_journal_refuses_a_start_and_loses_nothing() -> None:
    journal = MemoryJournal()
    async with Gateway(journal).on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(waits, "a", id="a", **LONG)
        await began(handle)
        journal.fail_next = StorageFull("no space is left")
        with pytest.raises(RPCError) as refused:
            await client.start_activity(double, 1, id="b", **LONG)
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        gate.set()
        assert await handle.result() == "a"
        assert await client.execute_activity(double, 1, id="b", **LONG) == 2


async def test_a_result_that_finds_no_room_waits_for_it() -> None:
    journal = MemoryJournal()
    async with Gateway(journal).on(activities=ACTIVITIES) as client:
        handle = await client.start_activity(waits, "a", id="a", **LONG)
        await began(handle)
        await client.engine.flushed()
        journal.fail_next = StorageFull("no space is left")
        gate.set()
        assert await handle.result() == "a"
        assert (await handle.describe()).status == ActivityExecutionStatus.COMPLETED


# -- values and interceptors -----------------------------------------------------------------------------------


class _Mirrored(PayloadCodec):
    """Nothing is stored as it is."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload({"encoding": b"mirrored"}, p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.FromString(p.data[::-1]) if p.metadata.get("encoding") == b"mirrored" else p
            for p in payloads
        ]


async def test_values_go_through_the_codec_both_ways(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock) as plain:
        client = Client(plain.engine, data_converter=DataConverter(payload_codec=_Mirrored()))
        async with served(Worker(client, task_queue=QUEUE, activities=ACTIVITIES)):
            handle = await client.start_activity(waits, "a secret", id="a", **LONG)
            await began(handle)
            gate.set()
            assert await handle.result() == "a secret"
            found = await handle.describe(include_input=True, include_heartbeat_details=True)
            assert (await found.input(), await found.heartbeat_details()) == (["a secret"], ["a secret 1"])
            queued = await client.start_activity(double, 1, id="b", **NOBODY)
            await queued.cancel(reason="not wanted")  # It is stored as it is, as Temporal's server does.
            cause = await failure_of(queued)
            assert isinstance(cause, CancelledError)
            assert cause.details == ("not wanted",)
        (record,) = await plain.engine.journal.executions(workflow_id="overwinter-activity:a")
        history = await plain.engine.journal.history(record)
        kept = [repr(event.body) for event in history.events]
        assert "a secret" not in "".join(kept)
        assert "mirrored" in "".join(kept)


async def test_interceptors_stand_around_every_call(gateway: Gateway) -> None:
    class Outbound(OutboundInterceptor):
        async def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
            seen.append(("start", input.activity_type, input.id))
            input.headers = {"who": Payload({"encoding": b"json/plain"}, b'"me"')}
            return await super().start_activity(input)

        async def describe_activity(self, input: DescribeActivityInput) -> Any:
            seen.append(("describe", input.activity_id, input.include_input))
            return await super().describe_activity(input)

    class Outer(Interceptor):
        def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
            return Outbound(super().intercept_client(next))

    class Inbound(ActivityInboundInterceptor):
        async def execute_activity(self, input: ExecuteActivityInput) -> Any:
            seen.append(("run", input.headers["who"].data))
            return await super().execute_activity(input)

    class Inner(WorkerInterceptor):
        def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
            return Inbound(next)

    async with engine_on(gateway.journal, gateway.clock) as plain:
        client = Client(plain.engine, interceptors=[Outer()])
        worker = Worker(client, task_queue=QUEUE, activities=[double], interceptors=[Inner()])
        async with served(worker):
            handle = await client.start_activity(double, 1, id="a", **LONG)
            assert await handle.result() == 2
            await handle.describe(include_input=True)
    assert seen == [("start", "double", "a"), ("run", b'"me"'), 1, ("describe", "a", True)]
