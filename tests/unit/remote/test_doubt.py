"""A call whose answer was lost is made again and has one effect; a wait outlasts its gateway."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import (
    ActivityExecutionStatus,
    ActivityOptionsKeys,
    BatchOperationSignal,
    Client,
    PendingActivityState,
    ResetPoint,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    WithStartWorkflowOperation,
    WorkflowUpdateStage,
)
from overwinter.runtime.common import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from overwinter.runtime.exceptions import (
    ActivityAlreadyStartedError,
    ApplicationError,
    WorkflowAlreadyStartedError,
)
from overwinter.runtime.journal import SqliteJournal
from overwinter.runtime.remote import RemoteEngine, serve
from overwinter.runtime.remote import client as client_module
from overwinter.runtime.remote import server as server_module
from overwinter.runtime.requests import Once
from overwinter.runtime.service import RPCError, RPCStatusCode
from overwinter.runtime.worker import Worker
from tests.unit.gateways import SqliteGateway, until

from .peers import QUEUE, Collect

attempts: list[bytes] = []
ALONE: dict[str, Any] = {"task_queue": QUEUE, "start_to_close_timeout": timedelta(hours=1)}


@activity.defn
async def by_hand() -> str:
    attempts.append(activity.info().task_token)
    activity.raise_complete_async()


@workflow.defn
class Waits:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            by_hand,
            start_to_close_timeout=timedelta(hours=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1)),
        )


class Losing:
    """Answers to changes that are lost: the gateway carries out what was asked, and then its connection breaks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.lost: list[str] = []
        perform = server_module.RemoteService.perform
        losing = self

        async def lose(self: Any, call: Any, args: list[Any], once: Once | None) -> Any:
            answer = await perform(self, call, args, once)
            if once is not None and losing.left:
                losing.left -= 1
                losing.lost.append(call.name)
                for conversation in list(self._open.values()):
                    conversation._writer.transport.abort()
            return answer

        monkeypatch.setattr(server_module.RemoteService, "perform", lose)


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Losing:
    return Losing(monkeypatch)


@asynccontextmanager
async def gateway_and_client(folder: Path) -> AsyncIterator[tuple[Client, Client]]:
    """A client in the gateway's process, and one behind its socket."""
    attempts.clear()
    async with (
        Client.open(folder / "journal.db") as here,
        Worker(here, task_queue=QUEUE, workflows=[Collect, Waits], activities=[by_hand]),
        serve(here.engine, folder / "client.sock"),
    ):
        client = Client(RemoteEngine(folder / "client.sock"))
        yield here, client
        await client.close()


# -- one effect --------------------------------------------------------------------------------------------

Change = Callable[[Client, Client], Awaitable[None]]
"""Makes a change by the second client, whose first answer is lost, and sees by the first that it was made once."""


async def start(here: Client, client: Client) -> None:
    handle = await client.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
    assert [run.run_id async for run in here.list_workflows()] == [handle.result_run_id]


async def start_that_replaces(here: Client, client: Client) -> None:
    first = await here.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
    second = await client.start_workflow(
        Collect.run,
        1,
        id="w",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )
    runs = [run.run_id async for run in here.list_workflows()]
    assert runs == [second.result_run_id, first.result_run_id]


async def start_of_an_id_that_is_used_once(here: Client, client: Client) -> None:
    """The run has ended before the call is made again."""
    handle = await client.start_workflow(
        Collect.run, 0, id="w", task_queue=QUEUE, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
    )
    assert await handle.result() == []
    assert len([run async for run in here.list_workflows()]) == 1


async def start_with_signal(here: Client, client: Client) -> None:
    await client.start_workflow(
        Collect.run, 9, id="w", task_queue=QUEUE, start_signal="put", start_signal_args=["a"]
    )
    assert await here.get_workflow_handle("w").query(Collect.seen) == ["a"]


async def start_with_signal_of_an_open_run(here: Client, client: Client) -> None:
    first = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    handle = await client.start_workflow(
        Collect.run, 9, id="w", task_queue=QUEUE, start_signal="put", start_signal_args=["a"]
    )
    assert handle.result_run_id == first.result_run_id
    assert await first.query(Collect.seen) == ["a"]


async def signal(here: Client, client: Client) -> None:
    handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    await client.get_workflow_handle("w").signal(Collect.put, "a")
    assert await handle.query(Collect.seen) == ["a"]


async def update(here: Client, client: Client) -> None:
    handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    assert await client.get_workflow_handle("w").execute_update(Collect.add, "a") == 1
    assert await handle.query(Collect.seen) == ["a"]


async def update_of_a_run_that_closes_with_it(here: Client, client: Client) -> None:
    """When it is sent again another run has the workflow id, and must not get it."""
    first = await here.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)

    async def next_run() -> None:
        await first.result()
        await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)

    following = asyncio.create_task(next_run())
    assert await client.get_workflow_handle("w").execute_update(Collect.add, "a") == 1
    await following
    assert await here.get_workflow_handle("w").query(Collect.seen) == []


async def update_with_start(here: Client, client: Client) -> None:
    operation: Any = WithStartWorkflowOperation(
        Collect.run, 9, id="w", task_queue=QUEUE, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
    )
    made = await client.execute_update_with_start_workflow(
        Collect.add, "a", start_workflow_operation=operation
    )
    assert made == 1
    assert (await operation.workflow_handle()).id == "w"
    assert await here.get_workflow_handle("w").query(Collect.seen) == ["a"]


async def cancel(here: Client, client: Client) -> None:
    handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    await client.get_workflow_handle("w").cancel()
    records = (await handle.fetch_history()).records
    assert [type(event.body).__name__ for event in records].count("CancelRequested") == 1


async def terminate(here: Client, client: Client) -> None:
    first = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)

    async def next_run() -> None:
        await asyncio.gather(first.result(), return_exceptions=True)
        await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)

    following = asyncio.create_task(next_run())
    await client.get_workflow_handle("w").terminate()
    await following
    await asyncio.sleep(0.05)
    assert (await here.get_workflow_handle("w").describe()).status.name == "RUNNING"  # type: ignore[union-attr]


async def complete_an_activity(here: Client, client: Client) -> None:
    handle = await here.start_workflow(Waits.run, id="w", task_queue=QUEUE)
    await until(lambda: bool(attempts))
    await client.get_async_activity_handle(task_token=attempts[0]).complete("ok")
    assert await handle.result() == "ok"


async def fail_an_activity(here: Client, client: Client) -> None:
    """The next attempt must not fail with the first one's failure."""
    await here.start_workflow(Waits.run, id="w", task_queue=QUEUE)
    await until(lambda: bool(attempts))
    await client.get_async_activity_handle(task_token=attempts[0]).fail(ApplicationError("no water"))
    await until(lambda: len(attempts) > 1)
    await asyncio.sleep(0.05)
    assert len(attempts) == 2


async def start_an_activity(here: Client, client: Client) -> None:
    handle = await client.start_activity(by_hand, id="a", **ALONE)
    assert [each.activity_run_id async for each in here.list_activities("")] == [handle.run_id]


async def cancel_an_activity(here: Client, client: Client) -> None:
    await here.start_activity(by_hand, id="a", **ALONE)
    await until(lambda: bool(attempts))
    await client.get_activity_handle("a").cancel()
    assert (await here.get_activity_handle("a").describe()).run_state == PendingActivityState.CANCEL_REQUESTED


async def terminate_an_activity(here: Client, client: Client) -> None:
    first = await here.start_activity(by_hand, id="a", **ALONE)

    async def next_run() -> None:
        await asyncio.gather(first.result(), return_exceptions=True)
        await here.start_activity(by_hand, id="a", **ALONE)

    following = asyncio.create_task(next_run())
    await client.get_activity_handle("a").terminate()
    await following
    await asyncio.sleep(0.05)
    assert (await here.get_activity_handle("a").describe()).status == ActivityExecutionStatus.RUNNING


async def pause_an_activity(here: Client, client: Client) -> None:
    handle = await here.start_activity(by_hand, id="a", **ALONE)
    await client.get_activity_handle("a").pause()
    await client.get_activity_handle("a").unpause()
    assert (await handle.describe()).status == ActivityExecutionStatus.RUNNING


async def change_the_options_of_an_activity(here: Client, client: Client) -> None:
    handle = await here.start_activity(by_hand, id="a", **ALONE)
    change = ActivityOptionsKeys.heartbeat_timeout.value_set(timedelta(minutes=1))
    changed = await client.get_activity_handle("a").update_options([change])
    assert changed.heartbeat_timeout == timedelta(minutes=1)
    assert (await handle.describe()).heartbeat_timeout == timedelta(minutes=1)


async def pause(here: Client, client: Client) -> None:
    handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    await client.get_workflow_handle("w").pause()
    await handle.unpause()


async def reset(here: Client, client: Client) -> None:
    await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    await client.get_workflow_handle("w").reset(ResetPoint.first_workflow_task())
    assert len([run async for run in here.list_workflows()]) == 2


async def delete(here: Client, client: Client) -> None:
    """Of two closed runs the last one: the other must not follow it."""
    for _ in range(2):
        await here.execute_workflow(Collect.run, 0, id="w", task_queue=QUEUE)
    await client.get_workflow_handle("w").delete()
    assert len([run async for run in here.list_workflows()]) == 1


async def batch_operation(here: Client, client: Client) -> None:
    handle = await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
    job = await client.start_batch_operation(BatchOperationSignal(Collect.put, "a"), query="WorkflowId = 'w'")
    await job.result()
    assert await handle.query(Collect.seen) == ["a"]
    assert len(await here.list_batch_operations()) == 1


async def schedule_that_acts_at_once(here: Client, client: Client) -> None:
    await client.create_schedule("s", a_schedule(), trigger_immediately=True)
    assert (await here.get_schedule_handle("s").describe()).info.num_actions == 1


async def trigger_a_schedule(here: Client, client: Client) -> None:
    await here.create_schedule("s", a_schedule())
    await client.get_schedule_handle("s").trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    await asyncio.sleep(0.05)
    assert (await here.get_schedule_handle("s").describe()).info.num_actions == 1


async def delete_a_schedule(here: Client, client: Client) -> None:
    await here.create_schedule("s", a_schedule())
    await client.get_schedule_handle("s").delete()


def a_schedule() -> Schedule:
    action = ScheduleActionStartWorkflow(Collect.run, 9, id="scheduled", task_queue=QUEUE)
    return Schedule(action, ScheduleSpec(cron_expressions=["0 0 1 1 *"]))


CHANGES: list[Change] = [
    start, start_that_replaces, start_of_an_id_that_is_used_once, start_with_signal, start_with_signal_of_an_open_run,
    signal, update, update_of_a_run_that_closes_with_it, update_with_start, cancel, terminate, complete_an_activity,
    fail_an_activity, start_an_activity, cancel_an_activity, terminate_an_activity, pause_an_activity,
    change_the_options_of_an_activity, pause, reset, delete, batch_operation, schedule_that_acts_at_once, trigger_a_schedule, delete_a_schedule,
]  # fmt: skip
SEEN_WITHOUT_IDS: list[Change] = [
    start_that_replaces, start_of_an_id_that_is_used_once, start_with_signal_of_an_open_run, signal,
    update_of_a_run_that_closes_with_it, terminate, complete_an_activity, delete, delete_a_schedule,
    start_an_activity, cancel_an_activity, terminate_an_activity, pause_an_activity,
]  # fmt: skip
"""The others are safe to make again, if one does not look too closely: two triggers of a second are one action."""


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_whose_answer_was_lost_has_one_effect(
    tmp_path: Path, losing: Losing, change: Change
) -> None:
    async with gateway_and_client(tmp_path) as (here, client):
        losing.left = 1
        await change(here, client)
        assert len(losing.lost) == 1


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_whose_answer_was_lost_again_and_again_has_one_effect(
    tmp_path: Path, losing: Losing, change: Change
) -> None:
    async with gateway_and_client(tmp_path) as (here, client):
        losing.left = 3
        await change(here, client)
        assert len(losing.lost) == 3


@pytest.mark.parametrize("change", SEEN_WITHOUT_IDS)
async def test_the_tests_above_see_a_second_effect(
    tmp_path: Path, losing: Losing, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the protection: every time a call is made it has another id."""
    monkeypatch.setattr(
        client_module, "Once", lambda id, again=False: Once(secrets.token_bytes(16) if again else id, again)
    )
    async with gateway_and_client(tmp_path) as (here, client):
        losing.left = 1
        with pytest.raises(
            (AssertionError, RPCError, WorkflowAlreadyStartedError, ActivityAlreadyStartedError)
        ):
            await change(here, client)


async def test_a_change_is_not_begun_twice_while_it_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks before the commit; what is asked again waits for the first."""
    commit, gate = SqliteJournal.commit, asyncio.Event()

    async def slow(self: SqliteJournal, batch: Any) -> Any:
        await gate.wait()
        return await commit(self, batch)

    async with gateway_and_client(tmp_path) as (here, client):
        await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        await client.get_workflow_handle("w").describe()
        monkeypatch.setattr(SqliteJournal, "commit", slow)
        signaling = asyncio.create_task(client.get_workflow_handle("w").signal(Collect.put, "a"))
        for _ in range(3):
            await asyncio.sleep(0.05)
            engine: Any = client.service_client.engine
            engine._connection._writer.transport.abort()
        await asyncio.sleep(0.05)
        gate.set()
        await signaling
        assert await here.get_workflow_handle("w").query(Collect.seen) == ["a"]


async def test_requests_are_remembered_over_a_restart(tmp_path: Path, losing: Losing) -> None:
    """The gateway ends with the answer, and is asked again in its next life."""
    gateway = SqliteGateway(tmp_path / "journal.db")
    client = Client(RemoteEngine(tmp_path / "client.sock"))
    async with gateway.on([Collect]) as here:
        await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        async with serve(here.engine, tmp_path / "client.sock"):
            losing.left = 1_000
            signaling = asyncio.create_task(client.get_workflow_handle("w").signal(Collect.put, "a"))
            await until(lambda: bool(losing.lost))
    losing.left = 0
    async with gateway.on([Collect]) as here, serve(here.engine, tmp_path / "client.sock") as service:
        await signaling
        assert service.counters["repeated"] == 1
        assert await here.get_workflow_handle("w").query(Collect.seen) == ["a"]
        await client.close()


# -- waits -------------------------------------------------------------------------------------------------


async def test_waits_outlast_restarts_of_the_gateway(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    client = Client(RemoteEngine(tmp_path / "client.sock"))
    handle: Any = client.get_workflow_handle("w", result_type=list[str])
    async with gateway.on([Collect]) as here, serve(here.engine, tmp_path / "client.sock"):
        await here.start_workflow(Collect.run, 3, id="w", task_queue=QUEUE)
        sent = await handle.start_update(
            Collect.add_slowly, "slowly", wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        waits = [
            asyncio.create_task(handle.result()),
            asyncio.create_task(sent.result()),
            asyncio.create_task(_names(handle)),
        ]
        await asyncio.sleep(0.05)
    for _ in range(2):
        await asyncio.sleep(0.1)  # The client tries in vain.
        async with gateway.on([Collect]) as here, serve(here.engine, tmp_path / "client.sock"):
            await asyncio.sleep(0.15)
    assert not any(wait.done() for wait in waits)
    async with gateway.on([Collect]) as here, serve(here.engine, tmp_path / "client.sock"):
        await here.get_workflow_handle("w").signal(Collect.put, "go")
        await here.get_workflow_handle("w").signal(Collect.put, "a")
        result, updated, names = await asyncio.gather(*waits)
        assert updated == 2
        assert result == ["go", "slowly", "a"]
        assert names[0] == "workflow_execution_started_event_attributes"
        assert names.count("workflow_execution_started_event_attributes") == 1
        assert names.count("workflow_execution_update_accepted_event_attributes") == 1
        assert names[-1] == "workflow_execution_completed_event_attributes"
        await client.close()


async def _names(handle: Any) -> list[str]:
    return [
        event.WhichOneof("attributes") async for event in handle.fetch_history_events(wait_new_event=True)
    ]


async def test_a_result_is_followed_through_the_runs_also_over_a_restart(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    client = Client(RemoteEngine(tmp_path / "client.sock"))
    async with gateway.on([Chain]) as here, serve(here.engine, tmp_path / "client.sock"):
        handle = await client.start_workflow(Chain.run, 3, id="w", task_queue=QUEUE)
        waiting = asyncio.create_task(handle.result())
        await handle.signal(Chain.go_on)
        await asyncio.sleep(0.05)
    async with gateway.on([Chain]) as here, serve(here.engine, tmp_path / "client.sock"):
        for _ in range(3):
            await here.get_workflow_handle("w").signal(Chain.go_on)
            await asyncio.sleep(0.05)
        assert await waiting == "the end"
        await client.close()


@workflow.defn
class Chain:
    def __init__(self) -> None:
        self.may = False

    @workflow.run
    async def run(self, left: int) -> str:
        await workflow.wait_condition(lambda: self.may)
        if left:
            workflow.continue_as_new(left - 1)
        return "the end"

    @workflow.signal
    def go_on(self) -> None:
        self.may = True


# -- patience ----------------------------------------------------------------------------------------------


async def test_without_a_gateway_a_call_is_unavailable_when_its_patience_ends(tmp_path: Path) -> None:
    client = Client(RemoteEngine(tmp_path / "client.sock", patience_s=0.2))
    with pytest.raises(RPCError, match=r"no gateway answers at .*client\.sock .*start it") as away:
        await client.get_workflow_handle("w").describe()
    assert away.value.status == RPCStatusCode.UNAVAILABLE
    assert "is not known" not in str(away.value)  # It was not even sent.


async def test_a_change_that_was_sent_and_whose_gateway_stays_away_is_said_to_be_in_doubt(
    tmp_path: Path, losing: Losing
) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    client = Client(RemoteEngine(tmp_path / "client.sock", patience_s=0.3))
    async with gateway.on([Collect]) as here:
        await here.start_workflow(Collect.run, 9, id="w", task_queue=QUEUE)
        async with serve(here.engine, tmp_path / "client.sock"):
            losing.left = 1_000
            signaling = asyncio.create_task(client.get_workflow_handle("w").signal(Collect.put, "a"))
            await until(lambda: bool(losing.lost))
    with pytest.raises(RPCError, match="whether this call had its effect is not known") as doubt:
        await signaling
    assert doubt.value.status == RPCStatusCode.UNAVAILABLE


async def test_a_call_that_finds_the_engine_stopping_is_made_again_in_its_next_life(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    client = Client(RemoteEngine(tmp_path / "client.sock"))
    async with gateway.on([Collect]) as here:
        await here.start_workflow(Collect.run, 1, id="w", task_queue=QUEUE)
        async with serve(here.engine, tmp_path / "client.sock"):
            await client.get_workflow_handle("w").describe()
            here.engine.closing = True
            signaling = asyncio.create_task(client.get_workflow_handle("w").signal(Collect.put, "a"))
            await asyncio.sleep(0.05)
            assert not signaling.done()
    async with gateway.on([Collect]) as here, serve(here.engine, tmp_path / "client.sock"):
        await signaling
        assert await here.get_workflow_handle("w").result() == ["a"]
        await client.close()


async def test_who_asked_for_an_update_may_go_while_its_run_is_read(tmp_path: Path) -> None:
    gateway = SqliteGateway(tmp_path / "journal.db")
    async with gateway.on([Collect]) as here:
        handle = await here.start_workflow(Collect.run, 2, id="w", task_queue=QUEUE)
        await handle.execute_update(Collect.add, "a", id="u")
    async with gateway.on([Collect]) as here:
        asked = asyncio.create_task(here.engine.updates.find("w", None, "u"))
        await asyncio.sleep(0)
        assert "w" in here.engine.loading
        asked.cancel()
        assert await here.get_workflow_handle("w").execute_update(Collect.add, "b") == 2
