"""Workflow code that does not yield is given up: its execution is blocked with the line, and all others go on."""

from __future__ import annotations

import asyncio
import random
import threading
from asyncio import events
from collections.abc import Callable
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime import watchdog
from overwinter.runtime.client import WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateStage
from overwinter.runtime.core import running
from overwinter.runtime.core.loop import TimerHandle, WorkflowLoop
from overwinter.runtime.core.running import Interrupted, PotentialDeadlock
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.live import source_line
from overwinter.runtime.watchdog import Watchdog
from overwinter.runtime.worker import Replayer, Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on, until

IMPATIENT = EngineLimits(yield_within_s=0.4)
CAUSE = (
    "PotentialDeadlock: [TMPRL1101] Potential deadlock detected: workflow didn't yield within 0.4 second(s)."
)
LOCK = threading.Lock()
stuck = [True]


def _forever() -> None:
    while stuck[0]:
        pass


@workflow.defn(name="Stuck")
class Spins:
    @workflow.run
    async def run(self) -> str:
        _forever()
        return "went on"


@workflow.defn(name="Stuck")
class YieldsToNobodyElse:
    @workflow.run
    async def run(self) -> str:
        while stuck[0]:
            await asyncio.sleep(0)
        return "went on"


@workflow.defn(name="Stuck")
class Swallows:
    @workflow.run
    async def run(self) -> str:
        while stuck[0]:
            try:
                _forever()
            except Exception:
                pass
        return "went on"


@workflow.defn(name="Stuck")
class SpinsInATask:
    @workflow.run
    async def run(self) -> str:
        async def forever() -> None:
            _forever()

        await asyncio.gather(forever(), forever(), return_exceptions=True)
        return "went on"


@workflow.defn(name="Stuck")
class SpinsInACondition:
    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: _forever() is None)
        return "went on"


@workflow.defn(name="Stuck")
class SpinsAsItIsMade:
    def __init__(self) -> None:
        _forever()

    @workflow.run
    async def run(self) -> str:
        return "went on"


@workflow.defn(name="Stuck")
class WaitsInC:
    @workflow.run
    async def run(self) -> str:
        with LOCK:
            return "went on"


@workflow.defn
class Handlers:
    def __init__(self) -> None:
        self.ended = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.ended)
        return "ended"

    @workflow.signal
    def end(self) -> None:
        self.ended = True

    @workflow.update
    def change(self) -> str:
        return "changed"

    @change.validator
    def check(self) -> None:
        _forever()

    @workflow.query
    def spin(self) -> None:
        _forever()

    @workflow.query
    def state(self) -> bool:
        return self.ended


@workflow.defn
class Clings:
    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.wait_condition(lambda: not stuck[0])
        finally:
            _forever()
        return "ended"

    @workflow.query
    def state(self) -> bool:
        return stuck[0]


@workflow.defn
class Good:
    @workflow.run
    async def run(self) -> str:
        await asyncio.sleep(0)
        return "good"


@pytest.fixture(autouse=True)
def _stuck() -> Any:
    stuck[0] = True
    with LOCK:
        yield


async def _blocked(handle: WorkflowHandle[Any, Any]) -> Any:
    async def is_blocked() -> bool:
        return (await handle.describe()).blocked is not None

    await until(is_blocked, what="the execution is blocked")
    return (await handle.describe()).blocked


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith(".watchdog")]


@pytest.mark.parametrize(
    "code",
    [Spins, YieldsToNobodyElse, Swallows, SpinsInATask, SpinsInACondition, SpinsAsItIsMade, WaitsInC],
)
async def test_code_that_does_not_yield_is_blocked_while_others_go_on(
    code: type, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway.on([code, Good], limits=IMPATIENT) as client:
        handle = await client.start_workflow("Stuck", id="w", task_queue=QUEUE)
        assert await client.execute_workflow(Good.run, id="g", task_queue=QUEUE) == "good"
        blocked = await _blocked(handle)
        assert blocked.cause == CAUSE
        assert blocked.where.startswith(f"{__file__}:")
        assert (await client.engine.journal.counts())["blocked"] == 1
        assert client.engine.counters.interruptions == 1
        await until(lambda: bool(_said(caplog)), what="the watchdog has said so")
    (said,) = _said(caplog)
    assert said.startswith("workflow Stuck with ID w and run ID ")
    assert f'File "{__file__}", line ' in said


async def test_it_goes_on_when_the_code_is_mended(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock, IMPATIENT) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[Spins]):
            handle = await client.start_workflow("Stuck", id="w", task_queue=QUEUE)
            assert (await _blocked(handle)).cause == CAUSE
        stuck[0] = False
        async with Worker(client, task_queue=QUEUE, workflows=[Spins]):
            assert await handle.result() == "went on"


async def test_a_query_that_does_not_yield_fails_and_the_execution_goes_on(gateway: Gateway) -> None:
    async with gateway.on([Handlers], limits=IMPATIENT) as client:
        handle = await client.start_workflow(Handlers.run, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowQueryFailedError, match="TMPRL1101"):
            await handle.query(Handlers.spin)
        assert (await handle.describe()).blocked is None
        assert await handle.query(Handlers.state) is False
        await handle.signal(Handlers.end)
        assert await handle.result() == "ended"
        with pytest.raises(WorkflowQueryFailedError, match="TMPRL1101"):
            await handle.query(Handlers.spin)
        assert client.engine.counters.interruptions == 2


async def test_an_update_whose_validator_does_not_yield_waits_until_that_is_mended(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock, IMPATIENT) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[Handlers]):
            handle = await client.start_workflow(Handlers.run, id="w", task_queue=QUEUE)
            update = asyncio.ensure_future(
                handle.start_update(Handlers.change, wait_for_stage=WorkflowUpdateStage.COMPLETED)
            )
            assert (await _blocked(handle)).cause == CAUSE
        stuck[0] = False
        async with Worker(client, task_queue=QUEUE, workflows=[Handlers]):
            assert await (await update).result() == "changed"


async def test_code_that_leaves_memory_without_end_is_given_up_too(gateway: Gateway) -> None:
    async with gateway.on([Clings, Good], limits=IMPATIENT) as client:
        handle = await client.start_workflow(Clings.run, id="w", task_queue=QUEUE)
        assert await handle.query(Clings.state) is True
        live = client.engine.cache.open_run("w")
        assert live is not None
        client.engine.cache.unload(live)
        assert await client.execute_workflow(Good.run, id="g", task_queue=QUEUE) == "good"


async def test_replay_gives_up_too_and_the_line_is_told(gateway: Gateway) -> None:
    stuck[0] = False
    async with gateway.on([Spins]) as client:
        handle = await client.start_workflow("Stuck", id="w", task_queue=QUEUE)
        await handle.result()
        history = await handle.fetch_history()
    stuck[0] = True
    replayer = Replayer(workflows=[Spins])
    replayer._yields_within_s = 0.4
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is not None
    assert isinstance(result.replay_failure.__cause__, PotentialDeadlock)


@pytest.mark.parametrize("by", ["debug_mode", "TEMPORAL_DEBUG"])
async def test_whoever_debugs_has_any_time(
    by: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "TEMPORAL_DEBUG":
        monkeypatch.setenv("TEMPORAL_DEBUG", "1")
    async with engine_on(gateway.journal, gateway.clock, EngineLimits(yield_within_s=0.01)) as client:
        worker = Worker(client, task_queue=QUEUE, workflows=[Spins], debug_mode=by == "debug_mode")
        async with worker:
            threading.Timer(0.5, stuck.__setitem__, (0, False)).start()
            assert await client.execute_workflow("Stuck", id="w", task_queue=QUEUE) == "went on"


def test_between_two_steps_the_code_is_where_its_task_waits() -> None:
    async def yields() -> None:
        while True:
            await asyncio.sleep(0)

    loop = _loop()
    with loop:
        task = loop.create_task(yields())
        loop._ready.popleft()._run()
    error = watchdog._deadlock(2.0, 0, loop)
    assert source_line(error) == f"{__file__}:{yields.__code__.co_firstlineno + 2} in yields"
    loop.close_tasks()
    assert task is not None


# -- nothing else is hit -------------------------------------------------------------------------------


class _NoTimers:
    def start_timer(self, handle: TimerHandle, delay_s: float) -> None:
        raise AssertionError("no timer is expected")

    def cancel_timer(self, handle: TimerHandle) -> None:
        raise AssertionError("no timer is expected")


def _loop() -> WorkflowLoop:
    loop = WorkflowLoop(_NoTimers(), None)
    loop.yields_within_s = 0.001
    return loop


def _in_a_thread(function: Callable[[], None]) -> None:
    """Call it in another thread, where exceptions come by another way than in this one."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _in_this_thread(function: Callable[[], None]) -> None:
    watchdog.watch(60.0)
    function()


class _Late:
    """A watchdog that has decided to interrupt a turn, and does so when that turn has ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decided = threading.Event()
        self._thread = 0
        self._interrupt = watchdog._interrupt
        monkeypatch.setattr(watchdog, "_interrupt", self._when_it_has_ended)

    def _when_it_has_ended(self, thread: int) -> None:
        self.decided.set()
        while running.running.get(thread) is not None:
            watchdog._sleep(0)
        self._interrupt(thread)

    def watch(self, thread: int) -> threading.Thread:
        def watch() -> None:
            while (loop := running.running.get(thread)) is None:
                watchdog._sleep(0)
            watchdog._give_up(thread, loop, loop.turn, 0.001)

        watching = threading.Thread(target=watch)
        watching.start()
        return watching


def _turn_that_ends_as_it_is_interrupted(late: _Late) -> None:
    """The turn is given up, and what the thread does after it is not hit.

    Raises:
        Interrupted: it was hit.
    """

    def turn() -> None:
        while not late.decided.is_set():
            pass

    watching = late.watch(threading.get_ident())
    with pytest.raises(PotentialDeadlock):
        _loop().run(turn)
    watching.join()
    for _ in range(1000):
        _nothing()
    assert events._get_running_loop() is None


def _nothing() -> None:
    pass


@pytest.mark.parametrize("in_thread", [_in_a_thread, _in_this_thread])
def test_an_interruption_that_comes_as_the_turn_ends_hits_nothing_that_comes_after(
    in_thread: Callable[[Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = _Late(monkeypatch)
    in_thread(lambda: _turn_that_ends_as_it_is_interrupted(late))


def test_without_being_taken_back_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    late = _Late(monkeypatch)
    monkeypatch.setattr(watchdog._Recall, "__call__", lambda _recall: None)
    with pytest.raises(Interrupted):
        _in_a_thread(lambda: _turn_that_ends_as_it_is_interrupted(late))


@pytest.mark.parametrize("in_thread", [_in_a_thread, _in_this_thread])
def test_turns_that_are_given_up_at_any_moment_leave_the_thread_as_it_was(
    in_thread: Callable[[Callable[[], None]], None],
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    numbers = random.Random(seed)
    ended = threading.Event()

    def turn(steps: int) -> int:
        for _ in range(steps):
            _nothing()
        return steps

    def turns() -> None:
        outcomes = [0, 0]
        loops = [_loop(), _loop()]
        while min(outcomes) < 100:
            steps = numbers.choice([0, 10, 1000, 100_000])
            try:
                assert numbers.choice(loops).run(turn, steps) == steps
                outcomes[0] += 1
            except PotentialDeadlock:
                outcomes[1] += 1
            assert events._get_running_loop() is None
            assert running.running.get(threading.get_ident()) is None

    def watch() -> None:
        while not ended.is_set():
            for thread, loop in list(running.running.items()):
                if loop is not None:
                    watchdog._give_up(thread, loop, loop.turn, 0.001)
            watchdog._sleep(0.0005)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        in_thread(turns)
    finally:
        ended.set()
        watching.join()


def test_only_what_runs_at_every_look_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given_up: list[Any] = []
    monkeypatch.setattr(watchdog, "_give_up", lambda _thread, loop, _turn, _limit: given_up.append(loop))
    dog = Watchdog()
    dog.interval_s = 0.5
    long, short, patient = _loop(), _loop(), _loop()
    long.yields_within_s = short.yields_within_s = 2.0
    patient.yields_within_s = None
    monkeypatch.setattr(running, "running", {1: long, 2: short, 3: patient, 4: None})
    for look in range(5):
        short.turn += look % 2
        assert given_up == []
        dog.look()
    assert given_up == [long]


def test_what_goes_on_asking_for_more_has_five_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asker:
        asked_count = 0

    given_up: list[Any] = []
    monkeypatch.setattr(watchdog, "_give_up", lambda _thread, loop, _turn, _limit: given_up.append(loop))
    dog = Watchdog()
    dog.interval_s = 0.5
    asks, asked = _loop(), _loop()
    for loop in (asks, asked):
        loop.owner = Asker()
        loop.yields_within_s = 2.0
    monkeypatch.setattr(running, "running", {1: asks, 2: asked})
    looks: dict[int, int] = {}
    for look in range(21):
        asks.owner.asked_count += 1
        asked.owner.asked_count += look < 3
        dog.look()
        for loop in given_up:
            looks.setdefault(id(loop), look)
    assert looks == {id(asked): 6, id(asks): 20}
