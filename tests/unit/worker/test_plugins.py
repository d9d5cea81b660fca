"""Plugins and interceptors of clients and workers: what they change, in which order, and that nothing comes twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime import client as clients
from overwinter.runtime import worker as workers
from overwinter.runtime.client import Client, ClientConfig, OutboundInterceptor
from overwinter.runtime.clock import SystemClock
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.plugin import SimplePlugin
from overwinter.runtime.worker import (
    ExecuteWorkflowInput,
    Replayer,
    Worker,
    WorkerConfig,
    WorkflowInboundInterceptor,
)
from overwinter.runtime.worker.workflow_sandbox import SandboxedWorkflowRunner
from tests.unit.gateways import engine_on

QUEUE = "farm"
OTHER = replace(DataConverter.default)


@workflow.defn
class Hello:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"Hello, {name}!"


@workflow.defn
class Goodbye:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"Goodbye, {name}!"


@activity.defn
async def nothing() -> None: ...


class Counting(clients.Interceptor, workers.Interceptor):
    """For clients and workers; counts what goes through it."""

    def __init__(self, notes: list[str] | None = None, name: str = "") -> None:
        self.notes: list[str] = [] if notes is None else notes
        self.name = name

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        self.notes.append(f"{self.name}client")
        return super().intercept_client(next)

    def workflow_interceptor_class(
        self, input: workers.WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        notes, name = self.notes, self.name

        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                notes.append(f"{name}workflow")
                return await super().execute_workflow(input)

        return Inbound


class Renaming(clients.Plugin, workers.Plugin):
    """Puts a worker on another queue, and a client into another namespace."""

    def __init__(self, name: str = "renamed") -> None:
        self.queue = name

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        config["namespace"] = self.queue
        return config

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config["task_queue"] = f"{config.get('task_queue')} {self.queue}"
        return config

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        await next(worker)


class Later(Renaming):
    """Another kind of plugin."""


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with engine_on(MemoryJournal(), SystemClock()) as client:
        yield client


def again(client: Client, **changes: Any) -> Client:
    config: dict[str, Any] = dict(client.config())
    return Client(**(config | changes))


async def test_the_plugins_of_a_client_come_before_those_of_its_worker(client: Client) -> None:
    made = again(client, plugins=[Renaming("by client")])
    assert made.namespace == "by client"
    assert made.config().get("namespace") == "default"
    assert made.config(active_config=True).get("namespace") == "by client"
    worker = Worker(made, task_queue=QUEUE, activities=[nothing], plugins=[Later("by worker")])
    assert worker.task_queue == "farm by client by worker"
    assert worker.config().get("task_queue") == QUEUE
    assert worker.config(active_config=True).get("task_queue") == worker.task_queue


async def test_a_plugin_of_both_is_warned_of(client: Client) -> None:
    made = again(client, plugins=[Renaming()])
    with pytest.warns(UserWarning, match="The same plugin type"):
        Worker(made, task_queue=QUEUE, activities=[nothing], plugins=[Renaming()])


async def test_names_of_plugins(client: Client) -> None:
    assert Renaming().name() == "tests.unit.worker.test_plugins.Renaming"
    assert SimplePlugin("Mine").name() == "Mine"


# -- simple plugins ------------------------------------------------------------------------------------


async def test_a_simple_plugin_adds_to_sequences_and_replaces_the_rest(client: Client) -> None:
    runner = SandboxedWorkflowRunner()
    plugin = SimplePlugin(
        "Mine",
        data_converter=OTHER,
        workflows=[Goodbye],
        activities=[nothing],
        workflow_runner=runner,
        workflow_failure_exception_types=[LookupError],
    )
    assert again(client, plugins=[plugin]).data_converter is OTHER
    config = Worker(client, task_queue=QUEUE, workflows=[Hello], plugins=[plugin]).config(active_config=True)
    assert config.get("workflows") == [Hello, Goodbye]
    assert config.get("activities") == [nothing]
    assert config.get("workflow_runner") is runner
    assert config.get("workflow_failure_exception_types") == [LookupError]
    replayer = Replayer(workflows=[Hello], plugins=[plugin])
    assert list(replayer.config(active_config=True)["workflows"]) == [Hello, Goodbye]
    assert replayer.config(active_config=True)["data_converter"] is OTHER


async def test_functions_of_a_simple_plugin_make_what_there_shall_be(client: Client) -> None:
    def converter(old: DataConverter | None) -> DataConverter:
        if old is not DataConverter.default:
            raise ValueError("there is one already")
        return OTHER

    def fewer(_old: Any) -> list[type]:
        return []

    plugin = SimplePlugin("Mine", data_converter=converter, workflows=fewer)
    assert again(client, plugins=[plugin]).data_converter is OTHER
    with pytest.raises(ValueError, match="one already"):
        again(client, plugins=[plugin], data_converter=OTHER)
    worker = Worker(client, task_queue=QUEUE, workflows=[Hello], activities=[nothing], plugins=[plugin])
    assert worker.config(active_config=True).get("workflows") == []


@pytest.mark.parametrize("on", ["client", "worker"])
async def test_an_interceptor_of_both_kinds_is_used_once_wherever_its_plugin_is(
    client: Client, on: str
) -> None:
    interceptor = Counting()
    plugin = SimplePlugin("Mine", interceptors=[interceptor])
    made = again(client, plugins=[plugin]) if on == "client" else client
    plugins = [] if on == "client" else [plugin]
    async with Worker(made, task_queue=QUEUE, workflows=[Hello], plugins=plugins):
        assert await made.execute_workflow(Hello.run, "Tim", id="w", task_queue=QUEUE) == "Hello, Tim!"
    assert interceptor.notes == (["client", "workflow"] if on == "client" else ["workflow"])


async def test_interceptors_of_the_client_are_outside_those_of_the_worker(client: Client) -> None:
    notes: list[str] = []
    made = again(client, interceptors=[Counting(notes, "1 "), Counting(notes, "2 ")])
    notes.clear()
    async with Worker(
        made, task_queue=QUEUE, workflows=[Hello], interceptors=[Counting(notes, "3 "), Counting(notes, "4 ")]
    ):
        await made.execute_workflow(Hello.run, "Tim", id="w", task_queue=QUEUE)
    assert notes == ["1 workflow", "2 workflow", "3 workflow", "4 workflow"]


async def test_a_simple_plugin_runs_workers_and_replayers_in_its_context(client: Client) -> None:
    notes: list[str] = []

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        notes.append("enter")
        yield
        notes.append("leave")

    plugin = SimplePlugin("Mine", run_context=context)
    async with Worker(client, task_queue=QUEUE, workflows=[Hello], plugins=[plugin]):
        handle = await client.start_workflow(Hello.run, "Tim", id="w", task_queue=QUEUE)
        await handle.result()
        history = await handle.fetch_history()
    assert notes == ["enter", "leave"]

    async def histories() -> AsyncIterator[clients.WorkflowHistory]:
        yield history

    replayer = Replayer(workflows=[Hello])
    async with plugin.run_replayer(
        replayer, histories(), lambda replayer, found: replayer.workflow_replay_iterator(found)
    ) as results:
        assert [result.replay_failure async for result in results] == [None]
    assert notes == ["enter", "leave"] * 2
