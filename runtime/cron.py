"""Cron schedules: when the next run of a workflow with one is due.

Five fields (minute, hour, day of month, month, day of week), with lists, ranges, steps and names; ``@hourly``,
``@daily``, ``@weekly``, ``@monthly``, ``@yearly``; ``@every 90m``; and ``CRON_TZ=Europe/Berlin`` in front. When both
days are restricted, one of them is enough, as cron has it. A time that a zone skips in spring has no run, one that it has
twice in autumn has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DAYS_AHEAD: Final = 366 * 9
"""A 29 February that is a certain weekday may be eight years away, and more across a century."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Table:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    zone: tzinfo

    def fits(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        return by_day or by_weekday if self.either_day else by_day and by_weekday

    def after(self, instant: datetime) -> datetime | None:
        local = instant.astimezone(self.zone)
        for ahead in range(_DAYS_AHEAD):
            day = datetime(local.year, local.month, local.day) + timedelta(days=ahead)  # noqa: DTZ001 - the zone's own day
            if self.fits(day):
                for due in self._times(day):
                    if due > instant:
                        return due
        return None

    def _times(self, day: datetime) -> Iterator[datetime]:
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                local = day.replace(hour=hour, minute=minute, tzinfo=self.zone)
                due = local.astimezone(UTC)
                if due.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                    yield due


def next_due(expression: str, after: datetime) -> datetime:
    """The first instant after `after` (with a time zone) at which the schedule is due, in UTC.

    Raises:
        ValueError: it is no cron schedule, or is never due; the message says what was found and what to write.
    """
    text = expression.split("#", maxsplit=1)[0].strip()
    every = re.fullmatch(r"@every\s+(\S+)", text)
    if every is not None:
        interval = _interval(expression, every[1])
        passed = (after.astimezone(UTC) - _EPOCH) // interval
        return _EPOCH + (passed + 1) * interval
    due = _table(expression, text).after(after.astimezone(UTC))
    if due is None:
        raise ValueError(f"cron schedule {expression!r} is never due: write one such as '0 6 * * *'")
    return due


def _interval(expression: str, text: str) -> timedelta:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"cron schedule {expression!r} has no interval: write one such as '@every 1h30m'")
    interval = timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    if interval < timedelta(seconds=1):
        raise ValueError(
            f"cron schedule {expression!r} is due more than once a second: write a longer interval"
        )
    return interval


def _table(expression: str, text: str) -> _Table:
    zone: tzinfo = UTC
    named = re.match(r"(?:CRON_)?TZ=(\S+)\s+", text)
    if named is not None:
        zone, text = _zone(expression, named[1]), text[named.end() :]
    fields = _NICKNAMES.get(text, text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"cron schedule {expression!r} has {len(fields)} fields, expected 5 (minute hour day month weekday), "
            "such as '0 6 * * MON-FRI'"
        )
    values = [_field(expression, text, *field) for text, field in zip(fields, _FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in values[4])
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    return _Table(values[0], values[1], values[2], values[3], weekdays, either, zone)


def _zone(expression: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(
            f"cron schedule {expression!r} names time zone {name!r}, which this machine does not know: "
            "write one such as Europe/Berlin"
        ) from error


def _field(expression: str, text: str, name: str, first: int, last: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        try:
            size = int(step) if step else 1
            start = first if low in ("*", "?") else _number(low)
            end = _number(high) if dash else last if low in ("*", "?") or step else start
        except ValueError:
            size = start = end = -1
        if size < 1 or not first <= start <= end <= last:
            raise ValueError(
                f"cron schedule {expression!r} has {part!r} as its {name}, expected numbers from {first} to {last}, "
                "such as '1,15' or '1-5' or '*/10'"
            )
        values.update(range(start, end + 1, size))
    return frozenset(values)


def _number(text: str) -> int:
    name = text.lower()
    if name in _MONTHS:
        return _MONTHS.index(name) + 1
    return _DAYS.index(name) if name in _DAYS else int(text)
