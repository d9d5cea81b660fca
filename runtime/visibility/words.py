"""Words of a Text attribute: a test that SQLite's GLOB and Python's `re` answer alike.

Letters, digits and ``_`` make words, whatever else stands between them. Case does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# A class for GLOB and `re`. SQLite reads U+FFFE and U+FFFF as U+FFFD, so none of the three belongs to a word; above
# ASCII only blocks of punctuation are left out, so that no table of Unicode is needed.
_LETTERS: Final = (
    "0-9A-Z_a-z\u00aa\u00b5\u00ba\u00c0-\u1fff\u2070-\u2dff\u3005-\ud7ff\ue000-\ufffc\U00010000-\U0010ffff"
)
_WORD: Final = re.compile(f"[{_LETTERS}]+")
_BETWEEN: Final = f"[^{_LETTERS}]"


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text)


def glob_of(word: str) -> str:
    """A GLOB pattern for a text that has this word and stands between two spaces."""
    return f"*{_pattern(word)}*"


def has_word(text: str, word: str) -> bool:
    """Whether the text has this word."""
    # GLOB reads up to a NUL.
    seen = f" {text} ".split("\0", 1)[0]
    return re.search(_pattern(word), seen) is not None


def _pattern(word: str) -> str:
    return _BETWEEN + "".join(f"[{''.join(_cases(character))}]" for character in word) + _BETWEEN


def _cases(character: str) -> Iterator[str]:
    """The character in both cases, where each is one character of a word."""
    for variant in sorted({character, character.lower(), character.upper()}):
        if len(variant) == 1 and _WORD.fullmatch(variant):
            yield variant
