"""Durability classes: what is flushed at once, who waits for it, and what may go on before."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from overwinter import activity, workflow
from overwinter.runtime import engine as engine_module
from overwinter.runtime.client import Client
from overwinter.runtime.common import Durability, WorkflowIDConflictPolicy
from overwinter.runtime.core import events as ev
from overwinter.runtime.core.codec import KINDS
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.journal import MemoryJournal, SqliteJournal, StorageFull
from overwinter.runtime.ports import Batch, ExecutionRecord
from overwinter.runtime.service import RPCError
from tests.unit import durability_changed
from tests.unit.gateways import QUEUE, GatedJournal, Gateway, SqliteGateway, until

NEVER_S = 3600.0
ran: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()


@activity.defn
async def usual(name: str) -> str:
    ran.append(name)
    return name


@activity.defn(durability=Durability.LAZY)
async def sample(name: str) -> str:
    ran.append(name)
    return name


@activity.defn(durability=Durability.GROUPED)
async def open_valve(name: str) -> str:
    ran.append(name)
    return name


@activity.defn(durability=Durability.NOW)
async def alarm(name: str) -> str:
    ran.append(name)
    return name


def step(function: object, name: str) -> workflow.ActivityHandle[str]:
    return workflow.start_activity(function, name, start_to_close_timeout=timedelta(seconds=60))  # type: ignore[call-overload, no-any-return]  # pyright: ignore


@workflow.defn(durability=Durability.LAZY)
class Telemetry:
    """Takes samples until it is told to stop."""

    def __init__(self) -> None:
        self.readings: list[int] = []

    @workflow.run
    async def run(self, wanted: int) -> list[int]:
        await step(usual, "first")
        await workflow.wait_condition(lambda: len(self.readings) >= wanted)
        return self.readings

    @workflow.signal
    async def read(self, value: int) -> None:
        self.readings.append(value)

    @workflow.update
    async def change(self, value: int) -> int:
        self.readings.append(value)
        return len(self.readings)


@workflow.defn(durability=Durability.LAZY)
class TelemetryWithAValve:
    @workflow.run
    async def run(self) -> None:
        await step(usual, "look")
        await step(open_valve, "open")
        await workflow.wait_condition(lambda: False)


@workflow.defn
class Round:
    """Grouped, with samples that are lazy."""

    @workflow.run
    async def run(self) -> str:
        await step(sample, "one")
        await step(sample, "two")
        await step(usual, "valve")
        await workflow.wait_condition(lambda: False)
        return "never"


@workflow.defn
class Usual:
    @workflow.run
    async def run(self) -> str:
        return "done"


@workflow.defn(durability=Durability.NOW)
class Alarm:
    @workflow.run
    async def run(self) -> str:
        return "rung"


@workflow.defn
class RingsAnAlarm:
    @workflow.run
    async def run(self) -> str:
        return await step(alarm, "ring")


WORKFLOWS = [Telemetry, TelemetryWithAValve, Round, Usual, Alarm, RingsAnAlarm]
ACTIVITIES = [usual, sample, open_valve, alarm]


class Noting(MemoryJournal):
    """Notes each commit, and what was flushed when an activity ended in it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.flushes = 0

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        self.batches.append(batch)
        return await super().commit(batch)

    async def flush(self) -> None:
        self.flushes += 1
        await super().flush()

    def flushed_with(self, kind: type[object]) -> list[bool]:
        """For each event of a kind, whether its commit was flushed at once."""
        return [b.flushed for b in self.batches for event in b.events if KINDS[event.kind] is kind]


def limits(**given: float) -> EngineLimits:
    return EngineLimits(lazy_window_s=given.get("window", NEVER_S), commit_delay_s=given.get("delay", 0.0))


async def started(client: Client, kind: type, *args: object, id: str = "w") -> asyncio.Task[object]:
    """A start that is under way; the engine has it in the journal."""
    run = getattr(kind, "run")  # noqa: B009 - of any of the workflows here
    before = client.engine.starts.last_key
    task = asyncio.create_task(client.start_workflow(run, *args, id=id, task_queue=QUEUE))
    await until(lambda: client.engine.starts.last_key > before)
    return task


async def test_a_lazy_workflow_goes_on_at_once_and_its_start_is_answered_after_the_flush() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        start = await started(client, Telemetry, 1)
        await until(lambda: ran == ["first"])
        await until(lambda: journal.flushed_with(ev.ActivityCompleted) == [False])
        assert not start.done()
        assert not journal.flushed
        # Any commit that is flushed makes all before it safe.
        assert await client.execute_workflow(Usual.run, id="other", task_queue=QUEUE) == "done"
        await start
        assert journal.flushes == 0


async def test_the_flush_comes_by_itself_when_the_window_has_passed() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits(window=0.02)) as client:
        handle = await client.start_workflow(Telemetry.run, 2, id="w", task_queue=QUEUE)
        await handle.signal(Telemetry.read, 1)
        await handle.signal(Telemetry.read, 2)
        assert await handle.result() == [1, 2]
        assert journal.flushed
        assert journal.flushes > 0
        assert not any(batch.flushed for batch in journal.batches)


async def test_a_result_is_answered_after_the_flush() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        start = await started(client, Telemetry, 0)
        await until(lambda: client.engine.cache.open_run("w") is None)
        result = asyncio.create_task(client.get_workflow_handle("w").result())
        again = asyncio.create_task(client.get_workflow_handle("w").result())
        await until(lambda: ran == ["first"])
        await asyncio.sleep(0)
        assert not (start.done() or result.done() or again.done())
        await client.execute_workflow(Usual.run, id="other", task_queue=QUEUE)
        assert await result == await again == []


async def test_a_start_that_joins_one_which_is_not_flushed_waits_too() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        await started(client, Telemetry, 1)
        await until(lambda: journal.flushed_with(ev.ActivityCompleted) == [False])
        joined = asyncio.create_task(
            client.start_workflow(
                Telemetry.run,
                1,
                id="w",
                task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
        )
        for _ in range(20):
            await asyncio.sleep(0)
        assert not joined.done()
        await client.execute_workflow(Usual.run, id="other", task_queue=QUEUE)
        await joined


async def test_an_update_of_a_lazy_workflow_is_flushed_at_once() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        start = await started(client, Telemetry, 5)
        assert await client.get_workflow_handle("w").execute_update(Telemetry.change, 7) == 1
        assert journal.flushed
        await start


async def test_an_activity_of_a_stricter_class_starts_after_a_flush() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        await started(client, TelemetryWithAValve)
        await until(lambda: ran == ["look", "open"])
        await until(lambda: len(journal.flushed_with(ev.ActivityCompleted)) == 2)
        # The outcome of "look" came with the request for "open".
        assert journal.flushed_with(ev.WorkflowStarted) == [False]
        assert journal.flushed_with(ev.ActivityCompleted) == [True, True]


async def test_lazy_activities_of_a_grouped_workflow_are_not_flushed_until_something_else_is_asked_for() -> (
    None
):
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        await started(client, Round)
        await until(lambda: ran == ["one", "two", "valve"])
        await until(lambda: len(journal.flushed_with(ev.ActivityCompleted)) == 3)
        assert journal.flushed_with(ev.WorkflowStarted) == [True]
        assert journal.flushed_with(ev.ActivityCompleted) == [False, True, True]


async def test_the_class_is_in_the_history_and_holds_when_the_code_says_something_else() -> None:
    journal = Noting()
    gateway = Gateway(journal)
    async with gateway.on(WORKFLOWS, ACTIVITIES, limits=limits(window=0.0)) as client:
        handle = await client.start_workflow(Telemetry.run, 2, id="w", task_queue=QUEUE)
        first = (await handle.fetch_history()).records[0].body
        assert isinstance(first, ev.WorkflowStarted)
        assert first.durability == Durability.LAZY
    journal.batches.clear()
    async with gateway.on([durability_changed.Telemetry], ACTIVITIES, limits=limits(window=0.0)) as client:
        await client.get_workflow_handle("w").signal("read", 1)
        assert journal.flushed_with(ev.Signaled) == [False]


async def test_what_was_written_and_not_flushed_is_there_after_a_stop() -> None:
    gateway = Gateway(Noting())
    async with gateway.on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        start = await started(client, Telemetry, 1)
        await until(lambda: ran == ["first"])
    await start  # Stopping flushes, and answers.
    assert isinstance(gateway.journal, Noting)
    assert gateway.journal.flushed


async def test_who_waits_for_a_flush_is_told_when_the_engine_fails() -> None:
    journal = Noting()
    with pytest.raises(AssertionError, match="the engine has failed"):
        async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
            start = await started(client, Telemetry, 1)
            await until(lambda: journal.flushed_with(ev.ActivityCompleted) == [False])
            journal.fail_next = RuntimeError("the device is gone")
            with pytest.raises(RPCError):
                await client.execute_workflow(Usual.run, id="other", task_queue=QUEUE)
            with pytest.raises(RPCError, match="the device is gone"):
                await start


async def test_a_flush_that_finds_no_room_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoRoom(Noting):
        full = True

        async def flush(self) -> None:
            if self.full:
                self.full = False
                raise StorageFull("no room")
            await super().flush()

    monkeypatch.setattr(engine_module, "_FULL_WAIT_S", 0.01)
    journal = NoRoom()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        start = await started(client, Telemetry, 1)
        await until(lambda: journal.flushed_with(ev.ActivityCompleted) == [False])
        client.engine.flushing.due = True  # as when the window has passed
        client.engine.wake()
        await start
        assert (journal.full, journal.flushed) == (False, True)


async def test_a_commit_waits_for_more_to_come_unless_something_is_urgent() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits(delay=NEVER_S)) as client:
        waiting = await started(client, Usual, id="usual")
        for _ in range(20):
            await asyncio.sleep(0)
        assert journal.commits == 0
        assert await client.execute_workflow(Alarm.run, id="alarm", task_queue=QUEUE) == "rung"
        first = journal.batches[0]
        assert [start.workflow_id for start in first.starts.values()] == ["alarm"]
        # So that the test ends: another one lets the rest of the queue have its turn.
        await client.execute_workflow(Alarm.run, id="alarm-2", task_queue=QUEUE)
        await waiting


async def test_a_delayed_commit_takes_what_has_come_meanwhile() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits(delay=0.2)) as client:
        starts = [
            asyncio.create_task(client.start_workflow(Usual.run, id=str(n), task_queue=QUEUE))
            for n in range(5)
        ]
        await asyncio.gather(*starts)
        assert max(len(batch.starts) for batch in journal.batches) == 5


async def test_what_is_now_has_a_commit_of_its_own_before_a_long_queue_and_the_queue_has_its_turn() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        journal.held = True
        tasks = [await started(client, Usual, id="0")]
        await until(lambda: journal.waiting)
        for number in range(1, 20):
            tasks.append(await started(client, Usual, id=str(number)))
        urgent = await started(client, Alarm, id="alarm")
        journal.let(2)  # the one that was under way, and the next
        await urgent
        assert sum(task.done() for task in tasks) == 1
        journal.held = False
        journal.let(1)
        await asyncio.gather(*tasks)


async def test_an_activity_that_is_now_is_not_held_up_by_the_delay_of_commits() -> None:
    journal = Noting()
    async with Gateway(journal).on(WORKFLOWS, ACTIVITIES, limits=limits(delay=NEVER_S)) as client:
        await started(client, RingsAnAlarm)
        # This lets the start have its turn, and with it the activity.
        await client.execute_workflow(Alarm.run, id="1", task_queue=QUEUE)
        await client.execute_workflow(Alarm.run, id="2", task_queue=QUEUE)
        await until(lambda: journal.flushed_with(ev.ActivityCompleted) == [True])


async def test_sqlite_flushes_lazy_commits_with_the_window_and_stays_full(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    async with gateway.on(WORKFLOWS, ACTIVITIES, limits=limits(window=0.01)) as client:
        handle = await client.start_workflow(Telemetry.run, 1, id="w", task_queue=QUEUE)
        await handle.signal(Telemetry.read, 1)
        assert await handle.result() == [1]
        journal = gateway.journal
        assert isinstance(journal, SqliteJournal)
        synchronous = await journal._write(lambda c: c.execute("PRAGMA synchronous").fetchone()[0])
        assert synchronous == 2
        assert int(await journal.setting("flushes", "0")) > 0
        assert client.engine.flushing.lazy_commits > 0


async def test_what_others_get_of_the_journal_is_flushed_before(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    async with gateway.on(WORKFLOWS, ACTIVITIES, limits=limits()) as client:
        await started(client, Telemetry, 1)
        await until(lambda: ran == ["first"])
        journal = gateway.journal
        assert await journal.setting("flushes", "0") == "0"
        changes = await journal.changes(0, 100)
        assert changes
        assert await journal.setting("flushes", "0") != "0"
