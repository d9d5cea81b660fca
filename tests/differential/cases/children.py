"""Child workflows: starting, failing, cancelling, and what becomes of them when the parent ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome, until, until_event, until_status


@activity.defn(name="children_fail")
async def fail() -> None:
    raise ApplicationError("activity broke", 1, type="Broke", non_retryable=True)


@workflow.defn(name="ChildrenChild")
class Child:
    def __init__(self) -> None:
        self.gate = False
        self.said: list[str] = []

    @workflow.run
    async def run(self, how: str) -> Any:
        return await getattr(self, how)()

    async def quick(self) -> str:
        return "quick"

    async def gated(self) -> list[str]:
        await workflow.wait_condition(lambda: self.gate)
        return self.said

    async def about(self) -> list[Any]:
        info = workflow.info()
        parent, root = info.parent, info.root
        return [
            info.workflow_id,
            parent.workflow_id if parent else None,
            root.workflow_id if root else None,
            info.attempt,
        ]

    async def fails(self) -> None:
        raise ApplicationError("child broke", {"a": 1}, type="ChildBroke", non_retryable=True)

    async def fails_with_a_cause(self) -> None:
        try:
            await self.fails()
        except ApplicationError as error:
            raise ApplicationError("outer", type="Outer") from error

    async def fails_in_an_activity(self) -> None:
        await workflow.execute_activity(fail, start_to_close_timeout=SHORT)

    async def fails_in_a_child(self) -> None:
        await workflow.execute_child_workflow(Child.run, "fails", id=workflow.info().workflow_id + "-inner")

    async def fails_once(self) -> int:
        if workflow.info().attempt == 1:
            raise ApplicationError("the first time")
        return workflow.info().attempt

    async def continues(self) -> None:
        workflow.continue_as_new("quick")

    async def stubborn(self) -> str:
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            await workflow.sleep(0.3)
        return "not impressed"

    async def replaces(self) -> None:
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            raise ApplicationError("instead", type="Instead") from None

    @workflow.signal
    def say(self, word: str) -> None:
        self.said.append(word)

    @workflow.signal
    def open(self) -> None:
        self.gate = True

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn(name="ChildrenParent")
class Parent:
    """Makes a child and sees how it ends; the options are those of a child workflow, by name."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @workflow.run
    async def run(self, how: str, child: str, timeout: float | None, attempts: int) -> Any:
        return await getattr(self, how)(
            child,
            {
                "id": workflow.info().workflow_id + "-child",
                "run_timeout": None if timeout is None else timedelta(seconds=timeout),
                "retry_policy": RetryPolicy(
                    initial_interval=timedelta(milliseconds=50), maximum_attempts=attempts
                )
                if attempts
                else None,
            },
        )

    async def execute(self, child: str, options: Any) -> Any:
        return await outcome(workflow.execute_child_workflow(Child.run, child, **options))

    async def start(self, child: str, options: Any) -> Any:
        handle = await workflow.start_child_workflow(Child.run, child, **options)
        self.log.append("started")
        same = handle.id == options["id"] and bool(handle.first_execution_run_id)
        return [same, handle.done(), await outcome(handle)]

    async def by_name(self, child: str, options: Any) -> Any:
        return await outcome(workflow.execute_child_workflow("ChildrenChild", child, **options))

    async def speak(self, child: str, options: Any) -> Any:
        handle = await workflow.start_child_workflow(Child.run, child, **options)
        await handle.signal(Child.say, "hello")
        await handle.signal("say", "again")
        await handle.signal(Child.open)
        return await handle

    async def speak_late(self, child: str, options: Any) -> Any:
        handle = await workflow.start_child_workflow(Child.run, child, **options)
        await handle
        return (await outcome(handle.signal(Child.say, "hello")))[:2]

    async def twins(self, child: str, options: Any) -> Any:
        handle = await workflow.start_child_workflow(Child.run, child, **options)
        second = await outcome(workflow.start_child_workflow(Child.run, child, **options))
        await handle.signal(Child.open)
        return [second, await handle]

    async def used(self, child: str, options: Any) -> Any:
        await workflow.execute_child_workflow(Child.run, child, **options)
        policy = WorkflowIDReusePolicy.REJECT_DUPLICATE
        refused = await outcome(
            workflow.start_child_workflow(Child.run, child, id_reuse_policy=policy, **options)
        )
        return [refused, await workflow.execute_child_workflow(Child.run, child, **options)]

    async def several(self, child: str, options: Any) -> Any:
        prefix = options["id"]
        return await asyncio.gather(
            *(workflow.execute_child_workflow(Child.run, child, id=f"{prefix}-{n}") for n in range(3))
        )

    async def cancel(self, kind: str, child: str, options: Any) -> Any:
        handle = await workflow.start_child_workflow(
            Child.run, child, cancellation_type=workflow.ChildWorkflowCancellationType[kind], **options
        )
        handle.cancel()
        return await outcome(handle)

    async def try_cancel(self, child: str, options: Any) -> Any:
        return await self.cancel("TRY_CANCEL", child, options)

    async def wait_completed(self, child: str, options: Any) -> Any:
        return await self.cancel("WAIT_CANCELLATION_COMPLETED", child, options)

    async def wait_requested(self, child: str, options: Any) -> Any:
        return await self.cancel("WAIT_CANCELLATION_REQUESTED", child, options)

    async def abandon(self, child: str, options: Any) -> Any:
        return await self.cancel("ABANDON", child, options)

    async def cancel_before_the_start(self, child: str, options: Any) -> Any:
        task = asyncio.create_task(workflow.execute_child_workflow(Child.run, child, **options))
        await asyncio.sleep(0)
        task.cancel()
        return await outcome(task)

    async def uncaught(self, child: str, options: Any) -> Any:
        return await workflow.execute_child_workflow(Child.run, child, **options)

    async def leave(self, policy: str, options: Any) -> str:
        await workflow.start_child_workflow(
            Child.run, "gated", parent_close_policy=workflow.ParentClosePolicy[policy], **options
        )
        return "left"

    @workflow.query
    def seen(self) -> list[str]:
        return self.log


async def _start(
    client: Client, task_queue: str, how: str, child: str, timeout: float | None = None, attempts: int = 0
) -> Any:
    id = "-".join(["children", how, child.lower(), *([str(attempts)] if attempts else [])])
    return await client.start_workflow(
        Parent.run, args=[how, child, timeout, attempts], id=id, task_queue=task_queue
    )


async def _run(client: Client, task_queue: str, how: str, child: str, *more: Any) -> Any:
    handle = await _start(client, task_queue, how, child, *more)
    return [await outcome(handle.result()), await history(handle)]


async def _left(client: Client, task_queue: str, policy: str, wanted: str) -> Any:
    handle = await _start(client, task_queue, "leave", policy)
    child = client.get_workflow_handle(handle.id + "-child")
    left = await handle.result()
    if wanted == "RUNNING":
        await asyncio.sleep(0.5)
    seen = await until_status(child, wanted)
    if wanted == "RUNNING":
        await child.signal(Child.open)
    return [left, seen, await outcome(child.result()), await history(handle)]


async def case_a_result(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "quick")


async def case_a_start_then_a_result(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "start", "gated")
    await until(lambda: handle.query(Parent.seen), ["started"])
    await client.get_workflow_handle(handle.id + "-child").signal(Child.open)
    return [await handle.result(), await history(handle)]


async def case_by_name(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "by_name", "quick")


async def case_what_a_child_knows(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "about")


async def case_a_failure(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "fails")


async def case_a_failure_with_a_cause(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "fails_with_a_cause")


async def case_a_failure_of_its_activity(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "fails_in_an_activity")


async def case_a_failure_of_its_child(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "fails_in_a_child")


async def case_a_failure_that_the_parent_lets_go(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "uncaught", "fails_in_an_activity")


async def case_a_timeout(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "gated", 1.0)


async def case_another_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "fails_once", None, 3)


async def case_no_attempt_left(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "fails_with_a_cause", None, 2)


async def case_one_that_continues_as_new(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "execute", "continues")


async def case_signals(client: Client, task_queue: str) -> Any:
    seen, names = await _run(client, task_queue, "speak", "gated")
    # The child may end before or after the parent hears that its last signal has arrived.
    return [seen, sorted(names)]


async def case_a_signal_after_its_end(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "speak_late", "quick")


async def case_an_id_in_use(client: Client, task_queue: str) -> Any:
    seen, names = await _run(client, task_queue, "twins", "gated")
    return [seen, sorted(names)]


async def case_an_id_that_was_used(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "used", "quick")


async def case_several(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "several", "quick"))[0]


async def case_try_cancel(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "try_cancel", "gated"))[0]


async def case_wait_until_it_is_cancelled(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "wait_completed", "gated"))[0]


async def case_wait_for_one_that_goes_on(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "wait_completed", "stubborn"))[0]


async def case_wait_for_one_that_fails_instead(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "wait_completed", "replaces"))[0]


async def case_wait_until_it_is_asked(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "wait_requested", "stubborn"))[0]


async def case_abandon(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "abandon", "gated"))[0]


async def case_cancelled_before_its_start(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "cancel_before_the_start", "quick")


async def case_cancelled_from_outside(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "by_name", "gated")
    await until_event(handle, "ChildStarted")
    child = client.get_workflow_handle(handle.id + "-child")
    await child.cancel()
    return [await handle.result(), await history(handle)]


async def case_terminated_from_outside(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "start", "replaces")
    await until(lambda: handle.query(Parent.seen), ["started"])
    await client.get_workflow_handle(handle.id + "-child").terminate(reason="enough")
    return [await handle.result(), await history(handle)]


async def case_cancelled_with_its_parent(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "uncaught", "gated")
    child = client.get_workflow_handle(handle.id + "-child")
    await until_event(handle, "ChildStarted")
    await child.query(Child.ready)
    await handle.cancel()
    ended = await outcome(handle.result())
    return [ended, await until_status(child, "CANCELED", "COMPLETED", "FAILED", "TERMINATED")]


async def case_left_to_be_terminated(client: Client, task_queue: str) -> Any:
    return await _left(client, task_queue, "TERMINATE", "TERMINATED")


async def case_left_to_be_cancelled(client: Client, task_queue: str) -> Any:
    return await _left(client, task_queue, "REQUEST_CANCEL", "CANCELED")


async def case_left_to_itself(client: Client, task_queue: str) -> Any:
    return await _left(client, task_queue, "ABANDON", "RUNNING")


WORKFLOWS = [Parent, Child]
ACTIVITIES = [fail]
