"""Code and histories in memory are bounded, and executions go on as if they were not."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overwinter import activity, workflow
from overwinter.runtime.cache import Cache, weight_of
from overwinter.runtime.client import Client
from overwinter.runtime.core.instance import Instance
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.live import LiveExecution
from overwinter.runtime.ports import ExecutionRecord
from overwinter.runtime.service import RPCError
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, GatedJournal, Gateway, engine_on, event_names, served, until

SMALL = 20_000
"""More than an execution without large values counts for."""
go = asyncio.Event()


@activity.defn
async def when_told(text: str) -> str:
    await go.wait()
    return text


@workflow.defn
class Sleeps:
    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(7200))


@workflow.defn
class Keeps:
    """Keeps what it is sent, and counts how often its code was begun."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.ends = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.ends)
        return sum(map(len, self.kept))

    @workflow.signal
    def keep(self, text: str) -> None:
        self.kept.append(text)

    @workflow.signal
    def end(self) -> None:
        self.ends = True

    @workflow.query
    def count(self) -> int:
        return len(self.kept)


@workflow.defn
class Asks:
    @workflow.run
    async def run(self, text: str) -> str:
        first = await workflow.execute_activity(when_told, text, start_to_close_timeout=timedelta(seconds=60))
        return f"{first} {workflow.uuid4()}"


ALL: list[type] = [Keeps, Asks, Sleeps]


@pytest.fixture(autouse=True)
def _not_yet() -> None:
    global go
    go = asyncio.Event()


def loaded(client: Client) -> list[str]:
    """The executions whose code is in memory."""
    return [live.record.workflow_id for live in client.engine.cache if live.instance is not None]


async def start(client: Client, *names: str) -> list[Any]:
    return [await client.start_workflow(Keeps.run, id=name, task_queue=QUEUE) for name in names]


async def test_code_takes_no_more_bytes_than_it_may_and_what_was_used_longest_ago_leaves(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL, limits=EngineLimits(cached_bytes_max=5 * SMALL)) as client:
        handles = await start(client, *(f"w{number}" for number in range(30)))
        cache = client.engine.cache
        await until(lambda: cache.bytes <= 5 * SMALL, what="the rest leaves")
        assert 5 <= len(loaded(client)) < 10
        assert loaded(client)[-1] == "w29"
        oldest = loaded(client)[0]
        await client.get_workflow_handle(oldest).signal(Keeps.keep, "again")
        await start(client, "one more")
        assert oldest in loaded(client)
        for handle in handles:
            await handle.signal(Keeps.keep, "x" * 10)
            await handle.signal(Keeps.end)
        lengths = [await handle.result() for handle in handles]
        assert lengths == [10 + 5 * (handle.id == oldest) for handle in handles]
        assert client.engine.counters.replays > 20


async def test_an_execution_whose_activity_runs_gives_its_code_back_and_goes_on(gateway: Gateway) -> None:
    async with gateway.on(ALL, [when_told], limits=EngineLimits(cached_bytes_max=5 * SMALL)) as client:
        handles = [
            await client.start_workflow(Asks.run, f"{number}", id=f"w{number}", task_queue=QUEUE)
            for number in range(30)
        ]
        cache = client.engine.cache
        await until(lambda: cache.bytes <= 5 * SMALL, what="code leaves")
        assert len(cache) == 30
        assert len(loaded(client)) < 10
        go.set()
        results = [await handle.result() for handle in handles]
        assert [result.split()[0] for result in results] == [f"{number}" for number in range(30)]
        assert client.engine.counters.replays >= 20


async def test_a_single_huge_execution_is_not_read_again_for_each_step_and_leaves_room(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL, limits=EngineLimits(cached_bytes_max=10 * SMALL)) as client:
        (huge,) = await start(client, "huge")
        await huge.signal(Keeps.keep, "x" * 100 * SMALL)
        handles = await start(client, *(f"w{number}" for number in range(4)))
        assert client.engine.cache.bytes > 10 * SMALL
        before = client.engine.counters.replays
        for number in range(5):
            for handle in handles:
                await handle.signal(Keeps.keep, "more")
            await huge.signal(Keeps.keep, f"{number}")
        assert client.engine.counters.replays == before
        assert await huge.query(Keeps.count) == 6
        # It leaves when it was not used for long.
        await start(client, *(f"v{number}" for number in range(10)))
        await until(lambda: "huge" not in loaded(client), what="it leaves")
        assert client.engine.cache.bytes <= 10 * SMALL
        assert await huge.query(Keeps.count) == 6


async def test_what_code_held_is_freed_when_it_leaves_and_not_when_the_collector_comes(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL, limits=EngineLimits(cached_bytes_max=10 * SMALL)) as client:
        (handle,) = await start(client, "w")
        await handle.signal(Keeps.keep, "one")
        live = client.engine.cache.open_run("w")
        assert live is not None
        assert live.instance is not None
        held = weakref.ref(live.instance.workflow_object)
        await asyncio.sleep(0)  # Nobody is in the middle of a call.
        gc.disable()
        try:
            live.drop_instance()
            assert held() is None
        finally:
            gc.enable()
        await handle.signal(Keeps.end)
        assert client.engine.failure is None


async def test_what_waited_for_a_timer_leaves_nothing_behind_for_the_collector(gateway: Gateway) -> None:
    async with (
        engine_on(gateway.journal, gateway.clock) as client,
        Worker(client, task_queue=QUEUE, workflows=ALL),
    ):
        await client.start_workflow(Sleeps.run, id="w", task_queue=QUEUE)
        live = client.engine.cache.open_run("w")
        assert live is not None
        assert live.instance is not None
        parts = [weakref.ref(live.instance), weakref.ref(live.instance.loop)]
        await asyncio.sleep(0)  # Nobody is in the middle of a call.
        gc.disable()
        try:
            live.drop_instance()
            assert [part() for part in parts] == [None, None]
        finally:
            gc.enable()


async def test_a_worker_keeps_no_more_code_than_it_asks_for_and_others_keep_theirs(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock) as client:
        forgetful = Worker(client, task_queue=QUEUE, workflows=ALL, max_cached_workflows=0)
        frugal = Worker(client, task_queue="frugal", workflows=ALL, max_cached_workflows=2)
        other = Worker(client, task_queue="other", workflows=ALL)
        async with served(forgetful), served(frugal), served(other):
            for queue in (QUEUE, "frugal", "other"):
                for number in range(5):
                    name = f"{queue} {number}"
                    await client.start_workflow(Keeps.run, id=name, task_queue=queue)
                    await client.get_workflow_handle(name).signal(Keeps.keep, "one")
            await until(lambda: len(loaded(client)) == 7, what="what is too much leaves")
            assert [name for name in loaded(client) if not name.startswith("other")] == [
                "frugal 3",
                "frugal 4",
            ]
            for _ in range(2):
                await client.get_workflow_handle(f"{QUEUE} 0").signal(Keeps.keep, "more")
            assert await client.get_workflow_handle(f"{QUEUE} 0").query(Keeps.count) == 3
            assert client.engine.counters.replays >= 8


async def test_histories_that_are_read_at_start_are_bounded_and_read_again_in_their_turn(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL) as client:
        for handle in await start(client, *(f"w{number}" for number in range(20))):
            await handle.signal(Keeps.keep, "x" * SMALL)
    async with engine_on(gateway.journal, gateway.clock) as client:
        for number in range(
            20
        ):  # Nobody hands these over: they wait for a worker, and are read at the next start.
            await client.get_workflow_handle(f"w{number}").signal(Keeps.end)
    limits = EngineLimits(cached_bytes_max=3 * SMALL)
    async with engine_on(gateway.journal, gateway.clock, limits) as client:
        cache = client.engine.cache
        assert len(cache) == 20
        assert cache.bytes <= 5 * SMALL
        async with served(Worker(client, task_queue=QUEUE, workflows=ALL)):
            for number in range(20):
                result = await client.get_workflow_handle_for(Keeps.run, f"w{number}").result()
                assert result == SMALL
        assert cache.bytes == 0


# -- the bounds and the order, on drawn sequences ------------------------------------------------------------


class _Code:
    """Stands for the code of an execution."""

    def evict(self) -> None:
        pass


def fill(cache: Cache, key: int, more_bytes: int) -> None:
    """The execution with this key goes on, and its history grows."""
    live = cache.get(key)
    if live is None:
        live = execution(key)
        cache.hold(live)
    live.instance = cast("Instance", _Code())
    live.size += more_bytes
    cache.used(live)


def execution(key: int) -> LiveExecution:
    return LiveExecution(
        ExecutionRecord(
            key=key,
            workflow_id=f"{key}",
            run_id="r",
            workflow_type="T",
            task_queue="q",
            started_at_us=0,
        )
    )


def even(live: LiveExecution) -> bool:
    return live.record.key % 2 == 0


def nobody(_live: LiveExecution) -> bool:
    return False


KEYS = st.integers(0, 12)
SIZES = st.sampled_from([0, 10, 3_000, 40_000, 400_000])
COUNTS = st.sampled_from([0, 1, 3, 100])
BYTES = st.sampled_from([20_000, 100_000, 10**9])


@given(st.lists(st.tuples(KEYS, SIZES), max_size=60), COUNTS, BYTES)
def test_those_that_leave_are_those_used_longest_ago_and_no_more_than_must(
    uses: list[tuple[int, int]], count_max: int, bytes_max: int
) -> None:
    cache = Cache(count_max, bytes_max)
    stay: list[LiveExecution] = []
    """By a plain list: those used last at the end."""
    for key, more_bytes in uses:
        fill(cache, key, more_bytes)
        live = cache.get(key)
        assert live is not None
        stay = [*(other for other in stay if other.record.key != key), live]
        while len(stay) > count_max or sum(min(weight_of(one), bytes_max // 2) for one in stay) > bytes_max:
            del stay[0]
        cache.evict(nobody, even)
        assert {one.record.key for one in cache if one.instance is not None} == {
            one.record.key for one in stay
        }
        assert cache.bytes == sum(map(weight_of, stay))
        # One of which something runs on stays, without its code; of the others nothing does.
        assert all(one.rebuildable or not even(one) for one in cache) or len(cache) - len(stay) <= count_max
        assert all(cache.open_run(one.record.workflow_id) is one for one in cache)


@given(
    st.lists(st.tuples(KEYS, SIZES, st.sets(KEYS), st.none() | KEYS), max_size=40),
    st.sampled_from([1, 3]),
    BYTES,
)
def test_who_is_busy_stays_and_the_bounds_hold_for_the_others(
    steps: list[tuple[int, int, set[int], int | None]], count_max: int, bytes_max: int
) -> None:
    cache = Cache(count_max, bytes_max)
    for key, more_bytes, busy, unloaded in steps:
        fill(cache, key, more_bytes)
        if unloaded is not None and (live := cache.get(unloaded)) is not None:
            live.drop_instance()  # The cache is not told.
        before = {live.record.key for live in cache if live.rebuildable}
        cache.evict(lambda live, busy=busy: live.record.key in busy, even)
        after = {live.record.key for live in cache if live.rebuildable}
        assert before & busy <= after
        over = len(after) > count_max or (
            sum(min(weight_of(live), bytes_max // 2) for live in cache) > bytes_max
        )
        assert not over or after <= busy
    for live in cache:
        cache.drop(live)
    assert (len(cache), cache.bytes, cache.full) == (0, 0, False)


def test_what_can_be_forgotten_is_forgotten_though_much_else_stays() -> None:
    cache = Cache(10, 10**9)
    for key in range(1000):
        cache.hold(execution(key))
    for _ in range(100):
        cache.evict(nobody, lambda live: live.record.key >= 900)
    assert len(cache) == 900


async def test_what_is_being_written_stays_in_memory_until_it_can_be_read_again() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on([Keeps], limits=EngineLimits(cached_executions_max=0)) as client:
        ends = await client.start_workflow(Keeps.run, id="ends", task_queue=QUEUE)
        stays = await client.start_workflow(Keeps.run, id="stays", task_queue=QUEUE)
        await until(lambda: not len(client.engine.cache), what="both leave memory")
        journal.held = True
        end = asyncio.create_task(ends.signal(Keeps.end))
        await until(lambda: journal.waiting, what="the end of one is being written")
        other = asyncio.create_task(stays.signal(Keeps.keep, "a"))
        await until(lambda: client.engine.cache.open_run("stays") is not None, what="the other is read")
        late = asyncio.create_task(ends.signal(Keeps.keep, "too late"))
        await asyncio.sleep(0.01)
        journal.held = False
        journal.let()
        await asyncio.gather(end, other)
        with pytest.raises(RPCError, match="already completed"):
            await late
        assert await event_names(client, "ends") == ["WorkflowStarted", "Signaled", "WorkflowCompleted"]


@pytest.mark.parametrize("how", [Cache.drop, Cache.unload])
async def test_an_execution_that_left_memory_is_rebuilt_once_for_many_queries(
    gateway: Gateway, how: Callable[[Cache, LiveExecution], None]
) -> None:
    async with gateway.on(ALL) as client:
        handle = await client.start_workflow(Keeps.run, id="w", task_queue=QUEUE)
        await handle.signal(Keeps.keep, "x")
        live = client.engine.cache.open_run("w")
        assert live is not None
        await until(lambda: live.idle)
        how(client.engine.cache, live)
        before = client.engine.counters.replays
        for _ in range(3):
            assert await handle.query(Keeps.count) == 1
        assert client.engine.counters.replays == before + 1
