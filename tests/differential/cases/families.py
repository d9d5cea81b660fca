"""Children over the turns of their parents' and their own lives: ids, chains of runs, attempts, policies of closing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, ChildWorkflowError
from temporalio.service import RPCError

from ..observe import history, outcome, until

CROP = SearchAttributeKey.for_keyword("Crop")
LONG = timedelta(seconds=60)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=3)


@workflow.defn(name="FamiliesChild")
class Child:
    def __init__(self) -> None:
        self.opened = False
        self.said: list[str] = []

    @workflow.run
    async def run(self, how: str, again: int = 0) -> Any:
        return await getattr(self, how)(again)

    async def quick(self, again: int) -> str:
        return "quick"

    async def gated(self, again: int) -> Any:
        try:
            await workflow.wait_condition(lambda: self.opened)
        except asyncio.CancelledError:
            # Why its parent's end cancels it is said by Overwinter alone, and who asks by Temporal's server alone.
            reason = workflow.cancellation_reason() or ""
            return ["cancelled", reason.split(": ")[-1].removesuffix("by parent close policy")]
        return self.said

    async def continues(self, again: int) -> Any:
        if again < 3:
            workflow.continue_as_new(args=["continues", again + 1])
        return await self.facts(again)

    async def continues_and_fails(self, again: int) -> Any:
        if again < 2:
            workflow.continue_as_new(args=["continues_and_fails", again + 1])
        raise ApplicationError(f"after {again}", type="After", non_retryable=True)

    async def continues_and_waits(self, again: int) -> Any:
        if again < 1:
            workflow.continue_as_new(args=["continues_and_waits", again + 1])
        return await self.gated(again)

    async def never(self, again: int) -> None:
        await workflow.wait_condition(lambda: False)

    async def fails(self, again: int) -> None:
        raise ApplicationError(f"attempt {workflow.info().attempt}", type="Fails")

    async def fails_for_good(self, again: int) -> None:
        raise ApplicationError("for good", type="ForGood", non_retryable=True)

    async def fails_by_its_child(self, again: int) -> None:
        await workflow.execute_child_workflow(
            Child.run, "fails_for_good", id=f"{workflow.info().workflow_id}-inner"
        )

    async def is_asked_for_its_type(self, again: int) -> None:
        raise ApplicationError("listed", type="Listed")

    async def second_attempt(self, again: int) -> Any:
        last = workflow.get_last_failure()
        if workflow.info().attempt < 2:
            raise ApplicationError("first", 1, type="First")
        assert last is not None
        return [workflow.info().attempt, type(last).__name__, str(last)]

    async def facts(self, again: int) -> list[Any]:
        info = workflow.info()
        return [
            info.workflow_id,
            info.parent.workflow_id if info.parent else None,
            info.root.workflow_id if info.root else None,
            info.attempt,
            info.first_execution_run_id == info.run_id,
            info.continued_run_id is not None,
            info.task_queue,
            str(info.execution_timeout),
            str(info.run_timeout or None),  # there it is no time at all where it was not given
            str(info.task_timeout),
            workflow.memo(),
            info.typed_search_attributes.get(CROP),
            info.retry_policy.maximum_attempts if info.retry_policy else None,
            info.cron_schedule,
        ]

    async def grandchild(self, again: int) -> list[Any]:
        found = await workflow.execute_child_workflow(
            Child.run, "facts", id=f"{workflow.info().workflow_id}-grandchild"
        )
        return [found, await self.facts(again)]

    async def cron(self, again: int) -> Any:
        if not workflow.has_last_completion_result():
            return "first"
        self.said.append(workflow.get_last_completion_result(str) or "")
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def open(self) -> None:
        self.opened = True

    @workflow.signal
    def say(self, word: str) -> None:
        self.said.append(word)

    @workflow.query
    def heard(self) -> list[str]:
        return self.said


@workflow.defn(name="FamiliesParent")
class Parent:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.go = False

    @workflow.run
    async def run(self, which: str, again: int = 0) -> Any:
        return await getattr(self, which)(again)

    def id(self, suffix: str = "child") -> str:
        return f"{workflow.info().workflow_id}-{suffix}"

    async def execute(self, how: str, **options: Any) -> Any:
        return await outcome(workflow.execute_child_workflow(Child.run, how, id=self.id(), **options))

    @workflow.query
    def has_begun(self) -> bool:
        return self.go

    # -- what a child is given

    async def facts_by_default(self, again: int) -> Any:
        return await self.execute("facts")

    async def facts_as_asked(self, again: int) -> Any:
        return await self.execute(
            "facts",
            execution_timeout=timedelta(seconds=50),
            run_timeout=timedelta(seconds=40),
            task_timeout=timedelta(seconds=7),
            memo={"field": "north"},
            search_attributes=TypedSearchAttributes([SearchAttributePair(CROP, "beans")]),
            retry_policy=QUICK,
            static_summary="a child",
        )

    async def facts_of_a_grandchild(self, again: int) -> Any:
        return await self.execute("grandchild")

    async def longer_than_its_parent(self, again: int) -> Any:
        return await self.execute("facts", execution_timeout=timedelta(seconds=500))

    async def with_an_id_of_its_own(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "quick")
        return [len(handle.id), await handle]

    async def on_a_queue_of_nobody(self, again: int) -> Any:
        return await self.execute("quick", task_queue="families-nobody", run_timeout=timedelta(seconds=1))

    # -- runs that follow each other

    async def a_chain(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(
            Child.run, "continues", id=self.id(), memo={"field": "north"}, execution_timeout=LONG
        )
        first = handle.first_execution_run_id
        return [await outcome(handle), first == handle.first_execution_run_id]

    async def a_chain_that_fails(self, again: int) -> Any:
        return await self.execute("continues_and_fails")

    async def a_chain_that_is_signalled(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "continues_and_waits", id=self.id())
        await workflow.sleep(2.5)
        await handle.signal(Child.say, "hello")
        await handle.signal(Child.open)
        return await outcome(handle)

    async def a_chain_that_is_out_of_time(self, again: int) -> Any:
        return await self.execute("continues_and_waits", execution_timeout=timedelta(seconds=1))

    # -- attempts

    async def attempts_that_fail(self, again: int) -> Any:
        return await self.execute("fails", retry_policy=QUICK)

    async def a_second_attempt(self, again: int) -> Any:
        return await self.execute("second_attempt", retry_policy=QUICK)

    async def a_failure_for_good(self, again: int) -> Any:
        return await self.execute("fails_for_good", retry_policy=QUICK)

    async def a_failure_by_its_child(self, again: int) -> Any:
        return await self.execute("fails_by_its_child")

    async def a_failure_of_a_listed_type(self, again: int) -> Any:
        policy = RetryPolicy(
            initial_interval=timedelta(milliseconds=50), non_retryable_error_types=["Listed"]
        )
        return await self.execute("is_asked_for_its_type", retry_policy=policy)

    async def out_of_time_for_a_run(self, again: int) -> Any:
        return await self.execute("never", run_timeout=timedelta(seconds=1))

    async def out_of_time_for_all_attempts(self, again: int) -> Any:
        policy = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2)
        return await self.execute("never", run_timeout=timedelta(seconds=1), retry_policy=policy)

    async def no_time_for_another_attempt(self, again: int) -> Any:
        policy = RetryPolicy(initial_interval=timedelta(seconds=30))
        return await self.execute("fails", execution_timeout=timedelta(seconds=5), retry_policy=policy)

    # -- ids

    async def ids_that_are_used_again(self, again: int) -> Any:
        found: list[Any] = []
        for policy, how in (
            (WorkflowIDReusePolicy.ALLOW_DUPLICATE, "quick"),
            (WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, "quick"),
            (WorkflowIDReusePolicy.ALLOW_DUPLICATE, "fails_for_good"),
            (WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, "quick"),
            (WorkflowIDReusePolicy.REJECT_DUPLICATE, "quick"),
        ):
            seen = await self.execute(how, id_reuse_policy=policy)
            found.append([policy.name, seen[0], seen[1][0] if seen[0] == "raised" else seen[1]])
        return found

    async def an_id_that_is_taken_over(self, again: int) -> Any:
        first = await workflow.start_child_workflow(Child.run, "gated", id=self.id())
        second = await workflow.start_child_workflow(
            Child.run, "quick", id=self.id(), id_reuse_policy=WorkflowIDReusePolicy.TERMINATE_IF_RUNNING
        )
        return [await outcome(first), await outcome(second)]

    async def an_id_in_use_is_an_error_to_handle(self, again: int) -> Any:
        own = await outcome(workflow.start_child_workflow(Child.run, "quick", id=workflow.info().workflow_id))
        try:
            await workflow.execute_child_workflow(Child.run, "quick", id=workflow.info().workflow_id)
        except Exception as error:
            return [own, type(error).__name__, error.__cause__ is None, isinstance(error, ChildWorkflowError)]

    async def an_id_in_use_fails_the_parent(self, again: int) -> Any:
        await workflow.execute_child_workflow(Child.run, "quick", id=workflow.info().workflow_id)

    # -- cancelling

    async def two_of_them_are_cancelled(self, again: int) -> Any:
        handles = [
            await workflow.start_child_workflow(Child.run, "gated", id=self.id(str(n))) for n in range(2)
        ]
        both = asyncio.gather(*handles)
        await asyncio.sleep(0)
        both.cancel()
        return await outcome(both)

    async def cancelled_with_words(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "gated", id=self.id())
        handle.cancel("no more rain")
        return await outcome(handle)

    async def cancelled_from_a_handle(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "gated", id=self.id())
        external = workflow.get_external_workflow_handle(self.id())
        await external.cancel(reason="from aside")
        return await outcome(handle)

    async def signalled_before_its_first_step(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "gated", id=self.id())
        for word in "abc":
            await handle.signal(Child.say, word)
        await handle.signal(Child.open)
        return await handle

    async def signalled_after_its_end(self, again: int) -> Any:
        handle = await workflow.start_child_workflow(Child.run, "quick", id=self.id())
        await handle
        return await outcome(handle.signal(Child.open))

    # -- the parent's end

    async def leaves(self, policy: str, end: str, how: str = "gated") -> Any:
        await workflow.start_child_workflow(
            Child.run, how, id=self.id(), parent_close_policy=workflow.ParentClosePolicy[policy]
        )
        self.go = True
        if end == "fails":
            raise ApplicationError("leaves", non_retryable=True)
        if end == "continues":
            workflow.continue_as_new(args=["second_run", 1])
        if end == "waits":
            await workflow.wait_condition(lambda: False)
        return "left"

    async def second_run(self, again: int) -> Any:
        return ["second run", workflow.info().continued_run_id is not None]

    async def terminate_fails(self, again: int) -> Any:
        return await self.leaves("TERMINATE", "fails")

    async def request_cancel_fails(self, again: int) -> Any:
        return await self.leaves("REQUEST_CANCEL", "fails")

    async def abandon_fails(self, again: int) -> Any:
        return await self.leaves("ABANDON", "fails")

    async def terminate_continues(self, again: int) -> Any:
        return await self.leaves("TERMINATE", "continues")

    async def request_cancel_continues(self, again: int) -> Any:
        return await self.leaves("REQUEST_CANCEL", "continues")

    async def abandon_continues(self, again: int) -> Any:
        return await self.leaves("ABANDON", "continues")

    async def terminate_waits(self, again: int) -> Any:
        return await self.leaves("TERMINATE", "waits")

    async def request_cancel_waits(self, again: int) -> Any:
        return await self.leaves("REQUEST_CANCEL", "waits")

    async def abandon_waits(self, again: int) -> Any:
        return await self.leaves("ABANDON", "waits")

    async def starts_as_it_ends(self, again: int) -> Any:
        task = asyncio.create_task(workflow.start_child_workflow(Child.run, "gated", id=self.id()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [task.done(), "ended"]


def _name(which: str) -> str:
    return f"families-{which}".replace("_", "-")


async def _start(client: Client, task_queue: str, which: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        Parent.run,
        which,
        id=_name(which),
        task_queue=task_queue,
        memo={"of": "the parent"},
        search_attributes=TypedSearchAttributes([SearchAttributePair(CROP, "maize")]),
    )


async def _run(client: Client, task_queue: str, which: str) -> Any:
    handle = await _start(client, task_queue, which)
    return [await outcome(handle.result()), await history(handle)]


async def _closed(client: Client, task_queue: str, which: str, how: str = "") -> Any:
    """What becomes of the child of a parent that has closed, in one of several ways."""
    handle = await _start(client, task_queue, which)
    child = client.get_workflow_handle(f"{handle.id}-child")
    if how:
        await until(lambda: _begun(child))
        await until(lambda: handle.query(Parent.has_begun))
    if how == "terminate":
        await handle.terminate(reason="enough")
    if how == "cancel":
        await handle.cancel(reason="enough")
    seen = await outcome(handle.result())
    if "abandon" in which:
        await child.signal(Child.open)
    return [seen, await outcome(child.result())]


async def _begun(child: WorkflowHandle[Any, Any]) -> bool:
    try:
        await child.query(Child.heard)
    except RPCError:
        return False
    return True


async def case_terminated_with_a_parent_that_is_terminated(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "terminate_waits", "terminate")


async def case_cancelled_with_a_parent_that_is_terminated(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "request_cancel_waits", "terminate")


async def case_abandoned_by_a_parent_that_is_cancelled(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "abandon_waits", "cancel")


async def case_a_start_as_the_parent_ends(client: Client, task_queue: str) -> Any:
    handle = await _start(client, task_queue, "starts_as_it_ends")
    return [await outcome(handle.result()), await history(handle)]


async def case_a_cron_child(client: Client, task_queue: str) -> Any:
    """It is started again and again, and never ends for its parent; here its time runs out."""
    handle = await client.start_workflow(Cron.run, id="families-cron", task_queue=task_queue)
    return await outcome(handle.result())


@workflow.defn(name="FamiliesCron")
class Cron:
    @workflow.run
    async def run(self) -> Any:
        handle = await workflow.start_child_workflow(
            Child.run,
            "cron",
            id=f"{workflow.info().workflow_id}-child",
            cron_schedule="@every 1s",
            execution_timeout=timedelta(seconds=5),
        )
        return await outcome(handle)


async def case_facts_by_default(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_by_default")


async def case_facts_as_asked(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_as_asked")


async def case_facts_of_a_grandchild(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "facts_of_a_grandchild")


async def case_longer_than_its_parent(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "longer_than_its_parent")


async def case_with_an_id_of_its_own(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "with_an_id_of_its_own")


async def case_on_a_queue_of_nobody(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "on_a_queue_of_nobody")


async def case_a_chain(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_chain")


async def case_a_chain_that_fails(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_chain_that_fails")


async def case_a_chain_that_is_signalled(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "a_chain_that_is_signalled"))[0]


async def case_a_chain_that_is_out_of_time(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_chain_that_is_out_of_time")


async def case_attempts_that_fail(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "attempts_that_fail")


async def case_a_second_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_second_attempt")


async def case_a_failure_for_good(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_failure_for_good")


async def case_a_failure_by_its_child(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_failure_by_its_child")


async def case_a_failure_of_a_listed_type(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "a_failure_of_a_listed_type")


async def case_out_of_time_for_a_run(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "out_of_time_for_a_run")


async def case_out_of_time_for_all_attempts(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "out_of_time_for_all_attempts")


async def case_no_time_for_another_attempt(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "no_time_for_another_attempt")


async def case_ids_that_are_used_again(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "ids_that_are_used_again")


async def case_an_id_that_is_taken_over(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "an_id_that_is_taken_over"))[0]


async def case_an_id_in_use_is_an_error_to_handle(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_id_in_use_is_an_error_to_handle")


async def case_an_id_in_use_fails_the_parent(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "an_id_in_use_fails_the_parent")


async def case_two_of_them_are_cancelled(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "two_of_them_are_cancelled")


async def case_cancelled_with_words(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "cancelled_with_words")


async def case_cancelled_from_a_handle(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "cancelled_from_a_handle"))[0]


async def case_signalled_before_its_first_step(client: Client, task_queue: str) -> Any:
    return (await _run(client, task_queue, "signalled_before_its_first_step"))[0]


async def case_signalled_after_its_end(client: Client, task_queue: str) -> Any:
    return await _run(client, task_queue, "signalled_after_its_end")


async def case_terminate_fails(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "terminate_fails")


async def case_request_cancel_fails(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "request_cancel_fails")


async def case_abandon_fails(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "abandon_fails")


async def case_terminate_continues(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "terminate_continues")


async def case_request_cancel_continues(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "request_cancel_continues")


async def case_abandon_continues(client: Client, task_queue: str) -> Any:
    return await _closed(client, task_queue, "abandon_continues")


WORKFLOWS = [Parent, Child, Cron]
ACTIVITIES: list[Any] = []
