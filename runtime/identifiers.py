"""Identifiers that sort by time (RFC 9562, version 7)."""

from __future__ import annotations

import uuid
from collections.abc import Callable


def uuid7(at_us: int, random_bits: Callable[[int], int]) -> uuid.UUID:
    """An identifier of this instant, in microseconds since the epoch; 12 and then 62 bits are drawn for it."""
    milliseconds = (at_us // 1000) & ((1 << 48) - 1)
    number = milliseconds << 80 | 0x7 << 76 | random_bits(12) << 64 | 0b10 << 62 | random_bits(62)
    return uuid.UUID(int=number)
