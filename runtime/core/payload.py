"""Values and failures as the core sees them: opaque bytes, and records of what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

ENCODING: Final = "encoding"
"""The metadata key that names how a payload's bytes are to be read."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One encoded value; the core carries it and never looks inside."""

    metadata: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    data: bytes = b""

    @property
    def encoding(self) -> str:
        """The name of the encoding, or an empty string when none was given."""
        return self.metadata.get(ENCODING, b"").decode("ascii", "replace")

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name that authors of codecs know
        """The payload as bytes, in the wire form of Temporal's ``Payload`` message."""
        entries = [
            _field(1, _field(1, name.encode()) + _field(2, value)) for name, value in self.metadata.items()
        ]
        return b"".join(entries) + (_field(2, self.data) if self.data else b"")

    @classmethod
    def FromString(cls, data: bytes) -> Payload:  # noqa: N802 - as above
        """The payload that `SerializeToString` wrote.

        Raises:
            ValueError: the bytes are no payload.
        """
        metadata: dict[str, bytes] = {}
        body = b""
        for number, value in _fields(data):
            if number == 1:
                entry = dict(_fields(value))
                metadata[entry.get(1, b"").decode()] = entry.get(2, b"")
            elif number == 2:
                body = value
        return cls(metadata, body)


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        length, at = _read_varint(data, at)
        if tag & 7 != 2 or at + length > len(data):
            raise ValueError(f"no payload: field {tag >> 3} at byte {at} is not one of its fields")
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        number |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return number, at
        shift += 7
    raise ValueError(f"no payload: a number at byte {at} does not end")


Attribute = tuple[str, object]
"""A search attribute: the name of its type (``Keyword``, ``Int`` ...) and its plain value; None removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
