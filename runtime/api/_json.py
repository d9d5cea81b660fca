"""Messages as JSON values, by the rules of the protocol's JSON form, and back.

What is written leaves out fields that are not set. What is read may have fields by either name and enumerations by
number, full name or the short names of older tools; fields that the message has not are passed over.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from ..core.payload import Payload
from ._enum import ProtocolEnum
from .message import Field, Message, fields_of
from .time import Duration, Timestamp

M = TypeVar("M", bound=Message)


def to_json_dict(message: Message) -> dict[str, Any]:
    """A message as JSON values."""
    return {field.json_name: _written_field(field, value) for field, value in message.ListFields()}


def _written_field(field: Field, value: Any) -> Any:
    if field.repeated:
        return [_written(field, item) for item in value]
    if field.mapped:
        return {key: _written(field, item) for key, item in value.items()}
    return _written(field, value)


def _written(field: Field, value: Any) -> Any:
    match value:
        case Timestamp() | Duration():
            return value.ToJsonString()
        case Message():
            return to_json_dict(value)
        case Payload():
            return payload_to_json(value)
        case ProtocolEnum():
            return value.name
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case _:
            return str(value) if field.wide else value


def payload_to_json(payload: Payload) -> dict[str, Any]:
    """A payload as JSON values: its bytes, and those of its metadata, in base64."""
    found: dict[str, Any] = {}
    if payload.metadata:
        found["metadata"] = {
            name: base64.b64encode(value).decode() for name, value in payload.metadata.items()
        }
    if payload.data:
        found["data"] = base64.b64encode(payload.data).decode()
    if payload.external_bytes:
        sizes = [{"sizeBytes": str(size)} if size else {} for size in payload.external_bytes]
        found["externalPayloads"] = sizes
    return found


def from_json_dict(cls: type[M], found: Any, place: str = "") -> M:
    """The message that `to_json_dict` wrote, or another program.

    Raises:
        ValueError: a value does not fit its field; the message says where.
    """
    place = place or cls.__name__
    if not isinstance(found, Mapping):
        raise ValueError(f"{place}: expected a JSON object, found {type(found).__name__}")  # noqa: TRY004 - as documented
    values = cast("Mapping[str, Any]", found)
    message = cls()
    for field in fields_of(cls).values():
        value = values.get(field.json_name, values.get(field.name))
        if value is not None and not _is_newer(field, value):
            read = _read_field(field, value, f"{place}.{field.json_name}")
            message._give(field.name, read)  # pyright: ignore[reportPrivateUsage] - sets one field
    return message


def _is_newer(field: Field, value: Any) -> bool:
    """Whether it is a name of an enumeration that we do not know: of a newer version, and passed over like its fields."""
    if field.repeated or not issubclass(field.kind, ProtocolEnum) or not isinstance(value, str):
        return False
    try:
        field.kind.of(value)
    except ValueError:
        return True
    return False


def _read_field(field: Field, value: Any, place: str) -> Any:
    if field.repeated:
        if not isinstance(value, list):
            raise ValueError(f"{place}: expected a list, found {type(value).__name__}")
        return [_read(field, item, f"{place}[{i}]") for i, item in enumerate(cast("list[Any]", value))]
    if field.mapped:
        if not isinstance(value, Mapping):
            raise ValueError(f"{place}: expected a JSON object, found {type(value).__name__}")
        items = cast("Mapping[str, Any]", value).items()
        return {key: _read(field, item, f"{place}.{key}") for key, item in items}
    return _read(field, value, place)


def _read(field: Field, value: Any, place: str) -> Any:
    kind = field.kind
    if issubclass(kind, Timestamp | Duration):
        return _read_time(kind, value, place)
    if issubclass(kind, Message):
        return from_json_dict(kind, value, place)
    if kind is Payload:
        return payload_from_json(value, place)
    try:
        return _SCALARS[kind](value) if kind in _SCALARS else kind.of(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {error}") from None


def _read_time(kind: type[Timestamp | Duration], value: Any, place: str) -> Timestamp | Duration:
    made = kind()
    try:
        made.FromJsonString(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{place}: {error}") from None
    return made


def payload_from_json(found: Any, place: str = "payload") -> Payload:
    """The payload that `payload_to_json` wrote.

    Raises:
        ValueError: it is none.
    """
    values = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    metadata: Any = values.get("metadata") or {}
    if not isinstance(found, dict) or not isinstance(metadata, dict):
        raise ValueError(f'{place}: expected a payload, a JSON object with "metadata" and "data"')  # noqa: TRY004 - as documented
    try:
        return Payload(
            {name: _bytes(value) for name, value in cast("dict[str, Any]", metadata).items()},
            _bytes(values.get("data") or ""),
            tuple(_whole(size.get("sizeBytes", 0)) for size in values.get("externalPayloads") or ()),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{place}: {error}") from None


def _bytes(value: Any) -> bytes:
    """Bytes in base64 of either alphabet, with or without padding."""
    text = str(value).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"expected base64, found {value!r}: {error}") from None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"expected a whole number, found {value!r}")
    return int(value)


def _true_or_false(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {value!r}")  # noqa: TRY004 - as documented
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, found {value!r}")  # noqa: TRY004 - as documented
    return value


_SCALARS: dict[type, Any] = {
    int: _whole,
    float: float,
    bool: _true_or_false,
    str: _text,
    bytes: _bytes,
}
