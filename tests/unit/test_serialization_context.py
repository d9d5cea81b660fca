"""Converters and codecs that ask whom they work for; what they see is compared with Temporal in tests/differential."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.client import AsyncActivityHandle, Client, WorkflowFailureError
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.converter import (
    ActivitySerializationContext,
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from overwinter.runtime.core.events import WorkflowStarted
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.journal import MemoryJournal
from overwinter.runtime.values import ConvertedValues
from overwinter.runtime.worker import Replayer, Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on, until

SHORT = timedelta(seconds=5)


class Sealed(PayloadCodec, WithSerializationContext):
    """Opens only for whom it was sealed, as an encryption with the context as authenticated data does."""

    def __init__(self, context: SerializationContext | None = None) -> None:
        self.context = context

    def with_context(self, context: SerializationContext) -> Sealed:
        return Sealed(context)

    @property
    def _owner(self) -> bytes:
        assert self.context is not None, "a value without an owner"
        return repr(self.context).encode()

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload({"encoding": b"sealed", "owner": self._owner}, each.SerializeToString())
            for each in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        for each in payloads:
            assert each.metadata["owner"] == self._owner
        return [Payload.FromString(each.data) for each in payloads]


SEALED = dataclasses.replace(DataConverter.default, payload_codec=Sealed())


@activity.defn
async def tries_twice(value: str) -> str:
    info = activity.info()
    if info.attempt == 1:
        activity.heartbeat("halfway")
        raise ApplicationError("once more", "detail")
    return f"{value}, {info.heartbeat_details[0]}"


@activity.defn
def in_a_thread(value: str) -> str:
    activity.heartbeat(value)
    return value


@activity.defn
async def later() -> str:
    activity.raise_complete_async()


@workflow.defn
class Part:
    @workflow.run
    async def run(self, value: str) -> str:
        if value == "fail":
            raise ApplicationError("no", value)
        return f"{value} {workflow.memo_value('of')}"


@workflow.defn
class Whole:
    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, value: str, again: bool) -> list[str]:
        if again:
            workflow.continue_as_new(args=[value, False], memo={"run": "second"})
        options: Any = {"start_to_close_timeout": SHORT}
        again_soon = RetryPolicy(initial_interval=timedelta(milliseconds=1))
        found = list(
            await asyncio.gather(
                workflow.execute_activity(tries_twice, value, retry_policy=again_soon, **options),
                workflow.execute_activity(in_a_thread, "thread", activity_id="named", **options),
                workflow.execute_local_activity(in_a_thread, "local", **options),
                workflow.execute_child_workflow(Part.run, "child", id="part", memo={"of": "whole"}),
            )
        )
        try:
            await workflow.execute_child_workflow(Part.run, "fail", id="failing part")
        except Exception as error:
            assert isinstance(error.__cause__, ApplicationError)
            found += error.__cause__.details
        found.append(await workflow.execute_activity(later, activity_id="later", **options))
        await workflow.wait_condition(lambda: len(self.told) == 2)
        return [*found, *self.told, str(workflow.memo_value("run"))]

    @workflow.signal
    def tell(self, value: str) -> None:
        self.told.append(value)

    @workflow.update
    def change(self, value: str) -> str:
        self.told.append(value)
        return value

    @workflow.query
    def ask(self, value: str) -> str:
        return value


WORKFLOWS = [Whole, Part]
ACTIVITIES = [tries_twice, in_a_thread, later]


@asynccontextmanager
async def sealed_client() -> AsyncIterator[Client]:
    gateway = Gateway(MemoryJournal())
    async with engine_on(gateway.journal, gateway.clock) as free:
        client = Client(free.engine, data_converter=SEALED)
        async with Worker(client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES):
            yield client


async def test_every_value_is_read_for_whom_it_was_written() -> None:
    async with sealed_client() as client:
        handle = await client.start_workflow(
            Whole.run, args=["value", True], id="whole", task_queue=QUEUE, memo={"run": "first"}
        )
        assert await handle.query(Whole.ask, "asked") == "asked"
        given = client.get_async_activity_handle(workflow_id="whole", activity_id="later")
        gateway_clock: Any = client.engine.clock

        async def is_given() -> bool:
            gateway_clock.advance(0.1)
            client.engine.look_at_clock()
            return bool(await client.engine.find_attempt_by_id("whole", None, "later"))

        await until(is_given)
        context = ActivitySerializationContext("default", "later", "later", QUEUE, "whole", "Whole", False)
        await given.with_context(context).heartbeat("alive")
        await given.with_context(context).complete("completed")
        talking = client.get_workflow_handle("whole")
        await talking.signal(Whole.tell, "signal")
        assert await talking.execute_update(Whole.change, "update") == "update"
        assert await handle.result() == [
            "value, halfway", "thread", "local", "child whole", "fail", "completed", "signal", "update", "second"
        ]  # fmt: skip
        described = await talking.describe()
        assert await described.memo() == {"run": "second"}
        assert (
            (await described.data_converter.encode(["x"]))[0]
            .metadata["owner"]
            .endswith(b"workflow_id='whole')")
        )
        replayer = Replayer(workflows=WORKFLOWS, data_converter=SEALED, namespace="default")
        await replayer.replay_workflow(await talking.fetch_history())


async def test_the_codec_of_these_tests_refuses_a_value_of_another_owner() -> None:
    one = ActivitySerializationContext("default", "one", "later", QUEUE, "whole", "Whole", False)
    other = dataclasses.replace(one, activity_id="other")
    (payload,) = await SEALED.with_context(one).encode(["x"])
    with pytest.raises(AssertionError):
        await SEALED.with_context(other).decode([payload])
    with pytest.raises(AssertionError, match="a value without an owner"):
        await SEALED.encode(["x"])


def test_a_converter_that_does_not_ask_is_used_as_it_is() -> None:
    values = ConvertedValues(DataConverter.default)
    start = WorkflowStarted("w", "r", "T", "q", (), 1)
    assert values.for_workflow("w") is values
    assert values.for_activity(start, "1", "a", "q", local=False) is values


class Asking(EncodingPayloadConverter, WithSerializationContext):
    def __init__(self, context: SerializationContext | None = None) -> None:
        self.context = context

    @property
    def encoding(self) -> str:
        return "asking"

    def with_context(self, context: SerializationContext) -> Asking:
        return Asking(context)

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        return self.context


class AskingComposite(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(Asking(), *DefaultPayloadConverter.default_encoding_payload_converters)


class AskingFailures(DefaultFailureConverter, WithSerializationContext):
    def with_context(self, context: SerializationContext) -> AskingFailures:
        return AskingFailures()


class OwnComposite(CompositePayloadConverter):
    def with_context(self, context: SerializationContext) -> OwnComposite:
        return OwnComposite(*self.converters.values())


@pytest.mark.parametrize(
    ("changed", "asks"),
    [
        ({}, False),
        ({"payload_converter_class": lambda: CompositePayloadConverter(JSONPlainPayloadConverter())}, False),
        ({"payload_codec": Sealed()}, True),
        ({"payload_converter_class": AskingComposite}, True),
        ({"payload_converter_class": lambda: OwnComposite(JSONPlainPayloadConverter())}, True),
        ({"failure_converter_class": AskingFailures}, True),
    ],
)
def test_it_is_known_whether_a_converter_asks(changed: dict[str, Any], asks: bool) -> None:
    converter = dataclasses.replace(DataConverter.default, **changed)
    assert converter.wants_context is asks
    context = WorkflowSerializationContext("default", "w")
    assert (converter.with_context(context) is not converter) is asks


def test_a_context_takes_the_place_of_the_one_before() -> None:
    converter = dataclasses.replace(DataConverter.default, payload_converter_class=AskingComposite)
    values = ConvertedValues(converter, "farm")
    payload = Payload({"encoding": b"asking"}, b"")
    of_one = values.for_workflow("one")
    assert of_one.decode([payload], None) == [WorkflowSerializationContext("farm", "one")]
    assert of_one.for_workflow("two").decode([payload], None) == [WorkflowSerializationContext("farm", "two")]
    assert isinstance(of_one.for_workflow("two").payloads, AskingComposite)


class OwnHandle(AsyncActivityHandle):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


async def test_a_handle_with_a_constructor_of_its_own_must_make_its_own_copies(gateway: Gateway) -> None:
    context = ActivitySerializationContext("default", "1", "a", "q", "w", "W", False)
    async with gateway.on(WORKFLOWS) as client:
        plain = OwnHandle(client, b"token")
        assert plain.with_context(context) is plain
        sealing = Client(client.engine, data_converter=SEALED)
        with pytest.raises(
            TypeError, match="you must override with_context to return an instance of your class"
        ):
            OwnHandle(sealing, b"token").with_context(context)


async def test_a_failure_is_read_for_whom_it_was_written() -> None:
    async with sealed_client() as client:
        with pytest.raises(WorkflowFailureError) as raised:
            await client.execute_workflow(Part.run, "fail", id="failed", task_queue=QUEUE)
        assert isinstance(raised.value.cause, ApplicationError)
        assert raised.value.cause.details == ("fail",)
