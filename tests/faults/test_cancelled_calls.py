"""Whoever calls is cancelled at each place at which a public call waits: it was done whole or not at all, and nothing is held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import (
    Client,
    RPCTimeoutOrCancelledError,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
)
from overwinter.runtime.exceptions import WorkflowAlreadyStartedError
from tests.unit.gateways import QUEUE, SqliteGateway, event_names, until


@activity.defn
async def add_one(number: int) -> int:
    return number + 1


@workflow.defn
class Counts:
    def __init__(self) -> None:
        self.got: list[int] = []
        self.ends = False

    @workflow.run
    async def run(self) -> list[int]:
        await workflow.wait_condition(lambda: self.ends)
        return self.got

    @workflow.signal
    def put(self, number: int) -> None:
        self.got.append(number)

    @workflow.update
    async def put_one_more(self, number: int) -> int:
        more = await workflow.execute_activity(add_one, number, start_to_close_timeout=timedelta(seconds=30))
        self.got.append(more)
        return more

    @workflow.signal
    def end(self) -> None:
        self.ends = True

    @workflow.query
    def values(self) -> list[int]:
        return self.got


Call = Callable[[Client, int], Awaitable[Any]]


async def _start(client: Client, number: int) -> None:
    await client.start_workflow(Counts.run, id=f"new-{number}", task_queue=QUEUE)


async def _signal(client: Client, number: int) -> None:
    await client.get_workflow_handle("w").signal(Counts.put, number)


async def _signal_with_start(client: Client, number: int) -> None:
    await client.start_workflow(
        Counts.run, id=f"new-{number}", task_queue=QUEUE, start_signal="put", start_signal_args=[number]
    )


async def _update(client: Client, number: int) -> None:
    await client.get_workflow_handle("w").execute_update(Counts.put_one_more, number)


async def _query(client: Client, number: int) -> None:
    await client.get_workflow_handle("w").query(Counts.values)


async def _describe(client: Client, number: int) -> None:
    await client.get_workflow_handle("w").describe()


async def _history(client: Client, number: int) -> None:
    await client.get_workflow_handle("w").fetch_history()


async def _list(client: Client, number: int) -> None:
    [found async for found in client.list_workflows("WorkflowType = 'Counts'")]


async def _result(client: Client, number: int) -> None:
    await client.get_workflow_handle("w").result()


async def _cancel(client: Client, number: int) -> None:
    await client.start_workflow(Counts.run, id=f"new-{number}", task_queue=QUEUE)
    await client.get_workflow_handle(f"new-{number}").cancel()


async def _terminate(client: Client, number: int) -> None:
    await client.start_workflow(Counts.run, id=f"new-{number}", task_queue=QUEUE)
    await client.get_workflow_handle(f"new-{number}").terminate()


async def _schedule(client: Client, number: int) -> None:
    action = ScheduleActionStartWorkflow(Counts.run, id=f"scheduled-{number}", task_queue=QUEUE)
    handle = await client.create_schedule(f"s-{number}", Schedule(action=action, spec=ScheduleSpec()))
    await handle.delete()


async def _pause(client: Client, number: int) -> None:
    await client.start_workflow(Counts.run, id=f"new-{number}", task_queue=QUEUE)
    handle = client.get_workflow_handle(f"new-{number}")
    await handle.pause()
    await handle.unpause()


CALLS = [
    _start, _signal, _signal_with_start, _update, _query, _describe, _history, _list, _result, _cancel, _terminate,
    _schedule, _pause,
]  # fmt: skip


@asynccontextmanager
async def _cancelled_after(steps: int, call: Awaitable[Any]) -> AsyncIterator[bool]:
    """Whether the call was cancelled; it is given so many turns of the event loop."""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        if task.done():
            break
        await asyncio.sleep(0)
    cancelled = task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    # A wait for an update says so in its own way.
    was_cancelled = isinstance(outcome, asyncio.CancelledError | RPCTimeoutOrCancelledError)
    assert outcome is None or was_cancelled, repr(outcome)
    yield cancelled and was_cancelled


@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_that_is_cancelled_anywhere_was_made_whole_or_not_at_all(
    durable: SqliteGateway, call: Call
) -> None:
    cancelled = 0
    async with durable.on([Counts], [add_one]) as client:
        handle = await client.start_workflow(Counts.run, id="w", task_queue=QUEUE)
        for steps in [*range(25), *range(25, 200, 25)]:
            async with _cancelled_after(steps, call(client, steps)) as was:
                cancelled += was
            assert client.engine.failure is None
            # Others are served as before, and what was cancelled can be asked for again.
            await asyncio.wait_for(handle.query(Counts.values), 5)
        await _end_all(client)
        values = await asyncio.wait_for(handle.result(), 10)
        assert len(values) == len(set(values)), "something was done twice"
        await _check_histories(client)
        await until(lambda: client.engine.activities_running() == 0)
    assert cancelled
    async with durable.on([Counts], [add_one]) as client:  # and again from the disk
        assert await client.get_workflow_handle("w").result() == values
        await _check_histories(client)


async def _end_all(client: Client) -> None:
    for record in await client.engine.journal.executions(status="running", limit=1000):
        handle = client.get_workflow_handle(record.workflow_id)
        try:
            await handle.unpause()
        except Exception:  # noqa: BLE001, S110 - most were never paused
            pass
        await handle.signal(Counts.end)


async def _check_histories(client: Client) -> None:
    """Every execution has ended, its history is whole, and a start that was asked for once was made once."""
    names: list[str] = []
    for record in await client.engine.journal.executions(limit=1000):
        history = await client.engine.journal.history(record)
        assert history.state.closing is not None or record.status == "running"
        names.append(record.workflow_id)
        assert (await event_names(client, record.workflow_id)).count("WorkflowStarted") == 1
    assert len(names) == len(set(names))


async def test_a_start_that_was_cancelled_can_be_made_again_under_its_id(durable: SqliteGateway) -> None:
    """It was made or it was not; whoever asks again learns which."""
    made = 0
    async with durable.on([Counts], [add_one]) as client:
        for steps in range(20):
            name = f"w-{steps}"
            async with _cancelled_after(
                steps, client.start_workflow(Counts.run, id=name, task_queue=QUEUE)
            ) as was:
                assert was or steps
            try:
                await client.start_workflow(Counts.run, id=name, task_queue=QUEUE)
            except WorkflowAlreadyStartedError:
                made += 1
            await client.get_workflow_handle(name).signal(Counts.end)
            assert await client.get_workflow_handle(name).result() == []
    assert 0 < made < 20
