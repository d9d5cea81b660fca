"""Decoded values as the types that a function's annotations ask for.

The rules are those of Temporal's JSON conversion: unknown fields are ignored, fields with defaults may be
missing, a union takes its first member that fits, numbers are exchanged between int and float. More is
known here (dates, times, named tuples, plain enums, arrays, generic dataclasses), and text is not taken
for a list of letters.
"""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from functools import lru_cache
from typing import (
    Any,
    ClassVar,
    Final,
    ForwardRef,
    Literal,
    NewType,
    TypeGuard,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)
from uuid import UUID

from .plain_values import LocatedError, UnencodableError, key_part, key_text


class MismatchError(LocatedError, TypeError):
    """A decoded value does not fit its type hint; the message says where, and what was expected and found."""


JSONTypeConverterUnhandled = NewType("JSONTypeConverterUnhandled", object)
"""The type of `JSONTypeConverter.Unhandled`."""


class JSONTypeConverter(ABC):
    """Converts values for type hints of its own; tried before every other rule, at every level."""

    Unhandled: ClassVar[JSONTypeConverterUnhandled] = JSONTypeConverterUnhandled(object())
    """What `to_typed_value` returns for a hint that is not its own."""

    @abstractmethod
    def to_typed_value(self, hint: type, value: Any) -> Any | JSONTypeConverterUnhandled | None:
        """The value as the hint asks, or `Unhandled`."""


_Custom = Sequence[JSONTypeConverter]


def value_to_type(hint: Any, value: Any, custom_converters: _Custom = ()) -> Any:
    """The value as the hint asks.

    Raises:
        MismatchError: a TypeError that begins with the place inside the value.
        pydantic.ValidationError: the hint is a model, which refused the value; whoever has the type can catch it.
    """
    try:
        return _convert(hint, value, custom_converters)
    except RecursionError:
        raise MismatchError(f"the value is nested too deeply for {_name(hint)}") from None
    except MismatchError as error:
        cause = error.__cause__
        if cause is not None and not error.path and type(cause).__module__.startswith("pydantic"):
            raise cause from None
        raise


def _convert(hint: Any, value: Any, custom: _Custom) -> Any:
    for converter in custom:
        converted = _made(hint, converter.to_typed_value, hint, value)
        if converted is not JSONTypeConverter.Unhandled:
            return converted
    if hint is Any:  # a class, from Python 3.11
        return value
    if isinstance(hint, type):
        exact = _EXACT.get(hint)
        if exact is not None:
            return exact(hint, value)
        return _convert_class(cast("Any", hint), (), hint, value, custom)
    if hint is None:
        return _none(hint, value)
    if isinstance(hint, TypeVar | ForwardRef | str):
        return value  # An unresolved name asks for nothing that could be checked.
    inner = getattr(hint, "__supertype__", None) or getattr(
        hint, "__value__", None
    )  # NewType, `type X = ...`
    if inner is not None:
        return _convert(inner, value, custom)
    return _convert_form(hint, value, custom)


def _convert_form(hint: Any, value: Any, custom: _Custom) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union or origin is types.UnionType:
        return _union(hint, args, value, custom)
    if origin is Literal:
        return _literal(hint, args, value)
    if origin in _WRAPPERS:
        return _convert(args[0], value, custom)
    if isinstance(origin, type):
        return _convert_class(cast("Any", origin), args, hint, value, custom)
    if isinstance(getattr(hint, "__origin__", None), type):  # typing.List and the like, without arguments
        return _convert_class(hint.__origin__, (), hint, value, custom)
    raise MismatchError(f"the type hint {_name(hint)} is not supported")


_WRAPPERS: Final = (
    typing.Annotated,
    typing.ClassVar,
    typing.Final,
    typing.Required,
    typing.NotRequired,
)


def _convert_class(cls: Any, args: tuple[Any, ...], hint: Any, value: Any, custom: _Custom) -> Any:
    if issubclass(cls, Enum):
        return _enum(cls, value)
    # That of typing_extensions is not the standard library's own, but of a type with the same name.
    if typing.is_typeddict(cls) or type(cls).__name__ == "_TypedDictMeta":
        return _typed_dict(cls, args, value, custom)
    if issubclass(cls, collections.abc.Mapping):
        return _mapping(cls, args, hint, value, custom)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, args, value, custom)
    if hasattr(cls, "model_validate"):
        return _made(cls, cls.model_validate, value)
    if cls.__module__.partition(".")[0] == "numpy":
        return _array(cls, args, hint, value)
    for base, exact in _EXACT.items():
        if base is not object and issubclass(cls, base):
            return exact(cls, value)
    if issubclass(cls, tuple):
        return _tuple(cls, args, hint, value, custom)
    if issubclass(cls, collections.abc.Iterable):
        return _iterable(cls, args, hint, value, custom)
    if isinstance(value, cls):
        return value
    raise MismatchError(f"the type hint {_name(hint)} is not supported")


# -- scalars ---------------------------------------------------------------------------------------


def _none(_hint: Any, value: Any) -> None:
    if value is not None:
        raise _mismatch(None, value)


def _same(cls: Any, value: Any) -> Any:
    if type(value) is cls:
        return value
    base = str if issubclass(cls, str) else bool
    if not isinstance(value, base):
        raise _mismatch(cls, value)
    return _made(cls, cls, value)


def _number(cls: Any, value: Any) -> Any:
    if type(value) is cls:
        return value
    if not isinstance(value, int | float):
        raise _mismatch(cls, value)
    return _made(cls, cls, value)


def _bytes(cls: Any, value: Any) -> Any:
    if type(value) is cls:
        return value
    if not isinstance(value, bytes | bytearray | list):
        raise _mismatch(cls, value)
    return _made(cls, cls, value)


def _instant(cls: Any, value: Any) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, str):
        raise MismatchError(f"expected {_name(cls)} as ISO 8601 text, found {_found(value)}")
    try:
        return cls.fromisoformat(value)
    except ValueError:
        raise MismatchError(f"expected {_name(cls)} as ISO 8601 text, found {_found(value)}") from None


def _uuid(cls: Any, value: Any) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, str):
        raise _mismatch(cls, value)
    return _made(cls, cls, value)


def _any(_cls: Any, value: Any) -> Any:
    return value


# Also the order in which a subclass finds its rule: bool before int, datetime before date.
_EXACT: Final[dict[type, Callable[[Any, Any], Any]]] = {
    str: _same,
    bool: _same,
    int: _number,
    float: _number,
    bytes: _bytes,
    bytearray: _bytes,
    type(None): _none,
    object: _any,
    datetime: _instant,
    date: _instant,
    time: _instant,
    UUID: _uuid,
}


def _enum(cls: type[Enum], value: Any) -> Any:
    if issubclass(cls, int) and not isinstance(value, int):
        raise _mismatch(cls, value)
    if issubclass(cls, str) and not isinstance(value, str):
        raise _mismatch(cls, value)
    if isinstance(value, cls):
        return value
    try:
        return cls(value)
    except (ValueError, TypeError):
        raise _mismatch(cls, value) from None


def _literal(hint: Any, args: tuple[Any, ...], value: Any) -> Any:
    for arg in args:
        if isinstance(arg, Enum) and not isinstance(value, Enum):
            if arg.value == value:
                return arg
        elif arg == value and type(arg) is type(value):
            return arg
    raise _mismatch(hint, value)


# -- choices and containers ------------------------------------------------------------------------


def _union(hint: Any, args: tuple[Any, ...], value: Any, custom: _Custom) -> Any:
    if value is None and type(None) in args:
        return None
    members = [arg for arg in args if arg is not type(None)]
    if len(members) == 1:
        return _convert(members[0], value, custom)
    if not custom and any(member is type(value) for member in members) and not isinstance(value, list | dict):
        return value  # The first that fits would make an int of a float.
    for member in members:
        try:
            return _convert(member, value, custom)
        except MismatchError:
            continue
    raise _mismatch(hint, value)


def _items(hint: Any, value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        raise _mismatch(hint, value)
    items: Iterable[Any] = value
    return items


def _converted_items(hints: Iterable[Any], values: Iterable[Any], custom: _Custom) -> list[Any]:
    converted: list[Any] = []
    try:
        for hint, value in zip(hints, values, strict=False):
            converted.append(_convert(hint, value, custom))
    except LocatedError as exc:
        raise exc.within(f"[{len(converted)}]") from exc.__cause__
    return converted


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_a(cls: Any, *bases: type[Any]) -> bool:
    return issubclass(cls, bases)


def _iterable(cls: Any, args: tuple[Any, ...], hint: Any, value: Any, custom: _Custom) -> Any:
    values = list(_items(hint, value))
    if len(args) == 1 and not isinstance(args[0], TypeVar) and args[0] is not Any:
        item = args[0]
        if custom or item not in _PASSED_AS_THEY_ARE or not {item}.issuperset(map(type, values)):
            values = _converted_items([item] * len(values), values, custom)
    if cls is not list and _is_a(cls, list, set, frozenset, collections.deque):
        return _made(hint, cls, values)
    return _made(hint, set, values) if _is_a(cls, collections.abc.Set) else values


_PASSED_AS_THEY_ARE: Final = (str, bool, int, float, bytes)


def _tuple(cls: Any, args: tuple[Any, ...], hint: Any, value: Any, custom: _Custom) -> Any:
    values = list(_items(hint, value))
    named: tuple[str, ...] | None = getattr(cls, "_fields", None)
    if named is not None:
        hints = _hints(cls)
        return _made(hint, cls, *_converted_items([hints.get(name, Any) for name in named], values, custom))
    if not args and cls is not tuple:
        return _made(hint, cls, values)
    if not args and get_origin(hint) is None:
        return tuple(values)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_converted_items([args[0]] * len(values), values, custom))
    if len(values) != len(args):
        raise MismatchError(f"expected {_name(hint)}, found a list of {len(values)}")
    return tuple(_converted_items(args, values, custom))


def _mapping(cls: Any, args: tuple[Any, ...], hint: Any, value: Any, custom: _Custom) -> Any:
    if not _is_mapping(value):
        raise _mismatch(hint, value)
    key_hint = args[0] if args else Any
    value_hint = args[1] if len(args) > 1 else int if _is_a(cls, collections.Counter) else Any
    converted: dict[Any, Any] = {}
    key: Any = None
    try:
        for key, item in value.items():
            converted[_key(key_hint, key, custom)] = _convert(value_hint, item, custom)
    except LocatedError as exc:
        raise exc.within(key_part(key)) from exc.__cause__
    if cls is dict or not _is_a(cls, dict):
        return converted
    return _made(hint, cls, *((None,) if _is_a(cls, collections.defaultdict) else ()), converted)


def _key(hint: Any, key: Any, custom: _Custom) -> Any:
    """A key has become text on its way; the hint tells what it was."""
    if not isinstance(key, str) or hint is str or hint is Any:
        return _convert(hint, key, custom)
    hint = type(None) if hint is None else getattr(hint, "__supertype__", None) or hint
    if get_origin(hint) in (Union, types.UnionType):
        return _union_key(hint, key, custom)
    if isinstance(hint, type):
        try:
            if issubclass(hint, bool | types.NoneType):
                return {"true": True, "false": False, "null": None}[key]
            if issubclass(hint, int):
                return hint(int(key))
            if issubclass(hint, float):
                return hint(float(key))
            if issubclass(hint, Enum):
                return next(member for member in hint if key_text(member.value) == key)
        except (KeyError, ValueError, StopIteration, UnencodableError):
            raise _mismatch(hint, key) from None
    return _convert(hint, key, custom)


def _union_key(hint: Any, key: str, custom: _Custom) -> Any:
    members = get_args(hint)
    if str in members:
        return key
    for member in members:
        try:
            return _key(member, key, custom)
        except MismatchError:
            continue
    raise _mismatch(hint, key)


# -- records ---------------------------------------------------------------------------------------


def _typed_dict(cls: Any, args: tuple[Any, ...], value: Any, custom: _Custom) -> dict[Any, Any]:
    if not _is_mapping(value):
        raise _mismatch(cls, value)
    hints = _bound(cls, args)
    return {key: _field(key, hints.get(key, Any), item, custom) for key, item in value.items()}


def _dataclass(cls: Any, args: tuple[Any, ...], value: Any, custom: _Custom) -> Any:
    if not _is_mapping(value):
        raise _mismatch(cls, value)
    hints = _bound(cls, args)
    arguments: dict[str, Any] = {}
    afterwards: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name in value:
            target = arguments if field.init else afterwards
            target[field.name] = _field(field.name, hints.get(field.name, Any), value[field.name], custom)
    made = _made(cls, cls, **arguments)
    for name, item in afterwards.items():
        object.__setattr__(made, name, item)  # a frozen dataclass too gets its computed fields back
    return made


def _field(name: str, hint: Any, value: Any, custom: _Custom) -> Any:
    try:
        return _convert(hint, value, custom)
    except LocatedError as exc:
        raise exc.within(key_part(name)) from exc.__cause__


def _bound(cls: Any, args: tuple[Any, ...]) -> Mapping[str, Any]:
    """The hints of a class, with the type variables of a generic one replaced."""
    hints = _hints(cls)
    if not args:
        return hints
    bindings = dict(zip(cls.__parameters__, args, strict=False))
    return {name: _substituted(hint, bindings) for name, hint in hints.items()}


def _substituted(hint: Any, bindings: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return bindings.get(hint, hint)
    alias: Any = None if isinstance(hint, type) else hint
    free: tuple[Any, ...] = getattr(alias, "__parameters__", ())
    return alias[tuple(bindings.get(name, name) for name in free)] if free else hint


@lru_cache(maxsize=1024)
def _hints(cls: Any) -> dict[str, Any]:
    """The annotations of a class; those that name something unknown at run time are `Any`."""
    try:
        return typing.get_type_hints(cls, localns={cls.__name__: cls})
    except Exception:  # an annotation is text that may fail in any way
        declared: dict[str, Any]
        if dataclasses.is_dataclass(cls):
            declared = {field.name: field.type for field in dataclasses.fields(cls)}
        else:
            declared = dict(getattr(cls, "__annotations__", {}))
        return {name: _resolved(cls, annotation) for name, annotation in declared.items()}


def _resolved(cls: Any, annotation: Any) -> Any:
    holder = types.SimpleNamespace(__annotations__={"x": annotation})
    for base in cls.__mro__:
        module = sys.modules.get(base.__module__)
        try:
            return typing.get_type_hints(holder, vars(module) if module else {}, {cls.__name__: cls})["x"]
        except Exception:  # noqa: S112 - the next base may know the name
            continue
    return Any


def _array(cls: Any, args: tuple[Any, ...], hint: Any, value: Any) -> Any:
    """A numpy array or scalar; whoever hints one has imported numpy."""
    if cls.__name__ != "ndarray":
        return _made(hint, cls, value)
    element = get_args(args[1])[0] if len(args) > 1 and get_args(args[1]) else None
    dtype = element if isinstance(element, type) else None
    return _made(hint, sys.modules["numpy"].asarray, _items(hint, value), dtype)


# -- messages --------------------------------------------------------------------------------------


def _made(hint: Any, factory: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return factory(*args, **kwargs)
    except LocatedError:
        raise
    except Exception as exc:
        reason = str(exc)
        raise MismatchError(
            f"expected {_name(hint)}, which refused the value: {reason[:300]}{'...' * (len(reason) > 300)}"
        ) from exc


def _mismatch(hint: Any, value: Any) -> MismatchError:
    return MismatchError(f"Expected value to be {_name(hint)}, was {type(value)} ({_found(value)})")


def _name(hint: Any) -> str:
    name = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    return name if len(name) <= 120 else name[:120] + "..."


def _found(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    if isinstance(value, str | bytes):
        return f"{kind} {value[:40]!r}{'...' * (len(value) > 40)}"
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**40):
        return f"{kind} {value!r}"
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"a {kind} of {len(cast('list[Any]', value))}"
    return kind
