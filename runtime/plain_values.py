"""An author's values as msgpack, and back: what is accepted, how it is written, and how much.

What is written holds nothing but None, bool, int, float, str, bytes, lists and maps with text as keys, so
that any msgpack reader understands it; whole numbers beyond 64 bits are one extension type with their
decimal text. Most values are of that kind already and go to the packer as they are. Anything else is made
plain first, step by step, and refused where it stands: neither a class name nor code is ever stored.

Reading is bounded by fixed limits above every setting, so that what was written under a larger setting
stays readable.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Self, TypeAlias, cast
from uuid import UUID

import msgpack  # pyright: ignore[reportMissingTypeStubs] - there are none

# The library has no annotations; what comes out of it is checked where it is used.
_msgpack: Final[Any] = msgpack
_type: Final = cast("Callable[[object], Any]", type)

READ_BYTES_MAX: Final = 64 * 1024 * 1024
READ_DEPTH_MAX: Final = 128

SCALARS: Final[frozenset[type]] = frozenset({type(None), bool, int, float, str, bytes})
_TEXT: Final[frozenset[type]] = frozenset({str})
_WIDE_INTEGER: Final = 1
_USUAL_BYTES: Final = 1024
_DECIMAL: Final = re.compile(rb"-?[0-9]{1,4300}")
# Below this size, lengths that the bytes only claim cannot make the reader reserve more than 32 MiB.
_UNCHECKED_BYTES_MAX: Final = 4096


class LocatedError(Exception):
    """Part of a value was refused; the message begins with the place, such as ``reading.samples[3]``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""

    def within(self, part: str) -> Self:
        """The same error, one level further out: ``part`` is the argument's name, ``.field`` or ``[3]``."""
        self.path = part + self.path
        return self

    def __str__(self) -> str:
        place = self.path.removeprefix(".")
        return f"{place}: {self.reason}" if place else self.reason


class PayloadLimitError(LocatedError, ValueError):
    """A value is too large or too deep to be kept in a history; nothing was recorded."""


class UnencodableError(LocatedError, TypeError):
    """A value holds something that has no stored form; nothing was recorded."""


class PayloadUnreadable(RuntimeError):
    """A payload's bytes are not what its encoding says, or exceed what is read; no value was made."""


@dataclasses.dataclass(frozen=True, slots=True)
class PayloadLimits:
    """How much one value may be.

    Raises:
        ValueError: a limit is outside of what can be read back.
    """

    bytes_max: int = 2 * 1024 * 1024
    """Bytes of the encoded value, at most 64 MiB."""

    depth_max: int = 64
    """Lists and maps within each other, at most 128."""

    array_items_max: int = 65_536
    """Elements of a numeric array, which is written as a list."""

    def __post_init__(self) -> None:
        for name, largest in (("bytes_max", READ_BYTES_MAX), ("depth_max", READ_DEPTH_MAX)):
            found = getattr(self, name)
            if not 1 <= found <= largest:
                raise ValueError(f"PayloadLimits.{name} is {found}, expected 1 to {largest}")


DEFAULT_LIMITS: Final = PayloadLimits()
LARGEST_LIMITS: Final = PayloadLimits(bytes_max=READ_BYTES_MAX, array_items_max=READ_BYTES_MAX // 8)
"""For values that are kept outside of the journal: as much as is read back."""


def pack(value: Any, limits: PayloadLimits = DEFAULT_LIMITS) -> bytes:
    """The value as msgpack.

    Raises:
        PayloadLimitError: it is too large, too deep, or contains itself.
        UnencodableError: it holds something without a stored form; the message says where.
    """
    kind = _type(value)
    if not (
        kind in SCALARS
        or (kind is list and SCALARS.issuperset(map(type, value)))
        or (
            kind is dict
            and _TEXT.issuperset(map(type, value))
            and SCALARS.issuperset(map(type, value.values()))
        )
    ):
        try:
            value = _Walk(limits).plain(value, 1)
        except RecursionError:
            raise _too_deep(limits) from None
    try:
        data: bytes = _msgpack.Packer(buf_size=_USUAL_BYTES).pack(
            value
        )  # `packb` would reserve 256 KiB each time
    except (OverflowError, UnicodeEncodeError):
        # Rare values take the slower call: wide integers, and text with lone surrogates as JSON allows it.
        data = _msgpack.packb(value, default=_wide_integer, unicode_errors="surrogatepass")
    require_size(len(data), limits)
    return data


def unpack(data: bytes) -> Any:
    """The value that `pack` wrote; tuples, sets and objects come back as lists and maps.

    Raises:
        PayloadUnreadable: the bytes are not msgpack as written here, or exceed the reading limits.
    """
    if len(data) > READ_BYTES_MAX:
        raise PayloadUnreadable(
            f"a payload of {len(data)} bytes was found, at most {READ_BYTES_MAX} are read"
        )
    try:
        if len(data) > _UNCHECKED_BYTES_MAX:
            _require_complete(data)
        try:
            value = _msgpack.unpackb(data, ext_hook=_extension)
        except UnicodeDecodeError:
            value = _msgpack.unpackb(data, ext_hook=_extension, unicode_errors="surrogatepass")
    except PayloadUnreadable:
        raise
    except (ValueError, TypeError, _msgpack.UnpackException) as exc:
        raise PayloadUnreadable(f"a payload's bytes are not msgpack: {exc or type(exc).__name__}") from exc
    if type(value) not in SCALARS:
        _require_plain(value, 1)
    return value


def simpler(value: Any, limits: PayloadLimits = DEFAULT_LIMITS) -> Any:
    """One step towards a plain value, for anything that is not plain itself.

    Raises:
        UnencodableError: there is no such step.
        PayloadLimitError: an array or an iterable is too long.
    """
    return _step(_type(value))(value, limits)


_Step: TypeAlias = Callable[[Any, PayloadLimits], Any]


@lru_cache(maxsize=1024)
def _step(kind: type[Any]) -> _Step:
    """How values of this type become simpler; found once for each type."""
    for base, reduced in _REDUCED:
        if issubclass(kind, base):
            return reduced
    if dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
        return lambda value, _: {name: getattr(value, name) for name in names}
    if hasattr(kind, "model_dump"):
        return lambda value, _: value.model_dump(mode="json")
    if hasattr(kind, "tolist") and hasattr(kind, "dtype") and hasattr(kind, "shape"):
        return _array
    if issubclass(kind, Mapping):
        return lambda value, _: dict(value)
    if issubclass(kind, Iterable) and not issubclass(kind, type):
        return _items
    return _refused


def _refused(value: Any, _limits: PayloadLimits) -> Any:
    raise UnencodableError(
        f"{_full_name(_type(value))} has no stored form, expected plain values, dataclasses, enums, dates, "
        "UUIDs, pydantic models, arrays, or lists and maps of those: convert it before it is passed"
    )


def _full_name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class _Walk:
    """Makes one value plain, and counts what it holds."""

    __slots__ = ("_items", "_limits")

    def __init__(self, limits: PayloadLimits) -> None:
        self._limits = limits
        self._items = 0

    def plain(self, value: Any, depth: int) -> Any:
        kind = _type(value)
        if kind in SCALARS:
            return value
        if kind is list:
            return self._list(value, depth)
        if kind is dict:
            return self._map(value, depth)
        if isinstance(value, set | frozenset):
            return self._set(value, depth)
        step = simpler(value, self._limits)
        if type(step) is kind:
            raise UnencodableError(f"{_full_name(kind)} does not become simpler by conversion")
        return self.plain(step, depth)

    def _list(self, value: list[Any], depth: int) -> list[Any]:
        self._enter(len(value), depth)
        if SCALARS.issuperset(map(type, value)):
            return value
        plain: list[Any] = []
        try:
            for item in value:
                plain.append(self.plain(item, depth + 1))  # noqa: PERF401 - its length tells the place
        except LocatedError as exc:
            raise exc.within(f"[{len(plain)}]") from None
        return plain

    def _map(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        self._enter(len(value), depth)
        if _TEXT.issuperset(map(type, value)) and SCALARS.issuperset(map(type, value.values())):
            return value
        plain: dict[str, Any] = {}
        key: Any = None
        try:
            for key, item in value.items():
                plain[key if type(key) is str else key_text(key)] = self.plain(item, depth + 1)
        except LocatedError as exc:
            raise exc.within(key_part(key)) from None
        if len(plain) != len(value):
            raise UnencodableError("two keys of a map become the same text, and one value would be lost")
        return plain

    def _set(self, value: Any, depth: int) -> list[Any]:
        """Ordered by content: text hashes differently in every process, a replay must give the same bytes."""
        return sorted(self._list(list(value), depth), key=_packed_whole)

    def _enter(self, count: int, depth: int) -> None:
        if depth > self._limits.depth_max:
            raise _too_deep(self._limits)
        # Each item is a byte or more, so this refuses a small value that unfolds into a huge one.
        self._items += count
        if self._items > self._limits.bytes_max:
            raise too_large(f"more than {self._items - 1} items", self._limits)


def key_text(key: Any) -> str:
    """A map's key as JSON writes it.

    Raises:
        UnencodableError: it is neither text, a number, a truth value, None, nor an enum of those.
    """
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return _decimal(key)
    if isinstance(key, float):
        if math.isfinite(key):
            return float.__repr__(key)
        return "NaN" if math.isnan(key) else "Infinity" if key > 0 else "-Infinity"
    if isinstance(key, Enum):
        return key_text(key.value)
    raise UnencodableError(
        f"a map's key is of type {_type(key).__name__}, expected str, int, float, bool or None"
    )


def key_part(key: Any) -> str:
    """A map's key as a part of a path."""
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    text = repr(key)
    return f"[{text if len(text) <= 40 else text[:40] + '...'}]"


def _array(value: Any, limits: PayloadLimits) -> Any:
    """The elements of a numeric array or scalar, whoever made it."""
    count = math.prod(value.shape)
    if count > limits.array_items_max:
        raise PayloadLimitError(
            f"an array of shape {tuple(value.shape)} and dtype {value.dtype} has {count} elements, at most "
            f"{limits.array_items_max} (PayloadLimits.array_items_max) are kept in a history: "
            "write it to a file and pass a reference"
        )
    return value.tolist()


def _items(value: Iterable[Any], limits: PayloadLimits) -> list[Any]:
    items = list(islice(value, limits.bytes_max + 1))
    if len(items) > limits.bytes_max:
        raise too_large(f"more than {limits.bytes_max} items", limits)
    return items


# Subclasses are reduced by the base's own method, whatever they override.
_REDUCED: Final[tuple[tuple[type, _Step], ...]] = (
    (str, lambda value, _: str.__str__(value)),
    (int, lambda value, _: int.__index__(value)),
    (float, lambda value, _: float.__float__(value)),
    (Enum, lambda value, _: value.value),
    (bytes, lambda value, _: bytes(value)),
    (bytearray, lambda value, _: bytes(value)),
    (memoryview, lambda value, _: bytes(value)),
    (date, lambda value, _: value.isoformat()),
    (time, lambda value, _: value.isoformat()),
    (UUID, lambda value, _: str(value)),
    (list, lambda value, _: list(value)),
    (tuple, lambda value, _: list(value)),
)


def require_size(size: int, limits: PayloadLimits) -> None:
    """Refuse an encoded value that is too large.

    Raises:
        PayloadLimitError: it is.
    """
    if size > limits.bytes_max:
        raise too_large(f"{size} bytes", limits)


def too_large(found: str, limits: PayloadLimits) -> PayloadLimitError:
    """The refusal of a value for its size."""
    if limits.bytes_max == READ_BYTES_MAX:
        what, do = "as one value", "write it to a file and pass a reference"
    else:
        what = "in a history"
        do = "give the data converter an external storage, or write it to a file and pass a reference"
    return PayloadLimitError(
        f"the encoded value has {found}, at most {limits.bytes_max} bytes (PayloadLimits.bytes_max) are kept "
        f"{what}: {do}"
    )


def _too_deep(limits: PayloadLimits) -> PayloadLimitError:
    return PayloadLimitError(
        f"the value is nested more than {limits.depth_max} levels deep (PayloadLimits.depth_max) "
        "or contains itself: pass a flatter value, or write it to a file and pass a reference"
    )


def _decimal(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # Python's own bound on converting digits
        raise PayloadLimitError(
            f"an integer of {value.bit_length()} bits was found, at most 4300 digits are kept: pass bytes"
        ) from None


def _wide_integer(value: Any) -> Any:
    return _msgpack.ExtType(_WIDE_INTEGER, _decimal(value).encode("ascii"))


def _packed_whole(value: Any) -> bytes:
    return cast("bytes", _msgpack.packb(value, default=_wide_integer, unicode_errors="surrogatepass"))


def _extension(code: int, data: bytes) -> Any:
    if code == _WIDE_INTEGER and _DECIMAL.fullmatch(data):
        return int(data)
    raise PayloadUnreadable(
        f"a payload holds extension type {code} with {len(data)} bytes, which is not read"
    )


def _require_complete(data: bytes) -> None:
    """Walk over the bytes without making objects, so that every claimed length is known to be true."""
    unpacker = _msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    unpacker.skip()


def _require_plain(value: Any, depth: int) -> None:
    kind = _type(value)
    if kind is not dict and kind is not list:
        raise PayloadUnreadable(f"a payload holds a {kind.__name__}, which is not read")
    if depth > READ_DEPTH_MAX:
        raise PayloadUnreadable(
            f"a payload is nested more than {READ_DEPTH_MAX} levels deep, which is not read"
        )
    items: Iterable[Any] = value.values() if kind is dict else value
    if SCALARS.issuperset(map(type, items)):
        return
    for item in items:
        if type(item) not in SCALARS:
            _require_plain(item, depth + 1)
