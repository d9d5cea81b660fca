"""Queries: unknown, failing, rejected, of workflows that have ended."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import ApplicationError

from ..observe import history, outcome


@workflow.defn(name="QueriesWorkflow")
class Queries:
    def __init__(self) -> None:
        self.done = ""
        self.value = 1

    @workflow.run
    async def run(self) -> str:
        workflow.set_query_handler("later", lambda factor: self.value * factor)
        await workflow.wait_condition(lambda: self.done != "")
        self.value = 100
        if self.done == "fail":
            raise ApplicationError("as asked")
        return self.done

    @workflow.signal
    def finish(self, how: str) -> None:
        self.done = how

    @workflow.signal
    def set(self, value: int) -> None:
        self.value = value

    @workflow.query
    def get(self) -> int:
        return self.value

    @workflow.query(name="renamed", description="adds")
    def add(self, one: int, two: int = 5) -> int:
        return self.value + one + two

    @workflow.query
    def fails(self) -> None:
        raise ApplicationError("a failing query", 3, type="Query")

    @workflow.query
    def fails_because(self) -> None:
        try:
            raise ValueError("the reason")
        except ValueError as error:
            raise ApplicationError("the consequence") from error

    @workflow.query
    def breaks(self) -> None:
        raise ValueError("a broken query")

    @workflow.query
    def sees(self) -> dict[str, list[int]]:
        return {"values": [self.value, self.value + 1]}


async def _started(client: Client, task_queue: str, id: str) -> Any:
    return await client.start_workflow(Queries.run, id=id, task_queue=task_queue)


async def _message(awaitable: Any) -> Any:
    """Without its sentence where the engines list what they know."""
    kind, *errors = await outcome(awaitable)
    return [kind, [error[0] for error in errors]]


async def case_answers(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "queries-answers")
    seen = [
        await handle.query(Queries.get),
        await handle.query("get"),
        await handle.query(Queries.add, args=[1, 2]),
        await handle.query("renamed", 1),
        await handle.query(Queries.sees),
        await handle.query("later", 3),
    ]
    await handle.signal(Queries.set, 7)
    seen.append(await handle.query(Queries.get))
    await handle.signal(Queries.finish, "end")
    return [seen, await handle.result(), await history(handle)]


async def case_failures(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "queries-failures")
    return [
        await outcome(handle.query(Queries.fails)),
        await outcome(handle.query(Queries.fails_because)),
        await outcome(handle.query(Queries.breaks)),
        await _message(handle.query("no_such_query")),
        await handle.query(Queries.get),
    ]


async def case_after_the_end(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "queries-end")
    await handle.signal(Queries.finish, "end")
    await handle.result()
    return [await handle.query(Queries.get), await handle.query("later", 2)]


async def case_after_a_failure(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "queries-failed")
    await handle.signal(Queries.finish, "fail")
    await outcome(handle.result())
    return await handle.query(Queries.get)


async def case_after_a_termination(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "queries-terminated")
    await handle.query(Queries.get)
    await handle.terminate()
    return await handle.query(Queries.get)


async def case_rejected(client: Client, task_queue: str) -> Any:
    seen: list[Any] = []
    for how in ("end", "fail"):
        handle = await _started(client, task_queue, f"queries-rejected-{how}")
        for condition in (QueryRejectCondition.NOT_OPEN, QueryRejectCondition.NOT_COMPLETED_CLEANLY):
            seen.append(await outcome(handle.query(Queries.get, reject_condition=condition)))
        await handle.signal(Queries.finish, how)
        await outcome(handle.result())
        for condition in QueryRejectCondition:
            seen.append(
                [condition.name, *await outcome(handle.query(Queries.get, reject_condition=condition))]
            )
    return seen


async def case_an_unknown_workflow(client: Client, task_queue: str) -> Any:
    return await outcome(client.get_workflow_handle("queries-nobody").query("get"))


WORKFLOWS = [Queries]
ACTIVITIES: list[Any] = []
