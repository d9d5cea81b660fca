"""Workflows whose histories are recorded, on Temporal's server and here; only the imports are other ones there.

A recorded history is kept for ever, and must replay with these programs as they are. So they are not changed: new ones
are added. `record` says how histories are made.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from overwinter.runtime import activity, exceptions, workflow
from overwinter.runtime.common import RetryPolicy, SearchAttributeKey

SHORT = timedelta(seconds=5)
CROP = SearchAttributeKey.for_keyword("Crop")

changed = False
"""Set by tests, to see that code which asks for something else is noticed."""


@activity.defn(name="moisture")
async def moisture(field: str) -> float:
    if field == "unknown":
        raise exceptions.ApplicationError(f"no sensor in {field}", field, type="NoSensor", non_retryable=True)
    return 0.25


@activity.defn(name="until_told")
async def until_told() -> str:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


@workflow.defn(name="Valve")
class Valve:
    @workflow.run
    async def run(self, name: str) -> str:
        if name == "stuck":
            raise exceptions.ApplicationError("the valve is stuck", type="Stuck")
        await workflow.sleep(0.01)
        return f"{name} is open"


@workflow.defn(name="Irrigate")
class Irrigate:
    """Activities, timers, a child named by chance, local activities, a patch, the memo and a search attribute."""

    @workflow.run
    async def run(self, field: str) -> dict[str, Any]:
        workflow.upsert_search_attributes([CROP.value_set("barley")])
        workflow.upsert_memo({"field": field, "beds": 3})
        before = await workflow.execute_activity(
            "renamed" if changed else "moisture", field, result_type=float, start_to_close_timeout=SHORT
        )
        await workflow.wait_condition(lambda: True, timeout=5)
        await workflow.sleep(0.02)
        if workflow.patched("gently"):
            await workflow.sleep(0.01)
        opened = await workflow.execute_child_workflow(Valve.run, "north")
        twice = await asyncio.gather(
            workflow.execute_local_activity(moisture, field, start_to_close_timeout=SHORT),
            workflow.execute_local_activity(moisture, field, start_to_close_timeout=SHORT),
        )
        await asyncio.sleep(0.01)
        return {"before": before, "opened": opened, "local": twice, "lot": workflow.uuid4().version}


@workflow.defn(name="Ask")
class Ask:
    """Signals and updates that ask for things of their own, until one ends it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done and workflow.all_handlers_finished())
        return sorted(self.log)

    @workflow.signal
    async def water(self, field: str) -> None:
        found = await workflow.execute_activity(moisture, field, start_to_close_timeout=SHORT)
        self.log.append(f"{field} {found}")

    @workflow.update
    async def measure(self, field: str) -> float:
        await workflow.sleep(0.01)
        found = await workflow.execute_activity(moisture, field, start_to_close_timeout=SHORT)
        self.log.append(f"{field} {found}")
        return found

    @measure.validator
    def _known(self, field: str) -> None:
        if field == "nowhere":
            raise ValueError("no such field")

    @workflow.signal
    def end(self) -> None:
        self.done = True


@workflow.defn(name="Troubles")
class Troubles:
    """What fails, takes too long or is cancelled, and is caught."""

    @workflow.run
    async def run(self) -> list[str]:
        found: list[str] = []
        for what in (self.failing, self.slow, self.cancelled, self.child, self.stranger):
            try:
                found.append(f"{what.__name__}: {await what()}")
            except exceptions.FailureError as error:
                found.append(f"{what.__name__}: {self.chain(error)}")
        raise exceptions.ApplicationError("troubles", found, type="Troubles")

    async def failing(self) -> Any:
        policy = RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=10))
        return await workflow.execute_activity(
            moisture, "unknown", start_to_close_timeout=SHORT, retry_policy=policy
        )

    async def slow(self) -> Any:
        policy = RetryPolicy(maximum_attempts=1)
        timeout = timedelta(seconds=0.2)
        return await workflow.execute_activity(
            until_told, start_to_close_timeout=timeout, heartbeat_timeout=SHORT, retry_policy=policy
        )

    async def cancelled(self) -> Any:
        handle = workflow.start_activity(
            until_told,
            start_to_close_timeout=SHORT,
            heartbeat_timeout=SHORT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.sleep(0.1)
        handle.cancel()
        return await handle

    async def child(self) -> Any:
        return await workflow.execute_child_workflow(Valve.run, "stuck", id="recorded-stuck-valve")

    async def stranger(self) -> Any:
        return await workflow.get_external_workflow_handle("recorded-nobody").signal("water", "x")

    def chain(self, error: BaseException | None) -> list[str]:
        links: list[str] = []
        while error is not None:
            links.append(f"{type(error).__name__}: {getattr(error, 'message', error)}")
            error = error.__cause__
        return links


@workflow.defn(name="Rounds")
class Rounds:
    """Goes on as a new run."""

    @workflow.run
    async def run(self, left: int) -> str:
        await workflow.sleep(0.01)
        if left:
            workflow.continue_as_new(left - 1)
        return "round"


@workflow.defn(name="Waits")
class Waits:
    """Is cancelled, cleans up, and ends cancelled."""

    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.sleep(3600)
        finally:
            await workflow.execute_activity(moisture, "south", start_to_close_timeout=SHORT)


WORKFLOWS = [Irrigate, Valve, Ask, Troubles, Rounds, Waits]
ACTIVITIES = [moisture, until_told]


async def play(client: Any, task_queue: str) -> None:
    """Run each of them to its end, or leave it waiting."""
    options: dict[str, Any] = {"task_queue": task_queue}
    await client.execute_workflow("Irrigate", "north", id="recorded-irrigate", **options)
    asking = await client.start_workflow("Ask", id="recorded-ask", **options)
    await asyncio.gather(
        *(asking.execute_update("measure", name) for name in ("a", "b")),
        *(asking.signal("water", name) for name in ("c", "d")),
    )
    await asking.signal("end")
    await asking.result()
    troubles = await client.start_workflow("Troubles", id="recorded-troubles", **options)
    await asyncio.gather(troubles.result(), return_exceptions=True)
    await client.execute_workflow("Rounds", 1, id="recorded-rounds", **options)
    waits = await client.start_workflow("Waits", id="recorded-waits", **options)
    await asyncio.sleep(0.2)
    await waits.cancel()
    await asyncio.gather(waits.result(), return_exceptions=True)
    open_one = await client.start_workflow("Ask", id="recorded-open", **options)
    await open_one.signal("water", "e")
    await asyncio.sleep(0.5)
