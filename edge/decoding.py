"""Payloads from outside as plain values, within bounds: no object is made, nothing large is allocated on a claim."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final, cast

import msgpack

BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 32
ITEMS_MAX: Final = 50_000

_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # type: ignore[attr-defined]  # msgpack brings no types


class MessageRefused(ValueError):
    """A payload cannot be used; `code` is the reason that is counted, the text says what was found."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def decode(form: str, payload: bytes) -> Any:
    """The value of a payload in the form ``json``, ``msgpack``, ``text`` or ``bytes``.

    Raises:
        MessageRefused: it has not that form, or exceeds a bound.
    """
    if len(payload) > BYTES_MAX:
        raise MessageRefused(
            "payload_too_large", f"the payload has {len(payload)} bytes, at most {BYTES_MAX} are read"
        )
    match form:
        case "json":
            return decode_json(payload)
        case "msgpack":
            return _decode_msgpack(payload)
        case "text":
            return _decode_text(payload)
        case _:
            return payload


def decode_json(payload: bytes) -> Any:
    """The value of a JSON payload; see `decode`."""
    if len(payload) > BYTES_MAX:
        raise MessageRefused(
            "payload_too_large", f"the payload has {len(payload)} bytes, at most {BYTES_MAX} are read"
        )
    _check_json_depth(payload)
    try:
        return json.loads(payload, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)
    except MessageRefused:
        raise
    except (ValueError, RecursionError) as error:
        raise MessageRefused("invalid_json", f"the payload is no JSON: {error}") from error


def _check_json_depth(payload: bytes) -> None:
    """Count brackets before parsing: brackets inside strings count too, which only makes the bound stricter."""
    if payload.count(b"[") + payload.count(b"{") <= DEPTH_MAX:
        return
    depth = deepest = 0
    in_string = escaped = False
    for byte in payload:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > DEPTH_MAX:
        raise MessageRefused(
            "too_deep", f"the payload is nested {deepest} deep, at most {DEPTH_MAX} levels are read"
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise MessageRefused(
            "duplicate_key", f"the payload has the key {double[:80]!r} twice: which one is meant is unknown"
        )
    return found


def _constant(name: str) -> float:
    raise MessageRefused(
        "invalid_json", f"the payload has {name}, which is no JSON: leave out what could not be measured"
    )


def _integer(digits: str) -> int:
    if len(digits) > 40:
        raise MessageRefused(
            "wrong_type", f"the payload has a number of {len(digits)} digits, at most 40 are read"
        )
    return int(digits)


def _decode_msgpack(payload: bytes) -> Any:
    try:
        value = _unpackb(
            payload,
            object_pairs_hook=_object,
            ext_hook=_extension,
            max_array_len=ITEMS_MAX,
            max_map_len=ITEMS_MAX,
            strict_map_key=True,
        )
    except MessageRefused:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise MessageRefused(
            "invalid_msgpack", f"the payload is no msgpack: {type(error).__name__}: {error}"
        ) from error
    _check_value(value, 0)
    return value


def _extension(code: int, _data: bytes) -> Any:
    raise MessageRefused("invalid_msgpack", f"the payload has the extension type {code}, none is read")


def _check_value(value: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise MessageRefused("too_deep", f"the payload is nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise MessageRefused(
            "invalid_msgpack", f"the payload has {value}: leave out what could not be measured"
        )
    if isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            _check_value(item, depth + 1)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            _check_value(item, depth + 1)


def _decode_text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise MessageRefused("invalid_text", f"the payload is no UTF-8: {error}") from error
