"""What comes first: signals, the start, timers, activities."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client

from ..observe import SHORT, history, until, worker


@activity.defn(name="ordering_echo")
async def echo(value: str) -> str:
    return value


@workflow.defn(name="OrderingLog")
class Log:
    """Writes down what runs, in its order."""

    def __init__(self) -> None:
        self.log = ["init"]
        self.signals = 0

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        self.log.append("run")
        await workflow.wait_condition(lambda: self.signals >= wanted)
        self.log.append("end")
        return self.log

    @workflow.signal
    async def note(self, name: str) -> None:
        self.log.append(f"note {name}")
        self.signals += 1

    @workflow.signal
    def plain(self, name: str) -> None:
        self.log.append(f"plain {name}")
        self.signals += 1

    @workflow.signal
    async def slow(self, name: str) -> None:
        self.log.append(f"slow {name} begins")
        await workflow.execute_activity(echo, name, start_to_close_timeout=SHORT)
        self.log.append(f"slow {name} ends")
        self.signals += 1

    @workflow.signal
    async def yielding(self, name: str) -> None:
        for step in range(3):
            self.log.append(f"yielding {name} {step}")
            await asyncio.sleep(0)
        self.signals += 1

    @workflow.query
    def seen(self) -> list[str]:
        return self.log


@workflow.defn(name="OrderingTimers")
class Timers:
    def __init__(self) -> None:
        self.log: list[str] = []

    @workflow.run
    async def run(self, seconds: list[float]) -> list[str]:
        await asyncio.gather(*(self.sleep(index, value) for index, value in enumerate(seconds)))
        return self.log

    async def sleep(self, index: int, seconds: float) -> None:
        await workflow.sleep(seconds)
        self.log.append(f"{index} slept {seconds}")


@workflow.defn(name="OrderingSleeps")
class Sleeps:
    @workflow.run
    async def run(self) -> list[str]:
        log = []
        await asyncio.sleep(0)
        log.append("asyncio 0")
        await workflow.sleep(0)
        log.append("workflow 0")
        await asyncio.sleep(0.01)
        log.append("asyncio 0.01")
        await workflow.sleep(timedelta(milliseconds=10))
        log.append("workflow 10 ms")
        log.append(await asyncio.sleep(0.01, "value"))
        return log


@workflow.defn(name="OrderingMixed")
class Mixed:
    """Activities and timers that were begun in one step."""

    @workflow.run
    async def run(self) -> list[str]:
        log: list[str] = []

        async def work(name: str) -> None:
            log.append(f"{name} begins")
            await workflow.execute_activity(echo, name, start_to_close_timeout=SHORT)
            log.append(f"{name} ends")

        first = asyncio.create_task(work("first"))
        log.append("created")
        await first
        timer = asyncio.create_task(workflow.sleep(0.01))
        log.append("timer created")
        await timer
        await work("second")
        return log


async def _late(client: Client, queue: str, id: str, wanted: int, signals: list[tuple[str, str]]) -> Any:
    """Everything is sent before anyone serves the queue."""
    handle = await client.start_workflow(Log.run, wanted, id=id, task_queue=queue)
    for name, value in signals:
        await handle.signal(name, value)
    async with worker(client, queue, [Log], [echo]):
        return [await handle.result(), await history(handle)]


async def case_signals_before_the_first_task(client: Client, task_queue: str) -> Any:
    signals = [("note", "a"), ("plain", "b"), ("note", "c")]
    return await _late(client, "ordering-late-1", "ordering-late-1", 3, signals)


async def case_signal_handlers_that_wait_before_the_first_task(client: Client, task_queue: str) -> Any:
    signals = [("yielding", "a"), ("note", "b"), ("yielding", "c"), ("plain", "d")]
    return await _late(client, "ordering-late-2", "ordering-late-2", 4, signals)


async def case_a_signal_more_than_is_needed_before_the_first_task(client: Client, task_queue: str) -> Any:
    return await _late(client, "ordering-late-3", "ordering-late-3", 1, [("note", "a"), ("note", "b")])


async def case_the_start_alone_then_signals(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Log.run, 2, id="ordering-start", task_queue=task_queue)
    before = await handle.query(Log.seen)
    await handle.signal(Log.note, "a")
    await until(lambda: handle.query(Log.seen), ["init", "run", "note a"])
    await handle.signal(Log.plain, "b")
    return [before, await handle.result(), await history(handle)]


async def case_a_signal_with_the_start(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Log.run, 1, id="ordering-with", task_queue=task_queue, start_signal="note", start_signal_args=["with"]
    )
    return [await handle.result(), await history(handle)]


async def case_a_signal_with_an_activity_in_its_handler(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Log.run, 1, id="ordering-slow", task_queue=task_queue)
    await handle.query(Log.seen)
    await handle.signal(Log.slow, "a")
    return [await handle.result(), await history(handle)]


async def case_timers_of_different_length(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        Timers.run, [3.6, 0.2, 1.9], id="ordering-timers", task_queue=task_queue
    )
    return [await handle.result(), await history(handle)]


async def case_sleeping_nothing_and_a_little(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Sleeps.run, id="ordering-sleeps", task_queue=task_queue)
    return [await handle.result(), await history(handle)]


async def case_steps_of_tasks(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Mixed.run, id="ordering-mixed", task_queue=task_queue)
    return [await handle.result(), await history(handle)]


WORKFLOWS = [Log, Timers, Sleeps, Mixed]
ACTIVITIES = [echo]
