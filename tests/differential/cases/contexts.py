"""Converters that ask what they work for: each value says who wrote it and who read it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    ScheduleState,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RetryPolicy
from temporalio.converter import (
    ActivitySerializationContext,
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, until_event, worker

OFTEN = RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_attempts=2)


@dataclass
class Trace:
    """A value that remembers what it went through."""

    seen: list[str] = field(default_factory=list)


class Tracing(EncodingPayloadConverter, WithSerializationContext):
    """Traces as JSON, with the context of each step."""

    def __init__(self, context: SerializationContext | None = None) -> None:
        self.context = context

    @property
    def encoding(self) -> str:
        return "json/trace"

    def with_context(self, context: SerializationContext) -> Tracing:
        return Tracing(context)

    def to_payload(self, value: Any) -> Any:
        if not isinstance(value, Trace):
            return None
        value.seen.append(f"written for {_named(self.context)}")
        payload = DefaultPayloadConverter().to_payload(json.dumps(value.seen))
        payload.metadata["encoding"] = b"json/trace"
        return payload

    def from_payload(self, payload: Any, type_hint: Any = None) -> Trace:
        text = payload.data[payload.data.index(b"[") : payload.data.rindex(b"]") + 1].decode()
        seen = json.loads(text.replace('\\"', '"'))
        return Trace([*seen, f"read for {_named(self.context)}"])


def _named(context: SerializationContext | None) -> str:
    match context:
        case WorkflowSerializationContext():
            return f"{context.namespace} workflow {context.workflow_id}"
        case ActivitySerializationContext():
            kind = "local activity" if context.is_local else "activity"
            names = [context.activity_id, context.activity_type, context.activity_task_queue]
            return f"{context.namespace} {kind} {names} of {context.workflow_type} {context.workflow_id}"
        case _:
            return "nobody"


class TracingConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(Tracing(), *DefaultPayloadConverter.default_encoding_payload_converters)


def tracing(client: Client) -> Client:
    config = client.config()
    converter = dataclasses.replace(DataConverter.default, payload_converter_class=TracingConverter)
    config["data_converter"] = converter
    return Client(**config)


@activity.defn(name="contexts_pass")
async def pass_on(trace: Trace) -> Trace:
    activity.payload_converter().to_payload(trace)
    return trace


@activity.defn(name="contexts_pass_in_thread")
def pass_on_in_thread(trace: Trace) -> Trace:
    return trace


@activity.defn(name="contexts_beat")
async def beat() -> Trace:
    info = activity.info()
    if info.attempt == 1:
        activity.heartbeat(Trace())
        await asyncio.sleep(0.2)
        raise ValueError("once more")
    (found,) = info.heartbeat_details
    assert isinstance(found, Trace)
    return found


@activity.defn(name="contexts_fail")
async def fail(trace: Trace) -> None:
    raise ApplicationError("by the activity", trace, non_retryable=True)


@activity.defn(name="contexts_later")
async def later() -> Trace:
    activity.raise_complete_async()


@workflow.defn(name="ContextsEcho")
class Echo:
    @workflow.run
    async def run(self, trace: Trace) -> Trace:
        return trace


@workflow.defn(name="ContextsFailing")
class Failing:
    @workflow.run
    async def run(self, trace: Trace) -> None:
        raise ApplicationError("by the child", trace)


@workflow.defn(name="Contexts")
class Contexts:
    def __init__(self) -> None:
        self.got: Trace | None = None

    @workflow.run
    async def run(self, how: str, trace: Trace | None = None) -> Trace:
        found: Trace = await getattr(self, how)(trace or Trace())
        return found

    async def activity(self, trace: Trace) -> Trace:
        workflow.payload_converter().to_payload(trace)
        trace = await workflow.execute_activity(
            pass_on, trace, start_to_close_timeout=SHORT, activity_id="passing"
        )
        return await workflow.execute_activity(
            pass_on_in_thread, trace, start_to_close_timeout=SHORT, activity_id="threaded"
        )

    async def local(self, trace: Trace) -> Trace:
        return await workflow.execute_local_activity(
            pass_on, trace, start_to_close_timeout=SHORT, activity_id="near"
        )

    async def beaten(self, _trace: Trace) -> Trace:
        return await workflow.execute_activity(
            beat, start_to_close_timeout=SHORT, retry_policy=OFTEN, activity_id="beating"
        )

    async def later(self, _trace: Trace) -> Trace:
        return await workflow.execute_activity(later, start_to_close_timeout=SHORT, activity_id="given")

    async def child(self, trace: Trace) -> Trace:
        found: Trace = await workflow.execute_child_workflow(
            Echo.run, trace, id=f"{workflow.info().workflow_id}-child"
        )
        return found

    async def memo(self, _trace: Trace) -> Trace:
        found: Trace = workflow.memo_value("trace", type_hint=Trace)
        workflow.upsert_memo({"trace": found})
        return found

    async def failed_activity(self, trace: Trace) -> Trace:
        try:
            await workflow.execute_activity(fail, trace, start_to_close_timeout=SHORT, activity_id="failing")
        except Exception as error:
            return details_of(error)
        raise ApplicationError("it did not fail")

    async def failed_child(self, trace: Trace) -> Trace:
        try:
            await workflow.execute_child_workflow(
                Failing.run, trace, id=f"{workflow.info().workflow_id}-child"
            )
        except Exception as error:
            return details_of(error)
        raise ApplicationError("it did not fail")

    async def fails(self, trace: Trace) -> Trace:
        raise ApplicationError("as asked", trace)

    async def other(self, trace: Trace) -> Trace:
        other = await workflow.start_child_workflow(
            Contexts.run, args=["signaled"], id=f"{workflow.info().workflow_id}-other"
        )
        await workflow.get_external_workflow_handle(other.id).signal("put", trace)
        found: Trace = await other
        return found

    async def own_child(self, trace: Trace) -> Trace:
        child = await workflow.start_child_workflow(
            Contexts.run, args=["signaled"], id=f"{workflow.info().workflow_id}-own"
        )
        await child.signal("put", trace)
        found: Trace = await child
        return found

    async def again(self, trace: Trace) -> Trace:
        workflow.continue_as_new(args=["back", trace])

    async def back(self, trace: Trace) -> Trace:
        return trace

    async def signaled(self, _trace: Trace) -> Trace:
        await workflow.wait_condition(lambda: self.got is not None)
        assert self.got is not None
        return self.got

    @workflow.signal
    def put(self, trace: Trace) -> None:
        self.got = trace

    @workflow.query
    def ask(self, trace: Trace) -> Trace:
        return trace

    @workflow.update
    def change(self, trace: Trace) -> Trace:
        if len(trace.seen) > 3:
            raise ApplicationError("refused by the handler", trace)
        return trace

    @change.validator
    def check(self, trace: Trace) -> None:
        if "no" in trace.seen:
            raise ApplicationError("refused", trace)


def details_of(error: BaseException) -> Trace:
    link: BaseException | None = error
    while link is not None and not isinstance(link, ApplicationError):
        link = link.__cause__
    assert isinstance(link, ApplicationError)
    (trace,) = link.details
    assert isinstance(trace, Trace)
    return trace


async def _run(client: Client, task_queue: str, how: str, **options: Any) -> Any:
    """What the trace that a workflow returns, or fails with, went through."""
    client, queue = tracing(client), f"{task_queue}-{how}"
    async with worker(client, queue, WORKFLOWS, ACTIVITIES):
        try:
            result: Trace = await client.execute_workflow(
                Contexts.run, args=[how, Trace()], id=f"contexts-{how}", task_queue=queue, **options
            )
        except WorkflowFailureError as error:
            result = details_of(error)
    return result.seen


async def case_activities_see_themselves(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "activity")


async def case_local_activities_see_themselves(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "local")


async def case_heartbeats_belong_to_their_activity(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "beaten")


async def case_a_child_has_its_own_context(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "child")


async def case_a_failed_activity(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "failed_activity")


async def case_a_failed_child(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "failed_child")


async def case_a_failed_workflow(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "fails")


async def case_a_signal_to_another_execution(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "other")


async def case_a_signal_to_a_child(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "own_child")


async def case_the_next_run(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "again")


async def case_a_memo(client: Client, task_queue: str) -> Any:
    client, queue = tracing(client), f"{task_queue}-memo"
    async with worker(client, queue, WORKFLOWS, ACTIVITIES):
        handle = await client.start_workflow(
            Contexts.run,
            args=["memo"],
            id="contexts-memo",
            task_queue=queue,
            memo={"trace": Trace(), "kept": Trace()},
        )
        await handle.result()
        described = await handle.describe()
        changed = await described.memo_value("trace", type_hint=Trace)
        return [changed.seen, (await described.memo())["kept"].seen]


async def case_messages(client: Client, task_queue: str) -> Any:
    client, queue = tracing(client), f"{task_queue}-messages"
    async with worker(client, queue, WORKFLOWS, ACTIVITIES):
        handle = await client.start_workflow(
            Contexts.run, args=["signaled"], id="contexts-messages", task_queue=queue
        )
        asked = await handle.query(Contexts.ask, Trace())
        changed = await handle.execute_update(Contexts.change, Trace())
        failed = await _refused(handle, Trace(["1", "2", "3"]))
        rejected = await _refused(handle, Trace(["no"]))
        await handle.signal(Contexts.put, Trace())
        result: Trace = await handle.result()
    return [asked.seen, changed.seen, failed, rejected, result.seen]


async def _refused(handle: Any, trace: Trace) -> Any:
    try:
        await handle.execute_update(Contexts.change, trace)
    except WorkflowUpdateFailedError as error:
        return details_of(error).seen
    return "it was not refused"


async def case_a_signal_with_the_start(client: Client, task_queue: str) -> Any:
    client, queue = tracing(client), f"{task_queue}-with"
    async with worker(client, queue, WORKFLOWS, ACTIVITIES):
        result: Trace = await client.execute_workflow(
            Contexts.run,
            args=["signaled"],
            id="contexts-with",
            task_queue=queue,
            start_signal="put",
            start_signal_args=[Trace()],
        )
    return result.seen


async def case_termination(client: Client, task_queue: str) -> Any:
    client, queue = tracing(client), f"{task_queue}-terminated"
    handle = await client.start_workflow(
        Contexts.run, args=["signaled"], id="contexts-terminated", task_queue=queue
    )
    await handle.terminate(Trace())
    try:
        await handle.result()
    except WorkflowFailureError as error:
        (trace,) = error.cause.details  # type: ignore[attr-defined]
        return trace.seen


async def case_completion_from_outside(client: Client, task_queue: str) -> Any:
    client, queue = tracing(client), f"{task_queue}-later"
    async with worker(client, queue, WORKFLOWS, ACTIVITIES):
        handle = await client.start_workflow(
            Contexts.run, args=["later"], id="contexts-later", task_queue=queue
        )
        await until_event(handle, "ActivityScheduled")
        context = ActivitySerializationContext(
            "default", "given", "contexts_later", queue, handle.id, "Contexts", False
        )
        given = client.get_async_activity_handle(workflow_id=handle.id, run_id=None, activity_id="given")
        trace = Trace()
        await asyncio.sleep(0.5)
        await given.with_context(context).heartbeat(trace)
        await given.with_context(context).complete(trace)
        result: Trace = await handle.result()
    assert given.with_context(context) is not given
    return [result.seen, await history(handle)]


async def case_a_schedule(client: Client, task_queue: str) -> Any:
    """What it gives is written for the workflow id of the action, to which the time is added."""
    client, queue = tracing(client), f"{task_queue}-scheduled"
    async with worker(client, queue, WORKFLOWS, ACTIVITIES):
        action = ScheduleActionStartWorkflow(
            "Contexts", args=["back", Trace()], id="contexts-scheduled", task_queue=queue
        )
        schedule = await client.create_schedule(
            "contexts", Schedule(action=action, spec=ScheduleSpec(), state=ScheduleState(paused=True))
        )
        try:
            await schedule.trigger()
            while not (started := (await schedule.describe()).info.recent_actions):
                await asyncio.sleep(0.03)
            found = started[0].action
            handle = client.get_workflow_handle(found.workflow_id, result_type=Trace)  # type: ignore[attr-defined]
            result = await handle.result()
        finally:
            await schedule.delete()
    return [line.replace(found.workflow_id, "contexts-scheduled-TIME") for line in result.seen]  # type: ignore[attr-defined]


WORKFLOWS = [Contexts, Echo, Failing]
ACTIVITIES = [pass_on, pass_on_in_thread, beat, fail, later]
