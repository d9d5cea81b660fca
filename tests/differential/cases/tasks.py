"""What stock asyncio does in a workflow when it is pushed: failures, cancellations and timeouts of many tasks."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client

from ..observe import beat_until_cancelled, history, outcome

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


@activity.defn(name="tasks_echo")
async def echo(value: Any) -> Any:
    return value


@activity.defn(name="tasks_wait")
async def wait() -> None:
    await beat_until_cancelled()


@workflow.defn(name="TasksProgram")
class Program:
    """Runs one of its methods, each of which returns what it has written down."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    @workflow.run
    async def run(self, which: str) -> Any:
        result = await getattr(self, which)()
        return [self.log, result]

    async def step(self, name: str, seconds: float = 0, fails: bool = False) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError as error:
            self.log.append(f"{name} cancelled {error}")
            raise
        self.log.append(name)
        if fails:
            raise RuntimeError(name)
        return name

    # -- gather

    async def gather_nothing(self) -> Any:
        return [await asyncio.gather(), await asyncio.gather(*[], return_exceptions=True)]

    async def gather_goes_on_after_a_failure(self) -> Any:
        both = asyncio.gather(self.step("slow", 0.05), self.step("bad", 0, fails=True), self.step("quick"))
        seen = await outcome(both)
        self.log.append("caught")
        await asyncio.sleep(0.1)
        return seen

    async def gather_of_two_failures(self) -> Any:
        return await outcome(asyncio.gather(self.step("a", 0, True), self.step("b", 0, True)))

    async def gather_with_a_cancelled_one(self) -> Any:
        one = asyncio.create_task(self.step("one", 5))
        two = asyncio.create_task(self.step("two", 0.01))
        both = asyncio.gather(one, two, return_exceptions=True)
        await asyncio.sleep(0)
        one.cancel("not needed")
        return [type(found).__name__ for found in await both]

    async def gather_that_is_cancelled(self) -> Any:
        both = asyncio.gather(self.step("one", 5), self.step("two", 5), self.step("done"))
        await asyncio.sleep(0.01)
        both.cancel("all")
        return [await outcome(both), both.cancelled()]

    async def gather_of_gathers(self) -> Any:
        return await asyncio.gather(
            asyncio.gather(self.step("a"), self.step("b", 0.01)),
            self.step("c"),
            asyncio.gather(self.step("d"), self.step("e", 0.005)),
        )

    async def gather_of_the_same_twice(self) -> Any:
        one = asyncio.ensure_future(self.step("one"))
        return await asyncio.gather(one, one, self.step("two"), one)

    # -- wait, as_completed

    async def wait_until_a_failure_or_a_cancellation(self) -> Any:
        one = asyncio.create_task(self.step("one", 5))
        two = asyncio.create_task(self.step("two", 0.01))
        await asyncio.sleep(0)
        one.cancel()
        done, pending = await workflow.wait([two, one], return_when=asyncio.FIRST_EXCEPTION)
        return [[task.cancelled() for task in done], len(pending)]

    async def wait_for_what_is_done(self) -> Any:
        tasks = [asyncio.create_task(self.step(name)) for name in "abc"]
        await asyncio.gather(*tasks)
        done, pending = await workflow.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return [[task.result() for task in done], len(pending)]

    async def wait_for_nothing(self) -> Any:
        return [await outcome(workflow.wait([])), await outcome(asyncio.wait([]))]

    async def wait_for_coroutines(self) -> Any:
        coroutine = self.step("never")
        try:
            return await outcome(workflow.wait([coroutine]))  # type: ignore[type-var]
        finally:
            coroutine.close()

    async def wait_no_time(self) -> Any:
        task = asyncio.create_task(self.step("late", 0.05))
        done, pending = await workflow.wait([task], timeout=0)
        self.log.append([len(done), len(pending)])
        return await task

    async def as_completed_in_time(self) -> Any:
        tasks = [asyncio.create_task(self.step(name, seconds)) for name, seconds in (("a", 9), ("b", 0.01))]
        found = [await outcome(each) for each in workflow.as_completed(tasks, timeout=3)]
        for task in tasks:
            task.cancel()
        return found

    # -- timeouts

    async def wait_for_no_time(self) -> Any:
        found = [await outcome(asyncio.wait_for(self.step("zero", 0.01), 0))]
        found.append(await outcome(asyncio.wait_for(self.step("less", 0.01), -1)))
        found.append(await outcome(asyncio.wait_for(self.step("ever", 0.01), None)))
        done = asyncio.create_task(self.step("done"))
        await done
        found.append(await outcome(asyncio.wait_for(done, 0)))
        return found

    async def wait_for_one_that_goes_on(self) -> Any:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                self.log.append("asked")
                await asyncio.sleep(0.01)
            return "all the same"

        return await outcome(asyncio.wait_for(stubborn(), 0.05))

    async def wait_for_one_that_fails_when_cancelled(self) -> Any:
        async def angry() -> None:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                raise RuntimeError("angry") from None

        return await outcome(asyncio.wait_for(angry(), 0.05))

    async def nested_timeouts(self) -> Any:
        found: list[Any] = []
        try:
            async with asyncio.timeout(3) as outer:
                try:
                    async with asyncio.timeout(0.01) as inner:
                        await asyncio.sleep(5)
                except TimeoutError:
                    found.append(["inner", inner.expired(), outer.expired()])
                await asyncio.sleep(5)
        except TimeoutError:
            found.append(["outer", inner.expired(), outer.expired()])
        return found

    async def an_outer_timeout_is_shorter(self) -> Any:
        found: list[Any] = []
        try:
            async with asyncio.timeout(0.01) as outer:
                async with asyncio.timeout(5) as inner:
                    await asyncio.sleep(9)
        except TimeoutError:
            found.append([inner.expired(), outer.expired()])
        return found

    async def timeouts_of_no_time(self) -> Any:
        async def block(delay: float | None) -> str:
            async with asyncio.timeout(delay):
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await asyncio.sleep(0.01)
            return "through"

        return [await outcome(block(delay)) for delay in (0, -1, None)]

    async def a_timeout_that_is_moved(self) -> Any:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.05) as limit:
            limit.reschedule(loop.time() + 5)
            await asyncio.sleep(0.1)
        begun = limit.when() is not None
        try:
            async with asyncio.timeout_at(loop.time() + 0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            return [begun, limit.expired(), "timed out"]

    async def a_timeout_around_an_activity(self) -> Any:
        async def block() -> Any:
            async with asyncio.timeout(0.1):
                return await workflow.execute_activity(wait, start_to_close_timeout=timedelta(seconds=30))

        return await outcome(block())

    async def a_timeout_around_a_condition(self) -> Any:
        async def block() -> Any:
            async with asyncio.timeout(0.05):
                await workflow.wait_condition(lambda: False, timeout=5)

        return [
            await outcome(block()),
            await outcome(asyncio.wait_for(workflow.wait_condition(lambda: False), 0.05)),
        ]

    # -- groups

    async def a_group_with_two_failures(self) -> Any:
        found: list[str] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.step("a", 0, True))
                group.create_task(self.step("b", 0, True))
                group.create_task(self.step("c", 5))
        except* RuntimeError as errors:
            found += map(str, errors.exceptions)
        return found

    async def a_group_in_a_group(self) -> Any:
        async def inner() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.step("inner", 5))
                group.create_task(self.step("bad", 0.01, True))

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner())
                group.create_task(self.step("outer", 5))
        except ExceptionGroup as error:
            return [type(error.exceptions[0]).__name__, str(error.exceptions[0])]

    async def a_group_whose_body_fails(self) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.step("a", 5))
                await asyncio.sleep(0)
                raise ValueError("body")
        except ExceptionGroup as error:
            return [str(each) for each in error.exceptions]

    async def a_group_with_a_cancelled_task(self) -> Any:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(self.step("one", 5))
            two = group.create_task(self.step("two", 0.01))
            await asyncio.sleep(0)
            one.cancel("only this")
        return [one.cancelled(), two.result()]

    async def a_group_in_a_timeout(self) -> Any:
        try:
            async with asyncio.timeout(2):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.step("a", 9))
                    group.create_task(self.step("b", 0.01))
        except TimeoutError:
            return "timed out"

    async def a_group_that_grows(self) -> Any:
        async def more(group: asyncio.TaskGroup, left: int) -> None:
            self.log.append(left)
            if left:
                group.create_task(more(group, left - 1))
                group.create_task(self.step(f"leaf {left}"))

        async with asyncio.TaskGroup() as group:
            group.create_task(more(group, 3))

    # -- tasks and futures

    async def cancellations_are_counted(self) -> Any:
        async def stubborn() -> list[Any]:
            task = asyncio.current_task()
            assert task is not None
            found: list[Any] = [task.cancelling()]
            for _ in range(2):
                try:
                    await asyncio.sleep(5)
                except asyncio.CancelledError as error:
                    found += [str(error), task.cancelling(), task.uncancel()]
            return found

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        task.cancel("first")
        task.cancel("second")
        await asyncio.sleep(0.01)
        task.cancel("third")
        return await task

    async def a_task_that_was_cancelled_before_it_began(self) -> Any:
        task = asyncio.create_task(self.step("never"))
        return [task.cancel("early"), await outcome(task), task.cancel()]

    async def a_task_that_cancels_itself(self) -> Any:
        async def own() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            self.log.append("still here")
            await asyncio.sleep(0)
            self.log.append("never")

        return await outcome(asyncio.create_task(own()))

    async def shields(self) -> Any:
        inner = asyncio.create_task(self.step("inner", 0.01))
        outer = asyncio.shield(inner)
        await asyncio.sleep(0)
        outer.cancel()
        found = [await outcome(outer), await inner]
        inner = asyncio.create_task(self.step("fails", 0, True))
        found.append(await outcome(asyncio.shield(inner)))
        inner = asyncio.create_task(self.step("gone", 5))
        outer = asyncio.shield(inner)
        await asyncio.sleep(0)
        inner.cancel()
        found.append(await outcome(outer))
        return found

    async def many_wait_for_one(self) -> Any:
        future = asyncio.get_running_loop().create_future()

        async def waiter(name: str) -> None:
            self.log.append([name, await asyncio.shield(future)])

        tasks = [asyncio.create_task(waiter(name)) for name in "abc"]
        future.add_done_callback(lambda _: self.log.append("callback"))
        await asyncio.sleep(0)
        future.set_result(1)
        self.log.append("set")
        await asyncio.gather(*tasks)

    async def steps_interleave(self) -> Any:
        async def walk(name: str, steps: int) -> None:
            for number in range(steps):
                self.log.append(f"{name}{number}")
                await asyncio.sleep(0)

        await asyncio.gather(walk("a", 3), walk("b", 1), walk("c", 2))
        asyncio.get_running_loop().call_soon(self.log.append, "soon")
        task = asyncio.create_task(walk("d", 2))
        self.log.append("before")
        await task

    async def sleeping_less_than_nothing(self) -> Any:
        loop = asyncio.get_running_loop()
        found = [await outcome(asyncio.sleep(-1, "asyncio")), await outcome(workflow.sleep(0))]
        found.append(await outcome(workflow.sleep(-1)))
        for call in (loop.call_later, loop.call_at):
            try:
                call(-1, self.log.append, "never")
            except RuntimeError as error:
                found.append(str(error))
        loop.call_later(0, self.log.append, "no delay")
        await asyncio.sleep(0)
        self.log.append("a step later")
        await asyncio.sleep(1)
        return found

    async def callbacks_at_times(self) -> Any:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(0.05, self.log.append, "0.05")
        loop.call_at(loop.time() + 0.02, self.log.append, "0.02")
        gone = loop.call_later(0.03, self.log.append, "never")
        loop.call_later(0.1, done.set_result, None)
        loop.call_soon(self.log.append, "soon")
        gone.cancel()
        await done
        return [gone.cancelled(), loop.is_running()]

    async def contexts_of_tasks(self) -> Any:
        async def read(name: str) -> str:
            before = COLOUR.get()
            COLOUR.set(name)
            await asyncio.sleep(0)
            return f"{before} {COLOUR.get()}"

        COLOUR.set("red")
        found = await asyncio.gather(read("a"), read("b"))
        context = contextvars.copy_context()
        context.run(COLOUR.set, "blue")
        found.append(await asyncio.create_task(read("c"), context=context))
        return [*found, await read("d"), COLOUR.get(), context[COLOUR]]

    async def a_generator_that_is_left(self) -> Any:
        async def numbers() -> Any:
            try:
                for number in range(5):
                    yield number
                    await asyncio.sleep(0.001)
            finally:
                self.log.append("closed")

        source = numbers()
        async for number in source:
            self.log.append(number)
            if number == 2:
                break
        await source.aclose()
        return [value async for value in numbers()]

    # -- locks and queues

    async def a_lock_whose_waiter_goes(self) -> Any:
        lock = asyncio.Lock()

        async def hold(name: str, seconds: float) -> None:
            try:
                async with lock:
                    self.log.append(f"{name} has it")
                    await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.log.append(f"{name} goes")

        tasks = [asyncio.create_task(hold(name, 0.01)) for name in "abcd"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks)
        return lock.locked()

    async def a_lock_in_time(self) -> Any:
        lock = asyncio.Lock()
        await lock.acquire()
        found = await outcome(asyncio.wait_for(lock.acquire(), 0.05))
        lock.release()
        return [found, await outcome(asyncio.wait_for(lock.acquire(), 5))]

    async def a_bounded_semaphore(self) -> Any:
        places = asyncio.BoundedSemaphore(2)
        most = now = 0

        async def work(name: int) -> None:
            nonlocal most, now
            async with places:
                now += 1
                most = max(most, now)
                self.log.append(name)
                await asyncio.sleep(0.01)
                now -= 1

        await asyncio.gather(*(work(number) for number in range(7)))
        try:
            places.release()
        except ValueError as error:
            return [most, str(error)]

    async def a_queue_that_is_full(self) -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

        async def produce() -> None:
            for number in range(5):
                await queue.put(number)
                self.log.append(f"put {number}")

        async def consume(name: str) -> None:
            while True:
                self.log.append(f"{name} got {await queue.get()}")
                await asyncio.sleep(0)
                queue.task_done()

        readers = [asyncio.create_task(consume(name)) for name in "xy"]
        await produce()
        await queue.join()
        for reader in readers:
            reader.cancel()
        return [type(each).__name__ for each in await asyncio.gather(*readers, return_exceptions=True)]

    async def queues_of_other_orders(self) -> Any:
        most: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
        last: asyncio.LifoQueue[int] = asyncio.LifoQueue()
        for number in (3, 1, 2):
            most.put_nowait((number, "x"))
            last.put_nowait(number)
        found: list[Any] = [(await most.get())[0] for _ in range(3)] + [await last.get() for _ in range(3)]
        return [*found, await outcome(asyncio.wait_for(last.get(), 0.02))]

    async def an_event_that_is_set_for_a_moment(self) -> Any:
        event = asyncio.Event()

        async def waiter(name: str) -> None:
            await event.wait()
            self.log.append([name, event.is_set()])

        tasks = [asyncio.create_task(waiter(name)) for name in "ab"]
        await asyncio.sleep(0)
        event.set()
        event.clear()
        await asyncio.gather(*tasks)

    async def a_condition_of_asyncio(self) -> Any:
        condition = asyncio.Condition()
        ready: list[str] = []

        async def waiter(name: str) -> None:
            async with condition:
                await condition.wait_for(lambda: name in ready)
                self.log.append(name)

        tasks = [asyncio.create_task(waiter(name)) for name in "abc"]
        await asyncio.sleep(0)
        for name in "cab":
            async with condition:
                ready.append(name)
                condition.notify_all()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    async def a_barrier(self) -> Any:
        barrier = asyncio.Barrier(3)

        async def arrive(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            place = await barrier.wait()
            self.log.append([name, place])

        await asyncio.gather(arrive("a", 0.03), arrive("b", 0.01), arrive("c", 0.02))

    # -- many

    async def very_many(self) -> Any:
        timers = [asyncio.create_task(asyncio.sleep(0.05, number)) for number in range(150)]
        work = [
            workflow.execute_activity(echo, number, start_to_close_timeout=timedelta(seconds=30))
            for number in range(100)
        ]
        first = await asyncio.gather(*work)
        return [first == list(range(100)), sum(await asyncio.gather(*timers))]

    async def timers_of_the_same_length(self) -> Any:
        await asyncio.gather(*(self.step(str(number), 0.05) for number in range(8)))


async def _run(client: Client, task_queue: str, which: str) -> Any:
    handle = await client.start_workflow(Program.run, which, id=f"tasks-{which}", task_queue=task_queue)
    return [await outcome(handle.result()), await history(handle)]


async def case_gather_nothing(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_nothing")


async def case_gather_goes_on_after_a_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_goes_on_after_a_failure")


async def case_gather_of_two_failures(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_of_two_failures")


async def case_gather_with_a_cancelled_one(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_with_a_cancelled_one")


async def case_gather_that_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_that_is_cancelled")


async def case_gather_of_gathers(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_of_gathers")


async def case_gather_of_the_same_twice(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "gather_of_the_same_twice")


async def case_wait_until_a_failure_or_a_cancellation(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_until_a_failure_or_a_cancellation")


async def case_wait_for_what_is_done(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for_what_is_done")


async def case_wait_for_nothing(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for_nothing")


async def case_wait_for_coroutines(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for_coroutines")


async def case_wait_no_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_no_time")


async def case_as_completed_in_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "as_completed_in_time")


async def case_wait_for_no_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for_no_time")


async def case_wait_for_one_that_goes_on(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for_one_that_goes_on")


async def case_wait_for_one_that_fails_when_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "wait_for_one_that_fails_when_cancelled")


async def case_nested_timeouts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "nested_timeouts")


async def case_an_outer_timeout_is_shorter(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_outer_timeout_is_shorter")


async def case_timeouts_of_no_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "timeouts_of_no_time")


async def case_a_timeout_that_is_moved(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_timeout_that_is_moved")


async def case_a_timeout_around_an_activity(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "a_timeout_around_an_activity"))[0]


async def case_a_timeout_around_a_condition(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_timeout_around_a_condition")


async def case_a_group_with_two_failures(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_with_two_failures")


async def case_a_group_in_a_group(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_in_a_group")


async def case_a_group_whose_body_fails(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_whose_body_fails")


async def case_a_group_with_a_cancelled_task(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_with_a_cancelled_task")


async def case_a_group_in_a_timeout(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_in_a_timeout")


async def case_a_group_that_grows(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_group_that_grows")


async def case_cancellations_are_counted(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "cancellations_are_counted")


async def case_a_task_that_was_cancelled_before_it_began(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_task_that_was_cancelled_before_it_began")


async def case_a_task_that_cancels_itself(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_task_that_cancels_itself")


async def case_shields(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "shields")


async def case_many_wait_for_one(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "many_wait_for_one")


async def case_steps_interleave(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "steps_interleave")


async def case_sleeping_less_than_nothing(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "sleeping_less_than_nothing")


async def case_callbacks_at_times(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "callbacks_at_times")


async def case_contexts_of_tasks(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "contexts_of_tasks")


async def case_a_generator_that_is_left(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_generator_that_is_left")


async def case_a_lock_whose_waiter_goes(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_lock_whose_waiter_goes")


async def case_a_lock_in_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_lock_in_time")


async def case_a_bounded_semaphore(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "a_bounded_semaphore"))[0]


async def case_a_queue_that_is_full(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_queue_that_is_full")


async def case_queues_of_other_orders(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "queues_of_other_orders")


async def case_an_event_that_is_set_for_a_moment(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_event_that_is_set_for_a_moment")


async def case_a_condition_of_asyncio(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_condition_of_asyncio")


async def case_a_barrier(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_barrier")


async def case_very_many(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "very_many"))[0]


async def case_timers_of_the_same_length(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "timers_of_the_same_length")


WORKFLOWS = [Program]
ACTIVITIES = [echo, wait]
