"""Frames: a length of four bytes, then a msgpack list whose first entry says what it is."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, cast

import msgpack

VERSION: Final = 1
"""Of the protocol. One that is not understood is refused by both sides before any call."""
LENGTH: Final = struct.Struct(">I")
REQUEST_BYTES_MAX: Final = 16 << 20
ANSWER_BYTES_MAX: Final = 80 << 20
"""A single event may have 64 MiB; pages of smaller ones are smaller."""
_ITEMS_MAX: Final = 1 << 18

# msgpack brings no types.
_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # type: ignore[attr-defined]


class Kind(IntEnum):
    """The first entry of a frame. Never renumber."""

    HELLO = 0
    """From a client: version, name. From a gateway: version, calls and waits that may be under way."""
    CALL = 1
    """From a client: number, name of the call, arguments, and for a change its request id and whether it is sent again."""
    CANCEL = 2
    """From a client: the number of a call whose answer nobody wants any more. It is answered all the same."""
    ANSWER = 3
    """From a gateway: number, value."""
    ERROR = 4
    """From a gateway: number, error."""
    REFUSED = 5
    """From a gateway, before it hangs up: why."""


class FrameRefused(ValueError):
    """What came is no frame, one that is too large, or one that has no place here."""


class FrameTooLarge(ValueError):
    """What is to be sent is larger than the other side reads."""


def pack(kind: Kind, *fields: object, bytes_max: int) -> bytes:
    """A frame with its length before it.

    Raises:
        FrameTooLarge: it is larger than a frame may be.
        ValueError: it holds what msgpack has no form for, such as text that is no Unicode.
    """
    try:
        body = _packb((int(kind), *fields))
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it cannot be sent: {error}") from error
    if len(body) > bytes_max:
        raise FrameTooLarge(f"it has {len(body)} bytes, at most {bytes_max} can be sent")
    return LENGTH.pack(len(body)) + body


async def read(
    reader: asyncio.StreamReader, *, bytes_max: int, within_s: float
) -> tuple[Kind, list[Any]] | None:
    """The next frame; None when the other side has hung up between two frames.

    Raises:
        FrameRefused: what came is none, or it was not complete `within_s` seconds after it began.
        ConnectionError: the other side has gone in the middle of it.
    """
    try:
        first = await reader.readexactly(1)
    except asyncio.IncompleteReadError:
        return None
    try:
        async with asyncio.timeout(within_s):
            prefix = first + await reader.readexactly(LENGTH.size - 1)
            (length,) = LENGTH.unpack(prefix)
            if length > bytes_max:
                raise FrameRefused(f"a frame announces {length} bytes, at most {bytes_max} are read")
            body = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the other side has gone in the middle of a frame") from None
    except TimeoutError:
        raise FrameRefused(f"a frame was not complete after {within_s:g} s") from None
    return unpack(body)


def unpack(body: bytes) -> tuple[Kind, list[Any]]:
    """The kind and fields of a frame.

    Raises:
        FrameRefused: it is none.
    """
    try:
        found: object = _unpackb(
            body,
            strict_map_key=True,
            ext_hook=_no_extension,
            max_array_len=_ITEMS_MAX,
            max_map_len=_ITEMS_MAX,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise FrameRefused(f"a frame does not decode: {type(error).__name__}: {error}") from None
    kind, *fields = cast("list[Any]", found) if type(found) is list and found else [None]
    if type(kind) is not int:
        raise FrameRefused("a frame is a list that begins with its kind")
    try:
        return Kind(kind), fields
    except ValueError:
        raise FrameRefused(f"a frame is of kind {kind}, which is none") from None


def _no_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code} has no place in a frame")
