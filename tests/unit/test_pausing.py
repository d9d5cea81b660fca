"""Executions that are paused: by themselves, by their type, by their task queue, or with everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, RPCError, RPCStatusCode, WorkflowFailureError, WorkflowHandle
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.core import events as ev
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.pausing import Pauses
from overwinter.runtime.ports import ExecutionRecord, Pause
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, BreaksAfter, Gateway, SqliteGateway, event_names, failing, until

ran: list[str] = []
"""What workflow code and activities have done."""


@workflow.defn
class Collect:
    """Ends when it has so many values; says each time it is given one."""

    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self, count: int) -> list[str]:
        await workflow.wait_condition(lambda: len(set(self.got)) >= count)
        return self.got

    @workflow.signal
    def put(self, value: str) -> None:
        if not workflow.unsafe.is_replaying():
            ran.append(value)
        self.got.append(value)

    @workflow.query
    def seen(self) -> list[str]:
        return self.got

    @workflow.update
    def add(self, value: str) -> int:
        self.got.append(value)
        return len(self.got)


@workflow.defn
class Nap:
    @workflow.run
    async def run(self, seconds: float) -> str:
        await workflow.sleep(seconds)
        return "woke"


@activity.defn
async def work(name: str) -> str:
    ran.append(f"{name} {activity.info().attempt}")
    if name == "fails":
        raise RuntimeError("not yet")
    if name == "slow":
        await gate.wait()
    return name


gate = asyncio.Event()


@workflow.defn
class Work:
    @workflow.run
    async def run(self, names: list[str], queue: str = QUEUE) -> list[str]:
        return await asyncio.gather(
            *(
                workflow.execute_activity(
                    work,
                    name,
                    task_queue=queue,
                    start_to_close_timeout=timedelta(minutes=1),
                    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=10), backoff_coefficient=1),
                )
                for name in names
            )
        )


WORKFLOWS = [Collect, Nap, Work]


@pytest.fixture(autouse=True)
def _forget() -> None:
    global gate
    ran.clear()
    gate = asyncio.Event()  # The last one belongs to the loop of another test.


async def collecting(client: Client, count: int = 2, id: str = "w") -> WorkflowHandle[Collect, list[str]]:
    handle = await client.start_workflow(Collect.run, count, id=id, task_queue=QUEUE)
    await handle.query(Collect.seen)
    return handle


async def quiet() -> None:
    """Time enough for anything that is about to happen."""
    await asyncio.sleep(0.03)


# -- one execution -----------------------------------------------------------------------------------------


async def test_signals_to_a_paused_execution_are_recorded_and_reach_its_code_when_it_goes_on(
    gateway: Gateway,
) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await collecting(client)
        await handle.pause(reason="the pump is taken apart")
        await handle.signal(Collect.put, "a")
        await handle.signal(Collect.put, "b")
        await quiet()
        assert ran == []
        assert (await event_names(client, "w"))[-3:] == ["WorkflowPaused", "Signaled", "Signaled"]
        await handle.unpause()
        assert await handle.result() == ["a", "b"]
        assert ran == ["a", "b"]


async def test_a_paused_execution_says_so_with_who_when_and_why(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await collecting(client)
        await collecting(client, id="other")
        gateway.advance(client, 60)
        await handle.pause(reason="the pump is taken apart")
        description = await handle.describe()
        assert description.status is not None
        assert description.status.name == "PAUSED"
        pause = description.pause
        assert pause is not None
        assert (pause.scope, pause.identity, pause.reason) == (
            "execution",
            client.identity,
            "the pump is taken apart",
        )
        assert int(pause.paused_at.timestamp() * 1_000_000) == client.engine.now_us()
        assert await _ids(client, "ExecutionStatus = 'Paused'") == ["w"]
        assert await _ids(client, "ExecutionStatus = 'Running'") == ["other"]
        counted = await client.count_workflows("GROUP BY ExecutionStatus")
        assert {tuple(group.group_values): group.count for group in counted.groups} == {
            ("Running",): 1,
            ("Paused",): 1,
        }
        await handle.unpause()
        assert (await handle.describe()).pause is None
        assert await _ids(client, "ExecutionStatus = 'Running'") == ["other", "w"]


async def _ids(client: Client, query: str) -> list[str]:
    return sorted([each.id async for each in client.list_workflows(query)])


async def test_a_timer_that_is_due_during_a_pause_wakes_its_workflow_once_when_it_goes_on(
    gateway: Gateway,
) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await client.start_workflow(Nap.run, 60, id="w", task_queue=QUEUE)
        await quiet()
        await handle.pause()
        gateway.advance(client, 61)
        await quiet()
        assert (await handle.describe()).status.name == "PAUSED"  # type: ignore[union-attr] - it has one
        gateway.advance(client, 1000)
        await handle.unpause()
        assert await handle.result() == "woke"
        assert (await event_names(client, "w")).count("TimerFired") == 1


async def test_a_timer_that_is_not_due_during_a_pause_waits_for_its_time(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await client.start_workflow(Nap.run, 60, id="w", task_queue=QUEUE)
        await quiet()
        await handle.pause()
        gateway.advance(client, 30)
        await handle.unpause()
        await quiet()
        assert (await handle.describe()).status.name == "RUNNING"  # type: ignore[union-attr] - it has one
        gateway.advance(client, 30)
        assert await handle.result() == "woke"


async def test_an_attempt_that_runs_ends_as_it_will_and_none_begins_during_a_pause(gateway: Gateway) -> None:
    """One runs, one waits for the only slot, and one waits for its retry."""
    limits = EngineLimits(activities_max=2)
    async with gateway.on(WORKFLOWS, [work], limits=limits) as client:
        handle = await client.start_workflow(
            Work.run, args=[["fails", "slow", "slow", "next"]], id="w", task_queue=QUEUE
        )
        await until(lambda: ran == ["fails 1", "slow 1", "slow 1"])
        await handle.pause()
        gate.set()
        gateway.advance(client, 15)
        await quiet()
        assert ran == ["fails 1", "slow 1", "slow 1"]
        assert (await event_names(client, "w")).count("ActivityCompleted") == 2
        await handle.unpause()
        await until(lambda: sorted(ran[3:]) == ["fails 2", "next 1"], what="the attempts that were held")


async def test_a_retry_that_is_due_after_a_pause_is_made_once(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS, [work]) as client:
        handle = await client.start_workflow(Work.run, args=[["fails"]], id="w", task_queue=QUEUE)
        await until(lambda: ran == ["fails 1"])
        await quiet()
        await handle.pause()
        await handle.unpause()
        await quiet()
        assert ran == ["fails 1"]
        gateway.advance(client, 11)
        await until(lambda: len(ran) > 1)
        await quiet()
        assert ran == ["fails 1", "fails 2"]


async def test_a_query_is_answered_and_an_update_refused(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await collecting(client)
        await handle.signal(Collect.put, "a")
        assert await handle.execute_update(Collect.add, "b", id="before") == 2
        handle = await collecting(client, 3, id="v")
        await handle.execute_update(Collect.add, "b", id="before")
        await handle.pause()
        await handle.signal(Collect.put, "c")
        assert await handle.query(Collect.seen) == ["b"]
        with pytest.raises(RPCError, match="Workflow is paused. Cannot update") as refused:
            await handle.execute_update(Collect.add, "d")
        assert refused.value.status == RPCStatusCode.FAILED_PRECONDITION
        assert await handle.execute_update(Collect.add, "b", id="before") == 1


async def test_pausing_and_going_on_twice_are_refused(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await collecting(client)
        with pytest.raises(RPCError, match="workflow is not paused") as refused:
            await handle.unpause()
        assert refused.value.status == RPCStatusCode.FAILED_PRECONDITION
        frontend = client.frontend
        both = [frontend.pause_workflow("w", None, "me", "", str(number)) for number in range(2)]
        first, second = await asyncio.gather(*both, return_exceptions=True)
        assert first is None
        assert isinstance(second, RPCError)
        assert second.message == "workflow is already paused."
        await frontend.pause_workflow("w", None, "me", "", "0")
        with pytest.raises(RPCError, match="no open execution"):
            await client.get_workflow_handle("nobody").pause()
        assert (await event_names(client, "w")).count("WorkflowPaused") == 1


async def test_a_paused_execution_can_be_cancelled_and_terminated(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        cancelled, ended = await collecting(client, id="c"), await collecting(client, id="t")
        for handle in (cancelled, ended):
            await handle.pause()
        await cancelled.cancel()
        await ended.terminate()
        await quiet()
        assert [(await handle.describe()).status.name for handle in (cancelled, ended)] == [  # type: ignore[union-attr]
            "PAUSED",
            "TERMINATED",
        ]
        await cancelled.unpause()
        with pytest.raises(WorkflowFailureError):
            await cancelled.result()
        with pytest.raises(RPCError, match="already completed"):
            await ended.unpause()


@pytest.mark.parametrize("restarts", [1, 2])
async def test_a_pause_holds_over_restarts_with_what_came_before_and_after(
    durable: SqliteGateway, restarts: int
) -> None:
    async with durable.on(WORKFLOWS) as client:
        handle = await collecting(client, 9)
        await handle.pause(reason="winter")
        await handle.signal(Collect.put, "a")
    for number in range(restarts):
        async with durable.on(WORKFLOWS) as client:
            await quiet()
            assert len(client.engine.cache) == 0
            handle = client.get_workflow_handle_for(Collect.run, "w")
            description = await handle.describe()
            assert description.pause is not None
            assert description.pause.reason == "winter"
            await handle.signal(Collect.put, "bc"[number])
            await quiet()
            assert ran == []
    async with durable.on(WORKFLOWS) as client:
        handle = client.get_workflow_handle_for(Collect.run, "w")
        await handle.unpause()
        await handle.signal(Collect.put, "z")
        await until(lambda: ran == ["a", *"bc"[:restarts], "z"])


async def test_a_history_with_pauses_replays(durable: SqliteGateway) -> None:
    async with durable.on(WORKFLOWS) as client:
        handle = await collecting(client, 3)
        await handle.signal(Collect.put, "a")
        await handle.pause()
        await handle.unpause()
        await handle.pause()
        await handle.signal(Collect.put, "b")
        await handle.unpause()
        await until(lambda: ran == ["a", "b"])
    async with durable.on(WORKFLOWS) as client:
        handle = client.get_workflow_handle_for(Collect.run, "w")
        assert await handle.query(Collect.seen) == ["a", "b"]
        await handle.signal(Collect.put, "c")
        assert await handle.result() == ["a", "b", "c"]


async def test_an_unpause_alone_runs_no_code(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await collecting(client)
        await handle.pause()
        await handle.unpause()
        await quiet()
        assert await event_names(client, "w") == ["WorkflowStarted", "WorkflowPaused", "WorkflowUnpaused"]


# -- a type, a task queue, everything ------------------------------------------------------------------------

SCOPES = {
    "workflow_type": {"workflow_type": Collect.run},
    "task_queue": {"task_queue": QUEUE},
    "everything": {"everything": True},
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_what_fits_a_pause_waits_and_what_starts_meanwhile_too(
    durable: SqliteGateway, scope: str
) -> None:
    async with durable.on(WORKFLOWS) as client:
        first = await collecting(client, 1)
        await client.pause_workflows(**SCOPES[scope], reason="winter")  # type: ignore[arg-type] - one of them
        await first.signal(Collect.put, "a")
        await client.start_workflow(
            Collect.run, 1, id="new", task_queue=QUEUE, start_signal="put", start_signal_args=["n"]
        )
        await quiet()
        assert ran == []
    async with durable.on(WORKFLOWS) as client:
        await quiet()
        assert ran == []
        assert len(client.engine.cache) == 0
        assert await _ids(client, "ExecutionStatus = 'Paused'") == ["new", "w"]
        description = await client.get_workflow_handle("new").describe()
        assert description.pause is not None
        assert (description.pause.scope, description.pause.reason) == (scope, "winter")
        assert [pause.scope for pause in await client.list_pauses()] == [scope]
        await client.unpause_workflows(**SCOPES[scope])  # type: ignore[arg-type] - as above
        assert await client.get_workflow_handle("new").result() == ["n"]
        assert await client.get_workflow_handle("w").result() == ["a"]
        assert sorted(ran) == ["a", "n"]
        assert await client.list_pauses() == []


async def test_what_does_not_fit_goes_on(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        await client.pause_workflows(workflow_type="Nap")
        await client.pause_workflows(task_queue="another")
        handle = await collecting(client, 1)
        await handle.signal(Collect.put, "a")
        assert await handle.result() == ["a"]


async def test_an_execution_that_is_paused_twice_goes_on_when_neither_holds_it(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        handle = await collecting(client, 1)
        await handle.pause()
        await client.pause_workflows(everything=True)
        await client.pause_workflows(workflow_type="Collect")
        await handle.signal(Collect.put, "a")
        await handle.unpause()
        await client.unpause_workflows(everything=True)
        await quiet()
        assert ran == []
        assert (await handle.describe()).pause.scope == "workflow_type"  # type: ignore[union-attr] - it is paused
        await client.unpause_workflows(workflow_type="Collect")
        assert await handle.result() == ["a"]


async def test_a_paused_task_queue_begins_no_activity_of_anybody(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client, Worker(client, task_queue="gpu", activities=[work]):
        await client.pause_workflows(task_queue="gpu")
        handle = await client.start_workflow(Work.run, args=[["a"], "gpu"], id="w", task_queue=QUEUE)
        await quiet()
        assert ran == []
        assert (await handle.describe()).status.name == "RUNNING"  # type: ignore[union-attr] - it has one
        await client.unpause_workflows(task_queue="gpu")
        assert await handle.result() == ["a"]


async def test_a_start_that_was_delayed_until_a_time_of_the_pause_begins_after_it(gateway: Gateway) -> None:
    limits = EngineLimits(cached_executions_max=1)
    async with gateway.on(WORKFLOWS, limits=limits) as client:
        await client.start_workflow(
            Collect.run, 0, id="w", task_queue=QUEUE, start_delay=timedelta(seconds=60)
        )
        await client.pause_workflows(everything=True)
        gateway.advance(client, 61)
        await collecting_while_paused(client, 5)
        await client.unpause_workflows(everything=True)
        assert await client.get_workflow_handle("w").result() == []


async def collecting_while_paused(client: Client, count: int) -> None:
    for number in range(count):
        await client.start_workflow(
            Collect.run, 1, id=f"w{number}", task_queue=QUEUE, start_signal="put", start_signal_args=["x"]
        )
    await quiet()


async def test_executions_that_wait_for_a_pause_to_end_leave_memory(durable: SqliteGateway) -> None:
    limits = EngineLimits(cached_executions_max=2)
    async with durable.on(WORKFLOWS, limits=limits) as client:
        await client.pause_workflows(everything=True)
        await collecting_while_paused(client, 20)
        assert len(client.engine.cache) <= 3
        assert ran == []
        await client.unpause_workflows(everything=True)
        await until(lambda: _all_completed(client, 20), what="all of them have ended")
        assert len(ran) == 20


async def _all_completed(client: Client, count: int) -> bool:
    return (await client.engine.journal.counts())["completed"] == count


async def test_which_executions_are_meant_must_be_said(gateway: Gateway) -> None:
    async with gateway.on(WORKFLOWS) as client:
        with pytest.raises(ValueError, match="exactly one"):
            await client.pause_workflows()
        with pytest.raises(ValueError, match="exactly one"):
            await client.unpause_workflows(workflow_type="Nap", everything=True)
        with pytest.raises(RPCError, match="workflow type 'Nap' is not paused"):
            await client.unpause_workflows(workflow_type="Nap")
        with pytest.raises(RPCError, match="name a workflow_type"):
            await client.frontend.pause_workflows("device", "pump", "me", "")


# -- faults ----------------------------------------------------------------------------------------------------


async def test_a_pause_that_finds_no_room_changes_nothing() -> None:
    journal = MemoryJournal()
    async with Gateway(journal).on(WORKFLOWS) as client:
        handle = await collecting(client, 1)
        journal.fail_next = StorageFull("no space is left")
        with pytest.raises(RPCError) as refused:
            await client.pause_workflows(everything=True)
        assert refused.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        journal.fail_next = StorageFull("no space is left")
        with pytest.raises(RPCError):
            await handle.pause()
        await handle.signal(Collect.put, "a")
        assert await handle.result() == ["a"]


Step = tuple[str, Callable[[Client], Awaitable[None]]]


def _steps(own: bool) -> list[Step]:
    async def start(client: Client) -> None:
        await client.start_workflow(Collect.run, 3, id="w", task_queue=QUEUE)

    async def pause(client: Client) -> None:
        if own:
            await client.get_workflow_handle("w").pause()
        else:
            await client.pause_workflows(workflow_type="Collect")

    async def unpause(client: Client) -> None:
        if own:
            await client.get_workflow_handle("w").unpause()
        else:
            await client.unpause_workflows(workflow_type="Collect")

    def put(value: str) -> Callable[[Client], Awaitable[None]]:
        return lambda client: client.get_workflow_handle("w").signal(Collect.put, value)

    return [
        ("start", start),
        ("a", put("a")),
        ("pause", pause),
        ("b", put("b")),
        ("c", put("c")),
        ("unpause", unpause),
    ]


async def _what_goes_wrong(commits: int, own: bool) -> list[str]:
    """What a power cut after so many commits breaks: each step that returned counts, and is not made again."""
    ran.clear()
    journal = BreaksAfter(commits)
    gateway = Gateway(journal)
    done: list[str] = []
    problems: list[str] = []
    async with failing(gateway, WORKFLOWS, [work]) as client:
        for name, step in _steps(own):
            if name == "unpause" and ran != ["a"]:
                problems.append(f"code ran in spite of the pause: {ran}")
            await step(client)
            done.append(name)
            await quiet()
    journal.whole = True
    ran.clear()
    async with gateway.on(WORKFLOWS, [work]) as client:
        await quiet()
        if "pause" in done and "unpause" not in done and ran:
            problems.append(f"code ran in spite of the pause: {ran}")
        for name, step in _steps(own):
            if name not in done:
                try:
                    await step(client)
                except RPCError as error:  # It was made, and its answer lost.
                    if "paused" not in error.message and "already completed" not in error.message:
                        raise
        await quiet()
        result = await asyncio.wait_for(client.get_workflow_handle("w").result(), 5)
        if list(dict.fromkeys(result)) != ["a", "b", "c"]:
            problems.append(f"signals were lost: {result}")
    return problems


@pytest.mark.parametrize("own", [True, False], ids=["one execution", "a type"])
async def test_wherever_the_power_goes_a_pause_that_returned_holds_and_no_signal_is_lost(own: bool) -> None:
    for commits in range(9):
        assert await _what_goes_wrong(commits, own) == [], f"power cut after commit {commits}"


@pytest.mark.parametrize("own", [True, False], ids=["one execution", "a type"])
async def test_the_test_above_sees_a_pause_that_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    async def forget(_self: Pauses) -> None:
        pass

    def holds_nothing(self: Pauses, record: ExecutionRecord) -> Pause | None:
        return None

    if own:
        monkeypatch.setattr(Pauses, "of", holds_nothing)
    else:
        monkeypatch.setattr(Pauses, "recover", forget)
        monkeypatch.setattr("overwinter.runtime.journal.memory.pause_of", lambda _record, _pauses: None)
    found = [await _what_goes_wrong(commits, own) for commits in range(9)]
    assert any("in spite of the pause" in problem for problems in found for problem in problems)


def test_a_pause_that_begins_twice_is_a_damaged_history() -> None:
    from overwinter.runtime.core.state import ExecutionState
    from overwinter.runtime.core.transitions import IllegalTransition

    state = ExecutionState("r")
    start = ev.WorkflowStarted("w", "r", "Nap", QUEUE, (), 1)
    bodies = [start, ev.WorkflowPaused("me"), ev.WorkflowUnpaused("me"), ev.WorkflowPaused("me")]
    for number, body in enumerate(bodies, 1):
        state.apply(ev.Event(number, 0, 0, body))
    assert state.unconsumed == 1
    with pytest.raises(IllegalTransition, match="the pause is open"):
        state.apply(ev.Event(5, 0, 0, ev.WorkflowPaused("me")))
