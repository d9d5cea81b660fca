"""The calls to schedules, as an engine answers them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from ..core.payload import Attribute, Payload
from ..core.records import dataclass
from ..requests import Once, receipt
from ..schedules import Schedule, ScheduleBackfill, ScheduleOverlapPolicy, ScheduleSpec, parse_cron
from ..schedules.runner import Kept, ScheduleExists
from ..service import RPCError, RPCStatusCode
from ..visibility import InvalidFilter, parse
from ..visibility.fields import Field, Scalar
from .calls import EngineCalls
from .errors import translated
from .records import SchedulePage, ScheduleSnapshot

_FILTERED = {"ScheduleId": "Keyword", "TemporalSchedulePaused": "Bool"}
"""What a list of schedules can be filtered by, beside their search attributes."""


class ScheduleCalls(EngineCalls):
    """The part of a frontend that is about schedules."""

    async def create_schedule(
        self,
        schedule_id: str,
        schedule: Schedule,
        memo: Mapping[str, Payload],
        attributes: Mapping[str, Attribute],
        trigger: bool,
        backfills: tuple[ScheduleBackfill, ...],
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        await self._change(
            once,
            lambda received: self._engine.schedules.create(
                schedule_id,
                _as_described(schedule),
                memo=memo,
                attributes=attributes,
                trigger=trigger,
                backfills=backfills,
                received=received,
            ),
        )

    async def update_schedule(
        self,
        schedule_id: str,
        schedule: Schedule,
        attributes: Mapping[str, Attribute] | None,
        once: Once | None = None,
    ) -> None:
        """See `Frontend`."""
        await self._change(
            once,
            lambda received: self._engine.schedules.update(
                schedule_id, _as_described(schedule), attributes, received=received
            ),
        )

    async def trigger_schedule(
        self, schedule_id: str, overlap: ScheduleOverlapPolicy | None, once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        await self._change(
            once, lambda received: self._engine.schedules.trigger(schedule_id, overlap, received=received)
        )

    async def backfill_schedule(
        self, schedule_id: str, backfills: tuple[ScheduleBackfill, ...], once: Once | None = None
    ) -> None:
        """See `Frontend`."""
        await self._change(
            once, lambda received: self._engine.schedules.backfill(schedule_id, *backfills, received=received)
        )

    async def pause_schedule(self, schedule_id: str, note: str, once: Once | None = None) -> None:
        """See `Frontend`."""
        await self._change(
            once, lambda received: self._engine.schedules.pause(schedule_id, note, received=received)
        )

    async def unpause_schedule(self, schedule_id: str, note: str, once: Once | None = None) -> None:
        """See `Frontend`."""
        await self._change(
            once, lambda received: self._engine.schedules.unpause(schedule_id, note, received=received)
        )

    async def delete_schedule(self, schedule_id: str, once: Once | None = None) -> None:
        """See `Frontend`."""
        await self._change(
            once, lambda received: self._engine.schedules.delete(schedule_id, received=received)
        )

    async def _change(
        self, once: Once | None, change: Callable[[bytes | None], Coroutine[Any, Any, None]]
    ) -> None:
        """Make a change, unless it was made before; it goes on when its caller waits no longer."""
        with _schedules_translated():
            if await self._effect(once) is not None:
                return
            await self._to_the_end(change(receipt(once)))

    async def describe_schedule(self, schedule_id: str) -> ScheduleSnapshot:
        """See `Frontend`."""
        with _schedules_translated():
            return ScheduleSnapshot(self._engine.schedules.get(schedule_id), self._engine.now_us())

    async def list_schedules(self, query: str, after_id: str, limit: int) -> SchedulePage:
        """See `Frontend`."""
        with translated():
            found = [kept for kept in self._fitting(query) if kept.id > after_id]
        now_us = self._engine.now_us()
        page = tuple(ScheduleSnapshot(kept, now_us) for kept in found[:limit])
        return SchedulePage(page, page[-1].kept.id if page and len(found) > limit else None)

    def _fitting(self, query: str) -> list[Kept]:
        every = self._engine.schedules.all()
        if not query:
            return every
        types = {name: kind for kept in every for name, (kind, _) in kept.attributes.items()}
        wanted = parse(query, {**types, **_FILTERED})
        return [kept for kept in every if wanted.matches(_Filtered(kept))]


def _as_described(schedule: Schedule) -> Schedule:
    return replace(schedule, spec=_with_calendars(schedule.spec))


def _with_calendars(spec: ScheduleSpec) -> ScheduleSpec:
    """The spec as Temporal's server describes it: what its cron expressions say is among its calendars and intervals.

    Raises:
        ValueError: an expression is none, or two name different zones.
    """
    crons = [parse_cron(text) for text in spec.cron_expressions]
    named = [spec.time_zone_name or "", *(cron.time_zone_name or "" for cron in crons)]
    zones = {zone for zone in named if zone}
    if len(zones) > 1 or (zones and not spec.time_zone_name and "" in named[1:]):
        return spec  # What is wrong with it is said when it is validated.
    return replace(
        spec,
        calendars=[*spec.calendars, *(calendar for cron in crons for calendar in cron.calendars)],
        intervals=[*spec.intervals, *(interval for cron in crons for interval in cron.intervals)],
        cron_expressions=[],
        time_zone_name=next(iter(zones), None),
    )


@dataclass(frozen=True)
class _Filtered:
    """A schedule as a filter reads it."""

    kept: Kept
    key: int = 0

    def values(self, field: Field) -> Sequence[Scalar]:
        """See `visibility.Record.values`."""
        own = {"ScheduleId": self.kept.id, "TemporalSchedulePaused": int(self.kept.progress.state.paused)}
        value: Any = own.get(field.name, self.kept.attributes.get(field.name, ("", None))[1])
        if value is None:
            return ()
        return cast("list[Scalar]", value) if isinstance(value, list) else [value]


@contextmanager
def _schedules_translated() -> Generator[None]:
    with translated():
        try:
            yield
        except (ScheduleExists, InvalidFilter):
            raise
        except (ValueError, OverflowError) as error:
            raise RPCError(f"Invalid schedule spec: {error}", RPCStatusCode.INVALID_ARGUMENT) from error
