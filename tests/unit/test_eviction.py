"""Code that leaves memory is unwound without any effect, whatever it does with that."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from overwinter import activity, workflow
from overwinter.runtime.engine import EngineLimits
from tests.unit.gateways import QUEUE, Gateway, event_names, until

done: list[str] = []


@activity.defn
async def clean_up(name: str) -> None:
    done.append(name)


@workflow.defn
class Clings:
    """Swallows whatever is raised into it, and asks for something in answer."""

    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> str:
        beside = asyncio.create_task(self.holds_on())
        try:
            await workflow.wait_condition(lambda: self.go)
        finally:
            await workflow.execute_activity(
                clean_up, workflow.info().workflow_id, start_to_close_timeout=timedelta(seconds=30)
            )
        beside.cancel()
        return workflow.info().workflow_id

    async def holds_on(self) -> None:
        for _ in range(100):
            try:
                await workflow.sleep(3600)
            except BaseException:  # noqa: S112 - it is what is looked at
                continue

    @workflow.signal
    def finish(self) -> None:
        self.go = True


async def test_code_that_clings_to_its_life_has_no_effect_when_it_leaves_memory(gateway: Gateway) -> None:
    done.clear()
    limits = EngineLimits(cached_executions_max=1)
    async with gateway.on([Clings], [clean_up], limits=limits) as client:
        handles = [await client.start_workflow(Clings.run, id=f"w{n}", task_queue=QUEUE) for n in range(8)]
        await until(lambda: client.engine.counters.evictions >= 7)
        assert done == []
        for handle in handles:
            assert await event_names(client, handle.id) == ["WorkflowStarted", "TimerStarted"]
        for handle in handles:
            await handle.signal(Clings.finish)
        assert [await handle.result() for handle in handles] == [f"w{n}" for n in range(8)]
    assert sorted(done) == [f"w{n}" for n in range(8)]
