"""Values as payloads: which converter writes a value, which reads a payload, and what a codec sees.

A payload converter is synchronous and deterministic, so that workflow code may use it; a codec (encryption,
compression) and external storage are asynchronous and work outside of workflow code. Everything but None, bytes and
Protobuf's messages is written as ``msgpack/plain``; ``json/plain`` is read as well.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Any, ClassVar, Final, Self

from .api.common.v1 import Payloads
from .api.failure.v1 import Failure
from .core.payload import Payload
from .core.records import dataclass
from .encoding_converter import EncodingPayloadConverter
from .exceptions import ApplicationError
from .external_storage import (
    ExternalStorage,
    FileStorageDriver,
    StorageDriver,
    StorageDriverActivityInfo,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
    StorageWarning,
)
from .external_storage.drivers import Target
from .external_storage.references import NOT_CONFIGURED, is_reference
from .external_storage.storage import may_leave, retrieved, stored
from .failures import DefaultFailureConverter, DefaultFailureConverterWithEncodedAttributes, FailureConverter
from .nexus import NexusSerializationContext
from .payload_converters import (
    AdvancedJSONEncoder,
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    CompositePayloadConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    MsgpackPlainPayloadConverter,
    PayloadConverter,
    wants_context,
)
from .plain_values import (
    DEFAULT_LIMITS,
    LARGEST_LIMITS,
    LocatedError,
    PayloadLimitError,
    PayloadLimits,
    PayloadUnreadable,
    UnencodableError,
    require_size,
)
from .protobuf_converters import BinaryProtoPayloadConverter, JSONProtoPayloadConverter
from .search_attribute_payloads import (
    decode_search_attributes,
    decode_typed_search_attributes,
    encode_search_attribute_values,
    encode_search_attributes,
    encode_typed_search_attribute_value,
)
from .serialization_context import (
    ActivitySerializationContext,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
    for_context,
)
from .transfer_types import TransferTypeConverter, transfer_type_convertible
from .type_hints import JSONTypeConverter, JSONTypeConverterUnhandled, MismatchError, value_to_type

__all__ = [
    "ActivitySerializationContext",
    "AdvancedJSONEncoder",
    "BinaryNullPayloadConverter",
    "BinaryPlainPayloadConverter",
    "BinaryProtoPayloadConverter",
    "CompositePayloadConverter",
    "DataConverter",
    "DefaultFailureConverter",
    "DefaultFailureConverterWithEncodedAttributes",
    "DefaultPayloadConverter",
    "EncodingPayloadConverter",
    "ExternalStorage",
    "FailureConverter",
    "FileStorageDriver",
    "ImmediatePayloadCodec",
    "JSONPlainPayloadConverter",
    "JSONProtoPayloadConverter",
    "JSONTypeConverter",
    "JSONTypeConverterUnhandled",
    "LocatedError",
    "MismatchError",
    "MsgpackPlainPayloadConverter",
    "NexusSerializationContext",
    "PayloadCodec",
    "PayloadConverter",
    "PayloadLimitError",
    "PayloadLimits",
    "PayloadUnreadable",
    "SerializationContext",
    "StorageDriver",
    "StorageDriverActivityInfo",
    "StorageDriverClaim",
    "StorageDriverRetrieveContext",
    "StorageDriverSelectContext",
    "StorageDriverStoreContext",
    "StorageDriverWorkflowInfo",
    "StorageWarning",
    "TransferTypeConverter",
    "UnencodableError",
    "WithSerializationContext",
    "WorkflowSerializationContext",
    "create_payload_validation_error",
    "decode_search_attributes",
    "decode_typed_search_attributes",
    "default",
    "encode_search_attribute_values",
    "encode_search_attributes",
    "encode_typed_search_attribute_value",
    "transfer_type_convertible",
    "value_to_type",
]


class PayloadCodec(ABC):
    """Transforms payloads before they are stored, and back; for encryption and compression.

    A codec may wait; the execution or activity whose payloads it has waits for it, the others go on. One that never does
    is better an `ImmediatePayloadCodec`.
    """

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
        await on_payloads_of(failure, self.encode)

    async def decode_failure(self, failure: Failure) -> None:
        """The failure is as it was before `encode_failure`."""
        await on_payloads_of(failure, self.decode)


class ImmediatePayloadCodec(PayloadCodec):
    """A codec that has nothing to wait for: an execution need not wait for its turn again to have its payloads."""

    @abstractmethod
    def encode_now(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `encode`."""

    @abstractmethod
    def decode_now(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `decode`."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`."""
        return self.encode_now(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`."""
        return self.decode_now(payloads)


async def on_payloads_of(
    failure: Failure, transform: Callable[[Sequence[Payload]], Awaitable[list[Payload]]]
) -> None:
    """The payloads in the failure, and in its causes, are what `transform` makes of them: each group of details, and
    the encoded attributes on their own.
    """
    if failure.HasField("encoded_attributes"):
        (common,) = await transform([failure.encoded_attributes])
        failure.encoded_attributes.CopyFrom(common)
    for kind, name in _DETAILS:
        if failure.HasField(kind) and getattr(failure, kind).HasField(name):
            payloads = getattr(getattr(failure, kind), name).payloads
            payloads[:] = await transform(payloads)
    if failure.HasField("cause"):
        await on_payloads_of(failure.cause, transform)


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

    external_storage: ExternalStorage | None = None
    """Which payloads are kept outside of the journal; the limits of the default converters then apply to the others."""

    _target: Target = field(default=None, init=False, repr=False, compare=False)
    """For whom payloads are stored externally."""

    default: ClassVar[DataConverter]
    """Everything as it is by default."""

    def __post_init__(self) -> None:
        converter = self.payload_converter_class()
        if self.external_storage is not None and isinstance(converter, CompositePayloadConverter):
            converter = converter.with_limits(LARGEST_LIMITS)
        object.__setattr__(self, "payload_converter", converter)
        object.__setattr__(self, "failure_converter", self.failure_converter_class())

    async def encode(self, values: Sequence[Any]) -> list[Payload]:
        """The values as they are stored."""
        return await self.seal(self.payload_converter.to_payloads(values))

    async def decode(self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """The values of stored payloads."""
        return self.payload_converter.from_payloads(await self.open(payloads), type_hints)

    # What is between a converter and the journal: payloads are sealed by the codec, then large ones are put elsewhere.
    # A codec gets copies, since it may change the metadata in place.

    @property
    def seals(self) -> bool:
        """Whether payloads are stored in another form than the payload converter's."""
        return self.payload_codec is not None or self.external_storage is not None

    async def seal(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payload converter's payloads as they are stored.

        Raises:
            PayloadLimitError: one that stays in the journal is too large for it.
            Exception: whatever the codec or a storage driver raises.
        """
        sealed = list(payloads)
        if self.payload_codec and sealed:
            sealed = await self.payload_codec.encode([payload.copied() for payload in sealed])
        if self.external_storage:
            sealed = await stored(self.external_storage, sealed, self._target)
            _require_room(sealed)
        return sealed

    def seal_now(self, payloads: Sequence[Payload]) -> list[Payload] | None:
        """What `seal` gives, or None when that has to be waited for; raises as it does."""
        sealed = list(payloads)
        if self.payload_codec:
            if not isinstance(self.payload_codec, ImmediatePayloadCodec):
                return None
            sealed = self.payload_codec.encode_now(sealed) if sealed else sealed
        storage = self.external_storage
        if storage:
            if any(may_leave(storage, payload) for payload in sealed):
                return None
            _require_room(sealed)
        return sealed

    async def open(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Stored payloads as the payload converter wrote them.

        Raises:
            RuntimeError: one is kept elsewhere, and there is no external storage.
            Exception: whatever a storage driver or the codec raises.
        """
        opened = list(payloads)
        if any(is_reference(payload) for payload in opened):
            if self.external_storage is None:
                raise RuntimeError(NOT_CONFIGURED)
            opened = await retrieved(self.external_storage, opened)
        if self.payload_codec and opened:
            opened = await self.payload_codec.decode([payload.copied() for payload in opened])
        return opened

    def open_now(self, payloads: Sequence[Payload]) -> list[Payload] | None:
        """What `open` gives, or None when that has to be waited for; raises as it does."""
        if any(is_reference(payload) for payload in payloads):
            return None
        opened = list(payloads)
        if self.payload_codec is None or not opened:
            return opened
        if not isinstance(self.payload_codec, ImmediatePayloadCodec):
            return None
        return self.payload_codec.decode_now(opened)

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
        await on_payloads_of(failure, self.seal)

    async def decode_failure(self, failure: Failure) -> BaseException:
        """The exception of a stored failure; afterwards the failure is as it was before it was stored."""
        await on_payloads_of(failure, self.open)
        return self.failure_converter.from_failure(failure, self.payload_converter)

    def with_context(self, context: SerializationContext) -> Self:
        """A copy whose parts work for this context; itself if none of them does."""
        parts = {
            name: (part, for_context(part, context))
            for name in _PARTS
            if (part := getattr(self, name)) is not None
        }
        changed = {name: new for name, (old, new) in parts.items() if new is not old}
        return self._copied(**changed) if changed else self

    def for_target(self, target: Target) -> Self:
        """A copy whose external storage is told that it stores for this execution or activity."""
        return self if self.external_storage is None else self._copied(_target=target)

    def without_storage(self) -> Self:
        """A copy that keeps nothing elsewhere; it still cannot read what is."""
        return self._copied(external_storage=None)

    def _copied(self, **parts: Any) -> Self:
        copied = copy.copy(self)
        for name, part in parts.items():
            object.__setattr__(copied, name, part)
        return copied

    @property
    def wants_context(self) -> bool:
        """Whether one of its parts asks what it works for; `with_context` changes nothing otherwise."""
        return any(wants_context(getattr(self, name)) for name in _PARTS)


_PARTS = ("payload_converter", "payload_codec", "failure_converter", "external_storage")
"""What may want to know the context."""


def _require_room(payloads: Sequence[Payload]) -> None:
    """What stays in the journal fits; without external storage, the payload converter has seen to that."""
    for payload in payloads:
        require_size(len(payload.data), DEFAULT_LIMITS)


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """The default data converter."""
    return DataConverter.default


def create_payload_validation_error(details: Any) -> ApplicationError:
    """The failure of a value that a converter has read and found wrong; it is not tried again. None is no details."""
    return ApplicationError(
        "Payload validation failed",
        *(() if details is None else (details,)),
        type="PayloadValidationError",
        non_retryable=True,
    )
