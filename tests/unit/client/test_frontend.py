"""The port between clients and engines: what its answers promise that a client's own tests do not show."""

from __future__ import annotations

import asyncio
import inspect

from overwinter import workflow
from overwinter.runtime.client import Client
from overwinter.runtime.core.events import Signaled, WorkflowStarted
from overwinter.runtime.frontend import EngineFrontend, Frontend
from overwinter.runtime.journal import MemoryJournal
from tests.unit.gateways import QUEUE, Gateway


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
