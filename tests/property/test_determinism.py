"""Random asyncio programs replay to the same commands and the same result, wherever they are cut.

Each drawn program is run on an engine that forgets its code after every activation, so that each step is a replay of
all steps before; the outcome must be that of an engine that never forgets.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock, SystemEntropy
from overwinter.runtime.core.activities import ActivityOutcome
from overwinter.runtime.core.commands import identity
from overwinter.runtime.core.events import COMMANDS
from overwinter.runtime.engine import Engine, EngineLimits
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.worker import Worker
from overwinter.runtime.workflow import _activities

LEAVES = st.one_of(
    st.tuples(st.just("activity"), st.integers(0, 9)),
    st.tuples(st.just("sleep"), st.integers(1, 3)),
    st.tuples(st.just("patient"), st.integers(0, 9)),
    st.tuples(st.just("yield"), st.integers(0, 3)),
    st.tuples(st.just("count"), st.integers(1, 9)),
    st.tuples(st.just("random"), st.just(0)),
    st.tuples(st.just("lock"), st.integers(0, 1)),
)
PROGRAMS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.tuples(
        st.sampled_from(
            ["seq", "gather", "group", "first", "as_completed", "timeout", "cancel0", "cancel1", "cancel2"]
        ),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


@activity.defn
async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@workflow.defn
class Program:
    """Interprets a drawn program; its trace tells the order in which everything happened."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.locks = [asyncio.Lock(), asyncio.Lock()]

    @workflow.run
    async def run(self, program: Any) -> list[str]:
        await self.do(program, "p")
        return self.trace

    async def do(self, program: Any, name: str) -> str:
        kind, what = program
        self.trace.append(f"{name} {kind}")
        result = await getattr(self, f"_{kind}")(what, name)
        self.trace.append(f"{name} {result}")
        return name

    async def _activity(self, number: int, _name: str) -> int:
        return await workflow.execute_activity(double, number, start_to_close_timeout=timedelta(seconds=60))

    async def _patient(self, number: int, _name: str) -> int:
        return await workflow.execute_activity(
            double,
            number,
            start_to_close_timeout=timedelta(seconds=60),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def _count(self, turns: int, name: str) -> None:
        for turn in range(turns):
            await asyncio.sleep(0)
            self.trace.append(f"{name} turn {turn}")

    async def _sleep(self, seconds: int, _name: str) -> None:
        await asyncio.sleep(seconds)

    async def _yield(self, count: int, _name: str) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def _random(self, _zero: int, _name: str) -> str:
        return f"{workflow.random().random()} {workflow.uuid4()}"

    async def _lock(self, number: int, _name: str) -> None:
        async with self.locks[number]:
            await asyncio.sleep(1)

    async def _seq(self, programs: list[Any], name: str) -> None:
        for index, program in enumerate(programs):
            await self.do(program, f"{name}{index}")

    async def _gather(self, programs: list[Any], name: str) -> list[str]:
        return list(await asyncio.gather(*[self.do(p, f"{name}{i}") for i, p in enumerate(programs)]))

    async def _group(self, programs: list[Any], name: str) -> None:
        async with asyncio.TaskGroup() as group:
            for index, program in enumerate(programs):
                group.create_task(self.do(program, f"{name}{index}"))

    async def _first(self, programs: list[Any], name: str) -> list[str]:
        tasks = [asyncio.create_task(self.do(p, f"{name}{i}")) for i, p in enumerate(programs)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return [task.result() for task in done]

    async def _cancelled(self, programs: list[Any], name: str, after: int) -> str:
        tasks = [asyncio.create_task(self.do(p, f"{name}{i}")) for i, p in enumerate(programs)]
        for _ in range(after):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel(f"{name} has enough")
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        return " ".join(repr(end) for end in ends)

    async def _cancel0(self, programs: list[Any], name: str) -> str:
        return await self._cancelled(programs, name, 0)

    async def _cancel1(self, programs: list[Any], name: str) -> str:
        return await self._cancelled(programs, name, 1)

    async def _cancel2(self, programs: list[Any], name: str) -> str:
        result = await self._cancelled(programs[:1], name, 2)
        await workflow.sleep(1)  # what was asked for in this activation is recorded
        tasks = [asyncio.create_task(self.do(p, f"{name}b{i}")) for i, p in enumerate(programs)]
        await workflow.sleep(0.001)
        for task in tasks:
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        return result + " ".join(repr(end) for end in ends)

    async def _as_completed(self, programs: list[Any], name: str) -> list[str]:
        tasks = [self.do(p, f"{name}{i}") for i, p in enumerate(programs)]
        return [await task for task in asyncio.as_completed(tasks)]

    async def _timeout(self, programs: list[Any], name: str) -> str:
        try:
            async with asyncio.timeout(2):
                await self._seq(programs, name)
        except TimeoutError:
            return "timed out"
        return "in time"


class Entropy(SystemEntropy):
    """The same identifiers in each run, and so the same random numbers."""

    def __init__(self) -> None:
        self._count = 0

    def run_id(self) -> str:
        self._count += 1
        return str(uuid.UUID(int=self._count))


async def run_until(done: asyncio.Future[Any], engine: Engine, clock: ManualClock, *, forgets: bool) -> None:
    try:
        while not done.done():
            for _ in range(30):
                await asyncio.sleep(0)
                if forgets:
                    for live in engine.cache:
                        live.drop_instance()
            clock.advance(1.0)
            engine.look_at_clock()
    finally:
        done.cancel()


async def run_once(program: Any, *, forgets: bool) -> tuple[list[str], list[tuple[object, ...]], int]:
    clock = ManualClock()
    limits = EngineLimits(cached_executions_max=0 if forgets else 1000)
    async with Engine(MemoryJournal(), clock, Entropy(), limits) as engine:
        client = Client(engine)
        async with Worker(client, task_queue="q", workflows=[Program], activities=[double]):
            handle = await client.start_workflow(Program.run, program, id="w", task_queue="q")
            result = asyncio.ensure_future(handle.result())
            await run_until(result, engine, clock, forgets=forgets)
            events = (await handle.fetch_history()).records
            commands = [identity(event.body) for event in events if isinstance(event.body, COMMANDS)]
            return await result, commands, engine.counters.replays


@settings(max_examples=60, deadline=None)
@given(PROGRAMS)
def test_a_program_that_is_rebuilt_at_every_step_does_what_it_does_when_it_stays_in_memory(
    program: Any,
) -> None:
    stays = asyncio.run(run_once(program, forgets=False))
    forgotten = asyncio.run(run_once(program, forgets=True))
    assert forgotten[:2] == stays[:2]


@settings(max_examples=60, deadline=None)
@given(PROGRAMS)
def test_an_outcome_that_is_waited_for_at_once_comes_in_the_turn_in_which_that_of_a_handle_would(
    program: Any,
) -> None:
    at_once = asyncio.run(run_once(program, forgets=False))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_activities, "intercepted", lambda _instance: True)  # as it is with interceptors
        by_handles = asyncio.run(run_once(program, forgets=False))
    assert at_once == by_handles


def test_the_comparison_sees_an_outcome_that_begins_a_turn_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ["cancel1", [["activity", 1], ["count", 5]]]
    right = asyncio.run(run_once(program, forgets=False))
    begin = ActivityOutcome.__init__

    def begun(self: ActivityOutcome[Any], *args: Any) -> None:
        begin(self, *args)
        self._begun = True

    monkeypatch.setattr(ActivityOutcome, "__init__", begun)
    monkeypatch.setattr(ActivityOutcome, "_begin", lambda self: None)
    assert asyncio.run(run_once(program, forgets=False)) != right


def test_the_comparison_does_rebuild() -> None:
    program = ["seq", [["activity", 1], ["sleep", 1], ["gather", [["activity", 2], ["sleep", 2]]]]]
    assert asyncio.run(run_once(program, forgets=False))[2] == 0
    assert asyncio.run(run_once(program, forgets=True))[2] >= 3


COUNT = 0


class Cheat(Program):
    """Not deterministic: what it does depends on how often the process has run it."""

    async def _yield(self, count: int, name: str) -> None:
        global COUNT
        COUNT += 1
        if COUNT % 2:
            await self._sleep(1, name)


def test_the_comparison_sees_code_that_does_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "_yield", Cheat._yield)
    program = ["seq", [["yield", 0], ["activity", 1], ["sleep", 1]]]

    async def bounded() -> object:
        async with asyncio.timeout(3):
            return await run_once(program, forgets=True)

    with pytest.raises(TimeoutError):  # the execution is blocked, for code and history part
        asyncio.run(bounded())
