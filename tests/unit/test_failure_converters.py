"""Failure converters as users of Temporal's SDK write them, at work in activities and workflows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from overwinter import activity, workflow
from overwinter.runtime.api.common.v1 import Payload, Payloads
from overwinter.runtime.api.failure.v1 import Failure
from overwinter.runtime.client import WorkflowFailureError
from overwinter.runtime.common import RetryPolicy
from overwinter.runtime.converter import (
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    FailureConverter,
    PayloadCodec,
    PayloadConverter,
)
from overwinter.runtime.core.commands import FailWorkflow
from overwinter.runtime.exceptions import ActivityError, ApplicationError
from overwinter.runtime.testing import WorkflowEnvironment
from overwinter.runtime.worker import Worker

QUEUE = "tests"


class DryField(ApplicationError):
    def __init__(self, message: str, moisture: float = 0.0) -> None:
        super().__init__(message, moisture, type="DryField", non_retryable=True)
        self.moisture = moisture


class UnwillingError(Exception):
    """What a converter below refuses to convert."""


@activity.defn
async def look(moisture: float) -> None:
    raise DryField("too dry", moisture)


@activity.defn
async def refuse() -> None:
    raise UnwillingError


@workflow.defn
class Irrigate:
    @workflow.run
    async def run(self, moisture: float) -> None:
        try:
            await workflow.execute_activity(look, moisture, start_to_close_timeout=timedelta(seconds=5))
        except ActivityError:
            raise DryField("given up", moisture)  # noqa: B904 - its cause is found without being named


@workflow.defn
class Refused:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            refuse,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


class Back(DefaultFailureConverterWithEncodedAttributes):
    """Gives authors their own class back; messages are hidden in the history."""

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        error = super().from_failure(failure, payload_converter)
        if isinstance(error, ApplicationError) and error.type == "DryField":
            mine = DryField(error.message, error.details[0])
            mine.__cause__ = error.__cause__
            return mine
        return error


class Marking(DefaultFailureConverter):
    """Adds to what the default has written."""

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        if isinstance(exception, UnwillingError):
            raise RuntimeError("it does not want to")
        super().to_failure(exception, payload_converter, failure)
        if failure.HasField("application_failure_info"):
            failure.application_failure_info.details.payloads.append(payload_converter.to_payload("marked"))


class FromScratch(FailureConverter):
    """Uses nothing of the default's."""

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        failure.message = f"[{exception}]"
        failure.source = "scratch"
        failure.application_failure_info.type = "Scratch"
        failure.application_failure_info.non_retryable = True
        failure.application_failure_info.details.CopyFrom(
            payload_converter.to_payloads_wrapper([type(exception).__name__])
        )
        if exception.__cause__ is not None:
            self.to_failure(exception.__cause__, payload_converter, failure.cause)

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        if failure.WhichOneof("failure_info") != "application_failure_info":
            error: BaseException = ApplicationError(failure.message, type="Other")
        else:
            info = failure.application_failure_info
            error = ApplicationError(
                failure.message, *payload_converter.from_payloads_wrapper(info.details), type=info.type
            )
        if failure.HasField("cause"):
            error.__cause__ = self.from_failure(failure.cause, payload_converter)
        return error


async def failure_of(converter: DataConverter, cls: Any, *args: Any) -> tuple[BaseException, Any]:
    """How a workflow fails for its client, and the record of it in the history."""
    async with await WorkflowEnvironment.start_time_skipping(data_converter=converter) as env:
        async with Worker(env.client, task_queue=QUEUE, workflows=[cls], activities=[look, refuse]):
            handle = await env.client.start_workflow(cls.run, args=args, id="one", task_queue=QUEUE)
            with pytest.raises(WorkflowFailureError) as failed:
                await handle.result()
            last = (await handle.fetch_history()).records[-1].body
    assert isinstance(last, FailWorkflow)
    return failed.value.cause, last.failure


def of_class(cls: type[FailureConverter]) -> DataConverter:
    return dataclasses.replace(DataConverter.default, failure_converter_class=cls)


async def test_authors_get_their_own_class_back_and_the_history_has_no_message() -> None:
    cause, record = await failure_of(of_class(Back), Irrigate, 0.1)
    assert isinstance(cause, DryField)
    assert (cause.message, cause.moisture) == ("given up", 0.1)
    assert isinstance(cause.cause, ActivityError)
    assert isinstance(cause.cause.cause, DryField)
    assert (cause.cause.cause.message, cause.cause.cause.cause) == ("too dry", None)
    while record is not None:
        assert record.message == "Encoded failure"
        assert record.stack_trace == ""
        record = record.cause


async def test_what_a_converter_adds_to_the_default_comes_back() -> None:
    cause, _ = await failure_of(of_class(Marking), Irrigate, 0.2)
    assert isinstance(cause, ApplicationError)
    assert list(cause.details) == [0.2, "marked"]


async def test_a_converter_that_fails_makes_a_failure_that_says_so() -> None:
    cause, _ = await failure_of(of_class(Marking), Refused)
    assert isinstance(cause, ActivityError)
    assert isinstance(cause.cause, ApplicationError)
    assert cause.cause.message == "Failed building exception result: it does not want to"


async def test_a_converter_of_ones_own_from_scratch_is_all_that_is_used() -> None:
    cause, record = await failure_of(of_class(FromScratch), Irrigate, 0.3)
    assert isinstance(cause, ApplicationError)
    # An activity's error is none of its classes, so the workflow did not catch it.
    assert (cause.message, cause.type) == ("[Other: Activity task failed]", "Scratch")
    assert list(cause.details) == ["ApplicationError"]
    assert cause.cause is not None
    assert "[DryField: too dry]" in str(cause.cause)
    assert record.attributes["non_retryable"] is True


class Bundling(PayloadCodec):
    """Puts all payloads that come together into one, as codecs may."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"bundled": b"yes"}, data=Payloads(payloads=payloads).SerializeToString())]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        (payload,) = payloads
        assert payload.metadata.get("bundled") == b"yes"
        wrapper = Payloads()
        wrapper.ParseFromString(payload.data)
        return list(wrapper.payloads)


async def test_a_codec_covers_encoded_attributes_and_details_each_on_its_own() -> None:
    data = DataConverter(
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes, payload_codec=Bundling()
    )
    try:
        raise ApplicationError("secret", "a", "b") from ValueError("secret too")
    except ApplicationError as raised:
        error = raised
    failure, plain = Failure(), Failure()
    data.failure_converter.to_failure(error, data.payload_converter, plain)
    await data.encode_failure(error, failure)
    assert failure.message == "Encoded failure"
    assert set(failure.encoded_attributes.metadata) == {"bundled"}
    assert len(failure.application_failure_info.details.payloads) == 1
    back = await data.decode_failure(failure)
    assert failure == plain
    assert isinstance(back, ApplicationError)
    assert (back.message, list(back.details)) == ("secret", ["a", "b"])
    assert isinstance(back.cause, ApplicationError)
    assert back.cause.message == "secret too"
