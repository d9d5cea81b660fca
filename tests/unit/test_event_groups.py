"""What a workflow asks for belongs to groups, for whoever reads its history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import Client
from overwinter.runtime.core.events import event_name
from overwinter.runtime.display.timeline import event_text
from overwinter.runtime.display.views import event as shown
from tests.unit.gateways import QUEUE, Gateway, until

SHORT = timedelta(seconds=5)


@activity.defn
def work(name: str) -> str:
    return name


def working(name: str, **options: Any) -> Any:
    return workflow.execute_activity(work, name, start_to_close_timeout=SHORT, activity_id=name, **options)


@workflow.defn
class Leaf:
    @workflow.run
    async def run(self) -> None:
        pass


@workflow.defn
class Grouped:
    @workflow.run
    async def run(self) -> None:
        beds = workflow.create_event_group("beds", label="All beds")
        valves = workflow.create_event_group("valves")
        await working("none")
        with beds.scope():
            await working("scoped")
            with valves.scope():
                later = asyncio.create_task(working("in a task"))
                await working("in both")
            await later
            workflow.set_signal_handler("go", self.go)
            await asyncio.wait_for(asyncio.sleep(0.001), 60)
        await asyncio.gather(
            working("given", event_groups=[beds, valves]),
            workflow.execute_local_activity(
                work, "local", start_to_close_timeout=SHORT, activity_id="local", event_groups=[valves]
            ),
            workflow.sleep(0.001, summary="a nap", event_groups=[valves]),
            workflow.execute_child_workflow(Leaf.run, id="leaf", event_groups=[beds]),
        )
        await self._waits(valves)
        await workflow.get_external_workflow_handle("other").signal("any", event_groups=[beds])
        await working("after all")

    async def _waits(self, group: workflow.EventGroup) -> None:
        try:
            await workflow.wait_condition(
                lambda: False, timeout=0.001, timeout_summary="a timeout", event_groups=[group]
            )
        except asyncio.TimeoutError:
            pass

    async def go(self) -> None:
        await working("by a handler")


@workflow.defn
class Other:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


async def grouped(client: Client) -> dict[str, Mapping[str, str]]:
    events = (await client.get_workflow_handle("grouped").fetch_history()).records
    names = ("activity_id", "summary", "workflow_id")
    found: dict[str, Mapping[str, str]] = {}
    for event in events:
        if hasattr(event.body, "groups"):
            texts: list[str] = [str(getattr(event.body, name, "")) for name in names]
            found[next((text for text in texts if text), event_name(event.body))] = event.body.groups
    return found


async def test_groups_are_recorded_with_what_was_asked_for_in_them(gateway: Gateway) -> None:
    async with gateway.on([Grouped, Leaf, Other], [work]) as client:
        await client.start_workflow(Other.run, id="other", task_queue=QUEUE)
        handle = await client.start_workflow(Grouped.run, id="grouped", task_queue=QUEUE, start_signal="go")

        async def is_done() -> bool:
            gateway.advance(client, 0.01)
            return (await handle.describe()).status.name == "COMPLETED"  # type: ignore[union-attr]

        await until(is_done)
        beds, valves = {"beds": "All beds"}, {"valves": ""}
        assert await grouped(client) == {
            "none": {},
            "scoped": beds,
            "in both": beds | valves,
            "in a task": beds | valves,
            "by a handler": {},
            "TimerStarted": beds,
            "given": beds | valves,
            "local": valves,
            "a nap": valves,
            "leaf": beds,
            "a timeout": valves,
            "other": beds,
            "after all": {},
        }
        lines = [event_text(shown(event), {}) for event in (await handle.fetch_history()).records]
        assert any(line.endswith('[All beds, valves] ("given")') for line in lines)


@workflow.defn
class Refused:
    @workflow.run
    async def run(self, how: str) -> str:
        try:
            match how:
                case "no id":
                    workflow.create_event_group("")
                case "no label":
                    workflow.create_event_group("a", label="")
                case _:
                    await workflow.sleep(1, event_groups=["a"])
        except (ValueError, TypeError) as error:
            return str(error)
        return "taken"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("no id", "Event group id cannot be empty"),
        ("no label", "Event group label cannot be empty"),
        ("a text", "Event groups must be created with workflow.create_event_group()"),
    ],
)
async def test_what_is_no_group_is_refused(gateway: Gateway, how: str, error: str) -> None:
    async with gateway.on([Refused]) as client:
        assert await client.execute_workflow(Refused.run, how, id=how, task_queue=QUEUE) == error
