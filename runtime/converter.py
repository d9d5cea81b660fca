"""Values as payloads: which converter writes a value, which reads a payload, and what a codec sees.

A payload converter is synchronous and deterministic, so that workflow code may use it; a codec (encryption,
compression) is asynchronous and runs outside of workflow code. Everything but None and bytes is written as
``msgpack/plain``; ``json/plain`` is read as well.
"""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, ClassVar, Final, Self, TypeVar, cast, overload

from .common import RawValue
from .core.codec import KNOWN_METADATA
from .core.payload import ENCODING, Failure, Payload
from .failures import DefaultFailureConverter, DefaultFailureConverterWithEncodedAttributes, FailureConverter
from .plain_values import (
    DEFAULT_LIMITS,
    READ_BYTES_MAX,
    LocatedError,
    PayloadLimitError,
    PayloadLimits,
    PayloadUnreadable,
    UnencodableError,
    pack,
    simpler,
    unpack,
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

T = TypeVar("T")

# The very objects that stored events are decoded with: recurring metadata is kept once.
_METADATA: Final = {metadata[ENCODING].decode(): metadata for metadata in KNOWN_METADATA}


def _metadata(encoding: str) -> Mapping[str, bytes]:
    return _METADATA.get(encoding) or {ENCODING: encoding.encode()}


# -- what a value is converted for -----------------------------------------------------------------


class SerializationContext(ABC):  # noqa: B024 - a common base; its kinds have nothing in common
    """What a value belongs to; the same when it is written and when it is read."""


@dataclass(frozen=True)
class WorkflowSerializationContext(SerializationContext):
    """The value belongs to an execution."""

    namespace: str
    workflow_id: str


@dataclass(frozen=True)
class ActivitySerializationContext(SerializationContext):
    """The value belongs to an activity."""

    namespace: str
    activity_id: str | None
    activity_type: str | None
    activity_task_queue: str | None
    workflow_id: str | None
    workflow_type: str | None
    is_local: bool


class WithSerializationContext(ABC):
    """A converter or codec that wants to know what it works for."""

    @abstractmethod
    def with_context(self, context: SerializationContext) -> Self:
        """A copy that works for this context, or itself if that changes nothing."""


# -- payload converters ----------------------------------------------------------------------------


class PayloadConverter(ABC):
    """Converts values to payloads and back."""

    default: ClassVar[PayloadConverter]
    """The converter that is used when none is set."""

    @abstractmethod
    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """The values as payloads; a `RawValue` is passed on.

        Raises:
            PayloadLimitError: a value is too large to be kept; the message names the place within it.
            TypeError: a value has no stored form.
        """

    @abstractmethod
    def from_payloads(self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """The values of payloads; a hint of `RawValue` wraps the payload.

        Raises:
            KeyError: no converter knows the payload's encoding.
            RuntimeError: a payload's bytes do not decode.
            TypeError: a value does not fit its hint.
        """

    def to_payload(self, value: Any) -> Payload:
        """`to_payloads` for one value."""
        return self.to_payloads([value])[0]

    @overload
    def from_payload(self, payload: Payload) -> Any: ...

    @overload
    def from_payload(self, payload: Payload, type_hint: type[T]) -> T: ...

    @overload
    def from_payload(self, payload: Payload, type_hint: Any) -> Any: ...

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """`from_payloads` for one payload."""
        return self.from_payloads([payload], None if type_hint is None else [type_hint])[0]


class EncodingPayloadConverter(ABC):
    """Converts values to and from one encoding."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The encoding's name, as it stands in a payload's metadata."""

    @abstractmethod
    def to_payload(self, value: Any) -> Payload | None:
        """The value as a payload, or None if this encoding is not for it."""

    @abstractmethod
    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The payload's value, as the hint asks."""


class BinaryNullPayloadConverter(EncodingPayloadConverter):
    """None, as no bytes at all."""

    @property
    def encoding(self) -> str:
        """``binary/null``."""
        return "binary/null"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of None."""
        return _NULL if value is None else None

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """None, whatever the hint.

        Raises:
            PayloadUnreadable: there are bytes.
        """
        if payload.data:
            raise PayloadUnreadable(f"a binary/null payload has {len(payload.data)} bytes, expected none")
        return None


_NULL: Final = Payload(_metadata("binary/null"), b"")


class BinaryPlainPayloadConverter(EncodingPayloadConverter):
    """Bytes as they are."""

    def __init__(self, limits: PayloadLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._metadata = _metadata(self.encoding)

    @property
    def encoding(self) -> str:
        """``binary/plain``."""
        return "binary/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of bytes.

        Raises:
            PayloadLimitError: there are too many.
        """
        if not isinstance(value, bytes):
            return None
        _require_size(len(value), self._limits)
        return Payload(self._metadata, value)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The bytes, whatever the hint."""
        return payload.data


class MsgpackPlainPayloadConverter(EncodingPayloadConverter):
    """Plain values, dataclasses and what else `pack` accepts, as msgpack."""

    def __init__(
        self, limits: PayloadLimits = DEFAULT_LIMITS, *, custom_type_converters: Sequence[JSONTypeConverter] = ()
    ) -> None:
        """``custom_type_converters`` are tried first when a value is read with a hint."""
        self._limits = limits
        self._custom = tuple(custom_type_converters)
        self._metadata = _metadata(self.encoding)

    @property
    def encoding(self) -> str:
        """``msgpack/plain``."""
        return "msgpack/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """The value's payload.

        Raises:
            PayloadLimitError: it is too large, too deep, or contains itself.
            UnencodableError: it holds something without a stored form.
        """
        return Payload(self._metadata, pack(value, self._limits))

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value, as the hint asks.

        Raises:
            PayloadUnreadable: the bytes do not decode.
            MismatchError: the value does not fit the hint.
        """
        value = unpack(payload.data)
        if type_hint is None or (type(value) is type_hint and not self._custom):
            return value
        return value_to_type(type_hint, value, self._custom)


class AdvancedJSONEncoder(json.JSONEncoder):
    """JSON for what `pack` accepts; bytes within a value become lists of numbers."""

    def default(self, o: Any) -> Any:
        """One step towards plain JSON."""
        return list(bytes(o)) if isinstance(o, bytes | bytearray | memoryview) else simpler(o)


class JSONPlainPayloadConverter(EncodingPayloadConverter):
    """Values as JSON: for reading what others wrote, and for a composite of one's own."""

    def __init__(
        self,
        *,
        encoder: type[json.JSONEncoder] | None = AdvancedJSONEncoder,
        decoder: type[json.JSONDecoder] | None = None,
        encoding: str = "json/plain",
        custom_type_converters: Sequence[JSONTypeConverter] = (),
        limits: PayloadLimits = DEFAULT_LIMITS,
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._encoding = encoding
        self._custom = tuple(custom_type_converters)
        self._limits = limits
        self._metadata = _metadata(encoding)

    @property
    def encoding(self) -> str:
        """``json/plain``, or what was given."""
        return self._encoding

    def to_payload(self, value: Any) -> Payload | None:
        """The value's payload, with sorted keys.

        Raises:
            PayloadLimitError: it is too large or nested too deeply.
            TypeError, ValueError: JSON has no form for it.
        """
        try:
            text = json.dumps(value, cls=self._encoder, separators=(",", ":"), sort_keys=True)
        except RecursionError:
            raise PayloadLimitError("the value is nested too deeply for JSON: pass a flatter value") from None
        data = text.encode()
        _require_size(len(data), self._limits)
        return Payload(self._metadata, data)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value, as the hint asks.

        Raises:
            PayloadUnreadable: the bytes are not JSON.
            MismatchError: the value does not fit the hint.
        """
        if len(payload.data) > READ_BYTES_MAX:
            raise PayloadUnreadable(f"a payload has {len(payload.data)} bytes, at most {READ_BYTES_MAX} are read")
        try:
            value = json.loads(payload.data, cls=self._decoder)
        except (ValueError, RecursionError) as exc:
            raise PayloadUnreadable(f"a payload's bytes are not JSON that is read: {exc}") from exc
        return value if type_hint is None else value_to_type(type_hint, value, self._custom)


def _require_size(size: int, limits: PayloadLimits) -> None:
    if size > limits.bytes_max:
        raise PayloadLimitError(
            f"the encoded value has {size} bytes, at most {limits.bytes_max} (PayloadLimits.bytes_max) are kept in a "
            "history: write it to a file and pass a reference"
        )


class CompositePayloadConverter(PayloadConverter, WithSerializationContext):
    """Gives each value to the first converter that takes it, each payload to the one of its encoding."""

    converters: Mapping[bytes, EncodingPayloadConverter]
    """The converters by their encoding, in order."""

    def __init__(self, *converters: EncodingPayloadConverter) -> None:
        self._set_converters(converters)

    def _set_converters(self, converters: Sequence[EncodingPayloadConverter]) -> None:
        self.converters = {converter.encoding.encode(): converter for converter in converters}
        self._in_order = tuple(self.converters.values())

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """As many payloads as values.

        Raises:
            RuntimeError: no converter takes a value.
        """
        return [self.to_payload(value) for value in values]

    def to_payload(self, value: Any) -> Payload:
        """The payload of the first converter that takes the value."""
        if type(value) is RawValue:
            return value.payload
        for converter in self._in_order:
            payload = converter.to_payload(value)
            if payload is not None:
                return payload
        raise RuntimeError(f"no converter takes a value of type {type(value).__name__}: add one to the composite")

    def from_payloads(self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """As many values as payloads; hints that are missing ask for nothing."""
        if not type_hints:
            return [self._from_payload(payload, None) for payload in payloads]
        hints = type_hints[: len(payloads)]
        return [self._from_payload(payload, hint) for payload, hint in zip_longest(payloads, hints)]

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value by the converter of the payload's encoding."""
        return self._from_payload(payload, type_hint)

    def _from_payload(self, payload: Payload, type_hint: Any) -> Any:
        if type_hint is RawValue:
            return RawValue(payload)
        converter = self.converters.get(payload.metadata.get(ENCODING, b""))
        if converter is None:
            known = ", ".join(name.decode() for name in self.converters)
            raise KeyError(f"a payload's encoding is {payload.encoding!r}, expected one of {known}")
        return converter.from_payload(payload, type_hint)

    def with_context(self, context: SerializationContext) -> Self:
        """A copy whose converters work for this context; itself if none of them does."""
        converters = self.get_converters_with_context(context)
        if converters is None:
            return self
        copied = copy.copy(self)
        copied._set_converters(converters)
        return copied

    def get_converters_with_context(self, context: SerializationContext) -> list[EncodingPayloadConverter] | None:
        """The converters for this context, or None if it changes none of them."""
        converters = [_for_context(converter, context) for converter in self._in_order]
        changed = any(new is not old for new, old in zip(converters, self._in_order, strict=True))
        return converters if changed else None


class DefaultPayloadConverter(CompositePayloadConverter):
    """None and bytes as they are, everything else as msgpack; JSON is read as well."""

    default_encoding_payload_converters: ClassVar[tuple[EncodingPayloadConverter, ...]]
    """The converters with the default limits, for a composite of one's own."""

    def __init__(self, limits: PayloadLimits = DEFAULT_LIMITS) -> None:
        super().__init__(*_default_converters(limits))


def _default_converters(limits: PayloadLimits) -> tuple[EncodingPayloadConverter, ...]:
    # JSON comes last: msgpack takes every value, so JSON is only read.
    return (
        BinaryNullPayloadConverter(),
        BinaryPlainPayloadConverter(limits),
        MsgpackPlainPayloadConverter(limits),
        JSONPlainPayloadConverter(limits=limits),
    )


DefaultPayloadConverter.default_encoding_payload_converters = _default_converters(DEFAULT_LIMITS)
PayloadConverter.default = DefaultPayloadConverter()


# -- codec -----------------------------------------------------------------------------------------


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
            name: (part, _for_context(part, context))
            for name in ("payload_converter", "payload_codec", "failure_converter")
            if (part := getattr(self, name)) is not None
        }
        if all(new is old for old, new in parts.values()):
            return self
        copied = copy.copy(self)
        for name, (_, new) in parts.items():
            object.__setattr__(copied, name, new)
        return copied


def _for_context(part: T, context: SerializationContext) -> T:
    return cast("T", part.with_context(context)) if isinstance(part, WithSerializationContext) else part


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """The default data converter."""
    return DataConverter.default
