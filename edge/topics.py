"""Topic patterns: ``farm/{field}/soil`` as an MQTT subscription, and as a way to take a topic apart.

``{name}`` stands for one level of a topic, ``{name...}`` at the end for all that are left (at least one). The rules of
levels and of topics that begin with ``$`` are those of MQTT 5.0, 4.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TOPIC_BYTES_MAX: Final = 65535
_PART = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")


class PatternError(ValueError):
    """It is no topic pattern; the message says where and what is allowed."""


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """A compiled pattern."""

    text: str
    subscription: str
    names: tuple[str, ...]
    _levels: tuple[str | None, ...]
    _rest: str | None

    @classmethod
    def parse(cls, text: str) -> TopicPattern:
        """Compile a pattern.

        Raises:
            PatternError: it is none.
        """
        if not text or len(text.encode()) > TOPIC_BYTES_MAX or "\0" in text:
            raise PatternError(
                f"a topic has 1 to {TOPIC_BYTES_MAX} bytes and no NUL, found {len(text.encode())} bytes"
            )
        levels: list[str | None] = []
        names: list[str] = []
        rest: str | None = None
        given = text.split("/")
        for position, level in enumerate(given):
            part = _PART.fullmatch(level)
            if part is None:
                _check_literal(text, level)
                levels.append(level)
                continue
            name, is_rest = part.groups()
            if name in names:
                raise PatternError(f"{text!r} has two parts named {name!r}: give each a name of its own")
            names.append(name)
            if is_rest:
                if position != len(given) - 1:
                    raise PatternError(
                        f"{text!r} has {level!r} before its end: what stands for the rest comes last"
                    )
                rest = name
            else:
                levels.append(None)
        filters = ["+" if level is None else level for level in levels] + (["#"] if rest else [])
        return cls(text, "/".join(filters), tuple(names), tuple(levels), rest)

    def match(self, topic: str) -> dict[str, str] | None:
        """The named parts of a topic that fits; None when it does not."""
        given = topic.split("/")
        fixed = len(self._levels)
        if len(given) < fixed + (self._rest is not None) or (self._rest is None and len(given) != fixed):
            return None
        # A wildcard at the first level does not match topics of the broker's own (MQTT 5.0, 4.7.2).
        if topic.startswith("$") and (fixed == 0 or self._levels[0] is None):
            return None
        parts: list[str] = []
        for wanted, level in zip(self._levels, given, strict=False):
            if wanted is None:
                parts.append(level)
            elif wanted != level:
                return None
        if self._rest is not None:
            parts.append("/".join(given[fixed:]))
        return dict(zip(self.names, parts, strict=True))


def _check_literal(text: str, level: str) -> None:
    if "+" in level or "#" in level:
        raise PatternError(
            f"{text!r} has a wildcard: name the part instead, as in 'farm/{{field}}/soil' or 'farm/{{rest...}}'"
        )
    if "{" in level or "}" in level:
        raise PatternError(f"{text!r} has {level!r}: a part is a whole level, as in 'farm/{{field}}/soil'")


class TopicFilter:
    """Several patterns, any of which may match."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [TopicPattern.parse(pattern) for pattern in patterns]

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return list(dict.fromkeys(pattern.subscription for pattern in self._patterns))

    def matches(self, topic: str) -> bool:
        """Whether a pattern matches."""
        return any(pattern.match(topic) is not None for pattern in self._patterns)
