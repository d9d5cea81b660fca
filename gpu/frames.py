"""Frames: what is accepted as one, and measures of it, on either array module.

A frame is a uint8 array of height x width x 3, RGB. Functions that take `xp` compute in that module and
expect their arrays there; they use only what NumPy and CuPy share.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Modes whose conversion to RGB loses nothing that a camera picture carries.
_MODES = ("L", "P", "RGB", "RGBA")


class FrameRefused(ValueError):
    """A frame was refused before any work. `reason` is a stable code, the message says what was expected."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FrameBounds:
    """Sides in pixels and total pixels a frame may have; the default maximum is one 8K frame."""

    side_min: int = 8
    side_max: int = 8192
    pixels_max: int = 7680 * 4320

    def check(self, height: int, width: int) -> None:
        """Refuse what is outside the bounds, before any memory is taken."""
        if height == 0 or width == 0:
            raise FrameRefused("empty", f"the frame is {height}x{width}: it has no pixels")
        if min(height, width) < self.side_min:
            raise FrameRefused("too_small", f"the frame is {height}x{width}, each side needs {self.side_min}")
        if max(height, width) > self.side_max or height * width > self.pixels_max:
            raise FrameRefused(
                "too_large",
                f"the frame is {height}x{width}; at most {self.side_max} a side and {self.pixels_max} pixels",
            )


DEFAULT_BOUNDS = FrameBounds()


def check_frame(frame: Any, bounds: FrameBounds = DEFAULT_BOUNDS) -> None:
    """Return if `frame` is a frame within `bounds`; raise `FrameRefused` else. Copies nothing."""
    shape, dtype = getattr(frame, "shape", None), getattr(frame, "dtype", None)
    if shape is None or dtype is None:
        raise FrameRefused("not_an_array", f"a frame is an array, found {type(frame).__name__}")
    if len(shape) != 3 or shape[2] != 3:
        raise FrameRefused("shape", f"the frame has shape {tuple(shape)}, expected height x width x 3")
    bounds.check(shape[0], shape[1])
    if dtype.kind == "f" and bool((frame != frame).any()):  # NaN alone differs from itself
        raise FrameRefused("not_a_number", f"the frame has NaN values in {dtype}; expected uint8 0..255")
    if dtype != "uint8":
        raise FrameRefused("dtype", f"the frame has dtype {dtype}, expected uint8 with values 0..255")


def decode_frame(data: bytes, bounds: FrameBounds = DEFAULT_BOUNDS) -> NDArray[Any]:
    """The picture in `data` (JPEG or PNG) as a frame.

    The size in the header is checked before a pixel is decoded. Raises `FrameRefused`: ``not_an_image``,
    ``mode``, ``corrupt`` (truncated or damaged), or one of `FrameBounds`.
    """
    import numpy
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FrameRefused("too_large", f"the picture's header announces too many pixels: {error}") from error
    except Exception as error:  # Pillow's parsers raise many types on damaged headers
        raise FrameRefused("not_an_image", f"{len(data)} bytes are neither JPEG nor PNG") from error
    with image:
        bounds.check(image.height, image.width)
        if image.mode not in _MODES:
            raise FrameRefused(
                "mode", f"the picture has mode {image.mode}, expected one of {', '.join(_MODES)}"
            )
        try:
            return numpy.asarray(image.convert("RGB"))
        except Exception as error:  # and on damaged bodies: OSError, SyntaxError, ValueError, zlib.error
            raise FrameRefused("corrupt", f"the {image.format} picture cannot be decoded: {error}") from error


def luma(frame: Any, xp: ModuleType) -> Any:
    """Brightness 0..255 as float32, by ITU-R BT.601 weights."""
    colours = frame.astype(xp.float32)
    return 0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2]


def resize(
    frame: Any, height: int, width: int, xp: ModuleType, method: Literal["area", "bilinear"] = "area"
) -> Any:
    """`frame` at another size, uint8, rounded half up.

    ``area`` averages every source pixel by the area it covers: right for shrinking. ``bilinear`` mixes the
    nearest two on each axis (pixel centres, edges repeated): right for enlarging.
    """
    if height < 1 or width < 1:
        raise ValueError(f"cannot resize to {height}x{width}: both sides must be at least 1")
    along = _average_along if method == "area" else _mix_along
    # Float64 since area sums a whole axis: exact for any frame within the bounds, where float32 would drift.
    resized = along(along(frame.astype(xp.float64), 0, height, xp), 1, width, xp)
    return xp.clip(xp.floor(resized + 0.5), 0, 255).astype(xp.uint8)


def difference(before: Any, after: Any, xp: ModuleType) -> float:
    """Mean absolute change of luma between two frames of one shape, 0..255; 0 is a still picture."""
    if before.shape != after.shape:
        raise FrameRefused("shape", f"frames of {before.shape} and {after.shape} cannot be compared")
    return float(xp.abs(luma(after, xp) - luma(before, xp)).mean())


def complexity(frame: Any, xp: ModuleType) -> float:
    """Mean absolute step of luma between neighbours, in levels 0..255: 0 is a flat picture.

    A cheap forecast of how many bytes an encoder needs: detail and noise raise it, brightness does not.
    """
    grey = luma(frame, xp)
    down = xp.abs(grey[1:, :] - grey[:-1, :]).mean()
    across = xp.abs(grey[:, 1:] - grey[:, :-1]).mean()
    return float((down + across) / 2)


def _average_along(values: Any, axis: int, size: int, xp: ModuleType) -> Any:
    """Shrink one axis: the running sum read at fractional borders, its steps divided by their width."""
    length = values.shape[axis]
    sums = xp.concatenate([xp.zeros_like(xp.take(values, xp.asarray([0]), axis=axis)), values], axis=axis)
    sums = xp.cumsum(sums, axis=axis)
    borders = xp.arange(size + 1, dtype=xp.float64) * (length / size)
    at_borders = _sample_along(sums, axis, borders, xp)
    upper = xp.take(at_borders, xp.arange(1, size + 1), axis=axis)
    lower = xp.take(at_borders, xp.arange(size), axis=axis)
    return (upper - lower) * (size / length)


def _mix_along(values: Any, axis: int, size: int, xp: ModuleType) -> Any:
    length = values.shape[axis]
    centres = (xp.arange(size, dtype=xp.float64) + 0.5) * (length / size) - 0.5
    return _sample_along(values, axis, xp.clip(centres, 0, length - 1), xp)


def _sample_along(values: Any, axis: int, positions: Any, xp: ModuleType) -> Any:
    """Values at fractional `positions`. Indices are clipped: CuPy wraps those out of bounds silently."""
    last = values.shape[axis] - 1
    below = xp.clip(xp.floor(positions), 0, last).astype(xp.int64)
    above = xp.clip(below + 1, 0, last)
    shape = [1] * values.ndim
    shape[axis] = -1
    share = xp.clip(positions - below, 0, 1).reshape(shape)
    return xp.take(values, below, axis=axis) * (1 - share) + xp.take(values, above, axis=axis) * share
