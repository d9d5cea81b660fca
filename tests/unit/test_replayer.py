"""The replayer: its report, its plugins, and histories that other programs and older SDKs have written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowHistory
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Plugin,
    Replayer,
    ReplayerConfig,
    Worker,
    WorkerConfig,
    WorkflowInboundInterceptor,
    WorkflowReplayResult,
)

SHORT = timedelta(seconds=5)
results: list[Any] = []


class KeepsResults(Interceptor):
    def workflow_interceptor_class(self, input: Any) -> type:
        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                results.append(await super().execute_workflow(input))
                return results[-1]

        return Inbound


@activity.defn
async def look(field: str) -> str:
    return field


@workflow.defn
class Look:
    @workflow.run
    async def run(self) -> str:
        first = await workflow.execute_activity(look, "north", start_to_close_timeout=SHORT)
        return first + await workflow.execute_activity(look, "south", start_to_close_timeout=SHORT)


@workflow.defn
class Ordered:
    """Notes in which order things reach it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        self.log.append("run")
        await asyncio.sleep(0)
        self.log.append("run goes on")
        return self.log

    @workflow.signal
    async def note(self) -> None:
        self.log.append("signal")
        await asyncio.sleep(0)
        self.log.append("signal goes on")


@workflow.defn
class Meets:
    @workflow.run
    async def run(self) -> str:
        try:
            return await workflow.execute_activity(look, "x", start_to_close_timeout=SHORT)
        except asyncio.CancelledError:
            return "cancelled"


# -- histories as Temporal writes them, made by hand -----------------------------------------------------------


class Written:
    """Events with their numbers, as JSON."""

    def __init__(self, workflow_type: str) -> None:
        self.events: list[dict[str, Any]] = []
        started = {
            "workflowType": {"name": workflow_type},
            "taskQueue": {"name": "q"},
            "originalExecutionRunId": "r",
            "workflowId": "w",
        }
        self.add("WORKFLOW_EXECUTION_STARTED", **started)

    def add(self, kind: str, **attributes: Any) -> int:
        words = kind.lower().split("_")
        name = words[0] + "".join(word.title() for word in words[1:]) + "EventAttributes"
        self.events.append(
            {
                "eventId": str(len(self.events) + 1),
                "eventTime": "2026-03-01T06:00:00Z",
                "eventType": f"EVENT_TYPE_{kind}",
                name: attributes,
            }
        )
        return len(self.events)

    def task(self, *flags: int) -> int:
        scheduled = self.add("WORKFLOW_TASK_SCHEDULED")
        started = self.add("WORKFLOW_TASK_STARTED", scheduledEventId=str(scheduled))
        return self.add(
            "WORKFLOW_TASK_COMPLETED",
            startedEventId=str(started),
            sdkMetadata={"langUsedFlags": list(flags), "coreUsedFlags": [1, 3]},
        )

    def activity(self, name: str) -> int:
        return self.add(
            "ACTIVITY_TASK_SCHEDULED",
            activityId="1",
            activityType={"name": name},
            workflowTaskCompletedEventId="4",
        )

    def completed(self, scheduled: int) -> None:
        result = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Im4i"}]}
        started = self.add("ACTIVITY_TASK_STARTED", scheduledEventId=str(scheduled))
        self.add(
            "ACTIVITY_TASK_COMPLETED",
            scheduledEventId=str(scheduled),
            startedEventId=str(started),
            result=result,
        )

    @property
    def history(self) -> WorkflowHistory:
        return WorkflowHistory.from_json("w", {"events": self.events})


def two_looks(second: str = "look") -> Written:
    written = Written("Look")
    written.task()
    written.completed(written.activity("look"))
    written.task()
    written.completed(written.activity(second))
    written.task()
    written.add("WORKFLOW_EXECUTION_COMPLETED", workflowTaskCompletedEventId="14")
    return written


async def failure_of(history: WorkflowHistory, *workflows: type) -> Exception | None:
    replayer = Replayer(workflows=workflows or [Look, Ordered], interceptors=[KeepsResults()])
    results.clear()
    return (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure


async def test_a_history_made_elsewhere_fits() -> None:
    assert await failure_of(two_looks().history) is None
    assert results == ["nn"]


async def test_both_sides_of_a_difference_are_told_with_the_lines_of_code() -> None:
    error = await failure_of(two_looks("listen").history)
    assert isinstance(error, workflow.NondeterminismError)
    assert (error.activation, error.recorded_text) == (2, "ActivityScheduled 'listen' (id 11) (event 11)")
    assert error.replayed_text == "ActivityScheduled 'look' (id 2)"
    assert error.agreed_text == "ActivityScheduled 'look' (id 5) (event 5)"
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    found = [int(place.split(":")[1].split()[0]) for place in (error.agreed_at, error.replayed_at)]
    assert ['"north"' in lines[found[0] - 1], '"south"' in lines[found[1] - 1]] == [True, True]
    assert f"{error.replayed_at}:" in str(error)


async def test_code_that_asks_for_nothing_more_is_told_where_it_waits() -> None:
    written = Written("Look")
    written.task()
    written.activity("look")
    written.add("TIMER_STARTED", timerId="1", startToFireTimeout="9s", workflowTaskCompletedEventId="4")
    error = await failure_of(written.history)
    assert isinstance(error, workflow.NondeterminismError)
    assert error.recorded_text == "TimerStarted of 9 s (id 6) (event 6)"
    assert error.replayed_text == "nothing more"
    assert error.replayed_at.endswith("in run")


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("NEXUS_OPERATION_SCHEDULED", {}, "event 2, NEXUS_OPERATION_SCHEDULED, has no counterpart here"),
        (
            "MARKER_RECORDED",
            {"markerName": "Version"},
            "event 2, MARKER_RECORDED: a marker 'Version', which is none of the Python SDK's",
        ),
        ("MARKER_RECORDED", {"markerName": "core_local_activity"}, "event 2, a local activity's end"),
    ],
)
async def test_an_event_without_a_counterpart_is_named(kind: str, attributes: Any, words: str) -> None:
    written = Written("Look")
    written.add(kind, **attributes)
    error = await failure_of(written.history)
    assert isinstance(error, ValueError)
    assert words in str(error)


async def test_what_is_no_history_is_a_failure_and_no_crash() -> None:
    for events in ([], two_looks().events[1:]):
        error = await failure_of(WorkflowHistory.from_json("w", {"events": events}))
        assert isinstance(error, ValueError)
        assert "does not begin with the start" in str(error)


async def test_a_workflow_that_is_not_known_is_named() -> None:
    with pytest.raises(RuntimeError, match="Workflow class Look is not registered on this replayer"):
        await Replayer(workflows=[Ordered]).replay_workflow(two_looks().history)


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        ((), ["signal", "signal goes on", "run", "run goes on"]),
        ((2,), ["signal", "run", "signal goes on", "run goes on"]),
    ],
)
async def test_the_order_of_an_activation_is_that_of_the_sdk_that_wrote_it(
    flags: tuple[int, ...], order: list[str]
) -> None:
    written = Written("Ordered")
    written.add("WORKFLOW_EXECUTION_SIGNALED", signalName="note")
    written.task(*flags)
    written.add("WORKFLOW_EXECUTION_COMPLETED", workflowTaskCompletedEventId="5")
    assert await failure_of(written.history) is None
    assert results == [order]


@pytest.mark.parametrize(("flags", "caught"), [((), "n"), ((1,), "cancelled")])
async def test_a_cancellation_that_meets_an_activitys_end_is_lost_where_it_was(
    flags: tuple[int, ...], caught: str
) -> None:
    written = Written("Meets")
    written.task()
    written.completed(written.activity("look"))
    written.add("WORKFLOW_EXECUTION_CANCEL_REQUESTED")
    written.task(*flags)
    written.add("WORKFLOW_EXECUTION_COMPLETED", workflowTaskCompletedEventId="11")
    assert await failure_of(written.history, Meets) is None
    assert results == [caught]


# -- plugins and options ----------------------------------------------------------------------------------------


class Counting(Plugin):
    """Adds a workflow, and counts what is replayed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Any]) -> None:
        await next(worker)

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        config["workflows"] = [*config.get("workflows", ()), Look]
        return config

    @asynccontextmanager
    async def run_replayer(
        self,
        replayer: Replayer,
        histories: AsyncIterator[WorkflowHistory],
        next: Callable[[Replayer, Any], AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]],
    ) -> AsyncIterator[AsyncIterator[WorkflowReplayResult]]:
        async with next(replayer, histories) as found:

            async def counted() -> AsyncIterator[WorkflowReplayResult]:
                async for result in found:
                    self.seen.append(result.history.run_id)
                    yield result

            yield counted()


async def test_plugins_configure_replayers_and_run_them() -> None:
    plugin = Counting()
    replayer = Replayer(workflows=[], plugins=[plugin])
    await replayer.replay_workflow(two_looks().history)
    assert plugin.seen == ["r"]
    assert replayer.config()["workflows"] == []
    assert replayer.config(active_config=True)["workflows"] == [Look]
    assert replayer.config()["data_converter"] is DataConverter.default


async def test_the_first_misfit_ends_a_bulk_unless_they_are_collected() -> None:
    asked: list[str] = []

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for name in ("listen", "look"):
            asked.append(name)
            yield two_looks(name).history

    replayer = Replayer(workflows=[Look])
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflows(histories())
    assert asked == ["listen"]
    found = await replayer.replay_workflows(histories(), raise_on_replay_failure=False)
    assert list(found.replay_failures) == ["r"]


def test_a_replayer_needs_a_workflow_and_each_name_once() -> None:
    with pytest.raises(ValueError, match="At least one workflow"):
        Replayer(workflows=[])
    with pytest.raises(ValueError, match="More than one workflow named Look: give each"):
        Replayer(workflows=[Look, Look])
