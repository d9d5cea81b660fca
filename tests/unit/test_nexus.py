"""Programs that mention Nexus run; what would call an operation says what to do instead."""

from __future__ import annotations

from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime import worker as workers
from overwinter.runtime.client import CloudOperationsClient, WorkflowFailureError
from overwinter.runtime.exceptions import ApplicationError, NexusOperationError
from overwinter.runtime.nexus import NexusNotOffered
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import NexusOperationInboundInterceptor, Worker
from tests.unit.gateways import QUEUE, Gateway


class Around(workers.Interceptor):
    def intercept_nexus_operation(
        self, next: NexusOperationInboundInterceptor
    ) -> NexusOperationInboundInterceptor:
        raise AssertionError("there is nothing to stand around")


@workflow.defn
class Careful:
    @workflow.run
    async def run(self) -> str:
        try:
            return "as ever"
        except NexusOperationError as error:
            return error.endpoint


@workflow.defn
class Calling:
    @workflow.run
    async def run(self) -> Any:
        client = workflow.create_nexus_client(service="farm", endpoint="north")
        return await client.execute_operation("water", None)


@activity.defn
async def nothing() -> None: ...


async def test_a_program_that_only_mentions_it_runs(gateway: Gateway) -> None:
    async with gateway.on([Calling], [nothing]) as client:
        async with Worker(client, task_queue="other", workflows=[Careful], interceptors=[Around()]):
            assert await client.execute_workflow(Careful.run, id="w", task_queue="other") == "as ever"


async def test_a_call_says_what_to_do_instead(gateway: Gateway) -> None:
    async with gateway.on([Careful], [nothing]) as client:
        types = [NexusNotOffered]
        async with Worker(
            client, task_queue="other", workflows=[Calling], workflow_failure_exception_types=types
        ):
            with pytest.raises(WorkflowFailureError) as failed:
                await client.execute_workflow(Calling.run, id="w", task_queue="other")
        assert isinstance(failed.value.cause, ApplicationError)
        assert "start the other workflow as a child" in failed.value.cause.message
        assert client.engine.failure is None
        await client.start_workflow(Careful.run, id="v", task_queue=QUEUE)


async def test_endpoints_and_the_cloud_are_refused() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        with pytest.raises(NexusNotOffered):
            await environment.create_nexus_endpoint("north", QUEUE)
    with pytest.raises(NotImplementedError, match="operations of Temporal's cloud are not offered"):
        await CloudOperationsClient.connect(api_key="k")
