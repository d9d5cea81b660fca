"""Timers: once, not before their instant, and over restarts and jumps of the clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime import recovery
from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.live import LiveExecution
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, engine_on, event_names, until


@workflow.defn
class Sleeps:
    def __init__(self) -> None:
        self.awake = False

    @workflow.run
    async def run(self, seconds: float) -> float:
        before = workflow.time()
        await workflow.sleep(seconds)
        self.awake = True
        return workflow.time() - before

    @workflow.query
    def is_awake(self) -> bool:
        return self.awake


@workflow.defn
class TellsTheTime:
    @workflow.run
    async def run(self) -> tuple[float, float, int]:
        return workflow.time(), asyncio.get_running_loop().time(), workflow.time_ns()


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_a_timer_does_not_fire_before_its_instant(gateway: Gateway) -> None:
    async with gateway.on([Sleeps]) as client:
        handle = await client.start_workflow(Sleeps.run, 3600.0, id="w", task_queue=QUEUE)
        gateway.advance(client, 3599.9)
        await _settled()
        assert await handle.query(Sleeps.is_awake) is False
        gateway.advance(client, 0.2)
        assert await handle.result() >= 3600


async def test_a_timer_that_was_due_while_nothing_ran_fires_once(durable: SqliteGateway) -> None:
    async with durable.on([Sleeps]) as client:
        await client.start_workflow(Sleeps.run, 3600.0, id="w", task_queue=QUEUE)
    durable.clock.advance(90 * 86_400)  # type: ignore[attr-defined] - tests have a clock by hand
    async with durable.on([Sleeps]) as client:
        assert await client.get_workflow_handle("w").result() >= 90 * 86_400 - 1
        assert (await event_names(client, "w")).count("TimerFired") == 1


async def test_a_timer_waits_longer_when_the_clock_was_set_back(gateway: Gateway) -> None:
    async with gateway.on([Sleeps]) as client:
        handle = await client.start_workflow(Sleeps.run, 60.0, id="w", task_queue=QUEUE)
        gateway.advance(client, -3600)
        gateway.advance(client, 61)
        await _settled()
        assert await handle.query(Sleeps.is_awake) is False
        gateway.advance(client, 3600)
        assert await handle.result() >= 60


async def test_executions_over_the_bound_are_evicted_and_their_timers_fire(durable: SqliteGateway) -> None:
    limits = EngineLimits(cached_executions_max=5)
    async with durable.on([Sleeps], limits=limits) as client:
        handles = [
            await client.start_workflow(Sleeps.run, 10.0 + i, id=f"w{i}", task_queue=QUEUE) for i in range(40)
        ]
        await until(lambda: len(client.engine.cache) <= 5, what="executions leave memory")
        assert client.engine.counters.evictions >= 35
        durable.advance(client, 60)
        assert all([await handle.result() >= 10 for handle in handles])
        for handle in handles:
            assert (await event_names(client, handle.id)).count("TimerFired") == 1


async def test_more_timers_in_one_instant_than_are_read_at_a_time_all_fire(
    durable: SqliteGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_PAGE", 3)
    async with durable.on([Sleeps]) as client:
        handles = [
            await client.start_workflow(Sleeps.run, 3600.0, id=f"w{i}", task_queue=QUEUE) for i in range(16)
        ]
        durable.advance(client, 1)
        handles.append(await client.start_workflow(Sleeps.run, 3600.0, id="later", task_queue=QUEUE))

        async def all_sleep() -> bool:
            return len(await durable.journal.due(0, 1 << 62, 100)) == len(handles)

        await until(all_sleep)
        durable.advance(client, 4000)
        for handle in handles:
            assert await asyncio.wait_for(handle.result(), 5) >= 3600
            assert (await event_names(client, handle.id)).count("TimerFired") == 1


@activity.defn
async def measure() -> int:
    await asyncio.sleep(0)
    return 1


@workflow.defn
class MeasuresAndSleeps:
    @workflow.run
    async def run(self) -> int:
        sleep = asyncio.create_task(asyncio.sleep(10))
        measured = await workflow.execute_activity(measure, start_to_close_timeout=timedelta(seconds=60))
        await sleep
        return measured


async def test_a_timer_beside_an_activity_fires_after_its_execution_has_left_memory(gateway: Gateway) -> None:
    """While the activity ran, memory held the timer; when the activity ended the execution was evicted."""
    limits = EngineLimits(cached_executions_max=0)
    async with gateway.on([MeasuresAndSleeps], [measure], limits=limits) as client:
        handle = await client.start_workflow(MeasuresAndSleeps.run, id="w", task_queue=QUEUE)
        await until(lambda: client.engine.counters.evictions > 0, what="it leaves memory")
        gateway.advance(client, 11)
        async with asyncio.timeout(5):
            assert await handle.result() == 1


async def test_a_delayed_start_that_nobody_serves_does_not_keep_the_gateway_busy(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async with gateway.on([Sleeps]) as client:
        fire = client.engine.timekeeper._fire

        def counted(live: LiveExecution) -> None:
            nonlocal looks
            looks += 1
            fire(live)

        monkeypatch.setattr(client.engine.timekeeper, "_fire", counted)
        handle = await client.start_workflow(
            Sleeps.run, 0.0, id="w", task_queue="elsewhere", start_delay=timedelta(seconds=10)
        )
        gateway.advance(client, 11)
        await _settled()
        assert 1 <= looks <= 2
        async with Worker(client, task_queue="elsewhere", workflows=[Sleeps]):
            await until(lambda: timer_started(client), what="it begins")
            gateway.advance(client, 1)
            assert await handle.result() == 1.0


async def timer_started(client: Client) -> bool:
    return "TimerStarted" in await event_names(client, "w")


@workflow.defn
class Stopped:
    """A signal cancels what is waited for."""

    def __init__(self) -> None:
        self.handles: list[asyncio.Task[None]] = []

    @workflow.run
    async def run(self) -> list[str]:
        self.handles = [asyncio.create_task(workflow.sleep(60)), asyncio.create_task(workflow.sleep(90))]
        found = await asyncio.gather(*self.handles, return_exceptions=True)
        await workflow.sleep(1)
        return [type(each).__name__ for each in found]

    @workflow.signal
    def stop(self) -> None:
        for handle in self.handles:
            handle.cancel()


async def test_a_timer_that_fires_in_the_activation_that_cancels_it_stays_cancelled(gateway: Gateway) -> None:
    async with gateway.on([Stopped]) as client:
        await client.start_workflow(Stopped.run, id="w", task_queue=QUEUE)
        await until(lambda: _has(client, "TimerStarted"))
    async with engine_on(
        gateway.journal, gateway.clock
    ) as client:  # without a worker: both are handed over together
        await client.get_workflow_handle("w").signal(Stopped.stop)
        gateway.advance(client, 60)
        await until(lambda: _has(client, "TimerFired"))
    async with gateway.on([Stopped]) as client:
        await until(lambda: _has(client, "TimerCanceled"))
        gateway.advance(client, 1)
        assert await client.get_workflow_handle("w").result() == ["CancelledError", "CancelledError"]
        names = await event_names(client, "w")
    ends = [name for name in names if name in ("TimerFired", "TimerCanceled")]
    assert ends == ["TimerFired", "TimerCanceled", "TimerFired"]


async def _has(client: Client, name: str) -> bool:
    return name in await event_names(client, "w")


async def test_all_clocks_of_a_workflow_agree_to_the_last_bit() -> None:
    """This instant is one where microseconds / 1e6 and nanoseconds / 1e9 differ."""
    at_us = 1_795_598_880_019_888
    assert at_us / 1e6 != at_us * 1000 / 1e9
    gateway = Gateway(MemoryJournal(), ManualClock(at_us))
    async with gateway.on([TellsTheTime]) as client:
        seconds, loop_seconds, nanoseconds = await client.execute_workflow(
            TellsTheTime.run, id="w", task_queue=QUEUE
        )
    assert seconds == loop_seconds == nanoseconds / 1e9
    assert nanoseconds == at_us * 1000
