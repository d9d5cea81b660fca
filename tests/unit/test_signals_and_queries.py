"""Signals change a workflow, queries read it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from overwinter import workflow
from overwinter.runtime.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from overwinter.runtime.common import QueryRejectCondition, RawValue
from overwinter.runtime.converter import DataConverter, PayloadCodec
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.engine import EngineLimits
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.service import RPCError, RPCStatusCode
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on, event_names, until


@workflow.defn
class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.open = True

    @workflow.run
    async def run(self) -> list[str]:
        self.lines.append("run")
        await workflow.wait_condition(lambda: not self.open)
        return self.lines

    @workflow.signal
    def put(self, line: str) -> None:
        self.lines.append(line)

    @workflow.signal(name="slow")
    async def put_slowly(self, line: str) -> None:
        await workflow.sleep(1)
        self.lines.append(line)

    @workflow.signal
    def end(self) -> None:
        self.open = False

    @workflow.signal
    def fail(self) -> None:
        raise ApplicationError("by signal", type="Signal")

    @workflow.query
    def text(self, separator: str = " ") -> str:
        return separator.join(self.lines)

    @workflow.query
    async def text_later(self) -> str:
        await asyncio.sleep(0)
        return " ".join(self.lines)

    @workflow.query
    def raises(self) -> str:
        raise KeyError("no such field")

    @workflow.query
    def starts_a_timer(self) -> None:
        asyncio.get_running_loop().call_later(1, print)

    @workflow.query
    def draws(self) -> float:
        return workflow.random().random()

    @workflow.query
    async def waits(self) -> None:
        await asyncio.Event().wait()

    @workflow.query
    def leaves_a_task(self) -> None:
        asyncio.ensure_future(self._append())

    async def _append(self) -> None:
        self.lines.append("by a query")


@workflow.defn
class SetsHandlersLate:
    @workflow.run
    async def run(self) -> list[Any]:
        got: list[Any] = []
        await workflow.sleep(10)
        workflow.set_signal_handler("named", lambda value: got.append(value))
        await workflow.sleep(10)

        def note(name: str, args: Sequence[RawValue]) -> None:
            got.append([name, len(args)])

        workflow.set_dynamic_signal_handler(note)
        await workflow.sleep(10)
        return got


@workflow.defn
class Dynamic:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self.got) == 2)
        return self.got

    @workflow.signal
    def known(self) -> None:
        self.got.append("known")

    @workflow.signal(dynamic=True)
    def other(self, name: str, args: Sequence[RawValue]) -> None:
        self.got.append(f"{name} {len(args)}")

    @workflow.query(dynamic=True)
    def any_query(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name} {len(args)}"


class Slow(PayloadCodec):
    """Each payload takes a while."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        await asyncio.sleep(0.01)
        return [replace(payload, data=payload.data[::-1]) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return await self.encode(payloads)


async def test_a_query_sees_the_signal_before_it_also_when_the_codec_takes_its_time(gateway: Gateway) -> None:
    async with engine_on(gateway.journal, gateway.clock) as plain:
        client = Client(plain.engine, data_converter=DataConverter(payload_codec=Slow()))
        async with Worker(client, task_queue=QUEUE, workflows=[Log]):
            handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
            for number in range(3):
                await handle.signal("put", str(number))
                assert str(number) in await handle.query(Log.text)


async def test_a_signal_sent_with_the_start_is_handled_before_the_run_method(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(
            Log.run, id="w", task_queue=QUEUE, start_signal="put", start_signal_args=["early"]
        )
        assert await handle.query(Log.text) == "early run"


async def test_a_start_with_a_signal_signals_the_open_run(gateway: Gateway) -> None:
    from overwinter.runtime.common import WorkflowIDConflictPolicy

    async with gateway.on([Log]) as client:
        first = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        second = await client.start_workflow(
            Log.run,
            id="w",
            task_queue=QUEUE,
            start_signal="put",
            start_signal_args=["again"],
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        assert second.result_run_id == first.result_run_id
        assert await first.query(Log.text) == "run again"


async def test_signals_are_handled_in_the_order_in_which_they_were_accepted(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        await asyncio.gather(*[handle.signal(Log.put, str(n)) for n in range(20)])
        await handle.signal(Log.end)
        assert await handle.result() == ["run", *map(str, range(20))]


async def test_an_async_handler_may_wait_and_others_run_meanwhile(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        await handle.signal("slow", "slow")
        await handle.signal(Log.put, "fast")
        gateway.advance(client, 1)

        async def both() -> bool:
            return await handle.query(Log.text) == "run fast slow"

        await until(both)


async def test_signals_without_a_handler_wait_for_one(gateway: Gateway) -> None:
    async with gateway.on([SetsHandlersLate]) as client:
        handle = await client.start_workflow(SetsHandlersLate.run, id="w", task_queue=QUEUE)
        await handle.signal("other", args=[1, 2])
        await handle.signal("named", "a")
        await handle.signal("named", "b")
        for _ in range(3):
            await asyncio.sleep(0.02)
            gateway.advance(client, 10)
        assert await asyncio.wait_for(handle.result(), 5) == ["a", "b", ["other", 2]]


async def test_a_dynamic_handler_takes_what_has_no_handler_of_its_own(gateway: Gateway) -> None:
    async with gateway.on([Dynamic]) as client:
        handle = await client.start_workflow(Dynamic.run, id="w", task_queue=QUEUE)
        assert await handle.query("whatever", args=[1, 2, 3]) == "whatever 3"
        await handle.signal("unknown", args=[1])
        await handle.signal("known")
        assert await handle.result() == ["unknown 1", "known"]


async def test_a_signal_whose_arguments_do_not_fit_is_dropped_with_a_warning(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        await handle.signal("put", {"not": "text"})
        await handle.signal("put", "text")
        assert await handle.query(Log.text) == "run text"
        assert "Failed deserializing signal input for put" in caplog.text


async def test_a_failure_in_a_handler_fails_the_workflow(gateway: Gateway) -> None:
    from overwinter.runtime.client import WorkflowFailureError

    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        await handle.signal(Log.fail)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == "Signal"


async def test_a_signal_to_a_closed_execution_is_refused(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        await handle.signal(Log.end)
        await handle.result()
        for refused in (handle, client.get_workflow_handle("nobody")):
            with pytest.raises(RPCError) as error:
                await refused.signal(Log.put, "late")
            assert error.value.status == RPCStatusCode.NOT_FOUND


async def _open_and_closed(client: Client) -> list[Any]:
    handles = [await client.start_workflow(Log.run, id=name, task_queue=QUEUE) for name in ("open", "closed")]
    await handles[1].signal(Log.end)
    await handles[1].result()
    return handles


@pytest.mark.parametrize("cached", [0, 10])
async def test_a_query_is_answered_while_a_workflow_is_open_and_after_it_closed(
    gateway: Gateway, cached: int
) -> None:
    async with gateway.on([Log], limits=EngineLimits(cached_executions_max=cached)) as client:
        for handle in await _open_and_closed(client):
            assert await handle.query(Log.text) == "run"
            assert await handle.query(Log.text_later) == "run"
            assert await handle.query("text", "-") == "run"


async def test_a_query_that_nobody_answers_names_those_that_exist(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowQueryFailedError, match=r"'nothing'.*draws leaves_a_task raises"):
            await handle.query("nothing")


async def test_what_a_query_raises_reaches_the_caller_and_harms_nothing(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowQueryFailedError, match="no such field"):
            await handle.query(Log.raises)
        await handle.signal(Log.end)
        assert await handle.result() == ["run"]


@pytest.mark.parametrize("query", [Log.starts_a_timer, Log.draws, Log.waits])
async def test_a_query_may_not_change_anything(gateway: Gateway, query: Any) -> None:
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        with pytest.raises(WorkflowQueryFailedError, match="read-only function"):
            await handle.query(query)
        await handle.signal(Log.end)
        assert await handle.result() == ["run"]
        assert "TimerStarted" not in await event_names(client, "w")


async def test_a_task_that_a_query_leaves_behind_never_runs(gateway: Gateway) -> None:
    """It is in no history: run in the next activation, it would be missing in replay."""
    async with gateway.on([Log]) as client:
        handle = await client.start_workflow(Log.run, id="w", task_queue=QUEUE)
        await handle.query(Log.leaves_a_task)
        await handle.signal(Log.put, "line")
        assert await handle.query(Log.text) == "run line"


async def test_a_query_is_rejected_in_a_status_that_the_caller_does_not_want(gateway: Gateway) -> None:
    async with gateway.on([Log]) as client:
        opened, closed = await _open_and_closed(client)
        condition = QueryRejectCondition.NOT_OPEN
        assert await opened.query(Log.text, reject_condition=condition) == "run"
        with pytest.raises(WorkflowQueryRejectedError):
            await closed.query(Log.text, reject_condition=condition)
