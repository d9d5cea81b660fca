"""When a schedule's times are: arithmetic on given instants; nothing here waits or reads a clock.

A local day is a number of 86 400 bits, one for each second on its clock. Calendars, intervals and exceptions are
such numbers, so that a day's times are found by a few operations, however often something happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from ..core.records import dataclass
from .cron import YEAR_MAX, YEAR_MIN, parse_cron
from .types import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

__all__ = ["CronSchedule", "Occurrence", "next_times", "occurrences", "parse_cron", "validate"]

_DAY: Final = 86_400
_ALL_DAY: Final = (1 << _DAY) - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LAST: Final = int(datetime(YEAR_MAX + 1, 1, 1, tzinfo=UTC).timestamp())
_REPEATED_S_MAX: Final = 26 * 3600
"""No clock is ever set back by more."""

_BOUNDS: Final = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month": (1, 12),
    "year": (YEAR_MIN, YEAR_MAX),
    "day_of_week": (0, 6),
}


class Occurrence(NamedTuple):
    """One time of a schedule."""

    nominal: datetime
    """As its spec says."""

    at: datetime
    """With its jitter: when the action is due."""


def next_times(spec: ScheduleSpec, after: datetime, *, seed: str = "") -> Iterator[datetime]:
    """The times strictly after `after`, with their jitter, ascending and each once, until the end of the year 2100.

    Local times that a zone's clocks jump over do not happen. A local time that its clocks show twice is one
    time, the first: an hourly calendar pauses for the repeated hour. Intervals do not look at clocks.
    Jitter is the same for the same nominal time and `seed`. An instant without a zone is in UTC.

    Raises:
        ValueError: see `validate`.
    """
    compiled = _compiled(spec)
    since = _last_nominal(compiled, after) if spec.jitter else None
    begin = after if since is None else since - timedelta(microseconds=1)
    return (found.at for found in _occurrences(compiled, begin, seed) if found.at > _utc(after))


def occurrences(spec: ScheduleSpec, after: datetime, *, seed: str = "") -> Iterator[Occurrence]:
    """The times whose nominal time is strictly after `after`; see `next_times`.

    Raises:
        ValueError: see `validate`.
    """
    return _occurrences(_compiled(spec), after, seed)


def validate(spec: ScheduleSpec) -> None:
    """The spec says when.

    Raises:
        ValueError: it does not; names what was found, what is expected and what to write.
    """
    _compiled(spec)


@dataclass(frozen=True)
class CronSchedule:
    """A cron expression by itself, such as a workflow's `cron_schedule`: either of the two days is enough.

    Raises:
        ValueError: it is no cron expression, or one whose zone is not known.
    """

    expression: str

    def __post_init__(self) -> None:
        validate(self.spec)

    @property
    def spec(self) -> ScheduleSpec:
        """What the expression says."""
        return parse_cron(self.expression, either_day=True)

    def next_after(self, after: datetime, *, since: datetime | None = None) -> datetime | None:
        """The first time strictly after this; None when there is none. ``@every 1h`` counts from `since`, or from `after`."""
        spec = self.spec
        for interval in spec.intervals:
            if interval.offset is None:
                begin = since or after
                return begin + interval.every * ((after - begin) // interval.every + 1)
        return next(next_times(spec, after), None)


# -- a spec, ready for arithmetic ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Calendar:
    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]
    seconds: int
    """A bit for each second of the day."""

    def in_month(self, day: date) -> bool:
        return day.month in self.months and (not self.years or day.year in self.years)

    def on(self, day: date) -> bool:
        return self.in_month(day) and day.day in self.days and day.isoweekday() % 7 in self.weekdays


@dataclass(frozen=True)
class _Interval:
    every: int
    offset: int
    pattern: int
    """The bits of a day that begins with one."""

    def seconds(self, day_start: int) -> int:
        """The bits of the day that begins at this instant."""
        first = (self.offset - day_start) % self.every
        return (self.pattern << first) & _ALL_DAY if first < _DAY else 0


@dataclass(frozen=True)
class _Compiled:
    zone: ZoneInfo | None
    calendars: tuple[_Calendar, ...]
    intervals: tuple[_Interval, ...]
    skip: tuple[_Calendar, ...]
    first: int
    """No second before this; `last` is the last one."""
    last: int
    jitter: timedelta

    def offset(self, second: int) -> int:
        """How far clocks are ahead of UTC."""
        if self.zone is None:
            return 0
        ahead = datetime.fromtimestamp(second, self.zone).utcoffset()
        return 0 if ahead is None else int(ahead.total_seconds())

    def seconds(self, day: date, day_start: int, repeated: int) -> int:
        """The bits of a day; for calendars, those that are set in `repeated` have been."""
        found = 0
        for calendar in self.calendars:
            if calendar.on(day):
                found |= calendar.seconds
        found &= ~repeated
        for interval in self.intervals:
            found |= interval.seconds(day_start)
        for calendar in self.skip if found else ():
            if calendar.on(day):
                found &= ~calendar.seconds
        return found


def _compiled(spec: ScheduleSpec) -> _Compiled:
    crons = [parse_cron(text) for text in spec.cron_expressions]
    calendars = [*spec.calendars, *(calendar for cron in crons for calendar in cron.calendars)]
    intervals = [*spec.intervals, *(interval for cron in crons for interval in cron.intervals)]
    if spec.jitter is not None and spec.jitter < timedelta():
        raise ValueError(f"jitter is {spec.jitter}, expected zero or more: write timedelta(seconds=30)")
    return _Compiled(
        zone=_zone(_zone_name(spec, crons)),
        calendars=tuple(_calendar(f"calendars[{n}]", calendar) for n, calendar in enumerate(calendars)),
        intervals=tuple(_interval(f"intervals[{n}]", interval) for n, interval in enumerate(intervals)),
        skip=tuple(_calendar(f"skip[{n}]", calendar) for n, calendar in enumerate(spec.skip)),
        first=0 if spec.start_at is None else -_second(-_span(spec.start_at)),
        last=_LAST - 1 if spec.end_at is None else min(_LAST - 1, _second(_span(spec.end_at))),
        jitter=spec.jitter or timedelta(),
    )


def _zone_name(spec: ScheduleSpec, crons: Sequence[ScheduleSpec]) -> str | None:
    names = {cron.time_zone_name for cron in crons}
    if len(names) > 1 or (spec.time_zone_name and names and names - {None, spec.time_zone_name}):
        found = sorted(name or "none" for name in names | {spec.time_zone_name})
        raise ValueError(
            f"time zones are {', '.join(found)}, expected one for the whole spec: set time_zone_name, "
            "and write no TZ= in cron_expressions"
        )
    return spec.time_zone_name or next(iter(names), None)


def _zone(name: str | None) -> ZoneInfo | None:
    if not name or name == "UTC":
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # a folder's name, a path out of the folder, an unknown name
        raise ValueError(
            f"time_zone_name is {name!r}, expected the IANA name of a zone that this machine knows: "
            "write for example 'Europe/Berlin', or install the package tzdata"
        ) from None


def _calendar(place: str, calendar: ScheduleCalendarSpec) -> _Calendar:
    return _Calendar(
        years=_numbers(place, "year", calendar.year),
        months=_numbers(place, "month", calendar.month),
        days=_numbers(place, "day_of_month", calendar.day_of_month),
        weekdays=_numbers(place, "day_of_week", calendar.day_of_week),
        seconds=_bits(
            _bits(
                _bits(1, 1, _numbers(place, "second", calendar.second)),
                60,
                _numbers(place, "minute", calendar.minute),
            ),
            3600,
            _numbers(place, "hour", calendar.hour),
        ),
    )


def _bits(unit: int, length: int, at: frozenset[int]) -> int:
    found = 0
    for number in at:
        found |= unit << (number * length)
    return found


def _numbers(place: str, name: str, ranges: Sequence[ScheduleRange]) -> frozenset[int]:
    low, high = _BOUNDS[name]
    for each in ranges:
        if not low <= each.start <= each.end <= high or each.step < 1:
            raise ValueError(
                f"{place}.{name} is {each}, expected numbers from {low} to {high} and a step of 1 or more: "
                f"write for example ScheduleRange({low}, {high})"
            )
    return frozenset(number for each in ranges for number in range(each.start, each.end + 1, each.step))


def _interval(place: str, interval: ScheduleIntervalSpec) -> _Interval:
    offset = interval.offset or timedelta()
    if interval.every < timedelta(seconds=1):
        raise ValueError(
            f"{place}.every is {interval.every}, expected a second or more: write timedelta(minutes=5)"
        )
    if not timedelta() <= offset < interval.every:
        raise ValueError(
            f"{place}.offset is {offset}, expected zero or more and less than every, which is {interval.every}: "
            "write the remainder"
        )
    every = _second(interval.every)
    return _Interval(every, _second(offset), _pattern(every))


def _pattern(every: int) -> int:
    pattern, length = 1, every
    while length < _DAY:
        pattern |= pattern << length
        length *= 2
    return pattern & _ALL_DAY


# -- search --------------------------------------------------------------------------------------------


def _occurrences(compiled: _Compiled, after: datetime, seed: str) -> Iterator[Occurrence]:
    nominals = (_EPOCH + timedelta(seconds=second) for second in _seconds(compiled, _span(after)))
    if not compiled.jitter:
        return (Occurrence(nominal, nominal) for nominal in nominals)
    return _jittered(nominals, compiled.jitter, seed)


def _jittered(nominals: Iterator[datetime], jitter: timedelta, seed: str) -> Iterator[Occurrence]:
    nominal = next(nominals, None)
    while nominal is not None:
        following = next(nominals, None)
        room = jitter if following is None else min(jitter, following - nominal)
        yield Occurrence(nominal, nominal + _late(nominal, room, seed))
        nominal = following


def _late(nominal: datetime, room: timedelta, seed: str) -> timedelta:
    """Less than `room`, the same for the same nominal time and seed, and otherwise evenly spread."""
    digest = hashlib.sha256(f"{nominal.isoformat()}\n{seed}".encode()).digest()
    room_us = room // timedelta(microseconds=1)
    return timedelta(microseconds=(int.from_bytes(digest[:8]) * room_us) >> 64)


def _last_nominal(compiled: _Compiled, after: datetime) -> datetime | None:
    """The last nominal time up to here that jitter could carry beyond; None when there is none."""
    span = _span(after)
    none_before, before = span, span - compiled.jitter
    if _first_up_to(compiled, before, span) is None:
        return None
    while none_before - before > timedelta(seconds=1):
        middle = before + (none_before - before) / 2
        if _first_up_to(compiled, middle, span) is None:
            none_before = middle
        else:
            before = middle
    found = _first_up_to(compiled, before, span)
    return None if found is None else _EPOCH + timedelta(seconds=found)


def _first_up_to(compiled: _Compiled, after: timedelta, until: timedelta) -> int | None:
    return next(_seconds(compiled, after, _second(until)), None)


def _seconds(compiled: _Compiled, after: timedelta, until: int = _LAST) -> Iterator[int]:
    """The seconds since the epoch of the nominal times after this, up to `until`."""
    begin = max(_second(after) + 1, compiled.first)
    last = min(compiled.last, until)
    # A clock that was set back shortly before shows times that have been.
    start, shown_until = begin - _REPEATED_S_MAX, begin - 2 * _REPEATED_S_MAX
    while start <= last:
        offset = compiled.offset(start)
        end = _segment_end(compiled, start, offset)
        number, clock = divmod(start + offset, _DAY)
        if end > begin:
            day, day_start = date.fromordinal(_EPOCH_DAY + number), start - clock
            repeated = (1 << max(0, min(_DAY, shown_until - number * _DAY))) - 1
            found = compiled.seconds(day, day_start, repeated)
            yield from _set_bits(found, day_start, max(begin, start), min(end, last + 1))
        shown_until = max(shown_until, end + offset)
        start = max(end, _where_to_go_on(compiled, end, end + offset))


def _segment_end(compiled: _Compiled, start: int, offset: int) -> int:
    """Up to where it is the same day by the clock, and the clock is not set."""
    end = start + _DAY - (start + offset) % _DAY
    if compiled.offset(end - 1) == offset:
        return end
    same, other = start, end - 1
    while other - same > 1:
        middle = (same + other) // 2
        if compiled.offset(middle) == offset:
            same = middle
        else:
            other = middle
    return other


def _where_to_go_on(compiled: _Compiled, end: int, clock: int) -> int:
    """After this second and what clocks show then, so that months and years without a time cost nothing.

    Somewhat early, for what clocks repeat.
    """
    follows = [end + (each.offset - end) % each.every - 2 * _REPEATED_S_MAX for each in compiled.intervals]
    if compiled.calendars:
        follows.append(_next_month(compiled, clock))
    return min(follows, default=_LAST)


def _next_month(compiled: _Compiled, clock: int) -> int:
    first = day = date.fromordinal(_EPOCH_DAY + clock // _DAY)
    while day.year <= YEAR_MAX and not any(calendar.in_month(day) for calendar in compiled.calendars):
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return 0 if day == first else (day.toordinal() - _EPOCH_DAY) * _DAY - 2 * _REPEATED_S_MAX


def _set_bits(bits: int, day_start: int, begin: int, end: int) -> Iterator[int]:
    bits &= (1 << max(0, end - day_start)) - 1
    bits >>= begin - day_start
    second = begin
    while bits:
        step = (bits & -bits).bit_length()
        yield second + step - 1
        bits >>= step
        second += step


# -- instants ------------------------------------------------------------------------------------------


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _span(instant: datetime) -> timedelta:
    return _utc(instant) - _EPOCH


def _second(span: timedelta) -> int:
    return span // timedelta(seconds=1)
