"""Handlers, workflows and activities for names that nobody has declared; `workflow.init`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome, until, worker


def _words(args: Sequence[RawValue]) -> list[Any]:
    converter = workflow.payload_converter()
    return [converter.from_payload(arg.payload, str) for arg in args]


@activity.defn(dynamic=True)
async def anything(args: Sequence[RawValue]) -> list[Any]:
    converter = activity.payload_converter()
    return [activity.info().activity_type, [converter.from_payload(arg.payload, str) for arg in args]]


@workflow.defn(name="DynamicHandlers")
class Handlers:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[Any]:
        await workflow.wait_condition(lambda: self.done)
        return self.log

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.signal(dynamic=True)
    async def signalled(self, name: str, args: Sequence[RawValue]) -> None:
        self.log.append(["signal", name, _words(args)])

    @workflow.query(dynamic=True)
    def queried(self, name: str, args: Sequence[RawValue]) -> list[Any]:
        return ["query", name, _words(args)]

    @workflow.update(dynamic=True)
    async def updated(self, name: str, args: Sequence[RawValue]) -> list[Any]:
        self.log.append(["update", name, _words(args)])
        return ["updated", name]

    @updated.validator
    def check(self, name: str, args: Sequence[RawValue]) -> None:
        if name == "refused":
            raise ApplicationError("refused")


@workflow.defn(dynamic=True)
class Anything:
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> list[Any]:
        found = await workflow.execute_activity("dynamic_some", "b", start_to_close_timeout=SHORT)
        return [workflow.info().workflow_type, _words(args), found]


@workflow.defn(name="DynamicBuffered")
class Buffered:
    """Signals wait until they have a handler."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.stage = 0

    @workflow.run
    async def run(self) -> list[Any]:
        await workflow.wait_condition(lambda: self.stage == 1)
        self.log.append("set")
        workflow.set_signal_handler("early", self.early)
        self.log.append("was set")
        await workflow.wait_condition(lambda: self.stage == 2)
        workflow.set_dynamic_signal_handler(self.other)
        await workflow.wait_condition(lambda: self.stage == 3)
        workflow.set_signal_handler("early", None)
        return self.log

    def early(self, word: str) -> None:
        self.log.append(["early", word])

    def other(self, name: str, args: Sequence[RawValue]) -> None:
        self.log.append([name, _words(args)])

    @workflow.signal
    def next(self) -> None:
        self.stage += 1

    @workflow.query
    def at(self) -> list[Any]:
        return [self.stage, len(self.log)]


@workflow.defn(name="DynamicInit")
class Init:
    @workflow.init
    def __init__(self, name: str, number: int = 3) -> None:
        self.log = [f"init {name} {number}", workflow.info().workflow_id]

    @workflow.run
    async def run(self, name: str, number: int = 3) -> list[str]:
        self.log.append("run")
        await workflow.wait_condition(lambda: len(self.log) > 3)
        return self.log

    @workflow.signal
    def note(self, word: str) -> None:
        self.log.append(word)


@workflow.defn(name="DynamicInitFails")
class InitFails:
    @workflow.init
    def __init__(self, name: str) -> None:
        raise ApplicationError(f"not {name}", type="Init")

    @workflow.run
    async def run(self, name: str) -> None: ...


async def case_handlers(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Handlers.run, id="dynamic-handlers", task_queue=task_queue)
    seen = [await handle.query("what", args=["a", "b"])]
    await handle.signal("some", args=["c"])
    await handle.signal("none")
    seen.append(await handle.execute_update("change", args=["d"]))
    seen.append(await outcome(handle.execute_update("refused")))
    await handle.signal(Handlers.finish)
    return [seen, await handle.result(), await history(handle)]


async def case_a_workflow_and_an_activity(client: Client, task_queue: str) -> Any:
    return await client.execute_workflow("DynamicSome", "a", id="dynamic-some", task_queue=task_queue)


async def case_signals_that_wait_for_a_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Buffered.run, id="dynamic-buffered", task_queue=task_queue)
    await handle.query(Buffered.at)
    for name, word in (("early", "a"), ("unknown", "b"), ("early", "c"), ("later", "d")):
        await handle.signal(name, word)
    for wanted in ([1, 4], [2, 6]):
        await handle.signal(Buffered.next)
        await until(lambda wanted=wanted: handle.query(Buffered.at), wanted)
    await handle.signal(Buffered.next)
    return await handle.result()


async def case_init(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Init.run, "a", id="dynamic-init", task_queue=task_queue)
    await handle.signal(Init.note, "b")
    return sorted(await handle.result())


async def case_init_before_signals(client: Client, task_queue: str) -> Any:
    queue = "dynamic-init-late"
    handle = await client.start_workflow(Init.run, args=["a", 4], id=queue, task_queue=queue)
    await handle.signal(Init.note, "b")
    async with worker(client, queue, [Init]):
        return await handle.result()


async def case_an_init_that_fails(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(InitFails.run, "a", id="dynamic-init-fails", task_queue=task_queue)
    return await outcome(handle.result())


WORKFLOWS = [Handlers, Anything, Buffered, Init, InitFails]
ACTIVITIES = [anything]
