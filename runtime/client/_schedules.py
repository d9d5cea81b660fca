"""Schedules as a client handles them: handles, lists, and the calls behind both."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.payload import Attribute, Payload
from ..frontend import ScheduleSnapshot
from ..schedules import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleListActionStartWorkflow,
    ScheduleListDescription,
    ScheduleListInfo,
    ScheduleListSchedule,
    ScheduleListState,
    ScheduleOverlapPolicy,
    ScheduleUpdate,
    ScheduleUpdateInput,
    decide,
    schedule_from_json,
    schedule_to_json,
)
from ..search_attributes import attributes_of, typed, untyped
from ..service import RPCError, RPCStatusCode
from ..values import ConvertedValues
from ._errors import within
from ._execution import instant
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
        async with within(self._input.rpc_timeout):
            page = await self._client.frontend.list_schedules(self._input.query or "", after, size)
        self._page = [_listed(self._client, found) for found in page.schedules]
        self._token = None if page.after_id is None else page.after_id.encode()
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
        self._frontend = client.frontend

    async def create_schedule(self, input: CreateScheduleInput) -> ScheduleHandle:
        state = input.schedule.state
        if state.limited_actions and not state.remaining_actions:
            raise ValueError("Must set limited actions to false if there are no remaining actions set")
        if not state.limited_actions and state.remaining_actions:
            raise ValueError("Must set limited actions to true if there are remaining actions set")
        if not input.id:
            raise RPCError("schedule ID is empty: write an id", RPCStatusCode.INVALID_ARGUMENT)
        memo = await _stored_each(self._client.values, input.memo or {})
        schedule = await self._prepared(input.schedule)
        attributes = attributes_of(input.search_attributes)
        async with within(input.rpc_timeout):
            await self._frontend.create_schedule(
                input.id, schedule, memo, attributes, input.trigger_immediately, tuple(input.backfill)
            )
        return ScheduleHandle(self._client, input.id)

    def list_schedules(self, input: ListSchedulesInput) -> ScheduleAsyncIterator:
        return ScheduleAsyncIterator(self._client, input)

    async def backfill_schedule(self, input: BackfillScheduleInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.backfill_schedule(input.id, tuple(input.backfills))

    async def delete_schedule(self, input: DeleteScheduleInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.delete_schedule(input.id)

    async def describe_schedule(self, input: DescribeScheduleInput) -> ScheduleDescription:
        async with within(input.rpc_timeout):
            found = await self._frontend.describe_schedule(input.id)
        return await _described(self._client, found)

    async def pause_schedule(self, input: PauseScheduleInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.pause_schedule(input.id, input.note or "Paused via Python SDK")

    async def trigger_schedule(self, input: TriggerScheduleInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.trigger_schedule(input.id, input.overlap)

    async def unpause_schedule(self, input: UnpauseScheduleInput) -> None:
        async with within(input.rpc_timeout):
            await self._frontend.unpause_schedule(input.id, input.note or "Unpaused via Python SDK")

    async def update_schedule(self, input: UpdateScheduleInput) -> None:
        async with within(input.rpc_timeout):
            described = await self._frontend.describe_schedule(input.id)
        description = await _described(self._client, described)
        found = input.updater(ScheduleUpdateInput(description))
        update = await found if inspect.isawaitable(found) else found
        if update is None:
            return
        attributes: Mapping[str, Attribute] | None = None
        if update.search_attributes is not None:
            attributes = attributes_of(update.search_attributes)
        schedule = await self._prepared(update.schedule)
        async with within(input.rpc_timeout):
            await self._frontend.update_schedule(input.id, schedule, attributes)

    async def _prepared(self, schedule: Schedule) -> Schedule:
        """A copy of its own, with payloads for values."""
        if not isinstance(schedule.action, ScheduleActionStartWorkflow):
            raise TypeError(
                f"action is {type(schedule.action).__name__}, expected ScheduleActionStartWorkflow"
            )
        action = copy.copy(schedule.action)
        # They are plain in the journal, where pages and lists read them, and payloads in a description.
        values = self._client.values.for_receiver(action.id, workflow_type=action.workflow)
        action.static_summary = await _plain(values, action.static_summary)
        action.static_details = await _plain(values, action.static_details)
        if any(isinstance(arg, Payload) for arg in action.args):  # As in a description.
            named = {str(index): arg for index, arg in enumerate(action.args)}
            action.args = list((await _stored_each(values, named)).values())
        else:
            action.args = await values.stored(action.args)
        action.memo = None if action.memo is None else await _stored_each(values, action.memo)
        policy = action.retry_policy
        if policy is not None and policy.maximum_interval is None:
            # As Temporal's server describes it.
            action.retry_policy = replace(policy, maximum_interval=100 * policy.initial_interval)
        return _copied(replace(schedule, action=action))


async def _stored_each(values: ConvertedValues, named: Mapping[str, Any]) -> dict[str, Payload]:
    return {
        name: value if isinstance(value, Payload) else (await values.stored((value,)))[0]
        for name, value in named.items()
    }


async def _plain(values: ConvertedValues, text: str | Payload | None) -> str | None:
    return (await values.read([text], [str]))[0] if isinstance(text, Payload) else text


async def _described(client: Client, found: ScheduleSnapshot) -> ScheduleDescription:
    kept = found.kept
    schedule = replace(_copied(kept.schedule), state=replace(kept.progress.state))
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    values = client.values.for_workflow(schedule.action.id)
    schedule.action.static_summary = await _as_payload(values, schedule.action.static_summary)
    schedule.action.static_details = await _as_payload(values, schedule.action.static_details)
    return ScheduleDescription(
        id=kept.id,
        schedule=schedule,
        info=decide.info(kept.rules, kept.progress, instant(found.now_us)),
        typed_search_attributes=typed(kept.attributes),
        search_attributes=untyped(kept.attributes),
        data_converter=client.data_converter,
        _memo=kept.memo,
    )


async def _as_payload(values: ConvertedValues, text: str | Payload | None) -> str | Payload | None:
    return (await values.stored((text,)))[0] if text else text


def _copied(schedule: Schedule) -> Schedule:
    """The caller may change what is described, or what was given to be kept."""
    return schedule_from_json(schedule_to_json(schedule, tuple))


def _listed(client: Client, found: ScheduleSnapshot) -> ScheduleListDescription:
    kept = found.kept
    info = decide.info(kept.rules, kept.progress, instant(found.now_us))
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
