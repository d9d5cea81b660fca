"""The same operation for every execution that fits a filter, as a job; and the deletion of executions."""

from __future__ import annotations

import asyncio

import pytest

from overwinter import workflow
from overwinter.runtime.batch_jobs import FAILURES_KEPT, BatchFailure, BatchJob
from overwinter.runtime.batch_runner import RUNNING_MAX
from overwinter.runtime.client import (
    BatchOperation,
    BatchOperationCancellation,
    BatchOperationDeletion,
    BatchOperationPause,
    BatchOperationReset,
    BatchOperationSignal,
    BatchOperationState,
    BatchOperationTermination,
    BatchOperationUnpause,
    Client,
    ResetPoint,
    RPCError,
    RPCStatusCode,
)
from overwinter.runtime.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.ports import Batch, ExecutionRecord
from tests.unit.gateways import QUEUE, BreaksAfter, Gateway, SqliteGateway, event_names, failing, until

FIELD = SearchAttributeKey.for_keyword("Field")
NORTH = "Field = 'north'"
FAST = EngineLimits(batch_per_second=100_000)


@workflow.defn
class Valve:
    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, ends: str) -> list[str]:
        await workflow.wait_condition(lambda: "end" in (ends, *self.told))
        if "fail" in self.told:
            raise ApplicationError("stuck")
        return self.told

    @workflow.signal
    def tell(self, word: str) -> None:
        self.told.append(word)

    @workflow.query
    def heard(self) -> list[str]:
        return self.told


async def valves(client: Client, count: int, field: str = "north", ends: str = "") -> list[str]:
    ids = [f"{field}-{number}" for number in range(count)]
    for workflow_id in ids:
        await client.start_workflow(
            Valve.run,
            ends,
            id=workflow_id,
            task_queue=QUEUE,
            search_attributes=TypedSearchAttributes([SearchAttributePair(FIELD, field)]),
        )
    return ids


async def statuses(client: Client) -> dict[str, str]:
    """Of the latest runs."""
    records = await client.engine.journal.executions(limit=1000)
    return {record.workflow_id: record.status for record in reversed(records)}


async def heard(client: Client, workflow_id: str) -> list[str]:
    found: list[str] = await client.get_workflow_handle_for(Valve.run, workflow_id).query(Valve.heard)
    return found


# -- what is done to which ---------------------------------------------------------------------------------


async def test_every_execution_that_fits_is_signaled_once_and_no_other(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        ids = await valves(client, 5)
        await valves(client, 2, "south")
        await client.get_workflow_handle("north-4").terminate()
        job = await client.start_batch_operation(
            BatchOperationSignal(Valve.tell, ["open"]), query=NORTH, reason="frost"
        )
        found = await job.result()
        assert (found.state, found.operation_type) == (BatchOperationState.COMPLETED, "signal")
        assert (found.total_operation_count, found.complete_operation_count) == (4, 4)
        assert (found.failure_operation_count, found.reason, found.identity) == (0, "frost", client.identity)
        assert found.close_time is not None
        for workflow_id in ids[:4]:
            assert await heard(client, workflow_id) == ["open"]
        assert await heard(client, "south-0") == []


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (BatchOperationCancellation(), "canceled"),
        (BatchOperationTermination(["why"]), "terminated"),
    ],
)
async def test_executions_are_ended(gateway: Gateway, operation: BatchOperation, status: str) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        await valves(client, 3)
        await valves(client, 1, "south")
        job = await client.start_batch_operation(operation, query=NORTH, reason="frost")
        assert (await job.result()).complete_operation_count == 3
        await until(lambda: _all(client, status), what=status)
        assert (await statuses(client))["south-0"] == "running"


async def _all(client: Client, status: str) -> bool:
    found = await statuses(client)
    return {found[f"north-{number}"] for number in range(3)} == {status}


async def test_executions_are_paused_and_go_on(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        await valves(client, 3)
        await client.get_workflow_handle("north-0").pause()
        await (await client.start_batch_operation(BatchOperationPause(), query=NORTH)).result()
        assert (await client.count_workflows("ExecutionStatus = 'Paused'")).count == 3
        await client.get_workflow_handle("north-1").unpause()
        done = await (await client.start_batch_operation(BatchOperationUnpause(), query=NORTH)).result()
        assert (done.total_operation_count, done.complete_operation_count) == (2, 2)
        assert (await client.count_workflows("ExecutionStatus = 'Running'")).count == 3


async def test_closed_executions_are_reset(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        await valves(client, 3, ends="end")
        await until(lambda: _all(client, "completed"))
        job = await client.start_batch_operation(
            BatchOperationReset(ResetPoint.first_workflow_task()), query=NORTH, reason="again"
        )
        assert (await job.result()).complete_operation_count == 3
        records = await client.engine.journal.executions(limit=100)
        assert len(records) == 6
        await until(lambda: _all(client, "completed"))


async def test_a_preview_counts_and_shows_what_would_be_done_and_does_nothing(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        await valves(client, 30)
        await client.get_workflow_handle("north-29").terminate()
        preview = await client.preview_batch_operation(BatchOperationCancellation(), query=NORTH)
        assert preview.count == 29
        assert [workflow_id for workflow_id, _ in preview.sample] == [f"north-{28 - n}" for n in range(20)]
        deletion = await client.preview_batch_operation(BatchOperationDeletion(), query=NORTH)
        assert (deletion.count, deletion.sample[0][0]) == (1, "north-29")
        assert "WorkflowExecutionCancelRequested" not in await event_names(client, "north-0")
        assert await client.list_batch_operations() == []


async def test_what_starts_after_a_job_is_none_of_it(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=EngineLimits(batch_per_second=100)) as client:
        await valves(client, 10)
        job = await client.start_batch_operation(BatchOperationSignal("tell", ["x"]), query=NORTH)
        await client.start_workflow(
            Valve.run,
            "",
            id="late",
            task_queue=QUEUE,
            search_attributes=TypedSearchAttributes([SearchAttributePair(FIELD, "north")]),
        )
        assert (await job.result()).complete_operation_count == 10
        assert await heard(client, "late") == []


async def test_a_job_keeps_its_rate_and_the_engines(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=EngineLimits(batch_per_second=200)) as client:
        await valves(client, 25)
        took: list[float] = []
        loop = asyncio.get_running_loop()
        for asked in (50, 1_000_000):
            began = loop.time()
            job = await client.start_batch_operation(
                BatchOperationSignal("tell", ["x"]), query=NORTH, max_operations_per_second=asked
            )
            found = await job.result()
            took.append(loop.time() - began)
            assert found.max_operations_per_second == min(asked, 200)
        assert took[0] >= 0.4
        assert took[1] >= 0.07


async def test_an_execution_that_cannot_be_done_is_counted_with_its_reason_and_holds_up_no_other(
    durable: SqliteGateway,
) -> None:
    async with durable.on([Valve], limits=FAST) as client:
        await valves(client, 3, ends="end")
        await until(lambda: _all(client, "completed"))
        job = await client.start_batch_operation(
            BatchOperationReset(ResetPoint.failed_activity()), query=NORTH, reason="again"
        )
        found = await job.result()
        assert (found.complete_operation_count, found.failure_operation_count) == (0, 3)
        assert found.state == BatchOperationState.COMPLETED
        assert [failure.id for failure in found.failures] == ["north-2", "north-1", "north-0"]
        assert "no activity of this run has failed" in found.failures[0].message


async def test_a_child_that_ended_with_its_parent_meanwhile_needs_no_ending(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=EngineLimits(batch_per_second=50)) as client:
        await valves(client, 3)
        job = await client.start_batch_operation(BatchOperationTermination(), query=NORTH)
        await client.get_workflow_handle("north-0").terminate()
        found = await job.result()
        assert (found.complete_operation_count, found.failure_operation_count) == (3, 0)


# -- the job --------------------------------------------------------------------------------------------------


async def test_a_job_is_stopped_and_what_it_has_done_stays_done(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=EngineLimits(batch_per_second=20)) as client:
        ids = await valves(client, 20)
        job = await client.start_batch_operation(BatchOperationSignal("tell", ["x"]), query=NORTH)
        await until(lambda: _at_least(client, job.id, 2))
        found = await job.stop(reason="enough")
        assert (found.state, found.stop_reason) == (BatchOperationState.STOPPED, "enough")
        assert 2 <= found.complete_operation_count < 20
        assert (await job.stop()).stop_reason == "enough"
        await asyncio.sleep(0.1)
        told = [workflow_id for workflow_id in ids if await heard(client, workflow_id)]
        assert len(told) == found.complete_operation_count


async def _at_least(client: Client, job_id: str, count: int) -> bool:
    return client.engine.batches.get(job_id).completed >= count


async def test_jobs_are_listed_the_newest_first_and_only_so_many_run(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=EngineLimits(batch_per_second=10)) as client:
        await valves(client, 20)
        handles = []
        for number in range(RUNNING_MAX):
            gateway.advance(client, 1)
            handles.append(
                await client.start_batch_operation(
                    BatchOperationSignal("tell", ["x"]), query=NORTH, job_id=f"job-{number}"
                )
            )
        listed = await client.list_batch_operations()
        assert [job.id for job in listed] == [f"job-{number}" for number in reversed(range(RUNNING_MAX))]
        with pytest.raises(RPCError) as crowded:
            await client.start_batch_operation(BatchOperationPause(), query=NORTH)
        assert crowded.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        for handle in handles:
            await handle.stop()
        with pytest.raises(RPCError) as taken:
            await client.start_batch_operation(BatchOperationPause(), query=NORTH, job_id="job-0")
        assert taken.value.status == RPCStatusCode.ALREADY_EXISTS
        with pytest.raises(RPCError) as unknown:
            await client.get_batch_operation_handle("nothing").describe()
        assert unknown.value.status == RPCStatusCode.NOT_FOUND


async def test_old_jobs_are_forgotten(durable: SqliteGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overwinter.runtime.batch_runner.CLOSED_KEPT", 2)
    async with durable.on([Valve], limits=FAST) as client:
        await valves(client, 1)
        for number in range(5):
            durable.advance(client, 1)
            job = await client.start_batch_operation(BatchOperationPause(), query=NORTH, job_id=f"{number}")
            await job.result()
        await client.get_workflow_handle("north-0").signal("tell", "x")
        assert len(await client.engine.journal.jobs()) <= 3
        assert (await client.list_batch_operations())[0].id == "4"


@pytest.mark.parametrize(
    "query", ["", "  ", "Field = ", "Nonsense = 1", f"{NORTH} ORDER BY StartTime", "GROUP BY WorkflowType"]
)
async def test_a_query_that_names_no_executions_is_refused(gateway: Gateway, query: str) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        await valves(client, 1)
        for asked in (client.preview_batch_operation, client.start_batch_operation):
            with pytest.raises(RPCError, match="invalid query") as refused:
                await asked(BatchOperationTermination(), query=query)
            assert refused.value.status == RPCStatusCode.INVALID_ARGUMENT
        with pytest.raises(ValueError, match="expected more than 0"):
            await client.start_batch_operation(
                BatchOperationTermination(), query=NORTH, max_operations_per_second=0
            )
        assert (await statuses(client))["north-0"] == "running"


async def test_what_a_filter_says_does_not_reach_beyond_its_parentheses(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        await valves(client, 2)
        await client.get_workflow_handle("north-0").terminate()
        query = f"{NORTH} OR WorkflowType = 'Valve'"
        preview = await client.preview_batch_operation(BatchOperationTermination(), query=query)
        assert preview.count == 1


def test_a_job_is_the_same_after_the_journal() -> None:
    from overwinter.runtime.batch_jobs import BatchOperation as Asked
    from overwinter.runtime.core.payload import Payload
    from overwinter.runtime.resets import ResetPoint

    value = Payload({"encoding": b"x"}, b"\x00\xff")
    job = BatchJob(
        id="j",
        operation=Asked(
            kind="reset",
            name="n",
            args=(value,),
            headers={"h": value},
            point=ResetPoint.failed_activity("open"),
            signals=False,
        ),
        query="WorkflowId = 'é'",
        per_second=1.5,
        started_at_us=1,
        total=3,
        before_key=9,
    )
    for number in range(FAILURES_KEPT + 5):
        job = job.after(number, BatchFailure("w", "r", "why"))
    assert (job.failed, len(job.failures)) == (FAILURES_KEPT + 5, FAILURES_KEPT)
    assert BatchJob.from_bytes("j", job.to_bytes()) == job


# -- deletion ----------------------------------------------------------------------------------------------------


async def test_a_closed_execution_is_deleted_with_its_history(durable: SqliteGateway) -> None:
    async with durable.on([Valve], limits=FAST) as client:
        await valves(client, 2, ends="end")
        await until(lambda: _completed(client, 2))
        last = await client.engine.journal.last_ids()
        await client.get_workflow_handle("north-1").delete()
        with pytest.raises(RPCError) as unknown:
            await client.get_workflow_handle("north-1").describe()
        assert unknown.value.status == RPCStatusCode.NOT_FOUND
        assert list(await statuses(client)) == ["north-0"]
        changes = await client.engine.journal.changes(0, 100)
        assert {change.execution.workflow_id for change in changes} == {"north-0"}
    async with durable.on([Valve], limits=FAST) as client:
        assert (await client.engine.journal.last_ids()).execution == last.execution
        await valves(client, 1, "south")
        (record,) = await client.engine.journal.executions(workflow_id="south-0")
        assert record.key == last.execution + 1
        assert (await client.count_workflows(NORTH)).count == 1


async def _completed(client: Client, count: int) -> bool:
    return list((await statuses(client)).values()).count("completed") == count


async def test_what_is_open_or_not_replicated_yet_is_not_deleted(gateway: Gateway) -> None:
    async with gateway.on([Valve], limits=FAST) as client:
        (workflow_id,) = await valves(client, 1)
        handle = client.get_workflow_handle(workflow_id)
        with pytest.raises(RPCError, match="is open") as refused:
            await handle.delete()
        assert refused.value.status == RPCStatusCode.FAILED_PRECONDITION
        await handle.terminate()
        lsn = (await client.engine.journal.last_ids()).lsn
        client.engine.deletions.kept_from_lsn = lambda: lsn
        with pytest.raises(RPCError, match="is not replicated yet"):
            await handle.delete()
        job = await client.start_batch_operation(BatchOperationDeletion(), query=NORTH)
        assert (await job.result()).failure_operation_count == 1
        client.engine.deletions.kept_from_lsn = lambda: lsn + 1
        await handle.delete()
        assert await statuses(client) == {}


async def test_closed_executions_are_deleted_by_a_job(durable: SqliteGateway) -> None:
    async with durable.on([Valve], limits=FAST) as client:
        await valves(client, 5, ends="end")
        await valves(client, 2, "south")
        await until(lambda: _completed(client, 5))
        job = await client.start_batch_operation(BatchOperationDeletion(), query="WorkflowType = 'Valve'")
        assert (await job.result()).complete_operation_count == 5
        assert sorted(await statuses(client)) == ["south-0", "south-1"]


# -- faults ------------------------------------------------------------------------------------------------------


class _Full(MemoryJournal):
    full = 0

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        if self.full and batch.jobs:
            self.full -= 1
            raise StorageFull("no space is left")
        return await super().commit(batch)


async def test_with_a_full_journal_a_job_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overwinter.runtime.batch_runner._ROOM_WAIT_S", 0.01)
    monkeypatch.setattr("overwinter.runtime.engine._FULL_WAIT_S", 0.01)
    journal = _Full()
    async with Gateway(journal).on([Valve], limits=FAST) as client:
        ids = await valves(client, 5)
        journal.full = 1
        with pytest.raises(RPCError):
            await client.start_batch_operation(BatchOperationSignal("tell", ["x"]), query=NORTH)
        job = await client.start_batch_operation(BatchOperationSignal("tell", ["x"]), query=NORTH)
        journal.full = 3
        found = await asyncio.wait_for(job.result(), 10)
        assert (found.complete_operation_count, found.failure_operation_count) == (5, 0)
        for workflow_id in ids:
            assert await heard(client, workflow_id) == ["x"]


async def _after_a_power_cut(
    commits: int, operation: BatchOperation
) -> tuple[dict[str, int], BatchJob | None]:
    """How often each execution was told, and the job, after a power cut and a restart."""
    journal = BreaksAfter(0)
    journal.whole = True
    gateway = Gateway(journal)
    begun = False
    async with gateway.on([Valve], limits=FAST) as client:
        ids = await valves(client, 4)
    journal.left, journal.whole = commits, False
    async with failing(gateway, [Valve], limits=FAST) as client:
        job = await client.start_batch_operation(operation, query=NORTH, job_id="j")
        begun = True
        await job.result()
    journal.whole = True
    async with gateway.on([Valve], limits=FAST) as client:
        if not begun and "j" not in await journal.jobs():
            return {}, None
        await asyncio.wait_for(client.get_batch_operation_handle("j").result(), 5)
        told = {
            workflow_id: (await event_names(client, workflow_id)).count("Signaled") for workflow_id in ids
        }
        return told, client.engine.batches.get("j")


async def test_wherever_the_power_goes_each_execution_is_done_once_and_counted_once() -> None:
    ended = 0
    for commits in range(10):
        told, job = await _after_a_power_cut(commits, BatchOperationSignal("tell", ["x"]))
        assert set(told.values()) <= {1}, f"after commit {commits}: {told}"
        if job is not None:
            ended += 1
            assert len(told) == 4
            assert (job.state, job.total, job.completed, job.failed) == ("completed", 4, 4, 0)
    assert ended >= 5


async def test_the_test_above_sees_progress_that_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from overwinter.runtime.engine import Engine

    tell = Engine.tell

    def without(self: Engine, *args: object, alongside: object = None, **more: object) -> object:
        return tell(self, *args, **more)  # type: ignore[arg-type] - passed on

    monkeypatch.setattr(Engine, "tell", without)
    found = [await _after_a_power_cut(commits, BatchOperationSignal("tell", ["x"])) for commits in range(10)]
    assert any(count > 1 for told, _ in found for count in told.values())


@pytest.mark.parametrize(
    "operation",
    [
        BatchOperationReset(ResetPoint.first_workflow_task()),
        BatchOperationTermination(),
        BatchOperationPause(),
    ],
    ids=["reset", "terminate", "pause"],
)
async def test_other_operations_are_done_once_too(operation: BatchOperation) -> None:
    for commits in range(0, 12, 2):
        journal = BreaksAfter(0)
        journal.whole = True
        gateway = Gateway(journal)
        async with gateway.on([Valve], limits=FAST) as client:
            await valves(client, 4)
        journal.left, journal.whole = commits, False
        async with failing(gateway, [Valve], limits=FAST) as client:
            await (await client.start_batch_operation(operation, query=NORTH, job_id="j")).result()
        journal.whole = True
        async with gateway.on([Valve], limits=FAST) as client:
            if "j" not in await journal.jobs():
                continue
            job = await asyncio.wait_for(client.get_batch_operation_handle("j").result(), 5)
            assert (job.complete_operation_count, job.failure_operation_count) == (4, 0), commits
            runs = await journal.executions(limit=100)
            assert len(runs) == (8 if isinstance(operation, BatchOperationReset) else 4)


async def test_a_deletion_that_left_nothing_to_find_is_completed_after_a_crash() -> None:
    """The attribute that its query names is known no more."""
    for commits in range(5, 9):
        journal = BreaksAfter(0)
        journal.whole = True
        gateway = Gateway(journal)
        async with gateway.on([Valve], limits=FAST) as client:
            await valves(client, 4, ends="end")
            await until(lambda: _completed(client, 4))
        journal.left, journal.whole = commits - 3, False
        async with failing(gateway, [Valve], limits=FAST) as client:
            await (
                await client.start_batch_operation(BatchOperationDeletion(), query=NORTH, job_id="j")
            ).result()
        journal.whole = True
        async with gateway.on([Valve], limits=FAST) as client:
            found = await asyncio.wait_for(client.get_batch_operation_handle("j").result(), 5)
            assert (found.complete_operation_count, found.failure_operation_count) == (4, 0)
            assert await statuses(client) == {}


async def test_a_job_that_was_stopped_is_stopped_after_a_restart(durable: SqliteGateway) -> None:
    async with durable.on([Valve], limits=EngineLimits(batch_per_second=20)) as client:
        await valves(client, 10)
        job = await client.start_batch_operation(BatchOperationSignal("tell", ["x"]), query=NORTH, job_id="j")
        await until(lambda: _at_least(client, "j", 1))
        stopped = await job.stop()
    async with durable.on([Valve], limits=FAST) as client:
        assert await client.get_batch_operation_handle("j").result() == stopped


async def test_a_job_goes_on_where_it_was_after_a_shutdown(durable: SqliteGateway) -> None:
    async with durable.on([Valve], limits=EngineLimits(batch_per_second=20)) as client:
        ids = await valves(client, 10)
        job = await client.start_batch_operation(BatchOperationSignal("tell", ["x"]), query=NORTH, job_id="j")
        await until(lambda: _at_least(client, "j", 2))
        waiting = asyncio.ensure_future(job.result())
        await asyncio.sleep(0)
    with pytest.raises(RPCError) as stopped:
        await waiting
    assert stopped.value.status == RPCStatusCode.UNAVAILABLE
    async with durable.on([Valve], limits=FAST) as client:
        found = await client.get_batch_operation_handle("j").result()
        assert found.complete_operation_count == 10
        for workflow_id in ids:
            assert await heard(client, workflow_id) == ["x"]
