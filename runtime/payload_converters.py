"""The converters that write one value as one payload, and the composite that chooses among them."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Final, Self, TypeVar, overload

from .api.common.v1 import Payloads
from .common import RawValue
from .core.payload import ENCODING, Payload
from .encoding_converter import EncodingPayloadConverter
from .external_storage.references import NOT_CONFIGURED, REFERENCE_ENCODING, is_reference
from .plain_values import (
    DEFAULT_LIMITS,
    READ_BYTES_MAX,
    PayloadLimitError,
    PayloadLimits,
    PayloadUnreadable,
    pack,
    require_size,
    simpler,
    unpack,
)
from .protobuf_converters import BinaryProtoPayloadConverter, JSONProtoPayloadConverter, is_message
from .serialization_context import SerializationContext, WithSerializationContext, for_context
from .transfer_types import transfer_converter
from .type_hints import JSONTypeConverter, value_to_type

T = TypeVar("T")


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
    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None
    ) -> list[Any]:
        """The values of payloads; a hint of `RawValue` wraps the payload.

        Raises:
            KeyError: no converter knows the payload's encoding.
            RuntimeError: a payload's bytes do not decode.
            TypeError: a value does not fit its hint.
        """

    def to_payloads_wrapper(self, values: Sequence[Any]) -> Payloads:
        """`to_payloads`, as a message."""
        return Payloads(payloads=self.to_payloads(values))

    def from_payloads_wrapper(self, payloads: Payloads | None) -> list[Any]:
        """`from_payloads`, of a message."""
        return self.from_payloads(payloads.payloads) if payloads and payloads.payloads else []

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


class BinaryNullPayloadConverter(EncodingPayloadConverter):
    """None, as no bytes at all."""

    @property
    def encoding(self) -> str:
        """``binary/null``."""
        return "binary/null"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of None."""
        return Payload({ENCODING: b"binary/null"}) if value is None else None

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """None, whatever the hint.

        Raises:
            PayloadUnreadable: there are bytes.
        """
        if payload.data:
            raise PayloadUnreadable(f"a binary/null payload has {len(payload.data)} bytes, expected none")
        return None


class BinaryPlainPayloadConverter(EncodingPayloadConverter):
    """Bytes as they are."""

    def __init__(self, limits: PayloadLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._encoding = self.encoding.encode()

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
        require_size(len(value), self._limits)
        return Payload({ENCODING: self._encoding}, value)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The bytes, whatever the hint."""
        return payload.data


class MsgpackPlainPayloadConverter(EncodingPayloadConverter):
    """Plain values, dataclasses and what else `pack` accepts, as msgpack."""

    def __init__(
        self,
        limits: PayloadLimits = DEFAULT_LIMITS,
        *,
        custom_type_converters: Sequence[JSONTypeConverter] = (),
    ) -> None:
        """``custom_type_converters`` are tried first when a value is read with a hint."""
        self._limits = limits
        self._custom = tuple(custom_type_converters)
        self._encoding = self.encoding.encode()

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
        if type(value) not in _MSGPACK_KINDS and is_message(value):
            return None
        return Payload({ENCODING: self._encoding}, pack(value, self._limits))

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
        step = simpler(o)
        return list(step) if type(step) is bytes else step


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
        self.only_reads = (encoder, decoder, encoding) == (
            AdvancedJSONEncoder,
            None,
            "json/plain",
        ) and not self._custom
        """Behind msgpack in a composite: it has nothing of its author that msgpack lacks."""

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
        require_size(len(data), self._limits)
        return Payload({ENCODING: self._encoding.encode()}, data)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value, as the hint asks.

        Raises:
            PayloadUnreadable: the bytes are not JSON.
            MismatchError: the value does not fit the hint.
        """
        if len(payload.data) > READ_BYTES_MAX:
            raise PayloadUnreadable(
                f"a payload has {len(payload.data)} bytes, at most {READ_BYTES_MAX} are read"
            )
        try:
            value = json.loads(payload.data, cls=self._decoder)
        except (ValueError, RecursionError) as exc:
            raise PayloadUnreadable(f"a payload's bytes are not JSON that is read: {exc}") from exc
        return value if type_hint is None else value_to_type(type_hint, value, self._custom)


class CompositePayloadConverter(PayloadConverter, WithSerializationContext):
    """Gives each value to the first converter that takes it, each payload to the one of its encoding."""

    converters: Mapping[bytes, EncodingPayloadConverter]
    """The converters by their encoding, in order."""

    def __init__(self, *converters: EncodingPayloadConverter) -> None:
        self._set_converters(converters)

    def _set_converters(self, converters: Sequence[EncodingPayloadConverter]) -> None:
        self.converters = {converter.encoding.encode(): converter for converter in converters}
        self._in_order = _in_order_of_asking(tuple(self.converters.values()))
        self._foreign = frozenset(
            name for name, converter in self.converters.items() if type(converter).__module__ != __name__
        )

    def with_limits(self, limits: PayloadLimits) -> Self:
        """A copy in which those of the converters above that have limits have these."""
        copied = copy.copy(self)
        copied._set_converters([_with_limits(converter, limits) for converter in self._in_order])  # noqa: SLF001 - as in `with_context`
        return copied

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
        transfer = transfer_converter(type(value))
        if transfer is not None:
            value = transfer.to_transfer_type(value)
        for converter in self._in_order:
            payload = converter.to_payload(value)
            if payload is not None:
                return payload
        raise RuntimeError(f"no converter takes a {type(value).__name__}: add one to the composite")

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None
    ) -> list[Any]:
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
        transfer = None if type_hint is None else transfer_converter(type_hint)
        if transfer is not None:
            hint: Any = type_hint
            return transfer.from_transfer_type(self._from_payload(payload, transfer.transfer_type), hint)
        encoding = payload.metadata.get(ENCODING, b"")
        converter = self.converters.get(encoding)
        if (converter is None or encoding == REFERENCE_ENCODING) and is_reference(payload):
            raise RuntimeError(NOT_CONFIGURED)
        if converter is None:
            known = ", ".join(name.decode() for name in self.converters)
            raise KeyError(f"Unknown payload encoding {payload.encoding}, expected one of {known}")
        if encoding in self._foreign:
            payload = payload.copied()  # It may change the payload, and the execution's state has this one.
        return converter.from_payload(payload, type_hint)

    def with_context(self, context: SerializationContext) -> Self:
        """A copy whose converters work for this context; itself if none of them does."""
        converters = self.get_converters_with_context(context)
        if converters is None:
            return self
        copied = copy.copy(self)
        copied._set_converters(converters)  # noqa: SLF001 - a copy of this very class
        return copied

    def get_converters_with_context(
        self, context: SerializationContext
    ) -> list[EncodingPayloadConverter] | None:
        """The converters for this context, or None if it changes none of them."""
        converters = [for_context(converter, context) for converter in self._in_order]
        changed = any(new is not old for new, old in zip(converters, self._in_order, strict=True))
        return converters if changed else None


def _in_order_of_asking(
    converters: tuple[EncodingPayloadConverter, ...],
) -> tuple[EncodingPayloadConverter, ...]:
    """Msgpack takes every value, so it is asked after what an author has put behind it.

    Whoever replaces the default JSON converter by one of their own expects it to write.
    """
    for at, converter in enumerate(converters):
        if type(converter) is MsgpackPlainPayloadConverter:
            before, behind = converters[:at], converters[at + 1 :]
            theirs = tuple(each for each in behind if not _stands_behind_msgpack(each))
            return (*before, *theirs, converter, *(each for each in behind if each not in theirs))
    return converters


def _stands_behind_msgpack(converter: EncodingPayloadConverter) -> bool:
    """Whether it takes nothing that msgpack takes too, or only reads."""
    if type(converter) is JSONPlainPayloadConverter:
        return converter.only_reads
    return isinstance(converter, JSONProtoPayloadConverter | BinaryProtoPayloadConverter)


def wants_context(part: object) -> bool:
    """Whether a part of a converter asks what it works for; a composite as it is does when one of its converters does."""
    if not isinstance(part, CompositePayloadConverter):
        return isinstance(part, WithSerializationContext)
    kind, usual = type(part), CompositePayloadConverter
    is_usual = (kind.with_context, kind.get_converters_with_context) == (
        usual.with_context,
        usual.get_converters_with_context,
    )
    return not is_usual or any(wants_context(converter) for converter in part.converters.values())


def _with_limits(converter: EncodingPayloadConverter, limits: PayloadLimits) -> EncodingPayloadConverter:
    if not isinstance(
        converter,
        BinaryPlainPayloadConverter
        | MsgpackPlainPayloadConverter
        | JSONPlainPayloadConverter
        | JSONProtoPayloadConverter
        | BinaryProtoPayloadConverter,
    ):
        return converter
    copied = copy.copy(converter)
    copied._limits = limits  # noqa: SLF001 - of the classes above
    return copied


class DefaultPayloadConverter(CompositePayloadConverter):
    """None and bytes as they are, Protobuf's messages as JSON, everything else as msgpack; JSON is read as well."""

    default_encoding_payload_converters: ClassVar[tuple[EncodingPayloadConverter, ...]]
    """The converters with the default limits, for a composite of one's own."""

    def __init__(self, limits: PayloadLimits = DEFAULT_LIMITS) -> None:
        super().__init__(*_default_converters(limits))

    def to_payload(self, value: Any) -> Payload:
        """The value's payload; the usual kinds of value go straight to the converter that takes them."""
        if type(value) in _MSGPACK_KINDS:
            payload = self.converters[_MSGPACK].to_payload(value)
            if payload is not None:
                return payload
        return super().to_payload(value)


_MSGPACK: Final = b"msgpack/plain"
_MSGPACK_KINDS: Final[frozenset[type]] = frozenset({bool, int, float, str, list, dict})


def _default_converters(limits: PayloadLimits) -> tuple[EncodingPayloadConverter, ...]:
    # Msgpack takes every value but messages, so JSON is only read.
    return (
        BinaryNullPayloadConverter(),
        BinaryPlainPayloadConverter(limits),
        MsgpackPlainPayloadConverter(limits),
        JSONProtoPayloadConverter(limits=limits),
        BinaryProtoPayloadConverter(limits),
        JSONPlainPayloadConverter(limits=limits),
    )


DefaultPayloadConverter.default_encoding_payload_converters = _default_converters(DEFAULT_LIMITS)
PayloadConverter.default = DefaultPayloadConverter()
