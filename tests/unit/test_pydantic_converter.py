"""Values of a client with pydantic's converter are what pydantic makes of them."""

from __future__ import annotations

import pickle
import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, PlainSerializer, PlainValidator, Strict, ValidationError

from overwinter import activity, workflow
from overwinter.runtime.client import Client, WorkflowFailureError
from overwinter.runtime.contrib import pydantic as contrib
from overwinter.runtime.contrib.pydantic import (
    PydanticJSONPlainPayloadConverter,
    PydanticPayloadConverter,
    ToJsonOptions,
    pydantic_data_converter,
)
from overwinter.runtime.converter import PayloadLimitError
from overwinter.runtime.exceptions import ApplicationError
from overwinter.runtime.worker import Worker
from tests.unit.gateways import QUEUE, Gateway, engine_on

PAYLOADS = PydanticPayloadConverter()


class Sown(BaseModel):
    kind: Literal["sown"] = "sown"
    on: Annotated[datetime, Strict()]


class Reaped(BaseModel):
    kind: Literal["reaped"] = "reaped"
    after: timedelta
    weights: dict[int, float] = {}


class Row:
    """No type that pydantic knows by itself."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and other.number == self.number


NumberedRow = Annotated[
    Row,
    PlainValidator(lambda found: found if isinstance(found, Row) else Row(found)),
    PlainSerializer(lambda row: row.number),
]


class Bed(BaseModel):
    id: uuid.UUID
    rows: list[NumberedRow]
    events: list[Annotated[Sown | Reaped, Field(discriminator="kind")]]


BED = Bed(
    id=uuid.UUID(int=7),
    rows=[Row(3)],
    events=[Sown(on=datetime(2026, 4, 1, 6)), Reaped(after=timedelta(days=90), weights={1: 2.5})],
)


@activity.defn
async def looked_at(bed: Bed) -> Bed:
    assert bed == BED
    return bed


@workflow.defn(failure_exception_types=[ValidationError])
class Look:
    @workflow.run
    async def run(self, bed: Bed) -> Bed:
        return await workflow.execute_activity(looked_at, bed, start_to_close_timeout=timedelta(minutes=1))


async def test_models_with_strict_fields_custom_types_and_tagged_unions_go_through_a_workflow(
    gateway: Gateway,
) -> None:
    async with engine_on(gateway.journal, gateway.clock) as plain:
        client = Client(plain.engine, data_converter=pydantic_data_converter)
        async with Worker(client, task_queue=QUEUE, workflows=[Look], activities=[looked_at]):
            assert await client.execute_workflow(Look.run, BED, id="w", task_queue=QUEUE) == BED


@pytest.mark.parametrize("converter", [pydantic_data_converter, None])
async def test_an_argument_that_a_model_refuses_fails_a_workflow_that_lists_the_error_as_a_failure(
    gateway: Gateway, converter: Any
) -> None:
    async with engine_on(gateway.journal, gateway.clock) as plain:
        client = plain if converter is None else Client(plain.engine, data_converter=converter)
        async with Worker(client, task_queue=QUEUE, workflows=[Look], activities=[looked_at]):
            with pytest.raises(WorkflowFailureError) as failed:
                await client.execute_workflow("Look", {"id": 5}, id="w", task_queue=QUEUE)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "ValidationError"
    assert "validation errors for Bed" in failed.value.cause.message


def test_what_does_not_fit_is_refused_by_pydantic() -> None:
    with pytest.raises(ValidationError):
        PAYLOADS.from_payload(PAYLOADS.to_payload("three"), int)


def test_none_and_bytes_are_as_ever() -> None:
    assert [payload.encoding for payload in PAYLOADS.to_payloads([None, b"x", 1])] == [
        "binary/null",
        "binary/plain",
        "json/plain",
    ]


def test_fields_that_were_not_given_may_be_left_out() -> None:
    converter = PydanticPayloadConverter(ToJsonOptions(exclude_unset=True))
    assert converter.to_payload(Reaped(after=timedelta(1))).data == b'{"after":"P1D"}'


def test_a_value_that_is_too_large_is_refused() -> None:
    with pytest.raises(PayloadLimitError):
        PAYLOADS.to_payload("x" * (3 * 1024 * 1024))


@pytest.mark.parametrize(("kept", "made"), [(None, 2), (1, 3), (0, 4)])
def test_adapters_are_made_once_for_as_many_types_as_are_kept(
    monkeypatch: pytest.MonkeyPatch, kept: int | None, made: int
) -> None:
    hints: list[Any] = []
    real = contrib.TypeAdapter
    monkeypatch.setattr(contrib, "TypeAdapter", lambda hint: (hints.append(hint), real(hint))[1])
    converter = PydanticJSONPlainPayloadConverter(max_cached_type_adapters=kept)
    payload = converter.to_payload([1])
    assert payload is not None
    for hint in (list[int], list[int], list[float], list[int]):
        assert converter.from_payload(payload, hint) == [1]
    assert len(hints) == made


def test_a_negative_number_of_adapters_is_refused() -> None:
    with pytest.raises(ValueError, match="max_cached_type_adapters cannot be negative"):
        PydanticPayloadConverter(max_cached_type_adapters=-1)


def test_a_converter_can_be_copied_with_its_options() -> None:
    copied = pickle.loads(pickle.dumps(PydanticJSONPlainPayloadConverter(ToJsonOptions(True))))
    payload = copied.to_payload(Reaped(after=timedelta(1)))
    assert copied.from_payload(payload, Reaped) == Reaped(after=timedelta(1))
    assert payload.data == b'{"after":"P1D"}'
