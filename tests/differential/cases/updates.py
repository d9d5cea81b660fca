"""Updates: validation, ids, order, handlers that wait, and what happens to those that never end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowUpdateStage
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from ..observe import SHORT, history, outcome, until, worker


@activity.defn(name="updates_echo")
async def echo(value: str) -> str:
    return value


@workflow.defn(name="UpdatesMain")
class Main:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.done = False
        self.gate = False

    @workflow.run
    async def run(self) -> list[str]:
        self.log.append("run")
        await workflow.wait_condition(lambda: self.done)
        self.log.append("end")
        return self.log

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.signal
    def open(self) -> None:
        self.log.append("open")
        self.gate = True

    @workflow.query
    def seen(self) -> list[str]:
        return self.log

    @workflow.update
    def set(self, name: str, value: int = 1) -> str:
        self.log.append(f"set {name} {value}")
        return f"{name}={value}"

    @set.validator
    def check(self, name: str, value: int = 1) -> None:
        if name == "bad":
            raise ValueError("a bad name")
        if name == "worse":
            raise ApplicationError("a worse name", "detail", type="Worse")

    @workflow.update
    async def slow(self, name: str) -> str:
        self.log.append(f"slow {name} begins")
        await workflow.execute_activity(echo, name, start_to_close_timeout=SHORT)
        self.log.append(f"slow {name} ends")
        return name

    @workflow.update
    async def gated(self, name: str) -> str:
        self.log.append(f"gated {name} begins")
        await workflow.wait_condition(lambda: self.gate)
        self.log.append(f"gated {name} ends")
        return name

    @workflow.update(name="failing")
    async def fails(self) -> None:
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise ApplicationError("outer", 7, type="Outer") from error

    @workflow.update
    async def nothing(self) -> None:
        await asyncio.sleep(0)

    @workflow.update
    def about(self) -> list[Any]:
        info = workflow.current_update_info()
        return [info.id, info.name] if info else []

    @workflow.update
    async def wait_for_a_failing_activity(self) -> None:
        await workflow.execute_activity("updates_missing", start_to_close_timeout=SHORT)

    @workflow.update
    def finish_and_answer(self) -> str:
        self.done = True
        return "answered at the end"


@workflow.defn(name="UpdatesPatient")
class Patient:
    """Ends when its handlers have."""

    def __init__(self) -> None:
        self.done = False
        self.log: list[Any] = []

    @workflow.run
    async def run(self) -> list[Any]:
        self.log.append(workflow.all_handlers_finished())
        await workflow.wait_condition(lambda: self.done)
        self.log.append(workflow.all_handlers_finished())
        await workflow.wait_condition(workflow.all_handlers_finished)
        self.log.append(workflow.all_handlers_finished())
        return self.log

    @workflow.query
    def ready(self) -> bool:
        return True

    @workflow.update
    async def work(self) -> str:
        self.done = True
        await workflow.sleep(0.2)
        self.log.append("worked")
        return "worked"


@workflow.defn(name="UpdatesDynamic")
class Dynamic:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> bool:
        workflow.set_update_handler("named", self.named, validator=self.check)
        await workflow.wait_condition(lambda: self.done)
        return workflow.get_update_handler("named") is not None

    def named(self, value: int) -> int:
        return value + 1

    def check(self, value: int) -> None:
        if value < 0:
            raise ValueError("negative")

    @workflow.update
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def ready(self) -> bool:
        return True

    @workflow.update(dynamic=True)
    def other(self, name: str, args: Sequence[RawValue]) -> list[Any]:
        return [name, [workflow.payload_converter().from_payload(arg.payload, str) for arg in args]]


@workflow.defn(name="UpdatesUnfinished")
class Unfinished:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.done)
        return "ended without its handler"

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def never(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def finish(self) -> None:
        self.done = True


async def _started(client: Client, task_queue: str, id: str) -> Any:
    handle = await client.start_workflow(Main.run, id=id, task_queue=task_queue)
    await handle.query(Main.seen)
    return handle


async def _ended(handle: Any) -> Any:
    await handle.signal(Main.finish)
    return [await outcome(handle.result()), await history(handle)]


async def case_results(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-results")
    seen = [
        await handle.execute_update(Main.set, args=["a", 2]),
        await handle.execute_update("set", "b"),
        await handle.execute_update(Main.slow, "c"),
        await handle.execute_update(Main.nothing),
        await handle.execute_update(Main.about, id="an-id"),
    ]
    return [seen, await _ended(handle)]


async def case_rejection_by_a_validator(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-rejected")
    seen = [await outcome(handle.execute_update(Main.set, args=[name, 1])) for name in ("bad", "worse", "c")]
    return [seen, await _ended(handle)]


async def case_a_failing_handler(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-failing")
    return [await outcome(handle.execute_update("failing")), await _ended(handle)]


async def case_an_unknown_name(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-unknown")
    kind, *errors = await outcome(handle.execute_update("no_such_update"))
    return [kind, [error[0] for error in errors], errors[-1][2:], await _ended(handle)]


async def case_the_same_id_twice(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-ids")
    seen = [await handle.execute_update(Main.set, args=[name, 1], id="once") for name in ("a", "b")]
    again = handle.get_update_handle("once", result_type=str)
    seen += [again.id, again.workflow_id, await again.result()]
    return [seen, await _ended(handle)]


async def case_accepted_then_completed(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-stages")
    update = await handle.start_update(Main.gated, "a", wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="u")
    log = await handle.query(Main.seen)
    await handle.signal(Main.open)
    return [log, update.id, await update.result(), await _ended(handle)]


async def case_several_at_a_gate(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-gate")
    updates = [
        await handle.start_update(Main.gated, name, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
        for name in ("a", "b", "c")
    ]
    await handle.signal(Main.open)
    return [[await update.result() for update in updates], await _ended(handle)]


async def case_after_signals(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-signals")
    await handle.signal(Main.open)
    seen = await handle.execute_update(Main.gated, "a")
    return [seen, await _ended(handle)]


async def case_the_update_that_ends_the_workflow(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-last")
    seen = await handle.execute_update(Main.finish_and_answer)
    return [seen, await handle.result(), await history(handle)]


async def case_after_the_end(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-over")
    await handle.execute_update(Main.set, args=["a", 1], id="before")
    ended = await _ended(handle)
    old = handle.get_update_handle("before", result_type=str)
    return [ended, await outcome(handle.execute_update(Main.set, args=["b", 1])), await outcome(old.result())]


async def case_by_a_handle_of_an_earlier_chain(client: Client, task_queue: str) -> Any:
    first = await _started(client, task_queue, "updates-chain")
    await first.signal(Main.finish)
    await first.result()
    second = await _started(client, task_queue, "updates-chain")
    seen = [
        await outcome(first.execute_update(Main.set, args=["a", 1])),
        await outcome(second.execute_update(Main.set, args=["b", 2])),
        await outcome(client.get_workflow_handle("updates-chain").execute_update(Main.set, args=["c", 3])),
    ]
    await second.signal(Main.finish)
    return [*seen, await second.result()]


async def case_an_unknown_workflow(client: Client, task_queue: str) -> Any:
    return await outcome(client.get_workflow_handle("updates-nobody").execute_update("set", "a"))


async def case_waiting_for_handlers(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Patient.run, id="updates-patient", task_queue=task_queue)
    await handle.query(Patient.ready)
    return [await handle.execute_update(Patient.work), await handle.result(), await history(handle)]


async def case_handlers_set_at_run_time(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Dynamic.run, id="updates-dynamic", task_queue=task_queue)
    await handle.query(Dynamic.ready)
    seen = [
        await handle.execute_update("named", 1),
        await outcome(handle.execute_update("named", -1)),
        await handle.execute_update("anything", args=["a", "b"]),
    ]
    await handle.execute_update(Dynamic.finish)
    return [seen, await handle.result()]


async def case_a_handler_that_never_ends(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(Unfinished.run, id="updates-never", task_queue=task_queue)
    update = await handle.start_update(Unfinished.never, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await handle.signal(Unfinished.finish)
    return [await handle.result(), await outcome(update.result()), await history(handle)]


async def case_before_the_first_task(client: Client, task_queue: str) -> Any:
    queue = "updates-late"
    handle = await client.start_workflow(Main.run, id=queue, task_queue=queue)
    await handle.signal(Main.open)
    update = asyncio.create_task(handle.execute_update(Main.set, args=["a", 1]))
    await asyncio.sleep(0.3)
    async with worker(client, queue, [Main], [echo]):
        seen = await update
        await until(lambda: handle.query(Main.seen), ["open", "set a 1", "run"])
        await handle.signal(Main.finish)
        return [seen, await handle.result(), await history(handle)]


async def case_a_workflow_that_is_cancelled_meanwhile(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-cancelled")
    update = await handle.start_update(Main.gated, "a", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await handle.cancel()
    return [await outcome(handle.result()), await outcome(update.result())]


async def case_a_workflow_that_is_terminated_meanwhile(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-terminated")
    update = await handle.start_update(Main.gated, "a", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await handle.terminate(reason="enough")
    return [await outcome(handle.result()), await outcome(update.result())]


async def case_a_limit_to_waiting(client: Client, task_queue: str) -> Any:
    handle = await _started(client, task_queue, "updates-waiting")
    update = await handle.start_update(Main.gated, "a", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    waited = await outcome(update.result(rpc_timeout=timedelta(milliseconds=300)))
    await handle.signal(Main.open)
    return [waited[:2], await update.result()]


WORKFLOWS = [Main, Patient, Dynamic, Unfinished]
ACTIVITIES = [echo]
