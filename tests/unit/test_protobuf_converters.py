"""Messages of Protocol Buffers as arguments and results."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("google.protobuf", reason="pip install protobuf")

from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import ListValue, Struct  # type: ignore[import-untyped]

from overwinter import activity, workflow
from overwinter.runtime.converter import (
    BinaryProtoPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONProtoPayloadConverter,
    PayloadLimitError,
    PayloadLimits,
    PayloadUnreadable,
)
from overwinter.runtime.core.payload import Payload
from tests.unit.gateways import QUEUE, Gateway

PAYLOADS = DataConverter.default.payload_converter


@activity.defn
async def doubled(given: Duration) -> Duration:
    return Duration(seconds=2 * given.seconds)


@workflow.defn
class Doubling:
    @workflow.run
    async def run(self, given: Duration) -> Duration:
        assert isinstance(given, Duration)
        return await workflow.execute_activity(doubled, given, start_to_close_timeout=timedelta(seconds=5))


async def test_messages_pass_through_workflows_and_activities(gateway: Gateway) -> None:
    async with gateway.on([Doubling], [doubled]) as client:
        found = await client.execute_workflow(Doubling.run, Duration(seconds=3), id="w", task_queue=QUEUE)
    assert found == Duration(seconds=6)


def test_a_message_is_json_with_the_name_of_its_type() -> None:
    struct = Struct()
    struct.update({"b": 1, "a": "x"})
    payload = PAYLOADS.to_payload(struct)
    assert payload == Payload(
        {"encoding": b"json/protobuf", "messageType": b"google.protobuf.Struct"}, b'{"a":"x","b":1.0}'
    )
    assert PAYLOADS.from_payload(payload) == struct
    assert PAYLOADS.from_payload(payload, Struct) == struct


def test_a_message_that_is_a_list_too_stays_a_message() -> None:
    values = ListValue()
    values.extend([1, "a"])
    payload = PAYLOADS.to_payload(values)
    assert payload.encoding == "json/protobuf"
    assert PAYLOADS.from_payload(payload) == values


def test_a_converter_of_ones_own_may_write_bytes() -> None:
    own = CompositePayloadConverter(
        BinaryProtoPayloadConverter(), *DefaultPayloadConverter.default_encoding_payload_converters
    )
    payload = own.to_payload(Duration(seconds=7))
    assert (payload.encoding, payload.data) == ("binary/protobuf", b"\x08\x07")
    for reader in (own, PAYLOADS):
        assert reader.from_payload(payload) == Duration(seconds=7)
    assert own.to_payload(7).encoding == "msgpack/plain"


def test_a_type_that_no_module_has_brought_is_named() -> None:
    payload = Payload({"encoding": b"binary/protobuf", "messageType": b"farm.Bed"}, b"")
    with pytest.raises(RuntimeError, match=r"Unknown Protobuf type farm\.Bed: import the module"):
        PAYLOADS.from_payload(payload)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [("json/protobuf", b'{"other": 1}'), ("json/protobuf", b"{"), ("binary/protobuf", b"\xff")],
)
def test_bytes_of_another_type_are_unreadable(encoding: str, data: bytes) -> None:
    metadata = {"encoding": encoding.encode(), "messageType": b"google.protobuf.Empty"}
    from google.protobuf import empty_pb2  # noqa: F401 - it brings the type

    with pytest.raises(PayloadUnreadable, match="Failed parsing"):
        PAYLOADS.from_payload(Payload(metadata, data))


def test_unknown_fields_may_be_passed_over() -> None:
    metadata = {"encoding": b"json/protobuf", "messageType": b"google.protobuf.Empty"}
    from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]

    found = JSONProtoPayloadConverter(ignore_unknown_fields=True).from_payload(
        Payload(metadata, b'{"other": 1}')
    )
    assert found == Empty()


@pytest.mark.parametrize("kind", [JSONProtoPayloadConverter, BinaryProtoPayloadConverter])
def test_a_message_over_the_limit_is_refused_where_it_is_written(kind: Any) -> None:
    struct = Struct()
    struct.update({"a": "x" * 100})
    with pytest.raises(PayloadLimitError):
        kind(limits=PayloadLimits(bytes_max=50)).to_payload(struct)


def test_nothing_of_the_package_is_imported_before_it_is_used() -> None:
    code = """
import sys
from overwinter.runtime.converter import DataConverter
from overwinter.runtime.core.payload import Payload
converter = DataConverter.default.payload_converter
converter.from_payload(converter.to_payload([1, "a"]))
assert not [name for name in sys.modules if name.startswith("google.protobuf")]
sys.modules["google.protobuf.symbol_database"] = None
try:
    converter.from_payload(Payload({"encoding": b"binary/protobuf"}, b""))
except RuntimeError as error:
    assert "pip install 'overwinter[protobuf]'" in str(error), error
"""
    subprocess.run([sys.executable, "-c", code], check=True)
