"""The port between clients and engines: what its answers promise that a client's own tests do not show."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowUpdateFailedError, WorkflowUpdateStage
from overwinter.runtime.common import WorkflowIDConflictPolicy
from overwinter.runtime.core.events import Event, Signaled, WorkflowStarted
from overwinter.runtime.frontend import EngineFrontend, Frontend
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.unit.gateways import QUEUE, GatedJournal, Gateway, until


@workflow.defn
class Collect:
    def __init__(self) -> None:
        self.found: list[str] = []

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        await workflow.wait_condition(lambda: len(self.found) >= wanted)
        return self.found

    @workflow.signal
    def put(self, one: str) -> None:
        self.found.append(one)

    @workflow.update
    def add(self, one: str) -> int:
        self.found.append(one)
        return len(self.found)

    @add.validator
    def _check(self, one: str) -> None:
        if not one:
            raise ValueError("nothing to add")


@activity.defn
async def by_hand() -> str:
    tokens.append(activity.info().task_token)
    activity.raise_complete_async()


tokens: list[bytes] = []


@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(by_hand, start_to_close_timeout=timedelta(hours=1))


def test_an_engine_answers_every_call_with_the_ports_own_parameters() -> None:
    calls = [name for name in vars(Frontend) if not name.startswith("_")]
    assert len(calls) > 20
    for name in calls:
        wanted, found = (inspect.signature(getattr(cls, name)) for cls in (Frontend, EngineFrontend))
        assert found == wanted, name


async def test_events_that_are_waited_for_come_with_the_commit_that_holds_them() -> None:
    async with Gateway(MemoryJournal()).on([Collect]) as client:
        await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        page = await client.frontend.workflow_events("w", None, 0, True, False)
        assert isinstance(page.events[0].body, WorkflowStarted)
        assert page.more
        waiting = asyncio.create_task(_next(client, page.run_id, page.events[-1].sequence))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await client.get_workflow_handle("w").signal(Collect.put, "a")
        assert "Signaled" in await waiting


async def _next(client: Client, run_id: str, after: int) -> list[str]:
    page = await client.frontend.workflow_events("w", run_id, after, True, False)
    return [type(event.body).__name__ for event in page.events]


async def test_a_follower_misses_no_commit_between_two_of_its_looks() -> None:
    """A commit while the history is being read must wake who looked before it."""
    async with Gateway(MemoryJournal()).on([Collect]) as client:
        await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        first = await client.frontend.workflow_events("w", None, 0, True, False)
        journal = client.engine.journal
        read, looked = journal.history, asyncio.Event()

        async def slow(record: object) -> object:
            history = await read(record)
            looked.set()
            await asyncio.sleep(0.05)
            return history

        journal.history = slow
        waiting = asyncio.create_task(_next(client, first.run_id, first.events[-1].sequence))
        await looked.wait()
        await client.frontend.signal_workflow("w", None, Signaled("put", client.values.encode(("a",))))
        async with asyncio.timeout(5):
            assert await waiting


async def test_who_joins_a_run_that_begins_is_answered_when_it_is_durable() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on([Collect]) as client:
        journal.held = True
        starts = [
            asyncio.create_task(
                client.start_workflow(
                    Collect.run,
                    1,
                    id="w",
                    task_queue=QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                )
            )
            for _ in range(3)
        ]
        await asyncio.sleep(0.03)
        assert not any(start.done() for start in starts)
        journal.let(9)
        handles = await asyncio.gather(*starts)
        assert len({handle.result_run_id for handle in handles}) == 1


async def test_who_joins_a_run_that_could_not_begin_begins_one() -> None:
    journal = GatedJournal()
    async with Gateway(journal).on([Collect]) as client:
        journal.held = True
        first = asyncio.create_task(client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE))
        await asyncio.sleep(0.01)
        journal.fail_next = StorageFull("no room")
        journal.let(9)
        with pytest.raises(RPCError):
            await first
        assert (await second).id == "w"


async def test_an_activity_that_was_completed_by_hand_is_so_durably_when_the_call_returns() -> None:
    journal = GatedJournal()
    tokens.clear()
    async with Gateway(journal).on([Waits, Collect], [by_hand]) as client:
        handle = await client.start_workflow(Waits.run, id="w", task_queue=QUEUE)
        await until(lambda: bool(tokens))
        journal.held = True
        other = asyncio.create_task(client.start_workflow(Collect.run, 1, id="x", task_queue=QUEUE))
        await asyncio.sleep(0.01)  # A commit is under way that has nothing of the activity.
        completed = asyncio.create_task(client.get_async_activity_handle(task_token=tokens[0]).complete("ok"))
        await asyncio.sleep(0.01)
        journal.let()
        await other
        await asyncio.sleep(0.02)
        assert not completed.done()
        journal.let(9)
        await completed
        assert await handle.result() == "ok"


async def test_an_activity_that_was_completed_by_hand_while_there_was_no_room_is_so_later() -> None:
    journal = GatedJournal()
    tokens.clear()
    async with Gateway(journal).on([Waits], [by_hand]) as client:
        handle = await client.start_workflow(Waits.run, id="w", task_queue=QUEUE)
        await until(lambda: bool(tokens))
        journal.fail_next = StorageFull("no room")
        await client.get_async_activity_handle(task_token=tokens[0]).complete("ok")
        assert await handle.result() == "ok"
        assert len(tokens) == 1


async def test_an_activity_that_has_ended_cannot_be_completed_again() -> None:
    tokens.clear()
    async with Gateway(MemoryJournal()).on([Waits], [by_hand]) as client:
        handle = await client.start_workflow(Waits.run, id="w", task_queue=QUEUE)
        await until(lambda: bool(tokens))
        activity_handle = client.get_async_activity_handle(task_token=tokens[0])
        ends = await asyncio.gather(
            activity_handle.complete("ok"), activity_handle.complete("no"), return_exceptions=True
        )
        assert sorted(str(type(end).__name__) for end in ends) == ["NoneType", "RPCError"]
        assert await handle.result() in ("ok", "no")


async def test_a_rejected_update_is_so_also_for_who_waits_for_its_acceptance_only() -> None:
    async with Gateway(MemoryJournal()).on([Collect]) as client:
        handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.start_update(Collect.add, "", wait_for_stage=WorkflowUpdateStage.ACCEPTED)


async def test_a_follower_of_a_history_is_told_that_the_engine_stops() -> None:
    async with Gateway(MemoryJournal()).on([Collect]) as client:
        handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        events = handle.fetch_history_events(wait_new_event=True)
        await anext(events)
        following = asyncio.create_task(_to_the_end(events))
        await asyncio.sleep(0.02)
    with pytest.raises(RPCError) as told:
        await asyncio.wait_for(following, 5)
    assert told.value.status == RPCStatusCode.UNAVAILABLE


async def _to_the_end(events: AsyncIterator[Event]) -> None:
    async for _ in events:
        pass
