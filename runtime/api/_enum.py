"""Enumerations of Temporal's protocol: whole numbers whose members are also found by their full name."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Sequence
from typing import Any, Self

_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


class ProtocolEnum(enum.IntEnum):
    """Values are whole numbers; those that a newer version of the protocol has stay as they are."""

    ValueType = enum.nonmember(int)
    """What annotations call a value."""

    @classmethod
    def Name(cls, number: int) -> str:  # noqa: N802 - the protocol's name
        """The full name of a value.

        Raises:
            ValueError: there is none.
        """
        return cls(number).name

    @classmethod
    def Value(cls, name: str) -> Self:  # noqa: N802 - the protocol's name
        """The value of a full name.

        Raises:
            ValueError: there is none.
        """
        try:
            return cls[name]
        except KeyError:
            raise ValueError(f"Enum {cls.__name__} has no value defined for name {name!r}") from None

    @classmethod
    def keys(cls) -> Sequence[str]:
        """The full names."""
        return list(cls.__members__)

    @classmethod
    def values(cls) -> Sequence[int]:
        """The values, in the order of the names."""
        return list(cls.__members__.values())

    @classmethod
    def items(cls) -> Sequence[tuple[str, int]]:
        """Names and values."""
        return list(cls.__members__.items())

    @property
    def short_name(self) -> str:
        """The name without that of its enumeration; empty for what is unspecified."""
        name = self.name.removeprefix(_prefix(type(self)))
        return "" if name == "UNSPECIFIED" else name

    @classmethod
    def of(cls, found: Any) -> int:
        """The member of a number, a full name, a short one, or one as Temporal's older tools write it (``TimerFired``).

        Raises:
            ValueError: it is no name of this enumeration, nor a number.
        """
        if isinstance(found, str):
            name = found if found in cls.__members__ else _full_name(cls, found)
            return cls[name] if name in cls.__members__ else cls._numbered(found)
        return cls._numbered(found)

    @classmethod
    def _numbered(cls, found: Any) -> int:
        try:
            number = int(found)
        except (TypeError, ValueError):
            raise ValueError(f"{found!r} is no {cls.__name__}") from None
        return cls(number) if number in cls._value2member_map_ else number


def _full_name(cls: type[ProtocolEnum], name: str) -> str:
    return _prefix(cls) + (name if name.isupper() else _WORDS.sub("_", name).upper())


@functools.cache
def _prefix(cls: type[ProtocolEnum]) -> str:
    """What all names of an enumeration begin with: its own name, in capitals."""
    return _WORDS.sub("_", cls.__name__).upper() + "_"
