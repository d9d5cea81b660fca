"""Workflows with clocks of their own, which skip. What Temporal's server shows too is in `tests/differential/own_clocks`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WithStartWorkflowOperation, WorkflowUpdateStage
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.common import RetryPolicy, WorkflowIDConflictPolicy
from overwinter.runtime.core.events import TimeSkipped, event_name
from overwinter.runtime.display import views
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.service import RPCError, RPCStatusCode
from overwinter.runtime.testing import TimeSkipper, TimeSkippingConfig, WorkflowEnvironment
from overwinter.runtime.worker import Replayer, Worker
from tests.unit.gateways import QUEUE, FailingJournal, Gateway, SqliteGateway, failing, until

HOUR = timedelta(hours=1)


@activity.defn
async def third_time_lucky() -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("not yet")
    return activity.info().attempt


@workflow.defn
class Hours:
    """Sleeps hour by hour, and does as it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self, hours: int) -> float:
        began = workflow.now()
        for _ in range(hours):
            await workflow.sleep(HOUR)
        return round((workflow.now() - began) / HOUR, 2)

    @workflow.signal
    def say(self, text: str) -> None:
        self.heard.append(text)

    @workflow.update
    async def rest(self, hours: float) -> float:
        began = workflow.now()
        await workflow.sleep(timedelta(hours=hours))
        return round((workflow.now() - began) / HOUR, 2)


@workflow.defn
class Retrying:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(
            third_time_lucky,
            schedule_to_close_timeout=timedelta(days=1),
            retry_policy=RetryPolicy(initial_interval=HOUR),
        )


@workflow.defn
class Waiting:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


def worker_of(client: Client) -> Worker:
    return Worker(
        client, task_queue=QUEUE, workflows=[Hours, Retrying, Waiting], activities=[third_time_lucky]
    )


async def names_in(handle: Any) -> list[str]:
    return [event_name(event.body) for event in (await handle.fetch_history()).records]


async def refusal(awaitable: Awaitable[Any]) -> str:
    with pytest.raises(RuntimeError) as refused:
        await awaitable
    return str(refused.value)


async def test_what_there_is_one_clock_for_is_refused_where_each_workflow_has_its_own() -> None:
    async with await WorkflowEnvironment.start_time_skipping_v2() as environment:
        assert "use env.fast_forward(handle, duration)" in await refusal(environment.sleep(1))
        assert "requires a workflow handle" in await refusal(environment.get_current_time())
        with (
            pytest.raises(RuntimeError, match="with_time_skipping_disabled"),
            environment.auto_time_skipping_disabled(),
        ):
            pass
        supported = (environment.supports_time_skipping_v1, environment.supports_time_skipping_v2)
        assert (environment.supports_time_skipping, *supported) == (True, False, True)


async def test_on_real_time_there_is_nothing_to_fast_forward() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        handle = environment.client.get_workflow_handle("w")
        assert "start_time_skipping_v2" in await refusal(environment.fast_forward(handle, 1))
        assert "start_time_skipping_v2" in await refusal(environment.get_time_skipping_info(handle))
        assert abs(await environment.get_current_time() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_season_of_hourly_sleeps_takes_a_moment() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        began = time.process_time()
        assert await environment.client.execute_workflow(Hours.run, 90 * 24, id="w", task_queue=QUEUE) == 2160
        assert time.process_time() - began < 8


async def test_a_history_with_skipped_time_replays() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        for run in (Hours.run, Retrying.run):
            args = [3] if run is Hours.run else []
            handle = await environment.client.start_workflow(run, args=args, id="w", task_queue=QUEUE)
            await handle.result()
            assert "TimeSkipped" in await names_in(handle)
            replayer = Replayer(workflows=[Hours, Retrying])
            await replayer.replay_workflow(await handle.fetch_history())


async def test_an_update_rests_on_the_workflows_own_clock() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        start = WithStartWorkflowOperation(
            Hours.run, 1000, id="w", task_queue=QUEUE, id_conflict_policy=WorkflowIDConflictPolicy.FAIL
        )
        update = await environment.client.start_update_with_start_workflow(
            Hours.rest, 5, start_workflow_operation=start, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        assert await update.result() == 5


async def test_what_was_skipped_and_where_it_ends_survives_a_restart(durable: SqliteGateway) -> None:
    durable.clock = SystemClock()
    async with durable.on([Hours]) as client:
        skipper = TimeSkipper(client)
        with skipper.with_time_skipping_disabled():
            handle = await skipper.client.start_workflow(Hours.run, 30, id="w", task_queue=QUEUE)
        assert await skipper.fast_forward(handle, timedelta(hours=10, minutes=30))
        before = await skipper.get_current_time(handle)
    async with durable.on([Hours]) as client:
        skipper = TimeSkipper(client)
        handle = client.get_workflow_handle("w")
        assert timedelta() <= await skipper.get_current_time(handle) - before < timedelta(minutes=1)
        info = await skipper.get_time_skipping_info(handle)
        assert info is not None
        assert info.fast_forward_info.has_completed
        assert not info.effective_config.enabled
        assert await skipper.fast_forward(handle) is False
        assert await handle.result() == 30


async def test_an_execution_that_skips_goes_on_skipping_after_a_restart(durable: SqliteGateway) -> None:
    durable.clock = SystemClock()
    async with durable.on([Waiting]) as client:
        await TimeSkipper(client).client.start_workflow(Hours.run, 3, id="w", task_queue=QUEUE)
    async with durable.on([Hours]) as client:
        assert await client.get_workflow_handle("w").result() == 3


async def test_a_skip_that_a_crash_came_before_is_made_at_the_next_start(gateway: Gateway) -> None:
    gateway.clock = SystemClock()
    gateway.journal = journal = FailingJournal("StartTimer")
    journal.armed = True
    async with failing(gateway, [Hours]) as client:
        with contextlib.suppress(RPCError):
            await TimeSkipper(client).client.execute_workflow(Hours.run, 3, id="w", task_queue=QUEUE)
    journal.armed = journal.broken = False
    async with gateway.on([Hours]) as client:
        handle = client.get_workflow_handle("w")
        assert "TimeSkipped" not in (await names_in(handle))[:4]
        assert await handle.result() == 3


async def test_a_paused_execution_skips_nothing() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        with environment.with_time_skipping_disabled():
            handle = await environment.client.start_workflow(Hours.run, 2, id="w", task_queue=QUEUE)
        await until(lambda: _has(handle, "TimerStarted"))
        await handle.pause()
        forward = asyncio.ensure_future(environment.fast_forward(handle, 3 * 3600))
        await until(lambda: _has(handle, "TimeSkippingChanged"))
        await asyncio.sleep(0.05)
        assert "TimeSkipped" not in await names_in(handle)
        await handle.unpause()
        assert await forward is False
        assert await handle.result() == 2


async def _has(handle: Any, name: str) -> bool:
    return name in await names_in(handle)


async def test_a_blocked_execution_skips_nothing_until_its_code_is_mended(gateway: Gateway) -> None:
    gateway.clock = SystemClock()
    async with gateway.on([_Broken]) as client:
        handle = await TimeSkipper(client).client.start_workflow("Mended", id="w", task_queue=QUEUE)
        await until(lambda: _is_blocked(handle))
        assert "TimeSkipped" not in await names_in(handle)
    async with gateway.on([_Mended]) as client:
        assert await client.get_workflow_handle("w").result() == "mended"


async def _is_blocked(handle: Any) -> bool:
    return (await handle.describe()).blocked is not None


@workflow.defn(name="Mended")
class _Broken:
    @workflow.run
    async def run(self) -> str:
        raise ValueError("a bug")


@workflow.defn(name="Mended")
class _Mended:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(HOUR)
        return "mended"


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_fast_forward_goes_forward(seconds: float) -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        handle = await environment.client.start_workflow(Waiting.run, id="w", task_queue=QUEUE)
        with pytest.raises(ValueError, match="fast_forward must be positive"):
            await environment.fast_forward(handle, seconds)


async def test_a_fast_forward_of_nobody_is_refused() -> None:
    async with await WorkflowEnvironment.start_time_skipping_v2() as environment:
        handle = environment.client.get_workflow_handle("nobody")
        for asked in (environment.fast_forward(handle, 1), environment.fast_forward(handle)):
            with pytest.raises(RPCError) as refused:
                await asked
            assert refused.value.status == RPCStatusCode.NOT_FOUND


async def test_a_fast_forward_that_the_number_of_skips_ends_did_not_come_so_far() -> None:
    config = TimeSkippingConfig(max_session_skip_count=2)
    async with (
        await WorkflowEnvironment.start_time_skipping_v2(ts_config=config) as environment,
        worker_of(environment.client),
    ):
        with environment.with_time_skipping_disabled():
            handle = await environment.client.start_workflow(Hours.run, 5, id="w", task_queue=QUEUE)
        assert await environment.fast_forward(handle, 4 * 3600) is False
        info = await environment.get_time_skipping_info(handle)
        assert info is not None
        assert (info.current_session_skip_count, info.effective_config.enabled) == (2, False)


async def test_a_cancelled_wait_for_a_fast_forward_leaves_it_going() -> None:
    async with await WorkflowEnvironment.start_time_skipping_v2() as environment:
        with environment.with_time_skipping_disabled():
            handle = await environment.client.start_workflow(Hours.run, 2, id="w", task_queue=QUEUE)
        waiting = asyncio.ensure_future(environment.fast_forward(handle, 1.5 * 3600))
        await until(lambda: _has(handle, "TimeSkippingChanged"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with worker_of(environment.client):
            await until(lambda: _has(handle, "TimeSkipped"))


async def test_a_reader_is_told_how_long_was_skipped() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        handle = await environment.client.start_workflow(Hours.run, 1, id="w", task_queue=QUEUE)
        await handle.result()
        events = (await handle.fetch_history()).records
        (skip,) = [views.event(event) for event in events if isinstance(event.body, TimeSkipped)]
        assert skip["attributes"]["seconds"] == pytest.approx(3600, abs=5)


async def test_another_client_of_the_environment_starts_workflows_without_skipping() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping_v2() as environment,
        worker_of(environment.client),
    ):
        client = await environment.connect_client(identity="other")
        handle = await client.start_workflow(Hours.run, 1, id="w", task_queue=QUEUE)
        assert await environment.get_time_skipping_info(handle) is None
