"""Memo and search attributes."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from ..observe import history, outcome, until

CROP = SearchAttributeKey.for_keyword("Crop")
BEDS = SearchAttributeKey.for_int("Beds")
PLOTS = SearchAttributeKey.for_keyword_list("Plots")


def _known(found: TypedSearchAttributes) -> list[Any]:
    plots = found.get(PLOTS)
    return [found.get(CROP), found.get(BEDS), None if plots is None else list(plots), CROP in found]


@workflow.defn(name="AttributesMemo")
class Memo:
    @workflow.run
    async def run(self) -> list[Any]:
        memo = workflow.memo()
        seen: list[Any] = [{key: memo[key] for key in sorted(memo)}]
        seen.append(workflow.memo_value("field"))
        seen.append(workflow.memo_value("field", type_hint=str))
        seen.append(workflow.memo_value("nothing", "a default"))
        try:
            workflow.memo_value("nothing")
        except KeyError as error:
            seen.append(["KeyError", str(error)])
        workflow.upsert_memo({"field": "south", "new": [1, 2], "old": None})
        memo = workflow.memo()
        seen.append({key: memo[key] for key in sorted(memo)})
        workflow.upsert_memo({"never was": None})
        return seen


@workflow.defn(name="AttributesSearch")
class Search:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> list[Any]:
        seen = [_known(workflow.info().typed_search_attributes)]
        workflow.upsert_search_attributes([CROP.value_set("maize"), BEDS.value_unset()])
        seen.append(_known(workflow.info().typed_search_attributes))
        workflow.upsert_search_attributes([PLOTS.value_set(["a", "b"])])
        seen.append(_known(workflow.info().typed_search_attributes))
        await workflow.wait_condition(lambda: self.done)
        return seen

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="AttributesParent")
class Parent:
    """What a child is given, and what it is not."""

    @workflow.run
    async def run(self, child: bool) -> Any:
        memo = workflow.memo()
        seen = [
            {key: memo[key] for key in sorted(memo)},
            _known(workflow.info().typed_search_attributes),
        ]
        if child:
            return seen
        id = workflow.info().workflow_id
        return [
            seen,
            await workflow.execute_child_workflow(Parent.run, True, id=id + "-bare"),
            await workflow.execute_child_workflow(
                Parent.run,
                True,
                id=id + "-given",
                memo={"own": 1},
                search_attributes=TypedSearchAttributes([SearchAttributePair(BEDS, 2)]),
            ),
        ]


async def case_memo(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Memo.run,
        id="attributes-memo",
        task_queue=task_queue,
        memo={"field": "north", "old": 1, "deep": {"a": [None, 2.5]}},
    )
    found = await handle.result()
    memo = await (await handle.describe()).memo()
    return [found, {key: memo[key] for key in sorted(memo)}, await history(handle)]


async def case_no_memo(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Parent.run, True, id="attributes-none", task_queue=task_queue)
    found = await handle.result()
    described = await handle.describe()
    return [found, dict(await described.memo()), _known(described.typed_search_attributes)]


async def case_memo_values_of_a_description(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Parent.run, True, id="attributes-values", task_queue=task_queue, memo={"field": "north"}
    )
    described = await handle.describe()
    return [
        await described.memo_value("field"),
        await described.memo_value("nothing", 3),
        (await outcome(described.memo_value("nothing")))[1][0],
    ]


async def case_search_attributes(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Search.run,
        id="attributes-search",
        task_queue=task_queue,
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(CROP, "beans"), SearchAttributePair(BEDS, 4)]
        ),
    )
    await handle.query(Search.ready)
    described = _known((await handle.describe()).typed_search_attributes)
    await handle.signal(Search.finish)
    return [await handle.result(), described, await history(handle)]


async def case_a_list_by_search_attributes(client: Client, task_queue: str) -> Any:
    for crop in ("peas", "peas", "kale"):
        number = len([1 async for _ in client.list_workflows("WorkflowType = 'AttributesListed'")])
        handle = await client.start_workflow(
            "AttributesListed",
            id=f"attributes-list-{crop}-{number}",
            task_queue="attributes-nobody",
            search_attributes=TypedSearchAttributes([SearchAttributePair(CROP, crop)]),
        )

        async def listed(id: str = handle.id) -> bool:
            found = client.list_workflows("WorkflowType = 'AttributesListed'")
            return id in [execution.id async for execution in found]

        await until(listed)
    query = "Crop = 'peas' AND WorkflowType = 'AttributesListed'"
    found = sorted([execution.id async for execution in client.list_workflows(query)])
    limited = [1 async for _ in client.list_workflows("WorkflowType = 'AttributesListed'", limit=2)]
    return [found, len(limited), (await client.count_workflows(query)).count]


async def case_what_a_child_is_given(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow(
        Parent.run,
        False,
        id="attributes-parent",
        task_queue=task_queue,
        memo={"field": "north"},
        search_attributes=TypedSearchAttributes([SearchAttributePair(CROP, "beans")]),
    )


WORKFLOWS = [Memo, Search, Parent]
ACTIVITIES: list[Any] = []
