"""Values that do not fit where they arrive: arguments of every kind of call, and results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue, RetryPolicy

from ..observe import SHORT, history, outcome, status

ONCE = RetryPolicy(maximum_attempts=1)
UNKNOWN = RawValue(Payload(metadata={"encoding": b"of-nobody"}, data=b"?"))


@dataclass
class Bed:
    name: str
    length: int


@activity.defn(name="misfits_plant")
async def plant(bed: Bed) -> str:
    return f"{type(bed).__name__} {bed.name}"


@activity.defn(name="misfits_count")
async def count(number: int, more: int = 5) -> int:
    return number + more


@workflow.defn(name="MisfitsTaker")
class Taker:
    def __init__(self) -> None:
        self.beds: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done)
        return self.beds

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.signal
    def add(self, bed: Bed) -> None:
        self.beds.append(bed.name)

    @workflow.update
    def put(self, bed: Bed) -> int:
        self.beds.append(bed.name)
        return len(self.beds)

    @workflow.query
    def has(self, bed: Bed) -> bool:
        return bed.name in self.beds


@workflow.defn(name="MisfitsStrict", failure_exception_types=[Exception])
class Strict:
    @workflow.run
    async def run(self, bed: Bed) -> str:
        return bed.name


@workflow.defn(name="MisfitsCaller")
class Caller:
    @workflow.run
    async def run(self, name: str, args: list[Any], result_type: str = "") -> Any:
        hint = {"": None, "int": int, "Bed": Bed}[result_type]
        given = [UNKNOWN if arg == "unknown" else arg for arg in args]
        result = await workflow.execute_activity(
            name, args=given, start_to_close_timeout=SHORT, retry_policy=ONCE, result_type=hint
        )
        return [type(result).__name__, str(result)]


async def _taker(client: Client, task_queue: str, id: str) -> Any:
    return await client.start_workflow(Taker.run, id=id, task_queue=task_queue)


async def case_a_query_of_unknown_encoding_fails(client: Client, task_queue: str) -> Any:
    handle = await _taker(client, task_queue, "misfits query")
    seen = await outcome(handle.query("has", UNKNOWN))
    await handle.terminate()
    return seen


async def case_a_query_of_the_wrong_shape_fails(client: Client, task_queue: str) -> Any:
    handle = await _taker(client, task_queue, "misfits query shape")
    seen = await outcome(handle.query("has", 5))
    await handle.terminate()
    return seen


async def case_an_update_that_does_not_decode_is_rejected(client: Client, task_queue: str) -> Any:
    handle = await _taker(client, task_queue, "misfits update")
    # Each engine has words of its own for what was wrong with a value: only the first part is compared.
    seen = [(await outcome(handle.execute_update("put", UNKNOWN)))[:3]]
    seen.append((await outcome(handle.execute_update("put", "short")))[:3])
    seen.append(await outcome(handle.execute_update("put", {"name": "a", "length": 3})))
    await handle.signal("finish")
    return [*seen, await handle.result(), await history(handle)]


async def case_a_signal_that_does_not_decode_is_dropped(client: Client, task_queue: str) -> Any:
    handle = await _taker(client, task_queue, "misfits signal")
    await handle.signal("add", UNKNOWN)
    await handle.signal("add", 17)
    await handle.signal("add", {"name": "c", "length": 1})
    await handle.signal("finish")
    return [await handle.result(), await history(handle)]


async def case_too_many_arguments_are_given_without_hints(client: Client, task_queue: str) -> Any:
    handle = await _taker(client, task_queue, "misfits many")
    seen = await outcome(handle.query("has", args=[{"name": "a", "length": 1}, 2]))
    await handle.terminate()
    return seen


async def case_an_activity_argument_that_does_not_decode_fails_it(client: Client, task_queue: str) -> Any:
    seen = []
    for at, args in enumerate((["unknown"], ["short"], [], [{"name": "a", "length": 1}])):
        call = client.execute_workflow(
            Caller.run, args=["misfits_plant", args], id=f"misfits activity {at}", task_queue=task_queue
        )
        found = await outcome(call)
        # As above.
        seen.append([[part[:3] for part in found[1:3]] if found[0] == "raised" else found])
    return seen


async def case_a_missing_argument_is_the_default(client: Client, task_queue: str) -> Any:
    return [
        await outcome(
            client.execute_workflow(
                Caller.run,
                args=["misfits_count", args, "int"],
                id=f"misfits default {at}",
                task_queue=task_queue,
            )
        )
        for at, args in enumerate(([1], [1, 2]))
    ]


async def case_a_result_is_what_the_hint_asks_for(client: Client, task_queue: str) -> Any:
    call = client.execute_workflow(
        Caller.run, args=["misfits_count", [1], ""], id="misfits no hint", task_queue=task_queue
    )
    return await outcome(call)


async def case_an_argument_of_run_that_does_not_decode_blocks_or_fails_as_the_types_say(
    client: Client, task_queue: str
) -> Any:
    strict = await outcome(
        client.execute_workflow("MisfitsStrict", 7, id="misfits strict", task_queue=task_queue)
    )
    lenient = await client.start_workflow("MisfitsCaller", 7, id="misfits lenient", task_queue=task_queue)
    await asyncio.sleep(0.3)
    seen = await status(lenient)
    await lenient.terminate()
    return [[part[0] for part in strict[1:]], seen]


async def case_a_result_that_the_client_wants_otherwise_raises_there(client: Client, task_queue: str) -> Any:
    handle = await client.start_workflow(
        "MisfitsStrict",
        {"name": "a", "length": 2},
        id="misfits result",
        task_queue=task_queue,
        result_type=int,
    )
    found = await outcome(handle.result())
    return [found[0], (await handle.describe()).status.name]


WORKFLOWS = [Taker, Strict, Caller]
ACTIVITIES = [plant, count]
