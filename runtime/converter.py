"""Values as payloads: which converter writes a value, which reads a payload, and what a codec sees.

A payload converter is synchronous and deterministic, so that workflow code may use it; a codec (encryption,
compression) is asynchronous and runs outside of workflow code. Everything but None and bytes is written as
``msgpack/plain``; ``json/plain`` is read as well.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from .core.payload import Failure, Payload
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

    async def encode_failure(self, failure: Failure) -> Failure:
        """The failure and its causes with their details encoded."""
        return await _on_details(failure, self.encode)

    async def decode_failure(self, failure: Failure) -> Failure:
        """The failure that was given to `encode_failure`."""
        return await _on_details(failure, self.decode)


async def _on_details(failure: Failure, transform: Callable[[Sequence[Payload]], Any]) -> Failure:
    links = [failure]
    while (cause := links[-1].cause) is not None:
        links.append(cause)
    transformed: Failure | None = None
    for link in reversed(links):
        details = tuple(await transform(link.details)) if link.details else ()
        transformed = replace(link, details=details, cause=transformed)
    assert transformed is not None
    return transformed


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

    async def encode_failure(self, exception: BaseException) -> Failure:
        """The exception as it is stored."""
        failure = self.failure_converter.to_failure(exception, self.payload_converter)
        return await self.payload_codec.encode_failure(failure) if self.payload_codec else failure

    async def decode_failure(self, failure: Failure) -> BaseException:
        """The exception of a stored failure."""
        if self.payload_codec:
            failure = await self.payload_codec.decode_failure(failure)
        return self.failure_converter.from_failure(failure, self.payload_converter)

    def with_context(self, context: SerializationContext) -> Self:
        """A copy whose parts work for this context; itself if none of them does."""
        parts = {
            name: (part, for_context(part, context))
            for name in ("payload_converter", "payload_codec", "failure_converter")
            if (part := getattr(self, name)) is not None
        }
        if all(new is old for old, new in parts.values()):
            return self
        copied = copy.copy(self)
        for name, (_, new) in parts.items():
            object.__setattr__(copied, name, new)
        return copied


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """The default data converter."""
    return DataConverter.default
