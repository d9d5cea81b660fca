"""Schedules as a client handles them: handles, lists, and the calls behind both."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from ..core.payload import Attribute, Payload
from ..schedules import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleListActionStartWorkflow,
    ScheduleListDescription,
    ScheduleListInfo,
    ScheduleListSchedule,
    ScheduleListState,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    decide,
    parse_cron,
    schedule_from_json,
    schedule_to_json,
)
from ..schedules.runner import Kept, NoSuchSchedule, ScheduleExists
from ..search_attributes import attributes_of, typed, untyped
from ..service import RPCError, RPCStatusCode
from ..visibility import InvalidFilter, parse
from ._errors import translated
from ._interceptors import (
    NO_METADATA,
    BackfillScheduleInput,
    CreateScheduleInput,
    DeleteScheduleInput,
    DescribeScheduleInput,
    ListSchedulesInput,
    Metadata,
    OutboundInterceptor,
    PauseScheduleInput,
    TriggerScheduleInput,
    UnpauseScheduleInput,
    UpdateScheduleInput,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from ..visibility.fields import Field, Scalar
    from ._client import Client

Updater = Callable[[ScheduleUpdateInput], "ScheduleUpdate | Awaitable[ScheduleUpdate | None] | None"]
_LISTED_MAX = 5
"""So many past and coming actions are in a list."""
_FILTERED = {"ScheduleId": "Keyword", "TemporalSchedulePaused": "Bool"}
"""What a list of schedules can be filtered by, beside their search attributes."""


class ScheduleHandle:
    """A schedule by its id; whether there is one shows when it is used.

    Its methods raise `RPCError`: NOT_FOUND when there is no such schedule, INVALID_ARGUMENT with what to write when
    the schedule cannot be, RESOURCE_EXHAUSTED when the journal is full.
    """

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self.id = id

    async def backfill(
        self,
        *backfill: ScheduleBackfill,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Take the actions of these stretches of time now.

        Raises:
            ValueError: none is given.
        """
        if not backfill:
            raise ValueError("At least one backfill required: give a ScheduleBackfill(start_at, end_at)")
        await self._client.calls.backfill_schedule(
            BackfillScheduleInput(self.id, backfill, rpc_metadata, rpc_timeout)
        )

    async def delete(
        self, *, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> None:
        """The schedule is gone; what it started goes on."""
        await self._client.calls.delete_schedule(DeleteScheduleInput(self.id, rpc_metadata, rpc_timeout))

    async def describe(
        self, *, rpc_metadata: Metadata = NO_METADATA, rpc_timeout: timedelta | None = None
    ) -> ScheduleDescription:
        """The schedule, with what it has done and when it acts next."""
        return await self._client.calls.describe_schedule(
            DescribeScheduleInput(self.id, rpc_metadata, rpc_timeout)
        )

    async def pause(
        self,
        *,
        note: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Times pass without actions from now on."""
        await self._client.calls.pause_schedule(PauseScheduleInput(self.id, note, rpc_metadata, rpc_timeout))

    async def trigger(
        self,
        *,
        overlap: ScheduleOverlapPolicy | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Take the action now, whether the schedule is paused or not."""
        await self._client.calls.trigger_schedule(
            TriggerScheduleInput(self.id, overlap, rpc_metadata, rpc_timeout)
        )

    async def unpause(
        self,
        *,
        note: str | None = None,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The schedule goes on; what was due meanwhile is not made up for."""
        await self._client.calls.unpause_schedule(
            UnpauseScheduleInput(self.id, note, rpc_metadata, rpc_timeout)
        )

    async def update(
        self,
        updater: Updater,
        *,
        rpc_metadata: Metadata = NO_METADATA,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Make of the schedule what `updater` makes of its description; when it returns None, nothing changes."""
        await self._client.calls.update_schedule(
            UpdateScheduleInput(self.id, updater, rpc_metadata, rpc_timeout)
        )


class ScheduleAsyncIterator:
    """Schedules, a page at a time, by their ids."""

    def __init__(self, client: Client, input: ListSchedulesInput) -> None:
        self._client = client
        self._input = input
        self._token = input.next_page_token
        self._page: list[ScheduleListDescription] | None = None
        self._index = 0

    @property
    def current_page_index(self) -> int:
        """The place of the next schedule in the page."""
        return self._index

    @property
    def current_page(self) -> Sequence[ScheduleListDescription] | None:
        """The page that was fetched last."""
        return self._page

    @property
    def next_page_token(self) -> bytes | None:
        """Where the next page begins; None when there is none."""
        return self._token

    async def fetch_next_page(self, *, page_size: int | None = None) -> None:
        """Fetch the next page, whatever is left of this one.

        Raises:
            RPCError: the query is none; the message says where and what to write.
        """
        size = page_size or self._input.page_size
        after = self._token.decode() if self._token else ""
        found = [kept for kept in _fitting(self._client, self._input.query) if kept.id > after]
        self._page = [_listed(self._client, kept) for kept in found[:size]]
        self._token = found[size - 1].id.encode() if len(found) > size else None
        self._index = 0

    def __aiter__(self) -> ScheduleAsyncIterator:
        return self

    async def __anext__(self) -> ScheduleListDescription:
        if self._page is None:
            await self.fetch_next_page()
        while self._index >= len(self._page or ()):
            if self._token is None:
                raise StopAsyncIteration
            await self.fetch_next_page()
        assert self._page is not None
        self._index += 1
        return self._page[self._index - 1]


class ScheduleCalls(OutboundInterceptor):
    """What a client's methods do to schedules."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._schedules = client.engine.schedules

    async def create_schedule(self, input: CreateScheduleInput) -> ScheduleHandle:
        state = input.schedule.state
        if state.limited_actions and not state.remaining_actions:
            raise ValueError("Must set limited actions to false if there are no remaining actions set")
        if not state.limited_actions and state.remaining_actions:
            raise ValueError("Must set limited actions to true if there are remaining actions set")
        if not input.id:
            raise RPCError("schedule ID is empty: write an id", RPCStatusCode.INVALID_ARGUMENT)
        memo = {name: self._payloads((value,))[0] for name, value in (input.memo or {}).items()}
        with _translated():
            await self._schedules.create(
                input.id,
                self._prepared(input.schedule),
                memo=memo,
                attributes=attributes_of(input.search_attributes),
                trigger=input.trigger_immediately,
                backfills=tuple(input.backfill),
            )
        return ScheduleHandle(self._client, input.id)

    def list_schedules(self, input: ListSchedulesInput) -> ScheduleAsyncIterator:
        return ScheduleAsyncIterator(self._client, input)

    async def backfill_schedule(self, input: BackfillScheduleInput) -> None:
        with _translated():
            await self._schedules.backfill(input.id, *input.backfills)

    async def delete_schedule(self, input: DeleteScheduleInput) -> None:
        with _translated():
            await self._schedules.delete(input.id)

    async def describe_schedule(self, input: DescribeScheduleInput) -> ScheduleDescription:
        with _translated():
            return _described(self._client, self._schedules.get(input.id))

    async def pause_schedule(self, input: PauseScheduleInput) -> None:
        with _translated():
            await self._schedules.pause(input.id, input.note or "Paused via Python SDK")

    async def trigger_schedule(self, input: TriggerScheduleInput) -> None:
        with _translated():
            await self._schedules.trigger(input.id, input.overlap)

    async def unpause_schedule(self, input: UnpauseScheduleInput) -> None:
        with _translated():
            await self._schedules.unpause(input.id, input.note or "Unpaused via Python SDK")

    async def update_schedule(self, input: UpdateScheduleInput) -> None:
        with _translated():
            description = _described(self._client, self._schedules.get(input.id))
        found = input.updater(ScheduleUpdateInput(description))
        update = await found if inspect.isawaitable(found) else found
        if update is None:
            return
        attributes: Mapping[str, Attribute] | None = None
        if update.search_attributes is not None:
            attributes = attributes_of(update.search_attributes)
        with _translated():
            await self._schedules.update(input.id, self._prepared(update.schedule), attributes)

    def _prepared(self, schedule: Schedule) -> Schedule:
        """A copy of its own, with payloads for values and calendars for cron expressions."""
        if not isinstance(schedule.action, ScheduleActionStartWorkflow):
            raise TypeError(
                f"action is {type(schedule.action).__name__}, expected ScheduleActionStartWorkflow"
            )
        action = copy.copy(schedule.action)
        # They are plain in the journal, where pages and lists read them, and payloads in a description.
        action.static_summary = self._plain(action.static_summary)
        action.static_details = self._plain(action.static_details)
        policy = action.retry_policy
        if policy is not None and policy.maximum_interval is None:
            # As Temporal's server describes it.
            action.retry_policy = replace(policy, maximum_interval=100 * policy.initial_interval)
        stored = schedule_to_json(replace(schedule, action=action), self._payloads)
        prepared = schedule_from_json(stored)
        return replace(prepared, spec=_with_calendars(prepared.spec))

    def _plain(self, text: str | Payload | None) -> str | None:
        return self._client.values.decode([text], [str])[0] if isinstance(text, Payload) else text

    def _payloads(self, values: Sequence[Any]) -> tuple[Payload, ...]:
        return self._client.values.encode(values)


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


def _described(client: Client, kept: Kept) -> ScheduleDescription:
    schedule = replace(_copied(kept.schedule), state=replace(kept.progress.state))
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.static_summary = _encoded_text(client, schedule.action.static_summary)
    schedule.action.static_details = _encoded_text(client, schedule.action.static_details)
    return ScheduleDescription(
        id=kept.id,
        schedule=schedule,
        info=decide.info(kept.rules, kept.progress, _now(client)),
        typed_search_attributes=typed(kept.attributes),
        search_attributes=untyped(kept.attributes),
        data_converter=client.data_converter,
        _memo=kept.memo,
    )


def _encoded_text(client: Client, text: str | Payload | None) -> str | Payload | None:
    return client.values.encode((text,))[0] if text else text


def _copied(schedule: Schedule) -> Schedule:
    """The caller may change what is described."""
    return schedule_from_json(schedule_to_json(schedule, tuple))


def _listed(client: Client, kept: Kept) -> ScheduleListDescription:
    info = decide.info(kept.rules, kept.progress, _now(client))
    state = kept.progress.state
    return ScheduleListDescription(
        id=kept.id,
        schedule=ScheduleListSchedule(
            ScheduleListActionStartWorkflow(kept.action.workflow),
            _copied(kept.schedule).spec,
            ScheduleListState(state.note, state.paused),
        ),
        info=ScheduleListInfo(info.recent_actions[-_LISTED_MAX:], info.next_action_times[:_LISTED_MAX]),
        typed_search_attributes=typed(kept.attributes),
        search_attributes=untyped(kept.attributes),
        data_converter=client.data_converter,
        _memo=kept.memo,
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


def _fitting(client: Client, query: str | None) -> list[Kept]:
    every = client.engine.schedules.all()
    if not query:
        return every
    types = {name: kind for kept in every for name, (kind, _) in kept.attributes.items()}
    try:
        wanted = parse(query, {**types, **_FILTERED})
    except InvalidFilter as error:
        raise RPCError(f"invalid query: {error}", RPCStatusCode.INVALID_ARGUMENT) from error
    return [kept for kept in every if wanted.matches(_Filtered(kept))]


def _now(client: Client) -> datetime:
    return datetime.fromtimestamp(client.engine.now_us() / 1_000_000, UTC)


@contextmanager
def _translated() -> Generator[None]:
    with translated():
        try:
            yield
        except ScheduleExists as error:
            raise ScheduleAlreadyRunningError from error
        except NoSuchSchedule as error:
            raise RPCError(str(error.args[0]), RPCStatusCode.NOT_FOUND) from error
        except ValueError as error:
            raise RPCError(f"Invalid schedule spec: {error}", RPCStatusCode.INVALID_ARGUMENT) from error
