"""Cron expressions, read as Temporal's server reads them, as specs of calendars and intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import timedelta
from typing import Final

from ..core.records import dataclass
from .types import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

YEAR_MIN: Final = 2000
YEAR_MAX: Final = 2100
"""Temporal's server knows no times after this year."""

_SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DAYS: Final = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
_UNITS_US: Final = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
    "µs": 1,
    "ns": 0.001,
}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|[dhms])", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True)
class _Field:
    """A field of an expression: its name, its bounds, and words that stand for numbers."""

    name: str
    low: int
    high: int
    words: Mapping[str, int] = field(default_factory=dict[str, int])
    word_min: int = 0
    """So many letters are enough."""


_SECOND: Final = _Field("second", 0, 59)
_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY_OF_MONTH: Final = _Field("day_of_month", 1, 31)
_MONTH: Final = _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}, 3)
_DAY_OF_WEEK: Final = _Field("day_of_week", 0, 7, {name: number for number, name in enumerate(_DAYS)}, 2)
_YEAR: Final = _Field("year", YEAR_MIN, YEAR_MAX)
_FIVE: Final = (_MINUTE, _HOUR, _DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK)
_LAYOUTS: Final = {5: _FIVE, 6: (*_FIVE, _YEAR), 7: (_SECOND, *_FIVE, _YEAR)}


def parse_cron(text: str, *, either_day: bool = False) -> ScheduleSpec:
    """The times of a cron expression: of five fields, six (the year last) or seven (the second first, the year last).

    Also ``@hourly`` and its kind, ``@every 1h30m`` and ``@every 1h/10m`` (with an offset), before them ``TZ=zone``
    or ``CRON_TZ=zone``, behind them ``# comment``. Day of month and day of week must both fit, as in Temporal's
    schedules. With `either_day` one of them is enough when neither begins with ``*``, as in cron itself and in
    the `cron_schedule` of Temporal's workflows.

    Raises:
        ValueError: it is no cron expression.
    """
    zone, rest = _zone(text.strip())
    fields, _, comment = rest.partition("#")
    fields = fields.strip()
    if fields.split()[:1] == ["@every"]:
        return ScheduleSpec(intervals=[_every(text, fields)], time_zone_name=zone)
    if either_day:
        fields = fields.replace("?", "*")  # Cron knows both; Temporal's schedules know the star alone.
    calendar = _calendar(text, fields, comment.strip() or None)
    return ScheduleSpec(
        calendars=_either(calendar, fields) if either_day else [calendar], time_zone_name=zone
    )


def _zone(text: str) -> tuple[str | None, str]:
    if not text.startswith(("TZ=", "CRON_TZ=")):
        return None, text
    setting, _, rest = text.partition(" ")
    zone = setting.partition("=")[2]
    if not zone or not rest.strip():
        raise ValueError(
            f"cron expression {text!r}: expected a zone and fields, as in 'TZ=Europe/Berlin 0 6 * * *'"
        )
    return zone, rest


def _every(text: str, fields: str) -> ScheduleIntervalSpec:
    every, slash, offset = fields.removeprefix("@every").strip().partition("/")
    return ScheduleIntervalSpec(_duration(text, every), _duration(text, offset) if slash else None)


def _duration(text: str, duration: str) -> timedelta:
    parts = _DURATION_PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(
            f"cron expression {text!r}: {duration!r} is no duration, expected one such as '90s', '1h30m' or '2d'"
        )
    try:
        return timedelta(microseconds=sum(float(number) * _UNITS_US[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError(
            f"cron expression {text!r}: {duration!r} is too long, write at most '36500d'"
        ) from None


def _calendar(text: str, fields: str, comment: str | None) -> ScheduleCalendarSpec:
    words = _SHORTHANDS.get(fields, fields).split()
    layout = _LAYOUTS.get(len(words))
    if layout is None or (fields.startswith("@") and fields not in _SHORTHANDS):
        raise ValueError(
            f"cron expression {text!r} has {len(words)} fields, expected 5, 6 (with the year) or 7 (with second and "
            f"year), one of {', '.join(_SHORTHANDS)}, or '@every 1h': write for example '0 6 * * *'"
        )
    found = {field.name: _ranges(text, field, word) for field, word in zip(layout, words, strict=True)}
    return ScheduleCalendarSpec(**found, comment=comment)


def _ranges(text: str, field: _Field, word: str) -> tuple[ScheduleRange, ...]:
    if field is _YEAR and word == "*":
        return ()
    ranges = [_range(text, field, part) for part in word.split(",")]
    if field is _DAY_OF_WEEK and any(each.end == _DAY_OF_WEEK.high for each in ranges):
        return _with_sunday_first(ranges)
    return tuple(ranges)


def _with_sunday_first(ranges: Sequence[ScheduleRange]) -> tuple[ScheduleRange, ...]:
    """The same days of the week with 0 for Sunday instead of 7, which calendars do not know."""
    days = {day % 7 for each in ranges for day in range(each.start, each.end + 1, each.step)}
    firsts = sorted(day for day in days if day - 1 not in days)
    lasts = sorted(day for day in days if day + 1 not in days)
    return tuple(ScheduleRange(first, last) for first, last in zip(firsts, lasts, strict=True))


def _range(text: str, field: _Field, part: str) -> ScheduleRange:
    numbers, slash, step = part.partition("/")
    first, dash, last = numbers.partition("-")
    if numbers == "*":
        low, high = field.low, 6 if field is _DAY_OF_WEEK else field.high
    else:
        low = _number(text, field, first)
        # With a step, a single number is where the counting begins.
        high = _number(text, field, last) if dash else field.high if slash else low
    if high < low:
        raise ValueError(f"cron expression {text!r}: {field.name} {part!r} ends before it begins")
    if slash and not (_NUMBER.fullmatch(step) and int(step)):
        raise ValueError(
            f"cron expression {text!r}: the step of {field.name} {part!r} is no number from 1 on"
        )
    return ScheduleRange(low, high, int(step) if slash else 1)


def _number(text: str, field: _Field, word: str) -> int:
    lowered = word.lower()
    if field.words and len(word) >= field.word_min:
        for name, number in field.words.items():
            if name.startswith(lowered):
                return number
    if not _NUMBER.fullmatch(word) or not field.low <= int(word) <= field.high:
        names = f" or a name such as {next(iter(field.words))[:3].upper()}" if field.words else ""
        raise ValueError(
            f"cron expression {text!r}: {field.name} is {word!r}, expected {field.low} to {field.high}{names}"
        )
    return int(word)


def _either(calendar: ScheduleCalendarSpec, fields: str) -> list[ScheduleCalendarSpec]:
    words = _SHORTHANDS.get(fields, fields).split()
    first = 3 if len(words) == 7 else 2
    if words[first].startswith("*") or words[first + 2].startswith("*"):
        return [calendar]
    any_day = ScheduleCalendarSpec()
    return [
        replace(calendar, day_of_week=any_day.day_of_week),
        replace(calendar, day_of_month=any_day.day_of_month),
    ]
