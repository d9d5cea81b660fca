"""Things that happen just when something else is being written, read or refused; the simulator found them one by one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, ResetPoint, WorkflowHandle
from overwinter.runtime.common import WorkflowIDConflictPolicy
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.messages import publish
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.unit.gateways import QUEUE, GatedJournal, Gateway, event_names, until

FORGETFUL = EngineLimits(cached_executions_max=0)
SECOND = timedelta(seconds=1)
ran: list[str] = []
fails: set[str] = set()


@activity.defn
async def work(name: str) -> str:
    ran.append(name)
    if name in fails:
        raise RuntimeError(name)
    return name


@workflow.defn
class Listens:
    """Keeps what it is told until the last word."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self, seconds: float) -> list[str]:
        await workflow.wait_condition(lambda: "end" in self.heard, timeout=seconds)
        return self.heard

    @workflow.signal
    def tell(self, word: str) -> None:
        self.heard.append(word)

    @workflow.signal
    async def tell_after_work(self, word: str) -> None:
        self.heard.append(await workflow.execute_activity(work, word, start_to_close_timeout=60 * SECOND))

    @workflow.update
    def ask(self, word: str) -> int:
        self.heard.append(word)
        return len(self.heard)

    @workflow.query
    def all_heard(self) -> list[str]:
        return self.heard


@workflow.defn
class Tells:
    """Signals another execution, and may be spoken to meanwhile."""

    @workflow.run
    async def run(self, other: str) -> None:
        await workflow.get_external_workflow_handle(other).signal(Listens.tell, "from elsewhere")

    @workflow.signal
    def poke(self) -> None:
        pass


@workflow.defn
class Publishes:
    """Sends a message in its first step."""

    @workflow.run
    async def run(self, seconds: float) -> None:
        publish("a/b", "x")
        await workflow.sleep(seconds)


@workflow.defn
class SleepsTwice:
    """A minute in each of two runs."""

    @workflow.run
    async def run(self, again: bool) -> str:
        await workflow.sleep(60)
        if again:
            workflow.continue_as_new(False)
        return "awake"


@workflow.defn
class Waits:
    """For its child."""

    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_child_workflow(SleepsTwice.run, True, id="child")


WORKFLOWS = [Listens, Tells, Publishes, SleepsTwice, Waits]


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()
    fails.clear()


async def listening(client: Client, seconds: float = 1e6, workflow_id: str = "w") -> WorkflowHandle:
    handle = await client.start_workflow(Listens.run, seconds, id=workflow_id, task_queue=QUEUE)
    await until(lambda: client.engine.counters.activations > 0 and not client.engine.busy)
    return handle


class InTheWay:
    """A start of an id that is open, and not in memory: until its commit nobody knows that it comes to nothing."""

    def __init__(self, client: Client, journal: GatedJournal) -> None:
        self.client = client
        self.journal = journal

    async def __aenter__(self) -> None:
        await until(lambda: self.client.engine.cache.open_run("w") is None, what="it leaves memory")
        self.journal.held = True
        start = self.client.start_workflow(
            Listens.run,
            1.0,
            id="w",
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        self.start = asyncio.ensure_future(start)
        await until(lambda: self.journal.waiting, what="the start is being written")

    async def __aexit__(self, *_error: object) -> None:
        self.journal.held = False
        self.journal.let()
        await self.start


async def test_an_update_is_answered_though_a_start_was_in_its_way() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS, limits=FORGETFUL) as client:
        handle = await listening(client)
        async with InTheWay(client, journal):
            answer = asyncio.ensure_future(handle.execute_update(Listens.ask, "a"))
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(answer, 10) == 1


async def test_a_cancellation_of_one_run_is_not_lost_on_a_start_that_comes_to_nothing() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS, limits=FORGETFUL) as client:
        handle = await listening(client)
        async with InTheWay(client, journal):
            run = client.get_workflow_handle("w", run_id=handle.result_run_id)
            cancel = asyncio.ensure_future(run.cancel())
            await asyncio.sleep(0.01)
        await cancel
        assert "CancelRequested" in await event_names(client, "w")


async def test_a_timer_is_not_lost_on_a_start_that_comes_to_nothing() -> None:
    journal = GatedJournal()
    gateway = Gateway(journal)
    async with gateway.on(WORKFLOWS, limits=FORGETFUL) as client:
        handle = await listening(client, 60.0)
        async with InTheWay(client, journal):
            gateway.advance(client, 61)
            await asyncio.sleep(0.01)
        with pytest.raises(Exception, match="failed"):
            await asyncio.wait_for(handle.result(), 10)


async def test_who_speaks_to_executions_that_begin_together_finds_all_of_them() -> None:
    """Those that began first leave memory when somebody goes on with the next."""
    journal = GatedJournal()
    names = [f"w{number}" for number in range(5)]
    async with Gateway(journal).on(WORKFLOWS, limits=FORGETFUL) as client:
        journal.held = True
        starts = [client.start_workflow(Listens.run, 1e6, id=name, task_queue=QUEUE) for name in names]
        starting = [asyncio.ensure_future(start) for start in starts]
        await until(lambda: journal.waiting, what="they are being written")
        signals = [client.get_workflow_handle(name).signal(Listens.tell, "end") for name in names]
        signaling = [asyncio.ensure_future(signal) for signal in signals]
        await asyncio.sleep(0.02)
        journal.held = False
        journal.let(10)
        await asyncio.gather(*starting, *signaling)


async def test_a_timer_fires_that_was_far_off_when_its_execution_was_busy_with_an_activity() -> None:
    """When the journal was asked for what is due soon, it listed the execution as one that goes on by itself."""
    gateway = Gateway(MemoryJournal())
    async with gateway.on(WORKFLOWS, [work], limits=EngineLimits(look_ahead_s=100)) as client:
        handle = await listening(client, 120.0)
        fails.add("later")
        await handle.signal(Listens.tell_after_work, "later")
        await until(lambda: ran != [], what="the activity is attempted")
        gateway.advance(client, 60)
        await until(lambda: len(ran) > 1, what="the clock was looked at")
        fails.clear()
        gateway.advance(client, 30)
        await until(lambda: client.engine.cache.open_run("w").idle, what="the activity ends")
        gateway.advance(client, 40)
        with pytest.raises(Exception, match="failed"):
            await asyncio.wait_for(handle.result(), 10)


async def test_an_activity_that_fails_while_there_is_no_room_is_tried_again() -> None:
    journal = MemoryJournal()
    gateway = Gateway(journal)
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await listening(client)
        fails.add("a")
        await handle.signal(Listens.tell_after_work, "a")
        await until(lambda: ran == ["a"] and not client.engine.busy, what="the first attempt has failed")
        journal.fail_next = StorageFull("no room")
        gateway.advance(client, 1)
        await until(
            lambda: len(ran) == 2 and journal.fail_next is None, what="so has the second, and found no room"
        )
        fails.clear()
        for _ in range(100):
            gateway.advance(client, 1)
            await asyncio.sleep(0.05)
            if len(ran) > 2:
                break
        assert len(ran) == 3


async def test_a_signal_to_another_execution_is_one_though_its_sender_leaves_memory_and_comes_back() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS, limits=FORGETFUL) as client:
        other = await listening(client, workflow_id="other")
        journal.held = True
        sender = asyncio.ensure_future(
            client.start_workflow(Tells.run, "other", id="sender", task_queue=QUEUE)
        )
        await until(lambda: journal.waiting, what="the sender is being written")
        journal.let()
        handle = await sender
        await until(lambda: journal.waiting, what="the signal is being written")
        poke = asyncio.ensure_future(handle.signal(Tells.poke))
        await asyncio.sleep(0.02)
        journal.held = False
        journal.let()
        await asyncio.gather(poke, handle.result(), return_exceptions=True)
        await other.signal(Listens.tell, "end")
        assert await other.result() == ["from elsewhere", "end"]


async def test_a_signal_is_one_though_its_sender_is_read_again_and_again_while_there_is_no_room() -> None:
    journal = MemoryJournal()
    async with Gateway(journal).on(WORKFLOWS, limits=FORGETFUL) as client:
        other = await listening(client, workflow_id="other")
        handle = await client.start_workflow(Tells.run, "other", id="sender", task_queue=QUEUE)
        for _ in range(3):
            journal.fail_next = StorageFull("no room")
            await asyncio.gather(handle.signal(Tells.poke), return_exceptions=True)
        await asyncio.wait_for(handle.result(), 15)
        await other.signal(Listens.tell, "end")
        assert await other.result() == ["from elsewhere", "end"]


async def test_two_cancellations_at_once_are_one(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await listening(client)
        both = [client.engine.cancel("w", None), client.engine.cancel("w", None)]
        await asyncio.gather(*both)
        assert (await event_names(client, handle.id)).count("CancelRequested") == 1


async def test_a_query_tells_of_nothing_that_is_not_written() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS) as client:
        handle = await listening(client)
        journal.held = True
        signal = asyncio.ensure_future(handle.signal(Listens.tell, "a"))
        await until(lambda: journal.waiting, what="the signal is being written")
        asked = asyncio.ensure_future(handle.query(Listens.all_heard))
        done, _ = await asyncio.wait([asked], timeout=0.05)
        assert not done
        journal.held = False
        journal.let()
        await signal
        assert await asked == ["a"]


async def test_a_query_does_not_tell_of_what_found_no_room() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS) as client:
        handle = await listening(client)
        journal.held, journal.fail_next = True, StorageFull("no room")
        signal = asyncio.ensure_future(handle.signal(Listens.tell, "a"))
        await until(lambda: journal.waiting, what="the signal is being written")
        asked = asyncio.ensure_future(handle.query(Listens.all_heard))
        await asyncio.sleep(0.02)
        journal.held = False
        journal.let()
        with pytest.raises(RPCError):
            await signal
        assert await asked == []


async def test_an_update_that_is_sent_again_is_answered_when_it_is_written() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS) as client:
        handle = await listening(client)
        journal.held = True
        first = asyncio.ensure_future(handle.execute_update(Listens.ask, "a", id="u"))
        await until(lambda: journal.waiting, what="the update is being written")
        again = asyncio.ensure_future(handle.execute_update(Listens.ask, "a", id="u"))
        done, _ = await asyncio.wait([first, again], timeout=0.05)
        assert not done
        journal.held = False
        journal.let()
        assert await asyncio.gather(first, again) == [1, 1]


async def test_an_update_that_came_to_a_paused_execution_with_its_pause_is_refused_when_there_is_no_room() -> (
    None
):
    journal = MemoryJournal()
    async with Gateway(journal).on(WORKFLOWS) as client:
        handle = await listening(client)
        journal.fail_next = StorageFull("no room")
        said = await asyncio.wait_for(
            asyncio.gather(handle.pause(), handle.execute_update(Listens.ask, "a"), return_exceptions=True),
            10,
        )
        assert [error.status for error in said] == [RPCStatusCode.RESOURCE_EXHAUSTED] * 2


async def test_an_attempt_that_a_pause_has_held_is_made_though_the_clock_was_set_back() -> None:
    gateway = Gateway(MemoryJournal())
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await listening(client)
        fails.add("a")
        await handle.signal(Listens.tell_after_work, "a")
        await until(lambda: ran == ["a"] and not client.engine.busy, what="the first attempt has failed")
        await handle.pause()
        gateway.advance(client, 5)
        await asyncio.sleep(0.05)
        gateway.advance(client, -60)
        await handle.unpause()
        fails.clear()
        gateway.advance(client, 70)
        await until(lambda: len(ran) == 2, what="the attempt is made")


async def test_what_is_asked_for_when_an_execution_goes_on_is_begun_once(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await listening(client)
        await handle.pause()
        for name in "abcd":
            await handle.signal(Listens.tell_after_work, name)
        await handle.unpause()
        await until(lambda: len(ran) >= 4 and not client.engine.busy)
        await handle.signal(Listens.tell, "end")
        await handle.result()
        assert sorted(ran) == ["a", "b", "c", "d"]


async def test_a_run_that_is_made_by_a_reset_does_not_wait_for_the_time_of_the_one_before() -> None:
    gateway = Gateway(MemoryJournal())
    async with gateway.on(WORKFLOWS) as client:
        handle = await client.start_workflow(
            Listens.run, 1e6, id="w", task_queue=QUEUE, cron_schedule="0 0 1 1 *"
        )
        assert client.engine.counters.activations == 0
        new = await handle.reset(ResetPoint.first_workflow_task())
        await new.signal(Listens.tell, "end")
        assert await asyncio.wait_for(new.query(Listens.all_heard), 10) == ["end"]


async def test_a_signal_that_was_under_way_when_its_sender_was_reset_is_told_to_the_new_run() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS) as client:
        other = await listening(client, workflow_id="other")
        journal.held = True
        starting = client.start_workflow(Tells.run, "other", id="sender", task_queue=QUEUE)
        sender = asyncio.ensure_future(starting)
        await until(lambda: journal.waiting, what="the sender is being written")
        journal.let()
        handle = await sender
        await until(lambda: journal.waiting, what="the signal is being written")
        reset = asyncio.ensure_future(handle.reset(ResetPoint.last_workflow_task()))
        await asyncio.sleep(0.05)
        journal.held = False
        journal.let()
        new = await reset
        await asyncio.wait_for(new.result(), 10)
        await other.signal(Listens.tell, "end")
        assert (await other.result())[-1] == "end"


async def test_what_a_start_that_comes_to_nothing_would_publish_is_not_sent() -> None:
    async with Gateway(MemoryJournal()).on(WORKFLOWS, limits=FORGETFUL) as client:
        await listening(client)
        await until(lambda: client.engine.cache.open_run("w") is None, what="it leaves memory")
        sent: list[str] = []
        client.engine.committed = lambda batch: sent.extend(message.topic for message in batch.outgoing)
        existing = WorkflowIDConflictPolicy.USE_EXISTING
        for name in ("w", "other"):
            await client.start_workflow(
                Publishes.run, 1.0, id=name, task_queue=QUEUE, id_conflict_policy=existing
            )
        assert sent == ["a/b"]


async def test_a_child_that_continues_as_new_tells_the_run_that_a_reset_has_made_of_its_parent() -> None:
    gateway = Gateway(MemoryJournal())
    async with gateway.on(WORKFLOWS) as client:
        handle = await client.start_workflow(Waits.run, id="parent", task_queue=QUEUE)
        await until(lambda: client.engine.cache.open_run("child") is not None and not client.engine.busy)
        new = await handle.reset(ResetPoint.last_workflow_task())
        for runs in (1, 2):
            await until(lambda: not client.engine.busy)
            gateway.advance(client, 61)
            child = client.get_workflow_handle("child")
            await until(
                lambda: client.engine.counters.commits > 0 and not client.engine.busy,
                what=f"run {runs} of {child.id}",
            )
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(new.result(), 10) == "awake"


async def test_a_run_that_leaves_memory_as_soon_as_it_may_can_be_reset() -> None:
    async with Gateway(MemoryJournal()).on(WORKFLOWS, limits=FORGETFUL) as client:
        handle = await listening(client)
        await until(lambda: client.engine.cache.open_run("w") is None, what="it leaves memory")
        new = await asyncio.wait_for(handle.reset(ResetPoint.first_workflow_task()), 10)
        await new.signal(Listens.tell, "end")
        assert await new.result() == ["end"]
