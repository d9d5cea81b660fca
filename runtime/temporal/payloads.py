"""Encoded values, and what is made of them, as Temporal's tools read them.

Values that are msgpack here are written as JSON, which every Temporal SDK reads and so does the default converter here.
Whatever else an encoding is (nothing, bytes, JSON, encrypted), it passes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ..api.common.v1 import Header, Memo, Payloads, SearchAttributes
from ..core.payload import ENCODING, Attribute, Payload
from ..plain_values import unpack
from ..search_attribute_payloads import encode_search_attributes
from ..search_attributes import typed

_JSON: Final = b"json/plain"
_MSGPACK: Final = b"msgpack/plain"
_TYPE: Final = "type"
_PLAIN_TYPES: Final[dict[type, str]] = {
    str: "Keyword",
    bool: "Bool",
    int: "Int",
    float: "Double",
    list: "KeywordList",
}


def of_value(value: object) -> Payload:
    """A plain value as JSON."""
    return Payload({ENCODING: _JSON}, _dumped(value))


def outward(payload: Payload) -> Payload:
    """A payload as Temporal's tools read it."""
    if payload.metadata.get(ENCODING) != _MSGPACK:
        return payload
    return Payload({**payload.metadata, ENCODING: _JSON}, _dumped(unpack(payload.data)))


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, default=list).encode()


def payloads(found: Sequence[Payload | None]) -> Payloads | None:
    """Several of them; None when there are none."""
    given = [outward(payload) for payload in found if payload is not None]
    return Payloads(payloads=given) if given else None


def header(headers: Mapping[str, Payload]) -> Header:
    """What interceptors hand on."""
    return Header(fields={name: outward(payload) for name, payload in headers.items()})


def memo(found: Mapping[str, Payload]) -> Memo | None:
    """A memo; None when it is empty."""
    return Memo(fields={name: outward(payload) for name, payload in found.items()}) if found else None


def text(found: str) -> Payload | None:
    """A text for readers; None when it is empty."""
    return of_value(found) if found else None


def text_of(payload: Payload) -> str:
    """The text that `text` wrote; empty where it cannot be read, as when it is encrypted."""
    if payload.metadata.get(ENCODING) != _JSON:
        return ""
    found = json.loads(payload.data)
    return found if isinstance(found, str) else ""


# -- search attributes -------------------------------------------------------------------------------------


def search_attributes(found: Mapping[str, Attribute]) -> SearchAttributes | None:
    """Search attributes; None when there are none. One that is removed has no value."""
    if not found:
        return None
    message = SearchAttributes()
    encode_search_attributes(typed(found), message)
    for name in found.keys() - message.indexed_fields.keys():
        message.indexed_fields[name] = Payload({ENCODING: b"binary/null"})
    return message


def attributes_of(found: SearchAttributes) -> dict[str, Attribute]:
    """The search attributes that were written.

    Raises:
        ValueError: one of them is no value of its type.
    """
    return {name: _attribute_of(name, payload) for name, payload in found.indexed_fields.items()}


def _attribute_of(name: str, payload: Payload) -> Attribute:
    try:
        value: Any = json.loads(payload.data) if payload.data else None
        kind = payload.metadata.get(_TYPE, b"").decode() or _PLAIN_TYPES.get(value.__class__, "Keyword")
        if kind == "Datetime" and value is not None:
            instant = datetime.fromisoformat(value)
            value = round(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp() * 1_000_000)
    except (ValueError, TypeError) as error:
        raise ValueError(f"search attribute {name!r}: {error}") from None
    return (kind, None if value == [] else value)
