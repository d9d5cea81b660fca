"""Concurrency keys of workflows: who runs, who waits, and what the four policies do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from overwinter.runtime.common import ConcurrencyKey, ConcurrencyPolicy, Priority, RetryPolicy
from overwinter.runtime.core import codec
from overwinter.runtime.exceptions import (
    ApplicationError,
    CancelledError,
    ConcurrencyKeyTakenError,
    TerminatedError,
    TimeoutError,
)
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.ports import Batch, ExecutionRecord
from tests.unit.gateways import QUEUE, Gateway, SqliteGateway, event_names, until

FIELD = ConcurrencyKey("field-7")


def field(policy: ConcurrencyPolicy, limit: int = 1) -> ConcurrencyKey:
    return ConcurrencyKey("field-7", limit, policy)


@workflow.defn
class Irrigate:
    """Runs until it is told how to end; `begun` has the ids of all that have begun."""

    begun: list[str] = []
    """Filled by the code of executions, which shares its module with the test."""

    def __init__(self) -> None:
        self.how = ""
        self.asked_to_cancel = False

    @workflow.run
    async def run(self) -> str:
        if not workflow.unsafe.is_replaying():
            Irrigate.begun.append(workflow.info().workflow_id)
        try:
            await workflow.wait_condition(lambda: self.how != "")
        except asyncio.CancelledError:
            self.asked_to_cancel = True
            await workflow.wait_condition(lambda: self.how != "")
            if self.how == "cancel":
                raise
        if self.how == "again":
            workflow.continue_as_new()
        if self.how == "fail":
            raise ApplicationError("no water")
        return self.how

    @workflow.signal
    def end(self, how: str) -> None:
        self.how = how

    @workflow.query
    def cancelling(self) -> bool:
        return self.asked_to_cancel


@workflow.defn
class Inspect:
    """Another type of workflow, which ends at once."""

    @workflow.run
    async def run(self) -> str:
        return workflow.info().workflow_id


@workflow.defn
class Season:
    """Irrigates by a child."""

    @workflow.run
    async def run(self, policy: int) -> str:
        key = field(ConcurrencyPolicy(policy))
        try:
            child = await workflow.start_child_workflow(Irrigate.run, id="child", concurrency=key)
        except ConcurrencyKeyTakenError as error:
            return f"{error.key} of {error.workflow_id}, limit {error.limit}"
        return await child


ALL = (Irrigate, Inspect, Season)


@pytest.fixture(autouse=True)
def _nothing_begun() -> None:
    Irrigate.begun.clear()


async def start(client: Client, name: str, key: ConcurrencyKey = FIELD, **more: Any) -> WorkflowHandle:
    return await client.start_workflow(Irrigate.run, id=name, task_queue=QUEUE, concurrency=key, **more)


async def has_begun(*names: str) -> None:
    await until(lambda: Irrigate.begun == list(names), what=f"{names}, found {Irrigate.begun}")


async def test_what_waits_begins_in_order_when_a_place_is_free(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        handles = [await start(client, name) for name in ("a", "b", "c")]
        other = await start(client, "other", ConcurrencyKey("field-8"))
        await has_begun("a", "other")
        for name, handle in zip("bc", handles, strict=False):
            await handle.signal(Irrigate.end, "done")
            assert await handle.result() == "done"
            await until(lambda name=name: Irrigate.begun[-1] == name, what=name)
        assert (await other.describe()).status == WorkflowExecutionStatus.RUNNING
        names = await event_names(client, "b")
        assert names[:3] == ["WorkflowStarted", "ActivationStarted", "WorkflowAdmitted"]
        assert "WorkflowAdmitted" not in await event_names(client, "a")


async def test_the_key_counts_over_ids_and_types_and_ends_of_every_kind_free_it(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        holder = await start(client, "a")
        for number, end in enumerate(("fail", "done", "terminate", "cancel")):
            waiting = await client.start_workflow(
                Inspect.run, id=f"inspect-{number}", task_queue=QUEUE, concurrency=FIELD
            )
            assert (await waiting.describe()).concurrency.position == 1
            if end == "terminate":
                await holder.terminate()
            else:
                if end == "cancel":
                    await holder.cancel()
                await holder.signal(Irrigate.end, end)
            assert await waiting.result() == f"inspect-{number}"
            holder = await start(client, f"holder-{number}")


async def test_as_many_run_as_the_limit_allows(gateway: Gateway) -> None:
    key = ConcurrencyKey("pumps", 3)
    async with gateway.on(ALL) as client:
        handles = [await start(client, str(number), key) for number in range(5)]
        await has_begun("0", "1", "2")
        await handles[1].signal(Irrigate.end, "done")
        await has_begun("0", "1", "2", "3")
        standing = (await handles[4].describe()).concurrency
        assert (standing.key, standing.limit, standing.position) == ("pumps", 3, 1)
        assert [one.workflow_id for one in standing.running] == ["0", "2", "3"]
        assert (await handles[0].describe()).concurrency.position == 0


async def test_those_that_wait_begin_by_priority(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        holder = await start(client, "holder")
        for number, priority in enumerate((5, None, 1, 3)):
            await start(client, f"{number}", priority=Priority(priority_key=priority))
        assert (await client.get_workflow_handle("0").describe()).concurrency.position == 4
        for expected in ("2", "1", "3", "0"):
            await holder.signal(Irrigate.end, "done")
            await until(lambda expected=expected: Irrigate.begun[-1] == expected, what=expected)
            holder = client.get_workflow_handle(expected)


async def test_a_start_that_joins_gets_the_one_that_runs(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await start(client, "a", field(ConcurrencyPolicy.JOIN))
        joined = await start(client, "b", field(ConcurrencyPolicy.JOIN))
        assert (joined.id, joined.result_run_id) == ("a", first.result_run_id)
        await start(
            client, "c", field(ConcurrencyPolicy.JOIN), start_signal="end", start_signal_args=["told"]
        )
        assert await joined.result() == "told"
        assert Irrigate.begun == ["a"]


async def test_a_start_is_refused_by_the_name_of_who_has_the_key(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await start(client, "a")
        with pytest.raises(ConcurrencyKeyTakenError, match="'field-7'.*'a'") as refused:
            await start(client, "b", field(ConcurrencyPolicy.REFUSE))
        assert (refused.value.workflow_id, refused.value.run_id) == ("a", first.result_run_id)
        assert await client.engine.journal.executions(workflow_id="b") == []
        await first.signal(Irrigate.end, "done")
        await first.result()
        await start(client, "b", field(ConcurrencyPolicy.REFUSE))
        await has_begun("a", "b")


async def test_a_start_that_replaces_begins_when_the_others_have_ended(gateway: Gateway) -> None:
    """The one that runs may clean up first; those that wait have nothing to clean up."""
    async with gateway.on(ALL) as client:
        first = await start(client, "running")
        waits = await start(client, "waiting")
        overtaken = await start(client, "overtaken", field(ConcurrencyPolicy.REPLACE))
        new = await start(client, "new", field(ConcurrencyPolicy.REPLACE))
        for handle in (waits, overtaken):
            with pytest.raises(WorkflowFailureError) as ended:
                await handle.result()
            assert isinstance(ended.value.cause, CancelledError)
            assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED
        assert "replaced by workflow 'new'" in str(ended.value.cause)
        await until(lambda: first.query(Irrigate.cancelling), what="the first one is asked to cancel")
        assert Irrigate.begun == ["running"]
        await first.signal(Irrigate.end, "cancel")
        await has_begun("running", "new")
        await new.signal(Irrigate.end, "done")
        assert await new.result() == "done"


async def test_a_replacement_ends_no_more_than_it_needs(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        handles = [await start(client, str(number), ConcurrencyKey("pumps", 3)) for number in range(3)]
        await start(client, "new", ConcurrencyKey("pumps", 3, ConcurrencyPolicy.REPLACE))
        await until(lambda: handles[0].query(Irrigate.cancelling), what="the oldest is asked")
        assert not await handles[1].query(Irrigate.cancelling)
        assert not await handles[2].query(Irrigate.cancelling)


async def test_a_chain_of_runs_keeps_its_place(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await start(client, "a", retry_policy=RetryPolicy(maximum_attempts=2))
        await start(client, "b")
        await first.signal(Irrigate.end, "again")
        await until(lambda: Irrigate.begun == ["a", "a"], what="the continued run")
        await client.get_workflow_handle("a").signal(Irrigate.end, "fail")
        gateway.advance(client, 10)
        await until(lambda: Irrigate.begun == ["a", "a", "a"], what="the retried run")
        assert (await client.get_workflow_handle("b").describe()).concurrency.position == 1
        await client.get_workflow_handle("a").signal(Irrigate.end, "done")
        await until(lambda: Irrigate.begun[-1] == "b", what="the one that waits")


async def test_what_waits_is_cancelled_at_once_and_may_be_terminated(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        await start(client, "a")
        cancelled, terminated = await start(client, "b"), await start(client, "c")
        await cancelled.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await cancelled.result()
        assert isinstance(ended.value.cause, CancelledError)
        await terminated.terminate("enough")
        with pytest.raises(WorkflowFailureError) as ended:
            await terminated.result()
        assert isinstance(ended.value.cause, TerminatedError)
        assert Irrigate.begun == ["a"]
        assert await event_names(client, "b") == ["WorkflowStarted", "WorkflowCanceled"]


async def test_signals_wait_with_their_execution_and_do_not_bring_it_forward(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await start(client, "a")
        second = await start(client, "b")
        await second.signal(Irrigate.end, "told early")
        assert Irrigate.begun == ["a"]
        await first.signal(Irrigate.end, "done")
        assert await second.result() == "told early"


async def test_the_run_timeout_counts_from_when_it_begins_and_the_execution_timeout_from_the_start(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL) as client:
        first = await start(client, "a")
        running = await start(client, "b", run_timeout=timedelta(seconds=60))
        waiting = await start(client, "c", execution_timeout=timedelta(seconds=60))
        gateway.advance(client, 61)
        with pytest.raises(WorkflowFailureError) as ended:
            await waiting.result()
        assert isinstance(ended.value.cause, TimeoutError)
        await first.signal(Irrigate.end, "done")
        await has_begun("a", "b")
        gateway.advance(client, 50)
        assert (await running.describe()).status == WorkflowExecutionStatus.RUNNING
        gateway.advance(client, 11)
        with pytest.raises(WorkflowFailureError):
            await running.result()


async def test_the_id_comes_before_the_key(gateway: Gateway) -> None:
    """An open execution of the same id is in the way by its id, whatever key it has."""
    from overwinter.runtime.common import WorkflowIDConflictPolicy
    from overwinter.runtime.exceptions import WorkflowAlreadyStartedError

    async with gateway.on(ALL) as client:
        await start(client, "a")
        waits = await start(client, "b")
        for key in (FIELD, field(ConcurrencyPolicy.REFUSE), field(ConcurrencyPolicy.JOIN)):
            with pytest.raises(WorkflowAlreadyStartedError):
                await start(client, "b", key)
        same = await start(client, "b", id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING)
        assert same.result_run_id == waits.result_run_id


async def test_a_child_waits_is_refused_or_replaces_and_cannot_join(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await start(client, "a")
        refused = await client.execute_workflow(Season.run, 4, id="season", task_queue=QUEUE)
        assert refused == "field-7 of a, limit 1"
        season = await client.start_workflow(Season.run, 1, id="season", task_queue=QUEUE)
        child = client.get_workflow_handle("child")
        await until(lambda: _waits(client, "child"), what="the child waits")
        assert "ChildStarted" in await event_names(client, "season")
        await first.signal(Irrigate.end, "done")
        await has_begun("a", "child")
        replacing = await client.start_workflow(Season.run, 3, id="season-2", task_queue=QUEUE)
        await child.signal(Irrigate.end, "done")
        assert await season.result() == "done"
        with pytest.raises(WorkflowFailureError):
            await replacing.result()  # its child has the id of the first one's, and that was open


async def _waits(client: Client, workflow_id: str) -> bool:
    found = await client.engine.journal.executions(workflow_id=workflow_id, limit=1)
    return bool(found) and found[0].concurrency_rank > 0


async def test_who_runs_and_who_waits_is_the_same_after_a_restart(durable: SqliteGateway) -> None:
    async with durable.on(ALL) as client:
        first = await start(client, "a")
        for name in ("b", "c"):
            await start(client, name)
    Irrigate.begun.clear()
    async with durable.on(ALL) as client:
        assert len(client.engine.cache) == 0  # who waits costs nothing
        await start(client, "d")
        assert (await client.get_workflow_handle("d").describe()).concurrency.position == 3
        assert Irrigate.begun == []
        first = client.get_workflow_handle("a")
        await first.signal(Irrigate.end, "done")
        await has_begun("b")


async def test_executions_are_found_by_their_key(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        for name in ("a", "b"):
            await start(client, name)
        await start(client, "other", ConcurrencyKey("field-8"))
        found = client.list_workflows("ConcurrencyKey = 'field-7' AND ExecutionStatus = 'Running'")
        assert [execution.id async for execution in found] == ["b", "a"]
        assert (await client.count_workflows("ConcurrencyKey IS NULL")).count == 0


async def test_an_execution_that_waits_leaves_memory(gateway: Gateway) -> None:
    from overwinter.runtime.engine import EngineLimits

    async with gateway.on(ALL, limits=EngineLimits(cached_executions_max=2)) as client:
        first = await start(client, "a")
        for number in range(20):
            await start(client, f"w{number}")
        await until(lambda: len(client.engine.cache) <= 2, what="they leave")
        for number in range(20):
            await client.get_workflow_handle(f"w{number}").signal(Irrigate.end, "done")
        await first.signal(Irrigate.end, "done")
        await client.get_workflow_handle("w19").result()
        assert Irrigate.begun == ["a", *(f"w{number}" for number in range(20))]


@pytest.mark.parametrize("policy", [ConcurrencyPolicy.WAIT, ConcurrencyPolicy.REPLACE])
async def test_with_a_full_journal_who_waits_begins_when_there_is_room(
    policy: ConcurrencyPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overwinter.runtime.admission._ROOM_WAIT_S", 0.01)
    monkeypatch.setattr("overwinter.runtime.engine._FULL_WAIT_S", 0.01)
    journal = MemoryJournal()
    commit = journal.commit
    refusals: list[str] = []

    async def often_full(batch: Batch) -> dict[int, ExecutionRecord]:
        kinds = {codec.KINDS[event.kind].__name__ for event in batch.events}
        if kinds & {"WorkflowAdmitted", "CancelRequested"} and len(refusals) < 3:
            refusals.append(", ".join(sorted(kinds)))
            raise StorageFull("no room")
        return await commit(batch)

    monkeypatch.setattr(journal, "commit", often_full)
    async with Gateway(journal).on(ALL) as client:
        first = await start(client, "a")
        await start(client, "b", field(policy))
        if policy == ConcurrencyPolicy.REPLACE:
            await until(lambda: first.query(Irrigate.cancelling), what="it is asked in the end")
        await first.signal(Irrigate.end, "done")

        async def admitted() -> bool:
            return "WorkflowAdmitted" in await event_names(client, "b")

        await until(admitted, what="the second one begins")
    assert len(refusals) == 3


@pytest.mark.parametrize("wrong", [{"key": ""}, {"key": "x" * 256}, {"key": "x", "limit": 0}])
def test_a_key_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="ConcurrencyKey"):
        ConcurrencyKey(**wrong)
