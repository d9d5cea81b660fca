"""When the times of a schedule are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.runtime.schedules.spec import CronSchedule, next_times, occurrences, parse_cron, validate
from overwinter.runtime.schedules.types import (
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHOLE_DAY = {
    "second": (ScheduleRange(0, 59),),
    "minute": (ScheduleRange(0, 59),),
    "hour": (ScheduleRange(0, 23),),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(spec: ScheduleSpec, after: datetime, count: int) -> list[str]:
    return [f"{found:%Y-%m-%d %H:%M:%S}" for found in islice(next_times(spec, after), count)]


def between(spec: ScheduleSpec, begin: datetime, end: datetime, seed: str = "") -> list[datetime]:
    """The times from `begin` on, before `end`."""
    found = []
    for each in next_times(spec, begin - timedelta(microseconds=1), seed=seed):
        if each >= end:
            return found
        found.append(each)
    return found


def cron(text: str, after: str, count: int = 3) -> list[str]:
    return first(parse_cron(text), at(after), count)


# -- against a scan of every second ------------------------------------------------------------------------


def fits(ranges: Sequence[ScheduleRange], number: int) -> bool:
    return any(each.start <= number <= each.end and (number - each.start) % each.step == 0 for each in ranges)


def matches(calendar: ScheduleCalendarSpec, local: datetime) -> bool:
    weekday = local.isoweekday() % 7
    return (
        fits(calendar.second, local.second)
        and fits(calendar.minute, local.minute)
        and fits(calendar.hour, local.hour)
        and fits(calendar.day_of_month, local.day)
        and fits(calendar.month, local.month)
        and (not calendar.year or fits(calendar.year, local.year))
        and (fits(calendar.day_of_week, weekday) or (weekday == 0 and fits(calendar.day_of_week, 7)))
    )


def scan(spec: ScheduleSpec, begin: datetime, end: datetime, step: timedelta) -> list[datetime]:
    zone = ZoneInfo(spec.time_zone_name or "UTC")
    found, now = [], begin
    while now < end:
        local = now.astimezone(zone)
        by_calendar = local.fold == 0 and any(matches(each, local) for each in spec.calendars)
        by_interval = any(
            (now - EPOCH - (each.offset or timedelta())) % each.every == timedelta()
            for each in spec.intervals
        )
        if (by_calendar or by_interval) and not any(matches(each, local) for each in spec.skip):
            found.append(now)
        now += step
    return found


def ranges(low: int, high: int, *, min_size: int = 1) -> st.SearchStrategy[tuple[ScheduleRange, ...]]:
    one = st.builds(
        lambda a, b, step: ScheduleRange(min(a, b), max(a, b), step),
        st.integers(low, high),
        st.integers(low, high),
        st.integers(1, max(1, (high - low) // 2)),
    )
    return st.lists(one, min_size=min_size, max_size=2).map(tuple)


def calendars(
    second: st.SearchStrategy[tuple[ScheduleRange, ...]],
) -> st.SearchStrategy[ScheduleCalendarSpec]:
    days = st.one_of(st.just((ScheduleRange(1, 31),)), ranges(1, 31))
    weekdays = st.one_of(st.just((ScheduleRange(0, 6),)), ranges(0, 6))
    hours = st.one_of(st.just((ScheduleRange(0, 23),)), ranges(0, 23))
    return st.builds(
        ScheduleCalendarSpec,
        second=second,
        minute=ranges(0, 59),
        hour=hours,
        day_of_month=days,
        month=st.one_of(st.just((ScheduleRange(1, 12),)), ranges(1, 12)),
        year=st.one_of(st.just(()), ranges(2024, 2030)),
        day_of_week=weekdays,
    )


# Changes of clocks by an hour and by half an hour, at midnight and a minute after it, and a day that did not exist.
ZONES_AND_DAYS = [
    ("UTC", "2026-02-28T22:00:00"),
    ("Europe/Berlin", "2026-03-28T23:30:00"),
    ("Europe/Berlin", "2026-10-24T23:00:00"),
    ("America/New_York", "2026-03-08T05:00:00"),
    ("America/New_York", "2026-11-01T04:00:00"),
    ("Australia/Lord_Howe", "2026-04-04T13:00:00"),
    ("Australia/Lord_Howe", "2026-10-03T13:30:00"),
    ("America/Havana", "2026-03-08T03:00:00"),
    ("America/Havana", "2026-11-01T03:30:00"),
    ("America/Goose_Bay", "2010-11-07T01:30:00"),
    ("Pacific/Apia", "2011-12-30T08:00:00"),
    ("Asia/Kathmandu", "2026-12-31T17:30:00"),
]


@settings(max_examples=60, deadline=None)
@given(
    place=st.sampled_from(ZONES_AND_DAYS),
    spec=st.builds(
        ScheduleSpec,
        calendars=st.lists(calendars(ranges(0, 59)), max_size=2),
        intervals=st.lists(
            st.builds(
                lambda every, offset: ScheduleIntervalSpec(
                    timedelta(seconds=every), timedelta(seconds=offset % every)
                ),
                st.integers(1, 5000),
                st.integers(0, 5000),
            ),
            max_size=2,
        ),
        skip=st.lists(calendars(ranges(0, 59)), max_size=1),
    ),
)
def test_every_second_of_some_hours_is_found_as_a_scan_finds_it(
    place: tuple[str, str], spec: ScheduleSpec
) -> None:
    spec.time_zone_name, begin = place[0], at(place[1])
    end = begin + timedelta(hours=4)
    assert between(spec, begin, end) == scan(spec, begin, end, timedelta(seconds=1))


@settings(max_examples=60, deadline=None)
@given(
    place=st.sampled_from(ZONES_AND_DAYS),
    back=st.integers(0, 9 * 24 * 60),
    spec=st.builds(
        ScheduleSpec,
        calendars=st.lists(calendars(st.just((ScheduleRange(0),))), min_size=1, max_size=2),
        skip=st.lists(calendars(st.just((ScheduleRange(0),))), max_size=2),
    ),
)
def test_every_minute_of_some_days_is_found_as_a_scan_finds_it(
    place: tuple[str, str], back: int, spec: ScheduleSpec
) -> None:
    spec.time_zone_name, begin = place[0], at(place[1]) - timedelta(minutes=back)
    end = begin + timedelta(days=10)
    assert between(spec, begin, end) == scan(spec, begin, end, timedelta(minutes=1))


@settings(max_examples=40, deadline=None)
@given(
    spec=st.builds(ScheduleSpec, calendars=st.lists(calendars(ranges(0, 59)), max_size=2)),
    after=st.datetimes(),
)
def test_times_ascend_and_each_comes_once(spec: ScheduleSpec, after: datetime) -> None:
    found = list(islice(next_times(spec, after), 20))
    assert all(a < b for a, b in pairwise([after.replace(tzinfo=UTC), *found]))


# -- calendars -----------------------------------------------------------------------------------------


def test_a_calendar_is_midnight_of_every_day_in_utc_by_default() -> None:
    spec = ScheduleSpec(calendars=[ScheduleCalendarSpec()])
    assert first(spec, NOW, 2) == ["2026-11-25 00:00:00", "2026-11-26 00:00:00"]


def test_a_time_is_strictly_after_also_within_its_second() -> None:
    spec = ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(12)])])
    assert first(spec, NOW, 1) == ["2026-11-25 12:00:00"]
    assert first(spec, NOW - timedelta(microseconds=1), 1) == ["2026-11-24 12:00:00"]
    assert first(spec, NOW + timedelta(microseconds=1), 1) == ["2026-11-25 12:00:00"]


def test_the_29th_of_february_comes_in_leap_years() -> None:
    spec = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(day_of_month=[ScheduleRange(29)], month=[ScheduleRange(2)])]
    )
    assert first(spec, NOW, 2) == ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]
    assert first(spec, at("2096-03-01"), 1) == []  # 2100 is none


def test_day_of_month_and_day_of_week_must_both_fit() -> None:
    spec = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(day_of_month=[ScheduleRange(13)], day_of_week=[ScheduleRange(5)])]
    )
    assert first(spec, NOW, 3) == ["2027-08-13 00:00:00", "2028-10-13 00:00:00", "2029-04-13 00:00:00"]


def test_sunday_is_0_and_7() -> None:
    by_zero = ScheduleSpec(calendars=[ScheduleCalendarSpec(day_of_week=[ScheduleRange(0)])])
    by_seven = ScheduleSpec(cron_expressions=["0 0 * * 7"])
    assert first(by_zero, NOW, 3) == first(by_seven, NOW, 3)
    assert first(by_zero, NOW, 1) == ["2026-11-29 00:00:00"]


def test_a_field_without_ranges_fits_nothing_but_no_years_are_all() -> None:
    assert first(ScheduleSpec(calendars=[ScheduleCalendarSpec(second=())]), NOW, 1) == []
    assert first(ScheduleSpec(calendars=[ScheduleCalendarSpec(year=())]), NOW, 1) != []
    assert first(ScheduleSpec(calendars=[ScheduleCalendarSpec(year=[ScheduleRange(2025)])]), NOW, 1) == []


def test_a_spec_without_times_has_none() -> None:
    assert first(ScheduleSpec(), NOW, 1) == []


def test_what_several_parts_say_at_once_is_one_time() -> None:
    spec = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(), ScheduleCalendarSpec(hour=[ScheduleRange(0, 12, 12)])],
        intervals=[ScheduleIntervalSpec(timedelta(days=1))],
        cron_expressions=["@daily"],
    )
    assert first(spec, at("2026-11-24"), 3) == [
        "2026-11-24 12:00:00",
        "2026-11-25 00:00:00",
        "2026-11-25 12:00:00",
    ]


def test_start_and_end_are_inside() -> None:
    spec = ScheduleSpec(
        intervals=[ScheduleIntervalSpec(timedelta(hours=1))], start_at=NOW, end_at=NOW + timedelta(hours=2)
    )
    expected = ["2026-11-24 12:00:00", "2026-11-24 13:00:00", "2026-11-24 14:00:00"]
    assert first(spec, at("2020-01-01"), 9) == expected
    spec.start_at = NOW + timedelta(microseconds=1)
    assert first(spec, at("2020-01-01"), 9) == expected[1:]
    spec.end_at = NOW + timedelta(hours=2, microseconds=-1)
    assert first(spec, at("2020-01-01"), 9) == expected[1:2]


def test_instants_without_a_zone_are_in_utc() -> None:
    spec = ScheduleSpec(
        intervals=[ScheduleIntervalSpec(timedelta(hours=1))], end_at=datetime(2026, 11, 24, 13)
    )
    assert first(spec, datetime(2026, 11, 24, 12), 9) == ["2026-11-24 13:00:00"]


def test_intervals_are_counted_from_the_epoch() -> None:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(days=7), timedelta(hours=5))])
    found = next(next_times(spec, NOW))
    assert (found - EPOCH - timedelta(hours=5)) % timedelta(days=7) == timedelta()
    assert NOW < found <= NOW + timedelta(days=7)


def test_an_interval_of_years_is_found() -> None:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(days=10_000))])
    assert list(next_times(spec, NOW)) == [EPOCH + timedelta(days=10_000 * n) for n in (3, 4)]


# -- clocks that are set --------------------------------------------------------------------------------


def test_in_the_gap_nothing_happens() -> None:
    berlin = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(2)], minute=[ScheduleRange(30)])],
        time_zone_name="Europe/Berlin",
    )
    assert first(berlin, at("2026-03-27"), 3) == [
        "2026-03-27 01:30:00",
        "2026-03-28 01:30:00",
        "2026-03-30 00:30:00",
    ]
    assert cron("TZ=America/New_York 30 2 * * *", "2026-03-07", 3) == [
        "2026-03-07 07:30:00",
        "2026-03-09 06:30:00",
        "2026-03-10 06:30:00",
    ]


def test_a_repeated_time_happens_at_its_first_occurrence() -> None:
    assert cron("TZ=Europe/Berlin 30 2 * * *", "2026-10-24", 3) == [
        "2026-10-24 00:30:00",
        "2026-10-25 00:30:00",
        "2026-10-26 01:30:00",
    ]
    assert cron("TZ=America/New_York 30 1 * * *", "2026-10-31", 3) == [
        "2026-10-31 05:30:00",
        "2026-11-01 05:30:00",
        "2026-11-02 06:30:00",
    ]


@pytest.mark.parametrize("minute", [0, 1, 29, 30, 31, 59])
def test_from_within_the_repeated_hour_the_next_time_is_after_it(minute: int) -> None:
    spec = parse_cron("TZ=Europe/Berlin */15 * * * *")
    second_time_around = at("2026-10-25T01:00:00") + timedelta(minutes=minute)
    assert first(spec, second_time_around, 1) == ["2026-10-25 02:00:00"]


def test_intervals_do_not_look_at_clocks() -> None:
    spec = ScheduleSpec(
        intervals=[ScheduleIntervalSpec(timedelta(minutes=30))], time_zone_name="Europe/Berlin"
    )
    found = between(spec, at("2026-10-25T00:00:00"), at("2026-10-25T03:00:00"))
    assert [each - found[0] for each in found] == [timedelta(minutes=30 * n) for n in range(6)]


# -- exceptions -----------------------------------------------------------------------------------------


def test_skipped_times_do_not_happen() -> None:
    weekend = ScheduleCalendarSpec(**WHOLE_DAY, day_of_week=[ScheduleRange(0), ScheduleRange(6)])
    spec = ScheduleSpec(cron_expressions=["0 9 * * *"], skip=[weekend], time_zone_name="Europe/Berlin")
    assert first(spec, at("2026-11-26T12:00:00"), 3) == [
        "2026-11-27 08:00:00",
        "2026-11-30 08:00:00",
        "2026-12-01 08:00:00",
    ]


def test_a_skip_of_years_is_passed_quickly() -> None:
    years = ScheduleCalendarSpec(
        minute=WHOLE_DAY["minute"], hour=WHOLE_DAY["hour"], year=[ScheduleRange(2026, 2040)]
    )
    spec = ScheduleSpec(cron_expressions=["* * * * *"], skip=[years])
    begun = time.perf_counter()
    assert first(spec, NOW, 1) == ["2041-01-01 00:00:00"]
    assert time.perf_counter() - begun < 1


def test_where_everything_is_skipped_there_is_nothing_and_the_search_ends() -> None:
    even = ScheduleCalendarSpec(**WHOLE_DAY | {"second": (ScheduleRange(0, 59, 2),)})
    odd = ScheduleCalendarSpec(**WHOLE_DAY | {"second": (ScheduleRange(1, 59, 2),)})
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(seconds=1))], skip=[even, odd])
    begun = time.perf_counter()
    assert first(spec, NOW, 1) == []
    assert time.perf_counter() - begun < 3


def test_a_yearly_calendar_costs_little() -> None:
    spec = parse_cron("TZ=Europe/Berlin 0 12 24 12 *")
    begun = time.perf_counter()
    assert len(first(spec, NOW, 99)) == 75
    assert time.perf_counter() - begun < 1


def test_an_interval_of_years_costs_little() -> None:
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(days=3650))])
    begun = time.perf_counter()
    for _ in range(300):  # A search day by day would take a minute.
        assert len(first(spec, NOW, 99)) == 8
    assert time.perf_counter() - begun < 15


# -- jitter ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    every=st.integers(1, 4000),
    jitter=st.integers(1, 9000),
    seed=st.text(max_size=5),
    after_s=st.integers(0, 10_000),
)
def test_jitter_stays_before_the_next_time_and_a_search_from_anywhere_finds_the_same(
    every: int, jitter: int, seed: str, after_s: int
) -> None:
    spec = ScheduleSpec(
        intervals=[ScheduleIntervalSpec(timedelta(seconds=every))], jitter=timedelta(seconds=jitter)
    )
    begin = NOW - timedelta(seconds=every)
    found = list(islice(occurrences(spec, begin, seed=seed), 20))
    for one, following in pairwise(found):
        assert one.nominal <= one.at < following.nominal
        assert one.at - one.nominal < timedelta(seconds=jitter)
    after = NOW + timedelta(seconds=after_s % (every * 10))
    expected = [each.at for each in found if each.at > after][:5]
    assert list(islice(next_times(spec, after, seed=seed), len(expected))) == expected


def test_jitter_differs_by_seed_and_by_time() -> None:
    spec = ScheduleSpec(cron_expressions=["@daily"], jitter=timedelta(hours=5))
    late = {
        found.at - found.nominal
        for seed in ("a", "b")
        for found in islice(occurrences(spec, NOW, seed=seed), 10)
    }
    assert len(late) == 20
    assert max(late) > timedelta(hours=2) > min(late)


def test_the_last_time_has_jitter_too() -> None:
    spec = ScheduleSpec(cron_expressions=["0 0 1 1 * 2027"], jitter=timedelta(hours=1))
    (found,) = occurrences(spec, NOW, seed="s")
    assert list(next_times(spec, found.nominal, seed="s")) == [found.at]
    assert list(next_times(spec, found.at, seed="s")) == []


# -- cron -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "@yearly"),
        ("0 0 * * 7", "0 0 * * SUN"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * 1-7/2", "0 0 * * 0,1,3,5"),
        ("0 0 * * */7", "0 0 * * 0"),
        ("0 0 * * mon-FRI", "0 0 * * 1-5"),
        ("0 0 * * Tu", "0 0 * * tuesday"),
        ("0 0 1 JAN,jul *", "0 0 1 1,7 *"),
        ("0 0 1 sept *", "0 0 1 9 *"),
        ("*/20 * * * *", "0,20,40 * * * *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("10-30/10 * * * *", "10,20,30 * * * *"),
        ("30 8 * * * *", "30 8 * * *"),
        ("0 30 8 * * * *", "30 8 * * *"),
        ("0 0 * * * 2026-2030", "0 0 0 * * * 2026/1"),
        ("  0 6 * * *   # before breakfast", "0 6 * * *"),
        ("TZ=Asia/Tokyo 0 6 * * *", "CRON_TZ=Asia/Tokyo 0 6 * * *"),
        ("TZ=Asia/Tokyo @daily", "0 15 * * *"),
        ("@every 1h", "0 * * * *"),
        ("@every 1h/10m", "10 * * * *"),
        ("@every 1h30m", "@every 90m"),
        ("@every 0.5d", "@every 12h # twice a day"),
        ("@every 1500ms", "@every 1s"),
    ],
)
def test_what_two_expressions_both_mean(one: str, other: str) -> None:
    assert cron(one, "2026-11-24", 50) == cron(other, "2026-11-24", 50) != []


def test_the_comment_is_kept_on_the_calendar() -> None:
    assert parse_cron("0 6 * * * # milk").calendars[0].comment == "milk"


def test_the_year_is_last_and_the_second_first() -> None:
    assert cron("15 30 8 1 2 * 2031", "2026-11-24") == ["2031-02-01 08:30:15"]
    assert cron("30 8 1 2 * 2031", "2026-11-24") == ["2031-02-01 08:30:00"]


def test_in_a_workflows_cron_schedule_either_day_is_enough() -> None:
    both, either = parse_cron("0 0 13 * 5"), parse_cron("0 0 13 * 5", either_day=True)
    assert first(both, NOW, 1) == ["2027-08-13 00:00:00"]
    assert first(either, NOW, 4) == [
        "2026-11-27 00:00:00",
        "2026-12-04 00:00:00",
        "2026-12-11 00:00:00",
        "2026-12-13 00:00:00",
    ]
    assert CronSchedule("0 0 13 * 5").next_after(NOW) == at("2026-11-27")
    assert first(parse_cron("0 0 */2 * 5", either_day=True), NOW, 2) == first(
        parse_cron("0 0 */2 * 5"), NOW, 2
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has 0 fields, expected 5"),
        ("* * * *", "has 4 fields, expected 5"),
        ("* * * * * * * *", "has 8 fields, expected 5"),
        ("@never", "has 1 fields, expected 5"),
        ("@daily * * * *", "has 5 fields"),
        ("60 * * * *", "minute is '60', expected 0 to 59"),
        ("* 24 * * *", "hour is '24', expected 0 to 23"),
        ("* * 0 * *", "day_of_month is '0', expected 1 to 31"),
        ("* * * 13 *", "month is '13', expected 1 to 12 or a name such as JAN"),
        ("* * * ja *", "month is 'ja'"),
        ("* * * * 8", "day_of_week is '8', expected 0 to 7 or a name such as SUN"),
        ("* * * * * 1999", "year is '1999', expected 2000 to 2100"),
        ("5-1 * * * *", "minute '5-1' ends before it begins"),
        ("1-2-3 * * * *", "minute is '2-3'"),
        ("*/0 * * * *", "the step of minute"),
        ("*/ * * * *", "the step of minute"),
        ("1/2/3 * * * *", "the step of minute"),
        (", * * * *", "minute is ''"),
        ("² * * * *", "minute is '²'"),
        ("@every", "'' is no duration"),
        ("@every soon", "'soon' is no duration"),
        ("@every 1h/", "'' is no duration"),
        ("@every 1 h", "'1 h' is no duration"),
        ("@every 0s", "every is 0:00:00, expected a second or more"),
        ("@every 1h/1h", "less than every"),
        ("@every 999999999999d", "is too long"),
        ("TZ=Europe/Berlin", "expected a zone and fields"),
        ("TZ= * * * * *", "expected a zone and fields"),
        ("TZ=Mars/Base * * * * *", "'Mars/Base', expected the IANA name"),
    ],
)
def test_what_is_no_cron_expression_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        validate(ScheduleSpec(cron_expressions=[text]))
    assert says in str(raised.value)


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(24)])]), "calendars[0].hour"),
        (ScheduleSpec(calendars=[ScheduleCalendarSpec(second=[ScheduleRange(-1)])]), "from 0 to 59"),
        (ScheduleSpec(calendars=[ScheduleCalendarSpec(minute=[ScheduleRange(0, 60)])]), "from 0 to 59"),
        (
            ScheduleSpec(calendars=[ScheduleCalendarSpec(minute=[ScheduleRange(0, 9, -1)])]),
            "a step of 1 or more",
        ),
        (ScheduleSpec(skip=[ScheduleCalendarSpec(month=[ScheduleRange(0)])]), "skip[0].month"),
        (ScheduleSpec(skip=[ScheduleCalendarSpec(year=[ScheduleRange(1970)])]), "from 2000 to 2100"),
        (ScheduleSpec(skip=[ScheduleCalendarSpec(day_of_week=[ScheduleRange(8)])]), "from 0 to 6"),
        (ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta())]), "intervals[0].every is 0:00:00"),
        (ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(seconds=-5))]), "a second or more"),
        (
            ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=1), timedelta(hours=1))]),
            "intervals[0].offset is 1:00:00",
        ),
        (
            ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=1), timedelta(hours=-1))]),
            "zero or more",
        ),
        (ScheduleSpec(time_zone_name="Europe/Atlantis"), "time_zone_name is 'Europe/Atlantis'"),
        (ScheduleSpec(time_zone_name="../etc/passwd"), "time_zone_name is '../etc/passwd'"),
        (ScheduleSpec(time_zone_name="Europe"), "time_zone_name is 'Europe'"),
        (ScheduleSpec(jitter=timedelta(seconds=-1)), "jitter is"),
        (
            ScheduleSpec(cron_expressions=["TZ=Asia/Tokyo @daily", "@hourly"]),
            "time zones are Asia/Tokyo, none",
        ),
        (
            ScheduleSpec(cron_expressions=["TZ=Asia/Tokyo @daily"], time_zone_name="Europe/Berlin"),
            "time zones are Asia/Tokyo, Europe/Berlin",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(spec: ScheduleSpec, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        validate(spec)
    assert says in str(raised.value)
    with pytest.raises(ValueError):
        next_times(spec, NOW)


def test_the_zone_of_an_expression_is_that_of_the_spec() -> None:
    spec = ScheduleSpec(
        cron_expressions=["TZ=Asia/Tokyo @daily"],
        time_zone_name="Asia/Tokyo",
        calendars=[ScheduleCalendarSpec()],
    )
    assert first(spec, NOW, 2) == ["2026-11-24 15:00:00", "2026-11-25 15:00:00"]
