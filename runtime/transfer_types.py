"""Classes whose values are stored as values of another type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

V = TypeVar("V")
T = TypeVar("T")

_CONVERTER = "_overwinter_transfer_type"  # no dunder name: aliases of generic classes hide those


class TransferTypeConverter(ABC, Generic[V, T]):
    """Converts the values of one class to and from what is stored instead; see `transfer_type_convertible`."""

    transfer_type: type[T] | None = None
    """What a stored value is read as."""

    @abstractmethod
    def to_transfer_type(self, value: V) -> T:
        """What is stored instead of the value."""

    @abstractmethod
    def from_transfer_type(self, value: T, type_hint: type[V]) -> V:
        """The value of what was stored; `type_hint` is the class, with its arguments if it has any."""


class _Registered:
    """Whether any class has a converter: few programs have one, and every value is asked."""

    any = False


def transfer_type_convertible(
    converter_type: type[TransferTypeConverter[V, T]],
) -> Callable[[type[V]], type[V]]:
    """Decorate a class whose values, and those of its subclasses, are converted so when they are arguments or results.

    Raises:
        TypeError: the class has a converter.
    """

    def decorate(cls: type[V]) -> type[V]:
        if hasattr(cls, _CONVERTER):
            raise TypeError("class already has a transfer type converter")
        setattr(cls, _CONVERTER, converter_type())
        _Registered.any = True
        return cls

    return decorate


def transfer_converter(kind: Any) -> TransferTypeConverter[Any, Any] | None:
    """The converter of a class, or of a hint."""
    found: TransferTypeConverter[Any, Any] | None = (
        getattr(kind, _CONVERTER, None) if _Registered.any else None
    )
    return found
