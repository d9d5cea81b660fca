"""Schedules at work: over time, over restarts, and over a journal that fails at each commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.client import (
    Client,
    RPCError,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowFailureError,
)
from overwinter.runtime.common import (
    ConcurrencyKey,
    ConcurrencyPolicy,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.journal import MemoryJournal, StorageFull
from overwinter.runtime.ports import Batch, ExecutionRecord
from overwinter.runtime.requests import EngineClosed
from overwinter.runtime.schedules.runner import Kept
from overwinter.runtime.service import RPCStatusCode
from tests.unit.gateways import QUEUE, BreaksAfter, Gateway, SqliteGateway, until

FIELD = SearchAttributeKey.for_keyword("Field")
HOUR = 3600.0


@workflow.defn
class Water:
    """Waters, or does what its argument says."""

    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self, how: str = "at once") -> str:
        if how == "fail":
            raise ApplicationError("no water", non_retryable=True)
        if how == "when told":
            await workflow.wait_condition(lambda: self.done)
        if workflow.has_last_completion_result():
            return workflow.get_last_completion_result(str) + "+"
        return "first"

    @workflow.signal
    def finish(self) -> None:
        self.done = True


def hourly(how: str = "at once", **policy: Any) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(Water.run, how, id="water", task_queue=QUEUE),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=1))]),
        policy=SchedulePolicy(**policy),
    )


async def runs(client: Client) -> list[str]:
    """The ids of what was started, the oldest first."""
    found = [
        execution.id async for execution in client.list_workflows("TemporalScheduledById = 'irrigation'")
    ]
    return sorted(found)


async def started(client: Client, count: int) -> list[str]:
    async def enough() -> bool:
        try:
            return len(await runs(client)) >= count
        except RPCError:  # no execution has such an attribute yet
            return False

    await until(enough, what=f"{count} runs")
    return await runs(client)


@pytest.mark.parametrize(
    ("policy", "begun"),
    [(ConcurrencyPolicy.WAIT, True), (ConcurrencyPolicy.JOIN, False), (ConcurrencyPolicy.REFUSE, False)],
)
async def test_what_it_starts_counts_under_the_concurrency_key_of_its_action(
    gateway: Gateway, policy: ConcurrencyPolicy, begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "overwinter.runtime.schedules.runner")
    key = ConcurrencyKey("valve", policy=policy)
    async with gateway.on([Water]) as client:
        other = await client.start_workflow(
            Water.run, "when told", id="other", task_queue=QUEUE, concurrency=key
        )
        schedule = hourly()
        assert isinstance(schedule.action, ScheduleActionStartWorkflow)
        schedule.action.concurrency = key
        handle = await client.create_schedule("irrigation", schedule)
        described = (await handle.describe()).schedule.action
        assert isinstance(described, ScheduleActionStartWorkflow)
        assert described.concurrency == key
        gateway.advance(client, HOUR)
        if not begun:
            await until(lambda: "is not started" in caplog.text, what="the time has passed")
            assert len(await client.engine.journal.executions()) == 1
            return
        (workflow_id,) = await started(client, 1)
        waiting = client.get_workflow_handle(workflow_id)
        standing = (await waiting.describe()).concurrency
        assert standing is not None
        assert standing.position == 1
        await other.signal(Water.finish)
        assert await waiting.result() == "first"


async def test_it_acts_at_its_times_and_hands_on_the_last_result(gateway: Gateway) -> None:
    async with gateway.on([Water]) as client:
        handle = await client.create_schedule("irrigation", hourly())
        for hour in range(1, 4):
            gateway.advance(client, HOUR)
            ids = await started(client, hour)
            assert await client.get_workflow_handle(ids[-1]).result() == "first" + "+" * (hour - 1)
            await until(lambda: _ended(handle), what="the end is known")
        description = await handle.describe()
        assert description.info.num_actions == 3
        assert [type(each.action) for each in description.info.recent_actions] == [
            ScheduleActionExecutionStartWorkflow
        ] * 3
        assert len(description.info.next_action_times) == 10
        found = await client.get_workflow_handle(ids[0]).describe()
        assert (
            found.typed_search_attributes[SearchAttributeKey.for_keyword("TemporalScheduledById")]
            == "irrigation"
        )


async def _ended(handle: Any) -> bool:
    return not (await handle.describe()).info.running_actions


async def test_what_was_due_while_nothing_ran_is_made_up_for_and_no_more(durable: SqliteGateway) -> None:
    gateway = durable
    policy = {"overlap": ScheduleOverlapPolicy.ALLOW_ALL, "catchup_window": timedelta(hours=3, minutes=30)}
    async with gateway.on([Water]) as client:
        await client.create_schedule("irrigation", hourly(**policy))
    gateway.clock.advance(10 * HOUR)  # type: ignore[attr-defined]  # a clock of this test
    async with gateway.on([Water]) as client:
        handle = client.get_schedule_handle("irrigation")
        await until(lambda: _counted(handle, 10), what="every time is counted")
        assert (await handle.describe()).info.num_actions_missed_catchup_window in (6, 7)
        assert len(await started(client, 3)) in (3, 4)


async def _counted(handle: Any, times: int) -> bool:
    info = (await handle.describe()).info
    return info.num_actions + info.num_actions_missed_catchup_window == times


@pytest.mark.parametrize(
    ("overlap", "after_two_hours"),
    [
        (ScheduleOverlapPolicy.SKIP, {"running": 1, "skipped": 2, "started": 1}),
        (ScheduleOverlapPolicy.BUFFER_ONE, {"running": 1, "skipped": 1, "started": 1}),
        (ScheduleOverlapPolicy.BUFFER_ALL, {"running": 1, "skipped": 0, "started": 1}),
        (ScheduleOverlapPolicy.CANCEL_OTHER, {"running": 1, "skipped": 0, "started": 3}),
        (ScheduleOverlapPolicy.TERMINATE_OTHER, {"running": 1, "skipped": 0, "started": 3}),
        (ScheduleOverlapPolicy.ALLOW_ALL, {"running": 0, "skipped": 0, "started": 3}),
    ],
)
async def test_overlap_policies(
    gateway: Gateway, overlap: ScheduleOverlapPolicy, after_two_hours: dict[str, int]
) -> None:
    async with gateway.on([Water]) as client:
        handle = await client.create_schedule("irrigation", hourly("when told", overlap=overlap))
        count = 0
        for _ in range(3):
            gateway.advance(client, HOUR)
            count = after_two_hours["started"] if after_two_hours["started"] == 1 else count + 1
            ids = await started(client, count)
            await until(lambda: _settled(handle, after_two_hours["running"]), what="the decision")
        await asyncio.sleep(0.05)
        info = (await handle.describe()).info
        assert {
            "running": len(info.running_actions),
            "skipped": info.num_actions_skipped_overlap,
            "started": len(await runs(client)),
        } == after_two_hours
        if overlap in (ScheduleOverlapPolicy.BUFFER_ONE, ScheduleOverlapPolicy.BUFFER_ALL):
            await client.get_workflow_handle(ids[0]).signal(Water.finish)
            assert len(await started(client, 2)) == 2
        if overlap is ScheduleOverlapPolicy.TERMINATE_OTHER:
            with pytest.raises(WorkflowFailureError, match="failed|terminated"):
                await client.get_workflow_handle(ids[0]).result()


async def _settled(handle: Any, running: int) -> bool:
    return len((await handle.describe()).info.running_actions) == running


async def test_a_failure_pauses_it_with_a_note_and_unpausing_goes_on_from_now(gateway: Gateway) -> None:
    async with gateway.on([Water]) as client:
        handle = await client.create_schedule("irrigation", hourly("fail", pause_on_failure=True))
        gateway.advance(client, HOUR)
        (failed,) = await started(client, 1)

        async def is_paused() -> bool:
            return (await handle.describe()).schedule.state.paused

        await until(is_paused, what="the pause")
        assert (await handle.describe()).schedule.state.note == (
            f"paused due to workflow failure: {failed}: no water"
        )
        gateway.advance(client, 5 * HOUR)
        await handle.unpause(note="the well is full")
        await asyncio.sleep(0.05)
        assert await runs(client) == [failed]
        gateway.advance(client, HOUR)
        assert len(await started(client, 2)) == 2


async def test_trigger_and_backfill_are_done_when_they_return(gateway: Gateway) -> None:
    async with gateway.on([Water]) as client:
        paused = replace(hourly(), state=ScheduleState(paused=True, note="winter"))
        handle = await client.create_schedule("irrigation", paused, trigger_immediately=True)
        assert (await handle.describe()).info.num_actions == 1
        now = datetime.fromtimestamp(client.engine.now_us() / 1e6, UTC)
        await handle.backfill(
            ScheduleBackfill(now - timedelta(hours=5), now, ScheduleOverlapPolicy.ALLOW_ALL),
        )
        assert (await handle.describe()).info.num_actions in (6, 7)
        with pytest.raises(ValueError, match="At least one backfill"):
            await handle.backfill()


async def test_update_delete_and_list(gateway: Gateway) -> None:
    north = TypedSearchAttributes([SearchAttributePair(FIELD, "north")])
    async with gateway.on([Water]) as client:
        handle = await client.create_schedule(
            "irrigation", hourly(), memo={"by": "Ida"}, search_attributes=north
        )
        await client.create_schedule("milking", hourly())

        async def later(input: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule = input.description.schedule
            schedule.spec = ScheduleSpec(cron_expressions=["0 12 * * MON"])
            schedule.state.note = "only on Mondays"
            return ScheduleUpdate(schedule)

        await handle.update(later)
        found = await handle.describe()
        assert found.schedule.state.note == "only on Mondays"
        assert found.schedule.spec.calendars == [
            ScheduleCalendarSpec(hour=(ScheduleRange(12),), day_of_week=(ScheduleRange(1),))
        ]
        assert await found.memo_value("by") == "Ida"
        assert found.typed_search_attributes == north
        assert all(time.weekday() == 0 and time.hour == 12 for time in found.info.next_action_times)

        listed = [each async for each in await client.list_schedules(page_size=1)]
        assert [each.id for each in listed] == ["irrigation", "milking"]
        assert [each.id async for each in await client.list_schedules("Field = 'north'")] == ["irrigation"]
        await handle.pause()
        query = "TemporalSchedulePaused = true AND ScheduleId STARTS_WITH 'irr'"
        assert [each.id async for each in await client.list_schedules(query)] == ["irrigation"]

        await handle.delete()
        assert [each.id async for each in await client.list_schedules()] == ["milking"]
        with pytest.raises(RPCError, match="irrigation") as error:
            await handle.describe()
        assert error.value.status == RPCStatusCode.NOT_FOUND


async def test_bad_input_says_what_to_write(gateway: Gateway) -> None:
    async with gateway.on([Water]) as client:
        await client.create_schedule("irrigation", hourly())
        with pytest.raises(ScheduleAlreadyRunningError):
            await client.create_schedule("irrigation", hourly())
        for spec, words in [
            (ScheduleSpec(cron_expressions=["61 * * * *"]), "expected 0 to 59"),
            (ScheduleSpec(time_zone_name="Mars/Base"), "Europe/Berlin"),
            (ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta())]), "a second or more"),
            (
                ScheduleSpec(cron_expressions=["TZ=Asia/Tokyo 0 6 * * *", "0 7 * * *"]),
                "one for the whole spec",
            ),
        ]:
            with pytest.raises(RPCError, match=words) as error:
                await client.create_schedule("other", replace(hourly(), spec=spec))
            assert error.value.status == RPCStatusCode.INVALID_ARGUMENT
        shrinks = ScheduleActionStartWorkflow(
            Water.run, id="water", task_queue=QUEUE, retry_policy=RetryPolicy(backoff_coefficient=0.5)
        )
        with pytest.raises(RPCError, match="cannot be less than 1, found 0.5"):
            await client.create_schedule("other", replace(hourly(), action=shrinks))
        with pytest.raises(RPCError, match="invalid query"):
            _ = [each async for each in await client.list_schedules("Crop = 'rye'")]
        assert [each.id async for each in await client.list_schedules()] == ["irrigation"]


# -- faults ----------------------------------------------------------------------------------------------


async def _lost_over_a_crash(commits: int) -> tuple[int, bool]:
    """How many of three actions were not taken, and whether the power went meanwhile."""
    journal = BreaksAfter(commits)
    gateway = Gateway(journal)
    policy = {"overlap": ScheduleOverlapPolicy.ALLOW_ALL}
    crashed, hour = False, 0
    try:
        async with gateway.on([Water]) as client:
            await client.create_schedule("irrigation", hourly(**policy))
            for hour in range(1, 4):
                gateway.advance(client, HOUR)
                await _quiet(client, hour)
    except (AssertionError, RPCError, EngineClosed):
        crashed = True
    journal.whole = True
    missing = 3 - hour
    async with gateway.on([Water]) as client:
        if not client.engine.schedules.all():
            return 0, crashed  # Its creation was not confirmed.
        for _ in range(missing):
            gateway.advance(client, HOUR)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        found = await journal.executions(limit=100)
        ids = [record.workflow_id for record in found]
        assert len(ids) == len(set(ids)), "an action was taken twice"
        assert {record.status for record in found} <= {"completed"}
        info = (await client.get_schedule_handle("irrigation").describe()).info
        assert info.num_actions == len(ids)
        return 3 - len(ids), crashed


async def _quiet(client: Client, count: int) -> None:
    async def done() -> bool:
        if client.engine.failure is not None:
            raise AssertionError("the engine stopped")
        return client.engine.schedules.get("irrigation").progress.num_actions == count

    await until(done, what="the action")


async def test_no_action_is_lost_or_taken_twice_wherever_the_power_goes() -> None:
    crashes = 0
    for commits in range(16):
        lost, crashed = await _lost_over_a_crash(commits)
        crashes += crashed
        assert lost == 0, f"power cut after commit {commits}"
    assert crashes >= 8


async def test_the_test_above_sees_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[[str, bytes], Kept] = Kept.from_bytes

    def forgetful(schedule_id: str, data: bytes) -> Kept:
        return replace(read(schedule_id, data), wanted=())

    monkeypatch.setattr(Kept, "from_bytes", staticmethod(forgetful))
    lost: list[int] = []
    for commits in range(16):
        try:
            lost.append((await _lost_over_a_crash(commits))[0])
        except AssertionError:
            lost.append(1)
    assert any(lost)


class _Full(MemoryJournal):
    """Has no room while it is full."""

    full = False

    async def commit(self, batch: Batch) -> dict[int, ExecutionRecord]:
        if self.full:
            raise StorageFull("no space is left: free some")
        return await super().commit(batch)


async def test_with_a_full_journal_requests_are_refused_and_times_wait_for_room() -> None:
    journal = _Full()
    gateway = Gateway(journal)
    async with gateway.on([Water]) as client:
        handle = await client.create_schedule("irrigation", hourly())
        journal.full = True
        with pytest.raises(RPCError, match="no space") as error:
            await handle.pause()
        assert error.value.status == RPCStatusCode.RESOURCE_EXHAUSTED
        assert not (await handle.describe()).schedule.state.paused
        gateway.advance(client, HOUR)
        await asyncio.sleep(0.1)
        journal.full = False
        assert len(await started(client, 1)) == 1
