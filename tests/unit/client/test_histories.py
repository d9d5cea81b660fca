"""Histories as client code reads them: Temporal's events, a page at a time or all, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.api.enums.v1 import EventType
from overwinter.runtime.client import (
    Client,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowHistoryEventAsyncIterator,
    WorkflowHistoryEventFilterType,
)
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.histories import to_lines
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker

QUEUE = "histories"


@activity.defn
async def look(field: str) -> str:
    return f"{field} is dry"


@workflow.defn
class Water:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self, field: str) -> str:
        found = await workflow.execute_activity(
            look, field, start_to_close_timeout=timedelta(seconds=5), summary="a look"
        )
        await workflow.wait_condition(lambda: self.done)
        return found

    @workflow.signal
    def end(self) -> None:
        self.done = True


@workflow.defn
class Broken:
    @workflow.run
    async def run(self) -> None:
        raise KeyError("valve")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with await WorkflowEnvironment.start_local() as environment:
        async with Worker(environment.client, task_queue=QUEUE, workflows=[Water, Broken], activities=[look]):
            yield environment.client


async def ended(client: Client) -> WorkflowHandle[Any, Any]:
    handle = await client.start_workflow(
        Water.run, "north", id="w", task_queue=QUEUE, start_delay=timedelta(milliseconds=1)
    )
    await handle.signal(Water.end)
    await handle.result()
    return handle


async def test_events_are_read_as_the_protocols_messages(client: Client) -> None:
    handle = await ended(client)
    events = [event async for event in handle.fetch_history_events()]
    started = events[0].workflow_execution_started_event_attributes
    assert started.first_workflow_task_backoff.ToTimedelta() == timedelta(milliseconds=1)
    assert started.input.payloads[0].data.decode() == '"north"'
    assert [e.event_id for e in events] == list(range(1, len(events) + 1))
    (scheduled,) = [e for e in events if e.HasField("activity_task_scheduled_event_attributes")]
    assert scheduled.activity_task_scheduled_event_attributes.activity_type.name == "look"
    assert scheduled.user_metadata.summary.data == b'"a look"'
    (done,) = [e for e in events if e.event_type is EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED]
    assert done.activity_task_completed_event_attributes.scheduled_event_id == scheduled.event_id
    assert done.activity_task_completed_event_attributes.result.payloads[0].data == b'"north is dry"'
    assert events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    assert [e async for e in client.get_workflow_handle("w").fetch_history_events()] == events


async def test_pages_and_what_is_left_after_one(client: Client) -> None:
    handle = await ended(client)
    whole = list((await handle.fetch_history()).events)
    pages = handle.fetch_history_events(page_size=4)
    assert isinstance(pages, WorkflowHistoryEventAsyncIterator)
    assert pages.current_page is None
    await pages.fetch_next_page()
    assert list(pages.current_page or ()) == whole[:4]
    token = pages.next_page_token
    assert token is not None
    assert [e async for e in pages] == whole
    assert pages.next_page_token is None
    rest = handle.fetch_history_events(next_page_token=token)
    assert [e async for e in rest] == whole[4:]


async def test_the_closing_event_alone_is_waited_for(client: Client) -> None:
    handle = await client.start_workflow(Water.run, "north", id="w", task_queue=QUEUE)
    events = handle.fetch_history_events(
        wait_new_event=True, event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT
    )
    closing = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    await handle.signal(Water.end)
    assert (await closing).HasField("workflow_execution_completed_event_attributes")
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    history = await handle.fetch_history(event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT)
    assert [e.event_type for e in history.events] == [EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED]


async def test_events_come_as_they_happen_and_are_those_of_the_whole(client: Client) -> None:
    handle = await client.start_workflow(Water.run, "north", id="w", task_queue=QUEUE)
    seen = []
    async for event in handle.fetch_history_events(wait_new_event=True):
        seen.append(event)
        if event.HasField("activity_task_completed_event_attributes"):
            await handle.signal(Water.end)
    assert seen == list((await handle.fetch_history()).events)


async def test_code_with_a_bug_shows_as_a_workflow_task_that_failed(client: Client) -> None:
    handle = await client.start_workflow(Broken.run, id="b", task_queue=QUEUE)
    async with asyncio.timeout(5):
        while (await handle.describe()).blocked is None:
            await asyncio.sleep(0.01)
    events = list((await handle.fetch_history()).events)
    assert [e async for e in handle.fetch_history_events()] == events
    attributes = events[-1].workflow_task_failed_event_attributes
    assert events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    assert "valve" in attributes.failure.message
    assert attributes.failure.application_failure_info.type == "KeyError"
    assert (attributes.scheduled_event_id, attributes.started_event_id) == (2, 3)


async def test_a_history_comes_back_from_each_of_its_forms(client: Client) -> None:
    history = await (await ended(client)).fetch_history()
    assert history.records is not None
    lines = "".join(to_lines("w", history.records))
    assert WorkflowHistory.from_json("w", lines).records == list(history.records)
    again = WorkflowHistory.from_json("w", history.to_json())
    assert again.records is None
    assert list(again.events) == list(history.events)
    assert again.run_id == history.run_id
    camel_and_snake = history.to_json().replace('"eventTime"', '"event_time"')
    assert list(WorkflowHistory.from_json("w", camel_and_snake).events) == list(history.events)


async def test_a_history_of_a_newer_version_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match=r"line 1: no history: expected a header"):
        WorkflowHistory.from_json("w", '{"format": "overwinter-history-12"}\n{"sequence": 1}\n')


async def test_histories_are_mapped_from_a_list(client: Client) -> None:
    await ended(client)
    found = [history async for history in client.list_workflows("WorkflowId = 'w'").map_histories()]
    assert [history.workflow_id for history in found] == ["w"]
    assert found[0].events[0].HasField("workflow_execution_started_event_attributes")


async def test_failures_are_written_with_their_details(client: Client) -> None:
    @activity.defn(name="look")
    async def refuse(field: str) -> str:
        raise ApplicationError("too dark", {"lux": 3}, type="Dark", non_retryable=True)

    async with Worker(client, task_queue="dark", workflows=[Water], activities=[refuse]):
        handle = await client.start_workflow(Water.run, "north", id="dark", task_queue="dark")
        with pytest.raises(Exception, match="Workflow execution failed"):
            await handle.result()
    failure = (await handle.fetch_history()).events[-1].workflow_execution_failed_event_attributes.failure
    assert failure.activity_failure_info.activity_type.name == "look"
    assert failure.cause.message == "too dark"
    assert failure.cause.source == "PythonSDK"
    assert failure.cause.application_failure_info.details.payloads[0].data == b'{"lux":3}'
