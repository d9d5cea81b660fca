"""Many environments in one run of tests: in one event loop, and in threads with loops of their own."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowFailureError
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker

QUEUE = "tests"


@activity.defn
async def double(value: int) -> int:
    await asyncio.sleep(0)
    return 2 * value


@workflow.defn
class Days:
    @workflow.run
    async def run(self, days: int) -> list[int]:
        found = []
        for day in range(days):
            await workflow.sleep(timedelta(days=1))
            found.append(
                await workflow.execute_activity(double, day, start_to_close_timeout=timedelta(minutes=1))
            )
        return found


@workflow.defn
class Forbidden:
    @workflow.run
    async def run(self) -> None:
        time.time()


async def _season(days: int) -> timedelta:
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Days], activities=[double]),
    ):
        before = await environment.get_current_time()
        result = await environment.client.execute_workflow(Days.run, days, id="w", task_queue=QUEUE)
        assert result == [2 * day for day in range(days)]
        return await environment.get_current_time() - before


async def test_two_hundred_environments_in_one_loop_have_each_its_own_time_and_executions() -> None:
    days = [1 + number % 7 for number in range(200)]
    passed = await asyncio.gather(*map(_season, days))
    for expected, found in zip(days, passed, strict=True):
        assert timedelta(days=expected) <= found < timedelta(days=expected, hours=1)


def test_environments_in_threads_do_not_disturb_each_other() -> None:
    def run(number: int) -> timedelta:
        async def several() -> timedelta:
            return max(await asyncio.gather(*[_season(number % 5 + 1) for _ in range(4)]))

        return asyncio.run(several())

    with ThreadPoolExecutor(8) as threads:
        passed = list(threads.map(run, range(16)))
    for number, found in enumerate(passed):
        assert timedelta(days=number % 5 + 1) <= found < timedelta(days=number % 5 + 1, hours=1)


class _Neighbours:
    """Threads that read clocks and draw random numbers as any program may, and note whatever refuses it."""

    def __init__(self, count: int) -> None:
        self.refused: list[BaseException] = []
        self.calls = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(count)]

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                time.time()
                random.random()
                self.calls += 1
        except BaseException as error:
            self.refused.append(error)

    def __enter__(self) -> _Neighbours:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


async def test_what_workflow_code_may_not_do_other_threads_may_meanwhile() -> None:
    with _Neighbours(3) as neighbours:
        await asyncio.gather(*[_season(5) for _ in range(5)])
    assert neighbours.refused == []
    assert neighbours.calls > 0


def _in_threads(count: int, function: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(function) for _ in range(count)]]


def test_workflow_code_is_guarded_in_every_thread() -> None:
    async def refused() -> str:
        async with (
            await WorkflowEnvironment.start_time_skipping() as environment,
            Worker(environment.client, task_queue=QUEUE, workflows=[Forbidden]),
        ):
            handle = await environment.client.start_workflow(Forbidden.run, id="w", task_queue=QUEUE)
            while (blocked := (await handle.describe()).blocked) is None:
                await asyncio.sleep(0.01)
            return blocked.cause

    for cause in _in_threads(6, lambda: asyncio.run(refused())):
        assert cause.startswith("DeterminismViolation: time.time was called from workflow code")


async def test_a_season_of_hourly_sleeps_takes_a_moment() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as environment,
        Worker(environment.client, task_queue=QUEUE, workflows=[Hours]),
    ):
        before = time.process_time()
        assert await environment.client.execute_workflow(Hours.run, 90 * 24, id="w", task_queue=QUEUE) == 90
        # Some 0.1 ms for each timer on one core; polling for the next one took 1 ms of waiting for each.
        assert time.process_time() - before < 5


@workflow.defn
class Hours:
    @workflow.run
    async def run(self, hours: int) -> int:
        began = workflow.now()
        for _ in range(hours):
            await workflow.sleep(timedelta(hours=1))
        return (workflow.now() - began).days


async def test_a_failure_of_one_environment_leaves_the_others_alone() -> None:
    async def fails() -> None:
        async with (
            await WorkflowEnvironment.start_time_skipping() as environment,
            Worker(environment.client, task_queue=QUEUE, workflows=[Asserts]),
        ):
            with pytest.raises(WorkflowFailureError):
                await environment.client.execute_workflow(Asserts.run, id="w", task_queue=QUEUE)

    await asyncio.gather(*[_season(3) for _ in range(5)], *[fails() for _ in range(5)])


@workflow.defn
class Asserts:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(60)
        assert workflow.info().attempt == 2
