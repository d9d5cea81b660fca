"""Headers go through the codec where that is asked for, also of what has no arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime import client as clients
from overwinter.runtime import worker as workers
from overwinter.runtime.api.common.v1 import Payload
from overwinter.runtime.client import Client
from overwinter.runtime.common import HeaderCodecBehavior
from overwinter.runtime.converter import DataConverter, PayloadCodec
from overwinter.runtime.worker import Worker
from tests.unit.gateways import Gateway

PLAIN = b"field north"
seen: list[tuple[str, bytes]] = []


class Reversing(PayloadCodec):
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload({"encoding": b"reversed"}, each.SerializeToString()[::-1]) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload.FromString(each.data[::-1]) for each in payloads]


class Sending(clients.Interceptor):
    def __init__(self, header: Payload) -> None:
        self.header = header

    def intercept_client(self, next: clients.OutboundInterceptor) -> clients.OutboundInterceptor:
        header = self.header

        class Outbound(clients.OutboundInterceptor):
            async def start_workflow(self, input: clients.StartWorkflowInput) -> Any:
                input.headers = {"where": header}
                return await super().start_workflow(input)

            async def signal_workflow(self, input: clients.SignalWorkflowInput) -> None:
                input.headers = {"where": header}
                await super().signal_workflow(input)

        return Outbound(next)


class Inbound(workers.WorkflowInboundInterceptor):
    async def execute_workflow(self, input: workers.ExecuteWorkflowInput) -> Any:
        seen.append(("workflow", input.headers["where"].data))
        return await super().execute_workflow(input)

    async def handle_signal(self, input: workers.HandleSignalInput) -> None:
        seen.append(("signal", input.headers["where"].data))
        await super().handle_signal(input)


class Seeing(workers.Interceptor):
    def workflow_interceptor_class(
        self, input: workers.WorkflowInterceptorClassInput
    ) -> type[workers.WorkflowInboundInterceptor]:
        del input
        return Inbound


@workflow.defn
class Wait:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.done)

    @workflow.signal
    def end(self) -> None:
        self.done = True


@activity.defn
async def nothing() -> None: ...


@pytest.mark.parametrize("behavior", list(HeaderCodecBehavior))
async def test_headers_of_what_has_no_arguments_arrive_as_they_were_sent(
    gateway: Gateway, behavior: HeaderCodecBehavior
) -> None:
    seen.clear()
    codec, header = Reversing(), Payload(data=PLAIN)
    if behavior is HeaderCodecBehavior.WORKFLOW_ONLY_CODEC:
        header = (await codec.encode([header]))[0]  # Then callers do it themselves.
    async with gateway.on([Wait], [nothing]) as plain:
        client = Client(
            plain.service_client,
            data_converter=DataConverter(payload_codec=codec),
            interceptors=[Sending(header)],
            header_codec_behavior=behavior,
        )
        handle = await client.start_workflow(Wait.run, id="w", task_queue="sealed")
        await handle.signal(Wait.end)
        async with Worker(client, task_queue="sealed", workflows=[Wait], interceptors=[Seeing()]):
            await handle.result()
        stored = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes.header
    assert sorted(seen) == [("signal", PLAIN), ("workflow", PLAIN)]
    assert (stored.fields["where"].data == PLAIN) == (behavior is HeaderCodecBehavior.NO_CODEC)
