"""Search attributes as payloads, as Temporal's messages have them. The journal keeps them as values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from .api.common.v1 import SearchAttributes as Message
from .core.payload import Payload
from .payload_converters import JSONPlainPayloadConverter
from .search_attributes import (
    MAKERS,
    TYPE_NAMES,
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributes,
    SearchAttributeValue,
    SearchAttributeValues,
    TypedSearchAttributes,
)

_TYPE = "type"
_JSON = JSONPlainPayloadConverter()


def encode_search_attributes(attributes: SearchAttributes | TypedSearchAttributes, api: Message) -> None:
    """The message has these attributes too.

    Raises:
        TypeError, ValueError: a value is not of its attribute's type, or an instant without a zone.
    """
    if isinstance(attributes, TypedSearchAttributes):
        for key, value in attributes:
            api.indexed_fields[key.name].CopyFrom(encode_typed_search_attribute_value(key, value))
        return
    for name, values in attributes.items():
        api.indexed_fields[name].CopyFrom(encode_search_attribute_values(values))


def encode_typed_search_attribute_value(
    key: SearchAttributeKey[Any], value: SearchAttributeValue | None
) -> Payload:
    """One value, with its type in the metadata; None has none.

    Raises:
        TypeError, ValueError: as `encode_search_attributes`.
    """
    if value is None:
        return Payload({"encoding": b"binary/null"})
    if not isinstance(value, key.origin_value_type):
        raise TypeError(f"Value of type {value} not suitable for indexed value type {key.indexed_value_type}")
    words: Any = () if isinstance(value, str) or not isinstance(value, Sequence) else value
    if not all(isinstance(word, str) for word in words):  # pyright: ignore[reportUnnecessaryIsInstance] - from authors
        raise TypeError("All values of a keyword list must be strings")
    payload = _json(_instant(value))
    payload.metadata[_TYPE] = TYPE_NAMES[key.indexed_value_type].encode()
    return payload


def encode_search_attribute_values(vals: SearchAttributeValues) -> Payload:
    """The values of an attribute in the older form, without its type.

    Raises:
        TypeError, ValueError: no list, values of different types, or an instant without a zone.
    """
    if not isinstance(vals, list):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from authors
        raise TypeError("Search attribute values must be lists")
    for value in vals:
        if not isinstance(value, str | int | float | bool | datetime):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
            raise TypeError(
                f"Search attribute value of type {type(value).__name__} not one of str, int, float, bool, or datetime"
            )
    if len({type(value) for value in vals}) > 1:
        raise TypeError("Search attribute values must have the same type for the same key")
    return _json([_instant(value) for value in vals])


def _json(value: object) -> Payload:
    payload = _JSON.to_payload(value)
    assert payload is not None, "JSON takes every value"
    return payload


def _instant(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("Timezone must be present on all search attribute dates")
    return value.isoformat()


def decode_search_attributes(api: Message) -> SearchAttributes:
    """The message's attributes in the older form: a list of values for each name."""
    found: dict[str, Any] = {}
    for name, payload in api.indexed_fields.items():
        values = _values(payload)
        is_instant = payload.metadata.get(_TYPE) == b"Datetime"
        found[name] = [datetime.fromisoformat(each) for each in values] if is_instant else values
    return found


def decode_typed_search_attributes(api: Message) -> TypedSearchAttributes:
    """The message's attributes, without those that have no type or a value of another one."""
    pairs: list[SearchAttributePair[Any]] = []
    for name, payload in api.indexed_fields.items():
        kind = payload.metadata.get(_TYPE, b"").decode()
        if kind not in MAKERS:
            continue
        values: Any = _values(payload)
        if kind != "KeywordList" and len(values) != 1:
            continue
        value = _of_kind(kind, values if kind == "KeywordList" else values[0])
        key = MAKERS[kind](name)
        if isinstance(value, key.origin_value_type):
            pairs.append(SearchAttributePair(key, value))
    return TypedSearchAttributes(pairs)


def _of_kind(kind: str, value: Any) -> Any:
    if kind == "Datetime":
        return datetime.fromisoformat(value)
    # A whole number may have lost its fraction on its way.
    return float(value) if kind == "Double" and type(value) is int else value


def _values(payload: Payload) -> list[Any]:
    found: Any = None if payload.encoding == "binary/null" else _JSON.from_payload(payload)
    return cast("list[Any]", found) if isinstance(found, list) else [found]
