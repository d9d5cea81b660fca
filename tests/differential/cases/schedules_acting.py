"""Schedules that act: overlaps, backfills, pauses, limits, updates; by hand, so that nothing waits for a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowHandle,
)
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError

from ..observe import outcome, until

CROP = SearchAttributeKey.for_keyword("Crop")
NEVER = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=3650))])
"""So seldom that only what is asked for by hand is done."""


@workflow.defn(name="ActingWait")
class Wait:
    def __init__(self) -> None:
        self.opened = False

    @workflow.run
    async def run(self, how: str) -> Any:
        if how == "fail":
            raise ApplicationError("as it was told")
        if how == "facts":
            attributes = workflow.info().typed_search_attributes
            return [workflow.memo(), attributes.get(CROP), attributes.get(BY)]
        if how == "count":
            return (workflow.get_last_completion_result(int) or 0) + 1
        await workflow.wait_condition(lambda: self.opened)
        return "opened"

    @workflow.signal
    def open(self) -> None:
        self.opened = True


BY = SearchAttributeKey.for_keyword("TemporalScheduledById")


async def _create(
    client: Client,
    task_queue: str,
    name: str,
    how: str = "wait",
    *,
    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP,
    state: ScheduleState | None = None,
    action: dict[str, Any] | None = None,
    spec: ScheduleSpec = NEVER,
    pause_on_failure: bool = False,
    **options: Any,
) -> ScheduleHandle:
    return await client.create_schedule(
        f"acting-{name}",
        Schedule(
            action=ScheduleActionStartWorkflow(
                Wait.run, how, id=f"acting-{name}", task_queue=task_queue, **(action or {})
            ),
            spec=spec,
            policy=SchedulePolicy(overlap=overlap, pause_on_failure=pause_on_failure),
            state=state or ScheduleState(),
        ),
        **options,
    )


async def _runs(client: Client, name: str) -> list[WorkflowHandle[Any, Any]]:
    """The executions that a schedule has started, the oldest first."""
    found = [run async for run in client.list_workflows(f"WorkflowId STARTS_WITH 'acting-{name}-'")]
    found.sort(key=lambda run: (run.start_time, run.id))
    return [client.get_workflow_handle(run.id, run_id=run.run_id) for run in found]


async def _statuses(client: Client, name: str) -> list[str]:
    found = [
        run.status.name if run.status else ""
        async for run in client.list_workflows(f"WorkflowId STARTS_WITH 'acting-{name}-'")
    ]
    return sorted(found)


async def _until_runs(client: Client, name: str, *statuses: str) -> None:
    await until(lambda: _statuses(client, name), sorted(statuses))


async def _settled(handle: ScheduleHandle, actions: int) -> Any:
    async def count() -> int:
        return (await handle.describe()).info.num_actions

    await until(count, actions)
    return await handle.describe()


async def _overlap(client: Client, task_queue: str, policy: str, ended: str) -> Any:
    """The action is asked for three times, each time when what the time before has led to is seen."""
    name = policy.lower().replace("_", "-")
    handle = await _create(client, task_queue, name, overlap=ScheduleOverlapPolicy[policy])
    for count in range(3):
        await handle.trigger()
        if policy == "SKIP":
            await _until_runs(client, name, "RUNNING")
            await until(lambda count=count: _skipped(handle), count)
        else:
            await _until_runs(client, name, *[ended] * count, "RUNNING")
        await asyncio.sleep(1.1)  # Ids are by the second.
    info = (await handle.describe()).info
    await handle.delete()
    return [await _statuses(client, name), info.num_actions, info.num_actions_skipped_overlap]


async def _skipped(handle: ScheduleHandle) -> int:
    return (await handle.describe()).info.num_actions_skipped_overlap


async def case_skip(client: Client, task_queue: str) -> Any:
    return await _overlap(client, task_queue, "SKIP", "")


async def case_cancel_other(client: Client, task_queue: str) -> Any:
    return await _overlap(client, task_queue, "CANCEL_OTHER", "CANCELED")


async def case_terminate_other(client: Client, task_queue: str) -> Any:
    return await _overlap(client, task_queue, "TERMINATE_OTHER", "TERMINATED")


async def case_allow_all(client: Client, task_queue: str) -> Any:
    return await _overlap(client, task_queue, "ALLOW_ALL", "RUNNING")


async def case_buffer_all(client: Client, task_queue: str) -> Any:
    """What waits comes up one after the other."""
    handle = await _create(client, task_queue, "buffer-all", overlap=ScheduleOverlapPolicy.BUFFER_ALL)
    for _ in range(3):
        await handle.trigger()
        await asyncio.sleep(1.1)
    for count in range(3):
        await _until_runs(client, "buffer-all", *["COMPLETED"] * count, "RUNNING")
        await (await _runs(client, "buffer-all"))[-1].signal(Wait.open)
    await _until_runs(client, "buffer-all", *["COMPLETED"] * 3)
    await handle.delete()
    return await _statuses(client, "buffer-all")


async def case_a_trigger_with_a_policy_of_its_own(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "own")
    await handle.trigger()
    await _until_runs(client, "own", "RUNNING")
    await asyncio.sleep(1.1)
    await handle.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    await _until_runs(client, "own", "RUNNING", "RUNNING")
    await handle.delete()
    return [await outcome(handle.describe()), await _statuses(client, "own")]


async def case_a_pause(client: Client, task_queue: str) -> Any:
    """What is paused is still done by hand."""
    handle = await _create(client, task_queue, "pause", "count")
    found: list[Any] = []
    for change in (
        lambda: handle.pause(),
        lambda: handle.pause(note="rain"),
        lambda: handle.unpause(),
        lambda: handle.unpause(note="dry"),
    ):
        await change()
        state = (await handle.describe()).schedule.state
        found.append([state.paused, state.note])
    await handle.pause(note="again")
    await handle.trigger()
    await _until_runs(client, "pause", "COMPLETED")
    await handle.delete()
    return found


async def case_created_paused_and_triggered(client: Client, task_queue: str) -> Any:
    handle = await _create(
        client,
        task_queue,
        "created",
        "count",
        state=ScheduleState(paused=True, note="not yet"),
        trigger_immediately=True,
    )
    await _until_runs(client, "created", "COMPLETED")
    described = await _settled(handle, 1)
    state = described.schedule.state
    await handle.delete()
    return [
        state.paused,
        state.note,
        len(described.info.recent_actions),
        len(described.info.next_action_times),
    ]


async def case_results_are_handed_on(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "results", "count")
    found = []
    for count in range(1, 4):
        await handle.trigger()
        await _until_runs(client, "results", *["COMPLETED"] * count)
        found.append(await (await _runs(client, "results"))[-1].result())
        await asyncio.sleep(1.5)
    await handle.delete()
    return found


async def case_a_failure_pauses(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "failure", "fail", pause_on_failure=True)
    await handle.trigger()
    await _until_runs(client, "failure", "FAILED")

    async def paused() -> bool:
        return (await handle.describe()).schedule.state.paused

    await until(paused)
    note = (await handle.describe()).schedule.state.note or ""
    await handle.delete()
    return note.split(":")[0]


async def case_a_failure_does_not(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "failed", "fail")
    await handle.trigger()
    await _until_runs(client, "failed", "FAILED")
    await asyncio.sleep(1)
    state = (await handle.describe()).schedule.state
    await handle.delete()
    return [state.paused, state.note]


async def case_so_many_actions_and_no_more(client: Client, task_queue: str) -> Any:
    """Those by hand do not count, those of the clock do."""
    handle = await _create(
        client,
        task_queue,
        "limited",
        "count",
        state=ScheduleState(limited_actions=True, remaining_actions=2),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=1))]),
        overlap=ScheduleOverlapPolicy.ALLOW_ALL,
    )
    await _until_runs(client, "limited", "COMPLETED", "COMPLETED")
    await asyncio.sleep(2)
    described = await handle.describe()
    state = described.schedule.state
    await handle.trigger()
    await _until_runs(client, "limited", "COMPLETED", "COMPLETED", "COMPLETED")
    await handle.delete()
    return [
        state.limited_actions,
        state.remaining_actions,
        described.info.num_actions,
        len(described.info.next_action_times),
    ]


async def case_a_backfill(client: Client, task_queue: str) -> Any:
    spec = ScheduleSpec(
        intervals=[ScheduleIntervalSpec(every=timedelta(hours=1), offset=timedelta(minutes=10))]
    )
    handle = await _create(
        client, task_queue, "backfill", "count", spec=spec, state=ScheduleState(paused=True)
    )
    begin = datetime(2025, 3, 1, tzinfo=UTC)
    await handle.backfill(
        ScheduleBackfill(begin, begin + timedelta(hours=3), overlap=ScheduleOverlapPolicy.ALLOW_ALL),
        ScheduleBackfill(
            begin + timedelta(hours=5, minutes=10),
            begin + timedelta(hours=6, minutes=10),
            overlap=ScheduleOverlapPolicy.ALLOW_ALL,
        ),
    )
    await _until_runs(client, "backfill", *["COMPLETED"] * 5)
    described = await _settled(handle, 5)
    ids = sorted(run.id for run in await _runs(client, "backfill"))
    await handle.delete()
    return [ids, sorted(action.scheduled_at.isoformat() for action in described.info.recent_actions)]


async def case_a_backfill_that_skips(client: Client, task_queue: str) -> Any:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))])
    handle = await _create(client, task_queue, "skipped", "wait", spec=spec, state=ScheduleState(paused=True))
    begin = datetime(2025, 3, 1, tzinfo=UTC)
    await handle.backfill(ScheduleBackfill(begin, begin + timedelta(hours=3)))
    await _until_runs(client, "skipped", "RUNNING")
    await asyncio.sleep(1)
    ids = [run.id for run in await _runs(client, "skipped")]
    await handle.delete()
    return ids


async def case_an_update(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "update", "wait", memo={"field": "north"})
    seen: list[Any] = []

    def change(input: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = input.description.schedule
        assert isinstance(schedule.action, ScheduleActionStartWorkflow)
        seen.append([schedule.action.workflow, schedule.policy.overlap.name, input.description.id])
        schedule.action.args = ["count"]
        schedule.state.note = "changed"
        return ScheduleUpdate(schedule=schedule)

    async def nothing(input: ScheduleUpdateInput) -> None:
        seen.append((await input.description.memo())["field"])

    await handle.update(change)
    await handle.update(nothing)
    await handle.trigger()
    await _until_runs(client, "update", "COMPLETED")
    note = (await handle.describe()).schedule.state.note
    await handle.delete()
    return [seen, note]


async def case_an_update_while_one_runs(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "running", "wait")
    await handle.trigger()
    await _until_runs(client, "running", "RUNNING")

    def change(input: ScheduleUpdateInput) -> ScheduleUpdate:
        input.description.schedule.policy.overlap = ScheduleOverlapPolicy.ALLOW_ALL
        return ScheduleUpdate(schedule=input.description.schedule)

    await handle.update(change)
    await asyncio.sleep(1.1)
    await handle.trigger()
    await _until_runs(client, "running", "RUNNING", "RUNNING")
    described = await _settled(handle, 2)
    await handle.delete()
    return [len(described.info.running_actions), described.schedule.policy.overlap.name]


async def case_what_an_action_is_given(client: Client, task_queue: str) -> Any:
    handle = await _create(
        client,
        task_queue,
        "given",
        "facts",
        action={
            "memo": {"field": "west"},
            "typed_search_attributes": TypedSearchAttributes([SearchAttributePair(CROP, "beans")]),
        },
    )
    await handle.trigger()
    await _until_runs(client, "given", "COMPLETED")
    (run,) = await _runs(client, "given")
    await handle.delete()
    return await run.result()


async def case_names(client: Client, task_queue: str) -> Any:
    handle = await _create(client, task_queue, "twice")
    try:
        await _create(client, task_queue, "twice")
    except ScheduleAlreadyRunningError as error:
        again = str(error)
    await handle.delete()
    nobody = client.get_schedule_handle("acting-nobody")
    return [
        again,
        handle.id,
        await outcome(handle.delete()),
        await outcome(nobody.describe()),
        await outcome(nobody.trigger()),
        await outcome(nobody.pause()),
    ]


async def case_a_list(client: Client, task_queue: str) -> Any:
    handles = [
        await _create(client, task_queue, f"listed-{n}", state=ScheduleState(paused=n == 1, note=f"n{n}"))
        for n in range(2)
    ]

    async def listed() -> list[Any]:
        return sorted(
            [
                [each.id, each.schedule.action.workflow, each.schedule.state.paused, each.schedule.state.note]
                async for each in await client.list_schedules()
                if each.id.startswith("acting-listed") and each.schedule
            ]
        )

    async def complete() -> int:
        return len(await listed())

    await until(complete, 2)
    found = await listed()
    for handle in handles:
        await handle.delete()
    return found


WORKFLOWS = [Wait]
ACTIVITIES: list[Any] = []
