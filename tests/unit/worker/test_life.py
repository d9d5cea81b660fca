"""The life of a worker: running, shutting down, failing; what its activities and its plugins see of that."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.activity_slots import ActivitySlots
from overwinter.runtime.client import Client, WorkflowHandle
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.engine import Engine
from overwinter.runtime.exceptions import CancelledError
from overwinter.runtime.journal import MemoryJournal, StorageFailed
from overwinter.runtime.processes import ProcessPool
from overwinter.runtime.worker import Plugin, Worker, WorkerConfig
from tests.unit.gateways import engine_on, until
from tests.unit.worker import process_activities

SOON = timedelta(seconds=20)
QUEUE = "farm"


@workflow.defn
class Call:
    """Calls the activity of this name, of whatever worker serves the queue."""

    @workflow.run
    async def run(self, name: str) -> str:
        result: str = await workflow.execute_activity(
            name, task_queue="activities", start_to_close_timeout=SOON
        )
        return result


class Script:
    """Activities that end as the test says."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.details: list[activity.ActivityCancellationDetails | None] = []
        self.release = threading.Event()

    @activity.defn
    async def returns_when_cancelled(self) -> str:
        self.begun.append("returns_when_cancelled")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.details.append(activity.cancellation_details())
        return "properly cancelled"

    @activity.defn
    async def sees_the_shutdown(self) -> str:
        self.begun.append("sees_the_shutdown")
        assert not activity.is_worker_shutdown()
        await activity.wait_for_worker_shutdown()
        return f"shutdown {activity.is_worker_shutdown()}, cancelled {activity.is_cancelled()}"

    @activity.defn
    async def only_the_first_time(self) -> str:
        self.begun.append("only_the_first_time")
        if len(self.begun) == 1:
            await asyncio.sleep(60)
        return f"attempt {activity.info().attempt}, begun {len(self.begun)} times"

    @activity.defn
    def in_a_thread(self) -> str:
        self.begun.append("in_a_thread")
        try:
            while not self.release.is_set():
                time.sleep(0.01)
        except CancelledError:
            self.details.append(activity.cancellation_details())
            return "thread was cancelled"
        return "released"

    @property
    def all(self) -> list[Callable[..., object]]:
        return [
            self.returns_when_cancelled,
            self.sees_the_shutdown,
            self.only_the_first_time,
            self.in_a_thread,
        ]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with (
        engine_on(MemoryJournal(), SystemClock()) as client,
        Worker(client, task_queue=QUEUE, workflows=[Call]),
    ):
        yield client


async def call(client: Client, name: str, script: Script) -> WorkflowHandle[Any, Any]:
    handle = await client.start_workflow(Call.run, name, id="call", task_queue=QUEUE)
    await until(lambda: script.begun == [name], what="the activity runs")
    return handle


# -- running and shutting down -------------------------------------------------------------------------


async def test_a_worker_runs_once_until_it_is_shut_down(client: Client) -> None:
    worker = Worker(client, task_queue="activities", activities=Script().all)
    assert (worker.is_running, worker.is_shutdown) == (False, False)
    running = asyncio.ensure_future(worker.run())
    await asyncio.sleep(0.01)
    assert (worker.is_running, worker.is_shutdown) == (True, False)
    await asyncio.gather(worker.shutdown(), worker.shutdown())
    assert (worker.is_running, worker.is_shutdown) == (False, True)
    await running
    with pytest.raises(RuntimeError, match="Already started"):
        await worker.run()
    with pytest.raises(RuntimeError, match="Already started"):
        async with worker:
            pass


async def test_a_worker_that_is_shut_down_before_it_runs_ends_when_it_does(client: Client) -> None:
    worker = Worker(client, task_queue="activities", activities=Script().all)
    stopping = asyncio.ensure_future(worker.shutdown())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    await worker.run()
    await stopping


async def test_cancelling_run_shuts_down(client: Client) -> None:
    worker = Worker(client, task_queue="activities", activities=Script().all)
    running = asyncio.ensure_future(worker.run())
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (worker.is_running, worker.is_shutdown) == (False, True)


async def test_an_error_within_the_block_comes_out_of_it(client: Client) -> None:
    worker = Worker(client, task_queue="activities", activities=Script().all)
    with pytest.raises(LookupError, match="inside"):
        async with worker:
            raise LookupError("inside")
    assert worker.is_shutdown


async def test_a_worker_cannot_be_left_that_was_not_entered(client: Client) -> None:
    with pytest.raises(RuntimeError, match="Never started"):
        await Worker(client, task_queue="activities", activities=Script().all).__aexit__(None)


# -- what activities see of it -----------------------------------------------------------------------


async def test_the_result_of_an_activity_that_is_cancelled_by_the_shutdown_counts(client: Client) -> None:
    script = Script()
    worker = Worker(client, task_queue="activities", activities=script.all)
    async with worker:
        handle = await call(client, "returns_when_cancelled", script)
    assert await handle.result() == "properly cancelled"
    assert script.details == [activity.ActivityCancellationDetails(worker_shutdown=True)]


async def test_an_activity_may_end_by_itself_within_the_grace(client: Client) -> None:
    script = Script()
    async with Worker(client, task_queue="activities", activities=script.all, graceful_shutdown_timeout=SOON):
        handle = await call(client, "sees_the_shutdown", script)
    assert await handle.result() == "shutdown True, cancelled False"


async def test_an_activity_that_ends_by_the_shutdown_is_made_again_by_the_next_worker(client: Client) -> None:
    script = Script()
    async with Worker(client, task_queue="activities", activities=script.all):
        handle = await call(client, "only_the_first_time", script)
    async with Worker(client, task_queue="activities", activities=script.all):
        assert await handle.result() == "attempt 1, begun 2 times"


async def test_a_thread_is_cancelled_after_the_grace(client: Client) -> None:
    script = Script()
    grace = timedelta(milliseconds=50)
    async with Worker(
        client, task_queue="activities", activities=script.all, graceful_shutdown_timeout=grace
    ):
        handle = await call(client, "in_a_thread", script)
    assert await handle.result() == "thread was cancelled"
    assert script.details == [activity.ActivityCancellationDetails(worker_shutdown=True)]


@pytest.mark.parametrize("name", ["wait_for_shutdown", "wait_for_cancellation"])
async def test_a_process_sees_the_shutdown_and_its_result_counts(client: Client, name: str) -> None:
    pool = ProcessPool(1)
    grace = SOON if name == "wait_for_shutdown" else timedelta(milliseconds=50)
    async with Worker(
        client,
        task_queue="activities",
        activities=[process_activities.wait_for_shutdown, process_activities.wait_for_cancellation],
        activity_executor=pool,
        graceful_shutdown_timeout=grace,
    ):
        handle = await client.start_workflow(Call.run, name, id="call", task_queue=QUEUE)
        await until(lambda: pool.children == 1, what="a process")
        await asyncio.sleep(0.5)  # it says nothing until it is told
    expected = {
        "wait_for_shutdown": "shutdown True, cancelled False",
        "wait_for_cancellation": "cancelled by the shutdown: True",
    }
    assert await handle.result() == expected[name]
    await pool.close()


async def test_what_does_not_stop_is_left_behind_after_a_while(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ActivitySlots.close, "__defaults__", (0.05,))
    script = Script()

    @activity.defn(name="stubborn", no_thread_cancel_exception=True)
    def stubborn() -> str:
        script.begun.append("stubborn")
        script.release.wait(10)
        return "late"

    async with Worker(client, task_queue="activities", activities=[stubborn]):
        await call(client, "stubborn", script)
    script.release.set()
    assert "stubborn" in caplog.text


async def test_a_worker_for_local_activities_takes_no_others(client: Client) -> None:
    script = Script()
    async with Worker(client, task_queue="activities", activities=script.all, no_remote_activities=True):
        handle = await client.start_workflow(Call.run, "only_the_first_time", id="call", task_queue=QUEUE)
        await asyncio.sleep(0.05)
        assert script.begun == []
        script.begun.append("a placeholder, so that it returns at once")
        async with Worker(client, task_queue="activities", activities=script.all):
            assert await handle.result() == "attempt 1, begun 2 times"


# -- failing -------------------------------------------------------------------------------------------


class _BrokenJournal(MemoryJournal):
    broken = False

    async def commit(self, batch: object) -> dict[int, object]:  # type: ignore[override]
        if self.broken:
            raise StorageFailed("the device is gone")
        return await super().commit(batch)  # type: ignore[arg-type, return-value]


async def _fail(engine: Engine) -> None:
    assert isinstance(engine.journal, _BrokenJournal)
    engine.journal.broken = True
    engine.note_sent([1])  # something to write


async def test_a_failed_engine_cancels_the_block_and_its_error_comes_out() -> None:
    told: list[BaseException] = []

    async def on_fatal_error(error: BaseException) -> None:
        told.append(error)

    async with engine_on(_BrokenJournal(), SystemClock()) as client:
        worker = Worker(client, task_queue=QUEUE, workflows=[Call], on_fatal_error=on_fatal_error)
        with pytest.raises(RuntimeError, match="Workflow worker failed") as failed:
            async with worker:
                await _fail(client.engine)
                await asyncio.sleep(60)
        assert isinstance(failed.value.__cause__, StorageFailed)
        assert told == [failed.value]
        assert worker.is_shutdown


async def test_run_raises_what_failed_also_when_nobody_may_be_told() -> None:
    async def on_fatal_error(_error: BaseException) -> None:
        raise LookupError("nobody listens")

    async with engine_on(_BrokenJournal(), SystemClock()) as client:
        worker = Worker(client, task_queue=QUEUE, activities=Script().all, on_fatal_error=on_fatal_error)
        running = asyncio.ensure_future(worker.run())
        await asyncio.sleep(0.01)
        await _fail(client.engine)
        with pytest.raises(RuntimeError, match="Activity worker failed"):
            await running


# -- plugins -------------------------------------------------------------------------------------------


class _Noting(Plugin):
    """Notes when the worker runs; before it lets it run it may wait, or raise."""

    def __init__(self, name: str, notes: list[str], error: Exception | None = None) -> None:
        self._name, self._notes, self._error = name, notes, error

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        self._notes.append(f"{self._name} configures")
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.sleep(0.01)
        self._notes.append(f"{self._name} runs")
        try:
            await next(worker)
        finally:
            await asyncio.sleep(0.01)
            self._notes.append(f"{self._name} cleans up, shut down: {worker.is_shutdown}")


@pytest.mark.parametrize("by_run", [True, False])
async def test_plugins_run_the_worker_the_first_outermost_and_clean_up_after_it(
    client: Client, by_run: bool
) -> None:
    notes: list[str] = []
    plugins = [_Noting("first", notes), _Noting("second", notes)]
    worker = Worker(client, task_queue="activities", activities=Script().all, plugins=plugins)
    if by_run:
        running = asyncio.ensure_future(worker.run())
        await until(lambda: worker.is_running)
        await worker.shutdown()
        await running
    else:
        async with worker:
            await until(lambda: worker.is_running)
    assert notes == [
        "first configures",
        "second configures",
        "first runs",
        "second runs",
        "second cleans up, shut down: True",
        "first cleans up, shut down: True",
    ]


async def test_a_plugin_that_does_not_let_the_worker_run_is_not_waited_for(client: Client) -> None:
    plugin = _Noting("broken", [], LookupError("no licence"))
    worker = Worker(client, task_queue="activities", activities=Script().all, plugins=[plugin])
    with pytest.raises(LookupError, match="no licence"):
        async with worker:
            await asyncio.sleep(60)
    await worker.shutdown()


async def test_clean_up_of_plugins_has_its_time(client: Client) -> None:
    class Slow(_Noting):
        async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
            await next(worker)
            await asyncio.sleep(60)

    worker = Worker(
        client,
        task_queue="activities",
        activities=Script().all,
        plugins=[Slow("slow", [])],
        plugin_shutdown_timeout=timedelta(milliseconds=50),
    )
    began = time.monotonic()
    async with worker:
        pass
    assert time.monotonic() - began < 5
