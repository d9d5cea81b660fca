"""Reading settings: TOML tables into dataclasses, and every problem as file, key, value and what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

_UNITS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "hours": 3600.0,
    "days": 86400.0,
    "d": 86400.0,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


class SettingsError(Exception):
    """The settings cannot be used; the text names the file and, for each problem, key, value and what is allowed."""

    def __init__(self, file: Path, problems: Sequence[str]) -> None:
        self.file = file
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{file} cannot be used:\n{lines}")


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a setting may be: how its TOML value becomes the value, and how that is said."""

    says: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        if self.low is not None and self.high is not None:
            return f"{self.says} from {_number(self.low)} to {_number(self.high)}"
        return self.says


def setting(default: Any, kind: Kind, about: str) -> Any:
    """A dataclass field for a setting; `default` `REQUIRED` means that there is none."""
    metadata = {"kind": kind, "about": about}
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


REQUIRED: Final = object()
TEXT: Final = Kind("text")
SWITCH: Final = Kind("true or false")
TEXTS: Final = Kind("a list of texts")
PATH: Final = Kind("a path, relative to this file")
PATHS: Final = Kind("a list of paths, relative to this file")


def whole(low: int, high: int) -> Kind:
    """A whole number within bounds."""
    return Kind("a whole number", low, high)


def number(low: float, high: float) -> Kind:
    """A number within bounds."""
    return Kind("a number", low, high)


def duration(low_s: float, high_s: float) -> Kind:
    """A duration within bounds."""
    return Kind('a duration ("30 s", "2 h", "7 days") or a number of seconds,', low_s, high_s)


def choice(*choices: str) -> Kind:
    """One of these texts."""
    return Kind("a choice", choices=choices)


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        SettingsError: it is not there, or no TOML; the text gives line and column.
    """
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            file, ["the file does not exist: give the settings with --settings FILE"]
        ) from None
    except OSError as error:
        raise SettingsError(file, [f"the file cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError(file, [f"the file is no UTF-8 text (byte {error.start})"]) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(file, [f"the file is no TOML: {error}"]) from error


class Reader:
    """Reads tables, and collects problems instead of stopping at the first."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[str] = []

    def finish(self) -> None:
        """Raise what was collected."""
        if self.problems:
            raise SettingsError(self.file, self.problems)

    def problem(self, key: str, found: Any, expected: str) -> None:
        """Note that a value does not fit."""
        self.problems.append(f"{key} is {_shown(found)}, expected {expected}")

    def unknown(self, given: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
        """Note the keys that nobody knows."""
        for key in given:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
                self.problems.append(f"{prefix}{key} is unknown: {hint}")

    def table(self, cls: type[T], given: Any, prefix: str) -> T | None:
        """The dataclass of a table; None when something in it does not fit."""
        if not isinstance(given, dict):
            self.problem(prefix.rstrip("."), given, "a table")
            return None
        values = cast("dict[str, Any]", given)
        fields = {
            field.name: field for field in dataclasses.fields(cast("Any", cls)) if "kind" in field.metadata
        }
        self.unknown(values, list(fields), prefix)
        found: dict[str, Any] = {}
        before = len(self.problems)
        for name, field in fields.items():
            if name in values:
                found[name] = self._value(f"{prefix}{name}", values[name], field.metadata["kind"])
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                self.problems.append(f"{prefix}{name} is missing: {field.metadata['about']}")
        return None if len(self.problems) > before else cls(**found)

    def _value(self, key: str, given: Any, kind: Kind) -> Any:
        expected = kind.describe()
        if kind.choices:
            return given if given in kind.choices else self.problem(key, given, expected)
        if kind is SWITCH:
            return given if isinstance(given, bool) else self.problem(key, given, expected)
        if kind is TEXT:
            return given if isinstance(given, str) and given else self.problem(key, given, expected)
        if kind is PATH:
            return (
                self._path(given) if isinstance(given, str) and given else self.problem(key, given, expected)
            )
        if kind is TEXTS or kind is PATHS:
            return self._list(key, given, kind)
        return self._number(key, given, kind)

    def _list(self, key: str, given: Any, kind: Kind) -> Any:
        if not isinstance(given, list) or not all(
            isinstance(item, str) and item for item in cast("list[Any]", given)
        ):
            return self.problem(key, given, kind.describe())
        items = cast("list[str]", given)
        return tuple(self._path(item) for item in items) if kind is PATHS else tuple(items)

    def _path(self, text: str) -> Path:
        return (self.file.resolve().parent / Path(text).expanduser()).resolve()

    def _number(self, key: str, given: Any, kind: Kind) -> Any:
        value: Any = (
            _seconds(given) if kind.says.startswith("a duration") and isinstance(given, str) else given
        )
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (kind.says == "a whole number" and not isinstance(value, int)):
            return self.problem(key, given, kind.describe())
        if not (kind.low or 0) <= value <= (value if kind.high is None else kind.high):
            return self.problem(key, given, kind.describe())
        return value if kind.says == "a whole number" else float(value)


def _seconds(text: str) -> float | None:
    found = _DURATION.fullmatch(text)
    if found is None or found[2] not in _UNITS:
        return None
    return float(found[1]) * _UNITS[found[2]]


def _shown(value: Any) -> str:
    text = (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else repr(value)
    )
    return text if len(text) <= 80 else text[:77] + "..."


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
