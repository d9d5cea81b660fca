"""Children, other executions and updates, over restarts of the gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from overwinter.runtime.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from overwinter.runtime.exceptions import ApplicationError, ChildWorkflowError, TerminatedError
from overwinter.runtime.service import RPCError
from tests.unit.gateways import QUEUE, FailingJournal, Gateway, SqliteGateway, event_names, failing, until

FIELD = SearchAttributeKey.for_keyword("Field")
DRYNESS = SearchAttributeKey.for_int("Dryness")


@workflow.defn
class Child:
    """Ends when it is told to."""

    def __init__(self) -> None:
        self.word = ""

    @workflow.run
    async def run(self, name: str) -> str:
        await workflow.wait_condition(lambda: self.word != "")
        if self.word == "fail":
            raise ApplicationError("no water", type="NoWater")
        return f"{name} {self.word}"

    @workflow.signal
    def say(self, word: str) -> None:
        self.word = word

    @workflow.update
    async def ask(self, question: str) -> str:
        await workflow.wait_condition(lambda: self.word != "")
        return f"{question}: {self.word}"

    @ask.validator
    def check(self, question: str) -> None:
        if question == "?":
            raise ApplicationError("no question")


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, policy: int) -> str:
        handle = await workflow.start_child_workflow(
            Child.run, "valve", id="child", parent_close_policy=workflow.ParentClosePolicy(policy)
        )
        return await handle


@workflow.defn
class Teller:
    """Signals another execution."""

    @workflow.run
    async def run(self, workflow_id: str) -> str:
        try:
            await workflow.get_external_workflow_handle(workflow_id).signal(Child.say, "told")
        except ApplicationError as error:
            return error.message
        return "told"


@activity.defn
async def flaky() -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("again", category=1)  # type: ignore[arg-type] - quiet
    return activity.info().attempt


@workflow.defn
class Retried:
    """Fails until its third run."""

    @workflow.run
    async def run(self) -> int:
        if workflow.info().attempt < 3:
            raise ApplicationError("not yet")
        return workflow.info().attempt


@workflow.defn
class Local:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_local_activity(
            flaky,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1)),
        )


@workflow.defn
class Tick:
    """Counts by what the run before it returned."""

    @workflow.run
    async def run(self) -> int:
        return (workflow.get_last_completion_result(int) or 0) + 1


ALL = [Child, Parent, Teller, Retried, Local, Tick]


async def _is_open(client: Client, workflow_id: str) -> bool:
    found = await client.engine.journal.executions(workflow_id=workflow_id, status="running")
    return bool(found)


async def start_parent(client: Client, policy: int = 1) -> Any:
    handle = await client.start_workflow(Parent.run, policy, id="parent", task_queue=QUEUE)
    await until(lambda: _is_open(client, "child"), what="the child has started")
    return handle


# -- children --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [0, 1, 3])
async def test_a_parent_hears_of_its_childs_end_also_after_restarts(
    durable: SqliteGateway, restarts: int
) -> None:
    async with durable.on(ALL) as client:
        await start_parent(client)
    for _ in range(restarts):
        async with durable.on(ALL) as client:
            await asyncio.sleep(0.02)
    async with durable.on(ALL) as client:
        await client.get_workflow_handle("child").signal(Child.say, "open")
        assert await client.get_workflow_handle("parent").result() == "valve open"
        names = await event_names(client, "parent")
        assert [n for n in names if n.startswith("Child")] == [
            "ChildScheduled",
            "ChildStarted",
            "ChildCompleted",
        ]


async def test_a_parent_that_was_away_when_its_child_closed_hears_of_it_at_the_next_start(
    gateway: Gateway,
) -> None:
    """The child's end is committed; the process ends before the parent's history has it."""
    journal = FailingJournal("CompleteWorkflow")
    gateway = Gateway(journal, gateway.clock, gateway.socket)
    async with failing(gateway, ALL) as client:
        await start_parent(client)
        journal.armed = True
        await client.get_workflow_handle("child").signal(Child.say, "open")
        await until(lambda: client.engine.failure is not None, what="the device fails")
    journal.armed = journal.broken = False
    async with gateway.on(ALL) as client:
        assert await client.get_workflow_handle("parent").result() == "valve open"
        assert len(await journal.executions(workflow_id="child")) == 1


async def test_a_start_of_a_child_that_was_committed_and_not_made_is_made_once_at_the_next_start(
    gateway: Gateway,
) -> None:
    journal = FailingJournal("StartChild")
    gateway = Gateway(journal, gateway.clock, gateway.socket)
    journal.armed = True
    async with failing(gateway, ALL) as client:
        with pytest.raises(RPCError):
            await (await client.start_workflow(Parent.run, 1, id="parent", task_queue=QUEUE)).result()
        assert await journal.executions(workflow_id="child") == []
    journal.armed = journal.broken = False
    for _ in range(2):
        async with gateway.on(ALL) as client:
            await until(lambda: _is_open(client, "child"))
    assert len(await journal.executions(workflow_id="child")) == 1


async def test_a_child_that_fails_reaches_its_parent_as_a_child_error_with_its_cause(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL) as client:
        handle = await start_parent(client)
        await client.get_workflow_handle("child").signal(Child.say, "fail")
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        error = failed.value.cause
        assert isinstance(error, ChildWorkflowError)
        assert isinstance(error.cause, ApplicationError)
        assert (error.workflow_id, error.cause.type) == ("child", "NoWater")


@pytest.mark.parametrize(
    ("policy", "status"),
    [(1, "terminated"), (2, "running"), (3, "canceled")],
    ids=["terminate", "abandon", "cancel"],
)
@pytest.mark.parametrize("crash", [False, True])
async def test_what_happens_to_a_child_when_its_parent_closes(
    gateway: Gateway, policy: int, status: str, crash: bool
) -> None:
    journal = FailingJournal("WorkflowTerminated")
    gateway = Gateway(journal, gateway.clock, gateway.socket)
    async with failing(gateway, ALL) as client:
        handle = await start_parent(client, policy)
        journal.armed = crash
        if crash:
            with pytest.raises(RPCError):
                await handle.terminate()
                await client.get_workflow_handle("child").signal(Child.say, "x")
        else:
            await handle.terminate()
            await asyncio.sleep(0.05)
    journal.armed = journal.broken = False
    async with gateway.on(ALL):

        async def as_expected() -> bool:
            return (await journal.executions(workflow_id="child"))[0].status == status

        await until(as_expected, what=status)


async def test_a_terminated_child_is_told_apart(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        handle = await start_parent(client)
        await client.get_workflow_handle("child").terminate(reason="by hand")
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause.__cause__, TerminatedError)


# -- other executions --------------------------------------------------------------------------------------


async def test_a_signal_to_another_execution_arrives_once_also_when_the_process_ends_in_between(
    gateway: Gateway,
) -> None:
    journal = FailingJournal("Signaled")
    gateway = Gateway(journal, gateway.clock, gateway.socket)
    async with failing(gateway, ALL) as client:
        await client.start_workflow(Child.run, "valve", id="w", task_queue=QUEUE)
        journal.armed = True
        with pytest.raises(RPCError):
            await (await client.start_workflow(Teller.run, "w", id="teller", task_queue=QUEUE)).result()
    journal.armed = journal.broken = False
    async with gateway.on(ALL) as client:
        assert await client.get_workflow_handle("teller").result() == "told"
        assert await client.get_workflow_handle("w").result() == "valve told"
        assert (await event_names(client, "w")).count("Signaled") == 1


async def test_a_signal_to_nobody_raises_in_the_workflow(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        told = await client.execute_workflow(Teller.run, "nobody", id="teller", task_queue=QUEUE)
        assert told == "Unable to signal external workflow because it was not found"


# -- updates -------------------------------------------------------------------------------------------------


async def test_an_accepted_update_completes_after_a_restart_and_is_not_run_again_for_the_same_id(
    durable: SqliteGateway,
) -> None:
    async with durable.on(ALL) as client:
        handle = await client.start_workflow(Child.run, "valve", id="w", task_queue=QUEUE)
        await handle.start_update(Child.ask, "flow", id="u", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    async with durable.on(ALL) as client:
        handle = client.get_workflow_handle("w")
        again = asyncio.ensure_future(handle.execute_update(Child.ask, "flow", id="u"))
        await asyncio.sleep(0.02)
        await handle.signal(Child.say, "3")
        assert await again == "flow: 3"
        assert await handle.get_update_handle("u").result() == "flow: 3"
        names = await event_names(client, "w")
        assert (names.count("UpdateAccepted"), names.count("UpdateCompleted")) == (1, 1)


async def test_whoever_asks_for_an_update_may_go_while_its_execution_is_read(durable: SqliteGateway) -> None:
    async with durable.on(ALL) as client:
        handle = await client.start_workflow(Child.run, "valve", id="w", task_queue=QUEUE)
        await handle.start_update(Child.ask, "flow", id="u", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    async with durable.on([Local]) as client:
        asked = asyncio.ensure_future(client.engine.updates.find("w", None, "u"))
        await asyncio.sleep(0)
        asked.cancel()
        assert (await client.engine.updates.find("w", None, "u")).update_id == "u"
        await client.get_workflow_handle("w").describe()
        assert not client.engine.failed.is_set()


async def test_a_rejected_update_leaves_no_trace(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        handle = await client.start_workflow(Child.run, "valve", id="w", task_queue=QUEUE)
        await handle.describe()
        before = await event_names(client, "w")
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await handle.execute_update(Child.ask, "?")
        assert isinstance(failed.value.cause, ApplicationError)
        assert await event_names(client, "w") == before


async def test_an_update_waits_for_a_worker(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        await client.start_workflow(Child.run, "valve", id="w", task_queue=QUEUE)
    async with gateway.on([Local]) as client:
        handle = client.get_workflow_handle("w")
        sent = asyncio.ensure_future(
            handle.start_update(Child.ask, "flow", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        )
        await asyncio.sleep(0.05)
        assert not sent.done()
        sent.cancel()


async def test_an_update_that_the_workflow_leaves_unfinished_fails(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        handle = await client.start_workflow(Child.run, "valve", id="w", task_queue=QUEUE)
        update = await handle.start_update(Child.ask, "flow", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        await handle.terminate()
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await update.result()
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == "AcceptedUpdateCompletedWorkflow"


async def test_an_update_with_a_start_reaches_the_new_run_and_then_the_one_that_runs(
    gateway: Gateway,
) -> None:
    async with gateway.on(ALL) as client:
        for number in range(2):
            start = WithStartWorkflowOperation(
                Child.run, "valve", id="w", task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )  # fmt: skip
            handle = await client.start_update_with_start_workflow(
                Child.ask,
                f"flow {number}",
                start_workflow_operation=start,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            )
            assert (await start.workflow_handle()).id == handle.workflow_id == "w"
        await client.get_workflow_handle("w").signal(Child.say, "3")
        assert await handle.result() == "flow 1: 3"
        assert len(await client.engine.journal.executions(workflow_id="w")) == 1


# -- chains of runs --------------------------------------------------------------------------------------------


async def test_a_workflow_with_a_retry_policy_is_run_again_after_its_backoff(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        policy = RetryPolicy(initial_interval=timedelta(seconds=30))
        handle = await client.start_workflow(Retried.run, id="w", task_queue=QUEUE, retry_policy=policy)
        result = asyncio.ensure_future(handle.result())
        for _ in range(20):
            await asyncio.sleep(0.02)
            gateway.advance(client, 10)
        assert await result == 3
        statuses = [run.status for run in await client.engine.journal.executions(workflow_id="w")]
        assert statuses == ["completed", "failed", "failed"]


async def test_a_delayed_start_waits_over_a_restart_and_a_signal_brings_it_forward(
    durable: SqliteGateway,
) -> None:
    async with durable.on(ALL) as client:
        for name in ("waits", "signaled"):
            await client.start_workflow(
                Child.run, name, id=name, task_queue=QUEUE, start_delay=timedelta(hours=1)
            )
        assert await event_names(client, "waits") == ["WorkflowStarted"]
    async with durable.on(ALL) as client:
        await client.get_workflow_handle("signaled").signal(Child.say, "now")
        assert await client.get_workflow_handle("signaled").result() == "signaled now"
        assert await event_names(client, "waits") == ["WorkflowStarted"]
        durable.advance(client, 3601)
        await client.get_workflow_handle("waits").signal(Child.say, "later")
        assert await client.get_workflow_handle("waits").result() == "waits later"


async def test_a_cron_workflow_runs_again_and_again(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        await client.start_workflow(Tick.run, id="w", task_queue=QUEUE, cron_schedule="*/10 * * * *")

        async def runs() -> bool:
            gateway.advance(client, 300)
            return len(await client.engine.journal.executions(workflow_id="w", status="completed")) >= 3

        await until(runs, what="three runs")
        await client.get_workflow_handle("w").terminate()


async def test_a_cron_schedule_that_is_never_due_again_ends_with_its_last_run(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        handle = await client.start_workflow(
            Tick.run, id="w", task_queue=QUEUE, cron_schedule="0 0 1 1 * 2024"
        )
        gateway.advance(client, 50 * 86_400)  # The clock began in November 2023.
        assert await handle.result() == 1


# -- what a list finds -------------------------------------------------------------------------------------------


async def test_executions_are_found_by_their_attributes_also_after_a_restart(durable: SqliteGateway) -> None:
    async with durable.on(ALL) as client:
        for number in range(3):
            attributes = TypedSearchAttributes(
                [
                    SearchAttributePair(FIELD, "north" if number else "south"),
                    SearchAttributePair(DRYNESS, number),
                ]
            )
            await client.start_workflow(
                Child.run, "v", id=f"w{number}", task_queue=QUEUE, search_attributes=attributes
            )
    async with durable.on(ALL) as client:
        query = "Field = 'north' AND Dryness >= 1 AND ExecutionStatus = 'Running'"
        assert {found.id async for found in client.list_workflows(query)} == {"w1", "w2"}
        counted = await client.count_workflows("GROUP BY ExecutionStatus")
        assert (counted.count, [list(g.group_values) for g in counted.groups]) == (3, [["Running"]])
        with pytest.raises(RPCError, match="invalid query"):
            _ = [found async for found in client.list_workflows("Feld = 'north'")]


async def test_a_local_activity_is_retried(gateway: Gateway) -> None:
    async with gateway.on([Local], [flaky]) as client:
        handle = await client.start_workflow(Local.run, id="w", task_queue=QUEUE)
        result = asyncio.ensure_future(handle.result())

        def ended() -> bool:
            gateway.advance(client, 0.01)
            return result.done()

        await until(ended)
        assert await result == 3
