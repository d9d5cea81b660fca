"""Values: dataclasses that are made fast, and whose classes are made fast.

A dataclass of the standard library generates the source of its methods and compiles it, for each class. With some hundreds of
them that was half of a cold start, so here the methods besides `__init__` are shared functions over the fields' values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar, cast, dataclass_transform, overload

T = TypeVar("T")


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T] | None = None, /, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """A dataclass with slots that type checkers take as frozen; two with the same fields are equal and hash alike.

    They are not frozen at runtime: to make one would take four times as long, and each step makes several.
    """

    def made(cls: type[T]) -> type[T]:
        return _with_methods(
            dataclasses.dataclass(slots=True, repr=False, eq=False, kw_only=kw_only)(cls), hashed=True
        )

    return made if cls is None else made(cls)


@overload
def dataclass(cls: type[T], /) -> type[T]: ...
@overload
def dataclass(
    *, frozen: bool = False, slots: bool = False, kw_only: bool = False, weakref_slot: bool = False
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def dataclass(
    cls: type[T] | None = None,
    /,
    *,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
    weakref_slot: bool = False,
) -> type[T] | Callable[[type[T]], type[T]]:
    """What `dataclasses.dataclass` makes with these options, in half of the time."""

    def made(cls: type[T]) -> type[T]:
        plain = dataclasses.dataclass(
            frozen=frozen, slots=slots, kw_only=kw_only, weakref_slot=weakref_slot, repr=False, eq=False
        )
        return _with_methods(plain(cls), hashed=frozen)

    return made if cls is None else made(cls)


def _with_methods(cls: type[T], *, hashed: bool) -> type[T]:
    own = vars(cls)
    fields = dataclasses.fields(cast("Any", cls))
    compared = [found.name for found in fields if found.compare]
    values: Callable[[Any], object] = attrgetter(*compared) if compared else _nothing

    def equal(self: Any, other: Any) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hash_of(self: Any) -> int:
        return hash(values(self))

    if "__eq__" not in own:
        cls.__eq__ = equal  # type: ignore[method-assign]  # made here, once for each class
    if own.get("__hash__") is None:
        # Equal values that may change have no hash.
        cls.__hash__ = hash_of if hashed else None  # type: ignore[method-assign, assignment]  # as above
    if "__repr__" not in own:
        cls.__repr__ = _repr  # type: ignore[method-assign]  # as above
    return cls


def _nothing(_value: object) -> tuple[()]:
    return ()


@recursive_repr()
def _repr(self: Any) -> str:
    shown = [
        f"{found.name}={getattr(self, found.name)!r}" for found in dataclasses.fields(self) if found.repr
    ]
    return f"{type(self).__qualname__}({', '.join(shown)})"
