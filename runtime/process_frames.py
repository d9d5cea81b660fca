"""What the gateway and its child processes say to each other: length-prefixed msgpack, bounded, nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, cast

import msgpack

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
LENGTH: Final = struct.Struct(">I")

RUN: Final = "run"  # see processes.ProcessCall.fields
CANCEL: Final = "cancel"  # why
SHUTDOWN: Final = "shutdown"  # the worker begins to stop
BEAT: Final = "beat"  # details
RESULT: Final = "result"  # payload
FAILURE: Final = "failure"  # failure

_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # type: ignore[attr-defined]  # msgpack brings no types


class FrameRefused(ValueError):
    """What came is no frame, or one that is too large."""


def pack(kind: str, *fields: object) -> bytes:
    """A frame with its length before it.

    Raises:
        FrameRefused: it is larger than a frame may be.
    """
    body = _packb((kind, *fields))
    if len(body) > FRAME_BYTES_MAX:
        raise FrameRefused(
            f"a frame of {len(body)} bytes is to be sent, at most {FRAME_BYTES_MAX} may: use a file"
        )
    return LENGTH.pack(len(body)) + body


def length_of(prefix: bytes) -> int:
    """The length that a frame announces.

    Raises:
        FrameRefused: it is larger than a frame may be.
    """
    (length,) = LENGTH.unpack(prefix)
    if length > FRAME_BYTES_MAX:
        raise FrameRefused(f"a frame announces {length} bytes, at most {FRAME_BYTES_MAX} are read")
    return cast("int", length)


def unpack(body: bytes) -> tuple[str, list[Any]]:
    """The kind and fields of a frame.

    Raises:
        FrameRefused: it is none.
    """
    try:
        kind, *fields = _unpackb(body)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise FrameRefused(f"a frame does not decode: {error}") from error
    return str(kind), fields
