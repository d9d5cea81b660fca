"""Text for a terminal: colours only where they are wanted, and data that cannot drive the terminal."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from dataclasses import dataclass
from typing import Any, Final, TextIO

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_STATUS_STYLES: Final = {
    "running": "blue",
    "paused": "yellow",
    "stopped": "yellow",
    "completed": "green",
    "failed": "red",
    "timed_out": "red",
    "blocked": "magenta",
    "canceled": "yellow",
    "terminated": "yellow",
    "continued_as_new": "cyan",
}
_ESCAPED_CATEGORIES: Final = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
WIDTH_MIN: Final = 60
WIDTH_MAX: Final = 160


def escape(text: str) -> str:
    """The same text with everything that could move a cursor or reorder text written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    if unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")


def cell_width(text: str) -> int:
    """How many columns the (escaped) text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def shorten(text: str, width: int) -> str:
    """At most `width` columns; what was cut is marked by three dots."""
    if cell_width(text) <= width:
        return text
    if width <= 3:
        return "." * max(width, 0)
    kept: list[str] = []
    used = 0
    for character in text:
        used += cell_width(character)
        if used > width - 3:
            break
        kept.append(character)
    return "".join(kept) + "..."


def pad(text: str, width: int) -> str:
    """Exactly `width` columns, cut or filled with spaces."""
    text = shorten(text, width)
    return text + " " * (width - cell_width(text))


def compact(value: Any, width: int) -> str:
    """A value as one line of JSON of at most `width` columns."""
    return shorten(escape(json.dumps(value, ensure_ascii=False, default=str)), width)


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the place that we write to can show. `width` is in columns."""

    width: int = 80
    is_colored: bool = False
    is_unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Terminal:
        """What `stream` can show: colours on a terminal without NO_COLOR, 80 columns when piped."""
        is_terminal = stream.isatty()
        columns = shutil.get_terminal_size((80, 24)).columns if is_terminal else 80
        is_colored = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        encoding = (stream.encoding or "ascii").lower().replace("-", "")
        return cls(min(max(columns, WIDTH_MIN), WIDTH_MAX), is_colored, encoding.startswith("utf"))

    def styled(self, text: str, *styles: str) -> str:
        """The text in the named styles, or as it is where colours are not wanted."""
        codes = ";".join(_CODES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.is_colored and codes and text else text

    def status(self, status: str, width: int = 0) -> str:
        """The name of a status in its colour."""
        return self.styled(pad(status, width) if width else status, _STATUS_STYLES.get(status, ""), "bold")
