"""What the converter module has beside converters: search attributes as payloads, classes stored as others, errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import pytest

from overwinter import workflow
from overwinter.runtime.api.common.v1 import SearchAttributes
from overwinter.runtime.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from overwinter.runtime.converter import (
    DataConverter,
    TransferTypeConverter,
    create_payload_validation_error,
    decode_search_attributes,
    decode_typed_search_attributes,
    encode_search_attribute_values,
    encode_search_attributes,
    encode_typed_search_attribute_value,
    transfer_type_convertible,
)
from overwinter.runtime.core.payload import Payload
from overwinter.runtime.service import RPCError, RPCStatusCode
from tests.unit.gateways import QUEUE, Gateway

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
TYPED = TypedSearchAttributes(
    [
        SearchAttributePair(SearchAttributeKey.for_keyword("Crop"), "kale"),
        SearchAttributePair(SearchAttributeKey.for_text("Note"), "dry soil"),
        SearchAttributePair(SearchAttributeKey.for_int("Beds"), 3),
        SearchAttributePair(SearchAttributeKey.for_float("Area"), 2.0),
        SearchAttributePair(SearchAttributeKey.for_bool("Wet"), True),
        SearchAttributePair(SearchAttributeKey.for_datetime("Sown"), NOON),
        SearchAttributePair(SearchAttributeKey.for_keyword_list("Plots"), ["a", "b"]),
    ]
)


# -- search attributes -------------------------------------------------------------------------------------


def test_typed_search_attributes_come_back_as_they_were() -> None:
    message = SearchAttributes()
    encode_search_attributes(TYPED, message)
    assert message.indexed_fields["Crop"] == Payload(
        {"encoding": b"json/plain", "type": b"Keyword"}, b'"kale"'
    )
    assert decode_typed_search_attributes(message) == TYPED
    assert decode_search_attributes(message)["Sown"] == [NOON]
    assert decode_search_attributes(message)["Plots"] == ["a", "b"]


def test_untyped_search_attributes_come_back_as_lists_of_values() -> None:
    message = SearchAttributes()
    given: Any = {"Crop": ["kale"], "Beds": [1, 2]}
    encode_search_attributes(given, message)
    assert decode_search_attributes(message) == given
    assert (
        decode_typed_search_attributes(message) == TypedSearchAttributes.empty
    )  # Their types are not known.


def test_values_that_are_not_of_the_type_are_passed_over() -> None:
    fields = {
        "Whole": Payload({"encoding": b"json/plain", "type": b"Double"}, b"2"),
        "One": Payload({"encoding": b"json/plain", "type": b"Int"}, b"[4]"),
        "Two": Payload({"encoding": b"json/plain", "type": b"Int"}, b"[4, 5]"),
        "Other": Payload({"encoding": b"json/plain", "type": b"Int"}, b'"x"'),
        "Newer": Payload({"encoding": b"json/plain", "type": b"Vector"}, b"1"),
        "Gone": Payload({"encoding": b"binary/null", "type": b"Int"}, b""),
    }
    found = decode_typed_search_attributes(SearchAttributes(indexed_fields=fields))
    assert [(pair.key.name, pair.value) for pair in found] == [("One", 4), ("Whole", 2.0)]


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        (SearchAttributeKey.for_int("Beds"), "3", TypeError),
        (SearchAttributeKey.for_datetime("Sown"), datetime(2026, 7, 1), ValueError),  # noqa: DTZ001 - the fault
        (SearchAttributeKey.for_keyword_list("Plots"), ["a", 1], TypeError),
    ],
)
def test_a_value_that_does_not_fit_its_key_is_refused(key: Any, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_typed_search_attribute_value(key, value)


@pytest.mark.parametrize("values", ["kale", [1, "a"], [object()]])
def test_values_of_the_older_form_are_a_list_of_one_type(values: Any) -> None:
    with pytest.raises(TypeError):
        encode_search_attribute_values(values)


def test_no_value_has_no_type() -> None:
    payload = encode_typed_search_attribute_value(SearchAttributeKey.for_int("Beds"), None)
    assert payload == Payload({"encoding": b"binary/null"})


# -- classes that are stored as others -------------------------------------------------------------------------

V = TypeVar("V")


@dataclass
class Stored:
    text: str


class ThroughText(TransferTypeConverter["Point[Any]", Stored]):
    transfer_type = Stored

    def to_transfer_type(self, value: Point[Any]) -> Stored:
        return Stored(f"{value.x} {value.y}")

    def from_transfer_type(self, value: Stored, type_hint: Any) -> Point[Any]:
        assert isinstance(value, Stored)
        kind = getattr(type_hint, "__args__", (int,))[0]
        return Point(*(kind(part) for part in value.text.split()))


@transfer_type_convertible(ThroughText)
class Point(Generic[V]):
    def __init__(self, x: V, y: V) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]


@workflow.defn
class Moved:
    @workflow.run
    async def run(self, at: Point[int]) -> Point[int]:
        assert isinstance(at, Point)
        return Point(at.x + 1, at.y)


async def test_a_class_with_a_transfer_type_is_stored_as_it(gateway: Gateway) -> None:
    async with gateway.on([Moved]) as client:
        assert await client.execute_workflow(Moved.run, Point(1, 2), id="w", task_queue=QUEUE) == Point(2, 2)


def test_the_hint_tells_the_arguments_of_a_generic_class() -> None:
    payloads = DataConverter.default.payload_converter
    payload = payloads.to_payload(Point(1, 2))
    assert payloads.from_payload(payload) == {"text": "1 2"}
    assert payloads.from_payload(payload, Point) == Point(1, 2)
    found: Any = payloads.from_payload(payload, Point[str])
    assert found.x == "1"


def test_a_class_has_one_converter() -> None:
    with pytest.raises(TypeError, match="already has a transfer type converter"):
        transfer_type_convertible(ThroughText)(Point)


# -- errors and policies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("details", "kept"), [(None, ()), ("why", ("why",)), ([], ([],))])
def test_a_validation_error_is_final(details: Any, kept: tuple[Any, ...]) -> None:
    error = create_payload_validation_error(details)
    assert (error.message, error.type, error.non_retryable, tuple(error.details)) == (
        "Payload validation failed",
        "PayloadValidationError",
        True,
        kept,
    )


def test_an_rpc_error_has_its_status_as_a_message() -> None:
    status = RPCError("not found", RPCStatusCode.NOT_FOUND).grpc_status
    assert (status.code, status.message, list(status.details)) == (5, "not found", [])


def test_a_retry_policy_goes_through_temporals_message() -> None:
    messages = pytest.importorskip("temporalio.api.common.v1", reason="pip install temporalio")
    policy = RetryPolicy(
        initial_interval=timedelta(seconds=2), maximum_attempts=3, non_retryable_error_types=["NoWater"]
    )
    message = messages.RetryPolicy()
    policy.apply_to_proto(message)
    assert message.maximum_interval.ToTimedelta() == timedelta(seconds=200)
    found = RetryPolicy.from_proto(message)
    assert found == RetryPolicy(
        initial_interval=timedelta(seconds=2),
        maximum_interval=timedelta(seconds=200),
        maximum_attempts=3,
        non_retryable_error_types=["NoWater"],
    )
    assert RetryPolicy.from_proto(messages.RetryPolicy()).maximum_interval is None
    with pytest.raises(ValueError, match="(?i)backoff.coefficient"):
        RetryPolicy(backoff_coefficient=0.5).apply_to_proto(messages.RetryPolicy())
