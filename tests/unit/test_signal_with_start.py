"""A workflow signals another execution, which begins with the signal when there is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from overwinter.runtime.exceptions import ApplicationError, WorkflowAlreadyStartedError
from overwinter.runtime.service import RPCError
from tests.unit.gateways import QUEUE, FailingJournal, Gateway, event_names, failing, until

OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "rich": {
        "memo": {"field": "north"},
        "static_summary": "one line",
        "run_timeout": timedelta(hours=1),
        "priority": Priority(priority_key=2),
    },
    "once": {"id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE},
    "anew": {"id_conflict_policy": WorkflowIDConflictPolicy.TERMINATE_EXISTING},
    "never": {"id_conflict_policy": WorkflowIDConflictPolicy.FAIL},
    "later": {"start_delay": timedelta(hours=1)},
    "bad cron": {"cron_schedule": "every day"},
}


@workflow.defn
class Valve:
    """Ends after two words."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, name: str, number: int = 0) -> list[Any]:
        await workflow.wait_condition(lambda: len(self.words) >= 2)
        return [name, number, *self.words]

    @workflow.signal
    def say(self, *words: str) -> None:
        self.words.append(" ".join(words))


@workflow.defn
class Caller:
    @workflow.run
    async def run(self, how: str, *words: str) -> str:
        try:
            handle = await workflow.signal_with_start_workflow(
                Valve.run, "valve", 3, id="valve", task_queue=QUEUE, signal=Valve.say, signal_args=list(words),
                **OPTIONS[how],
            )  # fmt: skip
        except WorkflowAlreadyStartedError as error:
            return f"already started {error.workflow_id}"
        assert handle.run_id is not None
        return handle.run_id


ALL = [Valve, Caller]


async def call(client: Client, how: str, *words: str) -> str:
    result: str = await client.execute_workflow(
        Caller.run, args=[how, *words], id=f"caller {' '.join(words)}", task_queue=QUEUE
    )
    return result


async def test_the_first_call_starts_the_workflow_and_the_next_signals_it(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await call(client, "rich", "open", "slowly")
        assert (await event_names(client, "valve"))[:2] == ["WorkflowStarted", "Signaled"]
        assert await call(client, "usual", "close") == first
        handle = client.get_workflow_handle("valve")
        assert await handle.result() == ["valve", 3, "open slowly", "close"]
        described = await handle.describe()
        assert (described.run_id, described.parent_id) == (first, None)
        assert await described.memo() == {"field": "north"}
        assert await described.static_summary() == "one line"


async def test_an_id_that_may_not_be_used_again_raises_in_the_workflow(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        await call(client, "once", "open")
        await call(client, "once", "close")
        await client.get_workflow_handle("valve").result()
        assert await call(client, "once", "open again") == "already started valve"
        assert len(await client.engine.journal.executions(workflow_id="valve")) == 1


async def test_an_open_run_is_replaced_when_the_policy_says_so(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        first = await call(client, "usual", "open")
        second = await call(client, "anew", "open")
        assert second != first
        runs = await client.engine.journal.executions(workflow_id="valve")
        assert [(run.run_id, run.status) for run in runs] == [(second, "running"), (first, "terminated")]


async def test_a_delayed_start_is_brought_forward_by_the_next_signal(gateway: Gateway) -> None:
    async with gateway.on(ALL) as client:
        await call(client, "later", "open")
        handle = client.get_workflow_handle("valve")
        assert await event_names(client, "valve") == ["WorkflowStarted", "Signaled"]
        await call(client, "later", "close")
        assert await handle.result() == ["valve", 3, "open", "close"]


@pytest.mark.parametrize("how", ["never", "bad cron"])
async def test_options_that_cannot_be_block_the_workflow_with_what_is_wrong(
    gateway: Gateway, how: str
) -> None:
    async with gateway.on(ALL) as client:
        handle = await client.start_workflow(Caller.run, args=[how, "x"], id="caller", task_queue=QUEUE)

        async def is_blocked() -> bool:
            return (await handle.describe()).blocked is not None

        await until(is_blocked)
        blocked = (await handle.describe()).blocked
        assert blocked is not None
        assert blocked.cause.startswith("ValueError: ")
        assert await client.engine.journal.executions(workflow_id="valve") == []


@pytest.mark.parametrize(
    "kind", ["SignalWithStart", "Signaled"], ids=["before it is made", "before it is told"]
)
@pytest.mark.parametrize("open_before", [False, True])
async def test_a_request_that_was_committed_is_carried_out_once_over_a_crash(
    gateway: Gateway, kind: str, open_before: bool
) -> None:
    journal = FailingJournal(kind)
    gateway = Gateway(journal, gateway.clock)
    async with failing(gateway, ALL) as client:
        if open_before:
            await client.start_workflow(Valve.run, args=["valve", 3], id="valve", task_queue=QUEUE)
        journal.armed = True
        with pytest.raises(RPCError):
            await call(client, "usual", "open")
    journal.armed = journal.broken = False
    async with gateway.on(ALL) as client:
        told = await client.get_workflow_handle("caller open").result()
        assert [run.run_id for run in await journal.executions(workflow_id="valve")] == [told]
        assert (await event_names(client, "valve")).count("Signaled") == 1


@workflow.defn
class Both:
    @workflow.run
    async def run(self) -> None:
        await workflow.signal_with_start_workflow(
            "Valve", "valve", args=["valve"], id="valve", task_queue=QUEUE, signal="say"
        )


async def test_arguments_by_position_and_by_name_are_refused(gateway: Gateway) -> None:
    async with gateway.on([Both]) as client:
        handle = await client.start_workflow(Both.run, id="both", task_queue=QUEUE)
        await until(lambda: client.engine.cache.open_run("both").blocked is not None)  # type: ignore[union-attr]
        blocked = (await handle.describe()).blocked
        assert blocked is not None
        assert blocked.cause == "TypeError: cannot specify both positional arguments and args"


@workflow.defn
class Failing:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("as it should")


async def test_the_caller_goes_on_when_the_other_fails(gateway: Gateway) -> None:
    """It is no child: its end is nobody's business."""
    async with gateway.on([*ALL, Failing]) as client:
        await call(client, "usual", "open")
        await client.get_workflow_handle("valve").terminate()
        with pytest.raises(WorkflowFailureError):
            await client.get_workflow_handle("valve").result()
        assert (await event_names(client, "caller open"))[-1] == "WorkflowCompleted"
