"""The deterministic loop: order, time, hashes, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from overwinter.runtime.core.loop import (
    DeterminismViolation,
    TimerHandle,
    WorkflowLoop,
    running_workflow_loop,
)


class Timers:
    """Timers that the test fires."""

    def __init__(self) -> None:
        self.waiting: dict[TimerHandle, float] = {}
        self.cancelled = 0

    def start_timer(self, handle: TimerHandle, delay_s: float) -> None:
        handle.timer_id = len(self.waiting) + 1
        self.waiting[handle] = delay_s

    def cancel_timer(self, handle: TimerHandle) -> None:
        del self.waiting[handle]
        self.cancelled += 1


class Run:
    """A coroutine on a loop of its own."""

    def __init__(self, coro: Any, salt: int = 0) -> None:
        self.timers = Timers()
        self.loop = WorkflowLoop(self.timers, None, salt)
        with self.loop:
            self.task = self.loop.create_task(coro)
            self.loop.drain()

    def fire_next(self) -> None:
        handle = min(self.timers.waiting, key=lambda found: self.timers.waiting[found])
        self.loop.now_s += self.timers.waiting.pop(handle)
        handle.timer_id = 0
        with self.loop:
            self.loop.fire(handle)
            self.loop.drain()

    def result(self) -> Any:
        while not self.task.done() and self.timers.waiting:
            self.fire_next()
        return self.task.result()


async def test_ready_callbacks_run_in_the_order_in_which_they_became_ready() -> None:
    said: list[str] = []

    async def speak(name: str) -> None:
        for turn in range(2):
            said.append(f"{name}{turn}")
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(speak("a"), speak("b"))

    Run(both())
    assert said == ["a0", "b0", "a1", "b1"]


async def test_a_loop_never_waits_time_stands_still_until_its_owner_moves_it() -> None:
    seen: list[float] = []

    async def sleeper() -> str:
        for seconds in (3600.0, 86_400.0):
            seen.append(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds)
        return "spring"

    run = Run(sleeper())
    assert list(run.timers.waiting.values()) == [3600.0]
    assert run.result() == "spring"
    assert seen == [0.0, 3600.0]


async def test_a_timeout_that_is_not_needed_withdraws_its_timer() -> None:
    async def quick() -> int:
        async with asyncio.timeout(10):
            return await asyncio.wait_for(asyncio.sleep(0, 7), 5)

    run = Run(quick())
    assert (run.task.result(), run.timers.waiting) == (7, {})
    assert run.timers.cancelled >= 1


async def test_a_timeout_that_passes_cancels_what_it_is_around() -> None:
    async def slow() -> str:
        try:
            async with asyncio.timeout(1):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "timed out"
        return "?"

    assert Run(slow()).result() == "timed out"


async def tangle() -> list[str]:
    """Much that asyncio keeps in sets."""
    order: list[str] = []

    async def branch(name: str, delay: float) -> str:
        try:
            await asyncio.sleep(delay)
            order.append(name)
        except asyncio.CancelledError:
            order.append(f"{name} cancelled")
            raise
        return name

    tasks = [asyncio.create_task(branch(f"t{n}", 1.0 + n % 3)) for n in range(20)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    order += [task.result() for task in done]
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(10):
                group.create_task(branch(f"g{n}", 5.0))
            raise ValueError("enough")  # noqa: TRY301 - so that the group cancels its tasks, in the order of a set
    except* ValueError:
        pass
    return order


async def test_the_order_of_asyncios_sets_repeats_from_run_to_run() -> None:
    first = Run(tangle()).result()
    ballast = [object() for _ in range(10_000)]  # so that addresses differ
    assert [Run(tangle()).result() for _ in range(5)] == [first] * 5
    del ballast


async def test_the_hash_of_a_task_is_its_number_whatever_other_executions_do() -> None:
    async def nothing() -> None:
        pass

    first, second = Run(nothing(), salt=1), Run(nothing(), salt=2)
    assert hash(first.task) != hash(second.task)
    assert hash(Run(nothing(), salt=1).task) == hash(first.task)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.open_connection("127.0.0.1", 1),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1),
    ],
    ids=["thread", "connection", "process", "name"],
)
async def test_what_would_leave_the_process_is_refused_and_remembered(reach: Any) -> None:
    async def reaches_out() -> str:
        try:
            await reach()
        except DeterminismViolation:
            return "caught"
        return "done"

    run = Run(reaches_out())
    assert run.task.result() == "caught"
    assert isinstance(run.loop.violation, DeterminismViolation)  # code cannot hide it


async def test_the_hosts_loop_is_the_running_one_before_and_after_also_when_code_raises() -> None:
    host = asyncio.get_running_loop()
    inside: list[object] = []

    async def look() -> None:
        inside.append(running_workflow_loop())
        raise ValueError("a bug")

    run = Run(look())
    assert inside == [run.loop]
    assert asyncio.get_running_loop() is host
    assert running_workflow_loop() is None
    assert isinstance(run.task.exception(), ValueError)
    await asyncio.sleep(0)


async def test_unfinished_tasks_are_unwound_when_they_are_closed() -> None:
    said: list[str] = []

    async def waits(name: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            said.append(name)

    async def all_of_them() -> None:
        await asyncio.gather(waits("a"), waits("b"))

    run = Run(all_of_them())
    with run.loop:
        run.loop.close_tasks()
    assert said == ["a", "b"]


async def test_what_a_query_did_to_the_loop_is_undone() -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    run = Run(waits())
    mark = run.loop.mark()
    with run.loop:
        extra = run.loop.create_task(waits())
        run.loop.restore(mark)
        assert run.loop.has_ready() is False
        following = run.loop.create_task(waits())
        run.loop.close_tasks()
    assert hash(following) == hash(extra)
