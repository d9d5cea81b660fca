"""The wire form of Temporal's messages, as far as payloads need it: fields with a length, and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_NUMBER: Final = 0
_BYTES: Final = 2


class NotOnTheWire(ValueError):
    """The bytes are not a message of this form."""


def field(number: int, value: bytes | int) -> bytes:
    """One field, with its number before it."""
    if isinstance(value, int):
        return varint(number << 3 | _NUMBER) + varint(value)
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def varint(number: int) -> bytes:
    """A whole number in seven bits a byte, the smallest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The numbers and values of the fields, in their order.

    Raises:
        NotOnTheWire: the bytes end early, or hold a field of another form.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        value, at = _read_varint(data, at)
        if tag & 7 == _NUMBER:
            yield tag >> 3, value
            continue
        if tag & 7 != _BYTES or at + value > len(data):
            raise NotOnTheWire(f"field {tag >> 3} at byte {at} does not have a form that is read here")
        yield tag >> 3, data[at : at + value]
        at += value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        number |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return number, at
        shift += 7
    raise NotOnTheWire(f"a number at byte {at} does not end")
