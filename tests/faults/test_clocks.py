"""Wall clocks as gateways have them: wrong at boot, set by hours and years either way, standing still while a machine sleeps.

``OVERWINTER_TIMERS`` says how many timers are due in one instant.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.clock import ManualClock
from tests.faults.crew import SIGNALS
from tests.faults.crews import Checker, Crew, seed
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, event_names, until

TIMERS = int(os.environ.get("OVERWINTER_TIMERS", "1000"))
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S
WITHOUT_A_CLOCK_US = 86_400_000_000
"""The second of January 1970: what a machine without a battery for its clock begins with."""
TODAY_US = 1_790_000_000_000_000


@activity.defn
async def quick(number: int) -> int:
    return number


@workflow.defn
class Sleeps:
    """A timer, a step, and another timer; tells what the time was at each."""

    def __init__(self) -> None:
        self.times: list[float] = []

    @workflow.run
    async def run(self, seconds: float) -> list[float]:
        self.times.append(workflow.time())
        await workflow.sleep(seconds)
        self.times.append(workflow.time())
        await workflow.execute_activity(quick, 1, start_to_close_timeout=timedelta(seconds=30))
        self.times.append(workflow.time())
        await workflow.sleep(seconds)
        self.times.append(workflow.time())
        return self.times

    @workflow.query
    def how_far(self) -> int:
        return len(self.times)


@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            "waits", start_to_close_timeout=timedelta(seconds=60), result_type=str
        )


@workflow.defn
class Naps:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(HOUR_S)


@workflow.defn
class Passes:
    @workflow.run
    async def run(self) -> str:
        return "passed"


async def _instants(client: Client, workflow_id: str) -> list[int]:
    (record,) = await client.engine.journal.executions(workflow_id=workflow_id)
    return [event.at_us for event in (await client.engine.journal.history(record)).events]


async def _check(client: Client, workflow_id: str, seconds: float) -> None:
    """Each timer fired once and not before its time, and time never went back in the history."""
    times = await client.get_workflow_handle(workflow_id, result_type=list[float]).result()
    assert times == sorted(times)
    assert times[1] - times[0] >= seconds
    assert times[3] - times[2] >= seconds
    names = await event_names(client, workflow_id)
    assert names.count("TimerFired") == names.count("TimerStarted") == 2
    instants = await _instants(client, workflow_id)
    assert instants == sorted(instants)


@pytest.mark.parametrize("restarts", [False, True], ids=["while it runs", "while it is off"])
@pytest.mark.parametrize(
    "jumps",
    [
        [HOUR_S],
        [-HOUR_S],
        [10 * YEAR_S],
        [-DAY_S, 2 * DAY_S],
        [-50 * YEAR_S, 60 * YEAR_S],
        [HOUR_S, -HOUR_S] * 3,
    ],
    ids=[
        "an hour on",
        "an hour back",
        "ten years on",
        "a day back and on",
        "to the seventies",
        "back and forth",
    ],
)
async def test_timers_fire_once_and_never_early_whatever_the_clock_does(
    durable: SqliteGateway, jumps: list[float], restarts: bool
) -> None:
    clock = durable.clock
    assert isinstance(clock, ManualClock)
    seconds = 2 * HOUR_S
    async with durable.on([Sleeps], [quick]) as client:
        await client.start_workflow(Sleeps.run, seconds, id="w", task_queue=QUEUE)
        await until(lambda: _has_begun(client))
        if not restarts:
            for jump in jumps:
                durable.advance(client, jump)
                await asyncio.sleep(0.005)
    if restarts:
        for jump in jumps:
            clock.advance(jump)
    async with durable.on([Sleeps], [quick]) as client:
        await _let_it_end(durable, client)
        await _check(client, "w", seconds)


async def _has_begun(client: Client) -> bool:
    return "TimerStarted" in await event_names(client, "w")


async def _let_it_end(gateway: Gateway, client: Client) -> None:
    """The clock goes on by the hour until everything has ended, through all that it was set back."""
    ended = asyncio.ensure_future(client.get_workflow_handle("w").result())
    for _ in range(4000):
        gateway.advance(client, HOUR_S / 2 if not gateway_is_years_behind(gateway) else YEAR_S)
        await asyncio.sleep(0.001)
        if ended.done():
            break
    await asyncio.wait_for(ended, 10)


def gateway_is_years_behind(gateway: Gateway) -> bool:
    return gateway.clock.now_us() < 1_600_000_000_000_000


async def test_work_begun_before_the_clock_was_first_set_ends_when_it_is(durable: SqliteGateway) -> None:
    """Without a clock of its own the machine begins in 1970; minutes later a time server sets it."""
    assert isinstance(durable.clock, ManualClock)
    durable.clock.current_us = WITHOUT_A_CLOCK_US
    async with durable.on([Sleeps], [quick]) as client:
        await client.start_workflow(Sleeps.run, HOUR_S, id="w", task_queue=QUEUE)
        await until(lambda: _has_begun(client))
        durable.clock.current_us = TODAY_US
        client.engine.look_at_clock()
        handle = client.get_workflow_handle("w")

        async def at_the_second() -> bool:
            return await handle.query(Sleeps.how_far) == 3

        await until(at_the_second)
        durable.advance(client, HOUR_S)
        await _check(client, "w", HOUR_S)


async def test_timeouts_in_progress_are_not_shortened_when_the_clock_jumps(gateway: Gateway) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @activity.defn
    async def waits() -> str:
        began.set()
        await go_on.wait()
        return "done"

    async with gateway.on([Waits], [waits]) as client:
        handle = await client.start_workflow(Waits.run, id="w", task_queue=QUEUE)
        await began.wait()
        gateway.advance(client, YEAR_S)
        gateway.advance(client, -2 * YEAR_S)
        await asyncio.sleep(0.05)
        go_on.set()
        assert await handle.result() == "done"
        assert await gateway.journal.attempts(1) == []


@pytest.mark.timeout(60 + TIMERS // 20)
async def test_many_timers_in_one_instant_all_fire_once_and_others_have_their_turn(
    durable: SqliteGateway,
) -> None:
    async with durable.on([Naps, Passes]) as client:
        names = [f"n{number}" for number in range(TIMERS)]
        for some in (names[n : n + 500] for n in range(0, TIMERS, 500)):
            await asyncio.gather(*(client.start_workflow(Naps.run, id=n, task_queue=QUEUE) for n in some))

        async def all_sleep() -> bool:
            return len(await durable.journal.due(0, 1 << 62, TIMERS)) == TIMERS

        await until(all_sleep)
        durable.advance(client, HOUR_S + 1)
        passed = await asyncio.wait_for(client.execute_workflow(Passes.run, id="p", task_queue=QUEUE), 30)
        assert passed == "passed"
        open_then = (await durable.journal.counts())["running"]
        for name in names:
            await client.get_workflow_handle(name).result()
        counts = await durable.journal.counts()
        assert (counts["running"], counts["completed"]) == (0, TIMERS + 1)
        for name in random.Random(seed()).sample(names, 20):
            assert (await event_names(client, name)).count("TimerFired") == 1
    print(f"{open_then} of {TIMERS} were open when another workflow had begun and ended")


@pytest.mark.timeout(60)
async def test_a_process_that_was_stopped_goes_on_where_it_was_and_nobody_took_its_journal(
    tmp_path: Path,
) -> None:
    """As when a machine is suspended, or a supervisor holds a process for longer than its timers last."""
    checker = Checker()
    crew, names = Crew(tmp_path, checker), ("a", "b", "c")
    await crew.start()
    for name in names:
        crew.order("start", name)
    await crew.started(names)
    assert crew.process is not None
    crew.process.send_signal(signal.SIGSTOP)
    other = Crew(tmp_path, Checker())
    await other.start()
    assert await other.end() != 0  # refused: the one that is stopped holds the journal
    await asyncio.sleep(0.5)
    crew.process.send_signal(signal.SIGCONT)
    for name in names:
        for number in range(SIGNALS):
            crew.order("signal", name, number)
        crew.order("result", name)
    assert await crew.end() == 0
    assert checker.problems() == []
    effects = (tmp_path / "effects").read_text().split()
    assert len(effects) == len(set(effects))
