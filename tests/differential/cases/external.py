"""Handles of workflows that are not children."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.client import Client

from ..observe import history, outcome, until_status


@workflow.defn(name="ExternalTarget")
class Target:
    def __init__(self) -> None:
        self.said: list[Any] = []

    @workflow.run
    async def run(self, wanted: int) -> list[Any]:
        await workflow.wait_condition(lambda: len(self.said) >= wanted)
        return self.said

    @workflow.signal
    def say(self, *words: str) -> None:
        self.said.append(list(words))

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="ExternalCaller")
class Caller:
    @workflow.run
    async def run(self, how: str, target: str) -> Any:
        return await getattr(self, how)(target)

    async def signals(self, target: str) -> Any:
        handle = workflow.get_external_workflow_handle_for(Target.run, target)
        await handle.signal(Target.say, "one")
        await handle.signal("say", args=["two", "three"])
        return [handle.id, handle.run_id]

    async def signals_together(self, target: str) -> None:
        handle = workflow.get_external_workflow_handle(target)
        await asyncio.gather(*(handle.signal("say", word) for word in ("one", "two", "three")))

    async def cancels(self, target: str) -> Any:
        return await outcome(workflow.get_external_workflow_handle(target).cancel())

    async def signals_nobody(self, target: str) -> Any:
        return await outcome(workflow.get_external_workflow_handle(target).signal("say", "hello"))

    async def lets_it_fail(self, target: str) -> None:
        await workflow.get_external_workflow_handle(target).signal("say", "hello")

    async def signals_cancelled(self, target: str) -> Any:
        task = asyncio.create_task(workflow.get_external_workflow_handle(target).signal("say", "hello"))
        await asyncio.sleep(0)
        task.cancel()
        return await outcome(task)


async def _call(client: Client, task_queue: str, how: str, target: str) -> Any:
    handle = await client.start_workflow(
        Caller.run, args=[how, target], id=f"external-{how}-{target}", task_queue=task_queue
    )
    return [await outcome(handle.result()), await history(handle)]


async def _target(client: Client, task_queue: str, name: str, wanted: int) -> Any:
    handle = await client.start_workflow(Target.run, wanted, id=name, task_queue=task_queue)
    await handle.query(Target.ready)
    return handle


async def case_signals(client: Client, task_queue: str) -> Any:
    target = await _target(client, task_queue, "external-signals", 2)
    seen = await _call(client, task_queue, "signals", target.id)
    return [seen, await target.result(), await history(target)]


async def case_signals_in_one_step(client: Client, task_queue: str) -> Any:
    target = await _target(client, task_queue, "external-together", 3)
    await _call(client, task_queue, "signals_together", target.id)
    return [sorted(await target.result()), await history(target)]


async def case_a_signal_to_nobody(client: Client, task_queue: str) -> Any:
    return await _call(client, task_queue, "signals_nobody", "external-nobody")


async def case_a_failure_that_is_let_go(client: Client, task_queue: str) -> Any:
    return await _call(client, task_queue, "lets_it_fail", "external-nobody")


async def case_a_signal_to_one_that_ended(client: Client, task_queue: str) -> Any:
    target = await _target(client, task_queue, "external-over", 0)
    await target.result()
    return await _call(client, task_queue, "signals_nobody", target.id)


async def case_a_signal_that_is_cancelled_in_its_step(client: Client, task_queue: str) -> Any:
    return await _call(client, task_queue, "signals_cancelled", "external-nobody")


async def case_a_cancellation(client: Client, task_queue: str) -> Any:
    target = await _target(client, task_queue, "external-cancel", 1)
    seen = await _call(client, task_queue, "cancels", target.id)
    await until_status(target, "CANCELED")
    return [seen, await outcome(target.result()), await history(target)]


async def case_a_cancellation_of_nobody(client: Client, task_queue: str) -> Any:
    return await _call(client, task_queue, "cancels", "external-nobody")


WORKFLOWS = [Target, Caller]
ACTIVITIES: list[Any] = []
