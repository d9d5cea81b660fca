"""gather, TaskGroup, wait and as_completed; locks, semaphores, queues and events."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome


@activity.defn(name="gathering_echo")
async def echo(value: str) -> str:
    return value


@activity.defn(name="gathering_fail")
async def fail(value: str) -> str:
    raise ApplicationError(value, type="Fail", non_retryable=True)


async def _after(seconds: float, value: str) -> str:
    await workflow.sleep(seconds)
    return value


async def _broken(seconds: float, value: str) -> str:
    await workflow.sleep(seconds)
    raise ApplicationError(value, type="Broken")


@workflow.defn(name="GatheringWorkflow")
class Gathering:
    def __init__(self) -> None:
        self.log: list[Any] = []

    @workflow.run
    async def run(self, how: str) -> Any:
        return await getattr(self, how)()

    async def results(self) -> Any:
        return await asyncio.gather(_after(0.9, "a"), _after(0.1, "b"), _after(0.5, "c"))

    async def a_failure(self) -> Any:
        slow = asyncio.create_task(_after(3, "slow"))
        found = await outcome(asyncio.gather(slow, _broken(0.1, "b")))
        return [found, slow.done(), await slow]

    async def failures_as_results(self) -> Any:
        found = await asyncio.gather(_broken(0.1, "a"), _after(0.2, "b"), return_exceptions=True)
        return [str(value) for value in found]

    async def activities(self) -> Any:
        begun = [
            workflow.start_activity(name, value, start_to_close_timeout=SHORT)
            for name, value in (("gathering_echo", "a"), ("gathering_fail", "b"), ("gathering_echo", "c"))
        ]
        found = await asyncio.gather(*begun, return_exceptions=True)
        return [type(value).__name__ if isinstance(value, Exception) else value for value in found]

    async def group(self) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_after(0.5, "a")), group.create_task(_after(0.1, "b"))]
        return [task.result() for task in tasks]

    async def group_with_a_failure(self) -> Any:
        async def guarded() -> None:
            try:
                await workflow.sleep(30)
            except asyncio.CancelledError:
                self.log.append("sibling cancelled")
                raise

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(guarded())
                group.create_task(_broken(0.1, "b"))
        except* ApplicationError as errors:
            self.log.append([str(error) for error in errors.exceptions])
        return self.log

    async def in_order_of_completion(self) -> Any:
        tasks = [asyncio.create_task(_after(s, v)) for s, v in ((3.5, "a"), (0.1, "b"), (1.8, "c"))]
        return [await task for task in workflow.as_completed(tasks)]

    async def until_the_first(self) -> Any:
        tasks = [asyncio.create_task(_after(s, v)) for s, v in ((30, "a"), (0.1, "b"), (30, "c"))]
        done, pending = await workflow.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [[task.result() for task in done], len(pending)]

    async def until_a_failure(self) -> Any:
        tasks = [asyncio.create_task(_after(30, "a")), asyncio.create_task(_broken(0.1, "b"))]
        done, pending = await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        return [[str(task.exception()) for task in done], len(pending)]

    async def a_while(self) -> Any:
        tasks = [asyncio.create_task(_after(30, "a")), asyncio.create_task(_after(0.1, "b"))]
        done, pending = await workflow.wait(tasks, timeout=2)
        return [[task.result() for task in done], len(pending)]

    async def wait_for(self) -> Any:
        return [
            await outcome(asyncio.wait_for(_after(0.1, "a"), 30)),
            (await outcome(asyncio.wait_for(_after(30, "b"), 0.1)))[1],
        ]

    async def timeout_block(self) -> Any:
        try:
            async with asyncio.timeout(0.1):
                await workflow.sleep(30)
        except TimeoutError:
            return "over"
        return "not over"

    async def lock(self) -> Any:
        lock = asyncio.Lock()

        async def work(name: str) -> None:
            async with lock:
                self.log.append(f"{name} begins")
                await workflow.sleep(0.05)
                self.log.append(f"{name} ends")

        await asyncio.gather(*(work(name) for name in "abc"))
        return self.log

    async def semaphore(self) -> Any:
        semaphore = asyncio.Semaphore(2)

        gates = {name: asyncio.Event() for name in "abcd"}

        async def work(name: str) -> None:
            async with semaphore:
                self.log.append(f"{name} begins")
                await gates[name].wait()
                self.log.append(f"{name} ends")

        tasks = [asyncio.create_task(work(name)) for name in gates]
        for name in "bcad":
            await workflow.sleep(0.01)
            gates[name].set()
        await asyncio.gather(*tasks)
        return self.log

    async def queue(self) -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def put() -> None:
            for number in range(4):
                await queue.put(number)
                self.log.append(f"put {number}")

        async def get(name: str) -> None:
            for _ in range(2):
                self.log.append(f"{name} got {await queue.get()}")
                queue.task_done()

        await asyncio.gather(put(), get("a"), get("b"))
        await queue.join()
        return self.log

    async def event(self) -> Any:
        event = asyncio.Event()

        async def wait(name: str) -> None:
            await event.wait()
            self.log.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(0)
        self.log.append("set")
        event.set()
        self.log.append("was set")
        await asyncio.gather(*tasks)
        return self.log

    async def condition(self) -> Any:
        condition = asyncio.Condition()

        async def wait(name: str) -> None:
            async with condition:
                await condition.wait()
                self.log.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(0)
        async with condition:
            condition.notify(1)
        await workflow.sleep(0.01)
        self.log.append("all")
        async with condition:
            condition.notify_all()
        await asyncio.gather(*tasks)
        return self.log

    async def callbacks(self) -> Any:
        loop = asyncio.get_running_loop()
        loop.call_soon(self.log.append, "soon")
        loop.call_later(2, self.log.append, "later")
        task = asyncio.create_task(_after(0.01, "task"))
        task.add_done_callback(lambda done: self.log.append(["done", done.result()]))
        await task
        await workflow.sleep(3)
        return self.log


async def _run(client: Client, task_queue: str, how: str) -> Any:
    handle = await client.start_workflow(Gathering.run, how, id=f"gathering-{how}", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_results(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "results")


async def case_a_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_failure")


async def case_failures_as_results(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "failures_as_results"))[0]


async def case_activities(client: Client, task_queue: str) -> Any:
    seen, names = await _run(client, task_queue, "activities")
    return [seen, sorted(names)]


async def case_a_group(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "group")


async def case_a_group_with_a_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "group_with_a_failure")


async def case_the_order_of_completion(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "in_order_of_completion")


async def case_until_the_first(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "until_the_first")


async def case_until_a_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "until_a_failure")


async def case_waiting_a_while(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "a_while"))[0]


async def case_wait_for(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for")


async def case_a_block_with_a_timeout(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "timeout_block")


async def case_a_lock(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "lock")


async def case_a_semaphore(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "semaphore")


async def case_a_queue(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "queue")


async def case_an_event(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "event")


async def case_a_condition(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "condition")


async def case_callbacks(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "callbacks")


WORKFLOWS = [Gathering]
ACTIVITIES = [echo, fail]
