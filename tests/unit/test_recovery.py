"""What an engine does with executions that it cannot simply go on with in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.core.events import Signaled
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.requests import StartRequest
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, engine_on, event_names, until

calls: list[str] = []


@activity.defn
async def endless() -> None:
    await asyncio.Event().wait()


@activity.defn
async def cut_off_once(name: str) -> str:
    info = activity.info()
    calls.append(f"{name} {info.attempt} {info.idempotency_key} {list(info.heartbeat_details)}")
    if len(calls) == 1:
        activity.heartbeat("half way")
        await asyncio.Event().wait()
    return name


@workflow.defn
class TwoSignals:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self.got) == 2)
        return self.got

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)


@workflow.defn
class Countdown:
    @workflow.run
    async def run(self, left: int) -> str:
        if left == 0:
            return workflow.info().workflow_id
        workflow.continue_as_new(left - 1)


@workflow.defn
class TimerBesideActivity:
    @workflow.run
    async def run(self, seconds: float) -> str:
        work = asyncio.ensure_future(
            workflow.start_activity(endless, schedule_to_close_timeout=timedelta(days=9))
        )
        await workflow.sleep(seconds)
        return "rang" if not work.done() else "?"


@workflow.defn
class OneActivity:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            cut_off_once, name, start_to_close_timeout=timedelta(minutes=5)
        )


async def test_a_signal_sent_in_the_moment_of_the_start_is_not_lost(gateway: Gateway) -> None:
    """Both reach the engine before its next turn; the signal waits until it is known that the run exists."""
    async with gateway.on([TwoSignals]) as client:
        request = StartRequest(workflow_id="w", workflow_type="TwoSignals", task_queue=QUEUE)
        started = client.engine.start(request)
        values = client.values
        first = client.engine.signal("w", None, Signaled("put", values.encode(("a",))))
        second = client.engine.signal("w", None, Signaled("put", values.encode(("b",))))
        await asyncio.wait_for(asyncio.gather(started, first, second), 5)
        assert await client.get_workflow_handle("w").result() == ["a", "b"]


async def test_a_run_that_continues_in_its_first_step_is_followed_by_the_next(gateway: Gateway) -> None:
    async with gateway.on([Countdown]) as client:
        handle = await client.start_workflow(Countdown.run, 3, id="w", task_queue=QUEUE)
        assert await asyncio.wait_for(handle.result(), 5) == "w"
        runs = [run async for run in client.list_workflows()]
        assert [run.status.name for run in runs] == ["COMPLETED", *["CONTINUED_AS_NEW"] * 3]
        assert len({run.run_id for run in runs}) == 4


async def test_runs_that_continue_are_the_same_on_the_disk(durable: SqliteGateway) -> None:
    async with durable.on([Countdown]) as client:
        assert (
            await asyncio.wait_for(client.execute_workflow(Countdown.run, 2, id="w", task_queue=QUEUE), 5)
            == "w"
        )
        assert (await client.engine.journal.counts())["continued_as_new"] == 2


async def test_a_timer_fires_while_an_activity_runs_longer_than_the_engine_looks_ahead(
    gateway: Gateway,
) -> None:
    """An execution with an activity is not listed by its next timer: the alarm must be set in memory."""
    async with gateway.on([TimerBesideActivity], [endless]) as client:
        handle = await client.start_workflow(TimerBesideActivity.run, 7200, id="w", task_queue=QUEUE)
        gateway.advance(client, 7199)
        await asyncio.sleep(0.02)
        assert (await handle.describe()).status.name == "RUNNING"
        gateway.advance(client, 1)
        assert await asyncio.wait_for(handle.result(), 5) == "rang"


async def test_a_timer_beside_an_activity_fires_after_a_restart(durable: SqliteGateway) -> None:
    async with durable.on([TimerBesideActivity], [endless]) as client:
        await client.start_workflow(TimerBesideActivity.run, 60, id="w", task_queue=QUEUE)
    async with durable.on([TimerBesideActivity], [endless]) as client:
        durable.advance(client, 61)
        assert await asyncio.wait_for(client.get_workflow_handle("w").result(), 5) == "rang"


async def test_an_execution_that_began_without_a_worker_goes_on_when_there_is_one(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock) as client:
        handle = await client.start_workflow("TwoSignals", id="w", task_queue=QUEUE)
        await handle.signal("put", "a")
        await handle.signal("put", "b")
        async with Worker(client, task_queue=QUEUE, workflows=[TwoSignals]):
            assert await asyncio.wait_for(handle.result(), 5) == ["a", "b"]


async def test_an_execution_goes_on_with_the_next_worker_of_its_queue(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[TwoSignals]):
            handle = await client.start_workflow("TwoSignals", id="w", task_queue=QUEUE)
            await handle.signal("put", "a")
        await handle.signal("put", "b")
        async with Worker(client, task_queue=QUEUE, workflows=[TwoSignals]):
            assert await asyncio.wait_for(handle.result(), 5) == ["a", "b"]


async def test_an_activity_cut_off_by_a_shutdown_is_made_again_by_the_next_worker(gateway: Gateway) -> None:
    """It counts as the same attempt, has the same key, and is told what it had said."""
    calls.clear()
    async with engine_on(gateway.journal, gateway.clock) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[OneActivity], activities=[cut_off_once]):
            handle = await client.start_workflow(OneActivity.run, "x", id="w", task_queue=QUEUE)
            await until(lambda: len(calls) == 1)
        async with Worker(client, task_queue=QUEUE, workflows=[OneActivity], activities=[cut_off_once]):
            assert await asyncio.wait_for(handle.result(), 5) == "x"
    key = f"{(handle.result_run_id)}:1"
    assert calls == [f"x 1 {key} []", f"x 1 {key} ['half way']"]


async def _has_heartbeat(gateway: Gateway) -> bool:
    return any(attempt.heartbeat for attempt in await gateway.journal.attempts(1))


async def test_an_activity_cut_off_by_a_shutdown_is_made_again_after_a_restart(
    durable: SqliteGateway,
) -> None:
    calls.clear()
    async with durable.on([OneActivity], [cut_off_once]) as client:
        handle = await client.start_workflow(OneActivity.run, "x", id="w", task_queue=QUEUE)
        await until(lambda: len(calls) == 1)
        await until(lambda: _has_heartbeat(durable))
    async with durable.on([OneActivity], [cut_off_once]) as client:
        assert await asyncio.wait_for(client.get_workflow_handle("w").result(), 5) == "x"
    key = f"{handle.result_run_id}:1"
    assert calls == [f"x 1 {key} []", f"x 1 {key} ['half way']"]


async def test_activities_of_a_workflow_that_closed_without_a_worker_are_not_begun_later(
    gateway: Gateway,
) -> None:
    calls.clear()
    async with engine_on(gateway.journal, gateway.clock) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[OneActivityElsewhere]):
            handle = await client.start_workflow(OneActivityElsewhere.run, id="w", task_queue=QUEUE)
            await handle.terminate()
            async with Worker(client, task_queue="elsewhere", activities=[cut_off_once]):
                await asyncio.sleep(0.05)
    assert calls == []


@workflow.defn
class OneActivityElsewhere:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            cut_off_once, "x", task_queue="elsewhere", start_to_close_timeout=timedelta(minutes=5)
        )


@activity.defn
async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@workflow.defn
class Sum:
    def __init__(self) -> None:
        self.extra = 0

    @workflow.run
    async def run(self, upto: int) -> list[int]:
        total = 0
        for number in range(upto):
            total = await workflow.execute_activity(
                add, args=[total, number], start_to_close_timeout=timedelta(seconds=9)
            )
        drawn = workflow.random().randrange(1000)
        await workflow.sleep(3600)
        await workflow.wait_condition(lambda: self.extra > 0)
        return [total, self.extra, drawn]

    @workflow.signal
    async def more(self, extra: int) -> None:
        await workflow.sleep(1)
        self.extra += extra


async def _sums(client: Client, gateway: Gateway, count: int) -> list[list[int]]:
    handles = [
        await client.start_workflow(Sum.run, number % 7, id=f"w{number}", task_queue=QUEUE)
        for number in range(count)
    ]

    async def all_sleep() -> bool:
        return all([(await handle.describe()).next_timer is not None for handle in handles])

    await until(all_sleep)
    for number, handle in enumerate(handles):
        await handle.signal(Sum.more, number + 1)
    gateway.advance(client, 3602)
    return await asyncio.wait_for(asyncio.gather(*[handle.result() for handle in handles]), 15)


async def test_evicted_executions_give_the_same_results_as_cached_ones(gateway: Gateway) -> None:
    async with gateway.on([Sum], [add], limits=EngineLimits(cached_executions_max=5)) as client:
        results = await _sums(client, gateway, 50)
        assert client.engine.counters.evictions > 50
        assert client.engine.counters.replays > 50
    assert [result[:2] for result in results] == [
        [sum(range(number % 7)), number + 1] for number in range(50)
    ]


async def test_nothing_but_its_name_is_lost_when_nothing_is_cached(gateway: Gateway) -> None:
    async with gateway.on([Sum], [add], limits=EngineLimits(cached_executions_max=0)) as client:
        results = await _sums(client, gateway, 5)
        assert [result[:2] for result in results] == [[sum(range(n)), n + 1] for n in range(5)]
        assert (await event_names(client, "w3"))[-1] == "WorkflowCompleted"
