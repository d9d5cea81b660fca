"""Continuing as new: what the next run is given, and who follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from ..observe import history, outcome, until_status

CROP = SearchAttributeKey.for_keyword("Crop")
BEDS = SearchAttributeKey.for_int("Beds")


@workflow.defn(name="ContinuingCount")
class Count:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self, left: int, log: list[int]) -> Any:
        log = [*log, left]
        if left:
            workflow.continue_as_new(args=[left - 1, log])
        return log


@workflow.defn(name="ContinuingAbout")
class About:
    """What stays the same in the second run, without and with other options."""

    @workflow.run
    async def run(self, how: str, first: Any = None) -> Any:
        info = workflow.info()
        memo = workflow.memo()
        seen = [
            info.attempt,
            str(info.run_timeout),
            str(info.execution_timeout),
            str(info.task_timeout),
            info.retry_policy.maximum_attempts if info.retry_policy else None,
            {key: memo[key] for key in sorted(memo)},
            info.typed_search_attributes.get(CROP),
            info.typed_search_attributes.get(BEDS),
            info.workflow_type,
        ]
        if first is not None:
            same = info.first_execution_run_id != info.run_id and info.continued_run_id is not None
            return [first, seen, same]
        same = [info.first_execution_run_id == info.run_id, info.continued_run_id]
        if how == "plain":
            workflow.continue_as_new(args=[how, [seen, same]])
        if how == "upserted":
            workflow.upsert_memo({"field": "west", "season": 3})
            workflow.upsert_search_attributes([CROP.value_set("maize"), BEDS.value_unset()])
            workflow.continue_as_new(args=[how, [seen, same]])
        workflow.continue_as_new(
            args=[how, [seen, same]],
            memo={"other": True},
            run_timeout=timedelta(seconds=40),
            retry_policy=RetryPolicy(maximum_attempts=5),
            search_attributes=TypedSearchAttributes([SearchAttributePair(BEDS, 9)]),
        )


@workflow.defn(name="ContinuingOther")
class Other:
    @workflow.run
    async def run(self, how: str) -> Any:
        if how == "class":
            workflow.continue_as_new(args=[0, [7]], workflow=Count.run)
        workflow.continue_as_new(args=[0, [8]], workflow="ContinuingCount")


@workflow.defn(name="ContinuingOnSignal")
class OnSignal:
    """The handler of a signal ends the run."""

    @workflow.run
    async def run(self, again: bool) -> str:
        if again:
            return "the second run"
        await workflow.wait_condition(lambda: False)
        return "never"

    @workflow.signal
    async def restart(self) -> None:
        workflow.continue_as_new(True)

    @workflow.query
    def ready(self) -> bool:
        return True


async def _about(client: Client, task_queue: str, how: str) -> Any:
    return await client.execute_workflow(
        About.run,
        args=[how],
        id=f"continuing-{how}",
        task_queue=task_queue,
        execution_timeout=timedelta(seconds=60),
        run_timeout=timedelta(seconds=30),
        retry_policy=RetryPolicy(maximum_attempts=2),
        memo={"field": "north"},
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(CROP, "beans"), SearchAttributePair(BEDS, 4)]
        ),
    )


async def case_arguments(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Count.run, args=[3, []], id="continuing-arguments", task_queue=task_queue
    )
    found = await handle.result()
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    return [found, await history(handle), await history(first), await until_status(first, "CONTINUED_AS_NEW")]


async def case_one_who_does_not_follow(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Count.run, args=[1, []], id="continuing-follow", task_queue=task_queue
    )
    kind, *errors = await outcome(handle.result(follow_runs=False))
    return [kind, [error[0] for error in errors], await handle.result()]


async def case_what_is_carried_over(client: Client, task_queue: str) -> Any:
    return await _about(client, task_queue, "plain")


async def case_what_was_upserted_is_carried_over(client: Client, task_queue: str) -> Any:
    return await _about(client, task_queue, "upserted")


async def case_what_is_given_anew(client: Client, task_queue: str) -> Any:
    return await _about(client, task_queue, "given")


async def case_another_type(client: Client, task_queue: str) -> Any:
    return [
        await client.execute_workflow(Other.run, how, id=f"continuing-as-{how}", task_queue=task_queue)
        for how in ("class", "name")
    ]


async def case_from_a_signal_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        OnSignal.run, False, id="continuing-on-signal", task_queue=task_queue
    )
    await handle.query(OnSignal.ready)
    await handle.signal(OnSignal.restart)
    return await outcome(handle.result())


WORKFLOWS = [Count, About, Other, OnSignal]
ACTIVITIES: list[Any] = []
