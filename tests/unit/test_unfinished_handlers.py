"""Handlers that have not finished when their workflow ends are told of, once for each kind, and not where they may be left."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections import Counter

import pytest

from overwinter import workflow
from overwinter.runtime.client import WorkflowFailureError, WorkflowUpdateStage
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.exceptions import ApplicationError
from tests.unit.gateways import QUEUE, Gateway, until

ABANDON = workflow.HandlerUnfinishedPolicy.ABANDON


@workflow.defn
class Leaves:
    def __init__(self) -> None:
        self.how = ""

    @workflow.run
    async def run(self, again: bool) -> str:
        if again:
            return "the second run"
        await workflow.wait_condition(lambda: bool(self.how))
        if self.how == "fail":
            raise ApplicationError("fails")
        if self.how == "continue":
            workflow.continue_as_new(True)
        return "the end"

    @workflow.signal
    def end(self, how: str) -> None:
        self.how = how

    @workflow.signal
    async def signalled(self) -> None:
        await asyncio.Event().wait()

    @workflow.update
    async def updated(self) -> None:
        await asyncio.Event().wait()

    @workflow.signal(unfinished_policy=ABANDON)
    async def signalled_and_left(self) -> None:
        await asyncio.Event().wait()

    @workflow.update(unfinished_policy=ABANDON)
    async def updated_and_left(self) -> None:
        await asyncio.Event().wait()

    @workflow.query
    def finished(self) -> bool:
        return workflow.all_handlers_finished()


@pytest.mark.parametrize("how", ["return", "fail", "continue"])
@pytest.mark.parametrize("left", [False, True])
async def test_each_kind_is_warned_of_once_however_the_run_ends(
    gateway: Gateway, how: str, left: bool
) -> None:
    suffix = "_and_left" if left else ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with gateway.on([Leaves]) as client:
            handle = await client.start_workflow(Leaves.run, False, id="w", task_queue=QUEUE)
            assert await handle.query(Leaves.finished)
            for _ in range(2):
                await handle.signal(f"signalled{suffix}")
                await handle.start_update(f"updated{suffix}", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
            gc.collect()  # What nobody else knows of is kept all the same.
            assert not await handle.query(Leaves.finished)
            await handle.signal(Leaves.end, how)
            try:
                await handle.result()
            except WorkflowFailureError:
                assert how == "fail"
    found = Counter(warning.category for warning in warned)
    kinds = (workflow.UnfinishedSignalHandlersWarning, workflow.UnfinishedUpdateHandlersWarning)
    assert [found[kind] for kind in kinds] == ([0, 0] if left else [1, 1])


async def test_code_that_leaves_memory_is_not_warned_of(gateway: Gateway) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with gateway.on([Leaves], limits=EngineLimits(cached_executions_max=0)) as client:
            handle = await client.start_workflow(Leaves.run, False, id="w", task_queue=QUEUE)
            await handle.signal(Leaves.signalled)
            assert not await handle.query(Leaves.finished)
            await until(lambda: client.engine.counters.evictions > 0)
    kinds = {warning.category for warning in warned}
    assert workflow.UnfinishedSignalHandlersWarning not in kinds
