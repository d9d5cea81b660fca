"""`patched` and `deprecate_patch` in executions that are new."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.client import Client

from ..observe import history


@workflow.defn(name="PatchesWorkflow")
class Patches:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.go = False

    @workflow.run
    async def run(self, how: str) -> Any:
        if how == "deprecated":
            workflow.deprecate_patch("one")
            await workflow.sleep(0.01)
            return "new code only"
        self.log.append(workflow.patched("one"))
        self.log.append(workflow.patched("one"))
        await workflow.sleep(0.01)
        self.log.append([workflow.patched("one"), workflow.patched("two")])
        if how == "gate":
            await workflow.wait_condition(lambda: self.go)
        return self.log

    @workflow.signal
    def open(self) -> None:
        self.log.append(["signal", workflow.patched("in a signal")])
        self.go = True


async def case_new_executions_have_every_patch(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Patches.run, "plain", id="patches-plain", task_queue=task_queue)
    return [await handle.result(), (await history(handle)).count("PatchRecorded")]


async def case_in_a_signal_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Patches.run, "gate", id="patches-gate", task_queue=task_queue)
    await handle.signal(Patches.open)
    log = await handle.result()
    return [log.count(True), ["signal", True] in log, (await history(handle)).count("PatchRecorded")]


async def case_deprecated(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Patches.run, "deprecated", id="patches-deprecated", task_queue=task_queue
    )
    return [await handle.result(), (await history(handle)).count("PatchRecorded")]


WORKFLOWS = [Patches]
ACTIVITIES: list[Any] = []
