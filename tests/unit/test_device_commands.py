"""Commands that wait for the device's own answer."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from overwinter import workflow
from overwinter.devices.commands import ANSWER_SIGNAL, AnswerRefused, check_answer, command, parse_id
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.exceptions import ApplicationError
from tests.unit.gateways import QUEUE, Gateway, until


@workflow.defn
class Opens:
    """Opens one valve after the other, or several at once."""

    @workflow.run
    async def run(self, valves: list[str], at_once: bool) -> list[Any]:
        asked = [
            command(
                valve, "open", {"percent": 40}, timeout=timedelta(seconds=40), expires=timedelta(seconds=9)
            )
            for valve in valves
        ]
        if at_once:
            return list(await asyncio.gather(*asked))
        return [await one for one in asked]


async def start(client: Client, *valves: str, at_once: bool = False) -> Any:
    return await client.start_workflow(Opens.run, args=[list(valves), at_once], id="w/1", task_queue=QUEUE)


async def sent(client: Client) -> list[tuple[str, dict[str, Any]]]:
    found = await client.engine.journal.outbox(0, 100)
    return [(message.topic, json.loads(message.body)) for message in found]


async def sends(client: Client, count: int) -> list[tuple[str, dict[str, Any]]]:
    async def enough() -> bool:
        return len(await sent(client)) >= count

    await until(enough, what=f"{count} messages were sent")
    return await sent(client)


async def test_a_command_returns_what_the_device_answers(gateway: Gateway) -> None:
    async with gateway.on([Opens]) as client:
        handle = await start(client, "farm/valve")
        ((topic, request),) = await sends(client, 1)
        assert (topic, request["name"], request["payload"]) == ("farm/valve/command", "open", {"percent": 40})
        assert parse_id(request["id"])[0][0] == "w/1"
        await handle.signal(ANSWER_SIGNAL, {"id": request["id"], "ok": True, "result": {"flow": 3}})
        assert await handle.result() == [{"flow": 3}]


async def test_each_command_has_its_own_id_and_its_own_answer(gateway: Gateway) -> None:
    async with gateway.on([Opens]) as client:
        handle = await start(client, "a", "b", at_once=True)
        requests = await sends(client, 2)
        for topic, request in reversed(requests):
            await handle.signal(ANSWER_SIGNAL, {"id": request["id"], "ok": True, "result": topic})
        assert await handle.result() == ["a/command", "b/command"]


async def test_while_nobody_answers_it_is_repeated_three_times_with_its_id_then_times_out(
    gateway: Gateway,
) -> None:
    async with gateway.on([Opens]) as client:
        handle = await start(client, "farm/valve")
        for count in range(1, 5):
            requests = await sends(client, count)
            gateway.advance(client, 10.1)
        assert len({request["id"] for _, request in requests}) == 1
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert len(await sent(client)) == 4


async def test_a_command_that_was_rejected_fails_with_the_devices_reason(gateway: Gateway) -> None:
    async with gateway.on([Opens]) as client:
        handle = await start(client, "farm/valve")
        ((_, request),) = await sends(client, 1)
        await handle.signal(ANSWER_SIGNAL, {"id": request["id"], "ok": False, "error": "no water"})
        with pytest.raises(WorkflowFailureError) as raised:
            await handle.result()
        cause = raised.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.type, cause.non_retryable) == ("CommandRejected", True)
        assert "no water" in cause.message


async def test_a_second_answer_and_one_to_an_older_command_have_no_effect(gateway: Gateway) -> None:
    async with gateway.on([Opens]) as client:
        handle = await start(client, "a", "b")
        ((_, first),) = await sends(client, 1)
        await handle.signal(ANSWER_SIGNAL, {"id": first["id"], "ok": True, "result": 1})
        _, (_, second) = await sends(client, 2)
        await handle.signal(ANSWER_SIGNAL, {"id": first["id"], "ok": False, "error": "again"})
        await handle.signal(ANSWER_SIGNAL, {"id": second["id"], "ok": True, "result": 2})
        assert await handle.result() == [1, 2]


async def test_a_command_goes_on_waiting_after_a_restart(durable: Gateway) -> None:
    async with durable.on([Opens]) as client:
        await start(client, "farm/valve")
        ((_, request),) = await sends(client, 1)
    async with durable.on([Opens]) as client:
        handle = client.get_workflow_handle("w/1")
        await handle.signal(ANSWER_SIGNAL, {"id": request["id"], "ok": True, "result": 7})
        assert await handle.result() == [7]
        assert len(await sent(client)) == 1


@pytest.mark.parametrize(
    "answer",
    [None, [], {"ok": True}, {"id": 1, "ok": True}, {"id": "1/run/w", "ok": "yes"}, {"id": "x/run/w", "ok": True},
     {"id": "1//w", "ok": True}, {"id": "1/run/", "ok": True}, {"id": "²/run/w", "ok": True}],
)  # fmt: skip
def test_what_is_no_answer_is_refused(answer: object) -> None:
    with pytest.raises(AnswerRefused):
        check_answer(answer)
