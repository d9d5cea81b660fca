"""Values and failures as the core sees them: opaque bytes, and records of what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Final

from . import wire
from .records import dataclass, record

ENCODING: Final = "encoding"
"""The metadata key that names how a payload's bytes are to be read."""


@dataclass(slots=True, weakref_slot=True)
class Payload:
    """One encoded value; the core carries it and never looks inside.

    Authors of converters and codecs make and fill in their own, with the names of Temporal's ``Payload`` message; one
    that was handed over is not changed any more.
    """

    metadata: dict[str, bytes] = field(default_factory=dict[str, bytes])
    data: bytes = b""
    external_bytes: tuple[int, ...] = ()
    """Sizes of what is kept elsewhere, when this is only the reference to it."""

    def copied(self) -> Payload:
        """The same payload as an object of its own, for code that may change what it is given."""
        return Payload(dict(self.metadata), self.data, self.external_bytes)

    def __deepcopy__(self, memo: object = None) -> Payload:
        return self.copied()

    @property
    def encoding(self) -> str:
        """The name of the encoding, or an empty string when none was given."""
        return self.metadata.get(ENCODING, b"").decode("ascii", "replace")

    @property
    def external_payloads(self) -> ExternalPayloads:
        """`external_bytes`, as authors know them."""
        return ExternalPayloads(self)

    # Names that authors know:

    def ByteSize(self) -> int:  # noqa: N802
        """How many bytes `SerializeToString` makes."""
        size = len(self.data)
        around = len(wire.field(2, b"")) - 1 + len(wire.varint(size)) if size else 0
        return len(self._around()) + around + size

    def SerializeToString(self) -> bytes:  # noqa: N802
        """The payload as bytes, in the wire form of Temporal's message."""
        return self._around() + (wire.field(2, self.data) if self.data else b"")

    def _around(self) -> bytes:
        """All fields but the data, which comes last here: their order has no meaning."""
        entries = [
            wire.field(1, wire.field(1, name.encode()) + wire.field(2, value))
            for name, value in self.metadata.items()
        ]
        external = [wire.field(3, wire.field(1, size) if size else b"") for size in self.external_bytes]
        return b"".join([*entries, *external])

    def ParseFromString(self, data: bytes) -> int:  # noqa: N802
        """Become the payload that `SerializeToString` wrote; returns how many bytes were read.

        Raises:
            ValueError: the bytes are no payload; nothing was changed.
        """
        self.CopyFrom(Payload.FromString(data))
        return len(data)

    @classmethod
    def FromString(cls, data: bytes) -> Payload:  # noqa: N802
        """The payload that `SerializeToString` wrote.

        Raises:
            ValueError: the bytes are no payload.
        """
        metadata: dict[str, bytes] = {}
        body = b""
        sizes: list[int] = []
        try:
            for number, value in wire.fields(data):
                if number == 1 and isinstance(value, bytes):
                    entry = dict(wire.fields(value))
                    name, text = entry.get(1, b""), entry.get(2, b"")
                    assert isinstance(name, bytes)
                    assert isinstance(text, bytes)
                    metadata[name.decode()] = text
                elif number == 2 and isinstance(value, bytes):
                    body = value
                elif number == 3 and isinstance(value, bytes):
                    size = dict(wire.fields(value)).get(1, 0)
                    sizes.append(size if isinstance(size, int) else 0)
        except (wire.NotOnTheWire, AssertionError) as error:
            raise ValueError(f"no payload: {error}") from error
        return cls(metadata, body, tuple(sizes))

    def CopyFrom(self, other: Payload) -> None:  # noqa: N802
        """Become equal to another payload, sharing nothing with it."""
        self.metadata = dict(other.metadata)
        self.data = other.data
        self.external_bytes = other.external_bytes


class ExternalPayloads:
    """The `external_bytes` of a payload as a list of details, the way Temporal's message has them."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload

    def __len__(self) -> int:
        return len(self._payload.external_bytes)

    def __getitem__(self, index: int) -> ExternalPayloadDetails:
        return list(self)[index]

    def __iter__(self) -> Iterator[ExternalPayloadDetails]:
        return (ExternalPayloadDetails(self._payload, index) for index in range(len(self)))

    def add(self) -> ExternalPayloadDetails:
        """One more, of size 0 until it is set."""
        self._payload.external_bytes += (0,)
        return ExternalPayloadDetails(self._payload, len(self) - 1)


class ExternalPayloadDetails:
    """The size of something that is kept elsewhere."""

    def __init__(self, payload: Payload, index: int) -> None:
        self._payload, self._index = payload, index

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return self._payload.external_bytes[self._index]

    @size_bytes.setter
    def size_bytes(self, size: int) -> None:
        sizes = list(self._payload.external_bytes)
        sizes[self._index] = size
        self._payload.external_bytes = tuple(sizes)


Attribute = tuple[str, object]
"""A search attribute: the name of its type (``Keyword``, ``Int`` ...) and its plain value; None removes it."""


@record(kw_only=True)
class Failure:
    """What went wrong, as it is kept in a history: no Python object, only what a reader needs.

    ``kind`` decides which exception it becomes again (see `overwinter.runtime.converter`):
    ``application``, ``canceled``, ``timeout``, ``terminated``, ``server``, ``activity``,
    ``child_workflow``.
    """

    kind: str
    message: str
    stack_trace: str = ""
    cause: Failure | None = None
    details: tuple[Payload, ...] = ()
    attributes: Mapping[str, str | int | float | bool | None] = field(
        default_factory=dict[str, str | int | float | bool | None]
    )
    """What belongs to the kind: ``type``, ``non_retryable``, ``next_retry_delay_s``, ``timeout_type``,
    ``activity_id``, ``activity_type``, ``retry_state``, ``identity`` ..."""

    def root(self) -> Failure:
        """The innermost cause, where a person begins to look."""
        failure = self
        while failure.cause is not None:
            failure = failure.cause
        return failure
