"""Executions that begin with one version of their code and go on with another."""

from __future__ import annotations

from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client

from ..observe import SHORT, history, outcome, until, worker


@activity.defn(name="changing_water")
async def water(how: str) -> str:
    return how


async def do(how: str) -> str:
    return await workflow.execute_activity(water, how, start_to_close_timeout=SHORT)


class Gate:
    """What all versions have: signals that let them go on."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.opened = 0

    async def passed(self, count: int) -> None:
        await workflow.wait_condition(lambda: self.opened >= count)

    @workflow.query
    def seen(self) -> list[Any]:
        return self.log


@workflow.defn(name="ChangingBeds")
class Old(Gate):
    @workflow.run
    async def run(self) -> list[Any]:
        self.log.append(await do("by hand"))
        for turn in range(1, 3):
            await self.passed(turn)
            self.log.append(await do(f"turn {turn}"))
        return self.log

    @workflow.signal
    def open(self) -> None:
        self.opened += 1


@workflow.defn(name="ChangingBeds")
class Patched(Gate):
    @workflow.run
    async def run(self) -> list[Any]:
        if workflow.patched("drip"):
            self.log.append(await do("by drip"))
        else:
            self.log.append(await do("by hand"))
        for turn in range(1, 3):
            await self.passed(turn)
            # Asked again in each turn: it is answered once and for all.
            self.log.append([workflow.patched("drip"), workflow.patched("later")])
            self.log.append(await do(f"turn {turn}"))
        return self.log

    @workflow.signal
    def open(self) -> None:
        self.log.append(["signal", workflow.patched("in a handler")])
        self.opened += 1


@workflow.defn(name="ChangingBeds")
class Deprecated(Gate):
    @workflow.run
    async def run(self) -> list[Any]:
        workflow.deprecate_patch("drip")
        self.log.append(await do("by drip"))
        for turn in range(1, 3):
            await self.passed(turn)
            self.log.append(await do(f"turn {turn}"))
        return self.log

    @workflow.signal
    def open(self) -> None:
        self.opened += 1


@workflow.defn(name="ChangingBeds")
class Complete(Gate):
    @workflow.run
    async def run(self) -> list[Any]:
        self.log.append(await do("by drip"))
        for turn in range(1, 3):
            await self.passed(turn)
            self.log.append(await do(f"turn {turn}"))
        return self.log

    @workflow.signal
    def open(self) -> None:
        self.opened += 1


async def _versions(client: Client, name: str, *versions: type) -> Any:
    """The first version begins, each other one takes a turn of the gate; the last one ends it."""
    queue = f"changing-{name}"
    handle = await client.start_workflow("ChangingBeds", id=queue, task_queue=queue)
    steps = len(versions) - 1
    async with worker(client, queue, [versions[0]], [water]):
        await until(lambda: _began(handle))
    for number, version in enumerate(versions[1:], 1):
        async with worker(client, queue, [version], [water]):
            for _ in range(1 if number < steps else 3 - number):
                await handle.signal("open")
            if number < steps:
                await until(lambda number=number: _took(handle, f"turn {number}"))
            else:
                return [await outcome(handle.result()), await history(handle)]


async def _began(handle: Any) -> bool:
    return bool(await handle.query("seen"))


async def _took(handle: Any, turn: str) -> bool:
    return turn in await handle.query("seen")


async def case_unchanged(client: Client, task_queue: str) -> Any:
    return await _versions(client, "unchanged", Old, Old, Old)


async def case_patched_on_the_way(client: Client, task_queue: str) -> Any:
    return (await _versions(client, "patched", Old, Patched, Patched))[0]


async def case_patched_between_its_turns(client: Client, task_queue: str) -> Any:
    return (await _versions(client, "between", Old, Old, Patched))[0]


async def case_patched_from_the_start(client: Client, task_queue: str) -> Any:
    return (await _versions(client, "start", Patched, Patched, Patched))[0]


async def case_deprecated_after_it_was_patched(client: Client, task_queue: str) -> Any:
    return (await _versions(client, "deprecated", Patched, Deprecated, Deprecated))[0]


async def case_complete_after_it_was_deprecated(client: Client, task_queue: str) -> Any:
    return (await _versions(client, "complete", Deprecated, Complete, Complete))[0]


WORKFLOWS = [Complete]
ACTIVITIES = [water]
