"""Workflow ids: reuse, conflicts, signals and updates with the start."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateStage
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError

from ..observe import history, outcome, status


@workflow.defn(name="IdentityWorkflow")
class Identity:
    def __init__(self) -> None:
        self.done = ""
        self.log: list[str] = []

    @workflow.run
    async def run(self, name: str) -> list[str]:
        self.log.append(f"run {name}")
        await workflow.wait_condition(lambda: self.done != "")
        if self.done == "fail":
            raise ApplicationError("as asked")
        return self.log

    @workflow.signal
    def finish(self, how: str) -> None:
        self.done = how

    @workflow.signal
    def note(self, word: str) -> None:
        self.log.append(f"signal {word}")

    @workflow.update
    def add(self, word: str) -> int:
        self.log.append(f"update {word}")
        return len(self.log)

    @add.validator
    def check(self, word: str) -> None:
        if word == "bad":
            raise ValueError("bad")

    @workflow.query
    def seen(self) -> list[str]:
        return self.log


async def _start(client: Client, task_queue: str, id: str, name: str, **options: Any) -> Any:
    return await client.start_workflow(Identity.run, name, id=id, task_queue=task_queue, **options)


async def _again(client: Client, task_queue: str, id: str, policy: Any, ending: str) -> Any:
    first = await _start(client, task_queue, id, "one")
    await first.signal(Identity.finish, ending)
    await outcome(first.result())
    kind, *rest = await outcome(_start(client, task_queue, id, "two", id_reuse_policy=policy))
    if kind == "raised":
        return [kind, *rest]
    different = rest[0].first_execution_run_id != first.first_execution_run_id
    await rest[0].signal(Identity.finish, "end")
    return ["again", different, await rest[0].result()]


async def case_an_id_in_use(client: Client, task_queue: str) -> Any:
    first = await _start(client, task_queue, "identity-used", "one")
    return [
        await outcome(_start(client, task_queue, first.id, "two")),
        await outcome(
            _start(client, task_queue, first.id, "two", id_conflict_policy=WorkflowIDConflictPolicy.FAIL)
        ),
        await status(first),
    ]


async def case_an_id_in_use_that_is_accepted(client: Client, task_queue: str) -> Any:
    first = await _start(client, task_queue, "identity-existing", "one")
    second = await _start(
        client, task_queue, first.id, "two", id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
    )
    await second.signal(Identity.finish, "end")
    return [await second.result(), await first.result(), await history(first)]


async def case_an_id_in_use_that_is_taken(client: Client, task_queue: str) -> Any:
    first = await _start(client, task_queue, "identity-taken", "one")
    await first.query(Identity.seen)
    second = await _start(
        client, task_queue, first.id, "two", id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING
    )
    await second.signal(Identity.finish, "end")
    kind, *errors = await outcome(first.result())
    return [kind, [error[0] for error in errors], await second.result()]


async def case_reuse_of_ids(client: Client, task_queue: str) -> Any:
    policies = (
        WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )
    return {
        f"{policy.name} after {ending}": await _again(
            client, task_queue, f"identity-{policy.name}-{ending}", policy, ending
        )
        for policy in policies
        for ending in ("end", "fail")
    }


async def case_a_signal_with_the_start(client: Client, task_queue: str) -> Any:
    first = await _start(
        client, task_queue, "identity-signal", "one", start_signal="note", start_signal_args=["a"]
    )
    await first.query(Identity.seen)
    second = await _start(client, task_queue, first.id, "two", start_signal="note", start_signal_args=["b"])
    await second.signal(Identity.finish, "end")
    third = await _same(first, second)
    return [third, await second.result(), await history(first)]


async def _same(first: Any, second: Any) -> bool:
    return (await first.describe()).run_id == (await second.describe()).run_id


async def case_a_signal_with_the_start_of_one_that_ended(client: Client, task_queue: str) -> Any:
    first = await _start(client, task_queue, "identity-signal-ended", "one")
    await first.signal(Identity.finish, "end")
    await first.result()
    second = await _start(
        client, task_queue, first.id, "two", start_signal="finish", start_signal_args=["end"]
    )
    return [await second.result(), await history(second)]


def _operation(task_queue: str, id: str, name: str, policy: WorkflowIDConflictPolicy) -> Any:
    return WithStartWorkflowOperation(
        Identity.run, name, id=id, task_queue=task_queue, id_conflict_policy=policy
    )


async def case_an_update_with_the_start(client: Client, task_queue: str) -> Any:
    seen = []
    for name in ("one", "two"):
        operation = _operation(task_queue, "identity-update", name, WorkflowIDConflictPolicy.USE_EXISTING)
        seen.append(
            await client.execute_update_with_start_workflow(
                Identity.add, name, start_workflow_operation=operation
            )
        )
    handle = await operation.workflow_handle()
    await handle.signal(Identity.finish, "end")
    log = await handle.result()
    # Whether the update is there before the first step, or just after it, is not promised.
    return [len(seen), sorted(log), sorted(await history(handle))]


async def case_an_update_with_the_start_of_one_that_runs(client: Client, task_queue: str) -> Any:
    first = await _start(client, task_queue, "identity-update-used", "one")
    operation = _operation(task_queue, first.id, "two", WorkflowIDConflictPolicy.FAIL)
    found = await outcome(
        client.execute_update_with_start_workflow(Identity.add, "a", start_workflow_operation=operation)
    )
    return [found, await outcome(operation.workflow_handle()), await first.query(Identity.seen)]


async def case_an_update_with_the_start_that_is_rejected(client: Client, task_queue: str) -> Any:
    operation = _operation(task_queue, "identity-update-bad", "one", WorkflowIDConflictPolicy.FAIL)
    found = await outcome(
        client.execute_update_with_start_workflow(Identity.add, "bad", start_workflow_operation=operation)
    )
    handle = await operation.workflow_handle()
    return [found, await status(handle), await handle.query(Identity.seen)]


async def case_an_update_with_the_start_that_is_accepted(client: Client, task_queue: str) -> Any:
    operation = _operation(task_queue, "identity-update-accepted", "one", WorkflowIDConflictPolicy.FAIL)
    update = await client.start_update_with_start_workflow(
        Identity.add,
        "a",
        start_workflow_operation=operation,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
        id="u",
    )
    handle = await operation.workflow_handle()
    return [update.id, update.workflow_id == handle.id, isinstance(await update.result(), int)]


WORKFLOWS = [Identity]
ACTIVITIES: list[Any] = []
