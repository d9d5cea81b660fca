"""Records as plain values of msgpack, and back, by their type hints.

What comes back is checked against the hints to the last field, so that nothing reaches an engine that it could not have
been given in its own process: no other class is made, no number is out of range, no text stands where a number belongs.
Records are lists of their fields in order; fields are only ever added at the end, with a default, so that programs of
different versions understand each other.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, Union, cast, get_args, get_origin

from ..common import TypedSearchAttributes
from ..core import codec
from ..core.events import Body, Closing
from ..core.payload import Attribute, Payload
from ..requests import StartRequest
from ..schedules import ScheduleAction, ScheduleActionStartWorkflow
from ..search_attributes import attributes_of, typed

DEPTH_MAX: Final = 64
"""Records within records; a failure with more causes than that is refused, as the journal does."""
_INT_MIN, _INT_END = -(1 << 63), 1 << 63


class Misfit(ValueError):
    """A value does not have the type that its place asks for; the message names the place."""

    place = ""

    def within(self, place: str) -> Misfit:
        """The same, found inside of this place."""
        self.place = place + (f".{self.place}" if self.place else "")
        return self

    def __str__(self) -> str:
        return f"{self.place}: {self.args[0]}" if self.place else str(self.args[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Coder:
    """How values of one type travel. `encode` is None where they travel as they are."""

    encode: Callable[[Any], Any] | None
    decode: Callable[[Any, int], Any]
    """Takes the depth, in records, at which the value was found."""

    def encoded(self, value: Any) -> Any:
        """The value as msgpack takes it."""
        return value if self.encode is None else self.encode(value)


# What a request of a client does not bring: links that only an engine makes.
_LEFT_OUT: Final[Mapping[type, frozenset[str]]] = {
    StartRequest: frozenset(
        {
            "activity", "attempt", "chain_started_us", "clock", "last_failure", "last_result", "original_run_id", "parent", "schedule_id",
            "update",
        }
    ),
    ScheduleActionStartWorkflow: frozenset({"untyped_search_attributes"}),  # they are among the typed ones
}  # fmt: skip
# What travels is narrower than what a user may write.
_NARROWED: Final[Mapping[type, Mapping[str, Any]]] = {
    ScheduleActionStartWorkflow: {"args": list[Payload], "memo": Mapping[str, Payload] | None},
}


def coder_of(hint: Any) -> Coder:
    """How values of this type travel.

    Raises:
        TypeError: they do not; a call has a parameter or a result that is not made for it.
    """
    known = _coders.get(hint)
    if known is not None:
        return known
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_field_defaults"):
        return _record(cast("type", hint))
    coder = _made(hint)
    _coders[hint] = coder
    return coder


def _made(hint: Any) -> Coder:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(args)
    if origin is Literal:
        return _one_of(args)
    if origin is tuple and args[-1] is not Ellipsis:
        return _fixed([coder_of(arg) for arg in args])
    if origin in (tuple, list, Sequence):
        return _several(coder_of(args[0]), tuple if origin is tuple else list)
    if origin in (Mapping, dict) and args[0] is str:
        return _mapping(coder_of(args[1]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    raise TypeError(f"{hint!r} cannot travel between a client and a gateway")


# -- plain values --------------------------------------------------------------------------------------


def _scalar(kind: type, word: str) -> Coder:
    def decode(value: Any, _depth: int) -> Any:
        if type(value) is not kind:
            raise _misfit(word, value)
        return value

    return Coder(None, decode)


def _int(value: Any, _depth: int) -> int:
    if type(value) is not int:
        raise _misfit("a whole number", value)
    if not _INT_MIN <= value < _INT_END:
        raise Misfit("expected a number of 64 bits")
    return value


def _float(value: Any, _depth: int) -> float:
    if type(value) not in (float, int):
        raise _misfit("a number", value)
    if not math.isfinite(value):
        raise Misfit(f"expected a finite number, found {value}")
    return float(value)


def _plain(value: Any, depth: int) -> Any:
    """A search attribute's value, or a group's: nothing that has parts but a list of text."""
    if type(value) is list:
        return [_TEXT.decode(one, depth) for one in cast("list[Any]", value)]
    if type(value) is int:
        return _int(value, depth)
    if value is None or type(value) in (str, float, bool):
        return value
    raise _misfit("text, a number, true, false or a list of text", value)


def _instant(value: Any, depth: int) -> datetime:
    try:
        return datetime.fromisoformat(_TEXT.decode(value, depth))
    except ValueError as error:
        raise Misfit(f"expected an instant: {error}") from None


def _duration(value: Any, depth: int) -> timedelta:
    days, seconds, microseconds = (_int(part, depth) for part in _list(value, 3))
    try:
        return timedelta(days, seconds, microseconds)
    except OverflowError:
        raise Misfit("expected a duration that can be") from None


def _misfit(expected: str, value: object) -> Misfit:
    return Misfit(f"expected {expected}, found {type(value).__name__}")


_TEXT: Final = _scalar(str, "text")


# -- compounds -----------------------------------------------------------------------------------------


def _union(members: Sequence[Any]) -> Coder:
    others = [member for member in members if member is not types.NoneType]
    if len(others) == 1:
        return _optional(coder_of(others[0]))
    optional = len(others) < len(members)
    if all(member in (str, int, float, bool) for member in others):
        return _scalars(members)
    coders = [coder_of(member) for member in others]

    def encode(value: Any) -> Any:
        if value is None and optional:
            return None
        number = next(n for n, member in enumerate(others) if isinstance(value, member))
        return [number, coders[number].encoded(value)]

    def decode(value: Any, depth: int) -> Any:
        if value is None and optional:
            return None
        number, inner = _list(value, 2)
        if type(number) is not int or not 0 <= number < len(coders):
            raise Misfit(f"expected a number below {len(coders)} that says what follows")
        return coders[number].decode(inner, depth)

    return Coder(encode, decode)


def _scalars(members: Sequence[Any]) -> Coder:
    """What msgpack tells apart by itself."""

    def decode(value: Any, depth: int) -> Any:
        if type(value) not in members:
            raise _misfit(" or ".join(member.__name__ for member in members), value)
        return coder_of(type(value)).decode(value, depth)

    return Coder(None, decode)


def _optional(coder: Coder) -> Coder:
    encode = coder.encode
    return Coder(
        None if encode is None else lambda value: None if value is None else encode(value),
        lambda value, depth: None if value is None else coder.decode(value, depth),
    )


def _several(coder: Coder, make: type) -> Coder:
    def decode(value: Any, depth: int) -> Any:
        return make([coder.decode(one, depth) for one in _list(value)])

    return Coder(lambda values: [coder.encoded(value) for value in values], decode)


def _fixed(coders: Sequence[Coder]) -> Coder:
    return Coder(
        lambda values: [coder.encoded(value) for coder, value in zip(coders, values, strict=True)],
        lambda value, depth: tuple(
            coder.decode(one, depth) for coder, one in zip(coders, _list(value, len(coders)), strict=True)
        ),
    )


def _mapping(coder: Coder) -> Coder:
    def decode(value: Any, depth: int) -> dict[str, Any]:
        if type(value) is not dict:
            raise _misfit("a map", value)
        found = cast("dict[Any, Any]", value)
        return {_TEXT.decode(key, depth): coder.decode(one, depth) for key, one in found.items()}

    return Coder(lambda values: {key: coder.encoded(value) for key, value in values.items()}, decode)


def _one_of(words: Sequence[str]) -> Coder:
    def decode(value: Any, _depth: int) -> str:
        if type(value) is not str or value not in words:
            raise Misfit(f"expected one of {', '.join(words)}")
        return value

    return Coder(None, decode)


def _enum(kind: type[Enum]) -> Coder:
    def decode(value: Any, _depth: int) -> Enum:
        try:
            return kind(value)
        except ValueError:
            raise Misfit(f"expected a {kind.__name__}") from None

    return Coder(lambda member: member.value, decode)


def _list(value: Any, length: int | None = None) -> list[Any]:
    if type(value) is not list or (length is not None and len(cast("list[Any]", value)) != length):
        raise _misfit("a list" if length is None else f"a list of {length}", cast("object", value))
    return cast("list[Any]", value)


# -- records -------------------------------------------------------------------------------------------


def _record(cls: type) -> Coder:
    fields: list[tuple[str, Coder]] = []
    required = 0
    left_out = _LEFT_OUT.get(cls, frozenset[str]())
    missing = dataclasses.MISSING
    kept_back = {
        field.name: field.default
        for field in (dataclasses.fields(cls) if left_out else ())
        if field.name in left_out and field.default is not missing
    }

    def encode(record: Any) -> list[Any]:
        for name, default in kept_back.items():
            if getattr(record, name) != default:
                raise ValueError(f"{name} of a {cls.__name__} cannot be set from another process")
        return [coder.encoded(getattr(record, name)) for name, coder in fields]

    def decode(value: Any, depth: int) -> Any:
        if depth >= DEPTH_MAX:
            raise Misfit(f"expected at most {DEPTH_MAX} records within each other")
        found = _list(value)
        if not required <= len(found) <= len(fields):
            raise Misfit(f"expected {required} to {len(fields)} fields of {cls.__name__}, found {len(found)}")
        values: dict[str, Any] = {}
        for (name, coder), one in zip(fields, found, strict=False):
            try:
                values[name] = coder.decode(one, depth + 1)
            except Misfit as error:
                raise error.within(name) from None
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise Misfit(f"a {cls.__name__} that cannot be: {error}") from None

    coder = _coders[cls] = Coder(encode, decode)  # Known before its fields are: a failure has causes.
    hints = typing.get_type_hints(cls)
    hints.update(_NARROWED.get(cls, {}))
    for name, has_default in _fields_of(cls):
        if name not in left_out:
            fields.append((name, coder_of(hints[name])))
            required = required if has_default else len(fields)
    return coder


def _fields_of(cls: Any) -> list[tuple[str, bool]]:
    """The names of the fields of a dataclass or a named tuple, and whether they have a default."""
    if not dataclasses.is_dataclass(cls):
        return [(name, name in cls._field_defaults) for name in cls._fields]
    missing = dataclasses.MISSING
    return [
        (field.name, not (field.default is missing and field.default_factory is missing))
        for field in dataclasses.fields(cls)
    ]


# -- what has a form of its own --------------------------------------------------------------------------


def _body_encoded(body: Body) -> list[Any]:
    return [codec.kind_of(body), codec.encode_body(body)]


def _body_decoded(value: Any, _depth: int) -> Body:
    kind, data = _list(value, 2)
    if type(kind) is not int or type(data) is not bytes:
        raise Misfit("expected the kind and the bytes of an event")
    try:
        return codec.decode_body(kind, data)
    except codec.EventUnreadable as error:
        raise Misfit(str(error)) from None


_ATTRIBUTE_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "Text": (str,),
    "Keyword": (str,),
    "Int": (int,),
    "Double": (float, int),
    "Bool": (bool, int),  # a journal has 0 and 1
    "Datetime": (int,),
    "KeywordList": (list,),
}


def _attribute(value: Any, depth: int) -> Attribute:
    kind, found = _list(value, 2)
    kinds = _ATTRIBUTE_TYPES.get(kind) if type(kind) is str else None
    if kinds is None or not (found is None or type(found) in kinds):
        raise Misfit(f"expected a search attribute: one of {', '.join(_ATTRIBUTE_TYPES)}, and its value")
    return (kind, _plain(found, depth))


def _typed_decoded(value: Any, depth: int) -> TypedSearchAttributes:
    attributes = coder_of(Mapping[str, Attribute]).decode(value, depth)
    try:
        return typed(attributes)
    except OverflowError as error:
        raise Misfit(f"expected an instant that can be: {error}") from None


_EVENT: Final = Coder(_body_encoded, _body_decoded)
_coders: Final[dict[Any, Coder]] = {
    str: _TEXT,
    bytes: _scalar(bytes, "bytes"),
    bool: _scalar(bool, "true or false"),
    int: Coder(None, _int),
    float: Coder(None, _float),
    object: Coder(None, _plain),
    types.NoneType: _scalar(types.NoneType, "nothing"),
    datetime: Coder(datetime.isoformat, _instant),
    timedelta: Coder(lambda it: [it.days, it.seconds, it.microseconds], _duration),
    Body: _EVENT,
    Closing: _EVENT,
    Attribute: Coder(list, _attribute),
    TypedSearchAttributes: Coder(attributes_of, _typed_decoded),
}
_coders[ScheduleAction] = coder_of(ScheduleActionStartWorkflow)
