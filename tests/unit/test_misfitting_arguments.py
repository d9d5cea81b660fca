"""Values that do not fit their type hints fail with the types that retry policies and handlers know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowFailureError, WorkflowUpdateFailedError
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.exceptions import ActivityError, ApplicationError
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@activity.defn
async def text() -> str:
    return "x"


@activity.defn
async def unencodable() -> Any:
    return object()


_ONCE: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=9),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}


@workflow.defn
class Calls:
    @workflow.run
    async def run(self, name: str) -> Any:
        if name == "double":
            return await workflow.execute_activity("double", "x", **_ONCE)
        if name == "text":
            return await workflow.execute_activity("text", result_type=int, **_ONCE)
        return await workflow.execute_activity("unencodable", **_ONCE)


@workflow.defn
class Takes:
    @workflow.run
    async def run(self, number: int) -> int:
        await workflow.wait_condition(lambda: False)
        return number

    @workflow.update
    async def add(self, number: int) -> int:
        return number


def links(error: BaseException) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    link: BaseException | None = error
    while link is not None:
        found.append((type(link).__name__, link.type if isinstance(link, ApplicationError) else None))
        link = link.__cause__
    return found


async def failure_of(gateway: Gateway, run: Any, arg: Any) -> WorkflowFailureError:
    async with gateway.on([Takes], [text]) as client:
        async with Worker(
            client,
            task_queue="calls",
            workflows=[Calls, Takes],
            activities=[double, text, unencodable],
            workflow_failure_exception_types=[TypeError],
        ):
            with pytest.raises(WorkflowFailureError) as failed:
                await client.execute_workflow(run, arg, id="w", task_queue="calls")
    return failed.value


async def test_arguments_of_an_activity_that_do_not_fit_are_a_failure_with_a_cause(gateway: Gateway) -> None:
    error = await failure_of(gateway, "Calls", "double")
    assert links(error) == [
        ("WorkflowFailureError", None),
        ("ActivityError", None),
        ("ApplicationError", None),
        ("ApplicationError", "TypeError"),
    ]
    assert isinstance(error.cause, ActivityError)
    assert isinstance(error.cause.cause, ApplicationError)
    assert error.cause.cause.message == "Failed decoding arguments"


async def test_a_result_that_cannot_be_stored_is_a_type_error(gateway: Gateway) -> None:
    error = await failure_of(gateway, "Calls", "unencodable")
    assert links(error)[2:] == [("ApplicationError", "TypeError")]


@pytest.mark.parametrize(("run", "arg"), [("Calls", "text"), ("Takes", "x")])
async def test_what_does_not_fit_in_a_workflow_is_a_type_error(gateway: Gateway, run: str, arg: str) -> None:
    error = await failure_of(gateway, run, arg)
    assert links(error) == [("WorkflowFailureError", None), ("ApplicationError", "TypeError")]


async def test_arguments_of_an_update_that_do_not_fit_are_a_type_error(gateway: Gateway) -> None:
    async with gateway.on([Takes], [text]) as client:
        handle = await client.start_workflow(Takes.run, 1, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await handle.execute_update("add", "x")
    assert links(failed.value)[-1] == ("ApplicationError", "TypeError")
