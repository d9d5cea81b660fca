"""What a run takes over from the one before it: continued, tried again, by cron; memo, attributes and facts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from temporalio.exceptions import ApplicationError

from ..observe import history, outcome, until, until_status, worker

CROP = SearchAttributeKey.for_keyword("Crop")
BEDS = SearchAttributeKey.for_int("Beds")
PLOTS = SearchAttributeKey.for_keyword_list("Plots")
AGAIN = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=3)


def facts() -> list[Any]:
    """What a run knows of itself that the next one may have too."""
    info, memo = workflow.info(), workflow.memo()
    return [
        info.workflow_type,
        info.attempt,
        info.run_id == info.first_execution_run_id,
        info.continued_run_id is not None,
        str(info.execution_timeout),
        str(info.run_timeout or None),  # there it is no time at all where it was not given
        str(info.task_timeout),
        info.cron_schedule,
        info.retry_policy.maximum_attempts if info.retry_policy else None,
        {key: memo[key] for key in sorted(memo)},
        info.typed_search_attributes.get(CROP),
        info.typed_search_attributes.get(BEDS),
        info.typed_search_attributes.get(PLOTS),
        workflow.has_last_completion_result(),
        type(workflow.get_last_failure()).__name__,
    ]


def change() -> None:
    workflow.upsert_memo({"field": "west", "season": None, "new": [1, 2]})
    workflow.upsert_search_attributes(
        [CROP.value_set("maize"), BEDS.value_unset(), PLOTS.value_set(["a", "b"])]
    )


@workflow.defn(name="CarryingProgram")
class Program:
    def __init__(self) -> None:
        self.facts: list[Any] = []

    @workflow.run
    async def run(self, which: str, before: list[Any] | None = None) -> Any:
        return await getattr(self, which)(before or [])

    async def continued_twice(self, before: list[Any]) -> Any:
        if len(before) < 2:
            workflow.continue_as_new(args=["continued_twice", [*before, facts()]])
        return [*before, facts()]

    async def continued_after_a_change(self, before: list[Any]) -> Any:
        if not before:
            change()
            workflow.continue_as_new(args=["continued_after_a_change", [facts()]])
        return [*before, facts()]

    async def continued_with_nothing_of_it(self, before: list[Any]) -> Any:
        if not before:
            change()
            workflow.continue_as_new(
                args=["continued_with_nothing_of_it", [facts()]],
                memo={},
                search_attributes=TypedSearchAttributes([]),
            )
        return [*before, facts()]

    async def continued_with_other_options(self, before: list[Any]) -> Any:
        if not before:
            workflow.continue_as_new(
                args=["continued_with_other_options", [facts()]],
                run_timeout=timedelta(seconds=20),
                task_timeout=timedelta(seconds=7),
                retry_policy=RetryPolicy(maximum_attempts=9),
                memo={"only": "this"},
            )
        return [*before, facts()]

    async def continued_as_another(self, before: list[Any]) -> Any:
        workflow.continue_as_new([1, 2], workflow=Other.run)

    async def continued_without_arguments(self, before: list[Any]) -> Any:
        workflow.continue_as_new(workflow="CarryingBare")

    async def continued_on_another_queue(self, before: list[Any]) -> Any:
        if not before:
            queue = workflow.info().task_queue
            workflow.continue_as_new(
                args=["continued_on_another_queue", [queue]], task_queue="carrying-other"
            )
        return [*before, workflow.info().task_queue]

    async def failed_after_a_change(self, before: list[Any]) -> Any:
        if workflow.info().attempt == 1:
            change()
            raise ApplicationError("first", type="First")
        return facts()

    async def failed_after_it_continued(self, before: list[Any]) -> Any:
        if not before:
            workflow.continue_as_new(args=["failed_after_it_continued", [facts()]])
        if workflow.info().attempt == 1:
            raise ApplicationError("the second run's first attempt", type="First")
        return [*before, facts()]

    async def continued_after_it_failed(self, before: list[Any]) -> Any:
        if workflow.info().attempt == 1 and not before:
            raise ApplicationError("first", type="First")
        if not before:
            workflow.continue_as_new(args=["continued_after_it_failed", [facts()]])
        return [*before, facts()]

    async def cron_after_a_change(self, before: list[Any]) -> Any:
        if not workflow.has_last_completion_result():
            change()
            return "first"
        self.facts = facts()
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def seen(self) -> list[Any]:
        return self.facts

    async def cron_that_fails(self, before: list[Any]) -> Any:
        if workflow.get_last_failure() is None:
            raise ApplicationError("the first time", type="First")
        last = workflow.get_last_failure()
        return [type(last).__name__, str(last), workflow.info().attempt]

    async def out_of_time_over_its_runs(self, before: list[Any]) -> Any:
        """Each run is short; all of them together are not."""
        await workflow.sleep(0.6)
        workflow.continue_as_new(args=["out_of_time_over_its_runs", before])

    async def time_for_each_run(self, before: list[Any]) -> Any:
        """Each run has its own time, though all together take longer."""
        await workflow.sleep(1.4)
        if len(before) < 2:
            workflow.continue_as_new(args=["time_for_each_run", [*before, 1]])
        return before

    async def memo_values(self, before: list[Any]) -> Any:
        found: list[Any] = [
            workflow.memo_value("field"),
            workflow.memo_value("field", type_hint=str),
            workflow.memo_value("nothing", "default"),
            workflow.memo_value("nothing", 7, type_hint=int),
        ]
        try:
            workflow.memo_value("nothing")
        except KeyError as error:
            found.append(str(error))
        workflow.upsert_memo({"field": {"deep": [None, True]}, "gone": None})
        workflow.upsert_memo({})
        return [*found, dict(sorted(workflow.memo().items()))]

    async def attribute_values(self, before: list[Any]) -> Any:
        found: list[Any] = []
        workflow.upsert_search_attributes([BEDS.value_set(5)])
        found.append(workflow.info().typed_search_attributes.get(BEDS))
        workflow.upsert_search_attributes([BEDS.value_set(6), CROP.value_unset()])
        found.append(sorted(pair.key.name for pair in workflow.info().typed_search_attributes))
        workflow.upsert_search_attributes([PLOTS.value_set(["z", "a"])])
        found.append(list(workflow.info().typed_search_attributes[PLOTS]))
        try:
            workflow.upsert_search_attributes([])
        except Exception as error:
            found.append([type(error).__name__, str(error)])
        return found

    async def facts_of_a_step(self, before: list[Any]) -> Any:
        info = workflow.info()
        found: list[Any] = [
            info.get_current_history_length() > 0,
            info.is_continue_as_new_suggested(),
            info.start_time <= workflow.now(),
            info.workflow_start_time <= workflow.now(),
            info.namespace,
            info.parent,
            info.root,
            [info.priority.priority_key, info.priority.fairness_key],
            sorted(info.headers),
        ]
        length, now, random = info.get_current_history_length(), workflow.now(), workflow.random().random()
        await workflow.sleep(0.01)
        return [
            *found,
            info.get_current_history_length() > length,
            workflow.now() > now,
            workflow.random().random() != random,
            workflow.uuid4().version,
        ]


@workflow.defn(name="CarryingOther")
class Other:
    @workflow.run
    async def run(self, values: list[int]) -> Any:
        return [values, facts()]


@workflow.defn(name="CarryingBare")
class Bare:
    @workflow.run
    async def run(self) -> Any:
        return facts()


async def _start(client: Client, task_queue: str, which: str, **options: Any) -> WorkflowHandle[Any, Any]:
    given: dict[str, Any] = {
        "memo": {"field": "north", "season": 2, "gone": True},
        "search_attributes": TypedSearchAttributes(
            [SearchAttributePair(CROP, "beans"), SearchAttributePair(BEDS, 4)]
        ),
        **options,
    }
    id = given.pop("id", f"carrying-{which}".replace("_", "-"))
    return await client.start_workflow(Program.run, args=[which], id=id, task_queue=task_queue, **given)


async def _run(client: Client, task_queue: str, which: str, **options: Any) -> Any:
    handle = await _start(client, task_queue, which, **options)
    return [await outcome(handle.result()), await history(handle)]


async def case_continued_on_another_queue(client: Client, task_queue: str) -> Any:
    async with worker(client, "carrying-other", [Program]):
        return await _run(client, task_queue, "continued_on_another_queue")


async def case_by_cron_after_a_change(client: Client, task_queue: str) -> Any:
    """A run by a cron schedule begins with what the first one began with."""
    handle = await _start(client, task_queue, "cron_after_a_change", cron_schedule="@every 1s")
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await until_status(first, "COMPLETED", "CONTINUED_AS_NEW")
    latest = client.get_workflow_handle(handle.id)
    await until(lambda: _waits(latest))
    found = await latest.query(Program.seen)
    await latest.terminate()
    return found


async def _waits(handle: WorkflowHandle[Any, Any]) -> bool:
    return bool(await handle.query(Program.seen))


async def case_failed_after_a_change(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "failed_after_a_change", retry_policy=AGAIN)


async def case_failed_after_it_continued(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "failed_after_it_continued", retry_policy=AGAIN)


async def case_continued_after_it_failed(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_after_it_failed", retry_policy=AGAIN)


async def case_cron_that_fails(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "cron_that_fails", cron_schedule="@every 1s")
    second: list[WorkflowHandle[Any, Any]] = []

    async def twice() -> bool:
        async for run in client.list_workflows(
            f"WorkflowId = '{handle.id}' and ExecutionStatus = 'Completed'"
        ):
            second.append(client.get_workflow_handle(handle.id, run_id=run.run_id))
        return bool(second)

    await until(twice)
    await client.get_workflow_handle(handle.id).terminate()
    closed = [event async for event in second[-1].fetch_history_events()][-1]
    payload = closed.workflow_execution_completed_event_attributes.result.payloads[0]
    return await client.data_converter.decode([payload])


async def case_out_of_time_over_its_runs(client: Client, task_queue: str) -> Any:
    handle = await _start(
        client, task_queue, "out_of_time_over_its_runs", execution_timeout=timedelta(seconds=3)
    )
    return await outcome(handle.result())


async def case_time_for_each_run(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "time_for_each_run", run_timeout=timedelta(seconds=4))
    return await outcome(handle.result())


async def case_facts_of_a_step(client: Client, task_queue: str) -> Any:
    return await _run(
        client, task_queue, "facts_of_a_step", priority=Priority(priority_key=2, fairness_key="field")
    )


async def case_all_timeouts(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Program.run,
        args=["continued_twice"],
        id="carrying-timeouts",
        task_queue=task_queue,
        execution_timeout=timedelta(seconds=60),
        run_timeout=timedelta(seconds=50),
        task_timeout=timedelta(seconds=8),
        retry_policy=RetryPolicy(maximum_attempts=4),
    )
    return await outcome(handle.result())


async def case_an_execution_timeout_alone(client: Client, task_queue: str) -> Any:
    """The time of a run is then that of the whole."""
    handle = await client.start_workflow(
        Program.run,
        args=["continued_twice"],
        id="carrying-execution-timeout",
        task_queue=task_queue,
        execution_timeout=timedelta(seconds=60),
    )
    return await outcome(handle.result())


async def case_a_run_timeout_longer_than_the_whole(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Program.run,
        args=["continued_twice"],
        id="carrying-run-timeout",
        task_queue=task_queue,
        execution_timeout=timedelta(seconds=60),
        run_timeout=timedelta(seconds=90),
    )
    return await outcome(handle.result())


async def case_no_attempt_that_the_whole_has_no_time_for(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Program.run,
        args=["failed_after_a_change"],
        id="carrying-no-time",
        task_queue=task_queue,
        execution_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=30)),
    )
    return [await outcome(handle.result()), await history(handle)]


async def case_a_description_of_the_last_run(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "continued_after_a_change", id="carrying-described")
    described: list[Any] = []
    await handle.result()
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await until_status(first, "CONTINUED_AS_NEW")
    for each in (client.get_workflow_handle(handle.id), first):
        found = await each.describe()
        memo = await found.memo()
        described.append(
            [
                found.status.name,
                {key: memo[key] for key in sorted(memo)},
                sorted(
                    pair.key.name
                    for pair in found.typed_search_attributes
                    if pair.key.name in ("Crop", "Beds", "Plots")
                ),
            ]
        )
    return described


async def case_continued_twice(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_twice")


async def case_continued_after_a_change(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_after_a_change")


async def case_continued_with_nothing_of_it(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_with_nothing_of_it")


async def case_continued_with_other_options(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_with_other_options")


async def case_continued_as_another(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_as_another")


async def case_continued_without_arguments(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "continued_without_arguments")


async def case_memo_values(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "memo_values")


async def case_attribute_values(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "attribute_values")


WORKFLOWS = [Program, Other, Bare]
ACTIVITIES: list[Any] = []
