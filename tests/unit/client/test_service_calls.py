"""Calls of gRPC that are answered without a server, and executions as its messages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.api.common.v1 import WorkflowExecution
from overwinter.runtime.api.enums.v1 import (
    EventType,
    IndexedValueType,
    ResetReapplyExcludeType,
    ResetReapplyType,
    UpdateWorkflowExecutionLifecycleStage,
    WorkflowExecutionStatus,
)
from overwinter.runtime.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from overwinter.runtime.api.sdk.v1 import EnhancedStackTrace, WorkflowMetadata
from overwinter.runtime.api.update.v1 import UpdateRef, WaitPolicy
from overwinter.runtime.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    GetSystemInfoRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    PollWorkflowExecutionUpdateRequest,
    ResetStickyTaskQueueRequest,
    ResetWorkflowExecutionRequest,
)
from overwinter.runtime.client import Client, WorkflowUpdateFailedError
from overwinter.runtime.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.service import RPCError, RPCStatusCode, __version__
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway

_STAGES = UpdateWorkflowExecutionLifecycleStage


@activity.defn
async def nothing() -> None: ...


@workflow.defn
class Adding:
    """Adds."""

    def __init__(self) -> None:
        self.sum = 0
        self.go_on = False

    @workflow.run
    async def run(self) -> int:
        workflow.set_current_details("adds")
        await workflow.wait_condition(lambda: self.sum > 9)
        return self.sum

    @workflow.update(description="one more")
    async def add(self, count: int) -> int:
        if count > 9:
            raise ApplicationError("too many")
        if count == 0:
            await workflow.wait_condition(lambda: self.go_on)
        self.sum += count
        return self.sum

    @add.validator
    def check(self, count: int) -> None:
        if count < 0:
            raise ApplicationError("too few")

    @workflow.signal
    def let_go(self) -> None:
        self.go_on = True


def of(workflow_id: str) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=workflow_id)


def asked(update_id: str, stage: int = 0, workflow_id: str = "w") -> PollWorkflowExecutionUpdateRequest:
    return PollWorkflowExecutionUpdateRequest(
        namespace="default",
        update_ref=UpdateRef(workflow_execution=of(workflow_id), update_id=update_id),
        wait_policy=WaitPolicy(lifecycle_stage=_STAGES(stage)),
    )


async def test_a_history_is_read_in_pages(gateway: Gateway) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        handle = await client.start_workflow(Adding.run, id="w", task_queue=QUEUE)
        await handle.execute_update(Adding.add, 5)
        request = GetWorkflowExecutionHistoryRequest(execution=of("w"), maximum_page_size=2)
        found: list[Any] = []
        while True:
            page = await client.workflow_service.get_workflow_execution_history(request)
            found += page.history.events
            if not page.next_page_token:
                break
            assert len(page.history.events) == 2
            request.next_page_token = page.next_page_token
        assert found == list((await handle.fetch_history()).events)
        assert found[0].event_type is EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED


async def test_the_progress_of_an_update_is_told(gateway: Gateway) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        handle = await client.start_workflow(Adding.run, id="w", task_queue=QUEUE)
        poll = client.workflow_service.poll_workflow_execution_update
        with pytest.raises(RPCError) as unknown:
            await poll(asked("none"))
        assert unknown.value.status == RPCStatusCode.NOT_FOUND
        waiting = asyncio.create_task(handle.execute_update(Adding.add, 0, id="a"))
        await handle.execute_update(Adding.add, 1, id="b")
        first = await poll(asked("a"))
        assert first.stage == _STAGES.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
        assert not first.HasField("outcome")
        assert first.update_ref.workflow_execution.run_id == handle.first_execution_run_id
        polled = asyncio.create_task(poll(asked("a", 3)))
        await handle.signal(Adding.let_go)
        assert await waiting == 1
        done = await polled
        assert done.stage == _STAGES.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
        assert DataConverter.default.payload_converter.from_payloads(done.outcome.success.payloads) == [1]
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(Adding.add, 10, id="c")
        assert (await poll(asked("c", 3))).outcome.failure.message == "too many"


async def test_an_update_that_nobody_runs_is_admitted(gateway: Gateway) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        handle = await client.start_workflow(Adding.run, id="w", task_queue="nobody's")
        sent = asyncio.create_task(handle.execute_update(Adding.add, 10, id="a"))
        poll = client.workflow_service.poll_workflow_execution_update
        while True:
            try:
                found = await poll(asked("a", 3), timeout=timedelta(milliseconds=1))
                break
            except RPCError:
                await asyncio.sleep(0)
        assert found.stage == _STAGES.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
        async with Worker(client, task_queue="nobody's", workflows=[Adding]):
            with pytest.raises(WorkflowUpdateFailedError):
                await sent


async def test_an_execution_is_described_as_a_message(gateway: Gateway) -> None:
    key = SearchAttributeKey.for_keyword("Field")
    async with gateway.on([Adding], [nothing]) as client:
        other = Client(client.service_client, namespace="farm")
        handle = await other.start_workflow(
            Adding.run,
            id="w",
            task_queue=QUEUE,
            memo={"a": 1},
            search_attributes=TypedSearchAttributes([SearchAttributePair(key, "north")]),
            priority=Priority(priority_key=2),
        )
        described = await handle.describe()
        assert described.namespace == "farm"
        request = DescribeWorkflowExecutionRequest(namespace="farm", execution=of("w"))
        answer = await client.workflow_service.describe_workflow_execution(request)
        assert answer.workflow_execution_info.execution == described.raw_info.execution
        info = described.raw_description.workflow_execution_info
        assert (info.execution.workflow_id, info.execution.run_id) == ("w", described.run_id)
        assert (info.type.name, info.task_queue) == ("Adding", QUEUE)
        assert info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        assert info.start_time.ToDatetime() == described.start_time.replace(tzinfo=None)
        assert not info.HasField("close_time")
        assert not info.HasField("parent_execution")
        assert info.search_attributes.indexed_fields["Field"].data == b'"north"'
        assert list(info.memo.fields) == ["a"]
        await handle.terminate()
        closed = (await handle.describe()).raw_info
        assert closed.HasField("close_time")
        assert closed.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED


async def test_search_attributes_are_remembered_by_engine() -> None:
    key = SearchAttributeKey.for_int("Rows")
    async with (
        await WorkflowEnvironment.start_local(search_attributes=[key]) as first,
        await WorkflowEnvironment.start_local() as second,
    ):
        service = first.client.operator_service
        add = AddSearchAttributesRequest(search_attributes={"Bed": IndexedValueType.INDEXED_VALUE_TYPE_TEXT})
        await service.add_search_attributes(add)
        found = await service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
        assert {name: int(kind) for name, kind in found.custom_attributes.items()} == {"Rows": 3, "Bed": 1}
        assert "WorkflowId" in found.system_attributes
        await service.remove_search_attributes(RemoveSearchAttributesRequest(search_attributes=["Bed"]))
        found = await service.list_search_attributes(ListSearchAttributesRequest())
        assert list(found.custom_attributes) == ["Rows"]
        there = await second.client.operator_service.list_search_attributes(ListSearchAttributesRequest())
        assert not there.custom_attributes


async def test_the_version_is_told_and_nothing_sticks(gateway: Gateway) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        service = client.workflow_service
        assert (await service.get_system_info(GetSystemInfoRequest())).server_version == __version__
        await service.reset_sticky_task_queue(ResetStickyTaskQueueRequest(execution=of("w")))


async def test_a_workflow_describes_itself_by_the_queries_that_every_workflow_answers(
    gateway: Gateway,
) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        handle = await client.start_workflow(Adding.run, id="w", task_queue=QUEUE)
        metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        assert isinstance(metadata, WorkflowMetadata)
        assert (metadata.definition.type, metadata.current_details) == ("Adding", "adds")
        assert [(u.name, u.description) for u in metadata.definition.update_definitions] == [
            ("add", "one more")
        ]
        assert [each.name for each in metadata.definition.signal_definitions] == ["let_go"]
        trace = await handle.query("__enhanced_stack_trace", result_type=EnhancedStackTrace)
        places = [location for stack in trace.stacks for location in stack.locations]
        run = next(place for place in places if place.function_name == "run" and not place.internal_code)
        assert run.file_path == __file__
        assert run.line == Adding.run.__code__.co_firstlineno + 3
        assert "self.sum > 9" in trace.sources[__file__].content
        assert trace.sdk.version == __version__


async def test_an_eager_start_says_so(gateway: Gateway) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        handle = await client.start_workflow(Adding.run, id="a", task_queue=QUEUE, request_eager_start=True)
        assert getattr(handle, "__temporal_eagerly_started") is True  # noqa: B009 - a name of the SDK's, that is mangled here
        handle = await client.start_workflow(Adding.run, id="b", task_queue=QUEUE)
        assert getattr(handle, "__temporal_eagerly_started") is False  # noqa: B009 - as above


def reset(event_id: int, **options: Any) -> ResetWorkflowExecutionRequest:
    return ResetWorkflowExecutionRequest(
        workflow_execution=of("w"), workflow_task_finish_event_id=event_id, reason="again", **options
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 9),
        ({"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_NONE}, 5),
        ({"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL}, 5),
        (
            {
                "reset_reapply_exclude_types": [
                    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
                    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
                ]
            },
            5,
        ),
    ],
)
async def test_a_run_begins_anew_at_a_workflow_task_by_temporals_numbers(
    gateway: Gateway, options: dict[str, Any], expected: int
) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        handle = await client.start_workflow(Adding.run, id="w", task_queue=QUEUE)
        await handle.execute_update(Adding.add, 5)
        await handle.execute_update(Adding.add, 4)
        events = (await handle.fetch_history()).events
        completed = [
            each.event_id for each in events if each.HasField("workflow_task_completed_event_attributes")
        ]
        accepted = [
            each.event_id
            for each in events
            if each.HasField("workflow_execution_update_accepted_event_attributes")
        ]
        answer = await client.workflow_service.reset_workflow_execution(reset(completed[-1], **options))
        assert answer.run_id != handle.first_execution_run_id
        again = client.get_workflow_handle("w")
        assert (await again.describe()).run_id == answer.run_id
        await again.signal(Adding.let_go)
        assert await again.execute_update(Adding.add, 0) == expected
        with pytest.raises(RPCError, match="has no workflow task with event") as refused:
            await client.workflow_service.reset_workflow_execution(reset(accepted[0]))
        assert refused.value.status == RPCStatusCode.INVALID_ARGUMENT


async def test_executions_are_listed_counted_and_deleted(gateway: Gateway) -> None:
    async with gateway.on([Adding], [nothing]) as client:
        for name in ("a", "b", "c"):
            await client.start_workflow(Adding.run, id=name, task_queue=QUEUE)
        await client.get_workflow_handle("b").terminate()
        service = client.workflow_service
        request = ListWorkflowExecutionsRequest(page_size=2)
        first = await service.list_workflow_executions(request)
        request.next_page_token = first.next_page_token
        second = await service.list_workflow_executions(request)
        assert [each.execution.workflow_id for page in (first, second) for each in page.executions] == [
            "c",
            "b",
            "a",
        ]
        assert not second.next_page_token
        running = "ExecutionStatus = 'Running'"
        found = await service.list_workflow_executions(ListWorkflowExecutionsRequest(query=running))
        assert [each.execution.workflow_id for each in found.executions] == ["c", "a"]
        assert (
            await service.count_workflow_executions(CountWorkflowExecutionsRequest(query=running))
        ).count == 2
        grouped = await service.count_workflow_executions(
            CountWorkflowExecutionsRequest(query="GROUP BY ExecutionStatus")
        )
        assert {each.group_values[0].data: each.count for each in grouped.groups} == {
            b'"Running"': 2,
            b'"Terminated"': 1,
        }
        await service.delete_workflow_execution(DeleteWorkflowExecutionRequest(workflow_execution=of("b")))
        assert (await service.count_workflow_executions(CountWorkflowExecutionsRequest())).count == 2
