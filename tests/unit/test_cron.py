"""When cron schedules are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overwinter.runtime.follow_ups import cron_wait_s

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_due(expression: str, after: datetime) -> datetime:
    """When a workflow with this schedule, which ended now, begins again."""
    now_us = (after - EPOCH) // timedelta(microseconds=1)
    return after + timedelta(seconds=cron_wait_s(expression, now_us))


NOON = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)  # a Saturday; clocks go forward in Berlin the next night


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("* * * * *", "2026-03-28 12:01"),
        ("*/15 * * * *", "2026-03-28 12:15"),
        ("0 6 * * *", "2026-03-29 06:00"),
        ("0 6 * * MON-FRI", "2026-03-30 06:00"),
        ("30 4 1,15 * *", "2026-04-01 04:30"),
        ("0 0 1 * mon", "2026-03-30 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 * * 7", "2026-03-29 00:00"),
        ("5/20 0 * * *", "2026-03-29 00:05"),
        ("@hourly", "2026-03-28 13:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@every 90m", "2026-03-28 13:30"),
        ("0 6 * * * # milk", "2026-03-29 06:00"),
        ("CRON_TZ=Europe/Berlin 0 6 * * *", "2026-03-29 04:00"),
        ("TZ=America/New_York 30 12 * * *", "2026-03-28 16:30"),
    ],
)
def test_the_next_instant(expression: str, due: str) -> None:
    assert next_due(expression, NOON).strftime("%Y-%m-%d %H:%M") == due


def test_an_interval_counts_from_when_the_run_before_was_due() -> None:
    begun, now = EPOCH + timedelta(minutes=20), EPOCH + timedelta(minutes=25, seconds=30)
    at_us = [(at - EPOCH) // timedelta(microseconds=1) for at in (now, begun)]
    assert cron_wait_s("@every 1h", *at_us) == 54.5 * 60
    late = (begun + timedelta(hours=3, seconds=1) - EPOCH) // timedelta(microseconds=1)
    assert cron_wait_s("@every 1h", late, at_us[1]) == 3599


def test_a_time_that_the_zone_skips_has_no_run_that_day() -> None:
    assert next_due("CRON_TZ=Europe/Berlin 30 2 * * *", NOON) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_a_time_that_the_zone_has_twice_has_one_run() -> None:
    first = next_due("CRON_TZ=Europe/Berlin 30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next_due("CRON_TZ=Europe/Berlin 30 2 * * *", first) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *",
     "x * * * *", "@never", "@every", "@every 0s", "@every 1 day", "CRON_TZ=Mars/Base 0 6 * * *", "0 0 31 2 *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(ValueError, match="such as|expected|write|ends before|no number"):
        next_due(expression, NOON)


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=4),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    weekdays=st.sets(st.integers(0, 6), min_size=1),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
)
def test_the_schedule_is_what_a_search_minute_by_minute_finds(
    minutes: set[int], hours: set[int], weekdays: set[int], start: datetime
) -> None:
    at = start.replace(tzinfo=UTC)
    text = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {','.join(map(str, weekdays))}"
    due = next_due(text, at)
    assert (due.minute in minutes, due.hour in hours, (due.weekday() + 1) % 7 in weekdays) == (
        True,
        True,
        True,
    )
    assert due > at
    minute = due - timedelta(minutes=1)
    while minute > at and due - minute < timedelta(days=2):
        fits = minute.minute in minutes and minute.hour in hours and (minute.weekday() + 1) % 7 in weekdays
        assert not fits
        minute -= timedelta(minutes=1)


def test_instants_only_grow() -> None:
    found = [NOON]
    for _ in range(500):
        found.append(next_due("7,41 */5 1-20 * 1,3", found[-1]))
    assert all(before < after for before, after in pairwise(found))
