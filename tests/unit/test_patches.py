"""Who decides whether code that is new to an execution takes the new side of a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.client import Client
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.worker import PatchActivationInput, Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on, event_names, until


@workflow.defn
class Changed:
    """Asks at once, and again after a signal."""

    def __init__(self) -> None:
        self.go_on = False

    @workflow.run
    async def run(self, deprecated: bool) -> list[bool]:
        if deprecated:
            workflow.deprecate_patch("first")
        found = [workflow.patched("first"), workflow.patched("first")]
        await workflow.wait_condition(lambda: self.go_on)
        return [*found, workflow.patched("first"), workflow.patched("second")]

    @workflow.signal
    def go(self) -> None:
        self.go_on = True


Decider = Callable[[PatchActivationInput], Any]


@asynccontextmanager
async def deciding(gateway: Gateway, decide: Decider | None) -> AsyncIterator[Client]:
    async with engine_on(gateway.journal, gateway.clock, EngineLimits(cached_executions_max=0)) as client:
        async with Worker(client, task_queue=QUEUE, workflows=[Changed], patch_activation_callback=decide):
            yield client


async def start(client: Client, *, deprecated: bool = False) -> Any:
    handle = await client.start_workflow(Changed.run, deprecated, id="changed", task_queue=QUEUE)
    await until(lambda: _has_begun(client), what="its first activation")
    return handle


async def _has_begun(client: Client) -> bool:
    events = (await client.get_workflow_handle("changed").fetch_history()).records
    live = client.engine.cache.open_run("changed")
    return events[-1].activation > 0 or (live is not None and live.blocked is not None)


@pytest.mark.parametrize("answer", [True, False])
async def test_the_callback_decides_once_for_each_change_also_when_the_code_is_rebuilt(
    gateway: Gateway, answer: bool
) -> None:
    asked: list[tuple[str, str]] = []

    def decide(call: PatchActivationInput) -> bool:
        asked.append((call.workflow_info.workflow_id, call.patch_id))
        time.time()  # It is no workflow code.
        return answer

    async with deciding(gateway, decide) as client:
        handle = await start(client)
        await until(lambda: client.engine.cache.open_run("changed") is None, what="it has left memory")
        await handle.signal(Changed.go)
        assert await handle.result() == [answer] * 4
        assert asked == [("changed", "first"), ("changed", "second")]
        assert (await event_names(client, "changed")).count("PatchRecorded") == 2 * answer


@pytest.mark.parametrize("before", [True, False])
async def test_what_was_decided_holds_on_a_worker_that_would_decide_otherwise(
    gateway: Gateway, before: bool
) -> None:
    async with deciding(gateway, lambda _call: before) as client:
        await start(client)
    async with deciding(gateway, lambda _call: not before) as client:
        handle = client.get_workflow_handle("changed")
        await handle.signal(Changed.go)
        assert await handle.result() == [before, before, before, not before]


async def test_a_deprecated_patch_asks_nobody(gateway: Gateway) -> None:
    asked: list[str] = []

    def decide(call: PatchActivationInput) -> bool:
        asked.append(call.patch_id)
        return False

    async with deciding(gateway, decide) as client:
        handle = await start(client, deprecated=True)
        await handle.signal(Changed.go)
        assert await handle.result() == [True, True, True, False]
        assert asked == ["second"]


def _command(_call: PatchActivationInput) -> bool:
    workflow.upsert_memo({"a": 1})
    return True


def _task(_call: PatchActivationInput) -> bool:
    asyncio.get_running_loop().call_soon(lambda: None)
    return True


def _wait(_call: PatchActivationInput) -> bool:
    waiting = workflow.wait_condition(lambda: True)
    try:
        waiting.send(None)
    finally:
        waiting.close()
    return True


def _seed(_call: PatchActivationInput) -> bool:
    workflow.register_random_seed_callback(lambda _seed: None)
    return True


@pytest.mark.parametrize(
    ("decide", "cause"),
    [
        (lambda _call: "yes", "TypeError: Patch activation callback must return true or false"),
        (_command, "action attempted: add command"),
        (_task, "action attempted: schedule task"),
        (_wait, "action attempted: wait condition"),
        (lambda _call: bool(workflow.random()), "action attempted: random"),
        (_seed, "action attempted: register random seed callback"),
        (lambda _call: bool(workflow.new_random()), "action attempted: register random seed callback"),
    ],
)
async def test_a_callback_that_does_more_than_answer_blocks_the_workflow(
    gateway: Gateway, decide: Decider, cause: str
) -> None:
    async with deciding(gateway, decide) as client:
        handle = await start(client)
        blocked = (await handle.describe()).blocked
        assert blocked is not None
        assert cause in blocked.cause
