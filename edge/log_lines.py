"""Log lines that nobody but the gateway can begin: ids, topics and messages of errors come from outside."""

from __future__ import annotations

import logging
from typing import Final

from overwinter.runtime.display.terminal import escape

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogLines(logging.Formatter):
    """One record, whose further lines are indented and whose control characters are shown as escapes."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record; see the class."""
        return "\n    ".join(escape(line) for line in super().format(record).split("\n"))
