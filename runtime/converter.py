"""Values as payloads: which converter writes a value, which reads a payload, and what a codec sees.

A payload converter is synchronous and deterministic, so that workflow code may use it; a codec (encryption,
compression) is asynchronous and runs outside of workflow code. Everything but None and bytes is written as
``msgpack/plain``; ``json/plain`` is read as well.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from .api.common.v1 import Payloads
from .api.failure.v1 import Failure
from .core.payload import Payload
from .failures import DefaultFailureConverter, DefaultFailureConverterWithEncodedAttributes, FailureConverter
from .payload_converters import (
    AdvancedJSONEncoder,
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    CompositePayloadConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    MsgpackPlainPayloadConverter,
    PayloadConverter,
    wants_context,
)
from .plain_values import LocatedError, PayloadLimitError, PayloadLimits, PayloadUnreadable, UnencodableError
from .serialization_context import (
    ActivitySerializationContext,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
    for_context,
)
from .type_hints import JSONTypeConverter, JSONTypeConverterUnhandled, MismatchError, value_to_type

__all__ = [
    "ActivitySerializationContext",
    "AdvancedJSONEncoder",
    "BinaryNullPayloadConverter",
    "BinaryPlainPayloadConverter",
    "CompositePayloadConverter",
    "DataConverter",
    "DefaultFailureConverter",
    "DefaultFailureConverterWithEncodedAttributes",
    "DefaultPayloadConverter",
    "EncodingPayloadConverter",
    "FailureConverter",
    "JSONPlainPayloadConverter",
    "JSONTypeConverter",
    "JSONTypeConverterUnhandled",
    "LocatedError",
    "MismatchError",
    "MsgpackPlainPayloadConverter",
    "PayloadCodec",
    "PayloadConverter",
    "PayloadLimitError",
    "PayloadLimits",
    "PayloadUnreadable",
    "SerializationContext",
    "UnencodableError",
    "WithSerializationContext",
    "WorkflowSerializationContext",
    "default",
    "value_to_type",
]


class PayloadCodec(ABC):
    """Transforms payloads before they are stored, and back; for encryption and compression."""

    @abstractmethod
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What is stored in the place of these payloads, at least one if there are any."""

    @abstractmethod
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads that were given to `encode`."""

    async def encode_wrapper(self, payloads: Payloads) -> None:
        """The message holds what `encode` makes of its payloads."""
        payloads.payloads[:] = await self.encode(payloads.payloads)

    async def decode_wrapper(self, payloads: Payloads) -> None:
        """The message holds what `decode` makes of its payloads."""
        payloads.payloads[:] = await self.decode(payloads.payloads)

    async def encode_failure(self, failure: Failure) -> None:
        """The payloads in the failure, and in its causes, are encoded."""
        await _on_payloads_of(failure, self.encode_wrapper)

    async def decode_failure(self, failure: Failure) -> None:
        """The failure is as it was before `encode_failure`."""
        await _on_payloads_of(failure, self.decode_wrapper)


async def _on_payloads_of(failure: Failure, transform: Callable[[Payloads], Awaitable[None]]) -> None:
    if failure.HasField("encoded_attributes"):
        common = Payloads(payloads=[failure.encoded_attributes])
        await transform(common)
        failure.encoded_attributes.CopyFrom(common.payloads[0])
    for kind, name in _DETAILS:
        if failure.HasField(kind) and getattr(failure, kind).HasField(name):
            await transform(getattr(getattr(failure, kind), name))
    if failure.HasField("cause"):
        await _on_payloads_of(failure.cause, transform)


_DETAILS: Final = (
    ("application_failure_info", "details"),
    ("timeout_failure_info", "last_heartbeat_details"),
    ("canceled_failure_info", "details"),
    ("terminated_failure_info", "details"),
    ("reset_workflow_failure_info", "last_heartbeat_details"),
)


# -- all together ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DataConverter(WithSerializationContext):
    """How values and failures are written and read: one for a client and its workers."""

    payload_converter_class: Callable[[], PayloadConverter] = DefaultPayloadConverter
    """Makes the payload converter; a class, or a call that gives it its limits."""

    payload_codec: PayloadCodec | None = None
    """Runs on every payload outside of workflow code."""

    failure_converter_class: Callable[[], FailureConverter] = DefaultFailureConverter
    """Makes the failure converter."""

    payload_converter: PayloadConverter = field(init=False)
    """The one that was made."""

    failure_converter: FailureConverter = field(init=False)
    """The one that was made."""

    default: ClassVar[DataConverter]
    """Everything as it is by default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload_converter", self.payload_converter_class())
        object.__setattr__(self, "failure_converter", self.failure_converter_class())

    async def encode(self, values: Sequence[Any]) -> list[Payload]:
        """The values as they are stored."""
        payloads = self.payload_converter.to_payloads(values)
        return await self.payload_codec.encode(payloads) if self.payload_codec and payloads else payloads

    async def decode(self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """The values of stored payloads."""
        if self.payload_codec and payloads:
            payloads = await self.payload_codec.decode(payloads)
        return self.payload_converter.from_payloads(payloads, type_hints)

    async def encode_wrapper(self, values: Sequence[Any]) -> Payloads:
        """`encode`, as a message."""
        return Payloads(payloads=await self.encode(values))

    async def decode_wrapper(
        self, payloads: Payloads | None, type_hints: Sequence[Any] | None = None
    ) -> list[Any]:
        """`decode`, of a message."""
        return await self.decode(payloads.payloads, type_hints) if payloads and payloads.payloads else []

    async def encode_failure(self, exception: BaseException, failure: Failure) -> None:
        """`failure`, which was empty, says what the exception says, as it is stored."""
        self.failure_converter.to_failure(exception, self.payload_converter, failure)
        if self.payload_codec:
            await self.payload_codec.encode_failure(failure)

    async def decode_failure(self, failure: Failure) -> BaseException:
        """The exception of a stored failure; afterwards the failure is as it was before it was stored."""
        if self.payload_codec:
            await self.payload_codec.decode_failure(failure)
        return self.failure_converter.from_failure(failure, self.payload_converter)

    def with_context(self, context: SerializationContext) -> Self:
        """A copy whose parts work for this context; itself if none of them does."""
        parts = {
            name: (part, for_context(part, context))
            for name in _PARTS
            if (part := getattr(self, name)) is not None
        }
        if all(new is old for old, new in parts.values()):
            return self
        copied = copy.copy(self)
        for name, (_, new) in parts.items():
            object.__setattr__(copied, name, new)
        return copied

    @property
    def wants_context(self) -> bool:
        """Whether one of its parts asks what it works for; `with_context` changes nothing otherwise."""
        return any(wants_context(getattr(self, name)) for name in _PARTS)


_PARTS = ("payload_converter", "payload_codec", "failure_converter")
"""What may want to know the context."""


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """The default data converter."""
    return DataConverter.default
