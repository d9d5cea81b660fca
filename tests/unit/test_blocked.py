"""A bug in workflow code blocks the execution, says why, and loses nothing."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowHandle
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, engine_on, event_names, until

done: list[str] = []


@activity.defn
async def note(what: str) -> str:
    done.append(what)
    return what


def _note(what: str) -> Any:
    return workflow.execute_activity(note, what, start_to_close_timeout=timedelta(seconds=9))


class _Basket:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.signal
    def put(self, value: str) -> None:
        self.got.append(value)


@workflow.defn(name="Basket")
class BasketWithBug(_Basket):
    @workflow.run
    async def run(self) -> list[str]:
        await _note("first")
        raise ZeroDivisionError("of no use")


@workflow.defn(name="Basket")
class BasketMended(_Basket):
    @workflow.run
    async def run(self) -> list[str]:
        await _note("first")
        await workflow.wait_condition(lambda: len(self.got) == 2)
        return self.got


@workflow.defn(name="Basket")
class BasketOtherwise(_Basket):
    @workflow.run
    async def run(self) -> list[str]:
        await workflow.sleep(60)
        await _note("first")
        await workflow.wait_condition(lambda: len(self.got) == 2)
        return self.got


async def _blocked(handle: WorkflowHandle[Any]) -> Any:
    async def is_blocked() -> bool:
        return (await handle.describe()).blocked is not None

    await until(is_blocked, what="the execution is blocked")
    return (await handle.describe()).blocked


@pytest.fixture(autouse=True)
def _forget() -> None:
    done.clear()


async def test_a_bug_blocks_the_execution_and_names_its_line(gateway: Gateway) -> None:
    async with gateway.on([BasketWithBug], [note]) as client:
        handle = await client.start_workflow("Basket", id="w", task_queue=QUEUE)
        blocked = await _blocked(handle)
        line = BasketWithBug.run.__code__.co_firstlineno + 3
        assert blocked.cause == "ZeroDivisionError: of no use"
        assert blocked.where == f"{__file__}:{line} in run"
        assert (await handle.describe()).status.name == "RUNNING"
        assert (await client.engine.journal.counts())["blocked"] == 1


async def test_signals_to_a_blocked_execution_are_kept_and_reach_the_mended_code(
    durable: SqliteGateway,
) -> None:
    async with durable.on([BasketWithBug], [note]) as client:
        handle = await client.start_workflow("Basket", id="w", task_queue=QUEUE)
        await _blocked(handle)
        await handle.signal("put", "a")
        await handle.signal("put", "b")
        assert (await event_names(client, "w"))[-2:] == ["Signaled", "Signaled"]
        assert (await handle.describe()).blocked is not None
    async with durable.on([BasketMended], [note]) as client:
        assert await asyncio.wait_for(client.get_workflow_handle("w").result(), 5) == ["a", "b"]
        assert (await client.engine.journal.counts())["blocked"] == 0
    assert done == ["first"]


async def test_a_worker_with_mended_code_unblocks_without_a_restart_of_the_engine(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[BasketWithBug], activities=[note]):
            handle = await client.start_workflow("Basket", id="w", task_queue=QUEUE)
            await _blocked(handle)
            await handle.signal("put", "a")
        async with Worker(client, task_queue=QUEUE, workflows=[BasketMended], activities=[note]):
            await handle.signal("put", "b")
            assert await asyncio.wait_for(handle.result(), 5) == ["a", "b"]
    assert done == ["first"]


async def test_a_blocked_execution_is_tried_again_by_itself(gateway: Gateway) -> None:
    async with gateway.on([FailsThreeTimes]) as client:
        trials.clear()
        handle = await client.start_workflow(FailsThreeTimes.run, id="w", task_queue=QUEUE)
        assert await asyncio.wait_for(handle.result(), 10) == "mended"


trials: list[int] = []


@workflow.defn
class FailsThreeTimes:
    @workflow.run
    async def run(self) -> str:
        trials.append(1)
        if len(trials) < 3:
            raise RuntimeError("not yet")
        return "mended"


async def test_changed_code_is_refused_and_both_sides_are_named(durable: SqliteGateway) -> None:
    async with durable.on([BasketMended], [note]) as client:
        handle = await client.start_workflow("Basket", id="w", task_queue=QUEUE)
        await until(lambda: done == ["first"])
        await handle.signal("put", "a")
    async with durable.on([BasketOtherwise], [note]) as client:
        handle = client.get_workflow_handle("w")
        await handle.signal("put", "b")
        blocked = await _blocked(handle)
        assert "HistoryDiverged" in blocked.cause
        assert "ActivityScheduled 'note' (id 1) (event 2)" in blocked.cause
        assert "TimerStarted of 60 s (id 1)" in blocked.cause
        assert "TimerStarted" not in await event_names(client, "w")
    async with durable.on([BasketMended], [note]) as client:
        assert await asyncio.wait_for(client.get_workflow_handle("w").result(), 5) == ["a", "b"]
    assert done == ["first"]


async def test_a_blocked_execution_can_be_terminated(gateway: Gateway) -> None:
    async with gateway.on([BasketWithBug], [note]) as client:
        handle = await client.start_workflow("Basket", id="w", task_queue=QUEUE)
        await _blocked(handle)
        await handle.terminate(reason="no longer wanted")
        description = await handle.describe()
        assert (description.status.name, description.blocked) == ("TERMINATED", None)


async def test_a_query_to_a_blocked_execution_is_answered_from_before_the_bug(gateway: Gateway) -> None:
    async with gateway.on([BugOnSignal]) as client:
        handle = await client.start_workflow(BugOnSignal.run, id="w", task_queue=QUEUE)
        await handle.signal("good")
        await handle.signal("bad")
        await _blocked(handle)
        assert await handle.query("seen") == ["good"]


@workflow.defn
class BugOnSignal:
    def __init__(self) -> None:
        self.names: list[str] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def good(self) -> None:
        self.names.append("good")

    @workflow.signal
    def bad(self) -> None:
        self.names.append("bad")
        raise KeyError("bad")

    @workflow.query
    def seen(self) -> list[str]:
        return self.names


class _Strange(BaseException):
    pass


def _cancelled_future() -> bool:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    future.result()
    return True


@workflow.defn
class RaisesBaseException:
    @workflow.run
    async def run(self) -> None:
        raise _Strange("out of the run method")


@workflow.defn
class RaisesInCondition:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(_cancelled_future)


@workflow.defn
class ContinuesInInit:
    def __init__(self) -> None:
        workflow.continue_as_new()

    @workflow.run
    async def run(self) -> None: ...


@workflow.defn
class Exits:
    @workflow.run
    async def run(self) -> None:
        raise SystemExit(3)


@workflow.defn
class SleepsTooLong:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(1e18)


@workflow.defn
class NamesAreNoText:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("\udcff", start_to_close_timeout=timedelta(seconds=1))


@workflow.defn
class StartsThreads:
    @workflow.run
    async def run(self) -> None:
        try:
            await asyncio.to_thread(print)
        except RuntimeError:
            return  # swallowed, and a violation all the same


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (RaisesBaseException, "_Strange: out of the run method"),
        (RaisesInCondition, "CancelledError"),
        (ContinuesInInit, "ContinueAsNewRequested"),
        (Exits, "SystemExit: 3"),
        (SleepsTooLong, "1e+18"),
        (NamesAreNoText, "surrogates not allowed"),
        (StartsThreads, "DeterminismViolation"),
    ],
)
async def test_whatever_workflow_code_does_blocks_it_alone(gateway: Gateway, cls: type, says: str) -> None:
    """The engine goes on with the others; nothing is recorded of what the code asked for."""
    async with gateway.on([cls, BasketMended], [note]) as client:
        handle = await client.start_workflow(cls.__name__, id="w", task_queue=QUEUE)
        assert says in (await _blocked(handle)).cause
        assert await event_names(client, "w") == ["WorkflowStarted"]
        other = await client.start_workflow("Basket", id="other", task_queue=QUEUE)
        await other.signal("put", "a")
        await other.signal("put", "b")
        assert await asyncio.wait_for(other.result(), 5) == ["a", "b"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.start_workflow("Basket", id="\udcff", task_queue=QUEUE),
        lambda client: client.get_workflow_handle("w").signal("\udcff"),
        lambda client: client.get_workflow_handle("w").cancel(reason="\udcff"),
    ],
    ids=["start", "signal", "cancel"],
)
async def test_a_request_that_cannot_be_recorded_is_refused_and_harms_nobody(
    gateway: Gateway, ask: Callable[[Client], Any]
) -> None:
    async with gateway.on([BasketMended], [note]) as client:
        handle = await client.start_workflow("Basket", id="w", task_queue=QUEUE)
        with pytest.raises(ValueError, match="surrogates"):
            await asyncio.wait_for(ask(client), 5)
        await handle.signal("put", "a")
        await handle.signal("put", "b")
        assert await asyncio.wait_for(handle.result(), 5) == ["a", "b"]


@activity.defn
async def water() -> None: ...


@workflow.defn
class AsksForAStranger:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity("drain", start_to_close_timeout=timedelta(seconds=5))


@pytest.mark.parametrize(
    ("activities", "says"), [([water], "available activities: water"), ([], "no available activities")]
)
async def test_a_local_activity_that_the_worker_does_not_have_blocks_and_is_named(
    gateway: Gateway, activities: list[Any], says: str
) -> None:
    async with gateway.on([AsksForAStranger], activities) as client:
        handle = await client.start_workflow(AsksForAStranger.run, id="w", task_queue=QUEUE)
        blocked = (await handle.describe()).blocked
    assert blocked is not None
    assert f"Activity function drain is not registered on this worker, {says}" in blocked.cause


@workflow.defn
class EndsBeforeItsHandler:
    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: not workflow.all_handlers_finished())
        return "ended"

    @workflow.signal
    async def wait_for_ever(self) -> None:
        await asyncio.Event().wait()


async def test_a_warning_that_is_made_an_error_blocks_the_execution_and_not_the_engine(
    gateway: Gateway,
) -> None:
    """Tests commonly run with `error` for the warning of unfinished handlers, so as to see it."""
    async with gateway.on([EndsBeforeItsHandler], [note]) as client:
        handle = await client.start_workflow(EndsBeforeItsHandler.run, id="w", task_queue=QUEUE)
        with warnings.catch_warnings():
            warnings.simplefilter("error", workflow.UnfinishedSignalHandlersWarning)
            await handle.signal(EndsBeforeItsHandler.wait_for_ever)
            blocked = await _blocked(handle)
        assert blocked.cause.startswith(
            "UnfinishedSignalHandlersWarning: [TMPRL1102] Workflow finished while signal handlers are still running"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", workflow.UnfinishedSignalHandlersWarning)
            assert await handle.result() == "ended"
