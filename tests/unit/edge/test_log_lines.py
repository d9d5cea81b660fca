"""What comes from outside begins no line of the log and controls no terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from overwinter.edge.log_lines import LogLines

FORGED = "2026-01-01 00:00:00,000 CRITICAL root: all is lost"


def _text(message: str, *args: Any, error: BaseException | None = None) -> str:
    exception = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("edge", logging.ERROR, __file__, 1, message, args, exception)
    return LogLines().format(record)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\x1b[2K\x1b[1G"])
def test_an_id_begins_no_line(end: str) -> None:
    text = _text("workflow %s is blocked", f"w{end}{FORGED}")
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
    assert "\x1b" not in text
    assert "all is lost" in text


def test_the_message_of_an_error_begins_no_line() -> None:
    try:
        raise ValueError(f"no\n{FORGED}\x1b[2J")
    except ValueError as error:
        text = _text("it failed", error=error)
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
    assert "\x1b" not in text
    assert f'File "{__file__}"' in text


def test_an_ordinary_line_is_as_it_was() -> None:
    assert _text("started in %.2f s", 0.5).endswith(" ERROR edge: started in 0.50 s")
    assert "\n" not in _text("one line")


def test_it_takes_what_the_terminal_cannot() -> None:
    assert _text("%s", "\ud800").encode(sys.getdefaultencoding())
