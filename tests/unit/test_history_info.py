"""What a workflow hears of its own history is the same when it is run again from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import WorkflowUpdateFailedError
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on

noted: list[list[int]] = []


@activity.defn
async def note(length: int, size: int) -> None:
    noted.append([length, size])


@workflow.defn
class Measure:
    def __init__(self) -> None:
        self.measures: list[list[int]] = []
        self.updates = 0

    @workflow.run
    async def run(self) -> list[list[int]]:
        await self.measure()
        await workflow.wait_condition(lambda: self.updates == 1)
        await self.measure()
        return self.measures

    async def measure(self) -> None:
        info = workflow.info()
        now = [info.get_current_history_length(), info.get_current_history_size()]
        self.measures.append(now)
        await workflow.execute_activity(note, args=now, start_to_close_timeout=timedelta(seconds=9))

    @workflow.update
    async def add(self, count: int) -> None:
        await self.measure()
        self.updates += count

    @add.validator
    def check(self, count: int) -> None:
        if count < 1:
            raise ApplicationError("too few")

    @workflow.query
    def size(self) -> int:
        return workflow.info().get_current_history_size()


@pytest.mark.parametrize("cached", [0, 100])
async def test_length_and_size_of_a_history_are_the_same_in_replay(gateway: Gateway, cached: int) -> None:
    noted.clear()
    limits = EngineLimits(cached_executions_max=cached)
    async with engine_on(gateway.journal, gateway.clock, limits) as client:
        handle = await client.start_workflow(Measure.run, id="w", task_queue=QUEUE)
        async with Worker(client, task_queue=QUEUE, workflows=[Measure], activities=[note]):
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update(Measure.add, 0)
            assert await handle.query(Measure.size) > 0
            await handle.execute_update(Measure.add, 1)
            assert await handle.result() == sorted(noted)
    sizes = [size for _, size in sorted(noted)]
    assert len(noted) == 3
    assert 0 < sizes[0] < sizes[1] < sizes[2], "the first activation knows of the start that it was given"
