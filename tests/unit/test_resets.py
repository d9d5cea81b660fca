"""Runs that begin anew from a point of a history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.api.common.v1 import Payload
from overwinter.runtime.client import (
    Client,
    ResetPoint,
    RPCError,
    RPCStatusCode,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from overwinter.runtime.clock import ManualClock, SystemEntropy
from overwinter.runtime.common import ConcurrencyKey, RetryPolicy
from overwinter.runtime.converter import DataConverter, PayloadCodec
from overwinter.runtime.core import codec
from overwinter.runtime.core import events as ev
from overwinter.runtime.core.events import Event, event_name
from overwinter.runtime.engine import Engine
from overwinter.runtime.exceptions import ApplicationError, ConcurrencyKeyTakenError, TerminatedError
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.resets import Resets
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, BreaksAfter, Gateway, SqliteGateway, failing, until

ran: list[str] = []
keys: dict[str, list[str]] = {}
attempts: list[int] = []
gate = asyncio.Event()


@activity.defn
async def work(name: str) -> str:
    ran.append(name)
    keys.setdefault(name, []).append(activity.info().idempotency_key)
    attempts.append(activity.info().attempt)
    if name == "slow":
        await gate.wait()
    if name == "broken":
        raise ApplicationError("the valve is stuck", non_retryable=True)
    if name == "fails":
        raise ApplicationError("not yet")
    return name


def do(name: str) -> Any:
    return workflow.execute_activity(
        work,
        name,
        start_to_close_timeout=timedelta(minutes=1),
        retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
    )


@workflow.defn
class Collect:
    """Two activities, some values, another activity."""

    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self, count: int) -> list[str]:
        done = [await do("first"), await do("second")]
        await workflow.wait_condition(lambda: len(self.got) >= count)
        return [*done, *self.got, await do("third")]

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)

    @workflow.update
    async def add(self, value: str) -> str:
        self.got.append(value)
        return f"{value} of {workflow.info().run_id}"

    @add.validator
    def check(self, value: str) -> None:
        if refuse:
            raise ApplicationError("not in winter")

    @workflow.query
    def seen(self) -> list[str]:
        return self.got


refuse: list[str] = []


@workflow.defn
class Fails:
    @workflow.run
    async def run(self, name: str) -> str:
        await do("first")
        await workflow.sleep(60)
        return str(await do(name))


@workflow.defn
class Slow:
    """One activity is under way while something else happens."""

    def __init__(self) -> None:
        self.told = False

    @workflow.run
    async def run(self) -> list[str]:
        under_way = asyncio.ensure_future(do("slow"))
        await workflow.wait_condition(lambda: self.told)
        return [await do("after"), await under_way]

    @workflow.signal
    def tell(self) -> None:
        self.told = True


@workflow.defn
class Dice:
    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.go = False

    @workflow.run
    async def run(self) -> dict[str, Any]:
        initial = workflow.random_seed()
        workflow.register_random_seed_callback(self.seeds.append)
        mine = workflow.new_random()
        held = workflow.random()
        before = [mine.random(), held.random()]
        await do("first")
        await workflow.wait_condition(lambda: self.go)
        return {
            "initial": initial,
            "final": workflow.random_seed(),
            "seeds": self.seeds,
            "before": before,
            "after": [mine.random(), held.random()],
        }

    @workflow.signal
    def proceed(self) -> None:
        self.go = True


@workflow.defn
class Countdown:
    @workflow.run
    async def run(self, left: int) -> str:
        await do(f"left {left}")
        if left:
            workflow.continue_as_new(left - 1)
        return "done"


@workflow.defn
class Relay:
    """Continues once with whatever it has got."""

    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self, have: list[str]) -> list[str]:
        await workflow.wait_condition(lambda: len(self.got) > 0)
        if not have:
            workflow.continue_as_new(self.got)
        return have + self.got

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)


@workflow.defn
class Gate:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def enter(self, name: str) -> str:
        await workflow.wait_condition(lambda: False)
        return name

    @enter.validator
    def check(self, name: str) -> None:
        if refuse:
            raise ApplicationError("closed in winter")


WORKFLOWS = [Collect, Fails, Slow, Dice, Countdown]


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()
    keys.clear()
    attempts.clear()
    gate.clear()
    refuse.clear()


async def events_of(client: Client, workflow_id: str, run_id: str | None = None) -> list[Event]:
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    return list((await handle.fetch_history()).records)


async def names_of(client: Client, workflow_id: str, run_id: str | None = None) -> list[str]:
    return [event_name(event.body) for event in await events_of(client, workflow_id, run_id)]


async def sequence_of(client: Client, workflow_id: str, name: str, which: int = 0) -> int:
    """The number of an event, by its name."""
    found = [e.sequence for e in await events_of(client, workflow_id) if event_name(e.body) == name]
    return found[which]


async def collecting(client: Client, count: int = 2) -> WorkflowHandle[Collect, list[str]]:
    handle = await client.start_workflow(Collect.run, count, id="w", task_queue=QUEUE)
    await until(lambda: ran == ["first", "second"])
    await handle.query(Collect.seen)
    return handle


async def statuses(client: Client, workflow_id: str = "w") -> list[str]:
    """Of all runs, the newest first."""
    return [record.status for record in await client.engine.journal.executions(workflow_id=workflow_id)]


# -- where to ----------------------------------------------------------------------------------------------


async def test_what_came_before_the_point_is_kept_and_what_came_after_is_done_anew(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client)
        before = await events_of(client, "w")
        new = await handle.reset(
            await sequence_of(client, "w", "ActivityScheduled", 1), reason="the second was wrong"
        )
        await until(lambda: ran == ["first", "second", "second"])
        await new.signal(Collect.put, "a")
        await new.signal(Collect.put, "b")
        assert await new.result() == ["first", "second", "a", "b", "third"]
        assert ran == ["first", "second", "second", "third"]
        assert await statuses(client) == ["completed", "terminated"]
        old = await events_of(client, "w", handle.result_run_id)
        assert old[: len(before)] == before
        assert isinstance(old[-1].body, ev.WorkflowTerminated)
        assert (old[-1].body.reason, old[-1].body.new_run_id) == ("the second was wrong", new.run_id)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, TerminatedError)


async def test_the_new_history_is_a_copy_and_says_where_it_came_from(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client)
        old = await events_of(client, "w")
        gateway.advance(client, 60)
        point = await sequence_of(client, "w", "ActivityScheduled", 1)
        new = await handle.reset(point, reason="why", request_id="r")
        await until(lambda: len(ran) == 3)
        found = await events_of(client, "w", new.run_id)
        start, first = found[0].body, old[0].body
        assert isinstance(start, ev.WorkflowStarted)
        assert isinstance(first, ev.WorkflowStarted)
        assert (start.run_id, start.original_run_id, start.first_run_id) == (
            new.run_id,
            first.run_id,
            first.run_id,
        )
        assert [(e.body, e.at_us) for e in found[1:3]] == [(e.body, e.at_us) for e in old[1:3]]
        reset = found[3].body
        assert isinstance(reset, ev.WorkflowReset)
        assert (reset.base_run_id, reset.base_event) == (first.run_id, point)
        assert (reset.reason, reset.identity, reset.request_id) == ("why", client.identity, "r")
        assert found[3].at_us == client.engine.now_us()
        description = await new.describe()
        assert description.start_time.timestamp() * 1_000_000 == client.engine.now_us()
        assert new.first_execution_run_id == handle.first_execution_run_id


@pytest.mark.parametrize(
    ("point", "again"),
    [
        (ResetPoint.first_workflow_task(), ["first", "second", "third"]),
        (ResetPoint.last_workflow_task(), []),
        (ResetPoint.at_event(1), ["first", "second", "third"]),
    ],
)
async def test_a_closed_run_begins_anew_with_its_first_or_its_last_activation(
    gateway: Gateway, point: ResetPoint, again: list[str]
) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Collect.run, 0, id="w", task_queue=QUEUE)
        result = await handle.result()
        ran.clear()
        new = await handle.reset(point)
        assert await new.result() == result
        assert ran == again
        assert await statuses(client) == ["completed", "completed"]


async def test_a_run_that_continued_is_done_anew_from_its_last_activation(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Countdown.run, 2, id="w", task_queue=QUEUE)
        assert await handle.result() == "done"
        ran.clear()
        new = await client.get_workflow_handle_for(Countdown.run, "w").reset(
            ResetPoint.last_continued_as_new()
        )
        assert await new.result() == "done"
        assert ran == ["left 0"]
        assert (
            await statuses(client)
            == ["completed", "continued_as_new", "completed"] + ["continued_as_new"] * 2
        )
        with pytest.raises(RPCError, match="has not continued another") as refused:
            await client.get_workflow_handle("w", run_id=handle.result_run_id).reset(
                ResetPoint.last_continued_as_new()
            )
        assert refused.value.status == RPCStatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", [None, "work"])
async def test_the_first_activity_that_failed_is_asked_for_anew(gateway: Gateway, name: str | None) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Fails.run, "broken", id="w", task_queue=QUEUE)
        await until(lambda: ran == ["first"])
        await asyncio.sleep(0.02)
        gateway.advance(client, 61)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        new = await handle.reset(ResetPoint.failed_activity(name))
        with pytest.raises(WorkflowFailureError):
            await new.result()
        assert ran == ["first", "broken", "broken"]
        with pytest.raises(RPCError, match="no activity 'pump' of this run has failed"):
            await handle.reset(ResetPoint.failed_activity("pump"))


async def test_an_activity_that_fails_again_and_again_is_found_too(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Fails.run, "fails", id="w", task_queue=QUEUE)
        await until(lambda: ran == ["first"])
        await asyncio.sleep(0.02)
        gateway.advance(client, 61)
        await until(lambda: ran == ["first", "fails"])
        await asyncio.sleep(0.02)
        await handle.reset(ResetPoint.failed_activity())
        await until(lambda: ran == ["first", "fails", "fails"])
        assert attempts == [1, 1, 1]


async def test_a_place_or_an_execution_that_is_not_there_is_refused(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client)
        for point in (0, 99):
            with pytest.raises(
                RPCError, match=f"there is no event {point}: expected one from 1 to "
            ) as refused:
                await handle.reset(point)
            assert refused.value.status == RPCStatusCode.INVALID_ARGUMENT
        with pytest.raises(RPCError) as unknown:
            await client.get_workflow_handle("nobody").reset(1)
        assert unknown.value.status == RPCStatusCode.NOT_FOUND
        with pytest.raises(ValueError, match="cannot be recorded"):
            await handle.reset(1, reason="\ud800")
        assert await statuses(client) == ["running"]


async def test_the_same_request_makes_one_run(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client)
        asked = [handle.reset(ResetPoint.first_workflow_task(), request_id="one") for _ in range(3)]
        first, *others = await asyncio.gather(*asked)
        assert {other.run_id for other in others} == {first.run_id}
        assert (await handle.reset(ResetPoint.first_workflow_task())).run_id != first.run_id
        assert await statuses(client) == ["running", "terminated", "terminated"]


async def test_a_reset_run_can_be_reset(durable: SqliteGateway) -> None:
    async with durable.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client)
        await handle.reset(ResetPoint.first_workflow_task())
        await until(lambda: len(ran) == 4)
        await client.get_workflow_handle("w").reset(ResetPoint.last_workflow_task())
        await asyncio.sleep(0.02)
    async with durable.on(WORKFLOWS, [work]) as client:
        new = client.get_workflow_handle_for(Collect.run, "w")
        await new.signal(Collect.put, "a")
        await new.signal(Collect.put, "b")
        assert await new.result() == ["first", "second", "a", "b", "third"]
        assert ran == ["first", "second"] * 2 + ["third"]
        assert (await names_of(client, "w")).count("WorkflowReset") == 2


# -- messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("excluded", [False, True])
async def test_signals_after_the_point_are_handed_to_the_new_run_unless_they_are_excluded(
    durable: SqliteGateway, excluded: bool
) -> None:
    async with durable.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client, 3)
        await handle.signal(Collect.put, "a")
        await handle.signal(Collect.put, "b")
        await handle.reset(ResetPoint.first_workflow_task(), reapply_signals=not excluded)
    async with durable.on(WORKFLOWS, [work]) as client:
        new = client.get_workflow_handle_for(Collect.run, "w")
        await until(lambda: len(ran) == 4)
        assert await new.query(Collect.seen) == ([] if excluded else ["a", "b"])
        for value in "cde"[: 3 if excluded else 1]:
            await new.signal(Collect.put, value)
        assert await new.result() == ["first", "second", *("cde" if excluded else "abc"), "third"]


async def test_signals_of_the_runs_that_followed_are_handed_over_too(gateway: Gateway) -> None:
    async with gateway.on([Relay]) as client:
        handle = await client.start_workflow("Relay", [], id="w", task_queue=QUEUE)
        for value in "ab":
            await handle.signal("put", value)
            await asyncio.sleep(0.02)
        assert await handle.result() == ["a", "b"]
        first = client.get_workflow_handle("w", run_id=handle.result_run_id)
        new = await first.reset(ResetPoint.first_workflow_task())
        found = await events_of(client, "w", new.run_id)
        assert [e.body.args[0].data for e in found if isinstance(e.body, ev.Signaled)] == [b"\xa1a", b"\xa1b"]


async def test_an_update_after_the_point_is_decided_anew_and_who_waits_for_it_hears_of_it(
    gateway: Gateway,
) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client, 5)
        old = await handle.execute_update(Collect.add, "a", id="u")
        new = await handle.reset(ResetPoint.first_workflow_task())
        update = new.get_update_handle("u", workflow_run_id=new.run_id)
        assert await update.result() == f"a of {new.run_id}" != old
        await until(lambda: len(ran) == 4)
        assert (await names_of(client, "w")).count("UpdateAccepted") == 1
        refuse.append("now")
        again = await new.reset(ResetPoint.first_workflow_task())
        await until(lambda: len(ran) == 6)
        names = await names_of(client, "w")
        assert (names.count("UpdateAdmitted"), names.count("UpdateAccepted")) == (1, 0)
        with pytest.raises(RPCError):
            await again.get_update_handle("u", workflow_run_id=again.run_id).result()
        first = client.get_workflow_handle("w", run_id=handle.result_run_id)
        third = await first.reset(ResetPoint.first_workflow_task(), reapply_updates=False)
        assert "UpdateAdmitted" not in await names_of(client, "w", third.run_id)


async def test_an_update_that_is_under_way_goes_on_in_the_new_run(durable: SqliteGateway) -> None:
    async with durable.on([Waits]) as client:
        handle = await client.start_workflow(Waits.run, id="w", task_queue=QUEUE)
        update = await handle.start_update(Waits.ask, "x", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        waiting = asyncio.ensure_future(update.result())
        await asyncio.sleep(0.02)
        new = await handle.reset(ResetPoint.first_workflow_task())
        await new.signal(Waits.tell)
        assert await waiting == "x"
    async with durable.on([Waits]) as client:
        assert await client.get_workflow_handle("w").query("told") is True


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.told_ = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def tell(self) -> None:
        self.told_ = True

    @workflow.query
    def told(self) -> bool:
        return self.told_

    @workflow.update
    async def ask(self, question: str) -> str:
        await workflow.wait_condition(lambda: self.told_)
        return question


async def test_an_update_that_the_new_run_refuses_fails_for_who_waits(gateway: Gateway) -> None:
    async with gateway.on([Gate]) as client:
        handle = await client.start_workflow("Gate", id="w", task_queue=QUEUE)
        update = await handle.start_update("enter", "x", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        waiting = asyncio.ensure_future(update.result())
        await asyncio.sleep(0.02)
        refuse.append("now")
        await handle.reset(ResetPoint.first_workflow_task())
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await asyncio.wait_for(waiting, 5)
        assert "closed in winter" in str(failed.value.cause)


async def test_no_signal_is_lost_while_signals_come_without_a_pause(gateway: Gateway) -> None:
    """Those that come while the history is read wait, and go to the new run; a busy execution can be reset at all."""
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client, 10_000)
        stop = asyncio.Event()
        sent: list[str] = []

        async def send(letter: str) -> None:
            while not stop.is_set():
                value = f"{letter}{len(sent)}"
                sent.append(value)
                await client.get_workflow_handle_for(Collect.run, "w").signal(Collect.put, value)

        senders = [asyncio.ensure_future(send(letter)) for letter in "abc"]
        for _ in range(3):
            await asyncio.sleep(0.03)
            await asyncio.wait_for(handle.reset(ResetPoint.first_workflow_task()), 10)
        await asyncio.sleep(0.03)
        stop.set()
        await asyncio.gather(*senders)
        await until(lambda: len(ran) == 8)
        got = await client.get_workflow_handle_for(Collect.run, "w").query(Collect.seen)
        assert sorted(got) == sorted(sent)


async def test_a_pause_that_comes_while_a_run_is_reset_holds_the_new_run(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await collecting(client, 2)
        resetting = asyncio.ensure_future(handle.reset(ResetPoint.first_workflow_task()))
        await asyncio.sleep(0)
        await client.get_workflow_handle("w").pause(reason="look first")
        new = await resetting
        pause = (await new.describe()).pause
        assert pause is not None
        assert pause.reason == "look first"
        for value in "xy":
            await new.signal(Collect.put, value)
        await asyncio.sleep(0.05)
        assert ran == ["first", "second"]
        await new.unpause()
        assert await new.result() == ["first", "second", "x", "y", "third"]
        notes = [event for event in await events_of(client, "w") if isinstance(event.body, ev.PAUSES)]
        assert [note.activation for note in notes] == [0, 0]


# -- what is under way at the point ----------------------------------------------------------------------------


async def test_an_activity_that_is_under_way_at_the_point_is_attempted_again_under_its_key(
    durable: SqliteGateway,
) -> None:
    async with durable.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Slow.run, id="w", task_queue=QUEUE)
        await until(lambda: ran == ["slow"])
        await handle.signal(Slow.tell)
        await until(lambda: ran == ["slow", "after"])
        await asyncio.sleep(0.02)
        await handle.reset(await sequence_of(client, "w", "ActivityScheduled", 1))
        await until(lambda: sorted(ran) == ["after", "after", "slow", "slow"])
    async with durable.on(WORKFLOWS, [work]) as client:
        gate.set()
        new = client.get_workflow_handle("w")
        assert await new.result() == ["after", "slow"]
        run_id = (await new.describe()).run_id
    assert set(keys["slow"]) == {f"{handle.result_run_id}:1"}
    assert len(keys["slow"]) == 3
    assert sorted(keys["after"]) == sorted([f"{handle.result_run_id}:2", f"{run_id}:2"])


async def test_time_limits_of_what_is_under_way_count_from_the_reset(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(
            Collect.run,
            1,
            id="w",
            task_queue=QUEUE,
            run_timeout=timedelta(hours=1),
            execution_timeout=timedelta(hours=2),
        )
        await until(lambda: len(ran) == 2)
        await asyncio.sleep(0.02)
        gateway.advance(client, 3601)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        gateway.advance(client, 86400)
        new = await handle.reset(ResetPoint.last_workflow_task())
        await asyncio.sleep(0.02)
        gateway.advance(client, 3599)
        await asyncio.sleep(0.02)
        await new.signal(Collect.put, "a")
        assert (await new.result())[2] == "a"


async def test_a_timer_that_runs_at_the_point_keeps_its_time(gateway: Gateway) -> None:
    async with gateway.on([Naps]) as client:
        handle = await client.start_workflow(Naps.run, id="w", task_queue=QUEUE)
        await asyncio.sleep(0.02)
        gateway.advance(client, 40)
        await handle.signal(Naps.poke)
        await asyncio.sleep(0.02)
        new = await handle.reset(ResetPoint.last_workflow_task())
        await asyncio.sleep(0.02)
        gateway.advance(client, 19)
        await asyncio.sleep(0.02)
        assert await statuses(client) == ["running", "terminated"]
        gateway.advance(client, 1)
        assert await new.result() == 1


@workflow.defn
class Naps:
    def __init__(self) -> None:
        self.pokes = 0

    @workflow.run
    async def run(self) -> int:
        await workflow.sleep(60)
        return self.pokes

    @workflow.signal
    def poke(self) -> None:
        self.pokes += 1


async def test_random_numbers_are_others_after_the_point_and_the_same_before(durable: SqliteGateway) -> None:
    async with durable.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Dice.run, id="w", task_queue=QUEUE)
        await until(lambda: ran == ["first"])
        await asyncio.sleep(0.02)
        new = await handle.reset(await sequence_of(client, "w", "ActivityCompleted"))
        await asyncio.sleep(0.02)
    async with durable.on(WORKFLOWS, [work]) as client:
        new = client.get_workflow_handle("w")
        await new.signal("proceed")
        found = await new.result()
        (seed,) = found["seeds"]
        assert found["final"] == seed != found["initial"]
        old = await client.get_workflow_handle("w", run_id=handle.result_run_id).reset(
            ResetPoint.last_workflow_task()
        )
        await old.signal("proceed")
        other = await old.result()
        assert other["before"] == found["before"]
        assert not set(other["after"]) & set(found["after"])


async def test_what_follows_the_order_of_a_set_of_tasks_is_the_same_in_the_new_run(gateway: Gateway) -> None:
    async with gateway.on([Many], [work]) as client:
        for number in range(5):
            handle = await client.start_workflow(Many.run, id=f"w{number}", task_queue=QUEUE)
            await handle.result()
            new = await handle.reset(ResetPoint.last_workflow_task())
            await asyncio.wait_for(new.result(), 5)


@workflow.defn
class Many:
    @workflow.run
    async def run(self) -> list[str]:
        async def one(number: int) -> str:
            for _ in range(number % 3):
                await asyncio.sleep(0)
            return str(await do(str(number)))

        tasks = [asyncio.ensure_future(one(number)) for number in range(20)]
        done, _ = await asyncio.wait(tasks)
        for task in done:
            await do(task.result())
        return [task.result() for task in done]


# -- other executions --------------------------------------------------------------------------------------------


@workflow.defn
class Child:
    def __init__(self) -> None:
        self.word = ""

    @workflow.run
    async def run(self, name: str) -> str:
        await workflow.wait_condition(lambda: self.word != "")
        return f"{name} {self.word}"

    @workflow.signal
    def say(self, word: str) -> None:
        self.word = word


@workflow.defn
class Parent:
    def __init__(self) -> None:
        self.told = 0

    @workflow.run
    async def run(self, policy: int) -> list[str]:
        close = workflow.ParentClosePolicy(policy)
        a = await workflow.start_child_workflow(Child.run, "a", id="a", parent_close_policy=close)
        await workflow.wait_condition(lambda: self.told >= 1)
        b = await workflow.start_child_workflow(Child.run, "b", id="b", parent_close_policy=close)
        await workflow.wait_condition(lambda: self.told >= 2)
        return [await a, await b]

    @workflow.signal
    def tell(self) -> None:
        self.told += 1


async def _open(client: Client, workflow_id: str) -> bool:
    return bool(await client.engine.journal.executions(workflow_id=workflow_id, status="running"))


async def with_children(client: Client, policy: int) -> WorkflowHandle[Parent, list[str]]:
    handle = await client.start_workflow(Parent.run, policy, id="p", task_queue=QUEUE)
    await until(lambda: _open(client, "a"))
    await asyncio.sleep(0.02)
    await handle.signal(Parent.tell)
    await until(lambda: _open(client, "b"))
    await asyncio.sleep(0.02)
    return handle


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("policy", [1, 2], ids=["terminate", "abandon"])
async def test_children_from_before_the_point_go_on_with_the_new_run_and_later_ones_make_room(
    durable: SqliteGateway, policy: int, restart: bool
) -> None:
    async with durable.on([Parent, Child]) as client:
        handle = await with_children(client, policy)
        new = await handle.reset(await sequence_of(client, "p", "ChildScheduled", 1), reapply_signals=False)
        if not restart:
            await _finish(client, new.run_id or "", policy)
    if restart:
        async with durable.on([Parent, Child]) as client:
            await _finish(client, new.run_id or "", policy)


async def _finish(client: Client, run_id: str, policy: int) -> None:
    await until(lambda: _open(client, "b"), what="the second child is asked for anew")
    await asyncio.sleep(0.02)
    for _ in range(2):
        await client.get_workflow_handle("p").signal(Parent.tell)
    await asyncio.sleep(0.02)
    for child in "ab":
        await client.get_workflow_handle(child).signal(Child.say, "open")
    assert await asyncio.wait_for(client.get_workflow_handle("p").result(), 5) == ["a open", "b open"]
    assert await statuses(client, "a") == ["completed"]
    assert await statuses(client, "b") == ["completed", "terminated"]
    records = [(await client.engine.journal.executions(workflow_id=name))[0] for name in "ab"]
    assert {record.parent_run_id for record in records} == {run_id}


async def test_a_child_that_ended_after_the_point_has_ended_for_the_new_run_too(gateway: Gateway) -> None:
    async with gateway.on([Parent, Child]) as client:
        handle = await with_children(client, 2)
        await client.get_workflow_handle("a").signal(Child.say, "open")
        await asyncio.sleep(0.02)
        await handle.reset(await sequence_of(client, "p", "ChildScheduled", 1))
        await until(lambda: _open(client, "b"))
        await client.get_workflow_handle("p").signal(Parent.tell)
        await asyncio.sleep(0.05)
        await client.get_workflow_handle("b").signal(Child.say, "open")
        assert await asyncio.wait_for(client.get_workflow_handle("p").result(), 5) == ["a open", "b open"]


async def test_a_parent_waits_for_the_new_run_of_its_child(durable: SqliteGateway) -> None:
    async with durable.on([Parent, Child]) as client:
        handle = await with_children(client, 1)
        for name in "ab":
            await client.get_workflow_handle(name).reset(ResetPoint.first_workflow_task())
        await handle.signal(Parent.tell)
    async with durable.on([Parent, Child]) as client:
        for name in "ab":
            await client.get_workflow_handle(name).signal(Child.say, "anew")
        assert await asyncio.wait_for(client.get_workflow_handle("p").result(), 5) == ["a anew", "b anew"]


@workflow.defn
class Teller:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> str:
        other = workflow.get_external_workflow_handle("listener")
        signal = asyncio.ensure_future(other.signal("say", "told"))
        await workflow.wait_condition(lambda: self.go)
        await signal
        return "told"

    @workflow.signal
    def proceed(self) -> None:
        self.go = True


async def test_a_signal_to_another_execution_that_was_sent_before_the_point_is_not_sent_again(
    gateway: Gateway,
) -> None:
    """Its outcome came after the point, so that the new run asks again."""
    async with gateway.on([Teller, Child]) as client:
        await client.start_workflow(Child.run, "x", id="listener", task_queue=QUEUE)
        handle = await client.start_workflow(
            Teller.run, id="t", task_queue=QUEUE, start_signal="proceed", start_signal_args=[]
        )
        assert await handle.result() == "told"
        resolved = await sequence_of(client, "t", "ExternalResolved")
        new = await handle.reset(resolved)
        assert await new.result() == "told"
        assert (await names_of(client, "listener")).count("Signaled") == 1


async def test_a_run_that_is_reset_keeps_the_place_under_its_concurrency_key(gateway: Gateway) -> None:
    key = ConcurrencyKey("pump", limit=1)
    async with gateway.on(WORKFLOWS, [work]) as client:
        first = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE, concurrency=key)
        second = await client.start_workflow(Collect.run, 0, id="v", task_queue=QUEUE, concurrency=key)
        await until(lambda: len(ran) == 2)
        new = await first.reset(ResetPoint.first_workflow_task())
        await until(lambda: len(ran) == 4)
        assert (await second.describe()).history_length == 1
        await new.signal(Collect.put, "a")
        assert (await new.result())[2:] == ["a", "third"]
        assert await second.result() == ["first", "second", "third"]


async def test_one_that_waits_for_its_concurrency_key_waits_when_it_was_reset(gateway: Gateway) -> None:
    key = ConcurrencyKey("pump", limit=1)
    async with gateway.on(WORKFLOWS, [work]) as client:
        first = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE, concurrency=key)
        second = await client.start_workflow(Collect.run, 0, id="v", task_queue=QUEUE, concurrency=key)
        await until(lambda: len(ran) == 2)
        new = await second.reset(ResetPoint.first_workflow_task())
        await asyncio.sleep(0.02)
        assert len(ran) == 2
        await first.signal(Collect.put, "a")
        assert await new.result() == ["first", "second", "third"]


@pytest.mark.parametrize("open_run", [False, True])
async def test_a_closed_run_is_not_reset_while_another_has_its_concurrency_key(
    gateway: Gateway, open_run: bool
) -> None:
    """Neither when the workflow id is free, nor when a run without the key would make room for it."""
    key = ConcurrencyKey("pump", limit=1)
    async with gateway.on(WORKFLOWS, [work]) as client:
        first = await client.start_workflow(Collect.run, 0, id="w", task_queue=QUEUE, concurrency=key)
        await first.result()
        if open_run:
            await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        other = await client.start_workflow(Collect.run, 1, id="v", task_queue=QUEUE, concurrency=key)
        closed = client.get_workflow_handle("w", run_id=first.result_run_id)
        with pytest.raises(ConcurrencyKeyTakenError, match="'pump'.*'v'"):
            await closed.reset(ResetPoint.first_workflow_task())
        assert (await client.engine.find("w")).status == ("running" if open_run else "completed")
        await other.signal(Collect.put, "a")
        await other.result()
        new = await closed.reset(ResetPoint.first_workflow_task())
        assert await new.result() == ["first", "second", "third"]


class _Slow(PayloadCodec):
    """Turns payloads round, after a while."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await asyncio.sleep(0.002)
        return [Payload({"encoding": b"turned"}, p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await asyncio.sleep(0.002)
        return [Payload.FromString(p.data[::-1]) for p in payloads]


async def test_payloads_that_are_waited_for_are_handed_to_the_new_run_too() -> None:
    """A reset may come while what the code asked for is being sealed: that activation counts for nothing."""
    journal, clock = MemoryJournal(), ManualClock()
    async with Engine(journal, clock, SystemEntropy()) as engine:
        client = Client(engine, data_converter=DataConverter(payload_codec=_Slow()))
        async with Worker(client, task_queue=QUEUE, workflows=WORKFLOWS, activities=[work]):
            for delay_s in (0.0, 0.001, 0.002, 0.004, 0.008, 0.02):
                workflow_id = f"w{delay_s}"
                handle = await client.start_workflow(Collect.run, 3, id=workflow_id, task_queue=QUEUE)
                update = asyncio.ensure_future(handle.execute_update(Collect.add, "u", id="u"))
                await handle.signal(Collect.put, "a")
                await asyncio.sleep(delay_s)
                new = await handle.reset(ResetPoint.first_workflow_task())
                await new.signal(Collect.put, "b")
                assert (await update).startswith("u of ")
                result = await asyncio.wait_for(new.result(), 5)
                assert (sorted(result[2:5]), result[-1]) == (["a", "b", "u"], "third")


# -- faults --------------------------------------------------------------------------------------------------------


async def test_a_reset_that_finds_no_room_changes_nothing() -> None:
    journal = MemoryJournal()
    async with Gateway(journal).on(WORKFLOWS, [work]) as client:
        handle = await collecting(client, 1)
        await until(lambda: not client.engine.busy, what="the steps are recorded")
        journal.fail_next = StorageFull("no space is left")
        with pytest.raises(RPCError) as refused:
            await handle.reset(ResetPoint.first_workflow_task())
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        await asyncio.sleep(1.2)
        assert await statuses(client) == ["running"]
        await handle.signal(Collect.put, "a")
        assert await handle.result() == ["first", "second", "a", "third"]


async def _after_a_power_cut(commits: int) -> tuple[list[str], bool]:
    """The result of a workflow that was reset, and whether the power went before the reset had returned."""
    ran.clear()
    journal = BreaksAfter(commits)
    gateway = Gateway(journal)
    progress = ""
    async with failing(gateway, WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Collect.run, 2, id="w", task_queue=QUEUE)
        progress = "started"
        await until(lambda: ran == ["first", "second"] or client.engine.failed.is_set())
        await handle.signal(Collect.put, "a")
        progress = "signaled"
        await asyncio.wait_for(handle.reset(ResetPoint.first_workflow_task(), request_id="r"), 15)
        progress = "reset"
        await until(lambda: ran == ["first", "second"] * 2 or client.engine.failed.is_set())
    journal.whole = True
    async with gateway.on(WORKFLOWS, [work]) as client:
        if not progress:
            return [], False
        handle = client.get_workflow_handle_for(Collect.run, "w")
        open_runs = await journal.executions(workflow_id="w", status="running")
        assert len(open_runs) == 1, f"after {progress}: {await statuses(client)}"
        await handle.reset(ResetPoint.first_workflow_task(), request_id="r")
        assert len(await statuses(client)) == 2, progress
        await until(lambda: _seen(client, ["a"] if progress in ("signaled", "reset") else None))
        while len(await handle.query(Collect.seen)) < 2:
            await handle.signal(Collect.put, "b")
        return await asyncio.wait_for(handle.result(), 15), progress != "reset"


async def _seen(client: Client, wanted: list[str] | None) -> bool:
    found = await client.get_workflow_handle_for(Collect.run, "w").query(Collect.seen)
    return wanted is None or found == wanted


async def test_wherever_the_power_goes_there_is_one_open_run_and_nothing_is_lost() -> None:
    cut = 0
    for commits in range(14):
        result, before = await _after_a_power_cut(commits)
        assert not result or (result[:2], result[-1]) == (["first", "second"], "third"), commits
        cut += before
    assert cut >= 4


async def test_the_test_above_sees_a_reset_in_two_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = Resets._carry_out  # noqa: SLF001 - what is broken here

    def first_the_end(
        self: Resets, request: Any, plan: Any, current: Any, answer: Any, alongside: Any, stopped: Any
    ) -> None:
        engine = self._engine  # noqa: SLF001 - as above
        if stopped is not None or current is None or not current.state.open:
            carry_out(self, request, plan, None, answer, alongside, stopped)
            return
        end = ev.WorkflowTerminated(request.reason)
        engine.touch(current, [])
        current.append(engine.batch, 0, current.state.at_us, [end])
        engine.close_run(current, end, current.state.at_us)
        engine.after_commit(
            lambda: engine.in_next_turn(partial(carry_out, self, request, plan, None, answer, alongside))
        )

    monkeypatch.setattr(Resets, "_carry_out", first_the_end)
    found = []
    for commits in range(14):
        try:
            await _after_a_power_cut(commits)
        except (AssertionError, pytest.fail.Exception, RPCError) as error:
            found.append(str(error))
    assert any("after signaled: ['terminated']" in text for text in found)


async def test_a_damaged_history_is_not_copied(tmp_path: Any) -> None:
    import sqlite3

    gateway = SqliteGateway(tmp_path / "journal.db")
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Collect.run, 0, id="w", task_queue=QUEUE)
        await handle.result()
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute(
            "UPDATE events SET data = ? WHERE sequence = 3", (codec.encode_body(ev.TimerFired(9)),)
        )
    connection.close()
    async with gateway.on(WORKFLOWS, [work]) as client:
        with pytest.raises(RPCError, match="checksum") as refused:
            await client.get_workflow_handle("w").reset(1)
        assert refused.value.status == RPCStatusCode.DATA_LOSS
        assert await statuses(client) == ["completed"]
