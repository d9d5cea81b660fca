"""When schedules are, what is refused, and how a schedule is described again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import (
    Client,
    RPCError,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)

NEXT_YEARS = datetime(2027, 1, 1, tzinfo=UTC)
"""The two engines are asked at different times."""
FIELDS = ("second", "minute", "hour", "day_of_month", "month", "year", "day_of_week")


@workflow.defn(name="SchedulesNever")
class Never:
    """What the schedules would start; they are paused."""

    @workflow.run
    async def run(self) -> None:
        return None


WORKFLOWS = [Never]
ACTIVITIES: list[Any] = []


def _numbers(*numbers: int) -> list[ScheduleRange]:
    return [ScheduleRange(number) for number in numbers]


async def _seen(client: Client, name: str, specs: Iterable[ScheduleSpec]) -> list[Any]:
    """What becomes of each spec: its next times and how it is described, or how it is refused."""
    seen: list[Any] = []
    for number, spec in enumerate(specs):
        action = ScheduleActionStartWorkflow(Never.run, id="never", task_queue="nobody")
        since = spec.start_at or NEXT_YEARS
        schedule = Schedule(
            action=action, spec=replace(spec, start_at=since), state=ScheduleState(paused=True)
        )
        try:
            handle = await client.create_schedule(f"{name}-{number}", schedule)
        except RPCError as error:
            seen.append(["refused", error.status.name])
            continue
        found = await handle.describe()
        described = found.schedule.spec
        seen.append(
            {
                "times": [time.isoformat() for time in found.info.next_action_times],
                "calendars": [
                    [[(r.start, r.end, r.step) for r in getattr(each, field)] for field in FIELDS]
                    + [each.comment]
                    for each in described.calendars
                ],
                "intervals": [
                    (each.every.total_seconds(), (each.offset or timedelta()).total_seconds())
                    for each in described.intervals
                ],
                "zone": described.time_zone_name or None,
                "cron": list(described.cron_expressions),
            }
        )
        await handle.delete()
    return seen


async def case_calendars_and_intervals(client: Client, task_queue: str) -> list[Any]:
    half_hours = {"hour": [ScheduleRange(0, 4)], "minute": _numbers(0, 30)}
    del task_queue
    return await _seen(
        client,
        "calendars_and_intervals",
        [
            ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=1))]),
            ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=7), timedelta(minutes=181))]),
            ScheduleSpec(
                calendars=[ScheduleCalendarSpec(hour=_numbers(2), minute=_numbers(30))],
                time_zone_name="Europe/Berlin",
            ),
            # Clocks go forward.
            ScheduleSpec(
                calendars=[ScheduleCalendarSpec(**half_hours, month=_numbers(3), day_of_month=_numbers(28))],
                time_zone_name="Europe/Berlin",
            ),
            ScheduleSpec(
                calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(0, 23, 6)])],
                skip=[ScheduleCalendarSpec(hour=_numbers(12), day_of_week=[ScheduleRange(1, 5)])],
            ),
            ScheduleSpec(calendars=[ScheduleCalendarSpec(day_of_month=_numbers(29), month=_numbers(2))]),
            ScheduleSpec(
                calendars=[ScheduleCalendarSpec(day_of_month=_numbers(13), day_of_week=_numbers(5))]
            ),
            ScheduleSpec(calendars=[ScheduleCalendarSpec(day_of_month=_numbers(31), month=_numbers(2))]),
            ScheduleSpec(
                intervals=[ScheduleIntervalSpec(timedelta(hours=1))],
                end_at=NEXT_YEARS + timedelta(hours=3),
            ),
            ScheduleSpec(
                intervals=[ScheduleIntervalSpec(timedelta(hours=1))],
                start_at=NEXT_YEARS + timedelta(minutes=30),
            ),
            ScheduleSpec(),
        ],
    )


async def case_cron_expressions(client: Client, task_queue: str) -> list[Any]:
    del task_queue
    expressions = [
        "0 12 * * MON", "*/7 3-5 * * *", "@daily", "@every 90m", "@every 5h/2h", "0 0 1 * MON", "15 8 1,15 * *",
        "0 9 * * 1-5", "TZ=Asia/Tokyo 0 6 * * *", "CRON_TZ=Europe/London 30 1 28 3 *", "5/20 0 * * *", "0 0 * * 7",
        "30 1 2 3 4 * 2030", "0 6 * * * 2028", "@yearly", "0 0 * * SUN # milk", "0 22 * * 5-7", "0 0 */10 * *",
    ]  # fmt: skip
    return await _seen(
        client, "cron_expressions", [ScheduleSpec(cron_expressions=[text]) for text in expressions]
    )


async def case_what_is_refused(client: Client, task_queue: str) -> list[Any]:
    expressions = [
        "61 * * * *", "* * * *", "@foo", "@every 0s", "TZ=Mars/X 0 0 * * *", "0 0 * * 8", "5-1 * * * *",
        "0 0 32 * *", "0 0 ? * MON",
    ]  # fmt: skip
    hour = timedelta(hours=1)
    del task_queue
    return await _seen(
        client,
        "what_is_refused",
        [
            *(ScheduleSpec(cron_expressions=[text]) for text in expressions),
            ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=_numbers(24))]),
            ScheduleSpec(calendars=[ScheduleCalendarSpec(day_of_week=_numbers(7))]),
            ScheduleSpec(time_zone_name="Mars/Base"),
            ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta())]),
            ScheduleSpec(intervals=[ScheduleIntervalSpec(hour, hour)]),
        ],
    )
